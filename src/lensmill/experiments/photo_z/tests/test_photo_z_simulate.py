"""Mocks: a luminosity function, volumes and spectra that can be told by other means."""

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from photo_z_settings import population
from scipy.integrate import quad
from scipy.stats import kstest

from lensmill import experiments
from lensmill.experiments.photo_z import mixture, mocks, simulate
from lensmill.galaxies import dust, maggies, templates
from lensmill.pipeline.streams import uniforms


def numbers(count, name="mock", first=0):
    return uniforms(1, "photo_z", name, first, count, simulate.WIDTH)


def draw(settings, count=4000):
    return simulate.draw(0, numbers(count), settings)["systems"]


@pytest.mark.parametrize("slope", [-1.3, -1.0, -0.5, -1.7])
def test_a_schechter_function_is_integrated_and_drawn_from(slope):
    low = 0.3
    integral = quad(lambda x: x**slope * np.exp(-x), low, np.inf)[0]
    assert np.exp(mocks.above(slope, np.log(low))) == pytest.approx(integral, rel=1e-4)
    far = quad(lambda x: x**slope * np.exp(-x), 40.0, np.inf)[0]
    assert np.exp(mocks.above(slope, np.log(40.0))) == pytest.approx(far, rel=2e-2)
    chance = (np.arange(20000) + 0.5) / 20000
    drawn = np.exp(mocks.draw_above(slope, np.full(20000, np.log(low)), chance))
    assert drawn.min() >= low
    mean = quad(lambda x: x ** (slope + 1) * np.exp(-x), low, np.inf)[0] / integral
    assert drawn.mean() == pytest.approx(mean, rel=1e-3)


def test_volumes_and_distances_are_those_of_astropy():
    prior = population("mock")["prior"]
    of = mocks.sample("sdss_r", 17.4, 0.01, 0.6, prior)
    cosmology = FlatLambdaCDM(mocks.H0, mocks.OMEGA_M, Tcmb0=0)
    distance = cosmology.luminosity_distance(of.redshift).to_value("pc")
    assert of.distance == pytest.approx((distance / 10) ** 2, rel=1e-6)
    volume = cosmology.differential_comoving_volume(of.redshift).value
    assert of.volume / volume == pytest.approx(np.full(len(volume), of.volume[0] / volume[0]))


def test_an_absolute_magnitude_is_what_a_galaxy_would_have_at_10_pc():
    # M_B of a mock from its flux in F435W, far enough away for no K correction to be small
    plain = population("mock", family="plain")
    plain["observation"] = {
        "bands": {
            "acs_F435W": {"depth": 30.0, "scatter": 0, "growth": 0, "floor": 0, "observed": 1}
        },
        "select": {"band": "acs_F435W", "faintest": 17.0},
    }
    plain["prior"] = plain["prior"] | {"redshift": [1e-4, 2e-3]}
    prior = plain["prior"] | {"ebv": ["fixed", 0.0], "lines": ["fixed", 0.0]}
    z, flux = simulate.galaxies(numbers(3000), prior, plain["observation"])
    modulus = FlatLambdaCDM(70, 0.3, Tcmb0=0).distmod(z).value
    absolute = -2.5 * np.log10(flux[:, 0]) - modulus
    # Schechter (1976), both kinds fainter than M*: none is brighter by two magnitudes
    assert absolute.min() > -20.4 - 2.5
    assert absolute.max() < 17.0 - modulus.min()
    assert (flux[:, 0] > 10 ** (-0.4 * 17.0) * 0.99).all()


def test_numbers_grow_with_the_volume_where_all_are_seen():
    settings = population("mock")
    settings["prior"] = settings["prior"] | {"redshift": [0.01, 0.03]}
    settings["observation"] = settings["observation"] | {
        "select": {"band": "sdss_r", "faintest": 10.5}
    }
    # galaxies this bright are seen only at the luminous end: numbers follow the luminosity function
    found = draw(settings, 6000)
    cosmology = FlatLambdaCDM(70, 0.3, Tcmb0=0)
    assert found["redshift"].min() >= 0.01 and found["redshift"].max() <= 0.03
    # as bright as one likes: then it is the volume alone
    settings["observation"]["select"]["faintest"] = 30.0
    settings["prior"] = settings["prior"] | {
        "luminosity": {
            kind: law | {"slope": -0.5, "brightening": 0.0, "growth": 0.0}
            for kind, law in settings["prior"]["luminosity"].items()
        }
    }
    deep = draw(settings, 6000)["redshift"]
    low, high = (cosmology.comoving_volume(z).value for z in (0.01, 0.03))
    test = kstest(deep, lambda z: (cosmology.comoving_volume(z).value - low) / (high - low))
    assert test.pvalue > 1e-3


def test_a_galaxy_is_the_same_whatever_is_drawn_with_it():
    settings = population("mock")
    together = draw(settings, 50)
    alone = simulate.draw(33, numbers(1, first=33), settings)["systems"]
    part = simulate.draw(20, numbers(19, first=20), settings)["systems"]
    for name, column in together.items():
        assert np.array_equal(column[33], alone[name][0]), name
        assert np.array_equal(column[20:39], part[name]), name  # to the last bit


def test_noise_is_what_the_errors_say():
    settings = population("mock")
    prior = settings["prior"]
    u = numbers(4000)
    _, truth = simulate.galaxies(u, prior, settings["observation"])
    found = simulate.draw(0, u, settings)["systems"]
    seen = found["observed"] == 1
    away = (found["flux"] - truth)[seen] / found["flux_error"][seen]
    assert kstest(away, "norm").pvalue > 1e-3
    # GALEX sees few, and its two bands together
    fuv, nuv = seen[:, 0], seen[:, 1]
    assert nuv.mean() == pytest.approx(0.077, abs=0.015)
    assert not (fuv & ~nuv).any()
    assert not found["flux"][~seen].any() and not found["flux_error"][~seen].any()


def test_noise_of_a_faint_galaxy_is_a_fifth_of_the_depth():
    bands = {"a": {"depth": 25.0, "scatter": 0.0, "growth": 0.5, "floor": 0.1, "observed": 1.0}}
    faint, bright = 10 ** (-0.4 * 30.0), 10 ** (-0.4 * 20.0)
    _, error, _ = simulate.observe(np.array([[faint], [bright]]), numbers(2), bands)
    assert error[0, 0] == pytest.approx(10 ** (-0.4 * 25.0) / 5, rel=1e-3)
    # a hundred times the depth: ten times the noise, and a tenth of the flux
    grown = 10 ** (-0.4 * 25.0) / 5 * 10
    assert error[1, 0] == pytest.approx(np.hypot(grown, 0.1 * bright))


def test_the_sample_ends_at_its_magnitude():
    settings = population("mock")
    cut = settings["observation"]["select"]
    _, truth = simulate.galaxies(numbers(4000), settings["prior"], settings["observation"])
    r = -2.5 * np.log10(truth[:, [*settings["observation"]["bands"]].index(cut["band"])])
    assert r.max() < cut["faintest"] + 0.01
    # numbers about follow 10^(0.6 m) of an even universe, less at some depth by redshift
    counts = np.histogram(r, [15.4, 16.4, 17.4])[0]
    assert 2.0 < counts[1] / counts[0] < 10**0.6


def test_dust_reddens_and_lines_brighten():
    settings = population("mock")
    u = numbers(2000)
    ends = {}
    for name, change in {
        "plain": {"ebv": ["fixed", 0.0], "lines": ["fixed", 0.0]},
        "dusty": {"ebv": ["fixed", 0.2], "lines": ["fixed", 0.0]},
        "lines": {"ebv": ["fixed", 0.0], "lines": ["fixed", 100.0]},
    }.items():
        prior = settings["prior"] | change
        spectra = mocks.spectra_of(u[:, : mocks.NUMBERS], mixture.read().weight, prior)
        bands, rest = ("sdss_u", "sdss_g", "sdss_r"), np.zeros(len(u), int)
        flux = mocks.fluxes_at(spectra.coefficients, rest, np.zeros(len(u)), bands, 1e-4, 0.1)
        ends[name] = -2.5 * np.log10(flux), spectra.blue
    plain, blue = ends["plain"]
    reddened = (ends["dusty"][0] - plain).mean(axis=0)
    # Calzetti et al. (2000): k of u, g, r at 3550, 4690 and 6170 Angstrom
    expected = 0.2 * dust.curve(np.array([3550.0, 4690.0, 6170.0]))
    assert reddened == pytest.approx(expected, rel=0.03)
    brighter = ends["lines"][0] - plain
    assert np.abs(brighter[~blue]).max() < 1e-9
    # 100 Angstrom of H alpha with [N II] and [S II] in a band 1100 Angstrom wide: about 13 %
    assert np.median(brighter[blue, 2]) == pytest.approx(-0.13, abs=0.05)


def test_far_galaxies_have_more_young_stars():
    settings = population("mock_lsst")
    colours = {}
    for youth in (0.0, 2.5):
        prior = settings["prior"] | {"youth": youth}
        z, flux = simulate.galaxies(numbers(2000, "mock_lsst"), prior, settings["observation"])
        far = (z > 0.8) & (z < 1.2)
        colours[youth] = np.median(-2.5 * np.log10(flux[far, 1] / flux[far, 3]))  # g - i
    assert colours[2.5] < colours[0.0] - 0.2
    # (1.8 / 1.1)^2.5 of the light of young stars, none of that of old ones
    grown = mocks.growth(np.array([0.1, 0.8, 3.0]), 2.5, 0.8)
    assert grown[mocks.young()][0] == pytest.approx([1.0, 3.427, 3.427], rel=1e-3)
    assert (grown[~mocks.young()] == 1).all()


def test_plain_galaxies_are_sums_of_the_five_spectra():
    settings = population("mock", family="plain")
    u = numbers(500)
    prior = settings["prior"] | {"ebv": ["fixed", 0.0], "lines": ["fixed", 0.0]}
    z, flux = simulate.galaxies(u, prior, settings["observation"])
    spectra = mocks.spectra_of(u[:, : mocks.NUMBERS], np.ones(14), prior)
    assert spectra.shares.sum(axis=1) == pytest.approx(np.ones(500))
    bands = [*settings["observation"]["bands"]]
    for i in (0, 7, 99):
        model = maggies.model(templates.read("kcorrect"), bands, [z[i]], absorbed=True)[0]
        # a galaxy of these spectra: fits of their fluxes leave nothing
        x, *_ = np.linalg.lstsq(model.T / flux[i][:, None], np.ones(len(bands)), rcond=None)
        assert np.abs(model.T @ x / flux[i] - 1).max() < 5e-3


def test_mocks_look_like_the_galaxies_that_they_are_of(tmp_path):
    from lensmill.experiments.photo_z import ingest
    from lensmill.pipeline import sources, store

    real = population("sdss_galex_2mass")
    output = str(tmp_path / "real.h5")
    ingest.ingest(sources.find(real["ingest"], ""), output, "real", "photo_z", real)
    real, mock = store.read(output, "systems"), draw(population("mock"))
    assert np.median(mock["redshift"]) == pytest.approx(np.median(real["redshift"]), abs=0.01)
    for k in range(2, 6):  # u - g ... i - z
        ours, theirs = (
            -2.5
            * np.log10(np.maximum(x["flux"][:, k] / np.maximum(x["flux"][:, k + 1], 1e-30), 1e-9))
            for x in (mock, real)
        )
        assert np.median(ours) == pytest.approx(np.median(theirs), abs=0.08), k


@pytest.mark.parametrize("name", ["mock_lsst", "mock_candels"])
def test_other_surveys_are_deeper_and_bluer(name):
    settings = population(name)
    cut = settings["observation"]["select"]
    low, high = settings["prior"]["redshift"]
    weight = mocks.weights(cut["band"], cut["faintest"], low, high, settings["prior"])
    blue = mixture.read().blue
    share = weight[blue].sum() / weight.sum()
    assert share > 2 * mixture.read().weight[blue].sum()
    found = simulate.draw(0, numbers(300, name), settings)["systems"]
    assert 0.5 < np.median(found["redshift"]) < 2
    assert np.isfinite(found["flux"]).all()


def test_a_band_without_a_curve_cannot_be_simulated():
    settings = population("mock")
    bands = settings["observation"]["bands"]
    settings["observation"] = settings["observation"] | {
        "bands": bands | {"vista_J": bands["twomass_J"]}
    }
    with pytest.raises(ValueError, match="'vista_J' is not a band"):
        draw(settings, 10)


def test_mocks_need_a_depth_and_a_cut():
    chosen = experiments.choices("photo_z") | {"networks": {}, "figures": {}, "searches": {}}
    for change, said in (
        ({"bands": {"sdss_r": {"depth": 22.0}}}, "needs `select`"),
        (
            {"bands": {"sdss_r": {}}, "select": {"band": "sdss_r", "faintest": 17.0}},
            "sdss_r needs `depth`",
        ),
        (
            {"bands": {"sdss_r": {}}, "select": {"band": "sdss_q", "faintest": 17.0}},
            "did you mean 'sdss_r'",
        ),
    ):
        chosen["observations"] = {"mine": change}
        chosen["populations"] = {
            "mine": {"family": "nmf", "prior": "sdss", "observation": "mine", "systems": 5}
        }
        with pytest.raises(ValueError, match=said):
            experiments.check("photo_z", chosen)
