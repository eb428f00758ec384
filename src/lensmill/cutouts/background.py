"""Pieces of real sky that mocks are laid upon, out of a data set of images."""

import numpy as np
from numpy.typing import NDArray

from lensmill.imaging import quality
from lensmill.pipeline import splits, store


def pieces(dataset: str, which: NDArray, turn: NDArray) -> NDArray:
    """Return pieces of real sky, in units of their noise, each in one of eight orientations.

    Parameters
    ----------
    dataset : str
        Data set with the table ``cutouts``.
    which, turn : array, shape (n,)
        Uniform numbers in (0, 1): they choose the piece of each system, and its orientation.

    Returns
    -------
    array, shape (n, size, size, bands)
    """
    patches = store.memmap(dataset, "cutouts", "pixels")
    chosen = np.array(patches[_rows(which, len(patches))])
    for i, quarters in enumerate((turn * 8).astype(int)):
        piece = np.rot90(chosen[i], quarters % 4)
        chosen[i] = piece[:, ::-1] if quarters >= 4 else piece
    return chosen / quality.sky_sigma(chosen)[:, None, None, :]


def groups(dataset: str, which: NDArray) -> NDArray:
    """Return the group of each system's piece of sky; where it has none, what identifies it."""
    systems = store.read(dataset, "systems")
    own = systems.get("content_hash", systems["index"]).astype(str)  # of mocks: their number
    named = splits.groups(dataset)
    group = own if named is None else np.where(named == "", own, named)
    return group[_rows(which, len(group))]


def _rows(which: NDArray, count: int) -> NDArray:
    return (which * count).astype(int)
