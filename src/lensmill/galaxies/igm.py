"""Absorption by the hydrogen between the galaxies, on average over the sky: Madau (1995)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Lyman alpha to delta [Angstrom], and the coefficients of equations 12 and 15
LINES = ((1216.0, 3.6e-3), (1026.0, 1.7e-3), (973.0, 1.2e-3), (950.0, 9.3e-4))
LIMIT = 912.0  # Angstrom


def optical_depth(wavelength: ArrayLike, redshift: float) -> NDArray:
    """Effective optical depth at observed wavelengths [Angstrom], for a source at ``redshift``.

    Lines of hydrogen (equations 12 and 15), metals (13) and the approximation to the continuum
    (16), which holds above about 650 Angstrom at rest.
    """
    wavelength = np.asarray(wavelength, float)
    depth = np.zeros(wavelength.shape)
    for line, coefficient in LINES:
        behind = wavelength < line * (1 + redshift)
        depth += np.where(behind, coefficient * (wavelength / line) ** 3.46, 0.0)
    alpha = LINES[0][0]
    behind = wavelength < alpha * (1 + redshift)
    depth += np.where(behind, 0.0017 * (wavelength / alpha) ** 1.68, 0.0)

    end = 1 + redshift
    start = np.clip(wavelength / LIMIT, 1e-3, end)
    continuum = 0.25 * start**3 * (end**0.46 - start**0.46)
    continuum += 9.4 * start**1.5 * (end**0.18 - start**0.18)
    continuum -= 0.7 * start**3 * (start**-1.32 - end**-1.32)
    continuum -= 0.023 * (end**1.68 - start**1.68)
    # Below Lyman alpha of the observer there is no absorber in front of us.
    return depth + np.maximum(continuum, 0.0)
