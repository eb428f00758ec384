"""Check images for duplicates and clipping, and labelled ones for shifted and leaking labels.

Works on every data set with the tables ``systems`` and ``cutouts``, simulated or ingested, a few
megabytes of images at a time. Exact and statistical checks are as in `lensmill.pipeline.checks`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtr
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from lensmill.cutouts import copies
from lensmill.imaging import quality
from lensmill.pipeline import checks, logs, splits, store
from lensmill.pipeline.streams import uniforms

PIECE = 1 << 25  # bytes of images read at a time
MAX_METADATA_AUROC = 0.6  # what is not in the image should say nothing; 0.1 for selection effects
MAX_IMAGE_AUROC = 0.8  # lensed light adds flux, so that brightness says something
MIN_CLASS_FRACTION = 0.01  # of the rarer class
MAX_CLIPPED = 0.01  # part of the images that may have a flat top or bottom
FLAT = 1e-3  # part of an image's pixels at its very highest or lowest value that is a flat top
FEWEST = 20  # systems of each class below which no classifier is tried
FOLDS = 5
# Known only because somebody knew the answer: no network will have them, and no check may use
# them. Every system of the challenge has an Einstein_area, non-lenses as well.
TRUTH = (
    *("theta_e", "q", "phi", "slope", "gamma1", "gamma2", "source_x", "source_y"),
    *("arc_snr", "arc_length", "n_images", "n_minima", "n_saddles", "magnification"),
    *("Einstein_area", "numb_pix_lensed_image", "flux_lensed_image_in_sigma"),
)
# Names, not properties; and what is measured on the pixels, which has a check of its own
NO_METADATA = (
    *("index", "is_lens", "label_known", "kind", "name", "file", "content_hash", "group", "snr"),
)
MEASURED = ("snr_", "sky_")  # columns of single bands begin with these
PAIR = tuple(  # columns of the list of copies
    f"{name}{end}" for end in ("", "_of_copy") for name in ("system", "index", "group", "label")
)
CATEGORIES = 32  # different texts up to which a column of text is one of classes
REDRAWN = 32  # systems that are simulated again
# ASSUME: more than this share of an image's pixels off the model by chi^2 means wrong noise or a
# wrong system; the mean of 4,096 squares of normal numbers is 1 +- 0.022.
CHI2 = 0.15
ROUNDED = 1e-3  # of a pixel: what it may change by is a thousandth of this, some units of 32 bits

NoiseFree = Callable[[NDArray, Mapping[str, Any]], tuple[NDArray, NDArray]]


class Numbers(NamedTuple):
    """Measurements of every image, each of shape (n,) or as said."""

    prints: NDArray  # uint64, see `fingerprints`
    signatures: NDArray  # (n, `copies.NUMBERS`) float32
    statistics: dict[str, NDArray]
    constant: NDArray  # bool: some band has one value only
    finite: NDArray  # bool
    flat_top: NDArray  # part of the pixels at the highest value of their band, worst band
    flat_bottom: NDArray
    system: NDArray  # int64, from the table of images


def fingerprints(pixels: NDArray) -> NDArray:
    """Return a 64-bit hash of every image that turning and mirroring it does not change.

    The sum over all pixels of a hash of the pixel's bits: two different images out of 10^7 agree
    with p = 3e-6, and an image agrees with its copies turned by 90 degrees, mirrored, or with the
    bands in another order.
    """
    value = np.ascontiguousarray(pixels, np.float32) + np.float32(0)  # -0 is 0
    hashes = pd.util.hash_array(value.reshape(-1), categorize=False)
    return hashes.reshape(len(pixels), -1).sum(axis=1)


def pieces(dataset: str) -> Iterator[tuple[NDArray, NDArray]]:
    """Read ``system`` and ``pixels`` of consecutive images, `PIECE` bytes at a time."""
    with h5py.File(dataset) as file:
        system, pixels = file["cutouts/system"], file["cutouts/pixels"]
        rows = max(1, PIECE // int(np.prod(pixels.shape[1:]) * pixels.dtype.itemsize))
        for start in logs.progress(range(0, len(pixels), rows), "check images"):
            yield system[start : start + rows], pixels[start : start + rows]


def measure(dataset: str) -> Numbers:
    """Measure all images of a data set; what the checks below work on."""
    parts = [_measure(system, pixels) for system, pixels in pieces(dataset)]
    names = parts[0].statistics
    return Numbers(
        *(
            {name: np.concatenate([p.statistics[name] for p in parts]) for name in names}
            if field == "statistics"
            else np.concatenate([getattr(part, field) for part in parts])
            for field in Numbers._fields
        )
    )


def _measure(system: NDArray, pixels: NDArray) -> Numbers:
    n, height, width, bands = pixels.shape
    flat = pixels.reshape(n, height * width, bands)
    low, high = flat.min(axis=1), flat.max(axis=1)
    top = (flat == high[:, None]).sum(axis=1)
    bottom = (flat == low[:, None]).sum(axis=1)
    finite = np.isfinite(flat).all(axis=(1, 2))
    # the checks that follow are about good images; the bad ones are counted on their own
    sane = np.where(finite[:, None, None, None], pixels, 0)
    mean = sane.mean(axis=(1, 2), dtype=np.float64)
    rows, columns = (slice(n // 4, n - n // 4) for n in (height, width))
    centre = sane[:, rows, columns].mean(axis=(1, 2), dtype=np.float64)
    sky = quality.sky_sigma(sane)
    border = sane[:, quality.border(height, width)].mean(axis=1, dtype=np.float64)
    noise = np.where(sky > 0, sky, 1.0)
    statistics = {}
    for band in range(bands):
        values = {
            "mean flux": mean,
            "highest value": sane.max(axis=(1, 2)).astype(np.float64),
            "sky noise": sky,
            "border mean": border,
            "mean flux over noise": mean / noise,
            "central flux over noise": centre / noise,
        }
        suffix = f" of band {band}" if bands > 1 else ""
        statistics |= {f"{name}{suffix}": column[:, band] for name, column in values.items()}
    size = height * width
    return Numbers(
        fingerprints(pixels),
        copies.signatures(sane),
        statistics,
        (low == high).any(axis=1),
        finite,
        np.where(top > 1, top, 0).max(axis=1) / size,  # one pixel is always the highest
        np.where(bottom > 1, bottom, 0).max(axis=1) / size,
        system,
    )


def _hashes(dataset: str) -> tuple[list[NDArray], NDArray]:
    """Return what identifies every image: its fingerprint, and the hash of its native pixels.

    And its signature, by which copies that differ in their numbers are looked for.
    """
    prints, signatures = [], []
    for _, pixels in pieces(dataset):
        prints.append(fingerprints(pixels))
        signatures.append(copies.signatures(np.nan_to_num(pixels, posinf=0, neginf=0)))
    keys = [np.concatenate(prints)]
    with h5py.File(dataset) as file:
        if "content_hash" in file["systems"]:
            keys.append(file["systems/content_hash"].asstr()[:])
    return keys, np.concatenate(signatures)


def copied(
    dataset: str,
    prints: NDArray,
    signatures: NDArray,
    systems: Mapping[str, NDArray],
    painted: bool = False,
) -> list[copies.Pair]:
    """Return all pairs of images of which one is a copy of the other, see `duplicates`.

    Those ``painted`` on the same hosts are near copies within a group by intention: only images
    that are the same to the bit are looked for there.
    """
    exact_of = {}
    for key in (prints, *(systems[k] for k in ("content_hash",) if k in systems)):
        _, first, member = np.unique(key, return_index=True, return_inverse=True)
        earlier = first[member]
        for row in np.flatnonzero(earlier != np.arange(len(key))).tolist():
            exact_of[row, int(earlier[row])] = True
    near = copies.candidates(signatures)
    if painted:
        near = near[systems["group"][near[:, 0]] != systems["group"][near[:, 1]]]
    near = np.array([p for p in near.tolist() if tuple(p) not in exact_of])
    pixels = store.memmap(dataset, "cutouts", "pixels")
    for pair in copies.pairs(near, pixels.__getitem__, pixels.__getitem__):
        exact_of[pair.row, pair.other] = pair.exact
    return [copies.Pair(*rows, exact) for rows, exact in sorted(exact_of.items())]


def duplicates(
    dataset: str,
    prints: NDArray | None = None,
    signatures: NDArray | None = None,
    painted: bool = False,
) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """Check that no image occurs twice, and none with both labels.

    Two images are the same if their native pixels are, or the ingested ones but for turning,
    mirroring, a gain and a shift by up to `copies.SHIFT` pixels. Copies that carry one group are
    declared as such: they fall into one part of the split, and only their labels must agree.
    ``prints`` and ``signatures`` spare reading the images again; ``painted`` as in `copied`.

    Returns
    -------
    checks, pairs : list
        The pairs of rows to blame: name, name of the copy, group and label of each.
    """
    systems = store.read(dataset, "systems")
    if len(systems["index"]) < 2:
        why = f"{len(systems['index'])} image has nothing to be compared with"
        return [checks.skipped(name, why) for name in ("no duplicates", "one label per image")], []
    if prints is None or signatures is None:
        (prints, *_), signatures = _hashes(dataset)
    n = len(systems["index"])
    group = systems["group"].astype(str) if "group" in systems else np.full(n, "")
    none = np.zeros(n, np.uint8)  # of an experiment that asks for no label
    known, label = systems.get("label_known", none) == 1, systems.get("is_lens", none)
    # images of one host may share their noise, as mocks upon the same sky do, and not their light
    linked = [
        p
        for p in copied(dataset, prints, signatures, systems, painted)
        if p.exact or not group[p.row] or group[p.row] != group[p.other]
    ]
    twice, both = [], []
    for rows in _families(linked, n):
        for k, i in enumerate(rows):
            before = rows[:k]
            other = [j for j in before if not group[i] or group[i] != group[j]]
            twice += [(i, other[0])] if other else []
            other = [j for j in before if known[i] and known[j] and label[i] != label[j]]
            both += [(i, other[0])] if other else []
    results = []
    for name, rule, wrong in (
        ("no duplicates", "occur twice", sorted(twice)),
        ("one label per image", "occur in both classes", sorted(both)),
    ):
        sentence = f"none of {n} images {rule}"
        if wrong:
            shown = ", ".join(f"{_name(systems, i)} = {_name(systems, j)}" for i, j in wrong[:3])
            sentence = f"{len(wrong)} of {n} images {rule} (first: {shown})"
        results.append(checks.outcome(name, not wrong, len(wrong), 0, sentence))
    if known.sum() < 2:
        results[-1] = checks.skipped(name, "fewer than two labels are known")

    def describe(row: int) -> list[str]:
        text = str(label[row]) if known[row] else ""
        return [_name(systems, row), str(systems["index"][row]), group[row], text]

    return results, [describe(i) + describe(j) for i, j in sorted({*twice, *both})]


def _families(linked: Sequence[copies.Pair], n: int) -> list[list[int]]:
    """Return the connected components of copies: rows of each image, in order."""
    if not linked:
        return []
    one, two = (np.array([pair[k] for pair in linked]) for k in (0, 1))
    graph = coo_array((np.ones(len(one), bool), (one, two)), shape=(n, n))
    _, family = connected_components(graph, directed=False)
    members: dict[int, list[int]] = {}
    for row in np.unique([one, two]).tolist():
        members.setdefault(int(family[row]), []).append(row)
    return list(members.values())


def shared(
    dataset: str, other: str, rows: NDArray | None = None, other_rows: NDArray | None = None
) -> list[dict[str, Any]]:
    """Check that two data sets (a training and a test sample) share neither image nor group.

    Images are the same as in `duplicates`. A group is that of the column, and the image that a
    system was cut from: mocks upon the corners of an image have its hash.

    Parameters
    ----------
    dataset, other : path
    rows, other_rows : array of int, optional
        The systems of each that are meant; all by default.
    """
    (mine, signatures), (theirs, of_other) = _hashes(dataset), _hashes(other)
    rows = np.arange(len(signatures)) if rows is None else rows
    other_rows = np.arange(len(of_other)) if other_rows is None else other_rows
    common = np.zeros(0, np.int64)
    for one, two in zip(mine, theirs, strict=False):
        common = np.union1d(common, rows[np.isin(one[rows], two[other_rows])])
    pixels, others = (store.memmap(d, "cutouts", "pixels") for d in (dataset, other))
    names = [str(store.attributes(d).get("population", "unnamed")) for d in (dataset, other)]
    alike = pixels.shape[1:] == others.shape[1:]
    if alike:
        near = copies.candidates(signatures[rows], of_other[other_rows])
        near = np.stack([rows[near[:, 0]], other_rows[near[:, 1]]], axis=1)
        near = near[~np.isin(near[:, 0], common)]
        near_pairs = copies.pairs(near, pixels.__getitem__, others.__getitem__)
        common = np.union1d(common, [pair.row for pair in near_pairs]).astype(np.int64)
    belongs = [_belongs(d, r) for d, r in ((dataset, rows), (other, other_rows))]
    in_both = np.zeros(len(rows), bool)
    for own in belongs[0]:
        in_both |= np.isin(own, sorted({*np.concatenate([*belongs[1], [""]])} - {""}))
    results = []
    for kind, thing, twins in (
        ("image", "images", common),
        ("group", "systems", rows[in_both]),
    ):
        sentence = f"{names[0]!r} and {names[1]!r} have no {kind} in common"
        if len(twins):
            systems = store.read(dataset, "systems")
            first = ", ".join(_name(systems, int(i)) for i in twins[:3])
            sentence = (
                f"{len(twins)} of {len(rows)} {thing} of {names[0]!r} are in {names[1]!r} "
                f"as well (first: {first})"
                if kind == "image"
                else f"{len(twins)} of {len(rows)} systems of {names[0]!r} belong to a group that "
                f"is in {names[1]!r} as well (first: {first})"
            )
        results.append(
            checks.outcome(f"no {kind} in both", not len(twins), len(twins), 0, sentence)
        )
    # images of unlike size can only be the same by their native pixels
    if not (len(rows) and len(other_rows)) or not (alike or min(len(mine), len(theirs)) > 1):
        shapes = pixels.shape[1:], others.shape[1:]
        why = f"images of {names[0]!r}, {shapes[0]}, and {names[1]!r}, {shapes[1]}, do not compare"
        results[0] = checks.skipped("no image in both", why)
    return results


def _belongs(dataset: str, rows: NDArray) -> list[NDArray]:
    """Return what systems belong to: their group, and the image that they were cut from."""
    group = splits.groups(dataset)
    owners = [] if group is None else [group[rows]]
    with h5py.File(dataset) as file:
        if "content_hash" in file["systems"]:
            owners.append(file["systems/content_hash"].asstr()[:].astype(str)[rows])
    return owners


def _name(systems: Mapping[str, NDArray], row: int) -> str:
    return str(systems["name"][row]) if "name" in systems else f"system {systems['index'][row]}"


def rows_belong_together(dataset: str, system: NDArray) -> dict[str, Any]:
    """Check that the images are those of the systems, in the same order."""
    index = store.read(dataset, "systems", ["index"])["index"]
    if len(index) == len(system) == 0:
        return checks.skipped("rows belong together", "there are no images")
    same = len(index) == len(system)
    wrong = int((index != system).sum()) if same else abs(len(index) - len(system))
    sentence = f"all of {len(index)} images are with their systems"
    if wrong and same:
        row = int(np.argmax(index != system))
        sentence = (
            f"{wrong} of {len(index)} images are of another system than their label (first: row "
            f"{row} is of system {system[row]} and has the label of {index[row]})"
        )
    elif wrong:
        sentence = f"there are {len(system)} images for {len(index)} systems"
    return checks.outcome("rows belong together", not wrong, wrong, 0, sentence)


def same_labels(dataset: str, reference: Mapping[str, int]) -> dict[str, Any]:
    """Check the labels against others, by name; names that only one of them has are passed over."""
    systems = store.read(dataset, "systems", ["name", "is_lens", "label_known"])
    known = systems["label_known"] == 1
    rows = np.array([i for i in np.flatnonzero(known) if systems["name"][i] in reference], int)
    expected = np.array([reference[systems["name"][i]] for i in rows], int)
    wrong = rows[systems["is_lens"][rows] != expected]
    if len(rows) == 0:
        why = f"none of {int(known.sum())} labelled systems has a name of the reference"
        return checks.skipped("labels by name", why)
    sentence = f"{len(rows)} labels agree with the reference"
    if len(wrong):
        names = ", ".join(systems["name"][wrong[:3]])
        sentence = f"{len(wrong)} of {len(rows)} labels contradict the reference (first: {names})"
    return checks.outcome("labels by name", not len(wrong), len(wrong), 0, sentence)


def labels_shifted(
    dataset: str, statistics: Mapping[str, NDArray], furthest: int = 1
) -> dict[str, Any]:
    """Check that labels belong to their own row better than to a neighbour's.

    What is measured on the images correlates with a right label at lag 0 and, where the order of
    the rows means nothing, not at others. If the correlation of some statistic at a lag up to
    ``furthest`` exceeds that at lag 0 by more than chance gives, labels were shifted against
    images. Rows that are sorted by class correlate at all lags alike: no shift can then be seen,
    and none is claimed.
    """
    systems = store.read(dataset, "systems", ["is_lens", "label_known"])
    name = "labels not shifted"
    label = np.where(systems["label_known"] == 1, systems["is_lens"].astype(float), np.nan)
    counts = _classes(systems)
    if counts.min() < FEWEST:
        return checks.skipped(name, f"fewer than {FEWEST} systems of each class are known")
    lags = [lag for lag in range(-furthest, furthest + 1) if lag]
    worst, at = 0.0, ("", 0)
    for statistic, values in statistics.items():
        ranks = rankdata(values)
        own = _correlation(ranks, label)
        for lag in lags:
            first, last = max(lag, 0), len(label) + min(lag, 0)
            other = _correlation(ranks[first:last], label[first - lag : last - lag])
            # independent rows: each correlation has a variance of 1 / n
            z = (abs(other) - abs(own)) * np.sqrt(counts.sum() / 2)
            if z > worst:
                worst, at = z, (statistic, lag)
    p = min(1.0, 2 * len(lags) * len(statistics) * ndtr(-worst))
    sentence = f"no statistic of {len(statistics)} fits the labels of a neighbour better (p = 1)"
    if worst:
        sentence = (
            f"{at[0]} fits the label of the row {abs(at[1])} {'before' if at[1] > 0 else 'after'} "
            f"better than its own by {worst:.1f} sigma (p = {p:.2g})"
        )
    return checks.outcome(name, p >= checks.FAIL, p, checks.FAIL, sentence, p < checks.FLAG)


def _correlation(values: NDArray, label: NDArray) -> float:
    known = np.isfinite(label)
    values, label = values[known], label[known]
    if len(label) < 2 or values.std() == 0 or label.std() == 0:
        return 0.0
    return float(np.corrcoef(values, label)[0, 1])


def balance(
    dataset: str, min_fraction: float = MIN_CLASS_FRACTION, one_class: bool = False
) -> dict[str, Any]:
    """Check that both classes are there; ``one_class`` if only one is meant to be."""
    others, lenses = (int(n) for n in _classes(store.read(dataset, "systems")))
    total = others + lenses
    name = "class balance"
    if total == 0:
        return checks.skipped(name, "no label is known")
    fraction = min(others, lenses) / total
    sentence = f"{lenses} of {total} labelled systems are lenses ({lenses / total:.1%})"
    if one_class:
        alike = min(others, lenses) == 0
        sentence += (
            ", all of one class as they should be" if alike else ", where one class is meant"
        )
        return checks.outcome(name, alike, fraction, 0, sentence)
    sentence += f"; the rarer class makes up {fraction:.2%} (limit {min_fraction:.2%})"
    passed = fraction >= min_fraction and fraction > 0
    return checks.outcome(name, passed, fraction, min_fraction, sentence)


def _classes(systems: Mapping[str, NDArray]) -> NDArray:
    known = systems["label_known"] == 1
    return np.bincount(systems["is_lens"][known], minlength=2)[:2]


def leaky_columns(
    dataset: str, limit: float = MAX_METADATA_AUROC, truth: Sequence[str] = TRUTH
) -> dict[str, Any]:
    """Check metadata for label leakage: what is not in the image must not give the label away.

    All columns of ``systems`` but ``truth``, names, and what was measured on the pixels: the
    size of the file, its pixel scale, what is masked, and all metadata. Columns of text count
    with their classes, and so does whether a number is known.
    """
    systems = store.read(dataset, "systems")
    columns = {}
    for name, values in systems.items():
        stem = name.removesuffix("_known").removesuffix("_table")
        if stem in truth or name in NO_METADATA or name.startswith(MEASURED):
            continue
        if values.dtype == object:
            texts, codes = np.unique(values.astype(str), return_inverse=True)
            if len(texts) > CATEGORIES:
                continue
            values = codes
        if values.ndim == 1:
            columns[name] = values.astype(np.float64)
    return separable("leaky columns", "metadata", columns, systems, limit)


def leaky_images(
    dataset: str, statistics: Mapping[str, NDArray], limit: float = MAX_IMAGE_AUROC
) -> dict[str, Any]:
    """Check flux, highest value and sky of the images for label leakage."""
    systems = store.read(dataset, "systems", ["is_lens", "label_known"])
    return separable("leaky brightness", "brightness and sky", dict(statistics), systems, limit)


def separable(
    name: str,
    source: str,
    columns: Mapping[str, NDArray],
    systems: Mapping[str, NDArray],
    limit: float,
) -> dict[str, Any]:
    """Check that trivial classifiers do not tell lenses by these columns alone.

    The better of a logistic regression and a tree of depth 4, cross-validated. A statistical
    check: it fails if the AUROC is above ``limit`` by more than 4.75 sigma (p < 1e-6) of an AUROC
    of that size (Hanley & McNeil 1982), and is flagged beyond 3 sigma.
    """
    known = systems["label_known"] == 1
    label = systems["is_lens"][known]
    others, lenses = _classes(systems)
    if min(others, lenses) < FEWEST:
        return checks.skipped(name, f"fewer than {FEWEST} systems of each class are known")
    varying = {n: v[known] for n, v in columns.items() if np.ptp(v[known]) > 0}
    if not varying:
        return checks.skipped(name, f"there is no {source} that varies")
    features = np.stack(list(varying.values()), axis=1)
    single = {n: _auroc(label, v) for n, v in varying.items()}
    best = max(single, key=lambda n: single[n])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    leaf = max(5, len(label) // 200)
    tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=leaf, random_state=0)
    # Ranks, so that one outlier does not decide. Equal values have equal ranks: the order of the
    # rows must not enter.
    guesses = (
        cross_val_predict(classifier, x, label, cv=folds, method="predict_proba")[:, 1]
        for classifier, x in ((linear, rankdata(features, axis=0)), (tree, features))
    )
    auroc = max(float(roc_auc_score(label, guess)) for guess in guesses)
    sigma = hanley_mcneil(limit, int(lenses), int(others))
    # no sample is above a limit of 1, whose AUROC would have no scatter
    p = float(ndtr(-(auroc - limit) / sigma)) if sigma > 0 else 1.0
    sentence = (
        f"{source} alone ({len(varying)} columns) tell lenses with AUROC {auroc:.3f} (limit "
        f"{limit:g}, sigma {sigma:.3f}); best single column: {best!r} with {single[best]:.3f}"
    )
    return checks.outcome(name, p >= checks.FAIL, auroc, limit, sentence, p < checks.FLAG)


def _auroc(label: NDArray, values: NDArray) -> float:
    """Return the AUROC of one column, whichever way it points."""
    auroc = float(roc_auc_score(label, values))
    return max(auroc, 1 - auroc)


def hanley_mcneil(auroc: float, lenses: int, others: int) -> float:
    """Return the standard error of an AUROC by Hanley & McNeil (1982)."""
    one, two = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    variance = (
        auroc * (1 - auroc) + (lenses - 1) * (one - auroc**2) + (others - 1) * (two - auroc**2)
    ) / (lenses * others)
    return float(np.sqrt(variance))


def clipping(numbers: Numbers, limit: float = MAX_CLIPPED) -> dict[str, Any]:
    """Check that few images have a flat top or bottom, as a clip to a fixed range leaves it."""
    clipped = np.maximum(numbers.flat_top, numbers.flat_bottom) > FLAT
    share = float(clipped.mean())
    mean = float(np.maximum(numbers.flat_top, numbers.flat_bottom).mean())
    sentence = (
        f"{int(clipped.sum())} of {len(clipped)} images have more than {FLAT:.1%} of their pixels "
        f"at their very highest or lowest value (limit {limit:.1%} of the images; {mean:.2%} of "
        "all pixels)"
    )
    return checks.outcome("clipping", share <= limit, share, limit, sentence)


def check(dataset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check a population of images, and labels if there are any, for ``checks.json``.

    Parameters
    ----------
    dataset : str
        File written by `lensmill.cutouts.ingest.ingest`, or of simulated images.
    settings : mapping
        Those of the population; used are ``label``, ``max_metadata_auroc``, ``max_image_auroc``
        and ``min_class_fraction``, each with a default here, and ``systems`` of a simulated one.

    Returns
    -------
    dict
        ``population``, ``dataset``, ``statistics``, ``checks`` (see `lensmill.pipeline.checks`),
        ``sketch`` and ``pairs`` of copies, a table with its header.
    """
    facts = store.attributes(dataset)
    systems = store.read(dataset, "systems")
    numbers = measure(dataset)
    columns = checks.Columns()
    columns.add("systems", systems)
    bad = checks.Wrong("finite pixels", "every pixel is finite")
    bad.add(~numbers.finite, systems["index"][: len(numbers.finite)])
    constant = checks.Wrong("constant images", "no band has one value only")
    constant.add(numbers.constant, systems["index"][: len(numbers.constant)])
    together = rows_belong_together(dataset, numbers.system)
    results = [_completeness(facts, systems, settings), together, columns.finite(), bad.outcome()]
    results += [constant.outcome(), clipping(numbers)]
    pairs: list[list[str]] = []
    if not checks.failed([together, bad.outcome()]):
        one_class = settings.get("label") is not None
        fewest = settings.get("min_class_fraction", MIN_CLASS_FRACTION)
        # all that a simulator records is the truth, but for what is masked
        simulated = {*systems} - {"masked_fraction"} if "systems" in settings else set()
        painted = "host" in settings
        copy_checks, pairs = duplicates(dataset, numbers.prints, numbers.signatures, painted)
        labelled = "is_lens" in systems
        results += copy_checks if labelled else copy_checks[:1]  # the second is about labels
        if labelled:
            results += [
                balance(dataset, fewest, one_class),
                labels_shifted(dataset, numbers.statistics),
                leaky_columns(
                    dataset,
                    settings.get("max_metadata_auroc", MAX_METADATA_AUROC),
                    (*TRUTH, *simulated),
                ),
                leaky_images(
                    dataset, numbers.statistics, settings.get("max_image_auroc", MAX_IMAGE_AUROC)
                ),
            ]
    columns.add("images", numbers.statistics)
    return {
        "population": str(facts.get("population", "unnamed")),
        "dataset": str(facts["content_digest"]),
        "statistics": columns.numbers(),
        "checks": results,
        "sketch": checks.sketch(numbers.prints),
        "pairs": [list(PAIR), *pairs],
    }


def _completeness(
    facts: Mapping[str, Any], systems: Mapping[str, NDArray], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Check that every candidate was used or refused, or that all simulated systems are there."""
    if "systems" in settings:
        rows, expected = len(systems["index"]), int(settings["systems"])
        sentence = f"{rows} systems are there of {expected} that were made"
        return checks.outcome(
            "systems in = systems out", rows == expected, rows, expected, sentence
        )
    expected, used, refused = (int(facts[k]) for k in ("candidates", "used", "refused"))
    rows = len(systems["index"])
    passed = expected == used + refused and used == rows
    sentence = f"{rows} of {expected} candidates are there and {refused} were refused"
    return checks.outcome("candidates = used + refused", passed, rows + refused, expected, sentence)


def redraw(
    dataset: str, settings: Mapping[str, Any], simulate: ModuleType, noise_free: NoiseFree
) -> list[dict[str, Any]]:
    """Simulate some systems again: same image, and its noise is what the observation says.

    Parameters
    ----------
    dataset : path
        A simulated population.
    settings : mapping
        What fixes it.
    simulate : module
        Of the experiment: its ``WIDTH`` and ``draw``.
    noise_free : callable
        ``noise_free(uniforms, settings)`` gives images without noise and the noise of every pixel,
        each of shape (n, size, size, bands).
    """
    facts = store.attributes(dataset)
    stream = int(facts["seed"]), str(facts["experiment"]), str(facts["population"])
    pixels = store.memmap(dataset, "cutouts", "pixels")
    again = checks.Worst(
        "drawn again", "the largest change of a pixel drawn again, in its noise,", 1e-3
    )
    chi2 = checks.Worst("noise", "|mean of (pixel - model)^2 / sigma^2 - 1|", CHI2)
    rows = np.unique(np.linspace(0, len(pixels) - 1, min(REDRAWN, len(pixels))).astype(int))
    for index in rows.tolist():
        numbers = uniforms(*stream, index, 1, simulate.WIDTH)
        model, sigma = noise_free(numbers, settings)
        new = simulate.draw(index, numbers, settings)["cutouts"]["pixels"]
        # On another type of processor a bright star changes by more than 1e-3 of its noise.
        scale = np.maximum(sigma[0], ROUNDED * np.abs(pixels[index]))
        again.add(np.abs((new[0] - pixels[index]) / scale).max()[None], np.array([index]))
        off = ((pixels[index] - model[0]) / sigma[0]) ** 2
        chi2.add(np.array([off.mean() - 1]), np.array([index]))
    if "background" in settings or settings["observation"].get("defects"):
        why = "real sky has neighbours in it, and defects are no noise"
        return [again.outcome(), checks.skipped("noise", why)]
    return [again.outcome(), chi2.outcome()]
