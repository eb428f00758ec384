"""Posteriors as mixtures of full-covariance Gaussians, in numpy: what the heads mean."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

# as in lensmill.learning.layers, which this module must not import
LARGEST_LOG = 12.0
LARGEST_RATIO = 5.0


SCALES = 3  # of a scale mixture of Gaussians; a fourth gains 0.003 in ln p of ten parameters
LN_WIDTH = 0.5  # prior of the logarithms of widths, for few systems: their standard deviation


class Mixture(NamedTuple):
    """Mixtures of ``K`` Gaussians in ``T`` dimensions, one per system."""

    weight: NDArray  # (n, K)
    mean: NDArray  # (n, K, T)
    factor: NDArray  # (n, K, T, T), lower; the precision is factor^T factor


class Scales(NamedTuple):
    """Widths that each Gaussian has at a time, in place of one: its tails and its core."""

    weight: NDArray  # (S,), sum 1
    width: NDArray  # (S, T), in units of the Gaussian's own, in the order of its factor's rows


def outputs(n_components: int, n_targets: int) -> int:
    """Return the numbers a network gives for a mixture of Gaussians with full covariance."""
    return n_components * (1 + n_targets + n_targets * (n_targets + 1) // 2)


def unpack(
    outputs: NDArray, n_components: int, n_targets: int, pairs: Sequence[int] = ()
) -> Mixture:
    """Read the outputs of a network that was trained with `lensmill.learning.layers.MixtureLoss`.

    Parameters
    ----------
    outputs : array, shape (n, K (1 + T + T (T + 1) / 2))
    n_components, n_targets, pairs
        Those of the loss.
    """
    k, t = n_components, n_targets
    n = len(outputs)
    ends = np.cumsum([k, k * t, k * t])
    logits, mean, diagonal, below = np.split(outputs.astype(np.float64), ends, axis=1)
    weight = np.exp(logits - logits.max(axis=1, keepdims=True))
    factor = np.zeros((n, k, t, t))
    rows, columns = np.tril_indices(t, -1)
    factor[:, :, rows, columns] = below.reshape(n, k, -1)
    log = LARGEST_LOG * np.tanh(diagonal.reshape(n, k, t) / LARGEST_LOG)
    factor[:, :, np.arange(t), np.arange(t)] = np.exp(log)
    for i in pairs:
        raw = diagonal.reshape(n, k, t)[:, :, i + 1]
        _set_block(factor, i, np.exp(log[:, :, i]), raw, factor[:, :, i + 1, i].copy())
    return Mixture(weight / weight.sum(axis=1, keepdims=True), mean.reshape(n, k, t), factor)


def _set_block(factor: NDArray, i: int, scale: NDArray, b: NDArray, c: NDArray) -> None:
    """Set rows ``i`` and ``i + 1`` to the symmetric block, turned until they are triangular."""
    r = np.sqrt(b**2 + c**2 + 1e-12)
    bounded = LARGEST_RATIO * np.tanh(r / LARGEST_RATIO)
    even, by = np.cosh(bounded), np.sinh(bounded) / r
    factor[:, :, i, i], factor[:, :, i + 1, i + 1] = (
        scale * (even + b * by),
        scale * (even - b * by),
    )
    factor[:, :, i, i + 1] = factor[:, :, i + 1, i] = scale * c * by
    angle = np.arctan2(factor[:, :, i, i + 1], factor[:, :, i + 1, i + 1])[..., None]
    x, y = factor[:, :, i].copy(), factor[:, :, i + 1].copy()
    factor[:, :, i] = np.cos(angle) * x - np.sin(angle) * y
    factor[:, :, i + 1] = np.sin(angle) * x + np.cos(angle) * y
    factor[:, :, i, i + 1] = 0.0  # but for rounding it is


def log_density(mixture: Mixture, x: NDArray) -> NDArray:
    """Logarithm of the density at ``x`` (n, T): shape (n,)."""
    off = x[:, None] - mixture.mean
    z = np.einsum("nkij,nkj->nki", mixture.factor, off)
    log_determinant = np.log(np.diagonal(mixture.factor, axis1=2, axis2=3)).sum(axis=-1)
    terms = log_determinant - 0.5 * (z**2).sum(axis=-1) - _ln_norm(x.shape[1])
    return np.logaddexp.reduce(np.log(mixture.weight) + terms, axis=1)


def log_densities(mixture: Mixture, x: NDArray) -> NDArray:
    """Logarithm of the density at several points of each system, ``x`` (n, S, T): shape (n, S)."""
    terms = []
    with np.errstate(divide="ignore"):  # in 32 bits a weight may be 0
        ln_weight = np.log(mixture.weight)
    for k in range(mixture.weight.shape[1]):
        factor = mixture.factor[:, k]
        z = (x - mixture.mean[:, k, None]) @ factor.transpose(0, 2, 1)
        log = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        log += ln_weight[:, k] - _ln_norm(x.shape[2])
        terms.append(log[:, None] - 0.5 * (z**2).sum(axis=-1))
    return np.logaddexp.reduce(terms, axis=0)


def sample(mixture: Mixture, size: int, rng: np.random.Generator) -> NDArray:
    """Draw from each mixture: shape (n, size, T)."""
    n, _, t = mixture.mean.shape
    edges = mixture.weight.cumsum(axis=1)
    component = (rng.random((n, size))[..., None] > edges[:, None, :-1]).sum(axis=-1)
    spread = np.linalg.inv(mixture.factor)
    normal = rng.standard_normal((n, size, t))
    draws = np.empty((n, size, t))
    for k in range(mixture.weight.shape[1]):
        chosen = component == k
        if chosen.any():
            moved = mixture.mean[:, k, None] + normal @ spread[:, k].transpose(0, 2, 1)
            draws[chosen] = moved[chosen]
    return draws


def rescale(mixture: Mixture, mean: NDArray, scale: NDArray) -> Mixture:
    """Return the mixtures of ``x * scale + mean``, x being distributed as the given ones."""
    mean, scale = np.asarray(mean), np.asarray(scale)
    return Mixture(mixture.weight, mixture.mean * scale + mean, mixture.factor / scale)


def join(mixtures: Sequence[Mixture]) -> Mixture:
    """Return the mixtures in which each of the given ones has the same weight: an ensemble's."""
    weight = np.concatenate([m.weight for m in mixtures], axis=1) / len(mixtures)
    parts = zip(*(m[1:] for m in mixtures), strict=True)
    return Mixture(weight, *(np.concatenate(part, axis=1) for part in parts))


def marginal(mixture: Mixture, columns: Sequence[int]) -> Mixture:
    """Return the mixtures of some of the targets, whatever the others are."""
    spread = np.linalg.inv(mixture.factor)
    rows = spread[:, :, list(columns)]
    # A factor of the covariance, whose inverse is one of the precision; without the covariance
    # itself, which has twice as many digits.
    upper = np.linalg.qr(rows.transpose(0, 1, 3, 2), mode="r")
    upper *= np.sign(np.diagonal(upper, axis1=2, axis2=3))[..., None]
    factor = np.linalg.inv(upper.transpose(0, 1, 3, 2))
    return Mixture(mixture.weight, mixture.mean[:, :, list(columns)], factor)


def conditional(mixture: Mixture, columns: Sequence[int], values: NDArray) -> Mixture:
    """Return the mixtures of the other targets, in their order, given some of them.

    Parameters
    ----------
    mixture : Mixture
    columns : sequence of int
        Those given.
    values : array, shape (n, len(columns))
    """
    others = [i for i in range(mixture.mean.shape[2]) if i not in columns]
    precision = np.einsum("nkli,nklj->nkij", mixture.factor, mixture.factor)
    own = precision[:, :, others][..., others]
    off = values[:, None] - mixture.mean[:, :, list(columns)]
    pull = np.einsum("nkij,nkj->nki", precision[:, :, others][..., list(columns)], off)
    mean = mixture.mean[:, :, others] - np.linalg.solve(own, pull[..., None])[..., 0]
    # lower factors of a precision, as everywhere here: Cholesky of the reversed one, reversed
    factor = np.linalg.cholesky(own[..., ::-1, ::-1])[..., ::-1, ::-1].swapaxes(-1, -2)
    given = marginal(mixture, columns)
    with np.errstate(divide="ignore"):
        ln = np.log(given.weight)
    ln += np.log(np.diagonal(given.factor, axis1=2, axis2=3)).sum(axis=-1)
    ln -= (np.einsum("nkij,nkj->nki", given.factor, off) ** 2).sum(axis=-1) / 2
    weight = np.exp(ln - ln.max(axis=1, keepdims=True))
    return Mixture(weight / weight.sum(axis=1, keepdims=True), mean, factor)


def learn_scales(mixture: Mixture, x: NDArray, groups: Sequence[int], alone: float = 0.0) -> Scales:
    """Learn which scale mixture of Gaussians true values follow, by maximum likelihood.

    Where a network is more sure of some systems than it should be, and less of others, each
    parameter by itself may look calibrated, but the density of all together is not: true values
    lie too often in its core and in its tails. Scale mixtures (Andrews & Mallows 1974, J. R. Stat.
    Soc. B 36, 99; Student distributions are some) have both.

    Parameters
    ----------
    mixture : Mixture
        Of systems that the network has not learned from.
    x : array, shape (n, T)
        The truth of these.
    groups : sequence of int, length T
        Columns with the same number have the same widths: components of what turns.
    alone : float
        Weight of the likelihoods of all columns by themselves beside that of all together: the
        density of few scales cannot be right in both, and columns are what most are asked for.
    """
    n, t = x.shape
    member = np.equal.outer(np.unique(groups), groups).astype(float)  # (G, T)
    off = x[:, None] - mixture.mean
    square = np.einsum("nkij,nkj->nki", mixture.factor, off) ** 2 @ member.T
    start = np.log(mixture.weight)
    ln_own = (
        start + np.log(np.diagonal(mixture.factor, axis1=2, axis2=3)).sum(axis=-1) - _ln_norm(t)
    )
    sizes = member.sum(axis=1)
    # variance of each column by the rows of its factor, (n, K, T, G)
    parts = np.linalg.inv(mixture.factor) ** 2 @ member.T if alone else np.empty(0)

    def together(ln_width: NDArray, ln_weight: NDArray) -> tuple[float, NDArray, NDArray]:
        precision = np.exp(-2 * ln_width)
        terms = ln_own[..., None] + ln_weight - ln_width @ sizes - square @ precision.T / 2
        total = np.logaddexp.reduce(terms.reshape(n, -1), axis=1)
        share = np.exp(terms - total[:, None, None])
        own = share.sum(axis=(0, 1))
        by_width = np.einsum("nks,nkg->sg", share, square) * precision - np.outer(own, sizes)
        return total.sum(), by_width, own

    def by_column(ln_width: NDArray, ln_weight: NDArray, i: int) -> tuple[float, NDArray, NDArray]:
        width = np.exp(2 * ln_width)
        variance = parts[:, :, i] @ width.T  # (n, K, S)
        miss = off[:, :, i, None] ** 2 / variance
        terms = start[..., None] + ln_weight - (np.log(variance) + miss) / 2 - _ln_norm(1)
        total = np.logaddexp.reduce(terms.reshape(n, -1), axis=1)
        share = np.exp(terms - total[:, None, None])
        by_width = np.einsum("nks,nkg->sg", share * (miss - 1) / variance, parts[:, :, i]) * width
        return total.sum(), by_width, share.sum(axis=(0, 1))

    def loss(v: NDArray) -> tuple[float, NDArray]:
        ln_width, ln_weight = v[:-SCALES].reshape(SCALES, -1), v[-SCALES:]
        ln_weight = ln_weight - np.logaddexp.reduce(ln_weight)
        value, by_width, own = together(ln_width, ln_weight)
        for i in range(t if alone else 0):
            more = by_column(ln_width, ln_weight, i)
            value, by_width, own = (
                a + alone * b for a, b in zip((value, by_width, own), more, strict=True)
            )
        value += -((ln_width / LN_WIDTH) ** 2).sum() / 2 + ln_weight.sum()
        by_width = by_width - ln_width / LN_WIDTH**2
        by_weight = own + 1 - (own.sum() + SCALES) * np.exp(ln_weight)
        return -value / n, -np.concatenate([by_width.ravel(), by_weight]) / n

    first = np.repeat(np.linspace(0.4, -0.2, SCALES), len(sizes))
    found = minimize(loss, np.concatenate([first, np.zeros(SCALES)]), jac=True, method="L-BFGS-B").x
    ln_weight = found[-SCALES:] - np.logaddexp.reduce(found[-SCALES:])
    return Scales(np.exp(ln_weight), np.exp(found[:-SCALES].reshape(SCALES, -1)) @ member)


def scale_mixture(mixture: Mixture, scales: Scales) -> Mixture:
    """Return the mixtures in which each Gaussian has the widths in place of its own."""
    n, k, t = mixture.mean.shape
    s = len(scales.weight)
    return Mixture(
        (mixture.weight[..., None] * scales.weight).reshape(n, k * s),
        np.repeat(mixture.mean, s, axis=1),
        (mixture.factor[:, :, None] / scales.width[..., None]).reshape(n, k * s, t, t),
    )


def _ln_norm(n_targets: int) -> float:
    """Logarithm of what a Gaussian of unit widths is divided by."""
    return n_targets / 2 * np.log(2 * np.pi)
