"""Subhalos: how many of what mass, how dense, how far they reach, and how they bend light.

A subhalo is a truncated NFW halo (Baltz, Marshall & Oguri 2009, n = 1): the density of an NFW
halo times ``r_t**2 / (r**2 + r_t**2)``. What is called its mass is ``m200``, which it had before
its host stripped it; less is bound. The deflection comes from a table of the projected mass, made
once: `TOLERANCE` says how well.
"""

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensmill.compiling import compiler
from lensmill.lensing.distances import ARCSEC, MPC, SPEED_OF_LIGHT, distances

TOLERANCE = 1e-4  # of a deflection, relative; tested against lenstronomy

G_SUN = 1.32712440041e11  # G times the mass of the sun [km^3 / s^2] (IAU 2015)
PIVOT = 1e8  # Msun; mass at which the abundance of subhalos is named

# The table is read by the bits of (R / r_s)**2 as a number of 32 bits: so many steps to an octave
_STEPS = 6  # bits
_SHIFT = np.int32(23 - _STEPS)
_LOWEST, _HIGHEST = -24, 24  # octaves of (R / r_s)**2
_FIRST = np.int32((127 + _LOWEST) << _STEPS)
_NODES = (_HIGHEST - _LOWEST) << _STEPS
_REST = np.int32((1 << (23 - _STEPS)) - 1)
_PER_REST = np.float32(2.0 ** -(23 - _STEPS))
LEAST_TAU, MOST_TAU, _TAUS = 0.03, 300.0, 256

fast = compiler(__file__, fastmath=True)


class Subhalos(NamedTuple):
    """Subhalos of n systems, those of system i from ``first[i]`` to ``first[i + 1] - 1``."""

    x: NDArray  # shape (m,) [arcsec]
    y: NDArray
    strength: (
        NDArray  # deflection at one scale radius per projected mass in it: `strength` [arcsec]
    )
    scale: NDArray  # r_s [arcsec]
    tau: NDArray  # r_t / r_s
    first: NDArray  # shape (n + 1,)


def critical_mass(
    z_lens: ArrayLike, z_source: ArrayLike, h0: ArrayLike = 70.0, omega_m: ArrayLike = 0.3
) -> NDArray:
    """Return the critical surface density of a lens [Msun / arcsec^2].

    ``c**2 / (4 pi G) D_l D_s / D_ls``, angular-diameter distances in flat LambdaCDM.
    """
    d_l, d_s, d_ls, _ = distances(z_lens, z_source, h0, omega_m)
    return SPEED_OF_LIGHT**2 / (4 * np.pi * G_SUN) * d_l * d_s / d_ls * MPC * ARCSEC**2


def critical_density(z: ArrayLike, h0: ArrayLike = 70.0, omega_m: ArrayLike = 0.3) -> NDArray:
    """Return the critical density of the universe at a redshift [Msun / kpc^3]."""
    kpc = MPC / 1e3
    hubble2 = (np.asarray(h0) / MPC) ** 2 * (omega_m * (1 + np.asarray(z)) ** 3 + 1 - omega_m)
    return 3 * hubble2 / (8 * np.pi * G_SUN) * kpc**3


def abundance(low: float, high: float, index: float) -> float:
    """Return subhalos per area for one of ``Sigma_sub``: ``d2N/dm dA = Sigma/m0 (m/m0)**index``.

    Between the masses ``low`` and ``high`` [Msun]; m0 is `PIVOT` (Gilman et al. 2020).
    """
    power = index + 1
    return ((high / PIVOT) ** power - (low / PIVOT) ** power) / power


def masses(u: ArrayLike, low: float, high: float, index: float) -> NDArray:
    """Return masses [Msun] of a power law ``dN/dm ~ m**index`` by uniform numbers ``u``."""
    power = index + 1
    if power == 0:
        return low * (high / low) ** np.asarray(u)
    return (low**power + np.asarray(u) * (high**power - low**power)) ** (1 / power)


def warm(m: ArrayLike, m_hm: ArrayLike) -> NDArray:
    """Return what is left of the subhalos of mass ``m`` in warm dark matter, 0 to 1.

    ``(1 + (4.2 m_hm / m)**2.5)**-0.2`` (Lovell 2020, for satellites), with the half-mode
    mass ``m_hm`` [Msun]; 0: cold.
    """
    return (1 + (4.2 * np.asarray(m_hm) / np.asarray(m)) ** 2.5) ** -0.2


def concentration(m: ArrayLike, z: ArrayLike, m_hm: ArrayLike = 0.0) -> NDArray:
    """Return the median ``c200`` of a halo of mass ``m`` [Msun] at redshift ``z``.

    Diemer & Joyce (2019) for flat LambdaCDM (H0 = 70, Omega_m = 0.3, Omega_b = 0.05, sigma8 =
    0.81, n_s = 0.965), as a polynomial in the logarithms of mass and 1 + z that keeps to it
    within 1 % for 1e6 to 1e11 Msun at z = 0.1 to 1. In warm dark matter, times
    ``(1 + z)**(0.026 z - 0.04) (1 + 60 m_hm / m)**-0.17`` (Bose et al. 2016).
    """
    u, v = np.log10(np.asarray(m) / PIVOT), np.log10(1 + np.asarray(z))
    logarithm = sum(c * u**i * v**j for (i, j), c in _CONCENTRATION.items())
    m_hm = np.asarray(m_hm)
    softer = (1 + 60 * m_hm / m) ** -0.17 * (1 + z) ** np.where(m_hm > 0, 0.026 * z - 0.04, 0.0)
    return 10**logarithm * softer


# By powers of log10(m / PIVOT) and log10(1 + z)
_CONCENTRATION = {
    (0, 0): 1.26137,
    (1, 0): -0.06597,
    (2, 0): -0.00393,
    (3, 0): -0.00025,
    (0, 1): -0.47683,
    (1, 1): 0.00059,
    (0, 2): -0.82209,
}


def truncation(m: ArrayLike, r: ArrayLike) -> NDArray:
    """Return the truncation radius [kpc] of mass ``m`` [Msun] at ``r`` [kpc] from the host.

    ``1.4 kpc (m / 1e7)**(1/3) (r / 50 kpc)**(2/3)`` (Gilman et al. 2020).
    """
    return 1.4 * (np.asarray(m) / 1e7) ** (1 / 3) * (np.asarray(r) / 50.0) ** (2 / 3)


def scale_radius(m: ArrayLike, c: ArrayLike, z: ArrayLike) -> NDArray:
    """Return ``r_s = r200 / c`` [kpc] of a halo of mass ``m200`` [Msun] at redshift ``z``."""
    r200 = (3 * np.asarray(m) / (800 * np.pi * critical_density(z))) ** (1 / 3)
    return r200 / c


def central_mass(m: ArrayLike, c: ArrayLike) -> NDArray:
    """Return ``4 pi rho_s r_s**3`` [Msun] of a halo of mass ``m200`` and concentration ``c``."""
    c = np.asarray(c)
    return np.asarray(m) / (np.log1p(c) - c / (1 + c))


def bound_share(tau: ArrayLike) -> NDArray:
    """Return the mass of a truncated NFW halo in units of ``4 pi rho_s r_s**3``."""
    t2 = np.asarray(tau) ** 2
    return t2 / (t2 + 1) ** 2 * ((t2 - 1) * np.log(tau) + np.pi * np.asarray(tau) - (t2 + 1))


def projected_mass(x: ArrayLike, tau: ArrayLike) -> NDArray:
    """Return the mass of a truncated NFW halo within the projected radius ``x`` [r_s].

    In units of ``4 pi rho_s r_s**3`` (Baltz, Marshall & Oguri 2009, for n = 1).

    Parameters
    ----------
    x : array
        Projected radius in units of r_s, > 0.
    tau : array
        Truncation radius likewise.
    """
    x, tau = np.broadcast_arrays(np.asarray(x, float), np.asarray(tau, float))
    x2, t2 = x * x, tau * tau
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = np.arccosh(1 / x) / np.sqrt(1 - x2)
        outside = np.arccos(1 / x) / np.sqrt(x2 - 1)
    near = np.abs(x - 1) < 1e-6
    f = np.where(near, 1 - 2 / 3 * (x - 1), np.where(x < 1, inside, outside))
    root = np.sqrt(t2 + x2)
    logarithm = np.log(x / (root + tau))
    return (
        t2
        / (t2 + 1) ** 2
        * (
            (t2 + 1 + 2 * (x2 - 1)) * f
            + tau * np.pi
            + (t2 - 1) * np.log(tau)
            + root * (-np.pi + (t2 - 1) / tau * logarithm)
        )
    )


@functools.cache
def _table() -> NDArray:
    """Return the projected mass over ``x**2``, shape (tau, nodes of ``x**2``), float32."""
    bits = (np.arange(_NODES + 1, dtype=np.int64) + _FIRST) << int(_SHIFT)
    x2 = bits.astype(np.uint32).view(np.float32).astype(float)
    middle = 0.5 * (x2[1:] + x2[:-1])
    tau = np.geomspace(LEAST_TAU, MOST_TAU, _TAUS)[:, None]
    values = projected_mass(np.sqrt(x2), tau) / x2
    # half of what a chord is above the curve is taken off both of its ends
    chord = 0.5 * (values[:, 1:] + values[:, :-1])
    above = chord - projected_mass(np.sqrt(middle), tau) / middle
    values[:, 1:] -= 0.25 * above
    values[:, :-1] -= 0.25 * above
    return np.ascontiguousarray(values, dtype=np.float32)


def deflection(subhalos: Subhalos, x: NDArray, y: NDArray) -> NDArray:
    """Return the deflection by the subhalos of each system on a grid, lines of one y together.

    Parameters
    ----------
    subhalos : Subhalos
        Of n systems.
    x, y : array, shape (width,) and (height,)
        Columns and rows of the grid, the same for all systems [arcsec].

    Returns
    -------
    array, shape (n, 2, height, width), float32
        alpha_x and alpha_y [arcsec], to `TOLERANCE`.
    """
    x, y = (np.ascontiguousarray(line, dtype=np.float32) for line in (x, y))
    out = np.zeros((len(subhalos.first) - 1, 2, y.size, x.size), np.float32)
    columns = [np.asarray(column, dtype=np.float64) for column in subhalos[:5]]
    _deflect(*columns, np.asarray(subhalos.first), _table(), x, y, out)
    return out


@fast
def _deflect(sx, sy, strength, scale, tau, first, table, x, y, out):
    per_tau = (_TAUS - 1) / np.log(MOST_TAU / LEAST_TAU)
    width = x.size
    row = np.empty(_NODES + 1, np.float32)
    square = np.empty(width, np.float32)
    bits = square.view(np.int32)
    rest, pair = np.empty(width, np.float32), np.empty(width, np.complex64)
    node = np.empty(width, np.int32)
    pairs = np.empty(_NODES + 1, np.complex64)  # value and step to the next: one access of memory
    for system in range(first.size - 1):
        ax, ay = out[system, 0], out[system, 1]
        for k in range(first[system], first[system + 1]):
            place = min(max(np.log(tau[k] / LEAST_TAU) * per_tau, 0.0), _TAUS - 1.0)
            t = min(max(int(place + 0.5), 1), _TAUS - 2)
            w, unit = place - t, strength[k] / scale[k] ** 2
            below = np.float32(unit * 0.5 * w * (w - 1.0))
            middle = np.float32(unit * (1.0 - w * w))
            above = np.float32(unit * 0.5 * w * (w + 1.0))
            x0, y0 = np.float32(sx[k]), np.float32(sy[k])
            per_scale = np.float32(1.0 / scale[k] ** 2)
            # the part of the row that the grid reaches
            nearest_x, nearest_y = _nearest(x, x0), _nearest(y, y0)
            reach_x = max(abs(x[0] - x0), abs(x[width - 1] - x0))
            reach_y = max(abs(y[0] - y0), abs(y[y.size - 1] - y0))
            least = max((nearest_x**2 + nearest_y**2) * per_scale, np.float32(2.0**_LOWEST))
            most = np.float32(2.0 ** (_HIGHEST - 1))
            low = _node(least)
            high = _node((reach_x**2 + reach_y**2) * per_scale) + 2
            for i in range(max(low - 1, 0), min(high + 1, _NODES + 1)):
                row[i] = below * table[t - 1, i] + middle * table[t, i] + above * table[t + 1, i]
            for i in range(max(low - 1, 0), min(high, _NODES)):
                pairs[i] = np.complex64(complex(row[i], row[i + 1] - row[i]))
            for j in range(y.size):
                dy = y[j] - y0
                dy2 = dy * dy
                for i in range(width):
                    dx = x[i] - x0
                    square[i] = min(max((dx * dx + dy2) * per_scale, least), most)
                # each loop by itself goes through several numbers at once
                for i in range(width):
                    node[i] = (bits[i] >> _SHIFT) - _FIRST
                    rest[i] = np.float32(bits[i] & _REST) * _PER_REST
                for i in range(width):
                    pair[i] = pairs[np.uint32(node[i])]
                line_x, line_y = ax[j], ay[j]
                for i in range(width):
                    g = pair[i].real + rest[i] * pair[i].imag
                    line_x[i] += g * (x[i] - x0)
                    line_y[i] += g * dy


@fast
def _nearest(line, place):
    """Return the distance of a place from the nearest of increasing numbers."""
    found = abs(line[0] - place)
    for value in line:
        found = min(found, abs(value - place))
    return found


@fast
def _node(square):
    """Return the node of the table at or below ``(R / r_s)**2``."""
    octave = np.floor(np.log2(max(square, 1e-30)))
    part = square / 2.0**octave - 1.0
    node = int((octave - _LOWEST + part) * (1 << _STEPS))
    return min(max(node, 0), _NODES - 1)


def strength(m0: ArrayLike, critical: ArrayLike) -> NDArray:
    """Return ``m0 / (pi Sigma_crit)`` [arcsec^2]: the square of a point mass's Einstein radius.

    ``m0`` [Msun] and ``critical`` [Msun / arcsec^2].
    """
    return np.asarray(m0) / (np.pi * np.asarray(critical))


def points_deflection(
    px: NDArray, py: NDArray, strength: NDArray, first: NDArray, x: NDArray, y: NDArray
) -> NDArray:
    """Return the deflection by point masses of each system on a grid.

    Parameters
    ----------
    px, py : array, shape (m,)
        [arcsec]
    strength : array, shape (m,)
        Squares of their Einstein radii [arcsec^2].
    first, x, y
        As in `Subhalos` and `deflection`.

    Returns
    -------
    array, shape (n, 2, height, width), float32
        [arcsec]; 0 on a point.
    """
    x, y = (np.ascontiguousarray(line, dtype=np.float32) for line in (x, y))
    out = np.zeros((len(first) - 1, 2, y.size, x.size), np.float32)
    columns = [np.asarray(column, dtype=np.float32) for column in (px, py, strength)]
    _points(*columns, np.asarray(first), x, y, out)
    return out


@fast
def _points(px, py, strength, first, x, y, out):
    tiny = np.float32(1e-20)
    for system in range(first.size - 1):
        ax, ay = out[system, 0], out[system, 1]
        for k in range(first[system], first[system + 1]):
            x0, y0, s = px[k], py[k], strength[k]
            for j in range(y.size):
                dy = y[j] - y0
                for i in range(x.size):
                    dx = x[i] - x0
                    g = s / (dx * dx + dy * dy + tiny)
                    ax[j, i] += g * dx
                    ay[j, i] += g * dy
