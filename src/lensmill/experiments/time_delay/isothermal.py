"""A first guess in closed form: the isothermal lens with shear that best fits the images.

Its potential, with r and t the polar coordinates of an image,

    psi = r (theta_E + a cos 2t + b sin 2t) + (gamma_1 (x^2 - y^2) + 2 gamma_2 x y) / 2,

is linear in what is unknown, and so is the lens equation: a weighted least-squares fit is one small
linear system per lens. What it leaves over, in units of the errors, shows a network differences of
milliarcseconds that it would not see in positions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Weak priors: doubles leave some combinations of the unknowns free.
CENTRE = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
WIDTH = np.array([0.3, 0.1, 0.1, 1.0, 1.0])  # theta_E, gamma_1, gamma_2, beta_x, beta_y
ROUND, ELLIPTICAL = 1e-4, 0.07  # of a and b: none, or those of galaxies with q = 0.6
FLOOR = 1e-3  # error of positions in the frame; no galaxy follows the fit to better than this
SMALLEST_STRETCH = 0.05  # inverse magnifications below this count as this


class Guess(NamedTuple):
    """Fits of ``n`` systems with ``k`` images, in the units of the positions."""

    parameters: NDArray  # (n, 7): theta_E, gamma_1, gamma_2, beta_x, beta_y, a, b
    residual: NDArray  # (n, k, 2), in units of the errors, in the image plane
    fermat: NDArray  # (n, k), after the first image


def fit(position: NDArray, error: NDArray, ellipticity: float) -> Guess:
    """Fit each system.

    Parameters
    ----------
    position : array, shape (n, k, 2)
        Images, the lens at the origin, mean distance 1.
    error : array, shape (n, k)
        Of each coordinate.
    ellipticity : float
        Width of the prior of a and b, e.g. ``ROUND`` or ``ELLIPTICAL``.
    """
    x, y = position[..., 0], position[..., 1]
    radius = np.maximum(np.hypot(x, y), 1e-6)
    cos2, sin2 = (x**2 - y**2) / radius**2, 2 * x * y / radius**2
    zero, one = np.zeros_like(x), np.ones_like(x)
    cos, sin = x / radius, y / radius
    rows = np.empty((*x.shape, 2, 7))
    # d psi / d r and (d psi / d t) / r of the a and b terms, turned to x and y
    rows[..., 0, :] = np.stack(
        [cos, x, y, one, zero, cos2 * cos + 2 * sin2 * sin, sin2 * cos - 2 * cos2 * sin], axis=-1
    )
    rows[..., 1, :] = np.stack(
        [sin, -y, x, zero, one, cos2 * sin - 2 * sin2 * cos, sin2 * sin + 2 * cos2 * cos], axis=-1
    )
    prior = np.diag(np.append(WIDTH, [ellipticity, ellipticity]) ** -2.0)
    weight = 1.0 / np.hypot(error, FLOOR)[..., None]
    data = position - rows @ CENTRE

    first = _solve(rows * weight[..., None], data * weight, prior)
    # Errors belong to the image plane: a second pass undoes the magnification of the first guess.
    inverse = _inverse_jacobian(x, y, radius, cos2, sin2, CENTRE + first)
    found = _solve((inverse @ rows) * weight[..., None], _times(inverse, data) * weight, prior)
    residual = _times(inverse, data - (rows @ found[:, None, :, None])[..., 0]) * weight

    parameters = CENTRE + found
    theta_e, gamma1, gamma2, _, _, a, b = parameters.T[..., None]
    off = position - parameters[:, None, 3:5]
    potential = radius * (theta_e + a * cos2 + b * sin2)
    potential += gamma1 * (x**2 - y**2) / 2 + gamma2 * x * y
    fermat = 0.5 * (off**2).sum(axis=-1) - potential
    return Guess(parameters, residual, fermat - fermat[:, :1])


def _solve(rows: NDArray, data: NDArray, prior: NDArray) -> NDArray:
    n = len(rows)
    a, b = rows.reshape(n, -1, rows.shape[-1]), data.reshape(n, -1, 1)
    across = a.transpose(0, 2, 1)
    return np.linalg.solve(across @ a + prior, across @ b)[..., 0]


def _times(matrix: NDArray, vector: NDArray) -> NDArray:
    return (matrix @ vector[..., None])[..., 0]


def _inverse_jacobian(
    x: NDArray, y: NDArray, radius: NDArray, cos2: NDArray, sin2: NDArray, guess: NDArray
) -> NDArray:
    """Return d theta / d beta at the images, bounded near critical curves: (n, k, 2, 2)."""
    theta_e, gamma1, gamma2, _, _, a, b = guess.T[..., None]
    # r F(t) has one second derivative, across: (F + F'') / r
    across = (theta_e - 3 * (a * cos2 + b * sin2)) / radius**3
    xx = 1 - across * y**2 - gamma1
    yy = 1 - across * x**2 + gamma1
    xy = across * x * y - gamma2
    determinant = xx * yy - xy**2
    bounded = np.copysign(np.maximum(np.abs(determinant), SMALLEST_STRETCH), determinant)
    rows = [np.stack([yy, -xy], axis=-1), np.stack([-xy, xx], axis=-1)]
    return np.stack(rows, axis=-2) / bounded[..., None, None]
