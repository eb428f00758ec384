import numpy as np
import pytest
from rings_settings import population

from lensmill.experiments.rings import limit, simulate
from lensmill.pipeline.streams import uniforms


def ring(**columns):
    given = {"x": 14.0, "y": 14.0, "radius": 8.0, "tilt": 1e-3, "direction": 0.0, "beta": 1.0}
    given |= {"thickness": 0.1, "deformation": 0.8} | columns
    return {name: np.array([value]) for name, value in given.items()}


def settings(dark=1e-6, **prior):
    """Return a population whose rings are all as wide, so that only place and shape are free."""
    prior = {"thickness": ["fixed", 0.1], "deformation": ["fixed", 0.8]} | prior
    found = population("cone_matched", **prior)
    band = found["observation"]["bands"]["charge"] | {"efficiency": 1.0, "dark": dark}
    return found | {"observation": {"size": 28, "bands": {"charge": band}}}


def test_the_errors_of_a_narrow_ring_are_those_of_a_mean_of_its_photons():
    # N photons at radius R + s z: a radius from their mean, sigma^2 / N, a centre 2 sigma^2 / N;
    # a sensor of width 1 adds 1/12 to the variance, a track of 0.1 adds 0.1^2 / 12
    found = limit.lowest_errors(ring(), np.array([10000.0]), settings())
    sigma = np.sqrt(0.8**2 + 1 / 12 + 0.1**2 / 12)
    assert found["radius"] == pytest.approx(sigma / 100, rel=0.05)
    assert found["x"] == pytest.approx(np.sqrt(2) * sigma / 100, rel=0.05)
    assert found["y"] == pytest.approx(found["x"], rel=1e-3)


def test_errors_fall_with_the_root_of_the_light_and_rise_with_dark_counts():
    bright, faint = (
        limit.lowest_errors(ring(tilt=0.3), np.array([n]), settings())["radius"][0]
        for n in (4000.0, 1000.0)
    )
    assert faint == pytest.approx(2 * bright, rel=1e-3)
    dark = limit.lowest_errors(ring(tilt=0.3), np.array([1000.0]), settings(1.0))["radius"][0]
    assert dark > 1.2 * faint


def test_the_axes_of_an_ellipse_are_known_as_well_as_their_mean():
    found = limit.lowest_errors(ring(tilt=0.5), np.array([10000.0]), settings())
    assert found["semi_minor"] < found["semi_major"] < 3 * found["radius"]


def test_a_likelihood_fit_of_many_images_scatters_by_the_bound():
    # one step of scoring from the truth is the efficient estimate for that much light
    from lensmill.experiments.rings import light

    chosen = settings(0.1)
    truth, n = ring(), 3000.0
    bound = limit.lowest_errors(truth, np.array([n]), chosen)["radius"][0]
    here, more, less = (
        n * light.cones(truth | {"radius": truth["radius"] + by}, 28)[0] for by in (0, 0.02, -0.02)
    )
    slope, mean = (more - less) / 0.04, here + 0.1
    counts = np.random.default_rng(5).poisson(mean, (4000, 28, 28))
    score = ((counts - mean) * slope / mean).sum(axis=(1, 2)) / (slope**2 / mean).sum()
    # the radius does not correlate with what else is free
    assert score.std() == pytest.approx(bound, rel=0.05)


def test_rings_of_bits_have_errors_as_well():
    a3net = population("a3net", rings=[1, 1], deformation=["uniform", 0.5, 3.0])
    numbers = uniforms(1, "rings", "a3net", 0, 50, simulate.WIDTH)
    rings = simulate.draw(0, numbers, a3net)["rings"]
    found = limit.lowest_errors(rings, rings["photons"], a3net)
    assert set(found) == set(limit.BOUNDED)
    assert 0.01 < np.median(found["x"]) < 0.2


def test_what_an_image_does_not_show_is_known_from_the_prior():
    chosen = settings(1.0, x=["uniform", 2.0, 26.0], radius=["uniform", 4.0, 10.0])
    found = limit.lowest_errors(ring(x=-60.0), np.array([1000.0]), chosen)
    # of a uniform number the width over sqrt(12)
    assert found["x"] == pytest.approx(24 / np.sqrt(12), rel=1e-3)
    assert found["radius"] == pytest.approx(6 / np.sqrt(12), rel=1e-3)


def test_a_blur_like_the_thickness_makes_both_uncertain():
    free = settings(thickness=["uniform", 0.5, 1.5], deformation=["uniform", 0.3, 0.8])
    n = np.array([1000.0])
    both = limit.lowest_errors(ring(thickness=1.0, deformation=0.5), n, free)["deformation"]
    alone = settings(thickness=["fixed", 1.0], deformation=["uniform", 0.3, 0.8])
    one = limit.lowest_errors(ring(thickness=1.0, deformation=0.5), n, alone)["deformation"]
    assert both > 1.5 * one and both < 0.5 / np.sqrt(12)
