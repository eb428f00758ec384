"""Images in polar coordinates."""

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from lensmill.learning.polar import Polar  # noqa: E402

SIZE, ANGLES, RADII, OVERLAP = 33, 64, 16, 8


def planes(*functions):
    """Return an image of functions of x and y [pixel] about its middle, a band each."""
    line = np.arange(SIZE) - (SIZE - 1) / 2
    y, x = np.meshgrid(line, line, indexing="ij")
    return np.stack([f(x, y) for f in functions], axis=-1)[None].astype("float32")


def polar(image, overlap=OVERLAP):
    return np.asarray(Polar(ANGLES, RADII, overlap)(image))


def test_places_are_found_again():
    # linear functions of the place are interpolated without error
    x, y = polar(planes(lambda x, y: x, lambda x, y: y), 0)[0].transpose(2, 0, 1)
    angle = 2 * np.pi * np.arange(ANGLES) / ANGLES
    assert np.hypot(x, y) == pytest.approx(
        np.broadcast_to((np.arange(RADII) + 0.5), (ANGLES, RADII)), abs=1e-4
    )
    assert np.exp(1j * angle)[:, None] * np.hypot(x, y) == pytest.approx(x + 1j * y, abs=1e-4)


def test_a_quarter_turn_is_a_step_along_the_angles():
    image = np.random.default_rng(1).normal(size=(2, SIZE, SIZE, 3)).astype("float32")
    # y grows with the row: from +x to +y
    turned = np.ascontiguousarray(np.rot90(image, -1, axes=(1, 2)))
    expected = np.roll(polar(image, 0), ANGLES // 4, axis=1)
    assert polar(turned, 0) == pytest.approx(expected, abs=1e-4)


def test_angles_go_on_beyond_a_full_turn():
    image = np.random.default_rng(2).normal(size=(1, SIZE, SIZE, 1)).astype("float32")
    seen = polar(image)
    assert seen.shape == (1, ANGLES + 2 * OVERLAP, RADII, 1)
    assert seen[:, : 2 * OVERLAP] == pytest.approx(seen[:, ANGLES:], abs=1e-4)
    assert seen[:, OVERLAP:-OVERLAP] == pytest.approx(polar(image, 0))


def test_what_lies_in_the_corners_is_not_seen():
    image = np.random.default_rng(4).normal(size=(1, SIZE, SIZE, 1)).astype("float32")
    other = image.copy()
    other[:, [0, 0, -1, -1], [0, -1, 0, -1]] += 100
    assert np.array_equal(polar(other), polar(image))


def test_the_layer_is_saved_and_read(tmp_path):
    image = np.random.default_rng(3).normal(size=(1, SIZE, SIZE, 2)).astype("float32")
    model = keras.Sequential([keras.Input((SIZE, SIZE, 2)), Polar(ANGLES, RADII, OVERLAP)])
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    assert np.array_equal(np.asarray(read(image)), np.asarray(model(image)))
    assert model.output_shape == (None, ANGLES + 2 * OVERLAP, RADII, 2)


def test_an_image_that_is_no_square_is_refused():
    with pytest.raises(ValueError, match="32 x 30 pixels, but must be square"):
        Polar(ANGLES, RADII, OVERLAP).build((None, 32, 30, 1))
