"""How likely a redshift is for a galaxy of a magnitude, before its colours are looked at."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import gammaln


class MagnitudePrior(NamedTuple):
    """p(z | m) ~ z^a exp(-(z / z_m)^a), z_m = z_0 + k (m - m_0): the form of Benitez (2000)."""

    alpha: float  # a, above 0
    redshift: float  # z_0
    slope: float  # k, 1 / mag
    magnitude: float  # m_0, AB mag

    def scale(self, magnitude: ArrayLike) -> NDArray:
        """z_m, kept above 0.01: a bright galaxy is near, not nowhere."""
        offset = np.asarray(magnitude, float) - self.magnitude
        return np.maximum(self.redshift + self.slope * offset, 0.01)

    def log_density(self, redshifts: ArrayLike, magnitude: ArrayLike) -> NDArray:
        """Logarithm of the normalised density, shape (n, Z), of redshifts, shape (Z,).

        Flat for a magnitude that is NaN (the band was not observed).
        """
        magnitude = np.asarray(magnitude, float)[:, None]
        redshifts = np.asarray(redshifts, float)
        log = self._log(np.maximum(redshifts, 1e-4), magnitude)
        return np.where(np.isnan(magnitude), 0.0, log)

    def _log(self, redshifts: NDArray, magnitude: NDArray) -> NDArray:
        scale = self.scale(magnitude)
        power = (redshifts / scale) ** self.alpha
        # int z^a exp(-(z / s)^a) dz = s^(a + 1) Gamma(1 + 1 / a) / a
        norm = (self.alpha + 1) * np.log(scale) + gammaln(1 + 1 / self.alpha) - np.log(self.alpha)
        return self.alpha * np.log(redshifts) - power - norm


def fit(magnitude: ArrayLike, redshift: ArrayLike) -> MagnitudePrior:
    """Return the prior of greatest likelihood for training galaxies of known redshift.

    Parameters
    ----------
    magnitude : array, shape (n,)
        [AB mag]; those that are not finite are left out.
    redshift : array, shape (n,)
        Above 0.
    """
    magnitude, redshift = np.asarray(magnitude, float), np.asarray(redshift, float)
    good = np.isfinite(magnitude) & (redshift > 0)
    if good.sum() < 10:
        raise ValueError(f"{good.sum()} galaxies do not tell a prior: 10 or more are needed")
    magnitude, redshift = magnitude[good], redshift[good]
    middle = float(np.median(magnitude))

    def loss(parameters: NDArray) -> float:
        alpha, at, slope = np.exp(parameters[0]), np.exp(parameters[1]), parameters[2]
        prior = MagnitudePrior(float(alpha), float(at), float(slope), middle)
        return -float(prior._log(redshift, magnitude).mean())

    start = np.array([np.log(2.0), np.log(np.median(redshift)), 0.0])
    found = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 2000}).x
    return MagnitudePrior(float(np.exp(found[0])), float(np.exp(found[1])), float(found[2]), middle)
