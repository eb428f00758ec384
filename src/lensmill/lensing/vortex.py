"""Vortices of ultra-light dark matter: straight strings of mass.

A string has the same mass everywhere along its length and is as thick as the de Broglie length:
each of its points is spread as ``kappa ~ 1 / (r**2 + softening**2)**2`` (Alexander et al. 2020 put
point masses on a line). The deflection is in closed form.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.compiling import compiler

fast = compiler(__file__, fastmath=True)


class Vortices(NamedTuple):
    """One string per system, each column of shape (n,); of strength 0 where there is none."""

    x: NDArray  # its middle, from the centre of the lens [arcsec]
    y: NDArray
    angle: NDArray  # counter-clockwise from +x [rad]
    length: NDArray  # [arcsec], > 0
    softening: NDArray  # [arcsec], > 0
    strength: NDArray  # mass over pi times the critical density [arcsec^2]


def deflection(vortices: Vortices, x: NDArray, y: NDArray, balance: bool = False) -> NDArray:
    """Return the deflection by each system's string on a grid.

    Parameters
    ----------
    vortices : Vortices
        Of n systems.
    x, y : array, shape (width,) and (height,)
        Columns and rows of the grid, from the centre of the lens [arcsec].
    balance : bool
        Whether the halo has given the string its mass: on every circle about the lens, what the
        string adds on average is taken off.

    Returns
    -------
    array, shape (n, 2, height, width), float32
        alpha_x and alpha_y [arcsec].
    """
    x, y = (np.ascontiguousarray(line, dtype=np.float32) for line in (x, y))
    out = np.zeros((len(vortices.x), 2, y.size, x.size), np.float32)
    columns = [np.asarray(column, dtype=np.float64) for column in vortices]
    _deflect(*columns, balance, x, y, out)
    return out


def share_within(vortices: Vortices, radius: NDArray) -> NDArray:
    """Return the share of each string's length within ``radius`` [arcsec] of the lens's centre."""
    c, s = np.cos(vortices.angle), np.sin(vortices.angle)
    along, across = c * vortices.x + s * vortices.y, c * vortices.y - s * vortices.x
    half = np.sqrt(np.maximum(radius**2 - across**2, 0.0))
    upper = np.minimum(along + vortices.length / 2, half)
    lower = np.maximum(along - vortices.length / 2, -half)
    return np.maximum(upper - lower, 0.0) / vortices.length


@fast
def _deflect(mx, my, angle, length, softening, strength, balance, x, y, out):
    for k in range(mx.size):
        if strength[k] == 0.0:
            continue
        c, s = np.cos(angle[k]), np.sin(angle[k])
        along, across = c * mx[k] + s * my[k], c * my[k] - s * mx[k]
        per_length, soft2 = strength[k] / length[k], softening[k] ** 2
        first, last = along - 0.5 * length[k], along + 0.5 * length[k]
        for j in range(y.size):
            for i in range(x.size):
                u, v = c * x[i] + s * y[j], c * y[j] - s * x[i]
                a, b, d = u - first, u - last, v - across
                d2 = d * d + soft2
                # the integrals of u / (u^2 + d2) and d / (u^2 + d2) along the string
                ahead = 0.5 * per_length * np.log((a * a + d2) / (b * b + d2))
                root = np.sqrt(d2)
                aside = per_length * d / root * (np.arctan(a / root) - np.arctan(b / root))
                ax, ay = c * ahead - s * aside, s * ahead + c * aside
                if balance:
                    r2 = u * u + v * v + 1e-12
                    half = np.sqrt(max(r2 - across * across, 0.0))
                    inside = max(min(last, half) - max(first, -half), 0.0)
                    taken = per_length * inside / r2
                    ax -= taken * x[i]
                    ay -= taken * y[j]
                out[k, 0, j, i] = ax
                out[k, 1, j, i] = ay
