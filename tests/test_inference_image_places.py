"""A lens told by the places of two images: there and back, and the volume between."""

import numpy as np
import pytest

from lensmill.inference import image_places
from lensmill.lensing import profiles

ISOTHERMAL = np.array([np.log(1.2), 0.0, 0.0, 2.0, 0.0, 0.0, 0.3, 0.0])  # no shear, off the middle


def lenses(n):
    """Draw lenses with two images or more, and where the first two of them lie."""
    rng = np.random.default_rng(1)
    e, shear = rng.uniform(0.02, 0.6, n), rng.uniform(0.0, 0.15, n)
    a, b = rng.uniform(0, 2 * np.pi, (2, n))
    columns = [rng.normal(0.0, 0.2, n), e * np.cos(a), e * np.sin(a), rng.uniform(1.7, 2.4, n)]
    columns += [shear * np.cos(b), shear * np.sin(b), *rng.normal(0.0, 0.2, (2, n))]
    found = np.column_stack(columns)
    places = image_places.find(found)
    two = np.isfinite(places).all(axis=(1, 2))
    assert two.mean() > 0.9
    return found[two], places[two]


def test_both_places_are_images_of_the_source():
    lens, places = lenses(500)
    ln_theta_e, e1, e2, slope, g1, g2, *source = lens.T
    mass = np.exp(ln_theta_e), 1 - np.hypot(e1, e2), np.arctan2(e2, e1) / 2, slope, g1, g2
    for x, y in places.transpose(1, 2, 0):
        ax, ay = profiles.deflection(x, y, *mass)
        assert np.array([x - ax, y - ay]) == pytest.approx(np.array(source), abs=1e-7)


def test_a_lens_is_the_same_there_and_back():
    lens, places = lenses(500)
    coordinates, _ = image_places.from_lens(lens, places)
    assert coordinates.shape == (len(lens), len(image_places.NAMES))
    assert image_places.to_lens(coordinates) == pytest.approx(lens, abs=1e-7)


def test_images_of_an_isothermal_sphere_are_an_einstein_radius_from_the_source():
    (places,) = image_places.find(ISOTHERMAL[None])
    assert places == pytest.approx(np.array([[1.5, 0.0], [-0.9, 0.0]]), abs=1e-9)
    # along the line the images say theta_E for each shear: (1 - shear) of half their distance
    told = np.array([[shear, 0.0, 0.0, 2.0, 1.5, 0.0, -0.9, 0.0] for shear in (0.0, 0.1)])
    assert np.exp(image_places.to_lens(told)[:, 0]) == pytest.approx([1.2, 1.08])


def test_the_jacobian_is_that_of_finite_differences():
    lens, places = lenses(40)
    coordinates, ln_jacobian = image_places.from_lens(lens, places)
    slopes = np.empty((len(lens), 8, 8))
    step = 1e-6
    for i, along in enumerate(np.eye(8)):
        ends = (image_places.to_lens(coordinates + sign * step * along) for sign in (1, -1))
        slopes[:, :, i] = np.subtract(*ends) / (2 * step)
    assert ln_jacobian == pytest.approx(np.linalg.slogdet(slopes)[1], abs=1e-5)


def test_one_image_and_what_no_solver_takes_have_no_places():
    far, flat, steep = (ISOTHERMAL.copy() for _ in range(3))
    far[6], flat[1], steep[3] = 1.3, 1.1, 2.9
    unknown = np.full(8, np.nan)
    assert np.isnan(image_places.find(np.array([far, flat, steep, unknown]))).all()


def test_draws_that_are_no_lens_stay_finite():
    rng = np.random.default_rng(2)
    coordinates = rng.normal(0.0, 3.0, (2000, 8))
    assert np.isfinite(image_places.to_lens(coordinates)).all()
    coordinates[:, 6:] = coordinates[:, 4:6]
    assert np.isfinite(image_places.to_lens(coordinates)).all()
