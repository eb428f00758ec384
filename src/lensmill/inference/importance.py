"""Adaptive importance sampling: draws from a mixture, weighted to be draws from the target.

Weights are p(x) / q(x) with the density q of the whole mixture. How far they can be trusted is
told by two numbers: the effective sample size, and the shape k of a generalised Pareto
distribution fitted to the largest weights, above 0.7 of which no number of draws helps (Vehtari et
al. 2024, JMLR 25, 72). The mixture learns from its draws (Cappe et al. 2008, Stat. Comput. 18,
447).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from .compiling import kernel

TINY = 1e-300
BLOCK = 256  # points
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
def _distances(block, size, mean, inverse, z, total):
    """Squared Mahalanobis distances of a block of points (d, size) to one component."""
    d = mean.size
    total[:size] = 0.0
    for a in range(d):
        z[:size] = 0.0
        for b in range(a + 1):
            w, centre = inverse[a, b], mean[b]
            for i in range(size):
                z[i] += w * (block[b, i] - centre)
        for i in range(size):
            total[i] += z[i] * z[i]


@kernel
def _student(total, size, dof, d):
    """Turn squared distances into densities of a Student distribution, but for the constant.

    The power (dof + d) / 2 is a multiple of a half: products and a root do it.
    """
    whole, odd = (int(dof) + d) // 2, (int(dof) + d) % 2
    for i in range(size):
        y = 1.0 / (1.0 + total[i] / dof)
        p = np.sqrt(y) if odd else 1.0
        for _ in range(whole):
            p *= y
        total[i] = p


@kernel
def _densities(x, mean, inverse, constant, dof, each):
    """Density of the sum of components at points (n, d); of each, (m, n), where there is room.

    Points go through in blocks, so that the innermost loops run over neighbours in memory.
    """
    n, d = x.shape
    m = mean.shape[0]
    out = np.zeros(n)
    block = np.empty((d, BLOCK))
    z, total = np.empty(BLOCK), np.empty(BLOCK)
    for start in range(0, n, BLOCK):
        size = min(BLOCK, n - start)
        for i in range(size):
            for a in range(d):
                block[a, i] = x[start + i, a]
        for j in range(m):
            _distances(block, size, mean[j], inverse[j], z, total)
            _student(total, size, dof, d)
            for i in range(size):
                out[start + i] += constant[j] * total[i]
            if each.size:
                for i in range(size):
                    each[j, start + i] = total[i]
    return out


def _constants(mixture: Mixture) -> tuple[NDArray, float]:
    """Factors of the components, without their weights, and the logarithm of their unit."""
    d, dof = mixture.mean.shape[1], mixture.dof
    ln_det = np.log(np.einsum("mii->mi", mixture.factor)).sum(axis=1)
    unit = gammaln((dof + d) / 2) - gammaln(dof / 2) - d / 2 * np.log(dof * np.pi) - ln_det.min()
    return np.exp(ln_det.min() - ln_det), unit


def densities(mixture: Mixture, x: NDArray) -> NDArray:
    """Densities of the components, without their weights, in one common unit: shape (m, n)."""
    constant, _ = _constants(mixture)
    each = np.empty((len(mixture.weight), len(x)))
    inverse = np.linalg.inv(mixture.factor)
    _densities(np.ascontiguousarray(x), mixture.mean, inverse, constant, mixture.dof, each)
    return constant[:, None] * each


def log_density(mixture: Mixture, x: NDArray) -> NDArray:
    """Logarithm of the density of a mixture at points (n, d), shape (n,)."""
    constant, unit = _constants(mixture)
    inverse = np.linalg.inv(mixture.factor)
    total = _densities(
        np.ascontiguousarray(x),
        *(mixture.mean, inverse, mixture.weight * constant, mixture.dof, np.empty((0, 0))),
    )
    return np.log(np.maximum(total, TINY)) + unit


def learn_weights(
    mixture: Mixture, each: NDArray, ln_w: NDArray, kept: float, steps: int = 3
) -> Mixture:
    """Give the components the weights that weighted draws want, by expectation-maximisation.

    Parameters
    ----------
    each : array, shape (m, n)
        Densities of the components at the draws, as of `densities`.
    kept : float
        Part of the weight that stays as it was: what the draws do not know of is not given up.
    """
    w = np.exp(ln_w - logsumexp(ln_w))
    weight = mixture.weight
    for _ in range(steps):
        share = weight * (each @ (w / np.maximum(weight @ each, TINY)))
        weight = (1 - kept) * share / share.sum() + kept * mixture.weight
    return mixture._replace(weight=weight)


class Pool:
    """Draws of several mixtures, weighted as draws of one: the mixture of them all.

    The deterministic mixture weights of Owen & Zhou (2000, J. Am. Stat. Assoc. 95, 135): a round
    that missed part of the target cannot spoil what the others found. The components of ``cover``
    are the last of every mixture, with weights of its own: their densities, most of the work, are
    taken once for each draw.
    """

    def __init__(self, cover: Mixture):
        self.x = np.empty((0, cover.mean.shape[1]))
        self.ln_target = np.empty(0)
        self._cover = cover
        self._each = np.empty((0, len(cover.weight)))  # densities of its components at the draws
        self._mixtures: list[tuple[Mixture, int]] = []
        self._ln_q = np.empty(0)  # of the sum of count times density

    def add(self, mixture: Mixture, x: NDArray, ln_target: NDArray) -> None:
        """Add the draws of one more mixture with the logarithms of the target."""
        old, new = slice(len(self.x)), slice(len(self.x), len(self.x) + len(x))
        self.x = np.concatenate([self.x, x])
        self.ln_target = np.concatenate([self.ln_target, ln_target])
        self._each = np.concatenate([self._each, densities(self._cover, x).T])
        self._mixtures.append((mixture, len(x)))
        at_old = self._log_density(mixture, old) + np.log(len(x))
        at_new = [self._log_density(one, new) + np.log(count) for one, count in self._mixtures]
        self._ln_q = np.concatenate([np.logaddexp(self._ln_q, at_old), logsumexp(at_new, axis=0)])

    def densities(self, mixture: Mixture, rows: NDArray) -> NDArray:
        """Densities of the components of a mixture at some draws, as of `densities`."""
        about, _ = self._parts(mixture)
        unit = np.exp(_constants(about)[1] - _constants(self._cover)[1])
        return np.concatenate([unit * densities(about, self.x[rows]), self._each[rows].T])

    def _parts(self, mixture: Mixture) -> tuple[Mixture, NDArray]:
        """Split a mixture: what is its own, and its weights of the cover."""
        own = len(mixture.weight) - len(self._cover.weight)
        about = Mixture(*(part[:own] for part in mixture[:3]), mixture.dof)
        return about, mixture.weight[own:]

    def _log_density(self, mixture: Mixture, rows: slice) -> NDArray:
        about, weight = self._parts(mixture)
        covered = np.log(np.maximum(self._each[rows] @ weight, TINY))
        covered += _constants(self._cover)[1]
        if not len(about.weight):
            return covered
        return np.logaddexp(log_density(about, self.x[rows]), covered)

    @property
    def ln_weight(self) -> NDArray:
        """Logarithms of the weights; their mean is the evidence."""
        return self.ln_target - self._ln_q + np.log(len(self.x))


def adapt(
    mixture: Mixture, x: NDArray, ln_w: NDArray, steps: int = 5, floor: float = 0.05
) -> Mixture:
    """Move a mixture towards the target by steps of expectation-maximisation.

    Every component takes the weighted mean and covariance of the draws that are its own, mixed
    with its present ones, which count as one effective draw per dimension and two.

    Parameters
    ----------
    mixture : Mixture
        Where to start.
    x : array, shape (n, d)
        Draws.
    ln_w : array, shape (n,)
        Logarithms of their weights; -inf where the target vanishes.
    steps : int
    floor : float
        Part of the weight that stays with the mixture as it was: a component without a draw would
        never get weight again.
    """
    d = x.shape[1]
    use = ln_w > ln_w.max() - 30
    x, w = x[use], np.exp(ln_w[use] - logsumexp(ln_w))
    start = mixture.weight / mixture.weight.sum()
    for _ in range(steps):
        each = mixture.weight[:, None] * densities(mixture, x)
        share = each / np.maximum(each.sum(axis=0), TINY) * w
        weight = share.sum(axis=1)
        effective = weight**2 / np.maximum((share**2).sum(axis=1), TINY)
        mean, factor = mixture.mean.copy(), mixture.factor.copy()
        for j in np.flatnonzero(effective > 2):
            z = np.linalg.solve(factor[j], (x - mean[j]).T)
            # the latent scale of a Student distribution: far draws say less of its shape
            scaled = share[j] * (mixture.dof + d) / (mixture.dof + (z**2).sum(axis=0))
            own = effective[j] / (effective[j] + 2 * d)
            centre = scaled @ x / scaled.sum()
            offset = x - centre
            covariance = (scaled[:, None] * offset).T @ offset / weight[j]
            old = factor[j] @ factor[j].T
            factor[j] = np.linalg.cholesky(own * covariance + (1 - own) * old)
            mean[j] = own * centre + (1 - own) * mean[j]
        mixture = Mixture(weight / weight.sum(), mean, factor, mixture.dof)
    return mixture._replace(weight=(1 - floor) * mixture.weight + floor * start)


LEAST_WEIGHT = 1e-300  # of the largest; the inverse of a lesser one overflows


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
    x = w[-tail:] - w[-tail - 1] if tail else w[:0]
    x = x[x > LEAST_WEIGHT]
    if len(x) < 5:
        return np.inf
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
