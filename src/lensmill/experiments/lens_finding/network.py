"""Networks that tell lenses from what only looks like them: pixels in, a logit out."""

import functools
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import special

from lensmill.cutouts import checks as image_checks
from lensmill.learning import classification, runs, tables
from lensmill.learning.runs import Network, load  # noqa: F401  (`load` is part of the contract)
from lensmill.pipeline import provenance, store
from lensmill.pipeline.splits import TEST

log = logging.getLogger(__name__)

VALIDATED = 10000  # images of the validation set: enough to tell two epochs apart
WARM_UP = 64  # images scored before the clock runs: the first call compiles
CLASSES = ("non-lenses", "lenses")
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


def predict(
    network: Network,
    dataset: str,
    split: str | None,
    settings: Mapping[str, Any],
    seed: int,
    output: str,
    name: str,
    population: str,
    learned: str | None = None,
    learned_split: str | None = None,
) -> None:
    """Score the test images of a population, or all images of an ingested one.

    Parameters
    ----------
    network : Network
        As `load` gives it.
    dataset : path
        The population.
    split : path or None
        Its split, of which the test part is used; None for a population that no part of was
        learned from.
    settings, seed
        Not needed here.
    output : path
        Written (HDF5): table ``systems`` with labels, ``logit``, ``score`` (its probability) and
        what is known of the lenses.
    name, population : str
        Of the network and of the population.
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
    pixels = store.pixels(dataset)
    rows = tables.test_rows(dataset, split)
    if learned is not None:
        _refuse_shared(dataset, rows, learned, learned_split, name)
    logits(network, pixels, rows[:WARM_UP])
    begun = time.monotonic()
    logit = np.asarray(logits(network, pixels, rows), np.float64)
    seconds = time.monotonic() - begun
    systems = _systems(dataset, rows)
    bad = ~np.isfinite(logit)
    if bad.any():
        raise ValueError(
            f"{name} gives no finite logit for {bad.sum()} of {bad.size} images of {dataset} "
            f"(first: index {systems['index'][bad.argmax()]}); did its training diverge, or do the "
            "images hold what is not finite?"
        )
    systems |= {"logit": logit, "score": special.expit(logit)}
    record = network.training
    attributes = provenance.attributes(
        {},
        network=name,
        population=population,
        train_on=record["population"],
        architecture=record["architecture"],
        network_seed=record["settings"]["seed"],
        train_prevalence=_prevalence(record),
        parameters=record["parameters"],
        train_seconds=record["seconds"],
        train_cpu_seconds=record["cpu_seconds"],
        seconds=round(seconds, 3),
        experiment="lens_finding",
        seed=seed,
        dataset=store.attributes(dataset)["content_digest"],
    )
    systems = {column: systems[column] for column in UNITS["systems"]}
    store.write(output, {"systems": systems}, UNITS, attributes)


def logits(network: Network, pixels: NDArray, rows: NDArray | None = None) -> NDArray:
    """Return the logit of being a lens for every image, float64 (n,).

    Parameters
    ----------
    network : Network
    pixels : array, shape (N, height, width, bands)
        As stored [electron / s]; a memory map is read some images at a time.
    rows : array of int, optional
        The images wanted; all by default.

    Raises
    ------
    ValueError
        If the images are not of the size and bands that the network was trained on.
    """
    from lensmill.learning import images

    images.check_shape(pixels, network.training["shape"], network.training["population"])
    return images.predict(network.model, pixels, rows)[:, 0]


def labels(dataset: str) -> tuple[NDArray, NDArray]:
    """Read of every system whether it is a lens, and whether that is known."""
    systems = store.read(dataset, "systems", ["is_lens", "label_known"])
    return systems["is_lens"] == 1, systems["label_known"] == 1


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], seed: int, keys: runs.Keys
) -> runs.Training:
    """Return what is particular about the training of these networks."""
    from lensmill.learning import image_models, images, stretch

    architecture = settings["architecture"]
    is_lens, known = labels(dataset)
    targets = is_lens.astype(np.float32)[:, None]
    fold = settings["fold"], settings["folds"]
    learned, validated = images.read(dataset, split, targets, *fold, known, is_lens)
    for part, chosen in (("train", learned), ("validation", validated)):
        classification.check_classes(chosen.targets[:, 0], f"{dataset}: the {part} part", CLASSES)
    learned = images.first(learned, settings["max_systems"])
    validated = images.first(validated, VALIDATED)
    lens, lens_validated = (part.targets[:, 0] == 1 for part in (learned, validated))
    shape = learned.pixels.shape[1:]
    noise = None
    if settings["stretch"] == "training":
        noise = stretch.training_noise(learned.pixels, learned.rows)
    weights = [None, None]
    if settings["class_weight"] == "balanced":
        by_class = classification.class_weights(lens)
        weights = [by_class[part.astype(int)] for part in (lens, lens_validated)]
    sampler = None
    if settings["hard_negatives"]:
        share, epochs = settings["hard_negatives"], settings["epochs"]
        sampler = classification.HardNegatives(lens, share, epochs)
    batches = images.Batches(
        learned,
        settings["batch_size"],
        keys.second,
        settings["repeats"],
        # a lens that is turned or mirrored stays one
        turn=images.unchanged if settings.get("augment") == "dihedral" else None,
        weights=weights[0],
        sampler=sampler,
    )
    # only the focal loss has a gamma
    loss = classification.binary_loss(settings["loss"], settings.get("focal_gamma", 0.0))
    facts = store.attributes(dataset)
    return runs.Training(
        build=lambda: image_models.build(architecture, shape, settings, keys.first % 2**20, noise),
        loss=loss,
        epochs=batches,
        validation=images.Validation(
            validated, loss, batches, classification.binary_metrics, weights[1]
        ),
        settings=settings,
        record={
            "architecture": architecture,
            "shape": list(shape),
            "observation": json.loads(facts["settings"]).get("observation", {}),
            "noise": noise,
            "systems": len(lens),
            "lenses": int(lens.sum()),
        },
    )


train = functools.partial(runs.train, prepare)


def _refuse_shared(
    dataset: str, rows: NDArray, learned: str, learned_split: str | None, name: str
) -> None:
    """Raise if the network learned from images, or groups, that are to test it."""
    seen = None
    if learned_split is not None:
        seen = np.flatnonzero(store.read(learned_split, "systems")["split"] != TEST)
    for found in image_checks.shared(dataset, learned, rows, seen):
        if found["passed"] is False:
            raise ValueError(
                f"{found['sentence']}, from which {name} learned; take them out of one, or "
                "set group: in both to a column that names what they have in common, so that "
                "only its test part is scored"
            )


def _prevalence(record: Mapping[str, Any]) -> float:
    """Return the fraction of lenses that a network's probabilities are for."""
    # ASSUME: focal loss and hard negatives bend probabilities too, which no change of prior undoes;
    # calibration then shows it. Ranks, thresholds and purity do not depend on it.
    balanced = record["settings"]["class_weight"] == "balanced"
    return 0.5 if balanced else record["lenses"] / record["systems"]


def _systems(dataset: str, rows: NDArray) -> dict[str, NDArray]:
    """Return what is known of some systems; zeros for what the data set does not have."""
    with h5py.File(dataset) as file:
        have = [name for name in COPIED if name in file["systems"]]
    systems = store.read(dataset, "systems", ["index", "is_lens", "label_known", "kind", *have])
    chosen = {name: values[rows] for name, values in systems.items()}
    for name in COPIED:
        kind = np.int64 if name in COUNTS else np.float64
        chosen[name] = chosen.get(name, np.zeros(rows.size)).astype(kind)
    return chosen
