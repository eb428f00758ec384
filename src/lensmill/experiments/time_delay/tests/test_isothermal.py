"""The closed-form first guess of noisy quads."""

import numpy as np
import pytest

from lensmill.experiments.time_delay import isothermal

RNG = np.random.default_rng(3)


def test_deflections_of_the_guess_are_the_gradient_of_its_potential():
    position = RNG.uniform(0.5, 1.5, (20, 4, 2)) * RNG.choice([-1, 1], (20, 4, 2))
    parameters = RNG.normal(0, 0.3, (20, 7))
    parameters[:, 3:5] = 0.0  # the source is no part of the deflection
    h = 1e-5
    gradient = np.stack(
        [
            isothermal.potential(position + step, parameters)
            - isothermal.potential(position - step, parameters)
            for step in h * np.eye(2)
        ],
        axis=-1,
    ) / (2 * h)
    deflection = (isothermal.design(position) @ parameters[:, None, :, None])[..., 0]
    assert deflection == pytest.approx(gradient, abs=1e-9)


def quad():
    """Return the four images of a source behind an isothermal sphere with shear, by iteration."""
    gamma1, gamma2, beta = 0.1, 0.05, np.array([0.03, -0.02])
    stretch = np.linalg.inv(np.eye(2) - np.array([[gamma1, gamma2], [gamma2, -gamma1]]))

    def miss(angle):
        unit = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        theta = (beta + unit) @ stretch.T
        return unit[..., 0] * theta[..., 1] - unit[..., 1] * theta[..., 0], theta

    grid = np.linspace(0, 2 * np.pi, 721)
    values = miss(grid)[0]
    low = grid[:-1][values[:-1] * values[1:] < 0]
    high = low + grid[1]
    for _ in range(60):
        middle = (low + high) / 2
        same = miss(low)[0] * miss(middle)[0] > 0
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return miss(low)[1], np.array([1.0, gamma1, gamma2, *beta, 0.0, 0.0])


@pytest.mark.parametrize("ellipticity", [isothermal.ROUND, 0.07])
def test_a_quad_of_an_isothermal_lens_with_shear_is_recognised(ellipticity):
    position, parameters = quad()
    assert len(position) == 4
    off = position - parameters[3:5]
    fermat = 0.5 * (off**2).sum(axis=-1) - isothermal.potential(position[None], parameters[None])[0]
    order = np.argsort(fermat)
    delay = 2.5 * (fermat[order] - fermat[order[0]])[None]
    found = isothermal.fit(
        position[order][None],
        np.full((1, 4), 1e-4),
        delay,
        np.zeros((1, 4)),
        np.ones((1, 4), bool),
        ellipticity,
    )
    assert found.parameters[0] == pytest.approx(parameters, abs=3e-3)
    assert np.abs(found.residual).max() < 0.2
    assert found.ln_rate[0] == pytest.approx(np.log(2.5), abs=0.02)
    assert np.abs(found.delay_residual).max() < 0.2


def test_an_image_where_none_belongs_shows_in_the_residuals():
    position, _ = quad()
    moved = position.copy()
    moved[0] *= 1.1
    nothing = np.zeros((1, 4)), np.ones((1, 4)), np.zeros((1, 4), bool)
    right, wrong = (
        isothermal.fit(images[None], np.full((1, 4), 1e-3), *nothing, isothermal.ROUND)
        for images in (position, moved)
    )
    assert np.abs(wrong.residual).max() > 10
    assert np.abs(right.residual).max() < 0.2
