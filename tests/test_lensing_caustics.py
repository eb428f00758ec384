"""Critical curves, caustics, cuts, and the areas they enclose."""

import numpy as np
import pytest

from lensmill.lensing import caustics, profiles
from lensmill.lensing.solver import solve

ELLIPTICAL = (1.2, 0.6, 0.4, 2.0, 0.06, -0.03, 0.0)
NAKED_CUSP = (1.0, 0.25, 1.0, 2.0, 0.0, 0.1, 0.0)
SHALLOW = (1.0, 0.7, 2.0, 1.7, 0.05, 0.05, 0.02)
STEEP = (1.0, 0.7, 2.0, 2.1, 0.05, 0.05, -0.02)
SYSTEMS = {"sie": ELLIPTICAL, "naked cusp": NAKED_CUSP, "shallow": SHALLOW, "steep": STEEP}


def ray(x, y, lens):
    """Source position of an image position."""
    alpha_x, alpha_y = profiles.deflection(x, y, *lens)
    return x - alpha_x, y - alpha_y


@pytest.mark.parametrize("lens", SYSTEMS.values(), ids=SYSTEMS)
def test_the_jacobian_vanishes_on_the_critical_curve_whose_image_is_the_caustic(lens):
    curve = caustics.curves(*lens, points=400)
    xx, yy, xy = profiles.hessian(curve.critical_x, curve.critical_y, *lens)
    assert np.abs((1 - xx) * (1 - yy) - xy**2).max() < 1e-12
    beta_x, beta_y = ray(curve.critical_x, curve.critical_y, lens)
    assert np.abs(beta_x - curve.caustic_x).max() < 1e-13
    assert np.abs(beta_y - curve.caustic_y).max() < 1e-13


def test_a_round_isothermal_lens_has_a_point_caustic_and_a_cut_at_its_einstein_radius():
    caustic, cut = caustics.areas(1.3, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0)
    assert caustic == pytest.approx([0.0], abs=1e-14)
    assert cut == pytest.approx([np.pi * 1.3**2])


def test_the_astroid_of_a_round_lens_with_shear_has_its_textbook_area():
    # theta = theta_E (1 + g cos 2p) to first order: an astroid with half-axes 2 g theta_E and
    # area 3 pi / 8 (2 g)^2
    caustic, _ = caustics.areas(1.0, 1.0, 0.7, 2.0, 1e-4, 0.0, 0.0)
    assert caustic == pytest.approx([1.5 * np.pi * 1e-8], rel=1e-3)


@pytest.mark.parametrize("lens", SYSTEMS.values(), ids=SYSTEMS)
def test_areas_are_those_of_the_drawn_curves(lens):
    curve = caustics.curves(*lens, points=20001)

    def shoelace(x, y):
        return abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2

    expected = shoelace(curve.caustic_x, curve.caustic_y), shoelace(curve.cut_x, curve.cut_y)
    assert np.ravel(caustics.areas(*lens)) == pytest.approx(expected, rel=3e-4)


def test_the_cut_is_continuous_through_the_isothermal_slope():
    _, cut = caustics.areas(1.0, 0.7, 0.3, [2 - 1e-6, 2.0, 2 + 1e-6], 0.05, 0.0, 0.0)
    assert cut == pytest.approx([cut[1]] * 3, rel=2e-3)


def test_areas_are_never_nan():
    rng = np.random.default_rng(3)
    n = 20000
    shear, angle = rng.uniform(0, 0.9, n), rng.uniform(0, np.pi, n)
    q = np.where(rng.random(n) < 0.1, 1.0, rng.uniform(0.01, 1.0, n))
    slope = np.where(rng.random(n) < 0.3, 2.0, rng.uniform(1.5, 2.5, n))
    gamma = shear * np.cos(2 * angle), shear * np.sin(2 * angle)
    areas = caustics.areas(1.0, q, rng.uniform(0, np.pi, n), slope, *gamma, 0.05)
    assert np.isfinite(areas).all()
    assert (areas[1] > 0).all()


@pytest.mark.parametrize("lens", SYSTEMS.values(), ids=SYSTEMS)
def test_cross_sections_agree_with_counting_the_images_of_random_sources(lens):
    n = 100_000
    rng = np.random.default_rng(8)
    half = 3.0
    x, y = rng.uniform(-half, half, (2, n))
    # below slope 2 the central maximum counts however faint; above, the cut is at 1e-4
    images = solve(*lens, x, y, min_magnification=0.0 if lens[3] < 2 else caustics.FAINTEST)
    fraction = np.bincount(images.n_images, minlength=10) / n
    sections = caustics.cross_sections(*lens)
    for number, area in sections.items():
        expected = area / (4 * half**2)
        error = np.sqrt(expected / n)
        assert fraction[number] == pytest.approx(expected, abs=4.5 * error + 2e-5)


def test_a_flat_lens_in_shear_has_naked_cusps():
    assert caustics.cross_sections(*NAKED_CUSP)[3] > 0


def test_cross_sections_of_a_round_lens_are_its_cut():
    assert caustics.cross_sections(1.0, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0) == pytest.approx(
        {2: np.pi}, rel=1e-4
    )
