"""Images of rings and blobs for the tests: data sets that a small network learns in seconds."""

import json

import numpy as np

from lensmill.pipeline import store

SIZE = 24


def rings_and_blobs(n, seed=0, lenses=0.4):
    """Images of rings (lenses) and blobs of the same light over noise, and which they are."""
    rng = np.random.default_rng(seed)
    is_lens = rng.random(n) < lenses
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    at = rng.uniform(-2, 2, (n, 2, 1, 1))
    r = np.hypot(x - at[:, 0], y - at[:, 1])
    ring, blob = np.exp(-((r - 6) ** 2) / 4), np.exp(-(r**2) / 24)
    light = np.where(is_lens[:, None, None], ring, blob)
    light *= 60 / light.sum(axis=(1, 2), keepdims=True)
    pixels = (light + rng.normal(0, 0.1, light.shape))[..., None].astype(np.float32)
    return pixels, is_lens


def write(folder, pixels, is_lens, known=None, split=None, shift=0, group=None, settings=None):
    n = len(pixels)
    index = np.arange(n)
    systems = {
        "index": index,
        "is_lens": is_lens.astype(np.uint8),
        "label_known": np.ones(n, np.uint8) if known is None else known,
        "kind": (~is_lens).astype(np.uint8),
    }
    if group is not None:
        systems["group"] = np.array(group)
    cutouts = {"system": np.roll(index, shift), "pixels": pixels}
    units = {
        "systems": dict.fromkeys(systems, ""),
        "cutouts": {"system": "", "pixels": "electron / s"},
    }
    facts = {"experiment": "lens_finding", "population": "toy"}
    facts |= {"settings": json.dumps(settings or {})}
    store.write(folder / "dataset.h5", {"systems": systems, "cutouts": cutouts}, units, facts)
    if split is None:
        split = np.resize(np.repeat([0, 1, 2], (8, 1, 1)), n)
    parts = {"systems": {"index": index, "split": split.astype(np.uint8)}}
    store.write(folder / "split.h5", parts, {"systems": {"index": "", "split": ""}}, {})
    return folder / "dataset.h5", folder / "split.h5"
