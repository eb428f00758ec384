"""How many clusters there are of each mass, and how large they are.

The mass function is that of Tinker et al. (2008, ApJ 688, 709, eqs 2, 3, 5-8 and table 2) for
masses within a radius whose mean density is 500 times the critical one; the power spectrum has the
shape of Eisenstein & Hu (1998, ApJ 496, 605, eqs 26 and 28-31), without acoustic wiggles. The
cosmology is flat and fixed: nothing here is about cosmology.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

H0 = 70.0  # km / (Mpc s)
OMEGA_M, OMEGA_B = 0.3, 0.047
SIGMA_8, TILT = 0.81, 0.96
CMB = 2.7255 / 2.7  # temperature of the microwave background over 2.7 K
CRITICAL = 2.77536627e11 * (H0 / 100) ** 2  # critical density today [Msun / Mpc^3]
DELTA = 500.0
STEP = 0.02  # of redshift, between two tables

# Density over the mean one of matter, A, a, b, c
_TINKER = np.array(
    [
        (200, 0.186, 1.47, 2.57, 1.19),
        (300, 0.200, 1.52, 2.25, 1.27),
        (400, 0.212, 1.56, 2.05, 1.34),
        (600, 0.218, 1.61, 1.87, 1.45),
        (800, 0.248, 1.87, 1.59, 1.58),
        (1200, 0.255, 2.13, 1.51, 1.80),
        (1600, 0.260, 2.30, 1.46, 1.97),
        (2400, 0.260, 2.53, 1.44, 2.24),
        (3200, 0.260, 2.66, 1.41, 2.44),
    ]
).T


def hubble(redshift: ArrayLike) -> NDArray:
    """Return E(z), the Hubble parameter over that of today."""
    return np.sqrt(OMEGA_M * (1 + np.asarray(redshift, float)) ** 3 + 1 - OMEGA_M)


def radius(mass: ArrayLike, redshift: ArrayLike) -> NDArray:
    """Return r500 [Mpc] of M500 [Msun]."""
    density = DELTA * CRITICAL * hubble(redshift) ** 2
    return (3 * np.asarray(mass, float) / (4 * np.pi * density)) ** (1 / 3)


def growth(redshift: float) -> float:
    """Return the growth of linear structure, 1 today."""

    def integral(z: float) -> float:
        nodes, weights = np.polynomial.legendre.leggauss(64)
        a = 0.5 / (1 + z) * (nodes + 1)
        return hubble(z) * float((weights * (a * hubble(1 / a - 1)) ** -3).sum()) * 0.5 / (1 + z)

    return integral(redshift) / integral(0.0)


def transfer(k: ArrayLike) -> NDArray:
    """Return the transfer function at a wave number [h / Mpc]."""
    k, h = np.asarray(k, float), H0 / 100
    matter, baryons, share = OMEGA_M * h**2, OMEGA_B * h**2, OMEGA_B / OMEGA_M
    sound = 44.5 * np.log(9.83 / matter) / np.sqrt(1 + 10 * baryons**0.75)  # Mpc
    alpha = 1 - 0.328 * np.log(431 * matter) * share + 0.38 * np.log(22.3 * matter) * share**2
    shape = OMEGA_M * h * (alpha + (1 - alpha) / (1 + (0.43 * k * h * sound) ** 4))
    q = k * CMB**2 / shape
    log = np.log(2 * np.e + 1.8 * q)
    return log / (log + (14.2 + 731 / (1 + 62.5 * q)) * q**2)


def sigma(mass: ArrayLike) -> NDArray:
    """Return the scatter of the linear density today in spheres that hold a mass [Msun]."""
    within = (3 * np.asarray(mass, float) / (4 * np.pi * OMEGA_M * CRITICAL)) ** (1 / 3)
    return SIGMA_8 * np.sqrt(_variance(within * H0 / 100) / _variance(np.array(8.0)))


def _variance(within: NDArray) -> NDArray:
    k = np.geomspace(1e-4, 1e2, 4000)
    x = k * np.asarray(within)[..., None]
    window = 3 * (np.sin(x) - x * np.cos(x)) / x**3
    return np.trapezoid(k ** (TILT + 3) * (transfer(k) * window) ** 2, np.log(k), axis=-1)


def number(mass: ArrayLike, redshift: float) -> NDArray:
    """Return the clusters per volume and ln M500 [1 / Mpc^3, comoving]."""
    mass = np.asarray(mass, float)
    overdensity = DELTA * hubble(redshift) ** 2 / (OMEGA_M * (1 + redshift) ** 3)
    at, knots = np.log(overdensity), np.log(_TINKER[0])
    amplitude, a, b, c = (np.interp(at, knots, column) for column in _TINKER[1:])
    alpha = 10 ** -((0.75 / np.log10(overdensity / 75)) ** 1.2)
    amplitude *= (1 + redshift) ** -0.14
    a *= (1 + redshift) ** -0.06
    b *= (1 + redshift) ** -alpha
    scatter = sigma(mass) * growth(redshift)
    step = 0.01
    steep = -np.log(sigma(mass * np.exp(step)) / sigma(mass * np.exp(-step))) / (2 * step)
    share = amplitude * ((scatter / b) ** -a + 1) * np.exp(-c / scatter**2)
    return share * OMEGA_M * CRITICAL / mass * steep


def draw(u: NDArray, redshift: NDArray, low: float, high: float) -> NDArray:
    """Draw ln M500 [Msun] from the mass function at each redshift.

    Parameters
    ----------
    u : array, shape (n,)
        Uniform numbers in (0, 1).
    redshift : array, shape (n,)
    low, high : float
        Range of masses [Msun].
    """
    # between tables at fixed redshifts: no draw may hang on what is drawn with it
    cell = np.floor(redshift / STEP)
    part = redshift / STEP - cell
    out = np.empty(len(u))
    for k in np.unique(cell):
        mine = cell == k
        near, far = (
            np.interp(u[mine], below, log)
            for log, below in (_cumulative(STEP * (k + i), low, high) for i in (0, 1))
        )
        out[mine] = (1 - part[mine]) * near + part[mine] * far
    return out


def share_below(ln_m500: NDArray, redshift: NDArray, low: float, high: float) -> NDArray:
    """Return the share of clusters that are lighter, of those between two masses.

    Where the redshift is between two tables, their shares are mixed and not, as in `draw`, their
    masses: to 1e-5 the same.
    """
    cell = np.floor(redshift / STEP)
    part = redshift / STEP - cell
    out = np.empty(len(ln_m500))
    for k in np.unique(cell):
        mine = cell == k
        near, far = (
            np.interp(ln_m500[mine], log, below)
            for log, below in (_cumulative(STEP * (k + i), low, high) for i in (0, 1))
        )
        out[mine] = (1 - part[mine]) * near + part[mine] * far
    return out


@lru_cache(maxsize=128)
def _cumulative(redshift: float, low: float, high: float) -> tuple[NDArray, NDArray]:
    """Return ln M and the share of clusters below, between two masses."""
    log = np.linspace(np.log(low), np.log(high), 400)
    density = number(np.exp(log), redshift)
    below = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]))])
    return log, below / below[-1]
