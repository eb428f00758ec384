"""Ingest a table of galaxies: fluxes or magnitudes as surveys write them in, AB maggies out.

What a column means, and which numbers in it say that nothing was observed, a few lines of the
configuration tell (`populations`). This is where outside data enter: everything is checked here,
and every row that is refused is named. The table is read twice, a piece at a time, so that 10^7
galaxies need no more memory than 10^5: first to judge it, then to write what is kept.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.photo_z import catalogues, simulate, units
from lensmill.pipeline import provenance, store

log = logging.getLogger(__name__)

SHOWN = 5  # rows of each fault that a message names
# Beyond it a table has no galaxies, but numbers in another unit.
BRIGHTEST, FAINTEST = 5.0, 45.0  # AB magnitude of a flux; of an error the fainter one
MAGNITUDES = (10.0, 35.0)  # where all numbers of a column of magnitudes lie
ENOUGH = 20  # rows by which a whole column can be judged
EXTRA = {"extra": "", "extra_known": ""}
UNITS = {
    "systems": simulate.UNITS["systems"] | {"group": ""} | EXTRA,
    "refused": {"row": "", "column": "", "reason": ""},
}


class Columns(NamedTuple):
    """The columns of a table that a population is made of."""

    numbers: list[str]
    texts: list[str]
    where: dict[str, str]  # by column: the setting that names it


class Piece(NamedTuple):
    """Some rows of a table, in our units."""

    flux: NDArray  # (n, B) [maggies]
    error: NDArray  # (n, B) [maggies]
    observed: NDArray  # (n, B) bool
    redshift: NDArray  # (n,)
    known: NDArray  # (n,) bool
    extra: NDArray  # (n, E)
    extra_known: NDArray  # (n, E) bool
    group: NDArray | None  # (n,) text


@dataclass
class Judge:
    """What is wrong with a table, added up piece by piece."""

    row: int = 0
    faults: dict[tuple[str, str], list] = field(default_factory=dict)
    refused: list[tuple[NDArray, str, str, NDArray]] = field(default_factory=list)
    kept: list[NDArray] = field(default_factory=list)
    whole: dict[str, NDArray] = field(default_factory=dict)

    def fault(self, column: str, remedy: str, wrong: NDArray, values: NDArray) -> None:
        """Note rows of a column that make the table unusable."""
        if wrong.any():
            seen = self.faults.setdefault((column, remedy), [0, []])
            seen[0] += int(wrong.sum())
            rows = np.flatnonzero(wrong)[: SHOWN - len(seen[1])]
            seen[1] += [f"row {self.row + i}: {values[i]:.6g}" for i in rows.tolist()]

    def count(self, column: str, *flags: NDArray) -> None:
        """Add up in how many rows a column is suspicious, each way."""
        sums = np.array([int(flag.sum()) for flag in flags])
        self.whole[column] = self.whole.get(column, np.zeros(len(flags), int)) + sums

    def leave_out(
        self, kept: NDArray, column: str, wrong: NDArray, why: str, values: NDArray
    ) -> None:
        """Refuse single rows; `named` names each."""
        rows = np.flatnonzero(wrong & kept)
        if rows.size:
            self.refused.append((self.row + rows, column, why, values[rows]))
        kept &= ~wrong

    def named(self) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
        """Yield rows that are refused, with the column and the reason of each, piece by piece."""
        for rows, column, why, values in self.refused:
            reasons = np.array([why.format(value) for value in values.tolist()], object)
            yield rows, np.full(len(rows), column, object), reasons

    def count_refused(self) -> int:
        """Count the rows that are refused."""
        return sum(len(rows) for rows, *_ in self.refused)

    def sentences(self) -> list[str]:
        """Say what is wrong, by column, with the rows."""
        return [
            f"column {column!r}: {count} row{'s' * (count > 1)} ({', '.join(rows)}"
            f"{', ...' if count > len(rows) else ''}): {remedy}"
            for (column, remedy), (count, rows) in self.faults.items()
        ]


def ingest(
    source: str, output: str, population: str, experiment: str, settings: Mapping[str, Any]
) -> None:
    """Check a table of galaxies and store it as a population.

    Rows are counted from 0. A row of unknown redshift is kept with ``redshift_known`` 0; one whose
    redshift lies beyond ``redshift_range``, or which is observed in no band, is refused by itself,
    and named in the table ``refused`` of the output. Anything else that cannot be (negative errors,
    magnitudes given as fluxes, columns that are swapped) refuses the whole table.

    Parameters
    ----------
    source : path
        FITS, HDF5, Parquet, CSV or ECSV, see `catalogues.open_table`.
    output : path
        HDF5 file with the table ``systems`` of `simulate.UNITS`; if the settings ask for them also
        with the columns ``group`` (text), and ``extra`` and ``extra_known``, shape (n, E), whose
        names are the attribute ``extra``. What is not known is 0.
    population, experiment : str
        Names, stored with the file.
    settings : mapping
        Those of the population (``schema.yaml``), with its whole ``observation``.

    Raises
    ------
    ValueError
        With everything that is wrong with the table: column, number of rows, the first of them
        with their values, and what to do.
    """
    try:
        table = catalogues.open_table(source, settings["table"])
        columns = columns_of(settings, population)
        if problems := catalogues.check_columns(table, columns.where):
            raise ValueError("\n  ".join(problems))
        judge = _judge(table, columns, settings)
    except ValueError as error:
        raise ValueError(f"{source} refused: {error}") from error
    kept = np.concatenate(judge.kept) if judge.kept else np.zeros(0, bool)
    _report(source, judge, kept)
    facts = {"population": population, "experiment": experiment} | provenance.source(Path(source))
    facts |= {"bands": json.dumps([*settings["observation"]["bands"]])}
    facts |= {"extra": json.dumps(settings["extra"])} if settings["extra"] else {}
    facts |= {"candidates": len(kept), "used": int(kept.sum()), "refused": judge.count_refused()}
    pieces = _pieces(table, columns, settings)
    with store.create(output) as file:
        _write(file, pieces, kept, settings)
        _write_refused(file, judge)
        file.attrs.update(provenance.attributes(settings, **facts))
        file.attrs["content_digest"] = store.content_digest(file)
    log.info("%s: %d galaxies of %d rows", source, kept.sum(), len(kept))


def columns_of(settings: Mapping[str, Any], population: str = "") -> Columns:
    """List the columns that the settings of a population name, and where they do."""
    numbers: dict[str, str] = {}
    for name, band in settings["bands"].items():
        for key in ("value", "error", "ivar", "extinction"):
            if band.get(key) is not None:
                numbers[band[key]] = f"{population}.bands.{name}.{key}"
    if settings["redshift"] is not None:
        numbers[settings["redshift"]] = f"{population}.redshift"
    numbers |= {column: f"{population}.extra" for column in settings["extra"]}
    texts = {}
    if settings["group"] is not None:
        texts[settings["group"]] = f"{population}.group"
    return Columns([*numbers], [*texts], numbers | texts)


def _judge(table: catalogues.Catalogue, columns: Columns, settings: Mapping[str, Any]) -> Judge:
    """Read a table once and say what is wrong with it; raise if that cannot be mended."""
    judge = Judge()
    low, high = settings["redshift_range"]
    for piece in _pieces(table, columns, settings, judge):
        kept = np.ones(len(piece.redshift), bool)
        z = piece.redshift
        outside = piece.known & ~((z >= low) & (z <= high))
        why = f"{{:g}} is not between {low:g} and {high:g}"
        judge.leave_out(kept, settings["redshift"] or "", outside, why, z)
        nothing = ~piece.observed.any(axis=1)
        judge.leave_out(kept, "", nothing, "observed in no band", z)
        judge.kept.append(kept)
        judge.row += len(kept)
    problems = judge.sentences() + _whole_columns(judge, settings)
    if problems:
        raise ValueError("\n  ".join(problems))
    if not judge.row:
        raise ValueError("it has no rows")
    return judge


def _pieces(
    table: catalogues.Catalogue,
    columns: Columns,
    settings: Mapping[str, Any],
    judge: Judge | None = None,
) -> Iterator[Piece]:
    """Read a table piece by piece, in our units."""
    judge = judge or Judge()
    for cells in table.pieces(columns.numbers, columns.texts):
        yield _convert(cells, settings, judge)


def _convert(cells: dict[str, NDArray], settings: Mapping[str, Any], judge: Judge) -> Piece:
    n = len(next(iter(cells.values())))
    names = [*settings["observation"]["bands"]]
    flux, error = np.zeros((2, n, len(names)))
    observed = np.zeros((n, len(names)), bool)
    for k, name in enumerate(names):
        if name in settings["bands"]:
            band = settings["bands"][name]
            band = band | {"missing": [*band["missing"], *settings["missing"]]}
            flux[:, k], error[:, k], observed[:, k] = _photometry(cells, band, judge)
    redshift, known = np.zeros(n), np.zeros(n, bool)
    if settings["redshift"] is not None:
        redshift, known = _known(cells[settings["redshift"]], settings["missing"])
    extra = np.zeros((n, len(settings["extra"])))
    extra_known = np.zeros(extra.shape, bool)
    for k, name in enumerate(settings["extra"]):
        extra[:, k], extra_known[:, k] = _known(cells[name], settings["missing"])
    group = cells[settings["group"]] if settings["group"] is not None else None
    return Piece(flux, error, observed, redshift, known, extra, extra_known, group)


def _known(values: NDArray, missing: list[float]) -> tuple[NDArray, NDArray]:
    """Return a column with 0 where nothing is known, and where something is."""
    known = np.isfinite(values) & ~_is_any_of(values, missing)
    return np.where(known, values, 0.0), known


def _is_any_of(values: NDArray, marks: list[float]) -> NDArray:
    # columns of 4-byte numbers hold marks such as -99.99 only to seven digits
    found = np.zeros(len(values), bool)
    for mark in marks:
        found |= np.abs(values - mark) <= 1e-6 * abs(mark)
    return found


def _photometry(
    cells: dict[str, NDArray], band: Mapping[str, Any], judge: Judge
) -> tuple[NDArray, NDArray, NDArray]:
    """Return flux and error of a band [maggies], and where it is observed; note what is wrong."""
    value = cells[band["value"]]
    spread = cells[band.get("error") or band["ivar"]]
    column = band.get("error") or band["ivar"]
    observed = np.isfinite(value) & np.isfinite(spread)
    for values in (value, spread):
        observed &= ~_is_any_of(values, band["missing"])
    if band.get("ivar") is not None:
        what, least = "an inverse variance", "0, which means not observed, or more"
        observed &= spread != 0
    else:
        what, least = "an error (1 sigma)", "above 0"
    judge.fault(
        column,
        f"{what} must be {least}; if this number says that nothing was observed, list it under "
        f"`missing`, and look whether {band['value']!r} and {column!r} are swapped",
        observed & (spread <= 0),
        spread,
    )
    observed &= spread > 0
    safe = np.where(observed, spread, 1.0)
    error = 1 / np.sqrt(safe) if band.get("ivar") is not None else safe
    value = np.where(observed, value, 0.0)
    linear = band["unit"] in units.FLUXES
    if not linear:
        low, high = BRIGHTEST, FAINTEST
        bad = observed & ~((value >= low) & (value <= high))
        judge.fault(
            band["value"],
            f"a magnitude must lie between {low:g} and {high:g}; if the column holds fluxes say so "
            "in `unit`, and list what stands for 'not observed' under `missing`",
            bad,
            value,
        )
        value = np.where(bad, 20.0, value)
    flux, error = units.to_maggies(value, error, band)
    if band["extinction"] is not None:
        taken = cells[band["extinction"]] * band["extinction_factor"]
        bad = observed & ~((taken >= 0) & (taken <= 10))
        judge.fault(
            band["extinction"],
            "an extinction [mag] must lie between 0 and 10; if it is E(B - V), say with "
            "`extinction_factor` what it is times that",
            bad,
            taken,
        )
        factor = 10 ** (0.4 * np.where(observed & ~bad, taken, 0.0))
        flux, error = flux * factor, error * factor
    if linear:
        judge.fault(
            band["value"],
            f"in {band['unit']} this is brighter than magnitude {BRIGHTEST:g}; if the column holds "
            "magnitudes say so in `unit`, else correct `unit` or `zero_point`, and list what "
            "stands for 'not observed' under `missing`",
            observed & (np.abs(flux) > 10 ** (-0.4 * BRIGHTEST)),
            value,
        )
    judge.fault(
        column,
        f"in {band['unit']} this error is fainter than magnitude {FAINTEST:g}; correct `unit` or "
        "`zero_point`, or list the number under `missing`",
        observed & (error < 10 ** (-0.4 * FAINTEST)),
        spread,
    )
    snr = flux / error
    if band["min_snr"] is not None:
        observed &= snr >= band["min_snr"]
    inside = (value > MAGNITUDES[0]) & (value < MAGNITUDES[1])
    # between 0 and 0.1 sigma lie 4 in 100 fluxes that are nothing but noise
    tiny = (snr > 0) & (snr < 0.1) if linear else np.zeros(len(value), bool)
    judge.count(band["value"], observed, observed & inside, observed & tiny)
    return np.where(observed, flux, 0.0), np.where(observed, error, 0.0), observed


def _whole_columns(judge: Judge, settings: Mapping[str, Any]) -> list[str]:
    """Say which columns as a whole are not what they are said to be."""
    problems = []
    fluxes = [b for b in settings["bands"].values() if b["unit"] in units.FLUXES]
    counts = [judge.whole.get(band["value"], np.zeros(3, int)) for band in fluxes]
    # Single bands of bright samples may lie there: nanomaggies of one magnitude, say.
    if fluxes and all(n >= ENOUGH and inside == n for n, inside, _ in counts):
        columns = ", ".join(repr(band["value"]) for band in fluxes)
        problems.append(
            f"columns {columns}: all numbers of all fluxes lie between {MAGNITUDES[0]:g} and "
            f"{MAGNITUDES[1]:g}, as magnitudes do; say `unit: ab`, `vega` or `asinh`"
        )
    for band, (n, _, tiny) in zip(fluxes, counts, strict=True):
        if n >= ENOUGH and tiny > n / 2:
            error = band.get("error") or band["ivar"]
            problems.append(
                f"columns {band['value']!r} and {error!r}: {tiny} of {n} fluxes are positive and "
                "below a tenth of their error, which no noise does; the two columns are swapped, "
                "or an error is given as `ivar` or the other way round"
            )
    return problems


def _report(source: str, judge: Judge, kept: NDArray) -> None:
    """Log what was refused; raise if nothing is left."""
    refused = judge.count_refused()
    first = next(judge.named(), ([], [], []))
    for row, column, reason in [*zip(*first, strict=True)][:SHOWN]:
        log.warning("row %d, column %r: refused, %s", row, column, reason)
    if refused > SHOWN:
        log.warning("%d rows are refused; the table `refused` names all", refused)
    if not kept.any():
        row, column, reason = next(zip(*first, strict=True))
        raise ValueError(
            f"{source} refused: none of {len(kept)} rows can be used (row {row}, column "
            f"{column!r}: {reason})"
        )


def _write_refused(file: h5py.File, judge: Judge) -> None:
    """Write the table of refused rows, piece by piece."""
    kinds = {"row": np.int64, "column": h5py.string_dtype(), "reason": h5py.string_dtype()}
    table = file.create_group("refused")
    for name, kind in kinds.items():
        table.create_dataset(name, (judge.count_refused(),), kind).attrs["unit"] = ""
    start = 0
    for columns in judge.named():
        stop = start + len(columns[0])
        for name, values in zip(kinds, columns, strict=True):
            table[name][start:stop] = values
        start = stop


def _write(
    file: h5py.File, pieces: Iterator[Piece], kept: NDArray, settings: Mapping[str, Any]
) -> None:
    """Write the rows that are kept, piece by piece."""
    n, bands = int(kept.sum()), len(settings["observation"]["bands"])
    shapes = {
        "index": ((n,), np.int64),
        "redshift": ((n,), np.float64),
        "redshift_known": ((n,), np.uint8),
        "flux": ((n, bands), np.float64),
        "flux_error": ((n, bands), np.float64),
        "observed": ((n, bands), np.uint8),
    }
    if settings["extra"]:
        shapes["extra"] = ((n, len(settings["extra"])), np.float64)
        shapes["extra_known"] = ((n, len(settings["extra"])), np.uint8)
    if settings["group"] is not None:
        shapes["group"] = ((n,), h5py.string_dtype())
    systems = file.create_group("systems")
    for name, (shape, kind) in shapes.items():
        systems.create_dataset(name, shape, kind).attrs["unit"] = UNITS["systems"][name]
    start = first = 0
    for piece in pieces:
        rows = kept[first : first + len(piece.redshift)]
        first += len(rows)
        count = int(rows.sum())
        values = {
            "index": np.arange(start, start + count),
            "redshift": piece.redshift[rows],
            "redshift_known": piece.known[rows],
            "flux": piece.flux[rows],
            "flux_error": piece.error[rows],
            "observed": piece.observed[rows],
            "extra": piece.extra[rows],
            "extra_known": piece.extra_known[rows],
            "group": None if piece.group is None else piece.group[rows],
        }
        for name in shapes:
            systems[name][start : start + count] = values[name]
        start += count
