"""Spectra, bands and the fluxes of the ones in the others."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lensmill.galaxies import dust, filters, igm, maggies, templates

# Without vimos_U, whose curve ends above 0: kcorrect adds half a step of the spectrum there, 1e-4.
BANDS = sorted(band for band, (package, _) in filters.BANDS.items() if package == "kcorrect")
BANDS.remove("vimos_U")


def flat(power: float = 0.0, end: float = 2e5) -> templates.Templates:
    """Return a power law in frequency, of AB magnitude 0 at 5000 Angstrom."""
    wavelength = np.geomspace(100, end, 20000)
    luminosity = maggies.AB / wavelength**2 * (wavelength / 5000) ** power
    return templates.Templates(("flat",), wavelength, luminosity[None])


@pytest.mark.parametrize("band", sorted(filters.BANDS))
def test_every_curve_is_that_of_a_band(band):
    wavelength, response = filters.curve(band)
    assert (np.diff(wavelength) > 0).all() and wavelength[0] > 500
    assert response.max() > 0 and response.min() > -0.02 * response.max()
    # more than most of what passes, passes near the effective wavelength
    near = np.abs(wavelength / filters.effective_wavelength(band) - 1) < 0.4
    assert np.trapezoid(np.where(near, response, 0), wavelength) > 0.95 * np.trapezoid(
        response, wavelength
    )


def test_bands_lie_where_their_names_say():
    # published: Fukugita et al. (1996), the 2MASS and HST handbooks
    for band, angstrom in {"sdss_r": 6165, "twomass_Ks": 21590, "acs_F814W": 8030}.items():
        assert filters.effective_wavelength(band) == pytest.approx(angstrom, rel=0.01)
    for name in (427, 624, 827):
        centre = filters.effective_wavelength(f"suprime_IB{name}")
        assert centre == pytest.approx(10 * name, rel=0.01)
    lsst = [filters.effective_wavelength(f"lsst_{band}") for band in "ugrizy"]
    assert_allclose(lsst, [3670, 4800, 6200, 7520, 8680, 9710], rtol=0.01)


def test_an_unknown_band_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'sdss_Y' is not a band.*sdss_g"):
        filters.curve("sdss_Y")
    with pytest.raises(ValueError, match=r"'bpz' is not a set.*kcorrect"):
        templates.read("bpz")


def test_an_ab_source_has_one_maggy_in_every_band():
    fluxes = maggies.model(flat(), sorted(filters.BANDS), [0.0])
    assert_allclose(fluxes, 1.0, rtol=3e-5)


def test_redshift_moves_a_spectrum_and_keeps_its_bolometric_flux():
    # a spectrum f_nu ~ l^p seen at z is (1 + z)^(1 - p) times as bright at each wavelength
    power, z = 1.5, np.array([0.0, 0.3, 2.0])
    fluxes = maggies.model(flat(power), ["sdss_g", "twomass_J"], z)[:, 0]
    assert_allclose(fluxes / fluxes[0], np.tile((1 + z[:, None]) ** (1 - power), 2), rtol=1e-5)


def test_fluxes_are_those_of_kcorrect():
    from kcorrect.response import ResponseDict
    from kcorrect.template import Template

    spectra = templates.read("kcorrect")
    redshifts = np.float32([0.0, 0.15, 0.6, 1.9])
    ours = maggies.model(spectra, BANDS, redshifts)

    path = filters.packages.folder("kcorrect") / "data/templates/kcorrect-default-v4.fits"
    theirs, responses = np.empty_like(ours), ResponseDict()
    template = Template(filename=str(path), interpolate=True)
    for i, z in enumerate(redshifts):
        template.set_redshift(redshift=z)
        for b, band in enumerate(BANDS):
            name = filters.BANDS[band][1].split("/")[-1].removesuffix(".dat")
            responses.load_response(name)
            theirs[i, :, b] = responses[name].project(sed=template)
            # where a curve does not end at 0, theirs is wrong: findings/
            if not responses[name].response[[0, -1]].any():
                assert filters.effective_wavelength(band) == pytest.approx(
                    responses[name].lambda_eff, rel=1e-5
                )
    assert (theirs > 0).all()
    assert_allclose(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize("band", ["hsc_g", "hsc_y", "megacam_u", "suprime_IB624"])
def test_fluxes_are_those_of_speclite_which_interpolates_otherwise(band):
    from astropy import units
    from speclite.filters import load_filter

    spectra = templates.read("kcorrect")
    name = filters.BANDS[band][1].split("/")[-1].removesuffix(".ecsv")
    unit = units.Unit("erg s-1 cm-2 AA-1")
    theirs = load_filter(name).get_ab_maggies(
        spectra.luminosity * unit, spectra.wavelength * units.AA
    )
    assert_allclose(maggies.model(spectra, [band], [0.0])[0, :, 0], theirs, rtol=1e-2)


def test_the_second_set_is_no_sum_of_the_first():
    # shapes in eight narrow bands: what is left of each after the best sum of kcorrect's spectra
    from scipy.optimize import nnls

    bands = [f"suprime_IB{name}" for name in (427, 484, 527, 574, 624, 679, 738, 827)]
    first = maggies.model(templates.read("kcorrect"), bands, [0.0])[0].T
    second = maggies.model(templates.read("cww_sb"), bands, [0.0])[0]
    first = first / first.max(axis=0)
    left = [nnls(first, one / np.linalg.norm(one))[1] for one in second]
    assert len(left) == 8 and min(left) > 0.005 and np.median(left) > 0.02


def test_a_band_beyond_the_spectra_is_refused():
    with pytest.raises(ValueError, match=r"irac_1 reaches 42350 Angstrom.*end at 25600"):
        maggies.model(templates.read("cww_sb"), ["sdss_r", "irac_1"], [0.0, 1.0])
    maggies.model(templates.read("cww_sb"), ["irac_1"], [0.7])


def test_a_grid_increases():
    with pytest.raises(ValueError, match="must increase"):
        maggies.grid(flat(), ["sdss_r"], [0.1, 0.1])


def test_dust_is_that_of_calzetti():
    # R_V is that at 5500 Angstrom
    assert dust.curve(5500.0) == pytest.approx(4.05, abs=0.02)
    # its two parts meet at 0.63 micron to less than a percent, as published
    blue, red = dust.curve([6299.9, 6300.1])
    assert red == pytest.approx(2.659 * (-1.857 + 1.04 / 0.63) + 4.05, rel=1e-4)
    assert blue == pytest.approx(red, rel=0.01)
    at = dust.curve(np.geomspace(600, 4e4, 400))
    assert (np.diff(at) <= 0.03).all() and at[-1] == 0.0
    # E(B - V) is the difference of the attenuations in B and V
    blue, visual = -2.5 * np.log10(dust.attenuation([4400.0, 5500.0], 0.3))
    assert blue - visual == pytest.approx(0.3, abs=0.02)


def test_reddened_templates_are_dimmed_most_in_the_blue():
    plain = templates.read("kcorrect")
    red = dust.redden(plain, 0.5)
    bands = ["galex_NUV", "sdss_r", "twomass_Ks"]
    dimmed = maggies.model(red, bands, [0.0]) / maggies.model(plain, bands, [0.0])
    assert (np.diff(dimmed[0], axis=1) > 0).all() and dimmed.max() < 1
    # in a band that the curve hardly changes over, by the curve
    expected = dust.attenuation([filters.effective_wavelength(band) for band in bands], 0.5)
    assert_allclose(dimmed[0, :, 1:], np.tile(expected[1:], (5, 1)), rtol=0.05)


def test_hydrogen_takes_nothing_redward_of_lyman_alpha_and_most_beyond_the_limit():
    for z in (2.0, 4.0):
        depth = igm.optical_depth(np.array([1220, 1100, 1000, 900]) * (1 + z), z)
        assert depth[0] == 0 and (np.diff(depth) > 0).all()
    # by hand: Lyman alpha and metals at z = 3 in the spectrum of a source at 3.5
    by_hand = 0.0036 * 4**3.46 + 0.0017 * 4**1.68
    assert igm.optical_depth(4 * 1216.0, 3.5) == pytest.approx(by_hand)
    assert (igm.optical_depth(np.linspace(100, 5000, 100), 0.0) >= 0).all()


def test_absorbed_fluxes_drop_out_of_the_blue_band():
    plain, taken = (maggies.model(flat(), ["sdss_u", "sdss_r"], [3.2], a)[0, 0] for a in (0, 1))
    assert taken[0] < 0.3 * plain[0]
    assert taken[1] == pytest.approx(plain[1])
