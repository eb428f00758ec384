"""Pieces of real sky that mocks are laid upon, out of a data set of images."""

import numpy as np
from numpy.typing import NDArray

from lensmill.imaging import quality
from lensmill.pipeline import splits, store

ORIENTATIONS = 8


def turned(image: NDArray, orientation: int) -> NDArray:
    """Return an image (height, width, ...) in one of eight orientations.

    Turned by so many quarters from rows to columns, which is clockwise on the sky; from 4 on then
    mirrored, x to -x.
    """
    image = np.rot90(image, orientation % 4)
    return image[:, ::-1] if orientation >= 4 else image


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
    for i, orientation in enumerate((turn * ORIENTATIONS).astype(int)):
        chosen[i] = turned(chosen[i], orientation)
    return chosen / quality.sky_sigma(chosen)[:, None, None, :]


def groups(dataset: str, which: NDArray) -> NDArray:
    """Return the group of each system's piece of sky."""
    group = group_of_each(dataset)
    return group[_rows(which, len(group))]


def group_of_each(dataset: str) -> NDArray:
    """Return the group of each image of a data set; where it has none, what identifies it."""
    systems = store.read(dataset, "systems")
    own = systems.get("content_hash", systems["index"]).astype(str)  # of mocks: their number
    named = splits.groups(dataset)
    return own if named is None else np.where(named == "", own, named)


def _rows(which: NDArray, count: int) -> NDArray:
    return (which * count).astype(int)
