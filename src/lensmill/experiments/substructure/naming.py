"""No substructure, subhalos or a vortex: networks that name the class, and how often rightly."""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from lensmill.experiments.substructure import systems
from lensmill.experiments.substructure.systems import CLASSES, NONE
from lensmill.learning import classification, runs, strangeness, tables
from lensmill.pipeline import store

VALIDATED = 10000  # images of the validation set: enough to tell two epochs apart
FAMILY = 4000  # training images without substructure that say what is strange
FEWEST = 5  # systems of a bin for which an AUROC is given
UNITS = {"systems": {**systems.UNITS, "logits": "", "one_class": ""}}


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], keys: runs.Keys
) -> runs.Training:
    """Return what is particular about the training of networks that name classes."""
    from lensmill.learning import image_models, images

    label, known = systems.labels(dataset)
    learned, validated = images.read(dataset, split, label, known=known)
    found = [int(one) for one in np.unique(learned.targets)]
    if len(found) < 2:
        raise ValueError(
            f"{dataset}: the train part has only images of class {found}; networks that name "
            "classes need two at least: train on another population, or on answers: anomaly"
        )
    learned = images.first(learned, settings["max_systems"])
    validated = images.first(validated, VALIDATED)
    shape, noise = learned.pixels.shape[1:], systems.image_noise(settings, learned)
    loss = classification.class_loss()
    batches = images.Batches(
        learned,
        settings["batch_size"],
        keys.second,
        settings["repeats"],
        # substructure that is turned or mirrored stays what it is
        turn=images.unchanged if settings.get("augment") == "dihedral" else None,
    )
    first, size = keys.first % 2**20, len(CLASSES)
    return runs.Training(
        build=lambda: image_models.build(
            settings["architecture"], shape, settings, first, noise, size
        ),
        loss=loss,
        epochs=batches,
        validation=images.Validation(validated, loss, batches, classification.class_metrics),
        settings=settings,
        record={
            "architecture": settings["architecture"],
            "shape": list(shape),
            "noise": noise,
            "systems": len(learned.rows),
            "classes": found,
        },
    )


def predict(
    network: runs.Network,
    dataset: str,
    split: str | None,
    settings: Mapping[str, Any],
    seed: int,
    learned: tuple[str | None, str | None],
) -> tuple[store.Tables, dict[str, dict[str, str]], dict[str, Any]]:
    """Return logits and the one-class score of the test systems: tables, units, attributes.

    ``one_class`` is the strangeness of what the last layer sees, beside training images without
    substructure; 0 where the population that was learned from is not given.
    """
    from lensmill.learning import images

    pixels, record = store.pixels(dataset), network.training
    images.check_shape(pixels, record["shape"], record["population"])
    rows = tables.test_rows(dataset, split)
    logits, features = systems.answer(network.model, pixels, rows)
    found = {name: column[rows] for name, column in systems.columns(dataset).items()}
    systems.refuse_bad(logits, found["index"], record["population"])
    one_class = np.zeros(len(rows))
    if learned[0] is not None:
        label, known = systems.labels(learned[0])
        smooth, _ = tables.parts(*learned, known=known & (label == NONE))
        _, seen = systems.answer(network.model, store.pixels(learned[0]), smooth[:FAMILY])
        one_class = strangeness.strangeness(strangeness.fit_family(seen), features)
    found |= {"logits": logits, "one_class": one_class}
    return {"systems": found}, UNITS, {"classes": json.dumps(record["classes"])}


def score(
    about: Mapping[str, Any], predictions: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return AUROC by class, accuracy, calibration, and what of it hangs on ``sub_chi``.

    Returns
    -------
    dict
        ``known`` (systems of known class); ``accuracy`` and its interval; ``auroc``, the mean over
        classes of each against all others, ``auroc_error``, and by class ``auroc_CLASS``;
        ``cross_entropy``, ``calibration_error`` (of the class named) and its ``reliability``;
        ``confusion`` by class; ``auroc_substructure`` of any against none; ``one_class_auroc`` of
        the one-class score for the same; ``by_chi``, see `by_chi`. None where it has no value.
    """
    table = store.read(predictions, "systems")
    learned = json.loads(about["classes"])
    known = table["label_known"] == 1
    found: dict[str, Any] = {"known": int(known.sum()), "learned_classes": len(learned)}
    found |= _of_all(table)
    if not known.any():
        return found
    label, logits, one_class, chi = (
        table[name][known] for name in ("label", "logits", "one_class", "sub_chi")
    )
    seed = int(about["seed"])
    accuracy = classification.accuracy(label, logits)
    aurocs = classification.auroc_one_vs_rest(label, logits)
    found |= {
        "accuracy": accuracy.value,
        "accuracy_low": accuracy.low,
        "accuracy_high": accuracy.high,
        "auroc": _mean(aurocs),
        **{f"auroc_{name}": _number(aurocs[i]) for i, name in enumerate(CLASSES)},
        **_errors(label, logits, seed, settings["bootstraps"]),
        "cross_entropy": classification.cross_entropy(label, logits),
        "calibration_error": classification.top_label_calibration_error(
            label, logits, settings["calibration_bins"]
        ),
        "reliability": _reliability(label, logits, settings["calibration_bins"]),
        "confusion": classification.confusion_matrix(label, logits).tolist(),
    }
    belief = substructure_logit(logits)
    found |= against_none(label, belief, "auroc_substructure", seed, settings["bootstraps"])
    if one_class.any():
        found |= against_none(label, one_class, "one_class_auroc", seed, settings["bootstraps"])
    found["by_chi"] = by_chi(label, belief, chi, settings["chi_edges"], seed)
    return found


def substructure_logit(logits: NDArray) -> NDArray:
    """Return the logit of any substructure against none, shape (n,)."""
    return logsumexp(np.delete(logits, NONE, axis=1), axis=1) - logits[:, NONE]


def against_none(
    label: NDArray, score: NDArray, name: str, seed: int, bootstraps: int
) -> dict[str, float | None]:
    """Return the AUROC of systems with substructure against those without, and its error."""
    positive = label != NONE
    if positive.all() or not positive.any():
        return {name: None, f"{name}_error": None}
    return {
        name: classification.auroc(positive, score),
        f"{name}_error": classification.auroc_error(positive, score, seed, bootstraps),
    }


def by_chi(
    label: NDArray, score: NDArray, chi: NDArray, edges: list[float], seed: int
) -> dict[str, list[dict[str, float]]]:
    """AUROC against the ideal observer: systems of a class in bins of ``sub_chi`` against none.

    Parameters
    ----------
    label, score, chi : array, shape (n,)
    edges : list of float
        Of the bins; the last is open above.
    seed : int
        Of the bootstrap samples.

    Returns
    -------
    dict
        By class of substructure, and ``all``, a list of bins with ``FEWEST`` systems or more:
        ``low``, ``high`` (None: open) and ``median`` of ``sub_chi``, ``systems``, ``auroc``,
        ``error``, and ``ideal``, the mean AUROC of an observer who knows the perturbation of each
        system but not whether it is there: of a significance S it is Phi(S / sqrt(2)). Who knows
        the smooth lens beforehand can do better.
    """
    from scipy.stats import norm

    none = score[label == NONE]
    found: dict[str, list[dict[str, float]]] = {}
    ends = [*edges, np.inf]
    for name in ("all", *CLASSES[NONE + 1 :]):
        mine = label != NONE if name == "all" else label == CLASSES.index(name)
        found[name] = []
        for low, high in itertools.pairwise(ends):
            inside = mine & (chi >= low) & (chi < high)
            if inside.sum() < FEWEST or len(none) < FEWEST:
                continue
            both = np.concatenate([score[inside], none])
            positive = np.arange(len(both)) < inside.sum()
            found[name].append(
                {
                    "low": float(low),
                    "high": float(high) if np.isfinite(high) else None,
                    "median": float(np.median(chi[inside])),
                    "systems": int(inside.sum()),
                    "auroc": classification.auroc(positive, both),
                    "error": classification.auroc_error(positive, both, seed, 100),
                    "ideal": float(norm.cdf(chi[inside] / np.sqrt(2)).mean()),
                }
            )
    return found


def _of_all(table: Mapping[str, NDArray]) -> dict[str, Any]:
    """Return what is said of all systems, of whatever class: how often each class is named."""
    named = table["logits"].argmax(axis=1)
    share = np.bincount(named, minlength=len(CLASSES)) / len(named)
    found = {f"named_{name}": float(share[i]) for i, name in enumerate(CLASSES)}
    return found | {"one_class_median": float(np.median(table["one_class"]))}


def _errors(label: NDArray, logits: NDArray, seed: int, bootstraps: int) -> dict[str, Any]:
    """Return the errors of the AUROC of every class, and of their mean, from bootstrap samples.

    Systems are drawn within their class; classes share the samples, as they share the systems.
    """
    classes = [c for c in range(len(CLASSES)) if 0 < (label == c).sum() < len(label)]
    if not classes:
        return {"auroc_error": None}
    rng = np.random.Generator(np.random.Philox([seed, 6]))
    members = [np.flatnonzero(label == c) for c in np.unique(label)]
    scores = {c: logits[:, c] - logsumexp(np.delete(logits, c, axis=1), axis=1) for c in classes}
    found = np.empty((bootstraps, len(classes)))
    for i in range(bootstraps):
        rows = np.concatenate([m[rng.integers(len(m), size=len(m))] for m in members])
        for j, c in enumerate(classes):
            found[i, j] = classification.auroc(label[rows] == c, scores[c][rows])
    errors = {
        f"auroc_{CLASSES[c]}_error": float(found[:, j].std(ddof=1)) for j, c in enumerate(classes)
    }
    return errors | {"auroc_error": float(found.mean(axis=1).std(ddof=1))}


def _reliability(label: NDArray, logits: NDArray, bins: int) -> dict[str, list]:
    """Return how often the class named is right, by bins of its claimed probability."""
    probability = classification.probabilities(logits)
    right = probability.argmax(axis=1) == label
    found = classification.reliability(right, probability.max(axis=1), bins)
    return {name: np.asarray(values).tolist() for name, values in found._asdict().items()}


def _mean(values: NDArray) -> float | None:
    """Return the mean of what has a value; None if nothing has."""
    some = values[np.isfinite(values)]
    return float(some.mean()) if some.size else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
