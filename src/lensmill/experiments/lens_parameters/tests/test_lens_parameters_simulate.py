"""Images of lenses: what the prior says, where a quasar is seen, and what turns with the sky."""

import numpy as np
import pytest
from scipy import stats

from lensmill import experiments
from lensmill.experiments.lens_parameters import parameters, rotation, simulate, sky
from lensmill.imaging.scenes import POINT
from lensmill.lensing.solver import solve
from lensmill.pipeline import priors, settings, streams


def chosen(population="lsst_quasars", family="epl_shear", **override):
    found = settings.population(experiments.defaults("lens_parameters"), population)
    return found | {"family": family, "prior": found["prior"] | override}


def numbers(systems, seed=3):
    return streams.uniforms(seed, "lens_parameters", "test", 0, systems, sky.WIDTH)


def truth(systems):
    return parameters.from_systems({**systems, "index": np.arange(len(systems["q"]))})


def sky_of(systems, population):
    return sky.draw(numbers(systems), simulate.FAMILIES[population["family"]], population["prior"])


@pytest.fixture(scope="module")
def turned():
    """Return images and truth of the same lenses at some angles [deg]."""
    return {a: simulate.turned(numbers(4), chosen(), a) for a in (0.0, 90.0, 180.0, 270.0, 37.0)}


def test_a_sky_that_is_not_turned_is_that_of_the_data_set(turned):
    drawn = simulate.draw(0, numbers(4), chosen())
    assert np.array_equal(turned[0.0][0], drawn["cutouts"]["pixels"])
    assert np.array_equal(truth(turned[0.0][1]), truth(drawn["systems"]))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_give_exactly_the_turned_pixels(turned, quarters):
    # with rows running up, a turn of the sky from x to y is one of the array from columns to rows
    expected = np.rot90(turned[0.0][0], -quarters, axes=(1, 2))
    assert np.array_equal(turned[90.0 * quarters][0], expected)


def test_a_scene_that_is_turned_is_rendered_as_the_turned_image():
    population = chosen()
    drawn = sky_of(4, population)
    before, _, _ = simulate.noise_free(drawn, population["observation"])
    after, _, _ = simulate.noise_free(sky.turn(drawn, np.pi / 2), population["observation"])
    # the ray tracing samples a turned scene at other places within pixels
    near = 0.02 * float(before.max())
    assert after == pytest.approx(np.rot90(before, -1, axes=(1, 2)), abs=near)
    assert after != pytest.approx(np.rot90(before, 1, axes=(1, 2)), abs=near)


@pytest.mark.parametrize("angle", [90.0, 180.0, 270.0, 37.0])
def test_the_truth_turns_with_the_sky(turned, angle):
    before, after = truth(turned[0.0][1]), truth(turned[angle][1])
    assert after == pytest.approx(rotation.turn(before, np.deg2rad(angle)), abs=1e-12)
    scalars = [parameters.THETA_E, parameters.SLOPE]
    assert np.array_equal(after[:, scalars], before[:, scalars])


def test_images_of_a_quasar_are_where_the_solver_finds_them():
    population = chosen(
        einstein_radius=["fixed", 0.8],  # far from the edge of the frame
        flux_change=["fixed", 0.0],
        quasar_magnitude=["fixed", 19.0],
        lens_magnitude=["fixed", 30.0],
        source_magnitude=["fixed", 32.0],
    )
    drawn = sky_of(30, population)
    mass = {name: drawn.mass[name] for name in simulate.MASS}
    images = solve(
        **mass,
        kappa_ext=np.zeros(30),
        source_x=drawn.truth["source_x"],
        source_y=drawn.truth["source_y"],
        min_magnification=0.1,
    )
    assert np.array_equal(images.n_images, drawn.truth["n_images"])
    point = drawn.light["kind"] == POINT
    owner = drawn.light["owner"][point]
    assert np.array_equal(np.bincount(owner, minlength=30), images.n_images)
    for axis, seen, centre in zip("xy", (images.x, images.y), drawn.centre, strict=True):
        assert drawn.light[axis][point] == pytest.approx(seen + centre[owner], abs=1e-12)

    # in pixels: the light of all images, and its centroid weighed by their magnifications
    pixels, _, _ = simulate.noise_free(drawn, population["observation"])
    scale, size = population["observation"]["pixel_scale"], population["observation"]["size"]
    place = (np.arange(size) - (size - 1) / 2) * scale
    flux = pixels[..., 0]
    total = flux.sum(axis=(1, 2))
    magnification = np.bincount(owner, np.abs(images.magnification), minlength=30)
    assert total / total[0] == pytest.approx(magnification / magnification[0], rel=0.05)
    for axis, profile in (("x", flux.sum(axis=1)), ("y", flux.sum(axis=2))):
        weight = np.abs(images.magnification)
        mean = np.bincount(owner, weight * drawn.light[axis][point], minlength=30) / magnification
        assert (profile * place).sum(axis=1) / total == pytest.approx(mean, abs=0.05)


def test_a_galaxy_without_a_quasar_has_no_points():
    drawn = sky_of(50, chosen(quasar_fraction=0.0))
    assert not (drawn.light["kind"] == POINT).any()
    assert not drawn.truth["has_quasar"].any()


def test_lenses_follow_the_prior():
    population = chosen()
    drawn, prior = sky_of(3000, population), population["prior"]
    theta_e = drawn.mass["theta_e"]
    values = {
        "einstein_radius": theta_e,
        "one_minus_q": 1 - drawn.mass["q"],
        "slope": drawn.mass["slope"],
        "shear": np.hypot(drawn.mass["gamma1"], drawn.mass["gamma2"]),
        "source_magnitude": drawn.truth["source_magnitude"],
        "lens_magnitude": drawn.truth["lens_magnitude"] + 5 * np.log10(theta_e),
    }
    for name, found in values.items():
        assert stats.kstest(priors.cdf(prior[name], found), "uniform").pvalue > 1e-3, name
    radius = np.hypot(drawn.truth["source_x"], drawn.truth["source_y"]) / theta_e
    assert stats.kstest((radius / prior["source"][1]) ** 2, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(
    ("family", "fixed"),
    [
        ("sis_shear", {"q": 1.0, "slope": 2.0}),
        ("sie", {"gamma1": 0.0, "gamma2": 0.0, "slope": 2.0}),
        ("sie_shear", {"slope": 2.0}),
        ("epl_shear", {}),
    ],
)
def test_a_family_leaves_out_what_it_says(family, fixed):
    mass = sky_of(20, chosen(family=family)).mass
    for name in ("q", "slope", "gamma1", "gamma2"):
        if name in fixed:
            assert (mass[name] == fixed[name]).all(), name
        else:
            assert np.ptp(mass[name]) > 0, name
