"""Photometry of galaxies of known magnitude, colour, size and shape."""

import numpy as np
import pytest

from lensmill import experiments
from lensmill.cutouts import background
from lensmill.experiments.lens_finding import paint
from lensmill.imaging import camera, noise, photometry, psf, scenes
from lensmill.imaging.render import render

OBSERVATION = experiments.choices("lens_finding")["observations"]["panstarrs_gri"]
N = 60


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(3)
    return {
        "magnitude": rng.uniform(17, 19.5, N),
        "colour": rng.uniform(1, 3, N),
        "radius": rng.uniform(0.6, 1.4, N),
        "q": rng.uniform(0.4, 1.0, N),
        "phi": rng.uniform(0, np.pi, N),
        "x": rng.uniform(-0.4, 0.4, N),
        "y": rng.uniform(-0.4, 0.4, N),
    }


def galaxies(truth, index=1.5):
    light = {name: truth[name] for name in ("magnitude", "colour")}
    bands = OBSERVATION["bands"].values()
    flux = np.stack([camera.flux(light, band) for band in bands], axis=1)
    shape = {name: truth[name] for name in ("x", "y", "radius", "q", "phi")}
    parts = scenes.light(scenes.SERSIC, flux=flux, index=index, **shape)
    scene = scenes.assemble(scenes.lenses(np.zeros(N)), (np.arange(N), parts))
    return render(scene, 48, 0.25, camera.psfs(OBSERVATION), lensed=False)[0]


@pytest.fixture(scope="module")
def images(truth):
    return galaxies(truth)


def test_magnitude_colour_centre_and_angle_are_those_of_the_galaxy(truth, images):
    found = photometry.measure(images, OBSERVATION)
    # a circle of 2.5 mean radii leaves out some light, and more of what the seeing spreads
    assert found["host_magnitude"] - truth["magnitude"] == pytest.approx(np.full(N, 0.09), abs=0.07)
    # g is blurred more than i: some of it is outside the aperture
    assert found["host_colour"] - truth["colour"] == pytest.approx(np.full(N, 0.075), abs=0.03)
    for axis in "xy":
        assert found[f"host_{axis}"] == pytest.approx(truth[axis], abs=0.02)
    long = truth["q"] < 0.8
    turn = (found["host_phi"] - truth["phi"] + np.pi / 2) % np.pi - np.pi / 2
    assert turn[long] == pytest.approx(np.zeros(long.sum()), abs=0.05)
    assert np.abs(found["host_q"] - truth["q"]).max() < 0.2
    assert np.corrcoef(found["host_q"], truth["q"])[0, 1] > 0.95


def test_a_blurred_galaxy_is_no_smaller_than_it_is(truth, images):
    found = photometry.measure(images, OBSERVATION)
    # the circle that holds half of an ellipse's light is smaller than its intermediate radius
    assert (found["host_radius"] > 0.95 * truth["radius"]).all()
    assert (found["host_radius"] < np.hypot(truth["radius"], 1.0)).all()


def test_noise_moves_the_magnitude_of_a_bright_galaxy_little(truth, images):
    rng = np.random.default_rng(1)
    sigma = noise.sigma(images, **camera.exposure(OBSERVATION))
    noisy = images + sigma * rng.standard_normal(images.shape)
    clean = photometry.measure(images, OBSERVATION)
    found = photometry.measure(noisy, OBSERVATION)
    off = found["host_aperture_magnitude"] - clean["host_aperture_magnitude"]
    assert np.abs(off).max() < 0.1
    assert np.abs(np.median(found["host_magnitude"] - clean["host_magnitude"])) < 0.1


def test_a_neighbour_is_no_light_of_the_galaxy(truth, images):
    beside = dict(truth, x=truth["x"] + 3.5, y=truth["y"] + 2.5)
    both = images + galaxies(beside)
    alone = photometry.measure(images, OBSERVATION)
    found = photometry.measure(both, OBSERVATION)
    off = np.abs(found["host_magnitude"] - alone["host_magnitude"])
    assert np.median(off) < 0.15  # twice the light would be 0.75


@pytest.mark.parametrize("orientation", range(8))
def test_what_is_measured_turns_with_the_image(images, truth, orientation):
    rows = np.flatnonzero(truth["q"] < 0.8)[:10]
    upright = photometry.measure(images[rows], OBSERVATION)
    turned = np.stack([background.turned(images[row], orientation) for row in rows])
    found = photometry.measure(turned, OBSERVATION)
    x, y, phi = paint.turned_shape(
        *(upright[f"host_{name}"] for name in ("x", "y", "phi")), np.full(len(rows), orientation)
    )
    assert found["host_x"] == pytest.approx(x, abs=1e-2)
    assert found["host_y"] == pytest.approx(y, abs=1e-2)
    off = (found["host_phi"] - phi + np.pi / 2) % np.pi - np.pi / 2
    assert off == pytest.approx(np.zeros(len(rows)), abs=0.02)


def test_an_image_of_nothing_but_noise_has_numbers():
    rng = np.random.default_rng(1)
    empty = rng.normal(size=(20, 48, 48, 3))
    found = photometry.measure(empty, OBSERVATION)
    assert all(np.isfinite(values).all() for values in found.values())


@pytest.mark.parametrize("fwhm", [0.9, 1.11, 1.5])
def test_a_star_gives_the_width_of_its_profile(fwhm):
    settings = OBSERVATION["bands"]["i"]["psf"]
    star = psf.moffat(fwhm, 3.0, 0.25)
    light = scenes.light(scenes.POINT, x=[2.9], y=[-2.1], flux=[500.0])
    scene = scenes.assemble(scenes.lenses(0.0), ([0], light))
    image = render(scene, 64, 0.25, [star], lensed=False)[0][0, ..., 0]
    noisy = image + np.random.default_rng(2).normal(scale=0.1, size=image.shape)
    found = photometry.star_width(noisy, 0.1, settings, 0.25)
    assert found == pytest.approx(fwhm, rel=0.05)


def test_a_galaxy_or_noise_is_no_star(images):
    settings = OBSERVATION["bands"]["i"]["psf"]
    rng = np.random.default_rng(2)
    sky = rng.normal(scale=0.1, size=(64, 64))
    assert photometry.star_width(sky, 0.1, settings, 0.25) is None
    # the galaxy in the middle is not looked at
    image = images[0, ..., 2] + rng.normal(scale=0.1, size=(48, 48))
    assert photometry.star_width(image, 0.1, settings, 0.25) is None
