"""Networks learn what they are asked from the systems that have it, and are scored by it."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm
from substructure_data import changed, population, write

from lensmill import experiments
from lensmill.experiments.substructure import naming, score
from lensmill.pipeline import store

pytest.importorskip("keras")
from lensmill.experiments.substructure import network

EVALUATION = {"draws": 100, "bootstraps": 20, "calibration_bins": 5, "chi_edges": [0.0, 5.0]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a data set whose vortices are so heavy that anybody sees them."""
    folder = tmp_path_factory.mktemp("data")
    fixed = population("deeplense", {"size": 32, "pixel_scale": 0.2}, vortex_mass=["fixed", 0.4])
    return write(str(folder / "strong.h5"), "deeplense", 400, fixed)


def run(folder, dataset, ask=None, beside=True, **settings):
    """Train a network, ask it about a data set, and return predictions and scores."""
    given = {"train_on": "any", "test_on": ["any"], "tensorboard": False, "width": 2}
    settings = experiments.network_settings("substructure", given | settings)
    model, training = str(folder / "model.keras"), str(folder / "training.json")
    files = model, str(folder / "history.csv"), training, str(folder / "checkpoints")
    network.train(dataset, f"{dataset}.split", settings, 1, 1, *files)
    loaded = network.load(model, training)
    output, whole = str(folder / "predictions.h5"), str(folder / "scored.h5")
    asked = ask or dataset
    learned = {"learned": dataset, "learned_split": f"{dataset}.split"} if beside else {}
    split = f"{asked}.split" if Path(f"{asked}.split").exists() else None
    network.predict(loaded, asked, split, EVALUATION, 1, output, "net", "any", **learned)
    found = score.score(output, EVALUATION, 1, whole)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return store.read(whole, "systems"), found


def test_classes_are_named_and_scored(data, tmp_path):
    table, found = run(tmp_path, data, epochs=6, stages=2)
    named = table["logits"].argmax(axis=1)
    assert found["accuracy"] == (named == table["label"]).mean()
    assert np.sum(found["confusion"]) == found["systems"] == found["known"] == len(table["index"])
    aurocs = [found[f"auroc_{name}"] for name in ("none", "subhalos", "vortex")]
    assert found["auroc"] == pytest.approx(np.mean(aurocs))
    assert found["auroc_vortex"] > 0.8  # anybody sees it
    assert sum(b["systems"] for b in found["by_chi"]["vortex"]) <= (table["label"] == 2).sum()
    # smooth systems of the training part are those that are like themselves
    assert 0 < np.median(table["one_class"][table["label"] == 0]) < found["one_class_median"] + 1


def test_an_autoencoder_never_looks_at_substructure(data, tmp_path):
    def spoil(systems, pixels):
        pixels[systems["label"] != 0] = np.nan

    given = {"architecture": "autoencoder", "answers": "anomaly", "latent": 4, "epochs": 2}
    spoilt = changed(data, str(tmp_path / "spoilt.h5"), spoil)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    table, found = run(tmp_path / "a", data, **given)
    with pytest.raises(ValueError, match="gives no finite answer"):
        run(tmp_path / "b", spoilt, **given)  # in its test, and there alone
    both = [
        network.load(str(tmp_path / x / "model.keras"), str(tmp_path / x / "training.json"))
        for x in "ab"
    ]
    for one, two in zip(*(n.model.get_weights() for n in both), strict=True):
        assert np.array_equal(one, two)
    assert (table["anomaly"] > 0).all() and 0 <= found["auroc_vortex"] <= 1
    kept = store.read(str(tmp_path / "a" / "predictions.h5"), "cutouts")
    assert set(kept["label"]) == {0, 1, 2} and kept["seen"].shape == kept["left"].shape


def test_only_systems_that_have_a_number_are_asked_for_it(data, tmp_path):
    def spoil(systems, pixels):
        pixels[systems["label"] != 2] = np.nan

    spoilt = changed(data, str(tmp_path / "spoilt.h5"), spoil)
    table, found = run(
        tmp_path, spoilt, answers="numbers", targets=["vortex_length"], epochs=2, stages=2
    )
    assert (table["label"] == 2).all() and len(table["index"]) == found["known"]
    target = found["targets"]["vortex_length"]
    assert 0 <= target["coverage68"] <= 1 and target["prior_rmse"] > 0
    assert found["coverage_error"] == found["calibration"]["worst"]["error"]


def test_a_population_without_the_number_is_refused(data, tmp_path):
    def cold(systems, pixels):
        systems["vortex_length"][:] = 0.0

    given = {"answers": "numbers", "targets": ["vortex_length"], "epochs": 1, "stages": 2}
    with pytest.raises(ValueError, match="no test image whose vortex_length is known and not 0"):
        run(tmp_path, data, changed(data, str(tmp_path / "none.h5"), cold), **given)


def test_systems_of_unknown_class_have_scores_but_no_auroc(data, tmp_path):
    def forget(systems, pixels):
        del systems["label"]  # as of real lenses

    asked = changed(data, str(tmp_path / "real.h5"), forget)
    _, found = run(tmp_path, data, asked, epochs=1, stages=2)
    assert found["known"] == 0 and "auroc" not in found and "by_chi" not in found
    assert sum(found[f"named_{name}"] for name in ("none", "subhalos", "vortex")) == 1.0


def test_two_classes_are_enough_to_learn_and_one_is_not(data, tmp_path):
    def only(*labels):
        def keep(systems, pixels):
            systems["label"][~np.isin(systems["label"], labels)] = labels[0]

        return keep

    two = changed(data, str(tmp_path / "two.h5"), only(0, 1))
    _, found = run(tmp_path, two, epochs=1, stages=2)
    assert found["auroc_vortex"] is None and found["learned_classes"] == 2
    one = changed(data, str(tmp_path / "one.h5"), only(0))
    with pytest.raises(ValueError, match=r"only images of class \[0\]"):
        run(tmp_path, one, epochs=1, stages=2)


def test_by_chi_finds_the_ideal_observer():
    """Scores of a matched filter: N(chi, 1) with the perturbation, N(0, 1) without."""
    rng = np.random.default_rng(4)
    n = 20000
    label = np.repeat([0, 1, 2], [n, n, n])
    chi = np.where(label == 0, 0.0, rng.uniform(0.0, 4.0, 3 * n))
    belief = chi + rng.normal(size=3 * n)
    found = naming.by_chi(label, belief, chi, [0.0, 1.0, 2.0, 3.0], 1)
    assert [b["high"] for b in found["all"]] == [1.0, 2.0, 3.0, None]
    for name in ("all", "subhalos", "vortex"):
        for one in found[name]:
            assert one["auroc"] == pytest.approx(one["ideal"], abs=0.012)
            assert one["ideal"] == pytest.approx(norm.cdf(one["median"] / np.sqrt(2)), abs=0.01)


def test_the_belief_in_any_substructure_does_not_hang_on_which_it_is():
    probability = np.array([[0.5, 0.5, 0.0001], [0.5, 0.25, 0.2501], [0.9, 0.05, 0.05]])
    belief = naming.substructure_logit(np.log(probability))
    assert belief[0] == pytest.approx(belief[1], abs=1e-3) and belief[2] < belief[0]
