"""Sums of templates fitted to fluxes, at known redshift and for it."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import nnls

from lensmill.galaxies import fits, maggies, packages, priors, templates

BANDS = [*(f"sdss_{band}" for band in "ugriz"), "twomass_J", "twomass_H", "twomass_Ks"]


@pytest.fixture(scope="module", params=templates.SETS)
def grid(request):
    return maggies.grid(templates.read(request.param), BANDS, np.linspace(0.0, 0.6, 61))


def galaxies(grid, n, seed=1):
    """Draw fluxes of sums of two templates with noise, some bands missing."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, grid.redshift.size, n)
    shares = rng.random((n, grid.maggies.shape[1])) * (rng.random((n, grid.maggies.shape[1])) < 0.3)
    shares[np.arange(n), rng.integers(0, shares.shape[1], n)] += 0.1
    level = grid.maggies[:, :, 2].mean(axis=0)
    true = 1e-8 * np.einsum("nt,ntb->nb", shares / level, grid.maggies[place])
    error = 10 ** rng.uniform(-2.5, -0.5, true.shape) * true.mean(axis=1, keepdims=True)
    flux = true + error * rng.normal(size=true.shape)
    observed = rng.random(true.shape) < 0.85
    return flux, error, observed, grid.redshift[place], 1e-8 * shares / level


def exact(grid, flux, error, observed, place):
    """Coefficients and chi2 of scipy, with columns of length 1: its own tolerance is absolute."""
    weight = np.where(observed, 1 / error, 0.0)
    columns = grid.maggies[place].T * weight[:, None]
    length = np.linalg.norm(columns, axis=0)
    found, miss = nnls(columns / length, flux * weight, maxiter=1000)
    return found / length, miss**2


def test_coefficients_are_those_of_scipy(grid):
    flux, error, observed, redshift, _ = galaxies(grid, 400)
    found = fits.coefficients(flux, error, observed, redshift, grid)
    fluxes = fits.model(found, redshift, grid)
    assert (found >= 0).all() and (found == 0).any()
    place = np.searchsorted(grid.redshift, redshift - 1e-9)
    for i in range(len(flux)):
        best, chi2 = exact(grid, flux[i], error[i], observed[i], place[i])
        miss = ((fluxes[i] - flux[i]) / error[i])[observed[i]]
        assert (miss**2).sum() == pytest.approx(chi2, rel=1e-7, abs=1e-7)
        # more bands than templates: then the coefficients themselves are determined
        if observed[i].sum() >= found.shape[1]:
            theirs = (best * grid.maggies[place[i]].T).sum(axis=1)
            assert_allclose(fluxes[i], theirs, atol=1e-6 * error[i].min())


def test_real_galaxies_are_fitted_no_worse_than_by_kcorrect():
    from astropy.table import Table
    from kcorrect.kcorrect import KcorrectSDSS

    path = packages.folder("kcorrect") / "data/test/gst_tests_small.fits"
    table = Table.read(path)[:300]
    flux = 1e-9 * np.asarray(table["MODELFLUX"], float)
    error = np.hypot(1e-9 / np.sqrt(np.asarray(table["MODELFLUX_IVAR"], float)), 0.02 * flux)
    redshift = np.asarray(table["Z"], float).clip(0.01, 0.55)
    kcorrect = KcorrectSDSS(redshift_range=[0.0, 0.6], nredshift=31, abcorrect=False)
    theirs = kcorrect.fit_coeffs(redshift=redshift, maggies=flux, ivar=1 / error**2)

    nodes = kcorrect.redshifts.astype(float)
    grid = maggies.grid(templates.read("kcorrect"), BANDS[:5], nodes)
    ours = fits.coefficients(flux, error, np.ones_like(flux), redshift, grid)
    chi2 = [
        (((fits.model(c, redshift, grid) - flux) / error) ** 2).sum(axis=1) for c in (ours, theirs)
    ]
    assert (chi2[0] <= chi2[1] + 1e-6).all()
    fluxes = kcorrect.reconstruct(redshift=redshift, coeffs=ours)
    assert_allclose(fits.model(ours, redshift, grid), fluxes, rtol=1e-4)


def test_the_conditions_of_a_minimum_hold(grid):
    flux, error, observed, redshift, _ = galaxies(grid, 400, seed=2)
    found = fits.coefficients(flux, error, observed, redshift, grid)
    weight = np.where(observed, 1 / error, 0.0)
    place = np.searchsorted(grid.redshift, redshift - 1e-9)
    columns = grid.maggies[place] * weight[:, None, :]
    miss = (flux - fits.model(found, redshift, grid)) * weight
    # Karush, Kuhn & Tucker: no slope where positive, none upward at 0; per length of the columns
    slope = np.einsum("ntb,nb->nt", columns, miss) / np.linalg.norm(columns, axis=2)
    slope /= np.linalg.norm(flux * weight, axis=1, keepdims=True)
    assert np.abs(slope[found > 0]).max() < 1e-8
    assert slope[found == 0].max() < 1e-8


def test_what_was_put_in_comes_out_where_there_is_no_noise(grid):
    flux, error, _, redshift, true = galaxies(grid, 50, seed=3)
    redshift = redshift.clip(0.1, 0.5)
    flux = fits.model(true, redshift, grid)
    found = fits.coefficients(flux, error, np.ones_like(flux), redshift, grid)
    assert np.abs((fits.model(found, redshift, grid) - flux) / error).max() < 1e-4


def test_a_template_that_is_a_sum_of_others_does_no_harm():
    plain = maggies.grid(templates.read("kcorrect"), BANDS, [0.1, 0.2])
    some = plain.maggies[:, [4, 2, 0]] * [[3.0], [1.0], [0.1]]
    mixed = plain.maggies[:, [1]] + plain.maggies[:, [3]]
    double = np.concatenate([some, mixed, plain.maggies, some], axis=1)
    doubled = plain._replace(maggies=double)
    flux, error, observed, redshift, _ = galaxies(plain, 300, seed=4)
    found = [fits.coefficients(flux, error, observed, redshift, g) for g in (plain, doubled)]
    miss = [
        (np.where(observed, (fits.model(c, redshift, g) - flux) / error, 0) ** 2).sum(axis=1)
        for c, g in zip(found, (plain, doubled), strict=True)
    ]
    assert_allclose(miss[1], miss[0], rtol=1e-6, atol=1e-6)


def test_unobserved_bands_have_no_say_and_no_flux_gives_nothing(grid):
    flux, error, observed, redshift, _ = galaxies(grid, 20, seed=5)
    found = fits.coefficients(flux, error, observed, redshift, grid)
    other = np.where(observed, flux, np.nan)
    again = fits.coefficients(other, np.where(observed, error, -1), observed, redshift, grid)
    assert (found == again).all()
    nothing = np.zeros_like(observed)
    assert (fits.coefficients(flux, error, nothing, redshift, grid) == 0).all()
    assert np.isnan(fits.redshifts(flux, error, nothing, grid).redshift).all()
    assert (fits.coefficients(-np.abs(flux), error, observed, redshift, grid) == 0).all()


def test_coefficients_follow_the_unit_of_the_fluxes(grid):
    flux, error, observed, redshift, _ = galaxies(grid, 50, seed=6)
    found = fits.coefficients(flux, error, observed, redshift, grid)
    scaled = fits.coefficients(1e9 * flux, 1e9 * error, observed, redshift, grid)
    assert_allclose(
        fits.model(scaled, redshift, grid), 1e9 * fits.model(found, redshift, grid), rtol=1e-9
    )


def test_redshifts_are_those_of_scipy_on_the_same_grid():
    short = maggies.grid(templates.read("cww_sb"), BANDS, np.linspace(0.0, 0.6, 41))
    flux, error, observed, _, _ = galaxies(short, 60, seed=7)
    fit = fits.redshifts(flux, error, observed, short)
    for i in range(len(flux)):
        chi2 = [exact(short, flux[i], error[i], observed[i], k)[1] for k in range(41)]
        assert_allclose(fit.chi2[i], chi2, rtol=1e-7, atol=1e-7)
        best = short.redshift[np.flatnonzero(np.array(chi2) <= min(chi2) + fits.TIE)[0]]
        assert fit.redshift[i] == best
        again = fits.coefficients(*(x[[i]] for x in (flux, error, observed)), [best], short)
        ours, theirs = (fits.model(c[None], [best], short) for c in (fit.coefficients[i], again[0]))
        assert_allclose(ours[:, observed[i]], theirs[:, observed[i]], rtol=1e-6)


def test_redshifts_of_good_photometry_are_right(grid):
    flux, error, _, redshift, _ = galaxies(grid, 200, seed=8)
    clean = fits.model(
        fits.coefficients(flux, error, np.ones_like(flux), redshift, grid), redshift, grid
    )
    error = 0.01 * clean
    rng = np.random.default_rng(8)
    fit = fits.redshifts(clean + error * rng.normal(size=clean.shape), error, clean > 0, grid)
    near = np.abs(fit.redshift - redshift) < 0.05 * (1 + redshift)
    assert near.mean() > 0.9


def test_template_errors_and_priors_act_as_stated(grid):
    flux, error, observed, _, _ = galaxies(grid, 20, seed=9)
    plain = fits.redshifts(flux, error, observed, grid)
    fraction = 0.1
    added = fits.redshifts(flux, error, observed, grid, ([1000.0, 30000.0], [fraction, fraction]))
    larger = np.hypot(error, fraction * flux)
    by_hand = fits.redshifts(flux, larger, observed, grid)
    grown = 2 * (np.log(larger / error) * observed).sum(axis=1, keepdims=True)
    assert_allclose(added.chi2, by_hand.chi2 + grown, rtol=1e-9, atol=1e-9)

    wall = np.where(grid.redshift < 0.3, -1e6, 0.0)
    behind = fits.redshifts(flux, error, observed, grid, log_prior=wall)
    assert (behind.redshift >= 0.3).all() and (behind.chi2 == plain.chi2).all()
    density = fits.posterior(plain.chi2, grid, wall)
    assert_allclose(np.trapezoid(density, grid.redshift, axis=1), 1)
    assert density[:, grid.redshift < 0.29].max() == 0
    with pytest.raises(ValueError, match="log_prior has shape"):
        fits.redshifts(flux, error, observed, grid, log_prior=wall[1:])


def test_zero_points_that_are_wrong_are_found(grid):
    _, error, _, redshift, true = galaxies(grid, 400, seed=10)
    clean = fits.model(true, redshift, grid)
    error = 0.02 * clean
    wrong = np.array([1.08, 0.97, 1.0, 1.03, 0.95, 1.0, 1.0, 1.0])
    rng = np.random.default_rng(10)
    seen = (clean + error * rng.normal(size=clean.shape)) / wrong
    full = np.ones(seen.shape, bool)
    factor = fits.zero_points(seen, error / wrong, full, redshift, grid, steps=30)
    expected = wrong / np.exp(np.log(wrong).mean())
    assert np.abs(factor / expected - 1).max() < 0.5 * np.abs(expected - 1).max()
    assert np.exp(np.log(factor).mean()) == pytest.approx(1)
    few = fits.zero_points(seen[:20], error[:20] / wrong, full[:20], redshift[:20], grid)
    assert (few == 1).all()


def test_the_error_of_templates_is_what_they_miss():
    # the sums of one set, fitted with the other: more is missed than with their own
    first, other = (
        maggies.grid(templates.read(name), BANDS, np.linspace(0, 0.6, 61))
        for name in templates.SETS
    )
    flux, _, _, redshift, true = galaxies(first, 400, seed=11)
    flux = fits.model(true, redshift, first)
    error, full = 0.005 * flux, np.ones(flux.shape, bool)
    _, own = fits.template_error(flux, error, full, redshift, first)
    wavelength, missed = fits.template_error(flux, error, full, redshift, other)
    assert (np.diff(wavelength) > 0).all() and 2000 < wavelength[0] < wavelength[-1] < 23000
    assert (own == 0).all() and np.median(missed) > 0.005
    with pytest.raises(ValueError, match="50 or more are needed"):
        fits.template_error(flux[:2], error[:2], full[:2], redshift[:2], first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"error": -1e-9}, "galaxy 3: error -1e-09 in sdss_g must be finite and above 0"),
        ({"error": 0.0}, "galaxy 3: error 0 in sdss_g"),
        ({"flux": np.nan}, "galaxy 3: flux nan in sdss_g must be finite; mark the band"),
        ({"redshift": 0.7}, "galaxy 3: redshift 0.7 must lie on the grid, 0 to 0.6"),
    ],
)
def test_what_is_no_measurement_is_refused_by_row_and_band(grid, change, message):
    flux, error, observed, redshift, _ = galaxies(grid, 5)
    values = {"flux": flux, "error": error, "redshift": redshift}
    for name, value in change.items():
        place = (3, 1) if name != "redshift" else 3
        values[name][place] = value
    with pytest.raises(ValueError, match=message):
        fits.coefficients(
            values["flux"], values["error"], observed | True, values["redshift"], grid
        )


def test_shapes_that_do_not_fit_are_refused(grid):
    flux, error, observed, redshift, _ = galaxies(grid, 5)
    with pytest.raises(ValueError, match="must have one shape"):
        fits.coefficients(flux, error[:4], observed, redshift, grid)
    with pytest.raises(ValueError, match="fluxes in 7 bands, templates in 8: sdss_u"):
        fits.redshifts(flux[:, 1:], error[:, 1:], observed[:, 1:], grid)


def test_the_prior_is_a_density_and_finds_its_own_parameters():
    true = priors.MagnitudePrior(2.0, 0.3, 0.08, 20.0)
    z = np.linspace(1e-4, 4, 4000)
    magnitude = np.array([17.0, 20.0, 23.0, np.nan])
    density = np.exp(true.log_density(z, magnitude))
    assert_allclose(np.trapezoid(density[:3], z, axis=1), 1, rtol=1e-3)
    assert (density[3] == 1).all()
    assert (np.diff(z[density[:3].argmax(axis=1)]) > 0).all()

    rng = np.random.default_rng(3)
    bright = rng.uniform(18, 22, 20000)
    # t = (z / z_m)^a is distributed as t^(1 / a) exp(-t)
    drawn = true.scale(bright) * rng.gamma(1 + 1 / true.alpha, size=bright.size) ** (1 / true.alpha)
    found = priors.fit(bright, drawn)
    assert found.alpha == pytest.approx(true.alpha, rel=0.03)
    assert found.slope == pytest.approx(true.slope, rel=0.03)
    assert found.scale(20.0) == pytest.approx(true.scale(20.0), rel=0.02)
    with pytest.raises(ValueError, match="3 galaxies do not tell a prior"):
        priors.fit(bright[:3], drawn[:3])
