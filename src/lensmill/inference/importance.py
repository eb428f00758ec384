"""Adaptive importance sampling: draws from a mixture, weighted to be draws from the target.

Weights are p(x) / q(x) with the density q of the whole mixture. How far they can be trusted is
told by two numbers: the effective sample size, and the shape k of a generalised Pareto
distribution fitted to the largest weights, above 0.7 of which no number of draws helps (Vehtari et
al. 2024, JMLR 25, 72). The mixture learns from its draws (Cappe et al. 2008, Stat. Comput. 18, 447).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from .compiling import kernel

GOOD_K = 0.7  # largest Pareto k of weights that can be trusted


class Mixture(NamedTuple):
    """A mixture of ``m`` multivariate Student distributions in ``d`` dimensions."""

    weight: NDArray  # (m,), sum 1
    mean: NDArray  # (m, d)
    factor: NDArray  # (m, d, d), lower Cholesky factors of the scale matrices
    dof: float  # degrees of freedom, the same for all


def draw(mixture: Mixture, n: int, rng: np.random.Generator) -> NDArray:
    """Draw from a mixture, in as even shares of its components as can be: shape (n, d)."""
    # one uniform number for all: a component has the whole number below or above its share
    edges = np.cumsum(mixture.weight) / mixture.weight.sum()
    component = np.minimum(
        np.searchsorted(edges, (np.arange(n) + rng.random()) / n), len(mixture.weight) - 1
    )
    normal = rng.standard_normal((n, mixture.mean.shape[1]))
    stretch = np.sqrt(mixture.dof / rng.chisquare(mixture.dof, n))
    steps = np.einsum("nij,nj->ni", mixture.factor[component], normal)
    return mixture.mean[component] + stretch[:, None] * steps


@kernel
def _distances(x, mean, factor):
    """Squared Mahalanobis distances of points to components, shape (m, n)."""
    n, d = x.shape
    m = mean.shape[0]
    out = np.empty((m, n))
    z = np.empty(d)
    for j in range(m):
        for i in range(n):
            total = 0.0
            for a in range(d):
                v = x[i, a] - mean[j, a]
                for b in range(a):
                    v -= factor[j, a, b] * z[b]
                z[a] = v / factor[j, a, a]
                total += z[a] * z[a]
            out[j, i] = total
    return out


def log_components(mixture: Mixture, x: NDArray) -> NDArray:
    """Logarithm of weight times density of each component at each point, shape (m, n)."""
    d, dof = mixture.mean.shape[1], mixture.dof
    distance = _distances(np.ascontiguousarray(x), mixture.mean, mixture.factor)
    ln_det = np.log(np.einsum("mii->mi", mixture.factor)).sum(axis=1)
    constant = gammaln((dof + d) / 2) - gammaln(dof / 2) - d / 2 * np.log(dof * np.pi)
    with np.errstate(divide="ignore"):  # a component without weight
        ln_weight = np.log(mixture.weight)
    return (ln_weight + constant - ln_det)[:, None] - (dof + d) / 2 * np.log1p(distance / dof)


def log_density(mixture: Mixture, x: NDArray) -> NDArray:
    """Logarithm of the density of a mixture at points (n, d), shape (n,)."""
    return logsumexp(log_components(mixture, x), axis=0)


def adapt(mixture: Mixture, x: NDArray, ln_w: NDArray, least: float = 20.0) -> Mixture:
    """Move a mixture towards the target by one step of expectation-maximisation.

    Every component takes the weighted mean and covariance of the draws that are its own; one with
    fewer effective draws than ``least`` per dimension keeps its shape.

    Parameters
    ----------
    mixture : Mixture
        That the draws came from.
    x : array, shape (n, d)
        Draws.
    ln_w : array, shape (n,)
        Logarithms of their weights; -inf where the target vanishes.
    least : float
        Effective draws per dimension that a shape is learned from.
    """
    d = x.shape[1]
    use = ln_w > ln_w.max() - 40
    x, ln_w = x[use], ln_w[use]
    parts = log_components(mixture, x)
    share = np.exp(parts - logsumexp(parts, axis=0) + ln_w - logsumexp(ln_w))
    distance = _distances(np.ascontiguousarray(x), mixture.mean, mixture.factor)
    weight = share.sum(axis=1)
    effective = weight**2 / np.maximum((share**2).sum(axis=1), 1e-300)
    mean, factor = mixture.mean.copy(), mixture.factor.copy()
    # the latent scale of a Student distribution: far draws say less of its shape
    share = share * (mixture.dof + d) / (mixture.dof + distance)
    for j in np.flatnonzero(effective > least * d):
        mean[j] = share[j] @ x / share[j].sum()
        offset = x - mean[j]
        covariance = (share[j, :, None] * offset).T @ offset / weight[j]
        try:
            factor[j] = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            mean[j] = mixture.mean[j]
    # a floor keeps every component in play: one without a draw would never get weight again
    weight = weight / weight.sum()
    weight = 0.95 * weight + 0.05 * mixture.weight / mixture.weight.sum()
    return Mixture(weight, mean, factor, mixture.dof)


def effective_size(ln_w: NDArray) -> float:
    """Effective sample size (sum w)^2 / sum w^2 of weights with these logarithms."""
    w = np.exp(ln_w - ln_w.max())
    return float(w.sum() ** 2 / (w**2).sum())


def pareto_k(ln_w: NDArray) -> float:
    """Shape k of the generalised Pareto distribution of the largest weights.

    The tail are the largest min(n / 5, 3 sqrt(n)) weights; k by the estimator of Zhang & Stephens
    (2009, Technometrics 51, 316) with the weak prior of Vehtari et al. (2024), as is usual for
    importance weights. Infinite where fewer than five weights are in the tail.
    """
    n = len(ln_w)
    tail = int(np.ceil(min(n / 5, 3 * np.sqrt(n))))
    w = np.sort(np.exp(ln_w - ln_w.max()))
    x = w[-tail:] - w[-tail - 1]
    if tail < 5 or x[0] < 0 or np.count_nonzero(x) < 5:
        return np.inf
    x = x[x > 0]
    n = len(x)
    m = 30 + int(np.sqrt(n))
    theta = 1 / x[-1] + (1 - np.sqrt(m / (np.arange(m) + 0.5))) / (3 * x[int(n / 4 + 0.5) - 1])
    k = np.log1p(-theta[:, None] * x).mean(axis=1)
    profile = n * (np.log(-theta / k) - k - 1)
    theta = (theta * np.exp(profile - logsumexp(profile))).sum()
    k = np.log1p(-theta * x).mean()
    return float((n * k + 10 * 0.5) / (n + 10))


def resample(ln_w: NDArray, n: int, rng: np.random.Generator) -> NDArray:
    """Draw rows in proportion to their weights, systematically: shape (n,), ascending."""
    w = np.exp(ln_w - ln_w.max())
    edges = np.cumsum(w) / w.sum()
    rows = np.searchsorted(edges, (np.arange(n) + rng.random()) / n, side="right")
    return np.minimum(rows, len(w) - 1)
