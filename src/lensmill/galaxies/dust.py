"""Dust of the galaxy itself: the attenuation curve of Calzetti et al. (2000), equation 4."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensmill.galaxies.templates import Templates

R_V = 4.05  # total over selective attenuation of the stars, their equation 5
ULTRAVIOLET, RED = 0.12, 0.63  # micron: where the curve begins, where its two parts meet


def curve(wavelength: ArrayLike) -> NDArray:
    """Attenuation over E(B - V) of the stars, k, at wavelengths at rest [Angstrom].

    Published for 0.12 to 2.2 micron; below, on in a straight line; above, on until it is 0.
    """
    micron = np.asarray(wavelength, float) / 1e4
    k = np.where(micron < RED, _blue(np.maximum(micron, ULTRAVIOLET)), _red(micron))
    slope = (_blue(ULTRAVIOLET + 0.01) - _blue(ULTRAVIOLET)) / 0.01
    k = np.where(micron < ULTRAVIOLET, k + slope * (micron - ULTRAVIOLET), k)
    return np.maximum(k, 0.0)


def _blue(micron: ArrayLike) -> NDArray:
    x = 1 / np.asarray(micron)
    return 2.659 * (-2.156 + 1.509 * x - 0.198 * x**2 + 0.011 * x**3) + R_V


def _red(micron: NDArray) -> NDArray:
    return 2.659 * (-1.857 + 1.040 / micron) + R_V


def attenuation(wavelength: ArrayLike, ebv: ArrayLike) -> NDArray:
    """Part of the light that comes out, at wavelengths at rest [Angstrom].

    ``ebv`` is E(B - V) of the stars [mag]; lines of the gas see that over 0.44 (their equation 3).
    Both broadcast.
    """
    return 10 ** (-0.4 * curve(wavelength) * np.asarray(ebv, float))


def redden(templates: Templates, ebv: float) -> Templates:
    """Return the templates behind dust of E(B - V) = ``ebv`` [mag]."""
    luminosity = templates.luminosity * attenuation(templates.wavelength, ebv)
    luminosity.flags.writeable = False
    return replace(templates, luminosity=luminosity)
