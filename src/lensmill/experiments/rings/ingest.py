"""Read images of rings with their labels: .npz files such as those of the A3Net hack."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.rings.simulate import SHAPE, UNITS
from lensmill.pipeline import provenance, store

log = logging.getLogger(__name__)

LABELS = ("center_x", "center_y", "radius", "thickness", "deformation")  # columns of `labels`
MOST = 100  # rings in an image
SHOWN = 5  # rows of each fault that a message names


def ingest(
    source: str, output: str, population: str, experiment: str, settings: Mapping[str, Any]
) -> None:
    """Check images of rings and store them as a population.

    The file holds ``images`` (n, size, size), whole numbers in parts of the largest of their type
    or charges as floats, rows upwards; and at least one of ``n_rings`` (n,) and ``labels`` (n, 5):
    centre, radius, thickness and deformation [pixel] of the one ring of each image, with (0, 0) at
    the corner of the first pixel.

    Parameters
    ----------
    source : path
        The .npz file. Pickled objects in it are never loaded.
    output : path
        HDF5 file with the tables of `lensmill.experiments.rings.simulate`. What is not known of a
        ring is 0, and its system has ``rings_known`` 0; expected charges are never known.
    population, experiment : str
        Names, stored with the file.
    settings : mapping
        Used is ``observation``.

    Raises
    ------
    ValueError
        If anything is wrong with the file, naming all rows at fault and what is permitted.
    """
    observation = settings["observation"]
    images, n_rings, labels = _read(source, observation["size"])
    if problems := _faults(images, n_rings, labels, observation["size"]):
        raise ValueError(f"{source} refused: {'; '.join(problems)}")
    tables = _tables(images, n_rings, labels)
    facts = {"population": population, "experiment": experiment} | provenance.source(Path(source))
    facts |= {"bands": json.dumps([*observation["bands"]]), "candidates": len(images)}
    facts |= {"used": len(images), "refused": 0}
    store.write(output, tables, UNITS, provenance.attributes(settings, **facts))
    log.info("%s: %d images ingested", source, len(images))


def _read(source: str, size: int) -> tuple[NDArray, NDArray, NDArray | None]:
    """Return images, numbers of rings, and the parameters of the rings if they are known."""
    try:
        with np.load(source, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{source} refused: it cannot be read as a .npz file of arrays ({error}); write it "
            "with numpy.savez, without objects"
        ) from error
    if "images" not in found or not {"n_rings", "labels"} & found.keys():
        raise ValueError(
            f"{source} refused: it holds {', '.join(found) or 'nothing'}; it needs 'images', and "
            "'n_rings' or 'labels'"
        )
    images, labels = found["images"], found.get("labels")
    n = len(images) if images.ndim else 0
    n_rings = found.get("n_rings", np.ones(n, int))
    shapes = {"images": (n, size, size), "n_rings": (n,), "labels": (n, len(LABELS))}
    for name, wanted in shapes.items():
        shape = {"n_rings": n_rings.shape}.get(name) or found.get(name, np.empty(wanted)).shape
        if shape != wanted:
            raise ValueError(
                f"{source} refused: {name!r} has shape {shape}, not {wanted}; images of another "
                "size need an observation of that size"
            )
    names = tuple(map(str, found.get("label_names", LABELS)))
    if labels is not None and names != LABELS:
        raise ValueError(f"{source} refused: label_names are {names}, not {LABELS}; reorder them")
    return images, n_rings, labels


def _faults(images: NDArray, n_rings: NDArray, labels: NDArray | None, size: int) -> list[str]:
    """Return a sentence for everything that is wrong with the rows, naming the rows."""
    if len(images) == 0:
        return ["it has no images"]
    if images.dtype.kind not in "uif":
        return [f"'images' are of type {images.dtype}; give numbers"]
    flat = images.reshape(len(images), -1)
    wrong = {}
    sane = np.isfinite(flat).all(axis=1)
    wrong["have pixels that are not finite"] = ~sane
    wrong["have negative pixels"] = sane & (np.where(sane[:, None], flat, 0) < 0).any(axis=1)
    wrong[f"have 'n_rings' that are not whole numbers from 0 to {MOST}"] = ~(
        (n_rings >= 0) & (n_rings <= MOST) & (n_rings % 1 == 0)
    )
    if labels is not None:
        wrong["have 'labels' but not one ring"] = n_rings != 1
        for k, name in enumerate(LABELS):
            # a ring beyond the image could not be seen
            low, high = (0, size) if k < 2 else (0, 2 * size)
            outside = ~((labels[:, k] >= low) & (labels[:, k] <= high))
            wrong[f"have {name!r} outside {low} to {high} pixels"] = outside
    sentences = []
    for how, rows in wrong.items():
        if rows.any():
            named = ", ".join(map(str, np.flatnonzero(rows)[:SHOWN]))
            more = " ..." if rows.sum() > SHOWN else ""
            count = int(rows.sum())
            sentences.append(f"{count} of {len(rows)} rows {how} (rows {named}{more})")
    return sentences


def _tables(images: NDArray, n_rings: NDArray, labels: NDArray | None) -> store.Tables:
    n = len(images)
    index, n_rings = np.arange(n), n_rings.astype(np.int64)
    top = np.iinfo(images.dtype).max if images.dtype.kind in "ui" else 1.0
    pixels = (images / top).astype(np.float32)[..., None]
    seen = {name: np.zeros(n) for name in SHAPE}
    if labels is not None:
        columns = dict(zip(("x", "y", *LABELS[2:]), labels.T.astype(float), strict=True))
        seen |= columns | {"semi_major": columns["radius"], "semi_minor": columns["radius"]}
    charge = pixels.sum(axis=(1, 2, 3), dtype=float)
    owner = np.repeat(index, n_rings)
    unknown = ("tilt", "direction", "beta", "distance", "photons")
    return {
        "systems": {
            "index": index,
            "n_rings": n_rings,
            "first_ring": np.cumsum(n_rings) - n_rings,
            "rings_known": np.full(n, labels is not None, np.uint8),
            "expected_charge": np.zeros(n),
            "charge": charge,
            **seen,
        },
        "rings": {
            "system": owner,
            **{name: column[owner] for name, column in seen.items()},
            **dict.fromkeys(unknown, np.zeros(len(owner))),
        },
        "cutouts": {"system": index, "pixels": pixels},
    }
