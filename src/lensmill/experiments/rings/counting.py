"""How many rings there are: classes, their logits, and how often they are right."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from lensmill.learning import classification, runs, tables
from lensmill.pipeline import store

UNITS = {"systems": dict.fromkeys(("index", "n_rings", "charge", "counted", "logits"), "")}


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], seed: int, keys: runs.Keys
) -> runs.Training | runs.Fit:
    """Return what is particular about the training of networks that count."""
    from lensmill.experiments.rings import architectures
    from lensmill.learning import images

    n_rings = store.read(dataset, "systems", ["n_rings"])["n_rings"]
    counts = np.unique(n_rings)
    labels = np.searchsorted(counts, n_rings)
    fold = settings["fold"], settings["folds"]
    learned, validated = images.read(dataset, split, labels, *fold, None, labels)
    names = tuple(f"images with {count} rings" for count in counts)
    for part, chosen in (("train", learned), ("validation", validated)):
        classification.check_classes(chosen.targets, f"{dataset}: the {part} part", names)
    learned = images.first(learned, settings["max_systems"])
    shape = learned.pixels.shape[1:]
    record = {
        "architecture": settings["architecture"],
        "shape": list(shape),
        "counts": counts.tolist(),
        "systems": len(learned.rows),
    }
    if settings["architecture"] == "pca_svm":

        def fit() -> Any:
            flat = learned.pixels[learned.rows].reshape(len(learned.rows), -1)
            return architectures.pca_svm(settings, keys.first % 2**31).fit(flat, learned.targets)

        return runs.Fit(fit, settings, record)
    loss = classification.class_loss()
    batches = images.Batches(
        learned,
        settings["batch_size"],
        keys.second,
        settings["repeats"],
        turn=images.unchanged if settings.get("augment") == "dihedral" else None,
    )
    return runs.Training(
        build=lambda: architectures.build(settings, shape, len(counts), keys.first % 2**20),
        loss=loss,
        epochs=batches,
        validation=images.Validation(validated, loss, batches, classification.class_metrics),
        settings=settings,
        record=record,
    )


def predict(
    network: runs.Network, dataset: str, split: str | None, settings: Mapping[str, Any], seed: int
) -> tuple[store.Tables, dict[str, dict[str, str]], dict[str, Any]]:
    """Return logits of every number of rings for the test systems: tables, units, attributes."""
    from lensmill.learning import images

    pixels = store.pixels(dataset)
    record = network.training
    images.check_shape(pixels, record["shape"], record["population"])
    rows = tables.test_rows(dataset, split)
    if record["architecture"] == "pca_svm":
        logits = network.model.decision_function(pixels[rows].reshape(len(rows), -1))
        if logits.ndim == 1:  # of two classes only the difference is given
            logits = np.stack([-logits / 2, logits / 2], axis=1)
    else:
        logits = images.predict(network.model, pixels, rows)
    systems = store.read(dataset, "systems", ["index", "n_rings", "charge"])
    counts = np.array(record["counts"])
    found = {name: column[rows] for name, column in systems.items()}
    found |= {"logits": logits, "counted": counts[logits.argmax(axis=1)]}
    return {"systems": found}, UNITS, {"counts": json.dumps(record["counts"])}


def score(about: Mapping[str, Any], predictions: str) -> dict[str, Any]:
    """Return accuracy, its interval and by number of rings, and the confusion matrix.

    Also the AUROC of two classes, and that which the total charge alone has.
    """
    systems = store.read(predictions, "systems")
    truth, counted, logits = (systems[name] for name in ("n_rings", "counted", "logits"))
    counts = json.loads(about["counts"])
    every = sorted({*counts, *truth.tolist()})
    right = truth == counted
    overall = classification.binomial(int(right.sum()), len(right))
    found: dict[str, Any] = {
        "counts": counts,
        "accuracy": overall.value,
        "accuracy_low": overall.low,
        "accuracy_high": overall.high,
        "by_number": {},
        "confusion": [[int(((truth == a) & (counted == b)).sum()) for b in counts] for a in every],
        "confusion_rows": every,
    }
    for count in every:
        mine = right[truth == count]
        rate = classification.binomial(int(mine.sum()), len(mine))
        found["by_number"][str(count)] = rate._asdict() if len(mine) else None
    if len(counts) == 2 and np.isin(truth, counts).all() and len(np.unique(truth)) == 2:
        many = truth == counts[1]
        found["auroc"] = classification.auroc(many, logits[:, 1] - logits[:, 0])
        found["auroc_error"] = classification.auroc_error(
            many, logits[:, 1] - logits[:, 0], int(about["seed"])
        )
        found["auroc_of_charge"] = classification.auroc(many, systems["charge"])
        found["accuracy_of_charge"] = _best_accuracy(many, systems["charge"])
    if np.isin(truth, counts).all():
        log_p = logits - logsumexp(logits, axis=1, keepdims=True)
        found["cross_entropy"] = float(
            -log_p[np.arange(len(truth)), np.searchsorted(counts, truth)].mean()
        )
    return found


def _best_accuracy(many: NDArray, charge: NDArray) -> float:
    """Return the accuracy of the best threshold on the charge, whichever way it points."""
    order = np.argsort(charge, kind="stable")
    ends = np.append(
        np.diff(charge[order]) > 0, True
    )  # between equal charges there is no threshold
    below = np.cumsum(~many[order])[ends] - np.cumsum(many[order])[ends]
    right = np.append(below + many.sum(), many.sum()) / len(many)
    return float(max(right.max(), 1 - right.min()))
