"""How good answers and their claimed errors are: scatter, bias, coverage and ranks, in numpy."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

# Two numbers are called 68 % in the field, and each stays where results were made with it.
# Errors: what a Gaussian has within one standard deviation. Intervals of counts, robust scatter,
# the Hubble constant.
ONE_SIGMA = 0.6827
ONE_SIGMA_PERCENTILES = (15.865, 50.0, 84.135)  # its ends and its middle
# Posteriors: the round numbers that an interval claims and at which coverage is counted.
CLAIMED = {"68": 0.68, "95": 0.95}
CENTRAL = {name: ((1 - level) / 2, (1 + level) / 2) for name, level in CLAIMED.items()}
CLAIMED_PERCENTILES = (16, 84)  # of 68 %


def robust_scatter(error: NDArray) -> float:
    """Robust scatter: half of the central 68.27 % of errors; of a Gaussian its sigma."""
    low, _, high = np.percentile(error, ONE_SIGMA_PERCENTILES)
    return float((high - low) / 2)


def bias(error: NDArray) -> float:
    """Bias: the median of the errors."""
    return float(np.median(error))


def ranks(samples: NDArray, truth: NDArray) -> NDArray:
    """Rank of the truth in its posterior: uniform over systems if it is calibrated.

    Simulation-based calibration: Talts et al. (2018), arXiv:1804.06788.

    Parameters
    ----------
    samples : array, shape (..., S)
        Draws from the posterior along the last axis.
    truth : array, shape (...)

    Returns
    -------
    array, shape (...)
        In (0, 1): the truth's place among the draws, those equal to it counted half.
    """
    below = (samples < truth[..., None]).sum(axis=-1)
    equal = (samples == truth[..., None]).sum(axis=-1)
    return (below + 0.5 * equal + 0.5) / (samples.shape[-1] + 1)


def coverage(rank: NDArray, level: float | NDArray) -> float | NDArray:
    """Coverage: the fraction of truths inside the central interval that claims ``level``.

    Parameters
    ----------
    rank : array, shape (n,)
        From `ranks`.
    level : float or array
        E.g. 0.68.
    """
    inside = np.sort(np.abs(2 * rank - 1))
    found = np.searchsorted(inside, level, side="right") / len(inside)
    return float(found) if np.ndim(level) == 0 else found


def calibration_error(rank: NDArray) -> float:
    """Calibration error: mean distance of the coverage from what is claimed, over all levels."""
    levels = np.linspace(0.005, 0.995, 100)
    return float(np.abs(coverage(rank, levels) - levels).mean())


def ecdf_band(n: int, points: int, level: float = 0.95) -> tuple[NDArray, NDArray, NDArray]:
    """Band that holds the whole distribution of ``n`` calibrated ranks with probability ``level``.

    Every point has the same pointwise probability of its own, found by bisection; the chance to
    stay inside at all of them follows from point to point: Saeilynoja, Buerkner & Vehtari (2022,
    Stat. Comput. 32, 32).

    Parameters
    ----------
    n : int
        Number of ranks.
    points : int
        The distribution is compared at 1 / points ... 1 - 1 / points.
    level : float

    Returns
    -------
    at, low, high : array, shape (points - 1,)
        Where, and the least and the largest fraction of ranks up to there.
    """
    at = np.arange(1, points) / points
    certain, never = np.log(1 - level) - np.log(points), np.log(1 - level)  # of ln(tail)
    for _ in range(12):
        middle = (certain + never) / 2
        if _stay_inside(at, n, *_counts(at, n, np.exp(middle))) >= level:
            certain = middle
        else:
            never = middle
    low, high = _counts(at, n, np.exp(certain))
    return at, low / n, high / n


def _counts(at: NDArray, n: int, tail: float) -> tuple[NDArray, NDArray]:
    return binom.ppf(tail / 2, n, at).astype(int), binom.isf(tail / 2, n, at).astype(int)


def _stay_inside(at: NDArray, n: int, low: NDArray, high: NDArray) -> float:
    """Probability that so many of ``n`` uniform numbers lie below each point."""
    before, p, last = np.zeros(1, int), np.ones(1), 0.0
    for z, least, most in zip(at, low, high, strict=True):
        counts = np.arange(least, most + 1)
        p = p @ binom.pmf(counts - before[:, None], n - before[:, None], (z - last) / (1 - last))
        before, last = counts, z
    return float(p.sum())
