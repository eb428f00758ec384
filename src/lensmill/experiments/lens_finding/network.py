"""Networks that tell lenses from what only looks like them: pixels in, a logit out."""

import hashlib
import json
import logging
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.learning.backend import start_keras
from lensmill.pipeline import provenance, store

# Keras is imported where it is used: it takes seconds, and threads must be limited before.

log = logging.getLogger(__name__)

JUDGES = 10000  # validation systems that judge an epoch: enough to tell two epochs apart

DEFAULTS: dict[str, Any] = {
    "architecture": "p4m",
    "stretch": "image",
    "softening": 1.0,
    "augment": "none",
    "loss": "binary_crossentropy",
    "focal_gamma": 2.0,
    "class_weight": "none",
    "hard_negatives": 0.0,
    "max_systems": 0,
    "epochs": 15,
    "repeats": 1,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "weight_decay": 1e-4,
    "clip_norm": 1.0,
    "ema": 0.0,
    "patience": 0,
    "mixed_precision": False,
    "checkpoint_seconds": 60,
    "tensorboard": True,
    "seed": 1,
    "fold": 0,
    "folds": 0,
}


class Network(NamedTuple):
    """A trained network and what its training recorded."""

    model: Any  # keras.Model
    training: dict[str, Any]


def train(
    dataset: str,
    split: str,
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    model: str,
    history: str,
    training: str,
    checkpoints: str,
    watch: Callable[[dict[str, float]], None] | None = None,
) -> None:
    """Train one network and write it, its history and what is to be known about it.

    Parameters
    ----------
    dataset, split : path
        Images with labels and their split: it trains on the first part, the second chooses the
        epoch, the third is not looked at.
    settings : mapping
        The network's settings; what is left out is in ``DEFAULTS``, and what belongs to the
        architecture in `lensmill.learning.image_architectures.DEFAULTS`.
    seed : int
        With ``settings["seed"]`` it fixes every random number.
    threads : int
        Threads of the backend.
    model, history, training : path
        Written: the Keras model, with its stretch, in 32 bits; the history as CSV; and a JSON file
        with settings, shape, number of weights, wall time, versions and threads. TensorBoard's
        event files go to a folder ``tensorboard`` beside the history.
    checkpoints : path
        Folder in which an interrupted training leaves its state, from which the same call goes on.
    watch : callable, optional
        Is given each row of the history as it comes; what it raises ends the training.
    """
    begun = time.monotonic()
    start_keras(threads)
    import keras

    from lensmill.learning import devices, image_models, image_training, stretch
    from lensmill.learning import training as loop

    architecture = settings.get("architecture", DEFAULTS["architecture"])
    settings = {**DEFAULTS, **image_models.settings_of(architecture), **settings}
    seeds = [seed, settings["seed"]]
    keys = [int(key) for key in np.random.SeedSequence(seeds).generate_state(2)]
    facts = store.attributes(dataset)
    learned, judging = image_training.read(dataset, split, settings["fold"], settings["folds"])
    learned = image_training.first(learned, settings["max_systems"])
    judging = image_training.first(judging, JUDGES)
    shape = learned.pixels.shape[1:]
    noise = None
    if settings["stretch"] == "training":
        noise = stretch.training_noise(learned.pixels, learned.rows)

    def built(policy: str) -> Any:
        keras.config.set_dtype_policy(policy)
        try:
            return image_models.build(architecture, shape, settings, keys[0] % 2**20, noise)
        finally:
            keras.config.set_dtype_policy("float32")

    network = built(devices.precision(settings["mixed_precision"]))
    epochs = image_training.Cutouts(
        learned,
        settings["batch_size"],
        keys[1],
        settings["repeats"],
        dihedral=settings["augment"] == "dihedral",
        balanced=settings["class_weight"] == "balanced",
        hard_negatives=settings["hard_negatives"],
        epochs=settings["epochs"],
    )
    loss = image_training.loss(settings["loss"], settings["focal_gamma"])
    code = provenance.digest("experiments/lens_finding/network.py")
    what = [
        dict(settings),
        seeds,
        facts["content_digest"],
        code,
        threads,
        network.dtype_policy.name,
    ]
    rows = loop.fit(
        network,
        loss,
        epochs,
        image_training.Judging(judging, loss, epochs),
        settings,
        keys[1],
        checkpoints,
        hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest(),
        Path(history).parent / "tensorboard" if settings["tensorboard"] else None,
        watch,
    )
    # Judged and kept in 32 bits, on whatever device: 16 would cost the symmetry and the tails.
    saved = built("float32")
    saved.set_weights(network.get_weights())

    best = min(rows, key=lambda row: row["val_loss"])
    observation = json.loads(facts["settings"]).get("observation", {})
    record = {
        "architecture": architecture,
        "experiment": facts["experiment"],
        "population": facts["population"],
        "settings": dict(settings),
        "seed": seed,
        "shape": list(shape),
        "observation": observation,
        "noise": noise,
        "systems": len(learned.rows),
        "lenses": int(learned.is_lens.sum()),
        "parameters": int(saved.count_params()),
        "epochs": len(rows),
        "best_epoch": best["epoch"],
        "val_loss": best["val_loss"],
        "val_auroc": best["val_auroc"],
        "images_per_second": statistics.median(row["images_per_second"] for row in rows),
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(time.process_time(), 1),  # of the job, imports included
        "threads": threads,
        "precision": network.dtype_policy.name,
        "backend": keras.backend.backend(),
        "versions": {name: version(name) for name in ("keras", "tensorflow", "numpy")}
        | {"python": platform.python_version()},
        "dataset": facts["content_digest"],
    }
    Path(model).parent.mkdir(parents=True, exist_ok=True)
    loop.write_history(history, rows)
    loop.replace(model, lambda part: saved.save(part))
    loop.replace(training, lambda part: part.write_text(json.dumps(record, indent=1)))
    log.info("%s: %d epochs in %.0f s", model, len(rows), record["seconds"])


def load(model: str, training: str, threads: int = 1) -> Network:
    """Read a trained network."""
    start_keras(threads)
    import keras

    import lensmill.learning.image_models  # noqa: F401  (registers what the model is made of)

    network = keras.saving.load_model(model, compile=False)
    return Network(network, json.loads(Path(training).read_text()))


def predict(network: Network, pixels: NDArray, rows: NDArray | None = None) -> NDArray:
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
    from lensmill.learning import image_training

    shape, given = tuple(network.training["shape"]), tuple(pixels.shape[1:])
    if given != shape:
        wanted, is_ = (f"{h} x {w} pixels in {b} bands" for h, w, b in (shape, given))
        raise ValueError(
            f"the images have {is_}, but the network (trained on "
            f"{network.training['population']!r}) takes {wanted}; bring the population to its size "
            "and bands (observation: size, bands), or train a network on images like these"
        )
    return image_training.logits(network.model, pixels, rows)
