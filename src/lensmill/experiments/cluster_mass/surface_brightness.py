"""The surface brightness of a cluster in rings, and the gas profile that fits it best."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from lensmill.clusters import gas

EPSILON, STEEPENING = 2.5, 1.2  # far out, where no single image tells them: middle of the prior
POINTS = 8  # radii in each ring, of which the mean is taken


class Fit(NamedTuple):
    """A gas profile (`lensmill.clusters.gas`) without a cusp, and a sky alike everywhere."""

    beta: float
    core: float  # over r500
    bright: float  # at the centre [1 / s / arcmin^2]
    sky: float  # [1 / s / arcmin^2]
    deviance: float  # -2 ln of the likelihood over that of a perfect fit
    rings: int
    expected: NDArray  # counts in each ring


def fit(profile: Mapping[str, NDArray], r500: float) -> Fit:
    """Fit a gas profile to the photons in rings by their Poisson likelihood.

    Parameters
    ----------
    profile : mapping of array, shape (rings,)
        ``inner`` and ``outer`` [arcmin], ``counts``, ``background`` (counts that are not of the
        sky) and ``exposure`` [s arcmin^2].
    r500 : float
        [arcmin]
    """
    counts = profile["counts"]
    share = (np.arange(POINTS) + 0.5) / POINTS
    inner2, outer2 = (profile[name][:, None] ** 2 for name in ("inner", "outer"))
    radii = np.sqrt(inner2 + (outer2 - inner2) * share) / r500

    def expected(parameters: NDArray) -> NDArray:
        beta, core, bright, sky = np.exp(parameters)
        shape = np.array([[0.0, beta, EPSILON, core, STEEPENING]])
        columns = gas.columns(shape, np.append(radii.ravel(), 1e-3))[0]
        light = (columns[:-1] / columns[-1]).reshape(radii.shape).mean(axis=1)
        return (bright * light + sky) * profile["exposure"] + profile["background"]

    def deviance(parameters: NDArray) -> float:
        mean = np.maximum(expected(parameters), 1e-9)
        some = np.where(counts > 0, counts, 1.0)
        return float(2 * (mean - counts + counts * np.log(some / mean)).sum())

    rate = (counts - profile["background"]) / profile["exposure"]
    start = np.log([0.66, 0.15, max(rate[0], 1e-9), max(rate[-1], 1e-9)])
    options = {"maxiter": 4000, "maxfev": 4000, "xatol": 1e-5, "fatol": 1e-5}
    best = minimize(deviance, start, method="Nelder-Mead", options=options)
    return Fit(*np.exp(best.x).tolist(), float(best.fun), len(counts), expected(best.x))
