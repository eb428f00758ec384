import numpy as np
import pytest
from rings_settings import population

from lensmill.experiments.rings import check, ingest
from lensmill.pipeline import checks, store

SETTINGS = {"ingest": "rings.npz", "observation": population("a3net")["observation"]}


def read(source, tmp_path):
    output = str(tmp_path / "dataset.h5")
    ingest.ingest(str(source), output, "real", "rings", SETTINGS)
    return output, store.read(output, "systems"), store.memmap(output, "cutouts", "pixels")


def written(tmp_path, **arrays):
    np.savez(tmp_path / "rings.npz", **arrays)
    return tmp_path / "rings.npz"


def test_images_with_their_numbers_of_rings_are_read(shared_data, tmp_path):
    source = shared_data / "a3net_rings" / "n_rings.npz"
    output, systems, pixels = read(source, tmp_path)
    stored = np.load(source, allow_pickle=False)
    assert (systems["n_rings"] == stored["n_rings"]).all() and not systems["rings_known"].any()
    assert (pixels[..., 0] == (stored["images"] > 0)).all()
    assert checks.failed(check.check(output, SETTINGS)["checks"]) == []


def test_images_with_the_parameters_of_their_ring_are_read(shared_data, tmp_path):
    source = shared_data / "a3net_rings" / "ring_regressor.npz"
    output, systems, pixels = read(source, tmp_path)
    stored = np.load(source, allow_pickle=False)
    assert (systems["n_rings"] == 1).all() and systems["rings_known"].all()
    assert systems["thickness"] == pytest.approx(stored["labels"][:, 3])
    # x is the column, counted from the corner of the first pixel
    column = (pixels[..., 0].sum(axis=1) * (np.arange(28) + 0.5)).sum(axis=1) / pixels.sum(
        (1, 2, 3)
    )
    assert np.corrcoef(column, systems["x"])[0, 1] > 0.98
    assert (column - systems["x"]).mean() == pytest.approx(0, abs=0.1)
    assert checks.failed(check.check(output, SETTINGS)["checks"]) == []


def test_charges_are_kept_as_they_are(tmp_path):
    images = np.random.default_rng(1).uniform(0, 9, (3, 28, 28))
    _, systems, pixels = read(written(tmp_path, images=images, n_rings=[0, 1, 2]), tmp_path)
    assert pixels[..., 0] == pytest.approx(images)
    assert systems["first_ring"].tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_rings": np.array([1, 2, 1.5, -1])}, r"2 of 4 rows have 'n_rings'.*\(rows 2, 3\)"),
        ({"images": np.ones((4, 20, 20))}, r"'images' has shape \(4, 20, 20\), not \(4, 28, 28\)"),
        ({"n_rings": np.ones(3)}, r"'n_rings' has shape \(3,\), not \(4,\)"),
        ({"images": np.full((4, 28, 28), np.nan)}, "4 of 4 rows have pixels that are not finite"),
        ({"images": -np.ones((4, 28, 28))}, "4 of 4 rows have negative pixels"),
        ({"images": np.zeros((0, 28, 28)), "n_rings": np.zeros(0)}, "it has no images"),
        ({"labels": np.full((4, 5), 99.0)}, r"4 of 4 rows have 'center_x' outside 0 to 28 pixels"),
        ({"images": np.full((4, 28, 28), None)}, "without objects"),
    ],
)
def test_a_wrong_file_is_refused_with_its_rows(change, sentence, tmp_path):
    right = {"images": np.ones((4, 28, 28)), "n_rings": np.ones(4)}
    with pytest.raises(ValueError, match=sentence):
        read(written(tmp_path, **right | change), tmp_path)
    assert not (tmp_path / "dataset.h5").exists()


def test_a_file_that_is_none_or_has_no_labels_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("rings")
    with pytest.raises(ValueError, match="cannot be read as a"):
        read(tmp_path / "text.npz", tmp_path)
    with pytest.raises(ValueError, match="it needs 'images', and 'n_rings' or 'labels'"):
        read(written(tmp_path, images=np.ones((4, 28, 28))), tmp_path)
