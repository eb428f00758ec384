"""Scenes as tables, and the functions that rays go through."""

import numpy as np
import pytest

from lensmill.imaging import approximations, scenes
from lensmill.imaging.render import series
from lensmill.imaging.tracing import trace
from lensmill.lensing.profiles import deflection


def three():
    """Three systems with 2, 0 and 1 components, given out of order."""
    lens = scenes.lenses([1.0, 2.0, 3.0], 0.5)
    clump = scenes.light(scenes.SERSIC, [0.1, 0.2], 0.0, [[1.0, 2.0], [3.0, 4.0]])
    star = scenes.light(scenes.POINT, 0.3, 0.0, [[5.0, 6.0]])
    return scenes.assemble(lens, ([2, 0], clump), ([0], star))


def test_components_come_to_their_systems_in_the_order_given():
    scene = three()
    assert list(scene.first) == [0, 2, 2, 3]
    assert list(scene.light.x) == [0.2, 0.3, 0.1]
    assert list(scene.light.kind) == [scenes.SERSIC, scenes.POINT, scenes.SERSIC]
    assert scene.light.flux.tolist() == [[3.0, 4.0], [5.0, 6.0], [1.0, 2.0]]
    assert list(scene.lenses.q) == [0.5, 0.5, 0.5]


def test_systems_can_be_selected_in_any_order():
    scene = scenes.select(three(), [2, 1, 0])
    assert list(scene.lenses.theta_e) == [3.0, 2.0, 1.0]
    assert list(scene.first) == [0, 1, 1, 3]
    assert list(scene.light.x) == [0.1, 0.2, 0.3]
    scenes.check(scene)


def test_components_of_unknown_systems_are_refused():
    light = scenes.light(scenes.POINT, [0.0, 1.0], 0.0, [1.0, 1.0])
    with pytest.raises(ValueError, match=r"systems 0 ... 3, but the lenses are 0 ... 2"):
        scenes.assemble(scenes.lenses([1.0, 1.0, 1.0]), ([0, 3], light))
    with pytest.raises(ValueError, match="1 rows of systems were given for 2 components"):
        scenes.assemble(scenes.lenses([1.0]), ([0], light))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": 0.0}, r"component 1 has q = 0; it must lie in \(0, 1\]"),
        ({"radius": -1.0}, "radius = -1; it must be > 0 arcsec"),
        ({"index": 20.0}, r"index = 20; it must lie in \[0.2, 10\]"),
        ({"x": np.nan}, "component 1 has x = nan; it must be finite"),
        ({"kind": scenes.SPIRAL, "arms": 1.5}, "arms = 1.5; it must be a whole number"),
        ({"kind": scenes.SPIRAL, "pitch": 0.0}, "pitch = 0; it must have a size of"),
        ({"kind": scenes.SPIRAL, "contrast": 2.0}, r"contrast = 2; it must lie in \[0, 1\]"),
        ({"kind": scenes.RING, "width": 0.0}, "width = 0; it must be > 0 arcsec"),
        ({"kind": 7}, "kind = 7; it must be 0 ... 3"),
    ],
)
def test_light_that_has_no_image_is_refused_by_row_and_name(change, message):
    good = scenes.light(scenes.SERSIC, 0.0, 0.0, [1.0])
    bad = scenes.light(**{"kind": scenes.SERSIC, "x": 0.0, "y": 0.0, "flux": [1.0]} | change)
    scene = scenes.assemble(scenes.lenses([1.0]), ([0], good), ([0], bad))
    with pytest.raises(ValueError, match=message):
        scenes.check(scene)


def test_lenses_that_deflect_nothing_known_are_refused():
    light = scenes.light(scenes.POINT, 0.0, 0.0, [1.0])
    for change, message in (
        ({"slope": 3.5}, "lens 0 has slope = 3.5; it must lie between 1 and 3"),
        ({"q": 1.2}, r"lens 0 has q = 1.2; it must lie in \(0, 1\]"),
        ({"theta_e": -1.0}, "theta_e = -1; it must be >= 0"),
    ):
        lens = scenes.lenses(**{"theta_e": [1.0]} | change)
        with pytest.raises(ValueError, match=message):
            scenes.check(scenes.assemble(lens, ([0], light)))


def test_the_brightness_integrates_to_the_flux():
    light = scenes.light(
        *([scenes.SERSIC, scenes.SERSIC, scenes.RING, scenes.RING, scenes.POINT], 0.0, 0.0),
        np.ones(5),
        radius=[0.7, 1.3, 1.0, 0.1, 1.0],
        index=[1.0, 3.2, 1.0, 1.0, 1.0],
        width=[0.1, 0.1, 0.05, 0.3, 0.1],
    )
    b = scenes.sersic_b(light.index)
    peak = scenes.central_brightness(light, b)
    r = np.geomspace(1e-8, 3e3, 400_000)
    for k in range(4):
        x = r / light.radius[k]
        if light.kind[k] == scenes.SERSIC:
            shape = np.exp(-b[k] * x ** (1 / light.index[k]))
        else:
            shape = np.exp(-((r - light.radius[k]) ** 2) / (2 * light.width[k] ** 2))
        total = np.trapezoid(2 * np.pi * r**2 * peak[k] * shape, np.log(r))
        assert total == pytest.approx(1, rel=1e-4)
    assert peak[4] == 0


@pytest.mark.parametrize("slope", [2.0, 1.5, 1.9, 2.1, 2.5])
def test_rays_are_deflected_to_a_hundred_thousandth_of_an_arcsecond(slope):
    rng = np.random.default_rng(7)
    n = 5000
    x, y = rng.uniform(-6, 6, (2, n)).astype(np.float32)
    work, bx, by = np.empty((4, n), np.float32), np.empty_like(x), np.empty_like(x)
    for q in (1.0, 0.999, 0.87, 0.86, 0.5, 0.2, 0.05):
        lens = np.array([1.7, q, 0.6, slope, 0.05, -0.04, 0.03, -0.02])
        count, terms = series(scenes.Lenses(*lens[:, None]))
        trace(x, y, bx, by, n, lens, terms[0], count[0], work)
        ax, ay = deflection(x - 0.03, y + 0.02, *lens[:6])
        assert np.hypot(x - ax - bx, y - ay - by).max() < 1e-5


def test_functions_in_single_precision_are_good_to_its_rounding():
    def table(function, *arguments):
        single = [np.asarray(a, np.float32) for a in arguments]
        found = [function(*values) for values in zip(*single, strict=True)]
        return np.array(found, float), [a.astype(float) for a in single]

    found, (x,) = table(approximations.exp2, np.linspace(-20, 20, 10001))
    assert np.abs(found / 2**x - 1).max() < 3e-7
    found, (x,) = table(approximations.log2, np.geomspace(1e-30, 1e30, 10001))
    assert np.abs(found - np.log2(x)).max() < 1e-5
    found, (x,) = table(approximations.log2, np.linspace(0.6, 1.6, 10001))
    assert np.abs(found - np.log2(x)).max() < 2e-7
    found, (x,) = table(approximations.cosine, np.linspace(-3, 3, 10001))
    assert np.abs(found - np.cos(2 * np.pi * x)).max() < 2e-6
    angle = np.linspace(-np.pi, np.pi, 10001)[1:-1]
    found, (x, y) = table(approximations.turns, 3 * np.cos(angle), 3 * np.sin(angle))
    assert np.abs(found - np.arctan2(y, x) / (2 * np.pi)).max() < 1e-7
    assert approximations.exp2(np.float32(-1e4)) < 1e-37
