"""The template fit: galaxies of its own spectra, and what it cannot be asked."""

import numpy as np
import pytest

from lensmill.experiments.photo_z import densities, judging, template
from lensmill.experiments.photo_z.features import Photometry
from lensmill.galaxies import fits, maggies, templates

BANDS = [f"sdss_{band}" for band in "ugriz"]
SETTINGS = {"templates": "cww_sb", "points": 250, "reference": 2}


def galaxies(n, seed, factor=1.0):
    """Galaxies that are two spectra of the fitter, with 2 % of noise."""
    rng = np.random.default_rng(seed)
    redshift = rng.uniform(0.05, 0.5, n)
    grid = maggies.grid(templates.read("cww_sb"), BANDS, np.linspace(0, 0.6, 601), absorbed=True)
    first = rng.integers(0, 5, n)
    shares = np.zeros((n, grid.maggies.shape[1]))
    share = rng.random(n)
    shares[np.arange(n), first], shares[np.arange(n), first + 1] = share, 1 - share
    # of one brightness in every spectrum, whatever the units of the spectra are
    shares /= np.maximum(grid.maggies[100][:, 2], 1e-300)
    flux = fits.model(shares, redshift, grid)
    flux *= 10 ** (-0.4 * rng.uniform(16, 18, n))[:, None]
    error = 0.02 * flux
    noisy = (flux + error * rng.normal(size=flux.shape)) * factor
    return Photometry(noisy, error * factor, np.ones(flux.shape, bool), np.empty((n, 0))), redshift


def test_galaxies_of_its_own_spectra_are_found():
    sample, redshift = galaxies(400, 1)
    known = template.learn(sample, redshift, BANDS, SETTINGS)
    test, truth = galaxies(200, 2)
    found, error = densities.answer(template.fit(known, test))
    assert judging.nmad(found, truth) < 0.03
    assert 0.003 < np.median(error) < 0.05


def test_zero_points_that_are_wrong_are_learned_from_the_training_part():
    factor = np.array([1.2, 1.0, 0.9, 1.0, 1.1])
    sample, redshift = galaxies(500, 1, factor)
    known = template.learn(sample, redshift, BANDS, SETTINGS)
    test, truth = galaxies(300, 2, factor)
    told, _ = densities.answer(template.fit(known, test))
    untold, _ = densities.answer(template.fit({**known, "zero_points": np.ones(5)}, test))
    assert judging.nmad(told, truth) < 0.8 * judging.nmad(untold, truth)


def test_a_density_is_one_and_a_galaxy_that_was_not_observed_has_a_broad_one():
    sample, redshift = galaxies(300, 1)
    known = template.learn(sample, redshift, BANDS, SETTINGS)
    test, _ = galaxies(20, 3)
    seen = test.observed.copy()
    seen[0] = False
    seen[1, 1:] = False
    density = template.fit(known, test._replace(observed=seen))
    assert np.trapezoid(density.values, density.redshift, axis=1) == pytest.approx(1)
    _, error = densities.answer(density)
    assert min(error[:2]) > 2 * np.median(error[2:])


def test_a_band_without_a_response_is_refused():
    with pytest.raises(ValueError, match=r"no response curve of my_band; .*`bands`"):
        template.check(["sdss_g", "my_band"])
