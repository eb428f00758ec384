"""How good redshifts and their p(z) are: the numbers of the field.

Errors are dz = (answer - truth) / (1 + truth) throughout.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.photo_z import densities, weights
from lensmill.learning import calibration

CATASTROPHIC = 0.15  # |dz| beyond which a redshift is an outlier
SIGMAS = 5  # times the NMAD, likewise
NORMAL = 1.4826  # standard deviation of a Gaussian over its median absolute deviation
# More galaxies than these are not drawn anew: the error of m of n is larger by sqrt(n / m).
MOST_DRAWN = 100000
LEAST_OF_BIN = 20  # galaxies, below which a bin has no numbers
BINS = 6


def relative_error(answer: NDArray, truth: NDArray) -> NDArray:
    """Relative error dz, (answer - truth) / (1 + truth)."""
    return (answer - truth) / (1 + truth)


def scatter(error: NDArray, weight: NDArray | None = None) -> float:
    """sigma_NMAD of relative errors: 1.4826 times the median of |dz - median(dz)|.

    As Brammer, van Dokkum & Coppi (2008) have it, but that they take the median off before they
    divide by 1 + z: the same without a bias. Where no median is taken off (as some do), a bias
    counts as scatter.
    """
    middle = weights.median(error, weight)
    return NORMAL * weights.median(np.abs(error - middle), weight)


def nmad(answer: NDArray, truth: NDArray) -> float:
    """sigma_NMAD of answers."""
    return scatter(relative_error(answer, truth))


def validation(answer: NDArray, truth: NDArray) -> dict[str, float]:
    """Return what a training says of its validation part: methods are chosen by ``val_nmad``."""
    error = relative_error(answer, truth)
    return {
        "val_nmad": scatter(error),
        "val_bias": float(np.median(error)),
        "val_outliers": float((np.abs(error) > CATASTROPHIC).mean()),
    }


def numbers(error: NDArray, weight: NDArray | None = None) -> dict[str, float]:
    """NMAD, bias (median) and fractions of outliers of relative errors; weighted if asked for."""
    found = scatter(error, weight)
    far, middle = np.abs(error), weights.median(error, weight)
    return {
        "nmad": found,
        "bias": middle,
        "outliers": float(np.average(far > CATASTROPHIC, weights=weight)),
        "outliers_5sigma": float(
            np.average(np.abs(error - middle) > SIGMAS * found, weights=weight)
        ),
    }


def bootstrap(
    columns: Sequence[NDArray], of: Any, times: int, rng: np.random.Generator
) -> dict[str, float]:
    """Bootstrap error of each number that ``of(*columns)`` gives: galaxies are drawn anew."""
    n = len(columns[0])
    size = min(n, MOST_DRAWN)
    found = []
    for _ in range(times):
        chosen = rng.integers(n, size=size)
        found.append(of(*(column[chosen] for column in columns)))
    return {key: float(np.std([one[key] for one in found]) * np.sqrt(size / n)) for key in found[0]}


def overall(
    answer: NDArray, truth: NDArray, times: int, rng: np.random.Generator
) -> dict[str, float]:
    """All numbers of point answers, with bootstrap errors ``<number>_error``."""
    error = relative_error(answer, truth)
    found = numbers(error)
    away = answer - truth
    variance = float(truth.var())
    mse = float((away**2).mean())
    more = {
        "mae": float(np.abs(away).mean()),
        "mse": mse,
        "r2": 1 - mse / variance if variance > 0 else None,
    }
    errors = bootstrap([error], numbers, times, rng)
    return found | {f"{key}_error": value for key, value in errors.items()} | more


def binned(
    by: NDArray, error: NDArray, times: int, rng: np.random.Generator, edges: NDArray | None = None
) -> list[dict[str, float]]:
    """Return the numbers of galaxies in bins of ``by``, of equally many galaxies each.

    Bins of fewer than 20 galaxies are left out.
    """
    if edges is None:
        edges = np.quantile(by, np.linspace(0, 1, BINS + 1))
    found = []
    for low, high in itertools.pairwise(edges):
        inside = (by >= low) & ((by < high) | ((high == edges[-1]) & (by == high)))
        if inside.sum() < LEAST_OF_BIN:
            continue
        mine = error[inside]
        errors = bootstrap([mine], numbers, times, rng)
        found.append(
            {
                "low": float(low),
                "high": float(high),
                "middle": float(np.median(by[inside])),
                "systems": int(inside.sum()),
                **numbers(mine),
                **{f"{key}_error": value for key, value in errors.items()},
            }
        )
    return found


def paired(
    first: NDArray, second: NDArray, times: int, rng: np.random.Generator
) -> dict[str, float]:
    """Compare the NMAD of two methods on the same galaxies.

    Parameters
    ----------
    first, second : array, shape (n,)
        Relative errors; ``second`` is the one to be beaten.

    Returns
    -------
    dict
        ``ratio`` of the first's NMAD to the second's, its bootstrap ``error`` (galaxies drawn for
        both at once), and ``sigma``, how many errors the difference of both is from none.
    """

    def compare(a: NDArray, b: NDArray) -> dict[str, float]:
        one, other = scatter(a), scatter(b)
        return {"ratio": one / other, "difference": one - other}

    found, errors = (
        compare(first, second),
        bootstrap([first, second], compare, times, rng),
    )
    apart = errors["difference"]
    return {
        "ratio": found["ratio"],
        "error": errors["ratio"],
        "sigma": -found["difference"] / apart if apart > 0 else 0.0,
    }


def tables(
    density: densities.Densities,
    index: NDArray,
    truth: NDArray,
    width: float,
    draws: int,
    rng: np.random.Generator,
) -> dict[str, Mapping[str, NDArray]]:
    """Judge p(z): tables ``calibration`` and ``densities`` (PIT and CDE loss of each galaxy).

    The CDE loss is the square of p(z) integrated, less twice p at the truth: but for a constant of
    the data the integrated squared error of a conditional density (Izbicki & Lee 2017, Electron. J.
    Stat. 11, 2800); smaller is better. The integral is the mean of p over draws from p.

    Parameters
    ----------
    density : densities.Gaussians or densities.Grid
    index, truth : array, shape (n,)
    width : float
        Of the prior, the scatter of redshifts in training: unit of ``width_redshift``.
    draws : int
    rng : Generator
    """
    drawn = density.sample(draws, rng)
    of_draws, of_truth = density.density(drawn), density.density(truth[:, None])[:, 0]
    rank = calibration.density_ranks(_log(of_draws), _log(of_truth), rng)
    judged = calibration.judge_systems(
        drawn[..., None], truth[:, None], ["redshift"], np.array([width]), rng, rank
    )
    return {
        "calibration": {"index": index, **judged},
        "densities": {
            "index": index,
            "pit": density.cdf(truth),
            "cde_loss": of_draws.mean(axis=1) - 2 * of_truth,
        },
    }


def _log(density: NDArray) -> NDArray:
    return np.log(np.maximum(density, 1e-300))
