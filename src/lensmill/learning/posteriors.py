"""Posteriors as mixtures of full-covariance Gaussians, in numpy: what the heads mean."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LARGEST_LOG = 12.0  # as in lensmill.learning.layers, which this module must not import


class Mixture(NamedTuple):
    """Mixtures of ``K`` Gaussians in ``T`` dimensions, one per system."""

    weight: NDArray  # (n, K)
    mean: NDArray  # (n, K, T)
    factor: NDArray  # (n, K, T, T), lower; the precision is factor^T factor


def outputs(n_components: int, n_targets: int) -> int:
    """Return the numbers a network gives for a mixture of Gaussians with full covariance."""
    return n_components * (1 + n_targets + n_targets * (n_targets + 1) // 2)


def unpack(outputs: NDArray, n_components: int, n_targets: int) -> Mixture:
    """Read the outputs of a network that was trained with `lensmill.learning.layers.MixtureLoss`.

    Parameters
    ----------
    outputs : array, shape (n, K (1 + T + T (T + 1) / 2))
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
    return Mixture(weight / weight.sum(axis=1, keepdims=True), mean.reshape(n, k, t), factor)


def log_density(mixture: Mixture, x: NDArray) -> NDArray:
    """Logarithm of the density at ``x`` (n, T): shape (n,)."""
    off = x[:, None] - mixture.mean
    z = np.einsum("nkij,nkj->nki", mixture.factor, off)
    log_determinant = np.log(np.diagonal(mixture.factor, axis1=2, axis2=3)).sum(axis=-1)
    terms = log_determinant - 0.5 * (z**2).sum(axis=-1) - 0.5 * x.shape[1] * np.log(2 * np.pi)
    return np.logaddexp.reduce(np.log(mixture.weight) + terms, axis=1)


def log_densities(mixture: Mixture, x: NDArray) -> NDArray:
    """Logarithm of the density at several points of each system, ``x`` (n, S, T): shape (n, S)."""
    terms = []
    for k in range(mixture.weight.shape[1]):
        factor = mixture.factor[:, k]
        z = (x - mixture.mean[:, k, None]) @ factor.transpose(0, 2, 1)
        log = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        log += np.log(mixture.weight[:, k]) - 0.5 * x.shape[2] * np.log(2 * np.pi)
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
