"""Densities of redshift, p(z): mixtures of Gaussians in ln(1 + z), or values on a grid of z."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from lensmill.learning import posteriors
from lensmill.learning.calibration import CENTRAL

BISECTIONS = 30  # of 12 sigma or more: to 1e-8 sigma
LEAST_WIDTH = 1e-3  # of a kernel in ln(1 + z), where all trees say the same
LEVELS = (CENTRAL["68"][0], 0.5, CENTRAL["68"][1])


class Gaussians(NamedTuple):
    """Mixtures of Gaussians in ln(1 + z), one per galaxy."""

    mixture: posteriors.Mixture

    def cdf(self, redshift: NDArray) -> NDArray:
        """Probability of less than ``redshift`` (n,): shape (n,)."""
        return self._below(np.log1p(redshift))

    def density(self, redshift: NDArray) -> NDArray:
        """Density per unit of z at ``redshift`` (n, S): shape (n, S)."""
        u = np.log1p(np.maximum(redshift, -0.99))
        return np.exp(posteriors.log_densities(self.mixture, u[..., None]) - u)

    def quantiles(self, levels: NDArray) -> NDArray:
        """Redshifts below which these fractions (Q,) lie: shape (n, Q)."""
        mean, spread = self.mixture.mean[..., 0], 1 / self.mixture.factor[..., 0, 0]
        found = []
        for level in levels:
            low, high = (mean - 6 * spread).min(axis=1), (mean + 6 * spread).max(axis=1)
            for _ in range(BISECTIONS):
                middle = (low + high) / 2
                below = self._below(middle) < level
                low, high = np.where(below, middle, low), np.where(below, high, middle)
            found.append(np.expm1((low + high) / 2))
        return np.stack(found, axis=1)

    def sample(self, size: int, rng: np.random.Generator) -> NDArray:
        """Draw redshifts: shape (n, size)."""
        return np.expm1(posteriors.sample(self.mixture, size, rng)[..., 0])

    def _below(self, u: NDArray) -> NDArray:
        z = (u[:, None] - self.mixture.mean[..., 0]) * self.mixture.factor[..., 0, 0]
        return (self.mixture.weight * ndtr(z)).sum(axis=1)


class Grid(NamedTuple):
    """Densities on a grid of redshift, straight lines between."""

    redshift: NDArray  # (Z,)
    values: NDArray  # (n, Z), of integral 1

    def cdf(self, redshift: NDArray) -> NDArray:
        """Probability of less than ``redshift`` (n,): shape (n,)."""
        inside = np.clip(redshift, self.redshift[0], self.redshift[-1])
        cell = np.clip(np.searchsorted(self.redshift, inside) - 1, 0, len(self.redshift) - 2)
        rows = np.arange(len(inside))
        step = inside - self.redshift[cell]
        low, high = self.values[rows, cell], self.values[rows, cell + 1]
        slope = (high - low) / (self.redshift[cell + 1] - self.redshift[cell])
        return np.clip(self._cumulative()[rows, cell] + step * (low + slope * step / 2), 0, 1)

    def density(self, redshift: NDArray) -> NDArray:
        """Density per unit of z at ``redshift`` (n, S): shape (n, S); 0 outside the grid."""
        return np.stack(
            [
                np.interp(at, self.redshift, mine, left=0.0, right=0.0)
                for at, mine in zip(redshift, self.values, strict=True)
            ]
        )

    def quantiles(self, levels: NDArray) -> NDArray:
        """Redshifts below which these fractions (Q,) lie: shape (n, Q)."""
        return self._invert(np.broadcast_to(levels, (len(self.values), len(levels))))

    def sample(self, size: int, rng: np.random.Generator) -> NDArray:
        """Draw redshifts: shape (n, size)."""
        return self._invert(rng.random((len(self.values), size)))

    def _cumulative(self) -> NDArray:
        steps = np.diff(self.redshift) * (self.values[:, 1:] + self.values[:, :-1]) / 2
        return np.concatenate([np.zeros((len(steps), 1)), steps.cumsum(axis=1)], axis=1)

    def _invert(self, levels: NDArray) -> NDArray:
        """Undo `cdf`: exactly, by the quadratic of a cell."""
        cumulative = self._cumulative()
        cell = np.stack(
            [
                np.searchsorted(mine, at, side="right")
                for mine, at in zip(cumulative, levels, strict=True)
            ]
        )
        cell = np.clip(cell - 1, 0, len(self.redshift) - 2)
        rows = np.arange(len(levels))[:, None]
        left = levels - cumulative[rows, cell]
        low, high = self.values[rows, cell], self.values[rows, cell + 1]
        width = self.redshift[cell + 1] - self.redshift[cell]
        slope = (high - low) / width
        root = low + np.sqrt(np.maximum(low**2 + 2 * slope * left, 0))
        step = 2 * left / np.where(root > 0, root, 1)
        return self.redshift[cell] + np.clip(step, 0, width)


Densities = Gaussians | Grid


def kernels(redshift: NDArray) -> Gaussians:
    """Kernel density of draws (n, S), Gaussian in ln(1 + z).

    ASSUME: Silverman's (1986) width for each galaxy, 0.9 S^-1/5 of its scatter; it makes the
    density wider than the draws by a few per cent.
    """
    u = np.log1p(redshift)
    low, high = np.quantile(u, [0.25, 0.75], axis=1) if len(u) else np.empty((2, 0))
    scatter = np.minimum(u.std(axis=1), (high - low) / 1.349)
    width = np.maximum(0.9 * scatter * u.shape[1] ** -0.2, LEAST_WIDTH)
    factor = np.broadcast_to(1 / width[:, None], u.shape)[..., None, None]
    weight = np.full(u.shape, 1 / u.shape[1])
    return Gaussians(posteriors.Mixture(weight, u[..., None], factor))


def answer(density: Densities) -> tuple[NDArray, NDArray]:
    """Median redshift and half of the central 68 %, both of shape (n,)."""
    low, median, high = density.quantiles(np.array(LEVELS)).T
    return median, (high - low) / 2
