"""Rings and blobs from a data set to a trained network that is read again."""

import csv
import json

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from network_settings import network_settings  # noqa: E402
from toy_images import SIZE, rings_and_blobs, write  # noqa: E402

from lensmill.experiments.lens_finding import network  # noqa: E402

QUICK = {"width": 2, "stem": 4, "stages": 2, "epochs": 3, "batch_size": 32, "tensorboard": False}
FILES = {"model": "model.keras", "history": "history.csv", "training": "training.json"}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write(tmp_path_factory.mktemp("toy"), *rings_and_blobs(400))


def train(toy, folder, **settings):
    folder.mkdir(exist_ok=True)
    files = {name: str(folder / file) for name, file in FILES.items()}
    network.train(
        dataset=str(toy[0]),
        split=str(toy[1]),
        settings=network_settings("lens_finding", {**QUICK, **settings}),
        seed=1,
        threads=1,
        checkpoints=str(folder / "checkpoints"),
        **files,
    )
    return network.load(files["model"], files["training"])


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return train(toy, folder), folder


def test_the_record_says_what_was_trained_on_what(trained):
    net, folder = trained
    record = net.training
    assert record["architecture"] == "p4m" and record["shape"] == [SIZE, SIZE, 1]
    assert record["parameters"] == net.model.count_params()
    assert record["systems"] == 320 and 0 < record["lenses"] < 320
    assert record["precision"] == "float32" and record["images_per_second"] > 0
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert float(rows[record["best_epoch"]]["val_loss"]) == record["val_loss"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES.values())
    json.dumps(record)


def test_a_network_gives_a_logit_per_image(trained):
    pixels, _ = rings_and_blobs(50, seed=3)
    logit = network.logits(trained[0], pixels)
    assert logit.shape == (50,) and logit.dtype == np.float64 and np.isfinite(logit).all()
    rows = np.array([4, 2])
    assert network.logits(trained[0], pixels, rows) == pytest.approx(logit[rows], abs=1e-5)


def test_images_of_another_size_are_refused_with_the_remedy(trained):
    pixels = np.zeros((2, 32, 32, 3), np.float32)
    with pytest.raises(
        ValueError,
        match=r"32 x 32 pixels in 3 bands, but .* 'toy'\) takes 24 x 24 pixels in 1 bands; bring",
    ):
        network.logits(trained[0], pixels)


def test_seeds_of_a_definition_are_different_networks(trained, toy, tmp_path):
    other = train(toy, tmp_path, seed=2, epochs=1)
    one, third = (n.model.get_weights() for n in (trained[0], other))
    assert not np.array_equal(one[0], third[0])


def test_training_again_gives_the_same_weights(trained, toy, tmp_path):
    one, again = (n.model.get_weights() for n in (trained[0], train(toy, tmp_path)))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))


def test_a_scale_of_the_training_set_is_stored_in_the_network(toy, tmp_path):
    net = train(toy, tmp_path, stretch="training", fold=2, folds=3, max_systems=100)
    assert net.training["systems"] == 100
    (stretch,) = (layer for layer in net.model.layers if type(layer).__name__ == "AsinhStretch")
    assert stretch.noise == pytest.approx(net.training["noise"])
    assert stretch.noise == pytest.approx([0.1], rel=0.1)


def test_a_part_without_lenses_is_refused(tmp_path):
    pixels, is_lens = rings_and_blobs(100)
    files = write(tmp_path, pixels, np.zeros_like(is_lens))
    with pytest.raises(ValueError, match=r"the train part has 80 non-lenses and 0 lenses of known"):
        train(files, tmp_path / "net")


def test_systems_without_a_label_teach_nothing(tmp_path):
    pixels, is_lens = rings_and_blobs(200)
    known = np.ones(200, np.uint8)
    known[::3] = 0
    files = write(tmp_path, pixels, is_lens, known)
    net = train(files, tmp_path / "net", epochs=1)
    split = np.resize(np.repeat([0, 1, 2], (8, 1, 1)), 200)
    assert net.training["systems"] == ((split == 0) & (known == 1)).sum()


def test_a_network_trained_in_16_bits_is_kept_in_32(toy, tmp_path, monkeypatch):
    # where there is a GPU; a CPU can do it too, but slowly
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind=None: ["gpu:0"])
    net = train(toy, tmp_path, mixed_precision=True, epochs=1)
    assert net.training["precision"] == "mixed_bfloat16"
    assert {layer.dtype_policy.name for layer in net.model.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
