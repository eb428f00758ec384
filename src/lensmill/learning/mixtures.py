"""Several data sets that a network learns from together: one row of images, and their shares."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Joined:
    """Images of several data sets as one array, of which rows are read.

    Parameters
    ----------
    parts : sequence of array, each of shape (n_i, height, width, bands)
        E.g. memory maps.
    """

    def __init__(self, parts: Sequence[NDArray]):
        shapes = {part.shape[1:] for part in parts}
        if len(shapes) > 1:
            raise ValueError(
                f"images of {' and '.join(map(str, sorted(shapes)))} cannot be learned from "
                "together; give their populations observations of one size and as many bands"
            )
        self.parts = list(parts)
        self.first = np.cumsum([0] + [len(part) for part in parts])
        self.shape = (int(self.first[-1]), *parts[0].shape[1:])
        self.dtype = parts[0].dtype

    def __len__(self) -> int:
        """Return the number of images."""
        return self.shape[0]

    def __getitem__(self, rows: NDArray | slice) -> NDArray:
        """Return some images, in the order of ``rows``."""
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        rows = np.asarray(rows)
        found = np.empty((len(rows), *self.shape[1:]), self.dtype)
        of = np.searchsorted(self.first, rows, side="right") - 1
        for i, part in enumerate(self.parts):
            mine = of == i
            if mine.any():
                found[mine] = part[rows[mine] - self.first[i]]
        return found


class Shares:
    """Show populations in given shares: a sampler of `images.Batches`.

    A pass shows as many systems as there are; of each population as many as its share is, none
    of them twice before all were shown once.

    Parameters
    ----------
    population : array of int, shape (n,)
        Of every system, 0 ... P - 1; none is empty.
    shares : sequence of float, length P
        Their sum is 1.
    """

    def __init__(self, population: NDArray, shares: Sequence[float]):
        self.members_of = [np.flatnonzero(population == p) for p in range(len(shares))]
        self.counts = apportion(len(population), shares)

    def members(self, epoch: int, rng: np.random.Generator) -> NDArray:
        """Return the systems that a pass shows, 0 ... n - 1, some of them repeatedly."""
        shown = []
        for members, count in zip(self.members_of, self.counts, strict=True):
            whole, rest = divmod(int(count), len(members))
            shown += [members] * whole + [rng.permutation(members)[:rest]]
        return np.concatenate(shown)

    def end(self, score: object) -> None:
        """Learn nothing from what a model says."""

    def state(self) -> dict[str, NDArray]:
        """Return what the next epochs depend on: nothing."""
        return {}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Undo `state`."""


class Parts(NamedTuple):
    """Systems of several populations that are learned from, or validate, together."""

    rows: NDArray  # (n,) in the row of all data sets
    population: NDArray  # (n,) int


def join(rows: Sequence[NDArray], sizes: Sequence[int]) -> Parts:
    """Give rows of several data sets their numbers in the row of all.

    Parameters
    ----------
    rows : sequence of array of int
        Those meant, in each data set.
    sizes : sequence of int
        Systems of each data set.
    """
    first = np.cumsum([0, *sizes])
    joined = [part + begin for part, begin in zip(rows, first[:-1], strict=True)]
    population = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
    return Parts(np.concatenate(joined), population)


def apportion(n: int, shares: Sequence[float]) -> NDArray:
    """Divide ``n`` into whole numbers by shares; what is left goes to the largest remainders."""
    exact = n * np.asarray(shares, float) / np.sum(shares)
    counts = np.floor(exact).astype(int)
    most = np.argsort(-(exact - counts), kind="stable")[: n - counts.sum()]
    counts[most] += 1
    return counts


def weights(population: NDArray, shares: Sequence[float]) -> NDArray:
    """Return the weight of every system by which its population counts with its share; mean 1."""
    counts = np.bincount(population, minlength=len(shares))
    return (np.asarray(shares) / np.sum(shares) * len(population) / counts)[population]
