"""How good a lens finder is: the metrics of the field, which lenses are lost, and why."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from lensmill.experiments.lens_finding.sky import KINDS, REAL
from lensmill.learning import classification
from lensmill.learning.classification import Undefined
from lensmill.pipeline import store

FPR = 0.01  # false-positive rate at which completeness is quoted
CURVE_POINTS = 200  # of a curve in the scores; all of them can be had from the predictions
BINNED_BY = ("theta_e", "arc_snr", "arc_length", "snr", "theta_e_over_seeing", "host_magnitude")
FEWEST = 5  # lenses in a bin, where a property is known of few
COUNTS = ("n_images", "n_minima", "n_saddles")
USED = ("bootstraps", "prevalences", "calibration_bins", "selection_bins")
# What the scores copy from the predictions; of an ensemble the sum over its members.
COSTS = ("parameters", "train_seconds", "train_cpu_seconds", "seconds")
SINGLE = (
    *("network", "population", "train_on", "architecture", "network_seed", "train_prevalence"),
    *(*COSTS[:3], "threads", "seconds"),
)
TOGETHER = (
    *("network", "population", "members", "train_on", "architecture", "train_prevalence"),
    *COSTS,
)


def score(
    predictions: str,
    settings: Mapping[str, Any],
    seed: int,
    output: str,
    reference: str | None = None,
    beside: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Score the predictions for a population.

    Parameters
    ----------
    predictions : path
        As `network.predict` or `combine` wrote them.
    settings : mapping
        ``bootstraps`` that the error of the AUROC is made of, ``prevalences`` of lenses in a
        survey, ``calibration_bins`` and ``selection_bins``; other keys are left alone.
    seed : int
        Fixes the bootstrap samples.
    output : path
        Written: the predictions, with the attribute ``threshold``, the logit that completeness is
        quoted at (nan: none), and ``threshold_from``.
    reference : path, optional
        Scores of the network on the population that it was trained on. Their threshold for a
        false-positive rate of 1 % is what a survey would use; it also stands in where a population
        has too few non-lenses to set its own.
    beside : mapping, optional
        By population, the predictions of the same network for the non-lenses that set the
        ``thresholds`` of the settings.

    Returns
    -------
    dict
        Names and costs of the network, ``images_per_second``, and what `measure` returns. Scores
        that these systems do not define are None, and ``undefined`` says why. Thresholds are
        logits.
    """
    about = store.attributes(predictions)
    systems = store.read(predictions, "systems")
    facts = {key: about[key] for key in (TOGETHER if "members" in about else SINGLE)}
    # JSON does not know the numbers of HDF5.
    facts = {key: x.item() if isinstance(x, np.generic) else x for key, x in facts.items()}
    if "threads" in facts:
        facts["threads"] = int(facts["threads"])
    given = json.loads(Path(reference).read_text()) if reference else None
    found = measure(systems, settings, seed, given)
    own = {str(about["population"]): systems}
    theirs = {name: store.read(path, "systems") for name, path in (beside or {}).items()}
    named = settings.get("thresholds", {})
    found["thresholds"] = {
        name: at_threshold(systems, one, theirs | own, settings, seed, f"thresholds.{name}")
        for name, one in named.items()
        if {*one["negatives"]} <= {*theirs, *own}  # others have images that it cannot take
    }
    added = {
        "settings": json.dumps({key: settings[key] for key in USED}, sort_keys=True),
        "threshold": np.nan if found["threshold"] is None else found["threshold"],
        "threshold_from": found["threshold_from"],
    }
    limits = {name: one["threshold"] for name, one in found["thresholds"].items()}
    added |= {"thresholds": json.dumps(limits, sort_keys=True)} if limits else {}
    store.extend(predictions, output, added)
    speed = round(len(systems["index"]) / max(facts["seconds"], 1e-3), 1)
    return {**facts, "images_per_second": speed, **found}


def at_threshold(
    systems: Mapping[str, NDArray],
    threshold: Mapping[str, Any],
    tables: Mapping[str, Mapping[str, NDArray]],
    settings: Mapping[str, Any],
    seed: int,
    where: str,
) -> dict[str, Any]:
    """Return how good a network is at a threshold that chosen non-lenses set.

    Parameters
    ----------
    systems : mapping of array
        Predictions for a population, whose lenses are to be found.
    threshold : mapping
        ``negatives``, populations whose non-lenses set it, and their false-positive rate ``fpr``.
    tables : mapping
        Predictions of the same network for these populations.
    settings, seed
        As in `score`.
    where : str
        How a message names the threshold.

    Returns
    -------
    dict
        ``fpr``, ``threshold`` (a logit), the numbers of ``objects``, of those ``above`` it and
        their rate with its binomial interval, also ``by_population``; of lenses ``completeness``
        with its ``interval`` (68 %, the scatter of the threshold in it), ``auroc`` against the
        objects with its error, ``tpr0`` and ``tpr10``, and ``completeness_by`` property. None of
        what there are no lenses for.

    Raises
    ------
    ValueError
        If there are fewer objects than one false positive needs.
    """
    fpr, names = threshold["fpr"], threshold["negatives"]
    logits = {name: objects(tables[name]) for name in names}
    other = np.concatenate(list(logits.values()))
    known = (systems["label_known"] == 1) & (systems["is_lens"] == 1)
    lenses = {name: values[known] for name, values in systems.items()}
    logit = np.concatenate([lenses["logit"], other])
    is_lens = np.arange(len(logit)) < known.sum()
    try:
        limit = classification.threshold_at_fpr(is_lens, logit, fpr)
    except Undefined as reason:
        raise ValueError(
            f"{where}: {reason} in {', '.join(names)}, where the orientations of one object count "
            "once; name more populations there, or quote a larger fpr"
        ) from None
    rates = {name: _rate(values > limit) for name, values in logits.items()}
    result: dict[str, Any] = {
        "fpr": fpr,
        "negatives": names,
        "threshold": limit,
        "objects": len(other),
        **_rate(other > limit),
        "by_population": rates,
    }
    lost = dict.fromkeys(("completeness", "interval", "auroc", "auroc_error", "tpr0", "tpr10"))
    result |= {"lenses": int(known.sum()), "found": 0} | lost | {"completeness_by": {}}
    if not known.any():
        return result
    possible = classification.thresholds(is_lens, logit, classification.allowed(is_lens, fpr))
    rate = classification.tpr_above(is_lens, logit, limit, possible)
    found = lenses["logit"] > limit
    result |= {"found": int(found.sum()), "completeness": rate.value}
    result |= {
        "interval": [rate.low, rate.high],
        "auroc": classification.auroc(is_lens, logit),
        "auroc_error": classification.auroc_error(is_lens, logit, seed, settings["bootstraps"]),
        "tpr0": classification.tpr0(is_lens, logit).value,
        "tpr10": classification.tpr10(is_lens, logit).value if len(other) > 9 else None,
        "completeness_by": {
            name: _binned_where_known(lenses, name, found, settings["selection_bins"])
            for name in BINNED_BY
            if name in lenses and lenses[name].any()
        },
    }
    return result


def objects(systems: Mapping[str, NDArray]) -> NDArray:
    """Return the highest logit of every object among the non-lenses.

    A host that was drawn again and again, in one orientation or another, is one object; whoever
    counts it as many would claim a smaller error than there is.
    """
    other = (systems["label_known"] == 1) & (systems["is_lens"] == 0)
    logit = systems["logit"][other]
    host = systems["host"][other] if "host" in systems else np.full(len(logit), -1)
    single = logit[host < 0]
    hosts, where = np.unique(host[host >= 0], return_inverse=True)
    highest = np.full(len(hosts), -np.inf)
    np.maximum.at(highest, where, logit[host >= 0])
    return np.concatenate([single, highest])


def _rate(above: NDArray) -> dict[str, Any]:
    """Return the number above a threshold, and the rate with its binomial interval."""
    rate = classification.binomial(int(above.sum()), above.size)
    known = above.size > 0
    return {
        "above": int(above.sum()),
        "false_positive_rate": rate.value if known else None,
        "false_positive_interval": [rate.low, rate.high],
    }


def combine(members: list[str], output: str, network: str) -> None:
    """Put the predictions of several networks together: the mean of their logits.

    Parameters
    ----------
    members : list of path
        What `network.predict` wrote for each on the same systems.
    output : path
        Written likewise.
    network : str
        Name of the ensemble.

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
    logit = np.mean([table["logit"] for table in tables], axis=0)
    left_out = ("content_digest", "network_seed")
    facts = {key: value for key, value in about[0].items() if key not in left_out}
    facts |= {"network": network, "members": len(members)}
    facts |= {key: sum(one[key].item() for one in about) for key in COSTS}
    columns = tables[0] | {"logit": logit, "score": special.expit(logit)}
    store.write(output, {"systems": columns}, store.units(members[0]), facts)


def measure(
    systems: Mapping[str, NDArray],
    settings: Mapping[str, Any],
    seed: int,
    reference: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return all scores of a table of predictions.

    Parameters
    ----------
    systems : mapping of array, shape (n,)
        The columns of ``systems`` in the predictions.
    settings, seed : mapping, int
        As in `score`.
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
        if isinstance(found, classification.Rate):
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
    scores["auroc"] = value("auroc", classification.auroc, *ours)
    error = value("auroc_error", classification.auroc_error, *ours, seed, settings["bootstraps"])
    scores["auroc_error"] = error
    scores["tpr0"] = value("tpr0", classification.tpr0, *ours)
    scores["tpr10"] = value("tpr10", classification.tpr10, *ours)
    for text, fpr in (("1e-2", FPR), ("1e-3", FPR / 10)):
        name = f"fpr_{text}"
        scores[f"tpr_{name}"] = value(f"tpr_{name}", classification.tpr_at_fpr, *ours, fpr)
        threshold = value(f"threshold_{name}", classification.threshold_at_fpr, *ours, fpr)
        scores[f"threshold_{name}"] = threshold

    threshold, source = scores["threshold_fpr_1e-2"], "own"
    possible = None  # equally probable values of the threshold
    if threshold is not None:
        possible = classification.thresholds(*ours, classification.allowed(is_lens, FPR)).tolist()
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

    scores["ideal_auroc"] = value("ideal_auroc", _ideal, classification.ideal_auroc, snr)
    bound = value("ideal_auroc_bound", _ideal, classification.ideal_auroc_bound, snr)
    scores["ideal_auroc_bound"] = bound
    scores["ideal_completeness"] = value("ideal_completeness", _ideal, _mean_ideal, snr)
    bins = settings["calibration_bins"]
    calibrated = value("calibration_error", _calibration, is_lens, table["score"], bins)
    scores["calibration_error"] = calibrated[0] if calibrated else None

    scores["confusion"] = {
        "score above 0.5": _confusion(*ours, 0.0),
        "threshold": _confusion(*ours, threshold),
    }
    scores["by_kind"] = _by_kind(table, threshold)
    found = logit[lens] > threshold
    lenses = {name: values[lens] for name, values in table.items()}
    scores["completeness_by"] = {
        name: _binned_where_known(lenses, name, found, settings["selection_bins"])
        for name in BINNED_BY
        if name in lenses and lenses[name].any()
    }
    scores["by_images"] = _by_images(lenses, found, logit[~lens])
    scores["visible_images"] = visible_images(lenses)
    scores["survey"] = _survey(is_lens, logit, threshold, settings["prevalences"])
    scores["calibration"] = calibrated[1] if calibrated else None
    scores["curves"] = _thinned(classification.curves(*ours)) if len(logit) else None
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
        f"completeness{suffix}": lambda: classification.tpr_above(
            is_lens, logit, threshold, possible
        ),
        f"false_positive_rate{suffix}": lambda: classification.fpr_above(
            is_lens, logit, threshold, foreign
        ),
    }


def _confusion(is_lens: NDArray, logit: NDArray, threshold: float) -> dict[str, int]:
    """Count lenses and non-lenses above and below a threshold, by what became of them."""
    counts = classification.confusion(is_lens, logit, threshold)
    return dict(zip(("found", "lost", "false_alarms", "rejected"), counts, strict=True))


def _ideal(metric: Callable, snr: NDArray) -> float:
    if not snr.any():
        raise Undefined("the S/N of the arcs is not known")
    return metric(snr)


def _mean_ideal(snr: NDArray) -> float:
    return float(classification.ideal_completeness(snr, FPR).mean())


def _calibration(is_lens: NDArray, score: NDArray, bins: int) -> tuple[float, dict[str, list]]:
    classification.auroc(is_lens, score)  # undefined if there is but one kind
    error = classification.expected_calibration_error(is_lens, score, bins)
    return error, _lists(classification.reliability(is_lens, score, bins)._asdict())


def _by_kind(table: Mapping[str, NDArray], threshold: float) -> dict[str, dict[str, Any]]:
    """Rate of false positives among each kind of non-lens, and the AUROC of lenses against it."""
    lens = table["is_lens"] == 1
    found = {}
    for kind in np.unique(table["kind"][~lens]):
        of_kind = ~lens & (table["kind"] == kind)
        alarms = int((table["logit"][of_kind] > threshold).sum())
        rate = classification.binomial(alarms, int(of_kind.sum()))
        both = lens | of_kind
        some = lens.any()
        found["real" if kind == REAL else KINDS[kind]] = {
            "systems": int(of_kind.sum()),
            "false_alarms": alarms,
            "false_positive_rate": rate.value,
            "interval": [rate.low, rate.high],
            "auroc": classification.auroc(lens[both], table["logit"][both]) if some else None,
        }
    return found


def _binned(values: NDArray, found: NDArray, snr: NDArray, bins: int) -> dict[str, list]:
    """Completeness in bins of equal numbers of lenses, and that of the ideal observer."""
    edges = classification.equal_bins(values, bins)
    if edges.size < 2:  # one value only
        edges = np.array([edges[0], edges[0]])
    of_found, lenses = classification.binned(found, values, edges)
    rate = classification.binomial(of_found, lenses)
    result = {"edges": edges, "lenses": lenses, "found": of_found, "completeness": rate.value}
    result |= {"low": rate.low, "high": rate.high}
    if snr.any():
        ideal = np.histogram(values, edges, weights=classification.ideal_completeness(snr, FPR))[0]
        result["ideal"] = ideal / np.maximum(lenses, 1)
    return _lists(result)


def _binned_where_known(
    lenses: Mapping[str, NDArray], name: str, found: NDArray, bins: int
) -> dict[str, list]:
    """Completeness in bins of a property, of the lenses of which it is known: it is not 0."""
    values, snr = lenses[name], lenses["arc_snr"]
    some = values != 0
    if some.all():
        return _binned(values, found, snr, bins)
    return _binned(values[some], found[some], snr[some], max(1, min(bins, some.sum() // FEWEST)))


def _by_images(
    lenses: Mapping[str, NDArray], found: NDArray, others: NDArray
) -> dict[str, dict[str, Any]]:
    """Completeness by number of images of the source's centre, and AUROC against non-lenses."""
    result = {}
    for n in np.unique(lenses["n_images"][lenses["n_images"] > 0]):
        of_n = lenses["n_images"] == n
        rate = classification.binomial(int(found[of_n].sum()), int(of_n.sum()))
        both = np.concatenate([lenses["logit"][of_n], others])
        is_lens = np.arange(both.size) < of_n.sum()
        result[str(n)] = {
            "lenses": int(of_n.sum()),
            "completeness": rate.value,
            "interval": [rate.low, rate.high],
            "auroc": classification.auroc(is_lens, both) if others.size else None,
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
    curves = classification.curves(is_lens, logit)
    found, alarms = (logit[kind] > threshold for kind in (lens, ~lens))
    tpr, fpr = found.mean(), alarms.mean()
    tprs = classification.possible(found.sum(), found.size)
    fprs = classification.possible(alarms.sum(), alarms.size)
    result = {}
    for prevalence in prevalences:
        some = curves.fpr > 0  # without a false positive the purity has no value but a bound
        half = some & (classification.purity(curves.tpr, curves.fpr, prevalence) >= 0.5)
        others = classification.purity(tprs[:, None], fprs, prevalence)
        purity = classification.spread(classification.purity(tpr, fpr, prevalence), others)
        value, *interval = purity if tpr > 0 else [None] * 3
        result[f"{prevalence:.0e}"] = {
            "purity": value,
            "interval": interval,
            "completeness_at_half_purity": float(curves.tpr[half].max()) if half.any() else None,
        }
    return result


def _thinned(curves: classification.Curves) -> dict[str, list]:
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
