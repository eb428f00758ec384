"""X-rays of hot gas between 0.5 and 2 keV.

Power and photons per volume are ``n_e n_H`` times a function of temperature and metallicity: that
of hydrogen and helium, and that of everything heavier in proportion to the metallicity, solar being
that of Anders & Grevesse (1989). The table below is APEC (Smith et al. 2001, ApJ 556, L91) of
AtomDB 3.0.9 (Foster et al. 2012, ApJ 756, 128), integrated over the band at its own temperatures;
between them the logarithms are interpolated (steps of 0.1 dex, as in XSPEC). Bremsstrahlung of
hydrogen and helium in Born's approximation (`bremsstrahlung`), which knows nothing of the table, is
1 to 7 % less than theirs above 4 keV, and a fifth less at 1 keV, where electrons are slow and
recombine. Atomic data are known to some 5 %, and to 10-20 % where lines of iron (L) make most of
the light, below 1 keV. Our Galaxy absorbs nothing here.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import k0

KEV = 1.602176634e-9  # erg
MPC = 3.0856775814913673e24  # cm
KPC = MPC / 1e3
SOLAR_MASS = 1.98840987e33  # g
PROTON = 1.67262192369e-24  # g

ELECTRONS_PER_HYDROGEN = 1.2  # of ionised gas of nearly primordial composition
MASS_PER_ELECTRON = 1.17  # proton masses

BAND = (0.5, 2.0)  # keV
TEMPERATURES = (0.3, 17.0)  # keV, of the table

# kT [keV]; power [1e-24 erg cm^3 / s] of H + He and of solar metals; photons [1e-15 cm^3 / s]
_TABLE = np.array(
    [
        (0.2725, 0.59317, 16.722, 0.53659, 14.749),
        (0.3431, 0.93885, 19.680, 0.80938, 16.205),
        (0.4319, 1.3839, 23.353, 1.1366, 18.333),
        (0.5437, 1.8999, 26.646, 1.4896, 20.102),
        (0.6845, 2.4568, 27.842, 1.8473, 20.103),
        (0.8617, 3.0372, 24.939, 2.1984, 16.961),
        (1.0849, 3.6053, 17.515, 2.5248, 11.076),
        (1.3658, 4.1289, 9.9344, 2.8112, 5.9458),
        (1.7194, 4.5625, 5.7907, 3.0347, 3.3909),
        (2.1646, 4.9000, 3.8054, 3.1977, 2.2198),
        (2.7251, 5.1405, 2.7466, 3.3026, 1.6027),
        (3.4306, 5.2935, 2.0788, 3.3563, 1.2150),
        (4.3189, 5.3666, 1.6102, 3.3655, 0.94390),
        (5.4372, 5.3673, 1.2673, 3.3345, 0.74581),
        (6.8450, 5.3033, 1.0148, 3.2692, 0.60015),
        (8.6174, 5.1876, 0.83851, 3.1780, 0.49831),
        (10.8486, 5.0311, 0.71249, 3.0665, 0.42493),
        (13.6576, 4.7927, 0.62499, 2.9115, 0.37340),
        (17.1939, 4.6023, 0.56054, 2.7848, 0.33497),
    ]
).T


def power(temperature: ArrayLike, metallicity: ArrayLike) -> NDArray:
    """Power between 0.5 and 2 keV over ``n_e n_H`` [erg cm^3 / s].

    Parameters
    ----------
    temperature : array
        kT [keV], 0.3 to 17.
    metallicity : array
        In units of the Sun (Anders & Grevesse 1989).
    """
    return 1e-24 * _mixed(temperature, metallicity, _TABLE[1], _TABLE[2])


def photons(temperature: ArrayLike, metallicity: ArrayLike) -> NDArray:
    """Photons between 0.5 and 2 keV per time and volume, over ``n_e n_H`` [cm^3 / s]."""
    return 1e-15 * _mixed(temperature, metallicity, _TABLE[3], _TABLE[4])


def shifted(redshift: ArrayLike) -> NDArray:
    """Photons that are *received* in the band over those sent out in it, as a ratio of numbers.

    What arrives between 0.5 and 2 keV left between 0.5 (1 + z) and 2 (1 + z): (1 + z)^-0.5 as
    many, to 2 % for 0.7 to 14 keV and redshifts up to 0.3 (the same table of AtomDB).
    """
    return (1 + np.asarray(redshift, float)) ** -0.5


def _mixed(
    temperature: ArrayLike, metallicity: ArrayLike, light: NDArray, heavy: NDArray
) -> NDArray:
    kt = np.asarray(temperature, float)
    low, high = TEMPERATURES
    if ((kt < low) | (kt > high) | ~np.isfinite(kt)).any():
        wrong = np.ravel(kt)[np.ravel((kt < low) | (kt > high) | ~np.isfinite(kt))][0]
        raise ValueError(
            f"kT = {wrong:g} keV is not in the table of emission: it must lie between {low:g} and "
            f"{high:g} keV"
        )
    at, knots = np.log(kt), np.log(_TABLE[0])
    parts = [np.exp(np.interp(at, knots, np.log(column))) for column in (light, heavy)]
    return parts[0] + np.asarray(metallicity, float) * parts[1]


def bremsstrahlung(temperature: ArrayLike) -> NDArray:
    """Power of hydrogen and helium in the band over ``n_e n_H`` in Born's approximation.

    The thermal average of its Gaunt factor is ``sqrt(3) / pi exp(u / 2) K_0(u / 2)`` with u = E /
    kT (Rybicki & Lightman 1979, section 5.2, have the rest). It is that of fast electrons: too
    small where ``13.6 eV Z^2 / kT`` is not. There are 0.0977 heliums for each hydrogen.
    """
    kt = np.asarray(temperature, float)[..., None]
    nodes, weights = np.polynomial.legendre.leggauss(32)
    low, high = BAND
    energy = 0.5 * (low + high) + 0.5 * (high - low) * nodes
    u = energy / kt
    gaunt = np.sqrt(3) / np.pi * np.exp(u / 2) * k0(u / 2)
    kelvin, hertz = kt * 1.160451812e7, 2.417989242e17
    charges = 1 + 4 * 0.0977  # sum of Z^2 n_Z / n_H
    per_kev = 6.842e-38 * charges * kelvin**-0.5 * np.exp(-u) * gaunt * hertz
    return (per_kev * weights).sum(axis=-1) * 0.5 * (high - low)
