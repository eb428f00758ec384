import json

import numpy as np
import pytest
from rings_settings import population

from lensmill import experiments
from lensmill.experiments.rings import score, simulate
from lensmill.pipeline import shards, splits, store

pytest.importorskip("keras")
from lensmill.experiments.rings import network


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return data sets by name, each with its split beside it."""
    folder, found = tmp_path_factory.mktemp("data"), {}
    for name, n, override in (
        ("cone_matched", 800, {}),
        ("a3net", 400, {"rings": [1, 1]}),
        ("two", 40, {"rings": [2, 2]}),
    ):
        path = str(folder / f"{name}.h5")
        settings = population(name if name != "two" else "a3net", **override)
        shards.simulate(f"{path}.0", simulate, "rings", name, 1, 0, n, settings, "code")
        identity = {"experiment": "rings", "population": name, "seed": 1, "code": "code"}
        shards.merge([f"{path}.0"], path, n, settings=settings, **identity)
        splits.write(path, f"{path}.split", "n_rings", (7, 1, 2))
        found[name] = path
    return found


def run(folder, dataset, ask=None, **settings):
    """Train a network, ask it about a data set, and return predictions and scores."""
    settings = {"train_on": "any", "test_on": ["any"]} | settings
    settings = experiments.network_settings("rings", settings)
    suffix = experiments.look_up("rings", "suffix")(settings)
    model, training = str(folder / f"model{suffix}"), str(folder / "training.json")
    history = str(folder / "history.csv") if suffix == ".keras" else None
    files = model, history, training, str(folder / "checkpoints")
    network.train(dataset, f"{dataset}.split", settings, 1, 1, *files)
    loaded = network.load(model, training)
    output, whole = str(folder / "predictions.h5"), str(folder / "scored.h5")
    asked = ask or dataset
    network.predict(loaded, asked, f"{asked}.split", {"draws": 200}, 1, output, "net", "any")
    found = score.score(output, {}, 1, whole)
    assert (folder / "scored.h5").exists() and json.loads(json.dumps(found)) == found
    return store.read(output, "systems"), found


@pytest.mark.parametrize(
    ("architecture", "least"), [("pca_svm", 0.6), ("cnn", 0.7), ("dense", 0.6)]
)
def test_networks_count_what_brightness_does_not_tell(architecture, least, data, tmp_path):
    given = {} if architecture == "pca_svm" else {"epochs": 8, "tensorboard": False}
    table, found = run(tmp_path, data["cone_matched"], architecture=architecture, **given)
    assert found["accuracy"] > least > found["accuracy_of_charge"] - 0.05
    assert found["accuracy"] == (table["counted"] == table["n_rings"]).mean()
    assert np.sum(found["confusion"]) == found["systems"] == 160
    assert abs(found["auroc_of_charge"] - 0.5) < 0.15


def test_an_image_has_the_same_count_whatever_its_exposure(data, tmp_path):
    from lensmill.learning import images

    given = {"epochs": 1, "tensorboard": False, "convolutions": 2}
    run(tmp_path, data["cone_matched"], **given)
    model = network.load(str(tmp_path / "model.keras"), str(tmp_path / "training.json")).model
    pixels = np.array(store.pixels(data["cone_matched"])[:20])
    assert images.predict(model, 7 * pixels) == pytest.approx(
        images.predict(model, pixels), abs=1e-4
    )


def test_ellipses_are_measured_with_errors_and_their_bound(data, tmp_path):
    given = {"answers": "ellipse", "convolutions": 2, "epochs": 6, "tensorboard": False}
    table, found = run(tmp_path, data["cone_matched"], **given)
    assert set(found["targets"]) == {"x", "y", "radius", "semi_major", "semi_minor", "angle"}
    # the prior alone is known to 16 / sqrt(12) = 4.6
    assert found["targets"]["x"]["rmse"] < 3
    assert found["targets"]["x"]["rmse_to_bound"] > 1
    assert found["targets"]["angle"]["bound"] is None
    assert (np.abs(table["angle_median"] - table["angle"]) <= np.pi / 2 + 1e-9).all()
    assert (table["semi_major_median"] >= table["semi_minor_median"]).all()


def test_a_network_that_measures_refuses_images_without_a_single_ring(data, tmp_path):
    given = {"answers": "ring", "convolutions": 1, "epochs": 1, "tensorboard": False}
    with pytest.raises(ValueError, match="no test image with one ring of known parameters"):
        run(tmp_path, data["a3net"], data["two"], **given)


def test_images_are_drawn_for_what_is_asked(data, tmp_path):
    given = {"answers": "images", "architecture": "vae", "epochs": 25, "tensorboard": False}
    given |= {"beta": 4.0, "batch_size": 16, "learning_rate": 3e-3}
    table, found = run(tmp_path, data["a3net"], **given)
    drawn = store.read(str(tmp_path / "predictions.h5"), "cutouts")["drawn"]
    assert set(np.unique(drawn)) == {0.0, 1.0}
    some = table["drawn_lit"] > 5
    assert np.corrcoef(table["drawn_x"][some], table["x"][some])[0, 1] > 0.7
    assert 0.5 < found["two_sample_auroc"] <= 1.0
    # real images have the ring that is asked for
    assert abs(found["radius_bias_real"]) < 0.1 and found["radius_scatter_real"] < 0.2
