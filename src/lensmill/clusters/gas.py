"""Gas of galaxy clusters: density profiles, the mass in them, and their projection on the sky.

The density is that of Vikhlinin et al. (2006, ApJ 640, 691, eq. 3) without its second core, whose
cusp ``alpha`` does for the cool cores here::

    n_e n_p = n_0^2 (r/r_c)^-alpha / (1 + r^2/r_c^2)^(3 beta - alpha/2) / (1 + r^3/r_s^3)^(eps/3)

All lengths are in units of whatever the radii are given in. A cluster is an ellipsoid: ``r`` is
then the elliptical radius, ``r^2 = x^T A x`` with a matrix of determinant 1, so that the same mass
lies within an ellipsoid as would within the sphere. The projection of such a body is exact: its
isophotes are ellipses of one shape, and the profile is that of the sphere times the ratio of their
depths (Binney 1985, MNRAS 212, 767; Stark 1977, ApJ 213, 368).
"""

import numpy as np
from numpy.typing import NDArray

from lensmill.clusters.compiling import kernel

ALPHA, BETA, EPSILON, CORE, STEEP = range(5)  # columns of the parameters of a profile

_STEP = 0.3  # of the integral along the line of sight, in asinh of the depth
_SINH, _COSH = (function(_STEP * np.arange(1, 50)) for function in (np.sinh, np.cosh))
_FAR = 20.0  # steepening radii: where it ends
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)


@kernel
def density_squared(r, shape):
    """Return ``n_e n_p / n_0^2`` at a radius; ``shape`` are alpha, beta, epsilon, r_c and r_s."""
    x = r / shape[CORE]
    log = -shape[ALPHA] * np.log(x)
    log -= (3.0 * shape[BETA] - 0.5 * shape[ALPHA]) * np.log1p(x * x)
    y = r / shape[STEEP]
    log -= shape[EPSILON] / 3.0 * np.log1p(y * y * y)
    return np.exp(log)


@kernel
def _column(radius, shape):
    """Integrate ``density_squared`` along the whole line of sight at a projected radius."""
    # depth = radius sinh(t): nothing is near, so that the trapezium rule is exact to many digits
    total = 0.5 * density_squared(radius, shape)
    for k in range(len(_SINH)):
        total += density_squared(radius * _COSH[k], shape) * _COSH[k]
        if radius * _SINH[k] > _FAR * shape[STEEP]:
            break
    return 2.0 * radius * _STEP * total


@kernel
def _tabulate(shape, log_radius, out):
    for k in range(len(log_radius)):
        out[k] = np.log(_column(np.exp(log_radius[k]), shape))


@kernel
def _integrals(shape, low, high, power, half):
    """Integrate r^power density_squared^half over ln r between two radii."""
    middle, width = 0.5 * (np.log(high) + np.log(low)), 0.5 * (np.log(high) - np.log(low))
    total = 0.0
    for node, weight in zip(_NODES, _WEIGHTS):  # noqa: B905  (numba has no strict)
        r = np.exp(middle + width * node)
        total += weight * r ** (power + 1.0) * density_squared(r, shape) ** half
    return total * width


@kernel
def _each(shapes, low, high, power, half):
    out = np.empty(len(shapes))
    for i in range(len(shapes)):
        out[i] = _integrals(shapes[i], low, high, power, half)
    return out


def mass_integral(shapes: NDArray, radius: float = 1.0) -> NDArray:
    """Return ``int 4 pi r^2 sqrt(n_e n_p) / n_0 dr`` within a radius.

    Parameters
    ----------
    shapes : array, shape (n, 5)
        alpha, beta, epsilon, r_c, r_s.
    radius : float
        In the unit of r_c and r_s.
    """
    return 4 * np.pi * _each(np.ascontiguousarray(shapes), 1e-4 * radius, radius, 2.0, 0.5)


@kernel
def _columns(shapes, radii):
    out = np.empty((len(shapes), len(radii)))
    for i in range(len(shapes)):
        for k in range(len(radii)):
            out[i, k] = _column(radii[k], shapes[i])
    return out


def columns(shapes: NDArray, radii: NDArray) -> NDArray:
    """Return ``int n_e n_p / n_0^2 dl`` through the whole cluster at projected radii.

    Returns
    -------
    array, shape (n, radii)
        In the unit of r_c and r_s.
    """
    return _columns(np.ascontiguousarray(shapes), np.asarray(radii, float))


@kernel
def _apertures(shapes, low, high):
    out = np.empty(len(shapes))
    middle, width = 0.5 * (np.log(high) + np.log(low)), 0.5 * (np.log(high) - np.log(low))
    for i in range(len(shapes)):
        total = 0.0
        for node, weight in zip(_NODES, _WEIGHTS):  # noqa: B905
            radius = np.exp(middle + width * node)
            total += weight * radius * radius * _column(radius, shapes[i])
        out[i] = 2.0 * np.pi * total * width
    return out


def aperture_integral(shapes: NDArray, low: float, high: float) -> NDArray:
    """Return ``int n_e n_p / n_0^2 dV`` of what is seen between two projected radii.

    What lies before and behind is counted, as it is on the sky.
    """
    return _apertures(np.ascontiguousarray(shapes), low, high)


def project(matrix: NDArray, axes: NDArray) -> tuple[NDArray, NDArray]:
    """Return the ellipse that an ellipsoid shows, and the boost of its brightness.

    Parameters
    ----------
    matrix : array, shape (n, 3, 3)
        A of ``r^2 = x^T A x``.
    axes : array, shape (n, 3, 3)
        Rows: the unit vectors of the sky to the right and up, and that along the line of sight.

    Returns
    -------
    ellipse : array, shape (n, 3)
        q_xx, q_xy, q_yy of the projected radius ``R^2 = q_xx x^2 + 2 q_xy x y + q_yy y^2``.
    boost : array, shape (n,)
        Brightness over that of the sphere at the same R.
    """
    seen = axes @ matrix @ np.swapaxes(axes, 1, 2)
    depth = seen[:, 2, 2]
    across = seen[:, :2, 2]
    flat = seen[:, :2, :2] - across[:, :, None] * across[:, None, :] / depth[:, None, None]
    return np.stack([flat[:, 0, 0], flat[:, 0, 1], flat[:, 1, 1]], axis=1), depth**-0.5
