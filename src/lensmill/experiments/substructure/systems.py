"""What is known of systems beside their images: classes and what an ideal observer sees."""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lensmill.pipeline import store

CLASSES = ("none", "subhalos", "vortex")
NONE = 0  # the class without substructure
# What predictions copy from the data set: column, unit; 0 where an ingested one does not know it.
COPIED = {"sub_chi": "", "arc_snr": "", "theta_e": "arcsec", "flux": "electron / s"}
UNITS = {"index": "", "label": "", "label_known": "", **COPIED}


def columns(dataset: str) -> dict[str, NDArray]:
    """Read `UNITS` of all systems of a data set."""
    with h5py.File(dataset) as file:
        there = [*file["systems"]]
    found = store.read(dataset, "systems", [name for name in UNITS if name in there])
    n = len(found["index"])
    if "label" not in there:  # of real lenses, of which nothing is known
        found["label_known"] = np.zeros(n)
    found.setdefault("label_known", np.ones(n))
    for name in ("label_known", "label", *COPIED):
        kind = float if name in COPIED else np.int64
        found[name] = np.asarray(found.get(name, np.zeros(n))).astype(kind)
    return {name: found[name] for name in UNITS}


def labels(dataset: str) -> tuple[NDArray, NDArray]:
    """Return the class of every system, int, and whether it is known, bool."""
    found = columns(dataset)
    return found["label"], found["label_known"] == 1


def refuse_bad(answers: NDArray, index: NDArray, name: str) -> None:
    """Raise if a network gives what is not finite.

    Parameters
    ----------
    answers : array, shape (n, ...)
    index : array, shape (n,)
        Of the systems.
    name : str
        Of the population that the network learned from.
    """
    bad = ~np.isfinite(answers).reshape(len(answers), -1).all(axis=1)
    if bad.any():
        raise ValueError(
            f"the network trained on {name!r} gives no finite answer for {bad.sum()} of {bad.size} "
            f"images (first: index {index[bad.argmax()]}); did its training diverge, or do the "
            "images hold what is not finite?"
        )


def image_noise(settings: Mapping[str, Any], part: Any) -> list[float] | None:
    """Return the noise that a stretch is fixed to in training; None if it is each image's own."""
    from lensmill.learning import stretch

    if settings["stretch"] != "training":
        return None
    return stretch.training_noise(part.pixels, part.rows)


def answer(model: Any, pixels: NDArray, rows: NDArray) -> tuple[NDArray, NDArray]:
    """Return what a network says of images, (n, P), and what its last layer sees, (n, F)."""
    import keras

    from lensmill.learning import images, models

    seen = keras.ops.cast(models.inner(model).output, "float32")
    both = keras.Model(model.input, keras.ops.concatenate([model.output, seen], axis=1))
    found = images.predict(both, pixels, rows)
    size = model.output_shape[1]
    return found[:, :size], found[:, size:]
