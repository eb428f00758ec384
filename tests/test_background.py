"""Pieces of real sky under mocks, and parameters by their slots."""

import numpy as np
import pytest

from lensmill.cutouts import background
from lensmill.pipeline import store
from lensmill.pipeline.draws import Draws


@pytest.fixture
def sky(tmp_path):
    """Make a data set of three pieces of sky, of noise 1, 10 and 100; the second has no group."""
    rng = np.random.default_rng(5)
    pixels = rng.normal(size=(3, 32, 32, 1)) * np.array([1, 10, 100])[:, None, None, None]
    systems = {
        "index": np.arange(3),
        "content_hash": np.array(["a", "b", "c"]),
        "group": np.array(["host", "", "host"]),
    }
    tables = {
        "systems": systems,
        "cutouts": {"system": np.arange(3), "pixels": pixels.astype(np.float32)},
    }
    units = {table: dict.fromkeys(columns, "") for table, columns in tables.items()}
    store.write(tmp_path / "sky.h5", tables, units, {})
    return str(tmp_path / "sky.h5"), pixels[..., 0]


def test_pieces_are_in_units_of_their_noise_whatever_their_unit(sky):
    path, _ = sky
    found = background.pieces(path, np.array([0.1, 0.5, 0.9]), np.full(3, 0.01))
    assert found.shape == (3, 32, 32, 1)
    assert found.std(axis=(1, 2, 3)) == pytest.approx(1, abs=0.15)


def test_a_piece_has_eight_orientations(sky):
    path, pixels = sky
    turns = (np.arange(8) + 0.5) / 8
    found = background.pieces(path, np.zeros(8), turns)[..., 0]
    scale = found[0].max() / pixels[0].max()
    assert found[0] == pytest.approx(pixels[0] * scale, rel=1e-5)
    assert found[1] == pytest.approx(np.rot90(found[0]), rel=1e-5)
    assert found[4] == pytest.approx(found[0][:, ::-1], rel=1e-5)
    assert len({piece.tobytes() for piece in np.round(found, 3)}) == 8


def test_mocks_upon_one_piece_of_sky_are_one_group(sky):
    path, _ = sky
    which = np.array([0.1, 0.5, 0.9, 0.6])
    assert background.groups(path, which).tolist() == ["host", "b", "host", "b"]


def test_a_parameter_is_drawn_by_the_number_in_its_slot():
    uniforms = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]])
    draws = Draws(uniforms, {"a": ["uniform", 0.0, 10.0]}, ("b", "a"))
    assert draws("a") == pytest.approx([9.0, 8.0, 7.0])
    assert draws("a", "b") == pytest.approx([1.0, 2.0, 3.0])
    assert draws.between("b", 1.0, 3.0) == pytest.approx([1.2, 1.4, 1.6])
    assert draws.where(np.array([2]))("a") == pytest.approx([7.0])
