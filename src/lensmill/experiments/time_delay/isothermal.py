"""A first guess in closed form: the isothermal lens with shear that best fits the images.

Its potential, with r and t the polar coordinates of an image,

    psi = r (theta_E + a cos 2t + b sin 2t) + (gamma_1 (x^2 - y^2) + 2 gamma_2 x y) / 2,

is linear in what is unknown, and so is the lens equation: a weighted least-squares fit to the
images is one small linear system per lens, and one more step fits the measured delays too. What the
fit leaves over, in units of the errors, shows a network differences of milliarcseconds that it
would not see in positions.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PARAMETERS = ("theta_e", "gamma1", "gamma2", "beta_x", "beta_y", "a", "b")

# Weak priors: doubles leave some combinations of the unknowns free.
CENTRE = np.array([1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
WIDTH = np.array([0.3, 0.1, 0.1, 1.0, 1.0])  # theta_E, gamma_1, gamma_2, beta_x, beta_y
ROUND = 1e-4  # width of the prior of a and b for round lenses; 0.07 suits galaxies with q = 0.6
RATE_WIDTH = 1.0  # of ln(delay / Fermat potential), about the value that the images alone give
FLOOR = 1e-3  # error of positions in the frame; no galaxy follows the fit to better than this
DELAY_FLOOR = 0.01  # error of delays, likewise
SMALLEST_STRETCH = 0.05  # inverse magnifications below this count as this


class Guess(NamedTuple):
    """Fits of ``n`` systems with ``k`` images, in the units of the positions and delays."""

    parameters: NDArray  # (n, 7): PARAMETERS
    mean_potential: NDArray  # (n,), over the images
    residual: NDArray  # (n, k, 2), in units of the errors, in the image plane
    fermat: NDArray  # (n, k), after the first image
    ln_rate: NDArray  # (n,) ln(delay / fermat), which is proportional to D_dt
    ln_rate_error: NDArray  # (n,) its formal error
    delay_residual: NDArray  # (n, k), in units of the errors


def fit(
    position: NDArray,
    error: NDArray,
    delay: NDArray,
    delay_error: NDArray,
    measured: NDArray,
    ellipticity: float,
) -> Guess:
    """Fit each system.

    Parameters
    ----------
    position : array, shape (n, k, 2)
        Images, the lens at the origin, mean distance 1.
    error : array, shape (n, k)
        Of each coordinate.
    delay, delay_error : array, shape (n, k)
        After the first image, in units of about the longest.
    measured : array of bool, shape (n, k)
        Delays to fit; the first row does not count.
    ellipticity : float
        Width of the prior of a and b, ``ROUND`` or more.
    """
    n = len(position)
    rows = design(position)
    prior = np.diag(np.append(WIDTH, [ellipticity, ellipticity]) ** -2.0)
    weight = 1.0 / np.hypot(error, FLOOR)[..., None]
    data = position - rows @ CENTRE

    first = _solve(rows * weight[..., None], data * weight, prior)
    # Errors belong to the image plane: a second pass undoes the magnification of the first guess.
    inverse = _inverse_jacobian(position, CENTRE + first)
    found = _solve((inverse @ rows) * weight[..., None], _times(inverse, data) * weight, prior)

    tau = _fermat(position, CENTRE + found)
    delay_error = np.hypot(delay_error, DELAY_FLOOR)
    clock = np.where(measured, 1.0 / delay_error, 0.0)
    clock[:, 0] = 0.0
    norm = ((clock * tau) ** 2).sum(axis=1) + 1e-6
    rate = (clock**2 * tau * delay).sum(axis=1) / norm
    rate = 0.5 * (rate + np.sqrt(rate**2 + 1 / norm))  # kept positive

    # One Gauss-Newton step in all unknowns, of which the last is the logarithm of the rate.
    off = position - (CENTRE + found)[:, None, 3:5]
    slopes = np.concatenate([-_basis(position), -off, tau[..., None]], axis=-1)
    slopes = slopes[..., [0, 1, 2, 5, 6, 3, 4, 7]]
    slopes[..., :7] -= slopes[:, :1, :7]
    images = (inverse @ rows) * weight[..., None]
    images = np.pad(images, ((0, 0), (0, 0), (0, 0), (0, 1)))
    both = np.concatenate(
        [images.reshape(n, -1, 8), (clock * rate[:, None])[..., None] * slopes], axis=1
    )
    left = _times(inverse, data - _times(rows, found[:, None])) * weight
    late = clock * (delay - rate[:, None] * tau)
    prior = np.append(np.diag(prior), RATE_WIDTH**-2.0)
    across = both.transpose(0, 2, 1)
    normal = across @ both + np.diag(prior)
    pull = across @ np.concatenate([left.reshape(n, -1), late], axis=1)[..., None]
    pull -= (prior * np.pad(found, ((0, 0), (0, 1))))[..., None]
    covariance = np.linalg.inv(normal)
    step = np.clip((covariance @ pull)[..., 0], -1.0, 1.0)

    found = found + step[:, :7]
    rate = rate * np.exp(step[:, 7])
    tau = _fermat(position, CENTRE + found)
    return Guess(
        parameters=CENTRE + found,
        mean_potential=potential(position, CENTRE + found).mean(axis=1),
        residual=_times(inverse, data - _times(rows, found[:, None])) * weight,
        fermat=tau,
        ln_rate=np.log(rate),
        ln_rate_error=np.sqrt(covariance[:, 7, 7]),
        delay_residual=clock * (delay - rate[:, None] * tau),
    )


def _polar(position: NDArray) -> tuple[NDArray, ...]:
    """Return x, y, r and the cosine and sine of twice the polar angle."""
    x, y = position[..., 0], position[..., 1]
    radius = np.maximum(np.hypot(x, y), 1e-6)
    return x, y, radius, (x**2 - y**2) / radius**2, 2 * x * y / radius**2


def _basis(position: NDArray) -> NDArray:
    """Return the terms of the potential: theta_E, gamma_1, gamma_2, a, b."""
    x, y, radius, cos2, sin2 = _polar(position)
    return np.stack([radius, (x**2 - y**2) / 2, x * y, radius * cos2, radius * sin2], axis=-1)


def potential(position: NDArray, parameters: NDArray) -> NDArray:
    """Return the potential (n, k) at positions (n, k, 2) of lenses with parameters (n, 7)."""
    return (_basis(position) * parameters[:, None, [0, 1, 2, 5, 6]]).sum(axis=-1)


def design(position: NDArray) -> NDArray:
    """Return the matrix (n, k, 2, 7) that makes beta plus deflection of the parameters."""
    x, y, radius, cos2, sin2 = _polar(position)
    zero, one, cos, sin = np.zeros_like(x), np.ones_like(x), x / radius, y / radius
    rows = np.empty((*x.shape, 2, 7))
    # a and b: d psi / d r along the radius and (d psi / d t) / r across it
    rows[..., 0, :] = np.stack(
        [cos, x, y, one, zero, cos2 * cos + 2 * sin2 * sin, sin2 * cos - 2 * cos2 * sin], axis=-1
    )
    rows[..., 1, :] = np.stack(
        [sin, -y, x, zero, one, cos2 * sin - 2 * sin2 * cos, sin2 * sin + 2 * cos2 * cos], axis=-1
    )
    return rows


def _fermat(position: NDArray, parameters: NDArray) -> NDArray:
    off = position - parameters[:, None, 3:5]
    tau = 0.5 * (off**2).sum(axis=-1) - potential(position, parameters)
    return tau - tau[:, :1]


def _solve(rows: NDArray, data: NDArray, prior: NDArray) -> NDArray:
    n = len(rows)
    a, b = rows.reshape(n, -1, rows.shape[-1]), data.reshape(n, -1, 1)
    across = a.transpose(0, 2, 1)
    return np.linalg.solve(across @ a + prior, across @ b)[..., 0]


def _times(matrix: NDArray, vector: NDArray) -> NDArray:
    return (matrix @ vector[..., None])[..., 0]


def _inverse_jacobian(position: NDArray, guess: NDArray) -> NDArray:
    """Return d theta / d beta at the images, bounded near critical curves: (n, k, 2, 2)."""
    x, y, radius, cos2, sin2 = _polar(position)
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
