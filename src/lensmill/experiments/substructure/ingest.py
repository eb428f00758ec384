"""Ingest images: of real lenses, and the files of the DeepLense benchmark.

A folder of DeepLense (`format: deeplense`) has one .npy file per image, the class in the name of
its folder or, at the top, in its own: `no_sub/a.npy`, `cdm/b.npy`, `axion.npy`. Images are scaled
from 0 to 1 there: no unit is known, and most have no noise.
"""

import hashlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.cutouts import ingest as cutouts
from lensmill.experiments.substructure.systems import CLASSES
from lensmill.pipeline import logs, provenance, store

log = logging.getLogger(__name__)

# How the benchmark calls the classes, in the order of `CLASSES`.
WORDS = (
    ("no", "nosub", "no_sub", "none"),
    ("cdm", "sphere", "sub", "subhalo", "subhalos"),
    ("axion", "vort", "vortex"),
)
SHOWN = 20  # refused files that are named in the log; the table names all
UNITS = {
    "systems": {
        "index": "",
        "name": "",
        "file": "",
        "content_hash": "",
        "label": "",
        "label_known": "",
        "masked_fraction": "",
    },
    "cutouts": {"system": "", "pixels": ""},
    "refused": {"file": "", "reason": ""},
}


def ingest(
    source: str,
    output: str,
    population: str,
    experiment: str,
    settings: Mapping[str, Any],
) -> None:
    """Read images as a population; arguments as for `lensmill.cutouts.ingest.ingest`.

    With ``format: deeplense``, ``source`` is a folder of that benchmark, and the class is known of
    every image that is named by one; of others ``label`` is 0 beside a ``label_known`` of 0.

    Raises
    ------
    ValueError
        If no image can be used; what was refused is named with its reason.
    """
    if settings["format"] == "deeplense":
        _deeplense(Path(source), Path(output), population, experiment, settings)
    else:
        cutouts.ingest(source, output, population, experiment, settings)


def list_files(source: str, output: str, settings: Mapping[str, Any]) -> None:
    """Write the names of all files that the source stands for (JSON)."""
    if settings["format"] != "deeplense":
        cutouts.list_files(source, output, settings)
        return
    with store.whole(Path(output)) as file:
        file.write(json.dumps([str(path) for path in _files(Path(source))], indent=0).encode())


def _files(folder: Path) -> list[Path]:
    """Return the .npy files of a folder and of the folders in it, in order of their names."""
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; format 'deeplense' reads a folder of .npy files")
    return sorted(
        Path(path) / name
        for path, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.endswith(".npy")
    )


def _deeplense(
    folder: Path, output: Path, population: str, experiment: str, settings: Mapping[str, Any]
) -> None:
    size = settings["observation"]["size"]
    files = _files(folder)
    used: list[Path] = []
    images: list[NDArray] = []
    hashes: list[str] = []
    refused: list[tuple[str, str]] = []
    for path in logs.progress(files, f"ingest {population}"):
        try:
            image = _read(path, size)
        except ValueError as reason:
            refused.append((str(path), str(reason)))
            continue
        used.append(path)
        images.append(image)
        hashes.append(hashlib.sha256(image.tobytes()).hexdigest())
    for path, reason in refused[:SHOWN]:
        log.warning("%s refused: %s", path, reason)
    if not used:
        first = f", the first because {refused[0][1]}" if refused else ""
        raise ValueError(f"{folder}: none of {len(files)} .npy files can be used{first}")
    labels = [_label(path, folder) for path in used]
    index = np.arange(len(used))
    systems = {
        "index": index,
        "name": np.array([str(path.relative_to(folder)) for path in used]),
        "file": np.array([str(path) for path in used]),
        "content_hash": np.array(hashes),
        "label": np.array([label or 0 for label in labels], np.uint8),
        "label_known": np.array([label is not None for label in labels], np.uint8),
        "masked_fraction": np.zeros(len(used)),
    }
    tables = {
        "systems": systems,
        "cutouts": {"system": index, "pixels": np.stack(images)[..., None]},
        "refused": {
            name: np.array([row[i] for row in refused], dtype=str)
            for i, name in enumerate(("file", "reason"))
        },
    }
    facts = {"population": population, "experiment": experiment} | provenance.source(folder)
    facts |= {"bands": json.dumps([*settings["observation"]["bands"]])}
    facts |= {"classes": json.dumps(CLASSES), "candidates": len(files)}
    facts |= {"used": len(used), "refused": len(refused)}
    counts = Counter(re.sub(r"\d+", "N", reason) for _, reason in refused)
    facts |= {"reasons": json.dumps(counts)}
    store.write(output, tables, UNITS, provenance.attributes(settings, **facts))
    log.info("%s: %d of %d used, %d refused", folder, len(used), len(files), len(refused))


def _read(path: Path, size: int) -> NDArray:
    """Return one image, float32, or raise a ValueError that says why it cannot be used."""
    try:
        image = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        if "pickle" in str(error).lower():
            raise ValueError(
                "it holds Python objects (images of axions are kept with the axion's mass), which "
                "are never loaded; write the image alone: numpy.save(path, array[0])"
            ) from error
        raise ValueError(f"it cannot be read as an array ({error})") from error
    image = image[0] if image.ndim == 3 and image.shape[0] == 1 else image
    if image.shape != (size, size):
        shape = " x ".join(map(str, image.shape)) or "one"
        raise ValueError(
            f"it has {shape} numbers, not {size} x {size}; give the population an observation of "
            "its size"
        )
    if image.dtype.kind not in "uif":
        raise ValueError(f"it has values of type {image.dtype}, not numbers")
    if not np.isfinite(image).all():
        raise ValueError(f"{int((~np.isfinite(image)).sum())} of its pixels are not finite")
    if image.min() == image.max():
        raise ValueError(f"all its pixels are {image.min():g}")
    return image.astype(np.float32)


def _label(path: Path, folder: Path) -> int | None:
    """Return the class that the folders of a file name, or its own name; None if none does."""
    parts = [*reversed(path.relative_to(folder).parts[:-1]), path.stem]
    for part in parts:
        word = re.match(r"(no_sub|[a-z]+)", part.lower())
        for label, words in enumerate(WORDS):
            if word and word[0] in words:
                return label
    return None
