"""Deflection, potential and Hessian, by hand, by calculus and against an independent code."""

import numpy as np
import pytest

from lensmill.lensing.profiles import deflection, hessian, potential


def lenses(n, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, n))
    slope = np.where(np.arange(n) < n // 3, 2.0, rng.uniform(1.5, 2.5, n))
    return (
        *(x, y, rng.uniform(0.5, 2, n), rng.uniform(0.05, 1, n), rng.uniform(0, np.pi, n), slope),
        *(rng.normal(0, 0.1, n), rng.normal(0, 0.1, n), rng.normal(0, 0.05, n)),
    )


def test_a_singular_isothermal_sphere_deflects_by_its_einstein_radius():
    alpha = deflection(3.0, 4.0, 1.5, 1.0, 0.0)
    assert alpha == pytest.approx((1.5 * 0.6, 1.5 * 0.8))
    assert potential(3.0, 4.0, 1.5, 1.0, 0.0) == pytest.approx(1.5 * 5.0)


def test_shear_and_sheet_act_about_the_lens_centre():
    alpha = deflection(2.0, 1.0, 1e-12, 1.0, 0.0, 2.0, 0.1, 0.2, 0.05)
    assert alpha == pytest.approx((0.15 * 2 + 0.2, 0.2 * 2 - 0.05), abs=1e-11)
    psi = potential(2.0, 1.0, 1e-12, 1.0, 0.0, 2.0, 0.1, 0.2, 0.05)
    assert psi == pytest.approx(0.5 * (0.1 * 3 + 2 * 0.2 * 2 + 0.05 * 5), abs=1e-11)


def test_the_laplacian_is_twice_the_convergence():
    x, y, theta_e, q, phi, slope, _, _, kappa_ext = system = lenses(500)
    xx, yy, _ = hessian(*system)
    along = x * np.cos(phi) + y * np.sin(phi)
    across = y * np.cos(phi) - x * np.sin(phi)
    b = theta_e * np.sqrt(q)
    kappa = (3 - slope) / 2 * (b / np.sqrt((q * along) ** 2 + across**2)) ** (slope - 1)
    assert (xx + yy) / 2 == pytest.approx(kappa + kappa_ext, rel=1e-12)


def test_the_deflection_is_the_gradient_of_the_potential_and_the_hessian_of_it():
    x, y, *lens = lenses(300)
    step = 1e-5
    alpha_x, alpha_y = deflection(x, y, *lens)
    xx, yy, xy = hessian(x, y, *lens)
    right, left = deflection(x + step, y, *lens), deflection(x - step, y, *lens)
    above, below = deflection(x, y + step, *lens), deflection(x, y - step, *lens)
    rise = potential(x + step, y, *lens) - potential(x - step, y, *lens)
    climb = potential(x, y + step, *lens) - potential(x, y - step, *lens)
    scale = 1 + np.abs(xx) + np.abs(yy)
    assert np.abs(rise / (2 * step) - alpha_x).max() < 1e-7
    assert np.abs(climb / (2 * step) - alpha_y).max() < 1e-7
    near = np.hypot(x, y) > 0.1  # differences of a steep core need smaller steps
    for difference, exact in (
        ((right[0] - left[0]) / (2 * step), xx),
        ((above[1] - below[1]) / (2 * step), yy),
        ((right[1] - left[1]) / (2 * step), xy),
        ((above[0] - below[0]) / (2 * step), xy),
    ):
        assert (np.abs(difference - exact) / scale)[near].max() < 1e-6


def test_all_three_agree_with_lenstronomy():
    from lenstronomy.LensModel.lens_model import LensModel

    reference = LensModel(["EPL", "SHEAR", "CONVERGENCE"])
    system = lenses(300)
    ours = np.stack([potential(*system), *deflection(*system), *hessian(*system)])
    for i, (x, y, theta_e, q, phi, slope, gamma1, gamma2, kappa) in enumerate(
        zip(*system, strict=True)
    ):
        e = (1 - q) / (1 + q)
        shape = {"e1": e * np.cos(2 * phi), "e2": e * np.sin(2 * phi)}
        lens = [
            {"theta_E": theta_e, "gamma": slope, "center_x": 0, "center_y": 0, **shape},
            {"gamma1": gamma1, "gamma2": gamma2},
            {"kappa": kappa},
        ]
        xx, xy, _, yy = reference.hessian(x, y, lens)
        theirs = [reference.potential(x, y, lens), *reference.alpha(x, y, lens), xx, yy, xy]
        assert ours[:, i] == pytest.approx(theirs, rel=1e-10, abs=1e-10)


def test_the_deflection_is_continuous_in_slope_and_axis_ratio():
    x, y, theta_e, q, phi, *_ = lenses(200)
    isothermal = np.stack(deflection(x, y, theta_e, q, phi, 2.0))
    for slope in (2 - 1e-9, 2 + 1e-9):
        assert np.abs(deflection(x, y, theta_e, q, phi, slope) - isothermal).max() < 1e-7
    round_lens = np.stack(deflection(x, y, theta_e, 1.0, phi, 2.0))
    assert np.abs(deflection(x, y, theta_e, 1 - 1e-10, phi, 2.0) - round_lens).max() < 1e-9


def test_arguments_broadcast():
    alpha_x, _ = deflection(np.zeros((4, 1)) + 1.0, np.arange(3.0), 1.0, 0.7, 0.0)
    assert alpha_x.shape == (4, 3)
