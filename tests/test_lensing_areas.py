"""The areas in the data files are those of the curves."""

import numpy as np
import pytest

from lensmill.lensing.caustics import areas, curves


def shoelace(x, y):
    return 0.5 * abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


@pytest.mark.parametrize("q", [1.0, 0.8, 0.6, 0.4, 0.25, 0.15, 0.07])
@pytest.mark.parametrize("shear", [0.0, 0.05, 0.2])
def test_isothermal_areas_are_those_of_finely_drawn_curves(q, shear):
    lens = (1.3, q, 0.4, 2.0, shear * np.cos(1.0), shear * np.sin(1.0), 0.05)
    drawn = curves(*lens, points=40_000)
    caustic, cut = areas(*(np.array([value]) for value in lens))
    true_cut = shoelace(drawn.cut_x, drawn.cut_y)
    assert cut[0] == pytest.approx(true_cut, rel=1e-5)
    assert caustic[0] == pytest.approx(
        shoelace(drawn.caustic_x, drawn.caustic_y), abs=1e-5 * true_cut
    )


def test_the_cut_of_a_round_lens_is_its_einstein_disc():
    _, cut = areas(*(np.array([value]) for value in (1.3, 1.0, 0.0, 2.0, 0.0, 0.0, 0.0)))
    assert cut[0] == pytest.approx(np.pi * 1.3**2, rel=1e-12)
