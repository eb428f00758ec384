import numpy as np
import pytest

from lensmill.experiments.rings import drawing, shapes
from lensmill.learning.equivariant import ORDER, transform


def ellipses(n, rng):
    """Return first rings of systems that lie within 28 x 28 sensors."""
    major = rng.uniform(4, 8, n)
    return {
        "x": rng.uniform(9, 19, n),
        "y": rng.uniform(9, 19, n),
        "semi_major": major,
        "semi_minor": major * rng.uniform(0.5, 0.95, n),
        "angle": rng.uniform(-np.pi / 2, np.pi / 2, n),
        "thickness": rng.uniform(0.5, 1.5, n),
        "deformation": rng.uniform(0.3, 0.8, n),
    }


def picture(systems, row, size=28):
    """Return an image that is the larger the nearer a pixel is to the ellipse."""
    place = np.arange(size) + 0.5
    x, y = place[None, :] - systems["x"][row], place[:, None] - systems["y"][row]
    c, s = np.cos(systems["angle"][row]), np.sin(systems["angle"][row])
    along, across = c * x + s * y, c * y - s * x
    a, b = systems["semi_major"][row], systems["semi_minor"][row]
    return -((np.hypot(along / a, across / b) - 1) ** 2)


def test_axes_and_angle_come_back_from_what_is_learned():
    systems = ellipses(50, np.random.default_rng(1))
    found = shapes.scored(shapes.targets(systems, "ellipse"), "ellipse")
    for name in ("x", "y", "semi_major", "semi_minor", "angle"):
        assert found[name] == pytest.approx(systems[name]), name
    assert found["radius"] == pytest.approx(np.sqrt(systems["semi_major"] * systems["semi_minor"]))


@pytest.mark.parametrize("element", range(ORDER))
def test_a_ring_that_is_turned_has_the_targets_of_the_turned_image(element):
    systems = ellipses(5, np.random.default_rng(2))
    turned = shapes.turned(shapes.targets(systems, "ellipse"), "ellipse", element, 28)
    new = systems | shapes.scored(turned, "ellipse")
    for row in range(5):
        seen = transform(picture(systems, row), element)
        assert seen == pytest.approx(picture(new, row), abs=1e-9)


def test_the_moments_of_lit_pixels_give_the_ring():
    place = np.arange(28) + 0.5
    r = np.hypot(place[None, :] - 13.0, place[:, None] - 15.0)
    image = ((r > 5.0) & (r < 7.0)).astype(float)
    found = drawing.measure(np.stack([image, np.zeros((28, 28))]))
    assert (found["x"][0], found["y"][0]) == (13.0, 15.0)
    assert found["radius"][0] == pytest.approx(6.0, abs=0.1)
    # of numbers that are uniform over a width of 2
    assert found["width"][0] == pytest.approx(2 / np.sqrt(12), abs=0.1)
    assert found["lit"].tolist() == [image.sum(), 0.0] and found["radius"][1] == 0
