"""Validation of data sets, a piece at a time, and what happens when a check fails.

A check is a dict: ``name``, ``passed``, ``value``, ``limit``, ``sentence`` (with the numbers) and
``flagged``. One that found nothing to compare has neither passed nor failed (`skipped`). Two kinds:

Exact checks (counts, residuals, signs) have no false alarms: their limits lie far above rounding.

Statistical checks (a fraction, a distribution) are *flagged* beyond 3 sigma (p < 0.0027) and
*fail* at p < 1e-6. Ten populations with twenty of them each would by chance flag one in every two
runs, which a person can look at, and fail one run in 5,000, which keeps a failure worth the name.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import kolmogorov, ndtr, ndtri
from scipy.stats import binom

from lensmill.pipeline import logs, priors, store

FAIL = 1e-6  # p-value of a statistical check below which a data set is refused
FLAG = 0.0027  # that of 3 sigma
BINS = 1 << 16  # of the distribution tests: 1.5e-5 is far below what 1e7 systems can show
PIECE = 1 << 17  # systems read at a time: about 500 MB with their images
SKETCH = 1024  # fingerprints kept to compare populations with each other


def outcome(
    name: str, passed: bool | None, value: Any, limit: Any, sentence: str, flagged: bool = False
) -> dict[str, Any]:
    """Return one check as it goes into ``checks.json``."""
    return {
        "name": name,
        "passed": None if passed is None else bool(passed),
        "value": value,
        "limit": limit,
        "sentence": sentence,
        "flagged": bool(flagged),
    }


def skipped(name: str, why: str) -> dict[str, Any]:
    """Return a check that compared nothing: ``passed`` is None, and nothing is stopped."""
    return outcome(name, None, None, None, f"skipped: {why}")


def complete(facts: Mapping[str, Any], rows: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check that every system that was made, or every one that was read, is there."""
    promised = int(settings["systems"] if "systems" in settings else facts["candidates"])
    sentence = f"{rows} systems are there of {promised}"
    return outcome("systems in = systems out", rows == promised, rows, promised, sentence)


def failed(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the sentences of the checks that failed; those that were skipped did not."""
    return [check["sentence"] for check in results if check["passed"] is False]


def report(checked: Mapping[str, Any], path: str | Path, copies: str | Path | None = None) -> None:
    """Write what was found to ``path``, and raise if a check has failed.

    The pairs of copies, if they were looked for, go to ``copies`` (CSV), all of them.

    Raises
    ------
    ValueError
        With the sentences, and so the numbers, of all failed checks.
    """
    pairs = checked.get("pairs", [])
    checked = {name: value for name, value in checked.items() if name != "pairs"}
    Path(path).write_text(json.dumps(checked, indent=1) + "\n")
    sentences = failed(checked["checks"])
    if copies is not None and pairs:
        with Path(copies).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(pairs)
        if len(pairs) > 1:
            sentences.append(
                f"all pairs of copies are listed in {copies}; take one of each out, or "
                "give copies of one object one group"
            )
    if sentences:
        raise ValueError(f"data set {checked['population']!r} refused: {'; '.join(sentences)}")


def pieces(dataset: str | Path) -> Iterator[tuple[dict[str, NDArray], dict[str, NDArray]]]:
    """Read systems with their images, piece by piece.

    Yields
    ------
    systems, images : dict of array
        Consecutive rows; all images of these systems, and no others, if the counts are right.
    """
    with h5py.File(dataset) as file:
        n_systems = len(file["systems/index"])
    first = 0
    for start in logs.progress(range(0, n_systems, PIECE), "check"):
        systems = store.read(dataset, "systems", first=start, count=PIECE)
        count = int(systems["n_images"].sum())
        yield systems, store.read(dataset, "images", first=first, count=count)
        first += count


def sample(
    dataset: str | Path, rows: NDArray
) -> tuple[dict[str, NDArray], list[dict[str, NDArray]]]:
    """Read some systems, by ascending row, and the images of each."""
    with h5py.File(dataset) as file:
        systems = {name: column[rows] for name, column in file["systems"].items()}
        ends = np.cumsum(systems["n_images"])
        starts = ends - systems["n_images"]
        owned = np.arange(ends[-1]) + np.repeat(
            systems["first_image"] - starts, systems["n_images"]
        )
        images = {name: column[owned] for name, column in file["images"].items()}
    return systems, [
        {name: column[start:end] for name, column in images.items()}
        for start, end in zip(starts, ends, strict=True)
    ]


def structure(dataset: str | Path, n_systems: int) -> list[dict[str, Any]]:
    """Check that both tables belong together row by row; physics can wait until they do.

    All ``n_systems`` systems are there and numbered through, ``n_images`` and ``first_image`` lead
    to the rows of each, and every image names the system it is found by.
    """
    with h5py.File(dataset) as file:
        rows = {table: len(next(iter(group.values()))) for table, group in file.items()}
        counts = file["systems/n_images"][:]
        index = file["systems/index"][:]
        first = file["systems/first_image"][:]
        wrong = {
            "are not numbered through": int((index != np.arange(len(index))).sum()),
            "do not start where the one before ends": int(
                (first != np.cumsum(counts) - counts).sum()
            ),
            "have a negative number of images": int((counts < 0).sum()),
        }
        n_images = int(counts.sum())
        if n_images == rows["images"] and not any(wrong.values()):
            owner = np.repeat(index, counts)
            wrong["own an image that names another"] = int(
                sum(
                    (
                        file["images/system"][at : at + store.CHUNK] != owner[at : at + store.CHUNK]
                    ).sum()
                    for at in range(0, len(owner), store.CHUNK)
                )
            )
    total = sum(wrong.values())
    faults = "; ".join(f"{count} systems {how}" for how, count in wrong.items() if count)
    together = outcome(
        "rows belong together", not total, total, 0, faults or "every image is with its system"
    )
    if rows["images"] == 0 and not total:
        together = skipped("rows belong together", "no system has an image")
    return [
        outcome(
            "systems in = systems out",
            rows["systems"] == n_systems,
            rows["systems"],
            n_systems,
            f"{rows['systems']} systems are there of {n_systems} that were made",
        ),
        outcome(
            "images in = images out",
            rows["images"] == n_images,
            rows["images"],
            n_images,
            f"{rows['images']} images are there and the systems count {n_images}",
        ),
        together,
    ]


@dataclass
class Column:
    """Statistics of one column of numbers, added up piece by piece."""

    name: str
    rows: int = 0
    bad: int = 0
    first_bad: int | None = None
    low: float = np.inf
    high: float = -np.inf
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray) -> None:
        """Add the next rows."""
        good = np.isfinite(values)
        if not good.all():
            self.bad += int((~good).sum())
            if self.first_bad is None:
                self.first_bad = self.rows + int(good.argmin())
            values = values[good]
        before = self.rows - self.bad + int((~good).sum())
        self.rows += len(good)
        if len(values) == 0:
            return
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))
        mean = float(values.mean(dtype=float))
        step, weight = mean - self.mean, len(values) / (before + len(values))
        # Chan, Golub & LeVeque's way to join two sums of squares without cancellation
        self.squares += float(((values - mean) ** 2).sum()) + step**2 * before * weight
        self.mean += step * weight

    def numbers(self) -> dict[str, float]:
        """Return the statistics as they go into ``checks.json``."""
        good = self.rows - self.bad
        if good == 0:
            return {}
        sd = float(np.sqrt(self.squares / good))
        return {"mean": self.mean, "sd": sd, "min": self.low, "max": self.high}


@dataclass
class Columns:
    """Statistics of all columns of numbers of all tables, and whether they are finite."""

    columns: dict[str, dict[str, Column]] = field(default_factory=dict)

    def add(self, table: str, values: Mapping[str, NDArray]) -> None:
        """Add the next rows of a table; text is passed over."""
        known = self.columns.setdefault(table, {})
        for name, column in values.items():
            if column.dtype.kind in "fiu":
                known.setdefault(name, Column(name)).add(column)

    def numbers(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return all statistics, by table and column."""
        return {
            table: {name: column.numbers() for name, column in columns.items()}
            for table, columns in self.columns.items()
        }

    def finite(self) -> dict[str, Any]:
        """Check that no value is NaN or infinite."""
        every = [c for columns in self.columns.values() for c in columns.values()]
        if not any(c.rows for c in every):
            return skipped("finite", "there are no numbers")
        bad = [c for c in every if c.bad]
        sentence = "; ".join(
            f"{c.bad} of {c.rows} rows of {c.name!r} are not finite (first: row {c.first_bad})"
            for c in bad
        )
        count = sum(c.bad for c in bad)
        return outcome("finite", not bad, count, 0, sentence or "every value is finite")


@dataclass
class Worst:
    """Largest residual of what should be next to nothing, and the system it belongs to."""

    name: str
    quantity: str
    limit: float
    unit: str = ""
    value: float = 0.0
    system: int | None = None
    beyond: int = 0
    rows: int = 0

    def add(self, values: NDArray, systems: NDArray) -> None:
        """Add the next values, with the index of the system of each."""
        self.rows += len(values)
        values = np.where(np.isnan(values), np.inf, np.abs(values))
        self.beyond += int((values > self.limit).sum())
        if len(values) and (top := int(values.argmax())) >= 0 and values[top] > self.value:
            self.value, self.system = float(values[top]), int(systems[top])

    def outcome(self) -> dict[str, Any]:
        """Compare the largest value with the limit."""
        if self.rows == 0:
            return skipped(self.name, "there is nothing to compare")
        unit = f" {self.unit}" if self.unit else ""
        sentence = f"{self.quantity} is at most {self.value:.2g}{unit} (limit {self.limit:g}{unit})"
        if self.beyond:
            sentence = (
                f"{self.quantity} is up to {self.value:.3g}{unit} (system {self.system}), and "
                f"beyond the limit of {self.limit:g}{unit} in {self.beyond} of {self.rows} rows"
            )
        # JSON has no infinity
        value = self.value if np.isfinite(self.value) else None
        return outcome(self.name, not self.beyond, value, self.limit, sentence)


@dataclass
class Wrong:
    """Violations of a rule that knows no exception: how many, and the first of them."""

    name: str
    rule: str
    count: int = 0
    rows: int = 0
    system: int | None = None

    def add(self, wrong: NDArray, systems: NDArray) -> None:
        """Add the next rows, with the index of the system of each."""
        self.rows += len(wrong)
        self.count += int(wrong.sum())
        if self.system is None and wrong.any():
            self.system = int(systems[int(wrong.argmax())])

    def outcome(self) -> dict[str, Any]:
        """Check that there are none."""
        if self.rows == 0:
            return skipped(self.name, f"there are no rows in which {self.rule}")
        sentence = f"in all of {self.rows} rows {self.rule}"
        if self.count:
            sentence = (
                f"in {self.count} of {self.rows} rows it is not true that {self.rule} "
                f"(first: system {self.system})"
            )
        return outcome(self.name, not self.count, self.count, 0, sentence)


@dataclass
class Uniform:
    """Kolmogorov-Smirnov test of numbers that should be uniform between 0 and 1.

    From a histogram of 65,536 bins, so that memory does not grow with the number of systems; the
    statistic at the edges of the bins misses at most the content of one bin.
    """

    name: str
    quantity: str
    counts: NDArray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    outside: int = 0

    def add(self, u: NDArray) -> None:
        """Add the next numbers."""
        inside = (u >= 0) & (u <= 1)
        self.outside += int((~inside).sum())
        bins = np.minimum((u[inside] * BINS).astype(np.int64), BINS - 1)
        self.counts += np.bincount(bins, minlength=BINS)

    def outcome(self) -> dict[str, Any]:
        """Compare the distribution with the uniform one."""
        n = int(self.counts.sum())
        if self.outside:
            sentence = (
                f"{self.quantity}: {self.outside} of {n + self.outside} values lie outside it"
            )
            return outcome(self.name, False, self.outside, 0, sentence)
        if n == 0:
            return skipped(self.name, "no systems")
        steps = np.cumsum(self.counts) / n - np.arange(1, BINS + 1) / BINS
        distance = float(np.abs(steps).max())
        # Stephens (1970); the exact distribution takes seconds for 10^6 systems
        p = float(kolmogorov((np.sqrt(n) + 0.12 + 0.11 / np.sqrt(n)) * distance))
        sentence = (
            f"{self.quantity}: largest distance of the distributions {distance:.2g}, p = {p:.2g}"
        )
        sentence += _verdict(p >= FAIL, p < FLAG)
        return outcome(self.name, p >= FAIL, p, FAIL, sentence, p < FLAG)


@dataclass
class Independent:
    """Test of independence: rank correlations of numbers each uniform between 0 and 1.

    They are rank correlations, as the prior gives the rank. A direction, a share of a full period,
    has no rank: in its place are cos and sin of the turn, so that any constant angle between two
    directions is seen. Moments are those of independent numbers, so sums over the rows are enough.
    """

    name: str
    columns: list[tuple[str, str]] = field(default_factory=list)  # parameter, what it enters by
    products: NDArray | float = 0.0
    rows: int = 0

    def add(self, numbers: Mapping[str, NDArray], directions: Mapping[str, NDArray]) -> None:
        """Add the next rows, always the same numbers and directions."""
        of_unit_variance = {(name, name): np.sqrt(12) * (u - 0.5) for name, u in numbers.items()}
        for name, turn in directions.items():
            of_unit_variance[name, f"cos {name}"] = np.sqrt(2) * np.cos(2 * np.pi * turn)
            of_unit_variance[name, f"sin {name}"] = np.sqrt(2) * np.sin(2 * np.pi * turn)
        self.columns = list(of_unit_variance)
        if self.columns:
            columns = np.stack(list(of_unit_variance.values()))
            self.products = self.products + columns @ columns.T
            self.rows += columns.shape[1]

    def outcome(self) -> dict[str, Any]:
        """Compare the largest correlation with what chance does, all pairs considered."""
        pairs = [
            (i, j)
            for i, j in combinations(range(len(self.columns)), 2)
            if self.columns[i][0] != self.columns[j][0]
        ]
        if not pairs or self.rows == 0:
            return skipped(self.name, "there are no two parameters to compare")
        correlation = np.array([self.products[pair] for pair in pairs]) / self.rows
        correlation = np.round(correlation, 9)  # the order of the sums must not show
        worst = int(np.abs(correlation).argmax())
        one, other = (self.columns[i][1] for i in pairs[worst])
        # of independent columns of unit variance: 0 +- 1 / sqrt(n)
        p = min(1.0, 2 * len(pairs) * float(ndtr(-abs(correlation[worst]) * np.sqrt(self.rows))))
        allowed = -ndtri(FAIL / 2 / len(pairs)) / np.sqrt(self.rows)
        sentence = (
            f"the largest of {len(pairs)} correlations is {correlation[worst]:+.2g}, of {one} and "
            f"{other} (at most {allowed:.2g}), p = {p:.2g}"
        )
        sentence += _verdict(p >= FAIL, p < FLAG)
        return outcome(self.name, p >= FAIL, p, FAIL, sentence, p < FLAG)


def directions(prior: Mapping[str, Any], lenses: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Return the angles of galaxy, shear and source as shares of their periods.

    That of the source twice: as an angle, and as that of an axis, which is what the others have.
    What the prior fixes, or does not make uniform, is left out.
    """
    shear = np.arctan2(lenses["gamma2"], lenses["gamma1"]) / 2
    angles = {"phi": priors.direction(prior["phi"], lenses["phi"])}
    if prior["shear"] != ["fixed", 0.0]:
        angles["shear_angle"] = priors.direction(prior["shear_angle"], shear)
    if prior["source"][0] == "disc":
        turn = np.arctan2(lenses["source_y"], lenses["source_x"]) / (2 * np.pi)
        angles |= {"source_angle": turn, "source_axis": 2 * turn}
    return {name: turn for name, turn in angles.items() if turn is not None}


def fraction(
    name: str, subject: str, count: int, of: int, expected: float, error: float = 0.0
) -> dict[str, Any]:
    """Test a fraction against its binomial expectation.

    The p-value is that of the binomial distribution, for the expectation within 4 of its own
    errors that fits best; the sentence gives the deviation in sigma.

    Parameters
    ----------
    name, subject : str
        Of the check, and what is counted.
    count, of : int
        How many there are, of how many.
    expected, error : float
        Expected fraction and its own error (1 sigma).
    """
    if of == 0:
        return skipped(name, "there are no systems")
    low, high = max(expected - 4 * error, 0.0), min(expected + 4 * error, 1.0)
    if count < low * of:
        p = min(1.0, 2 * float(binom.cdf(count, of, low)))
    elif count > high * of:
        p = min(1.0, 2 * float(binom.sf(count - 1, of, high)))
    else:
        p = 1.0
    sigma = float(np.hypot(np.sqrt(expected * (1 - expected) / of), error))
    away = (count / of - expected) / sigma if sigma else 0.0
    sentence = (
        f"{subject}: {count / of:.5f} where {expected:.4f} +- {sigma:.5f} is expected "
        f"({away:+.1f} sigma)"
    )
    flagged = abs(away) > 3
    return outcome(
        name, p >= FAIL, count / of, expected, sentence + _verdict(p >= FAIL, flagged), flagged
    )


def _verdict(passed: bool, flagged: bool) -> str:
    if not passed:
        return "; chance does this less than once in a million times"
    return "; beyond 3 sigma, look at it" if flagged else ""


def fingerprints(columns: Sequence[NDArray]) -> NDArray:
    """Return a 64-bit hash of every row; two in 10^7 different rows agree with p = 3e-6."""
    rows = pd.DataFrame(dict(enumerate(columns)), dtype=np.float64)
    return pd.util.hash_pandas_object(rows, index=False).to_numpy()


def duplicates(prints: NDArray) -> dict[str, Any]:
    """Check that no row occurs twice, by the fingerprints of all rows in order."""
    if len(prints) < 2:
        return skipped("no duplicates", f"{len(prints)} system has nothing to be compared with")
    order = np.argsort(prints, kind="stable")
    same = prints[order][1:] == prints[order][:-1]
    sentence = "no system occurs twice"
    if same.any():
        at = int(same.argmax())
        sentence = (
            f"{int(same.sum())} of {len(prints)} systems are copies "
            f"(first: {order[at + 1]} of {order[at]})"
        )
    return outcome("no duplicates", not same.any(), int(same.sum()), 0, sentence)


def sketch(prints: NDArray) -> list[str]:
    """Return the MinHash sketch of a population: its smallest fingerprints, for comparisons.

    Two populations that have a share of their systems in common have that share of these in
    common, so that a thousand of them show what 10^7 systems would.
    """
    keep = min(SKETCH, len(prints))
    return [f"{value:016x}" for value in np.sort(np.partition(prints, keep - 1)[:keep])]


def compare_populations(reports: Sequence[str | Path], output: str | Path) -> None:
    """Check that no two populations have systems in common, by their ``checks.json``.

    Raises
    ------
    ValueError
        Naming the populations that do.
    """
    sketches = {}
    for path in reports:
        checked = json.loads(Path(path).read_text())
        sketches[checked["population"]] = checked["sketch"]
    results = []
    for one, other in combinations(sorted(sketches), 2):
        name = f"{one} is not {other}"
        compared = _comparable(sketches[one], sketches[other])
        if compared == 0:
            why = f"of {one!r} and {other!r}, of very unlike size, no fingerprints can be compared"
            results.append(skipped(name, why))
            continue
        common = len({*sketches[one]} & {*sketches[other]})
        sentence = (
            f"{one!r} and {other!r} have {common or 'no'} systems in common of {compared} that "
            "were compared"
        )
        results.append(outcome(name, not common, common, 0, sentence))
    if not results:
        results = [skipped("no systems in common", "there are no two populations to compare")]
    report({"population": ", ".join(sorted(sketches)), "checks": results}, output)


def _comparable(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the systems of the smaller population that the sketch of the other would show.

    A sketch that is full says nothing of fingerprints beyond its last.
    """
    last = min((s[-1] for s in (one, other) if len(s) == SKETCH), default=None)
    return min(sum(last is None or value <= last for value in s) for s in (one, other))
