"""Judge a network on a population: how lens finders are judged, which lenses are lost, and why."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from lensmill.cutouts import checks as image_checks
from lensmill.experiments.lens_finding import network as networks
from lensmill.experiments.lens_finding import simulate
from lensmill.experiments.lens_finding.sky import KINDS, REAL
from lensmill.learning import detection
from lensmill.learning.detection import Undefined
from lensmill.pipeline import provenance, store, streams
from lensmill.pipeline.splits import TEST

log = logging.getLogger(__name__)

DEFAULTS: dict[str, Any] = {
    "bootstraps": 500,
    "prevalences": [1e-3, 1e-4],
    "calibration_bins": 10,
    "selection_bins": 8,
}
UNSEEN = 2**40  # first index of systems that are of a population, but in no data set
FPR = 0.01  # false-positive rate at which completeness is quoted
COARSEST = 6  # pixels of the image that one of the maps behind Grad-CAM stands for, at most
WARM_UP = 64  # images scored before the clock runs: the first call compiles
CURVE_POINTS = 200  # of a curve in the scores; all of them can be had from the predictions
BINNED_BY = ("theta_e", "arc_snr", "arc_length", "snr")
# What predictions copy from the data set, where it has them: column, unit.
COPIED = {
    "theta_e": "arcsec",
    "slope": "",
    "snr": "",
    "arc_snr": "",
    "arc_length": "arcsec",
    "n_images": "",
    "n_minima": "",
    "n_saddles": "",
}
COUNTS = ("n_images", "n_minima", "n_saddles")
UNITS = {
    "systems": {
        **dict.fromkeys(("index", "is_lens", "label_known", "kind", "logit", "score"), ""),
        **COPIED,
    }
}


def evaluate(
    model: str,
    training: str,
    dataset: str,
    split: str | None,
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    predictions: str,
    scores: str,
    network: str,
    population: str,
    reference: str | None = None,
    learned: str | None = None,
    learned_split: str | None = None,
) -> None:
    """Judge a network on the test systems of a population, or on all images of an ingested one.

    Parameters
    ----------
    model, training : path
        As `lensmill.experiments.lens_finding.network.train` wrote them.
    dataset : path
        The population.
    split : path or None
        Its split, of which the test part is used; None for a population that no part of was
        learned from.
    settings : mapping
        ``bootstraps`` that the error of the AUROC is made of, ``prevalences`` of lenses in a
        survey, ``calibration_bins`` and ``selection_bins``. What is left out is in ``DEFAULTS``;
        other keys are left alone.
    seed : int
        Fixes the bootstrap samples.
    threads : int
        Threads of the backend.
    predictions, scores : path
        Written: table ``systems`` (HDF5) and the scores (JSON). Scores that these systems do not
        define are null, and ``undefined`` says why. Thresholds are logits; the root attribute
        ``threshold`` of the predictions is the one that completeness is quoted at (nan: none).
    network, population : str
        Names of the network and of the population.
    reference : path, optional
        Scores of the network on the population that it was trained on. Their threshold for a
        false-positive rate of 1 % is what a survey would use; it also stands in where a population
        has too few non-lenses to set its own.
    learned : path, optional
        A data set that the network learned from and that may share images or groups with this
        one: real images, or mocks upon real sky.
    learned_split : path, optional
        Its split, whose test part the network has not seen.

    Raises
    ------
    ValueError
        If split, images and systems do not belong together, no system is left, the network learned
        from some of these images or their groups, or it does not give a finite logit for every one.
    """
    systems, rows = _systems(dataset, split)
    if learned is not None:
        seen = None
        if learned_split is not None:
            seen = np.flatnonzero(store.read(learned_split, "systems")["split"] != TEST)
        for found in image_checks.shared(dataset, learned, rows, seen):
            if found["passed"] is False:
                raise ValueError(
                    f"{found['sentence']}, from which {network} learned; take them out of one, or "
                    "set group: in both to a column that names what they have in common, so that "
                    "the test part is judged"
                )
    trained = networks.load(model, training, threads)
    pixels = store.memmap(dataset, "cutouts", "pixels")
    networks.predict(trained, pixels, rows[:WARM_UP])
    begun = time.monotonic()
    logit = np.asarray(networks.predict(trained, pixels, rows), np.float64)
    seconds = time.monotonic() - begun
    bad = ~np.isfinite(logit)
    if bad.any():
        raise ValueError(
            f"{model} gives no finite logit for {bad.sum()} of {bad.size} images of {dataset} "
            f"(first: index {systems['index'][bad.argmax()]}); did its training diverge, or do the "
            "images hold what is not finite?"
        )
    record = trained.training
    facts = {
        "network": network,
        "population": population,
        "train_on": record["population"],
        "architecture": record["architecture"],
        "network_seed": record["settings"]["seed"],
        "train_prevalence": _prevalence(record),
        "parameters": record["parameters"],
        "train_seconds": record["seconds"],
        "train_cpu_seconds": record["cpu_seconds"],
        "threads": threads,
        "seconds": round(seconds, 3),
    }
    digest = store.attributes(dataset)["content_digest"]
    _write(systems, logit, facts, settings, seed, reference, predictions, scores, digest)


def combine(
    members: list[str],
    settings: Mapping[str, Any],
    seed: int,
    predictions: str,
    scores: str,
    network: str,
    population: str,
    reference: str | None = None,
) -> None:
    """Judge several networks together, by the mean of their logits.

    Parameters
    ----------
    members : list of path
        The ``predictions.h5`` of each on the same systems.
    settings, seed, predictions, scores, network, population, reference
        As in `evaluate`; the reference is that of the ensemble.

    Raises
    ------
    ValueError
        If the members did not score the same systems.
    """
    tables = [store.read(path, "systems") for path in members]
    for path, table in zip(members, tables, strict=True):
        if not np.array_equal(table["index"], tables[0]["index"]):
            raise ValueError(f"{path} and {members[0]} are not predictions of the same systems")
    about = [store.attributes(path) for path in members]
    facts = {"network": network, "population": population, "members": len(members)}
    facts |= {key: about[0][key] for key in ("train_on", "architecture", "train_prevalence")}
    summed = ("parameters", "train_seconds", "train_cpu_seconds", "seconds")
    facts |= {key: sum(one[key].item() for one in about) for key in summed}
    logit = np.mean([table["logit"] for table in tables], axis=0)
    digest = about[0]["dataset"]
    _write(tables[0], logit, facts, settings, seed, reference, predictions, scores, digest)


def _prevalence(record: Mapping[str, Any]) -> float:
    """Return the fraction of lenses that a network's probabilities are for."""
    # ASSUME: focal loss and hard negatives bend probabilities too, which no change of prior undoes;
    # calibration then shows it. Ranks, thresholds and purity do not depend on it.
    balanced = record["settings"]["class_weight"] == "balanced"
    return 0.5 if balanced else record["lenses"] / record["systems"]


def _systems(dataset: str, split: str | None) -> tuple[dict[str, NDArray], NDArray]:
    """Return what is known of the systems to judge by, and their rows in the data set."""
    with h5py.File(dataset) as file:
        have = [name for name in COPIED if name in file["systems"]]
    systems = store.read(dataset, "systems", ["index", "is_lens", "label_known", "kind", *have])
    if not np.array_equal(store.read(dataset, "cutouts", ["system"])["system"], systems["index"]):
        raise ValueError(f"{dataset}: images and systems are not in the same order; make it anew")
    rows = np.arange(len(systems["index"]))
    if split is not None:
        labels = store.read(split, "systems")
        if not np.array_equal(labels["index"], systems["index"]):
            raise ValueError(f"{split} is not the split of {dataset}: the systems differ")
        rows = np.flatnonzero(labels["split"] == TEST)
    if not rows.size:
        raise ValueError(
            f"{dataset} has {len(systems['index'])} systems, but none of them is for the test: "
            "simulate or ingest more, or give it a larger share in split.blocks"
        )
    chosen = {name: values[rows] for name, values in systems.items()}
    for name in COPIED:
        kind = np.int64 if name in COUNTS else np.float64
        chosen[name] = chosen.get(name, np.zeros(rows.size)).astype(kind)
    return chosen, rows


def _write(
    systems: Mapping[str, NDArray],
    logit: NDArray,
    facts: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int,
    reference: str | None,
    predictions: str,
    scores: str,
    digest: str,
) -> None:
    settings = {**DEFAULTS, **settings}
    systems = {name: systems[name] for name in UNITS["systems"] if name in systems}
    systems |= {"logit": logit, "score": special.expit(logit)}
    given = json.loads(Path(reference).read_text()) if reference else None
    found = judge(systems, settings, seed, given)
    threshold = np.nan if found["threshold"] is None else found["threshold"]
    used = ("bootstraps", "prevalences", "calibration_bins", "selection_bins")
    attributes = provenance.attributes(
        {key: settings[key] for key in used},
        **facts,
        experiment="lens_finding",
        seed=seed,
        threshold=threshold,
        threshold_from=found["threshold_from"],
        dataset=digest,
    )
    store.write(predictions, {"systems": systems}, UNITS, attributes)
    speed = {"images_per_second": round(logit.size / max(facts["seconds"], 1e-3), 1)}
    Path(scores).write_text(json.dumps({**facts, **speed, **found}, indent=1, allow_nan=False))


def judge(
    systems: Mapping[str, NDArray],
    settings: Mapping[str, Any],
    seed: int,
    reference: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return all scores of a table of predictions.

    Parameters
    ----------
    systems : mapping of array, shape (n,)
        The columns of ``UNITS["systems"]``.
    settings, seed : mapping, int
        As in `evaluate`.
    reference : mapping, optional
        The scores that the threshold of a survey is taken from.

    Returns
    -------
    dict
        Numbers, and by name: ``intervals`` (68 %), ``undefined`` (reasons), ``confusion``,
        ``by_kind`` of non-lens, ``completeness_by`` property of the lens, ``by_images``,
        ``visible_images``, ``survey`` by prevalence, ``calibration``, ``curves`` and
        ``thresholds_fpr_1e-2``, equally probable values of that threshold if there is one.

        ``intervals`` hold the scatter of the threshold, also of one that other non-lenses have
        set. Those by kind, property, number of images and prevalence are for the threshold as it
        stands: its scatter moves all of them together.
    """
    known = systems["label_known"] == 1
    table = {name: values[known] for name, values in systems.items()}
    is_lens, logit = table["is_lens"], table["logit"]
    lens = is_lens == 1
    snr = table["arc_snr"][lens]
    reasons: dict[str, str] = {}
    intervals: dict[str, list[float]] = {}

    def value(name: str, metric: Callable, *arguments: Any) -> Any:
        try:
            found = metric(*arguments)
        except Undefined as reason:
            reasons[name] = str(reason)
            return None
        if isinstance(found, detection.Rate):
            intervals[name] = [found.low, found.high]
            return found.value
        return found

    scores: dict[str, Any] = {
        "systems": len(known),
        "lenses": int(lens.sum()),
        "non_lenses": int((~lens).sum()),
        "unlabelled": int((~known).sum()),
    }
    ours = (is_lens, logit)
    scores["auroc"] = value("auroc", detection.auroc, *ours)
    error = value("auroc_error", detection.auroc_error, *ours, seed, settings["bootstraps"])
    scores["auroc_error"] = error
    scores["tpr0"] = value("tpr0", detection.tpr0, *ours)
    scores["tpr10"] = value("tpr10", detection.tpr10, *ours)
    for text, fpr in (("1e-2", FPR), ("1e-3", FPR / 10)):
        name = f"fpr_{text}"
        scores[f"tpr_{name}"] = value(f"tpr_{name}", detection.tpr_at_fpr, *ours, fpr)
        threshold = value(f"threshold_{name}", detection.threshold_at_fpr, *ours, fpr)
        scores[f"threshold_{name}"] = threshold

    threshold, source = scores["threshold_fpr_1e-2"], "own"
    possible = None  # equally probable values of the threshold
    if threshold is not None:
        possible = detection.thresholds(*ours, detection.allowed(is_lens, FPR)).tolist()
        scores["thresholds_fpr_1e-2"] = possible
    if reference is not None:
        from_reference = reference["threshold_fpr_1e-2"]
        if from_reference is None:
            reasons["completeness_reference"] = reference["undefined"]["threshold_fpr_1e-2"]
            scores |= {"completeness_reference": None, "false_positive_rate_reference": None}
        else:
            theirs = reference["thresholds_fpr_1e-2"]
            for name, rate in _rates("_reference", *ours, from_reference, theirs, theirs).items():
                scores[name] = value(name, rate)
            if threshold is None:
                threshold, source, possible = from_reference, "reference", theirs
    scores |= {"threshold": threshold, "threshold_from": source if threshold is not None else ""}
    if threshold is None:
        threshold = 0.0  # probability of one half: what is left where nothing sets another
        reasons["threshold"] = f"{reasons['threshold_fpr_1e-2']}; rates are those above 0.5"
    foreign = possible if source == "reference" else None
    for name, rate in _rates("", *ours, threshold, possible, foreign).items():
        scores[name] = value(name, rate)

    scores["ideal_auroc"] = value("ideal_auroc", _ideal, detection.ideal_auroc, snr)
    bound = value("ideal_auroc_bound", _ideal, detection.ideal_auroc_bound, snr)
    scores["ideal_auroc_bound"] = bound
    scores["ideal_completeness"] = value("ideal_completeness", _ideal, _mean_ideal, snr)
    bins = settings["calibration_bins"]
    calibrated = value("calibration_error", _calibration, is_lens, table["score"], bins)
    scores["calibration_error"] = calibrated[0] if calibrated else None

    scores["confusion"] = {
        "score above 0.5": detection.confusion(*ours, 0.0)._asdict(),
        "threshold": detection.confusion(*ours, threshold)._asdict(),
    }
    scores["by_kind"] = _by_kind(table, threshold)
    found = logit[lens] > threshold
    lenses = {name: values[lens] for name, values in table.items()}
    scores["completeness_by"] = {
        name: _binned(lenses[name], found, snr, settings["selection_bins"])
        for name in BINNED_BY
        if lenses[name].any()
    }
    scores["by_images"] = _by_images(lenses, found, logit[~lens])
    scores["visible_images"] = visible_images(lenses)
    scores["survey"] = _survey(is_lens, logit, threshold, settings["prevalences"])
    scores["calibration"] = calibrated[1] if calibrated else None
    scores["curves"] = _thinned(detection.curves(*ours)) if len(logit) else None
    scores["intervals"] = intervals
    scores["undefined"] = reasons
    return scores


def _rates(
    suffix: str,
    is_lens: NDArray,
    logit: NDArray,
    threshold: float,
    possible: list[float] | None,
    foreign: list[float] | None,
) -> dict[str, Callable]:
    """Return functions for completeness and false-positive rate above a threshold.

    ``possible`` are equally probable values of it, and so are ``foreign`` if other non-lenses than
    these have set it.
    """
    return {
        f"completeness{suffix}": lambda: detection.tpr_above(is_lens, logit, threshold, possible),
        f"false_positive_rate{suffix}": lambda: detection.fpr_above(
            is_lens, logit, threshold, foreign
        ),
    }


def _ideal(metric: Callable, snr: NDArray) -> float:
    if not snr.any():
        raise Undefined("the S/N of the arcs is not known")
    return metric(snr)


def _mean_ideal(snr: NDArray) -> float:
    return float(detection.ideal_completeness(snr, FPR).mean())


def _calibration(is_lens: NDArray, score: NDArray, bins: int) -> tuple[float, dict[str, list]]:
    detection.auroc(is_lens, score)  # undefined if there is but one kind
    error = detection.expected_calibration_error(is_lens, score, bins)
    return error, _lists(detection.reliability(is_lens, score, bins)._asdict())


def _by_kind(table: Mapping[str, NDArray], threshold: float) -> dict[str, dict[str, Any]]:
    """Rate of false positives among each kind of non-lens, and the AUROC of lenses against it."""
    lens = table["is_lens"] == 1
    found = {}
    for kind in np.unique(table["kind"][~lens]):
        of_kind = ~lens & (table["kind"] == kind)
        alarms = int((table["logit"][of_kind] > threshold).sum())
        rate = detection.binomial(alarms, int(of_kind.sum()))
        both = lens | of_kind
        some = lens.any()
        found["real" if kind == REAL else KINDS[kind]] = {
            "systems": int(of_kind.sum()),
            "false_alarms": alarms,
            "false_positive_rate": rate.value,
            "interval": [rate.low, rate.high],
            "auroc": detection.auroc(lens[both], table["logit"][both]) if some else None,
        }
    return found


def _binned(values: NDArray, found: NDArray, snr: NDArray, bins: int) -> dict[str, list]:
    """Completeness in bins of equal numbers of lenses, and that of the ideal observer."""
    edges = detection.equal_bins(values, bins)
    if edges.size < 2:  # one value only
        edges = np.array([edges[0], edges[0]])
    of_found, lenses = detection.binned(found, values, edges)
    rate = detection.binomial(of_found, lenses)
    result = {"edges": edges, "lenses": lenses, "found": of_found, "completeness": rate.value}
    result |= {"low": rate.low, "high": rate.high}
    if snr.any():
        ideal = np.histogram(values, edges, weights=detection.ideal_completeness(snr, FPR))[0]
        result["ideal"] = ideal / np.maximum(lenses, 1)
    return _lists(result)


def _by_images(
    lenses: Mapping[str, NDArray], found: NDArray, others: NDArray
) -> dict[str, dict[str, Any]]:
    """Completeness by number of images of the source's centre, and AUROC against non-lenses."""
    result = {}
    for n in np.unique(lenses["n_images"][lenses["n_images"] > 0]):
        of_n = lenses["n_images"] == n
        rate = detection.binomial(int(found[of_n].sum()), int(of_n.sum()))
        both = np.concatenate([lenses["logit"][of_n], others])
        is_lens = np.arange(both.size) < of_n.sum()
        result[str(n)] = {
            "lenses": int(of_n.sum()),
            "completeness": rate.value,
            "interval": [rate.low, rate.high],
            "auroc": detection.auroc(is_lens, both) if others.size else None,
        }
    return result


def visible_images(lenses: Mapping[str, NDArray]) -> dict[str, Any]:
    """Count the lenses whose images obey the sum rule: those of which no image is missing.

    A transparent lens has minima + maxima - saddles = 1 (Burke 1981, ApJ 244, L1). The maximum at
    the centre of an isothermal or shallower density is no image to be seen, and inside the cut it
    counts: there are as many minima as saddles where the number of images is even, and one minimum
    more where it is odd (a single image, or the three of a naked cusp). A steeper density has no
    maximum and no cut, but a saddle near its centre for every source: as many minima as saddles
    always. What is counted are the images of the source's centre that the simulation keeps.
    """
    n, minima, saddles = (lenses[name] for name in COUNTS)
    counted = n > 0
    if not counted.any():
        return {"lenses": 0, "obey": 0, "fraction": None}
    steep = lenses["slope"] > 2.0 + 1e-9
    surplus = np.where(steep, 0, n % 2)
    obey = counted & (minima + saddles == n) & (minima - saddles == surplus)
    return {
        "lenses": int(counted.sum()),
        "obey": int(obey.sum()),
        "fraction": float(obey.sum() / counted.sum()),
        # one visible image of a steep lens: the saddle is there, too faint to be kept
        "steep_without_saddle": int((counted & steep & (minima == saddles + 1)).sum()),
    }


def _survey(
    is_lens: NDArray, logit: NDArray, threshold: float, prevalences: list[float]
) -> dict[str, dict[str, Any]]:
    """Purity in a survey at the threshold, and the completeness that is left at a purity of 1/2."""
    lens = is_lens == 1
    if lens.all() or not lens.any():
        return {}
    curves = detection.curves(is_lens, logit)
    found, alarms = (logit[kind] > threshold for kind in (lens, ~lens))
    tpr, fpr = found.mean(), alarms.mean()
    tprs = detection.possible(found.sum(), found.size)
    fprs = detection.possible(alarms.sum(), alarms.size)
    result = {}
    for prevalence in prevalences:
        some = curves.fpr > 0  # without a false positive the purity has no value but a bound
        half = some & (detection.purity(curves.tpr, curves.fpr, prevalence) >= 0.5)
        others = detection.purity(tprs[:, None], fprs, prevalence)
        purity = detection.spread(detection.purity(tpr, fpr, prevalence), others)
        value, *interval = purity if tpr > 0 else [None] * 3
        result[f"{prevalence:.0e}"] = {
            "purity": value,
            "interval": interval,
            "completeness_at_half_purity": float(curves.tpr[half].max()) if half.any() else None,
        }
    return result


def _thinned(curves: detection.Curves) -> dict[str, list]:
    """Return at most ``CURVE_POINTS`` points of the curves, the ends among them."""
    last = curves.threshold.size - 2  # the very last threshold is minus infinity
    rows = np.unique(np.linspace(0, last, CURVE_POINTS).round().astype(int))
    return _lists({name: x[rows] for name, x in curves._asdict().items() if np.isfinite(x).any()})


def _lists(columns: Mapping[str, NDArray]) -> dict[str, list]:
    """Return lists for JSON, in which there is no nan."""
    return {
        name: [None if x != x else x for x in np.asarray(values).tolist()]
        for name, values in columns.items()
    }


def rotation(
    model: str,
    training: str,
    population_settings: Mapping[str, Any],
    seed: int,
    experiment: str,
    population: str,
    angles: int,
    systems: int,
    threads: int,
    output: str,
) -> None:
    """Measure how the score of the same sky changes with the angle it is seen at.

    The sky is turned and rendered anew: no pixel is interpolated. The systems follow the same prior
    as the population, but have numbers that no data set reaches, so no network has learned from
    them.

    Parameters
    ----------
    model, training : path
        As in `evaluate`.
    population_settings : mapping
        As `lensmill.experiments.lens_finding.simulate.draw` takes them.
    seed, experiment, population : int, str, str
        Key the random numbers of the systems.
    angles : int
        Steps of a full turn; a multiple of 4 has the quarters among them.
    systems : int
        How many, lenses and non-lenses together.
    threads : int
        Threads of the backend.
    output : path
        Written (JSON): by ``angle`` [deg, 0 to 360] the mean and largest ``logit_change`` (modulus)
        against the sky as it was, the ``score_change`` (mean, 16th and 84th percentile, with its
        sign), and the ``auroc`` (null where all systems are of one kind); and for ``examples``, the
        most undecided lens and non-lens, the score by angle.
    """
    trained = networks.load(model, training, threads)
    u = streams.uniforms(seed, experiment, population, UNSEEN, systems, simulate.WIDTH)
    is_lens = simulate.draw(UNSEEN, u, population_settings)["systems"]["is_lens"]
    angle = np.linspace(0.0, 360.0, angles + 1)
    logit = np.array(
        [networks.predict(trained, simulate.turned(u, population_settings, a)) for a in angle]
    )
    score = special.expit(logit)
    change, of_score = np.abs(logit - logit[0]), score - score[0]
    low, high = np.percentile(of_score, [16, 84], axis=1)
    both = 0 < is_lens.sum() < is_lens.size
    undecided = np.abs(score[0] - 0.5)
    examples = [
        {"is_lens": kind, "score": score[:, rows[undecided[rows].argmin()]].tolist()}
        for kind in (1, 0)
        if (rows := np.flatnonzero(is_lens == kind)).size
    ]
    found = {
        "population": population,
        "systems": systems,
        "angle": angle.tolist(),
        "logit_change": {"mean": change.mean(axis=1).tolist(), "most": change.max(axis=1).tolist()},
        "score_change": {
            "mean": of_score.mean(axis=1).tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        },
        "auroc": [detection.auroc(is_lens, x) if both else None for x in logit],
        "examples": examples,
    }
    Path(output).write_text(json.dumps(found))


def saliency(
    model: str,
    training: str,
    dataset: str,
    predictions: str,
    systems: int,
    threads: int,
    output: str,
) -> None:
    """Show where in the image a network looks: the surest and the most mistaken systems.

    Parameters
    ----------
    model, training, dataset : path
        As in `evaluate`.
    predictions : path
        What `evaluate` wrote for these two; systems of known label are chosen by it.
    systems : int
        How many of each of four groups: found lenses, lost lenses, rejected non-lenses, false
        alarms, each the surest of the network first. Fewer where there are no more.
    threads : int
        Threads of the backend.
    output : path
        Written (HDF5): table ``systems`` with ``index``, ``group`` (0 to 3), ``kind``, ``theta_e``,
        ``arc_snr`` and ``logit``; table ``maps`` with ``pixels``, ``gradient`` (modulus of the
        derivative of the logit by each pixel after the stretch, over bands in quadrature) and
        ``attention``: maps of the last layer whose pixels stand for at most ``COARSEST`` of the
        image, times the derivative of the logit by them, where the product speaks for the answer
        given, in units of its largest value. That is Grad-CAM (Selvaraju et al. 2017,
        arXiv:1610.02391) with the gradient taken at each place (Draelos & Carin 2020,
        arXiv:2011.08891). Its mean over the map is faithful in the very last layer only, whose 3 or
        4 pixels across show nothing; in earlier ones it lit empty corners.
    """
    trained = networks.load(model, training, threads)
    table = store.read(predictions, "systems")
    order = np.argsort(table["logit"], kind="stable")
    order = order[table["label_known"][order] == 1]
    lens, high = table["is_lens"][order] == 1, table["logit"][order] > 0
    groups = [
        order[lens & high][::-1],
        order[lens & ~high],
        order[~lens & ~high],
        order[~lens & high][::-1],
    ]
    chosen = np.concatenate([group[:systems] for group in groups])
    number = np.repeat(np.arange(4), [min(systems, group.size) for group in groups])
    place = rows_of(dataset, table["index"][chosen])
    pixels = np.array(store.memmap(dataset, "cutouts", "pixels")[place])
    gradient, attention = _explain(trained.model, pixels)
    columns = {
        name: table[name][chosen] for name in ("index", "kind", "theta_e", "arc_snr", "logit")
    }
    maps = {"pixels": pixels, "gradient": gradient, "attention": attention}
    units = {name: UNITS["systems"][name] for name in columns} | {"group": ""}
    store.write(
        output,
        {"systems": {**columns, "group": number.astype(np.uint8)}, "maps": maps},
        {
            "systems": units,
            "maps": {"pixels": "electron / s", "gradient": "", "attention": ""},
        },
        provenance.attributes(
            {"systems": systems}, dataset=store.attributes(dataset)["content_digest"]
        ),
    )


def rows_of(dataset: str, index: NDArray) -> NDArray:
    """Return the rows of some systems in a data set, whose images must be in the same order."""
    have = store.read(dataset, "systems", ["index"])["index"]
    if not np.array_equal(store.read(dataset, "cutouts", ["system"])["system"], have):
        raise ValueError(f"{dataset}: images and systems are not in the same order; make it anew")
    order = np.argsort(have)
    rows = order[np.minimum(np.searchsorted(have, index, sorter=order), have.size - 1)]
    if not np.array_equal(have[rows], index):
        raise ValueError(f"{dataset} does not hold the systems that were scored; score it anew")
    return rows


def _explain(model: Any, pixels: NDArray) -> tuple[NDArray, NDArray]:
    """Return moduli of the gradient and Grad-CAM maps, both of shape (n, height, width)."""
    import keras
    import tensorflow as tf

    from lensmill.learning.stretch import AsinhStretch

    outputs = [(layer, layer.output) for layer in model.layers]
    stretched = next(output for layer, output in outputs if isinstance(layer, AsinhStretch))
    finest = pixels.shape[1] / COARSEST
    maps = [x for _, x in outputs if len(x.shape) >= 4 and x.shape[1] >= finest]
    both = keras.Model(model.inputs, [stretched, maps[-1], model.output])
    image = tf.constant(pixels)
    with tf.GradientTape() as tape:
        tape.watch(image)
        seen, maps, logit = both(image, training=False)
    by_pixel, by_map = (x.numpy() for x in tape.gradient(logit, [seen, maps]))
    n, height, width = maps.shape[:3]
    speaks = (maps.numpy() * by_map).reshape(n, height, width, -1).sum(axis=-1)
    attention = np.maximum(np.sign(logit.numpy())[:, :, None] * speaks, 0.0)
    attention /= np.maximum(attention.max(axis=(1, 2), keepdims=True), 1e-30)
    stretch = (1, pixels.shape[1] / height, pixels.shape[2] / width)
    attention = ndimage.zoom(attention, stretch, order=1, mode="nearest", grid_mode=True)
    return np.sqrt((by_pixel**2).sum(axis=-1)), attention
