"""Weights that give a bright spectroscopic sample the magnitudes of a photometric one."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

FAR = 0.99  # of the spectroscopic sample's own distances: beyond, a galaxy is not represented


class Weights(NamedTuple):
    """Weights of spectroscopic galaxies, and what they cannot mend."""

    weight: NDArray  # (n,), of mean 1
    unrepresented: float  # fraction of the photometric sample beyond the spectroscopic one


def nearest_neighbours(spectroscopic: NDArray, photometric: NDArray, k: int) -> Weights:
    """Weights by nearest neighbours: Lima et al. (2008), MNRAS 390, 118.

    The weight of a galaxy is the number of photometric ones within the distance of its ``k``-th
    spectroscopic neighbour, itself not counted: the ratio of the two densities there. Where there
    is no spectroscopic galaxy at all no weight helps; ``unrepresented`` says how often that is.

    Parameters
    ----------
    spectroscopic, photometric : array, shape (n, D), (m, D)
        Magnitudes and colours, in one unit.
    k : int
        Neighbours; more of them are smoother and less local.

    Raises
    ------
    ValueError
        If there are not more than ``k`` spectroscopic galaxies, or no weight is left: the samples
        do not overlap.
    """
    if len(spectroscopic) <= k:
        raise ValueError(
            f"{len(spectroscopic)} spectroscopic galaxies have no {k} neighbours; take a smaller "
            "evaluation.neighbours, or more galaxies"
        )
    tree = cKDTree(spectroscopic)
    radius = tree.query(spectroscopic, k + 1)[0][:, -1]
    others = cKDTree(photometric)
    count = others.query_ball_point(spectroscopic, radius, return_length=True).astype(float)
    if not count.any():
        raise ValueError(
            f"none of {len(photometric)} photometric galaxies lies near a spectroscopic one: the "
            "samples do not overlap, and no weights make one out of the other"
        )
    own = tree.query(spectroscopic, 2)[0][:, 1]
    distance = tree.query(photometric)[0]
    return Weights(count / count.mean(), float((distance > np.quantile(own, FAR)).mean()))


def effective_size(weight: NDArray) -> float:
    """Effective sample size: how many galaxies of equal weight know as much (Kish 1965)."""
    return float(weight.sum() ** 2 / (weight**2).sum())


def median(values: NDArray, weight: NDArray | None = None) -> float:
    """Return the weighted median; without weights the median."""
    if weight is None:
        return float(np.median(values))
    order = np.argsort(values, kind="stable")
    share = weight[order].cumsum()
    return float(values[order][np.searchsorted(share, share[-1] / 2)])
