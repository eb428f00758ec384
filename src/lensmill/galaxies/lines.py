"""Emission lines of star-forming galaxies, for bands that are wider than any line."""

import numpy as np
from numpy.typing import NDArray

HALPHA = 6564.6  # in vacuum [Angstrom]
WIDTH = 6.0  # 1 sigma [Angstrom]: more than a step of the spectra, less than any band

# Flux over that of H alpha, by wavelength in vacuum [Angstrom]. Hydrogen: case B at 10^4 K
# (Osterbrock & Ferland 2006). 4960 and 6550: fixed by atomic physics to a third of their partners.
# ASSUME: the other ratios are those of one typical galaxy; real ones change with metals and
# ionisation, [O III] most of all.
RATIOS = {
    3728.5: 1.0,  # [O II], both
    4102.9: 0.259 / 2.86,
    4341.7: 0.468 / 2.86,
    4862.7: 1 / 2.86,
    4960.3: 0.35 / 3,
    5008.2: 0.35,
    6549.9: 0.3 / 3,
    HALPHA: 1.0,
    6585.3: 0.3,
    6725.5: 0.3,  # [S II], both
}


def spectrum(wavelength: NDArray) -> NDArray:
    """Return the lines, for an H alpha of flux 1 [per Angstrom], at wavelengths [Angstrom]."""
    lines = np.zeros(len(wavelength))
    for centre, ratio in RATIOS.items():
        away = (wavelength - centre) / WIDTH
        lines += ratio * np.exp(-0.5 * away**2) / (np.sqrt(2 * np.pi) * WIDTH)
    return lines
