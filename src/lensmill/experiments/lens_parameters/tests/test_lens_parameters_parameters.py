"""What an image is asked for: components, what is not known, and how they turn."""

import numpy as np
import pytest

pytest.importorskip("keras")

from lensmill.experiments.lens_parameters import parameters, rotation
from lensmill.experiments.lens_parameters.parameters import PARAMETERS, SPINS, TARGETS
from lensmill.inference import image_places, image_posterior
from lensmill.learning import regression, steerable

LENS = {
    "index": np.array([0]),
    "theta_e": np.array([1.2]),
    "q": np.array([0.7]),
    "phi": np.array([np.pi / 6]),
    "slope": np.array([2.1]),
    "gamma1": np.array([0.03]),
    "gamma2": np.array([-0.02]),
    "lens_x": np.array([0.1]),
    "lens_y": np.array([0.0]),
    "source_x": np.array([0.2]),
    "source_y": np.array([-0.3]),
}


def test_ellipticities_are_components_of_twice_the_position_angle():
    # 1 - q = 0.3 at 30 degrees: 0.3 cos 60, 0.3 sin 60
    (found,) = parameters.from_systems(LENS)
    expected = [1.2, 0.15, 0.3 * np.sqrt(3) / 2, 2.1, 0.03, -0.02, 0.1, 0.0, 0.2, -0.3]
    assert found == pytest.approx(expected)
    assert len(PARAMETERS) == regression.columns_of(SPINS)


def test_what_is_not_published_is_not_known():
    flags = {"phi_known": np.array([0]), "slope_known": np.array([0]), "q_known": np.array([1])}
    (found,) = parameters.from_systems({**LENS, **flags})
    unknown = [name for name, value in zip(PARAMETERS, found, strict=True) if np.isnan(value)]
    assert unknown == ["ellipticity_1", "ellipticity_2", "slope"]
    without = {name: values for name, values in LENS.items() if name != "gamma1"}
    assert np.isnan(parameters.from_systems(without)[0, 4])


def test_targets_are_undone_and_their_einstein_radius_is_a_logarithm():
    some = np.random.default_rng(1).uniform(0.1, 2.0, (5, 3, len(PARAMETERS)))
    targets = parameters.to_targets(some)
    assert parameters.from_targets(targets) == pytest.approx(some)
    assert targets[..., 0] == pytest.approx(np.log(some[..., 0]))
    assert np.array_equal(targets[..., 1:], some[..., 1:])


def few(n):
    """Return parameters of lenses that have two images or more."""
    rng = np.random.default_rng(3)
    centre, source = rng.normal(0.0, 0.05, (2, n)), rng.normal(0.0, 0.1, (2, n))
    shape = [rng.uniform(0.8, 1.5, n), *rng.normal(0.0, 0.2, (2, n)), rng.uniform(1.8, 2.3, n)]
    return np.column_stack([*shape, *rng.normal(0.0, 0.05, (2, n)), *centre, *source])


def test_targets_that_are_places_of_images_are_undone():
    some = few(200)
    targets = parameters.to_targets(some, "images")
    known = np.isfinite(targets).all(axis=1)
    assert known.mean() > 0.9
    back = parameters.from_targets(targets[known].reshape(-1, 2, len(PARAMETERS)), "images")
    assert back.reshape(-1, len(PARAMETERS)) == pytest.approx(some[known], abs=1e-7)
    assert np.array_equal(targets[known, 4:6], some[known, 6:8])  # the centre of the lens
    some[0, 8:] = 5.0, 0.0  # too far away for a second image
    assert np.isnan(parameters.to_targets(some[:1], "images")[0, [0, 1, 6]]).all()


def test_without_the_centre_are_the_columns_that_delays_know():
    names = np.array(list(PARAMETERS))[parameters.without_centre("lens")]
    assert ["ln_theta_e", *names[1:]] == [*image_posterior.SEEN]
    assert len(parameters.without_centre("images")) == len(image_places.NAMES)


@pytest.mark.parametrize("quarters", range(4))
def test_places_of_images_turn_with_the_sky(quarters):
    some = few(50)
    turned = parameters.from_targets(
        rotation.turn(parameters.to_targets(some), quarters * np.pi / 2)
    )
    targets, found = (parameters.to_targets(x, "images") for x in (some, turned))
    expected = rotation.turn(targets, quarters * np.pi / 2, TARGETS["images"])
    known = np.isfinite(targets).all(axis=1)
    assert found[known] == pytest.approx(expected[known], abs=1e-6)


@pytest.mark.parametrize("quarters", range(4))
def test_turning_by_angles_agrees_with_the_turns_that_networks_learn(quarters):
    targets = np.random.default_rng(2).normal(size=(6, len(PARAMETERS)))
    # the element turns rows into columns; rows run up, so that is clockwise
    expected = steerable.turn_targets(targets, -quarters % 4, SPINS)
    assert rotation.turn(targets, quarters * np.pi / 2) == pytest.approx(expected)


def test_a_turn_by_45_degrees_mixes_the_components_of_an_ellipticity():
    targets = np.zeros((1, len(PARAMETERS)))
    targets[0, 1], targets[0, 8] = 0.3, 1.0  # ellipticity along x, source on the x axis
    (found,) = rotation.turn(targets, np.pi / 4)
    assert found[1:3] == pytest.approx([0.0, 0.3])
    assert found[8:] == pytest.approx([np.sqrt(0.5), np.sqrt(0.5)])
