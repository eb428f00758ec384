"""Emission lines carry the flux that their ratios say."""

import numpy as np
import pytest

from lensmill.galaxies import lines


def test_the_lines_have_their_ratios_to_h_alpha():
    wavelength = np.arange(3000.0, 8000.0, 2.0)
    flux = lines.spectrum(wavelength)
    assert np.trapezoid(flux, wavelength) == pytest.approx(sum(lines.RATIOS.values()), rel=1e-4)
    hbeta = np.abs(wavelength - 4862.7) < 30
    # case B: 2.86 times fainter than H alpha
    assert np.trapezoid(flux[hbeta], wavelength[hbeta]) == pytest.approx(1 / 2.86, rel=1e-3)


def test_half_a_grid_changes_no_flux():
    coarse, fine = np.arange(3000.0, 8000.0, 4.3), np.arange(3000.0, 8000.0, 1.0)
    sums = [np.trapezoid(lines.spectrum(x), x) for x in (coarse, fine)]
    assert sums[0] == pytest.approx(sums[1], rel=1e-3)
