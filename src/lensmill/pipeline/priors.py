"""Priors as they are written in the configuration, e.g. ``[uniform, 0.5, 2.0]``.

A draw is the inverse cumulative distribution of a uniform number: no rejection, so a system's
parameters depend on its own numbers only. Frozen distributions of scipy.stats agree to 1e-13, but
not to the last bit (of a fifth of truncated normals, of most log-uniforms): data would change.

==================  =====================================  ==========================
kind                parameters                             support
==================  =====================================  ==========================
fixed               value                                  the value
uniform             low, high                              low ... high
log_uniform         low, high                              low ... high
normal              mean, standard deviation               unbounded
truncated_normal    mean, standard deviation, low, high    low ... high
lognormal           median, scatter [dex]                  positive
truncated_lognormal median, scatter [dex], low, high       low ... high
==================  =====================================  ==========================
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

LN_SQRT_2PI = 0.5 * np.log(2 * np.pi)


def inverse_cdf(prior: list, u: ArrayLike, above: ArrayLike | None = None) -> NDArray:
    """Inverse cumulative distribution: turn uniform numbers into draws from a prior.

    Parameters
    ----------
    prior : list
        Kind and parameters, as in the table above.
    u : array
        Uniform numbers in (0, 1).
    above : array, optional
        Cut the prior below these values, one per draw (a source lies behind its lens).
    """
    u = np.asarray(u, float)
    if above is not None:
        below = cdf(prior, above)
        u = below + u * (1 - below)
    kind, *p = prior
    match kind:
        case "fixed":
            return np.full(u.shape, float(p[0]))
        case "uniform":
            return p[0] + (p[1] - p[0]) * u
        case "log_uniform":
            return p[0] * (p[1] / p[0]) ** u
        case "normal" | "truncated_normal":
            return _truncated_normal(u, *p)
        case "lognormal":
            return p[0] * 10 ** (p[1] * ndtri(u))
        case "truncated_lognormal":
            return 10 ** _truncated_normal(u, np.log10(p[0]), p[1], *np.log10(p[2:]))
    raise ValueError(f"{kind!r} is not a kind of prior; see lensmill.pipeline.priors")


def _truncated_normal(
    u: NDArray, mean: float, sd: float, low: float = -np.inf, high: float = np.inf
) -> NDArray:
    bottom, top = ndtr((low - mean) / sd), ndtr((high - mean) / sd)
    return np.clip(mean + sd * ndtri(bottom + u * (top - bottom)), low, high)


def ends(prior: list) -> NDArray:
    """Return the lowest and the highest value of a prior, but for a probability of 1e-6 each."""
    return inverse_cdf(prior, [1e-6, 1 - 1e-6])


def cdf(prior: list, x: ArrayLike) -> NDArray:
    """Cumulative distribution of a prior at ``x``; 0 below its support and 1 above it."""
    x = np.asarray(x, float)
    kind, *p = prior
    match kind:
        case "fixed":
            return (x >= p[0]).astype(float)
        case "uniform":
            return np.clip((x - p[0]) / (p[1] - p[0]), 0, 1)
        case "log_uniform":
            return np.clip(np.log(np.maximum(x, p[0]) / p[0]) / np.log(p[1] / p[0]), 0, 1)
        case "normal" | "truncated_normal":
            return _truncated_normal_cdf(x, *p)
        case "lognormal" | "truncated_lognormal":
            positive = np.maximum(x, np.finfo(float).tiny)
            return _truncated_normal_cdf(np.log10(positive), np.log10(p[0]), p[1], *np.log10(p[2:]))
    raise ValueError(f"{kind!r} is not a kind of prior; see lensmill.pipeline.priors")


def _truncated_normal_cdf(
    x: NDArray, mean: float, sd: float, low: float = -np.inf, high: float = np.inf
) -> NDArray:
    bottom, top = ndtr((low - mean) / sd), ndtr((high - mean) / sd)
    return np.clip((ndtr((x - mean) / sd) - bottom) / (top - bottom), 0, 1)


def log_density(prior: list, x: ArrayLike) -> NDArray:
    """Logarithm of the probability density of a prior at ``x``, per unit of ``x``.

    The ends belong to the support; -inf beyond them. What is fixed has all its probability at one
    value: 0 there (ln 1, not per unit of anything), -inf elsewhere.

    Parameters
    ----------
    prior : list
        Kind and parameters, as in the table above.
    x : array
        Values in the unit of the prior.
    """
    x = np.asarray(x, float)
    kind, *p = prior
    match kind:
        case "fixed":
            return np.where(x == p[0], 0.0, -np.inf)
        case "uniform":
            return np.where((x >= p[0]) & (x <= p[1]), -np.log(p[1] - p[0]), -np.inf)
        case "log_uniform":
            inside = (x >= p[0]) & (x <= p[1])
            return np.where(inside, -np.log(np.where(inside, x, 1) * np.log(p[1] / p[0])), -np.inf)
        case "normal" | "truncated_normal":
            return _truncated_normal_log_density(x, *p)
        case "lognormal" | "truncated_lognormal":
            positive = np.where(x > 0, x, np.finfo(float).tiny)
            per_dex = _truncated_normal_log_density(
                np.log10(positive), np.log10(p[0]), p[1], *np.log10(p[2:])
            )
            return np.where(x > 0, per_dex - np.log(positive * np.log(10)), -np.inf)
    raise ValueError(f"{kind!r} is not a kind of prior; see lensmill.pipeline.priors")


def _truncated_normal_log_density(
    x: NDArray, mean: float, sd: float, low: float = -np.inf, high: float = np.inf
) -> NDArray:
    bottom, top = (low - mean) / sd, (high - mean) / sd
    if bottom > 0:  # in the upper tail the difference of the two below has no digits left
        bottom, top = -top, -bottom
    inside = np.log(ndtr(top) - ndtr(bottom))
    density = -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - LN_SQRT_2PI - inside
    return np.where((x >= low) & (x <= high), density, -np.inf)


def folded(prior: list, angle: ArrayLike) -> NDArray | None:
    """Return what was drawn of an angle that is known up to half a turn.

    None where the prior is wider than that, so that it cannot be told.
    """
    low, high = inverse_cdf(prior, [0.0, 1.0])
    if high - low > np.pi * (1 + 1e-12):
        return None
    # about the middle, so that rounding at the ends turns nothing
    start = (low + high - np.pi) / 2
    return start + (np.asarray(angle, float) - start) % np.pi


def direction(prior: list, angle: ArrayLike) -> NDArray | None:
    """Return where in its prior an angle lies that is known up to half a turn; uniform if drawn so.

    0 and 1 are the same direction where the prior is uniform in whole half turns. None where it is
    wider than half a turn otherwise, or fixed.
    """
    low, high = inverse_cdf(prior, [0.0, 1.0])
    halves = (high - low) / np.pi
    if prior[0] == "uniform" and abs(halves - round(halves)) < 1e-9:
        return (np.asarray(angle, float) - low) / np.pi % 1
    drawn = folded(prior, angle)
    return None if drawn is None or prior[0] == "fixed" else cdf(prior, drawn)
