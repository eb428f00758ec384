"""How good answers and their claimed errors are: scatter, bias, coverage and ranks, in numpy."""

import numpy as np
from numpy.typing import NDArray

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
