"""Substructure as what is strange: autoencoders that learn from images without any."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lensmill.experiments.substructure import naming, systems
from lensmill.experiments.substructure.systems import CLASSES, NONE
from lensmill.learning import anomaly, classification, runs, tables
from lensmill.pipeline import store

VALIDATED = 1000  # images of the validation set: every pixel of them is looked at
DRAWN = 12  # images that are kept with their drawings, for the figure: the first of each class
UNITS = {
    "systems": {**systems.UNITS, "anomaly": ""},
    "cutouts": {"system": "", "label": "", "seen": "", "left": ""},
}


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], keys: runs.Keys
) -> runs.Training:
    """Return what is particular about the training of autoencoders: no system has substructure."""
    from lensmill.learning import images

    label, known = systems.labels(dataset)
    smooth = known & (label == NONE)
    learned, validated = images.read(dataset, split, anomaly.targets(len(label)), known=smooth)
    learned = images.first(learned, settings["max_systems"])
    validated = images.first(validated, VALIDATED)
    shape, noise = learned.pixels.shape[1:], systems.image_noise(settings, learned)
    loss = anomaly.loss()
    batches = images.Batches(
        learned,
        settings["batch_size"],
        keys.second,
        settings["repeats"],
        turn=images.unchanged if settings["augment"] == "dihedral" else None,
    )
    return runs.Training(
        build=lambda: anomaly.autoencoder(shape, settings, keys.first % 2**20, noise),
        loss=loss,
        epochs=batches,
        validation=images.Validation(validated, loss, batches),
        settings=settings,
        record={
            "architecture": settings["architecture"],
            "shape": list(shape),
            "noise": noise,
            "systems": len(learned.rows),
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
    """Return the anomaly score of the test systems: tables, units, attributes.

    The table ``cutouts`` has the first images of every class as the network sees them, and what it
    did not draw of them.
    """
    import keras

    from lensmill.learning import images

    pixels, record = store.pixels(dataset), network.training
    images.check_shape(pixels, record["shape"], record["population"])
    rows = tables.test_rows(dataset, split)
    found = {name: column[rows] for name, column in systems.columns(dataset).items()}
    found["anomaly"] = anomaly.scores(network.model, pixels, rows)
    systems.refuse_bad(found["anomaly"], found["index"], record["population"])
    shown = [np.flatnonzero(found["label"] == c)[:DRAWN] for c in range(len(CLASSES))]
    shown = np.sort(np.concatenate(shown))
    drawing = network.model.get_layer("drawing").output
    both = keras.Model(
        network.model.input, keras.ops.stack([drawing, network.model.output], axis=1)
    )
    drawn, left = np.moveaxis(images.predict(both, pixels, rows[shown]), 1, 0)
    cutouts = {
        "system": found["index"][shown],
        "label": found["label"][shown],
        "seen": (drawn + left).astype(np.float32),
        "left": left.astype(np.float32),
    }
    return {"systems": found, "cutouts": cutouts}, UNITS, {}


def score(
    about: Mapping[str, Any], predictions: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the AUROC of the anomaly score: of any substructure, by class, and by ``sub_chi``.

    Also its median; where no class is known there is nothing else.
    """
    table = store.read(predictions, "systems")
    known = table["label_known"] == 1
    found: dict[str, Any] = {
        "known": int(known.sum()),
        "anomaly_median": float(np.median(table["anomaly"])),
    }
    if not known.any():
        return found
    label, value, chi = (table[name][known] for name in ("label", "anomaly", "sub_chi"))
    seed, bootstraps = int(about["seed"]), settings["bootstraps"]
    found |= naming.against_none(label, value, "auroc_substructure", seed, bootstraps)
    for c, name in enumerate(CLASSES):
        if c != NONE:
            some = np.isin(label, (NONE, c))
            both = (label[some] == c).any() and (label[some] == NONE).any()
            found[f"auroc_{name}"] = (
                classification.auroc(label[some] == c, value[some]) if both else None
            )
    found["by_chi"] = naming.by_chi(label, value, chi, settings["chi_edges"], seed)
    return found
