"""One train() for Keras and for scikit-learn, and what is written and read again."""

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lensmill import learning
from lensmill.learning import regression, runs, tables
from lensmill.pipeline import store

SETTINGS = {
    "head": "gaussian",
    "epochs": 4,
    "batch_size": 32,
    "repeats": 1,
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "clip_norm": 1.0,
    "schedule": "constant",
    "patience": 0,
    "checkpoint_seconds": 0,
    "tensorboard": False,
    "seed": 3,
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Write a table in which ``sum`` is that of ``x`` and ``y``, with noise."""
    folder = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(1)
    n = 400
    x, y = rng.normal(size=(2, n))
    systems = {"index": np.arange(n), "x": x, "y": y, "sum": x + y + rng.normal(0, 0.1, n)}
    no_units = {"systems": dict.fromkeys((*systems, "split"), "")}
    facts = {"experiment": "time_delay", "population": "plane"}
    store.write(folder / "dataset.h5", {"systems": systems}, no_units, facts)
    split = {"index": np.arange(n), "split": np.resize([0, 0, 0, 1, 2], n).astype(np.uint8)}
    store.write(folder / "split.h5", {"systems": split}, no_units, {})
    return {"dataset": str(folder / "dataset.h5"), "split": str(folder / "split.h5")}


def dense(dataset, split, settings, seed, keys):
    """Prepare a small network with a head."""
    from lensmill.learning import layers, models

    learned, validated = tables.read(dataset, split, ["x", "y"], ["sum"])
    by = tables.scaling(learned.targets)
    x = tables.scaling(learned.features)
    head = regression.head(settings["head"], 1, settings.get("components", 1))
    limits = {"low": [-9.0] * 2, "high": [9.0] * 2}

    def examples(table):
        y = tables.standardise(table.targets, by)
        return table.features.astype(np.float32), y.astype(np.float32)

    return runs.Training(
        build=lambda: models.residual(
            layers.Standardise(**x, **limits), 2, head.outputs, 16, 1, keys.first % 1000
        ),
        loss=head.loss(),
        epochs=lambda epoch: examples(learned),
        validation=examples(validated),
        settings=settings,
        record={"scaling": by, "systems": len(learned.rows)},
    )


def forest(dataset, split, settings, seed, keys):
    """Prepare an estimator of scikit-learn."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    learned, _ = tables.read(dataset, split, ["x", "y"], ["sum"])
    model = HistGradientBoostingRegressor(max_iter=settings["trees"], random_state=keys.first)
    return runs.Fit(
        fit=lambda: model.fit(learned.features, learned.targets[:, 0]),
        settings=settings,
        record={"systems": len(learned.rows)},
    )


def train(toy, folder, prepare=dense, suffix=".keras", watch=None, **settings):
    folder.mkdir(exist_ok=True)
    runs.train(
        prepare,
        **toy,
        settings={**SETTINGS, **settings},
        seed=1,
        threads=1,
        model=str(folder / f"model{suffix}"),
        history=str(folder / "history.csv") if suffix == ".keras" else None,
        training=str(folder / "training.json"),
        checkpoints=str(folder / "checkpoints"),
        watch=watch,
    )
    return runs.load(str(folder / f"model{suffix}"), str(folder / "training.json"))


@pytest.fixture(scope="module")
def gaussian(toy, tmp_path_factory):
    pytest.importorskip("keras")
    folder = tmp_path_factory.mktemp("gaussian")
    return train(toy, folder, epochs=30), folder


def posterior(network, toy, head, draws=500):
    """Return draws, shape (n, S), and the truth of the test systems."""
    rows = tables.test_rows(**toy)
    x, truth = (tables.columns(toy["dataset"], names)[rows] for names in (["x", "y"], ["sum"]))
    outputs = network.model.predict(x.astype(np.float32), verbose=0)
    drawn = regression.sample(outputs, head, draws, np.random.default_rng(2))
    return tables.restore(drawn, network.training["scaling"])[..., 0], truth[:, 0]


def test_the_record_says_what_was_trained_on_what(gaussian):
    network, folder = gaussian
    record = network.training
    assert (record["experiment"], record["population"]) == ("time_delay", "plane")
    assert record["settings"] == {**SETTINGS, "epochs": 30}
    assert record["systems"] == 240 and record["parameters"] == network.model.count_params()
    assert record["epochs"] == 30 and 0 <= record["best_epoch"] < 30
    assert record["precision"] == "float32"
    assert {*record["versions"]} == {"keras", "tensorflow", "numpy", "python"}
    found = {path.name for path in folder.iterdir()}
    assert found == {"model.keras", "history.csv", "training.json"}


def test_a_gaussian_head_knows_its_error(gaussian, toy):
    draws, truth = posterior(gaussian[0], toy, regression.head("gaussian", 1))
    summary = regression.summarise(draws)
    assert np.median(summary.error) == pytest.approx(0.1, rel=0.5)
    inside = (summary.low68 < truth) & (truth < summary.high68)
    assert 0.5 < inside.mean() < 0.9
    assert (summary.low95 < summary.low68).all() and (summary.high68 < summary.high95).all()


@pytest.mark.parametrize(("head", "components"), [("point", 1), ("mixture", 2)])
def test_other_heads_learn_the_same_sum(toy, tmp_path, head, components):
    pytest.importorskip("keras")
    network = train(toy, tmp_path, epochs=30, head=head, components=components)
    draws, truth = posterior(network, toy, regression.head(head, 1, components), 0)
    assert draws.shape == (80, 1)
    found = regression.scores(draws[:, 0], truth, scale=truth.std())
    assert found["rmse"] < 0.3 and abs(found["bias"]) < 0.1
    assert found["coverage68"] is None


def test_training_again_gives_the_same_weights_and_another_seed_others(toy, tmp_path):
    pytest.importorskip("keras")
    one, again, other = (
        train(toy, tmp_path / f"{i}", seed=seed).model.get_weights()
        for i, seed in enumerate((3, 3, 4))
    )
    assert all(np.array_equal(x, y) for x, y in zip(one, again, strict=True))
    assert not np.array_equal(one[0], other[0])


class Stopped(Exception):
    """Ends a training, as a kill would."""


def test_a_stopped_training_goes_on_unless_the_split_is_another(toy, tmp_path):
    pytest.importorskip("keras")

    def stop(row):
        if row["epoch"] == 2:
            raise Stopped

    with pytest.raises(Stopped):
        train(toy, tmp_path, watch=stop)
    assert not (tmp_path / "model.keras").exists()
    seen = []
    resumed = train(toy, tmp_path, watch=lambda row: seen.append(row["epoch"]))
    assert seen == [3]
    straight = train(toy, tmp_path / "straight")
    weights = zip(resumed.model.get_weights(), straight.model.get_weights(), strict=True)
    assert all(np.array_equal(x, y) for x, y in weights)

    with pytest.raises(Stopped):
        train(toy, tmp_path, watch=stop)
    no_units = {"systems": {"index": "", "split": ""}}
    split = store.read(toy["split"], "systems")
    split["split"] = np.roll(split["split"], 1)
    store.write(tmp_path / "split.h5", {"systems": split}, no_units, {})
    seen.clear()
    other = {**toy, "split": str(tmp_path / "split.h5")}
    train(other, tmp_path, watch=lambda row: seen.append(row["epoch"]))
    assert seen == [0, 1, 2, 3]


def test_what_scores_are_made_of_loads_no_deep_learning_library():
    names = re.findall(r"`(\w+)`\*", learning.__doc__)
    assert {"runs", "tables", "classification", "regression", "generation"} <= {*names}
    lines = f"""
import sys
from lensmill.learning import {", ".join(names)}
assert not {{"keras", "tensorflow"}} & sys.modules.keys()
"""
    source = Path(learning.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    subprocess.run([sys.executable, "-c", lines], check=True, env=environment)


# scikit-learn


def test_an_estimator_is_written_without_a_pickle_and_says_the_same(toy, tmp_path):
    network = train(toy, tmp_path, forest, ".skops", trees=20)
    assert {path.name for path in tmp_path.iterdir()} == {"model.skops", "training.json"}
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads((tmp_path / "model.skops").read_bytes())
    record = network.training
    assert record["systems"] == 240 and record["population"] == "plane"
    assert {*record["versions"]} == {"scikit-learn", "skops", "numpy", "python"}
    json.dumps(record)
    keys = runs.Keys(*map(int, np.random.SeedSequence([1, 3]).generate_state(2)))
    fitted = forest(**toy, settings={"trees": 20}, seed=1, keys=keys).fit()
    x = np.random.default_rng(4).normal(size=(50, 2))
    assert np.array_equal(network.model.predict(x), fitted.predict(x))


def test_a_file_with_foreign_types_is_refused_by_name(toy, tmp_path):
    from skops import io

    path = tmp_path / "model.skops"
    path.write_bytes(io.dumps(Stopped("what a stranger put there")))
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(ValueError, match=r"model.skops holds types .*Stopped.*TRUSTED"):
        runs.load(str(path), str(tmp_path / "training.json"))
    with pytest.raises(ValueError, match=r"other.skops holds types .*Stopped"):
        runs.save_estimator(Stopped("mine"), tmp_path / "other.skops")
    assert not (tmp_path / "other.skops").exists()


def test_common_estimators_are_permitted(tmp_path):
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = np.random.default_rng(1).normal(size=(60, 2))
    labels = np.digitize(x[:, 0], [-0.5, 0.5])
    for model in (
        HistGradientBoostingClassifier(max_iter=3),
        RandomForestRegressor(3),
        KNeighborsRegressor(),
        make_pipeline(
            StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), max_iter=5000, tol=0.1)
        ),
    ):
        model.fit(x, labels)
        runs.save_estimator(model, tmp_path / "model.skops")
        again = runs.load_estimator(tmp_path / "model.skops")
        assert np.array_equal(again.predict(x), model.predict(x))


def test_every_layer_of_ours_is_known_to_a_process_that_reads_a_network(tmp_path):
    folder = Path(learning.__file__).parent
    ours = {p.stem for p in folder.glob("*.py") if "@keras.saving.register" in p.read_text()}
    (tmp_path / "training.json").write_text("{}")
    code = f"""
import sys
from lensmill.learning import runs
try:
    runs.load({str(tmp_path / "none.keras")!r}, {str(tmp_path / "training.json")!r})
except ValueError:
    print(*(name for name in sys.modules if name.startswith("lensmill.learning.")))
"""
    env = {**os.environ, "PYTHONPATH": str(folder.parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    known = {name.split(".")[-1] for name in done.stdout.split()}
    assert {"polar", "layers"} <= ours
    assert ours <= known
