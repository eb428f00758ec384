"""Images of galaxies as sources: their flux, and the same arcs as of the profile they show."""

import numpy as np
import pytest
from scipy.signal import fftconvolve

from lensmill.imaging import pixel_sources, psf, scenes
from lensmill.imaging.render import render

SHARP = psf.pixels(np.pad([[1.0]], 1))
SCALE = 0.03
SHAPE = {"radius": 0.25, "index": 1.0, "q": 0.7, "phi": 0.5}
LENSES = {
    "none": {},
    "sphere": {"theta_e": 1.1},
    "ellipsoid": {"theta_e": 1.2, "q": 0.7, "phi": 0.3, "slope": 2.1, "gamma1": 0.05},
}


def deflector(name):
    return scenes.lenses(**({"theta_e": 0.0} | LENSES[name]), x=0.03, y=-0.02)


def profile(x=0.0, y=0.0, size=121, scale=SCALE, lens=None, star=SHARP):
    """Render one Sersic profile of flux 1."""
    light = scenes.light(scenes.SERSIC, x, y, 1.0, lensed=lens is not None, **SHAPE)
    scene = scenes.assemble(scenes.lenses(0.0) if lens is None else lens, ([0], light))
    return render(scene, size, scale, [star], lensed=False)[0][0, ..., 0].astype(float)


@pytest.fixture(scope="module")
def source():
    return pixel_sources.cut_out(profile(), 1e-7, SCALE)


def test_a_source_is_cut_out_of_its_noise():
    rng = np.random.default_rng(1)
    sigma = 2e-5  # the galaxy's brightest pixel is 100 times that
    image = profile() + rng.normal(scale=sigma, size=(121, 121))
    cut = pixel_sources.cut_out(image, sigma, SCALE)
    assert cut.pixels.sum() == pytest.approx(1)
    assert cut.reach < 1.5  # the frame would reach 2.5
    assert not cut.pixels[[0, -1]].any() and not cut.pixels[:, [0, -1]].any()
    assert pixel_sources.cut_out(rng.normal(size=(60, 60)) * 0, 1.0, SCALE) is None


@pytest.mark.parametrize(("size", "scale"), [(48, 0.25), (64, 0.1), (64, 0.2)])
@pytest.mark.parametrize("place", [(0.0, 0.0), (0.31, -0.17), (0.04, 0.09)])
def test_without_a_lens_the_flux_is_that_of_the_source(source, size, scale, place):
    image = pixel_sources.trace(source, place, 0.4, deflector("none"), size, scale)
    assert image.sum() == pytest.approx(1, abs=pixel_sources.FLUX)


@pytest.mark.parametrize("name", ["sphere", "ellipsoid"])
@pytest.mark.parametrize(("size", "scale", "fwhm"), [(48, 0.25, 1.2), (64, 0.1, 0.18)])
@pytest.mark.parametrize("place", [(0.1, 0.05), (0.4, -0.2)])
def test_arcs_of_an_image_are_those_of_the_profile_it_shows(source, name, size, scale, fwhm, place):
    lens, star = deflector(name), psf.moffat(fwhm, 3.0, scale)
    traced = pixel_sources.trace(source, place, 0.0, lens, size, scale)
    traced = fftconvolve(traced, star.kernel, mode="same")
    drawn = profile(*place, size, scale, lens, star)
    # the same magnification, and the same place
    assert traced.sum() == pytest.approx(drawn.sum(), rel=pixel_sources.FLUX)
    assert np.abs(traced - drawn).max() < 0.03 * drawn.max()


def test_a_source_turns_counter_clockwise(source):
    for angle in (0.0, 0.7, 1.9):
        image = pixel_sources.trace(source, (0.0, 0.0), angle, deflector("none"), 65, 0.1)
        x = np.arange(65) - 32
        xx, yy, xy = (
            (image * a * b).sum() for a, b in ((x, x), (x[:, None],) * 2, (x, x[:, None]))
        )
        found = 0.5 * np.arctan2(2 * xy, xx - yy)
        off = (found - SHAPE["phi"] - angle + np.pi / 2) % np.pi - np.pi / 2
        assert off == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("name", ["sphere", "ellipsoid"])
def test_lenstronomy_makes_the_same_arcs_of_an_image(source, name):
    image_model = pytest.importorskip("lenstronomy.ImSim.image_model")
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel

    size, scale, place = 64, 0.1, (0.2, -0.1)
    settings = {"theta_e": 1.0, "q": 1.0, "phi": 0.0, "slope": 2.0, "gamma1": 0.0} | LENSES[name]
    ellipticity = (1 - settings["q"]) / (1 + settings["q"])
    lens = [
        {
            "theta_E": settings["theta_e"],
            "gamma": settings["slope"],
            "e1": ellipticity * np.cos(2 * settings["phi"]),
            "e2": ellipticity * np.sin(2 * settings["phi"]),
            "center_x": 0.03,
            "center_y": -0.02,
        },
        {"gamma1": settings["gamma1"], "gamma2": 0.0, "ra_0": 0.03, "dec_0": -0.02},
    ]
    # there, the middle of the array is the centre
    rows, columns = source.pixels.shape
    offset = (np.array(source.centre) - (np.array([rows, columns]) - 1) / 2) * SCALE
    light = {
        "image": source.pixels,
        "amp": 1.0,
        "center_x": place[0] - offset[1],
        "center_y": place[1] - offset[0],
        "phi_G": 0.0,
        "scale": SCALE,
    }
    middle = (size - 1) / 2 * scale
    data = ImageData(
        np.zeros((size, size)),
        ra_at_xy_0=-middle,
        dec_at_xy_0=-middle,
        transform_pix2angle=np.eye(2) * scale,
    )
    model = image_model.ImageModel(
        data,
        PSF(psf_type="NONE"),
        LensModel(["EPL", "SHEAR"]),
        LightModel(["INTERPOL"]),
        kwargs_numerics={"supersampling_factor": 4},
    )
    theirs = model.image(lens, [light], unconvolved=True)
    ours = pixel_sources.trace(source, place, 0.0, deflector(name), size, scale)
    theirs = theirs / SCALE**2  # an image is brightness per square arcsec there
    assert theirs.sum() == pytest.approx(ours.sum(), rel=pixel_sources.FLUX)
    assert np.abs(ours - theirs).max() < 0.03 * ours.max()
