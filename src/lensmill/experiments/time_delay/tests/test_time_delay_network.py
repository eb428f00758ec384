"""Small networks on a small population, from data set to scores."""

import inspect
import json
import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import h5py
import numpy as np
import pytest

pytest.importorskip("keras")

from network_settings import network_settings

from lensmill import experiments
from lensmill.experiments.time_delay import invariance as symmetry
from lensmill.experiments.time_delay import network, observe, predictions, score, simulate
from lensmill.learning import calibration
from lensmill.learning import training as loop
from lensmill.pipeline import settings as checked
from lensmill.pipeline import splits, store, streams

LABORATORY = {
    "position_error": ["fixed", 0.003],
    "delay_error": ["fixed", 0.5],
    "delay_error_fraction": ["fixed", 0.01],
}
PRIOR = {
    "einstein_radius": ["uniform", 1.0, 1.5],
    "einstein_radius_is": "b",
    "one_minus_q": ["fixed", 0.0],
    "phi": ["fixed", 0.0],
    "shear": ["fixed", 0.15],
    "shear_angle": ["uniform", 0.0, np.pi],
    "slope": ["fixed", 2.0],
    "kappa_ext": ["fixed", 0.0],
    "source": ["disc", 0.4],
    "min_magnification": 1e-4,
    "z_lens": ["uniform", 0.2, 0.5],
    "z_source": ["uniform", 1.0, 3.0],
    "redshift_gap": 0.1,
    "h0": ["uniform", 50.0, 100.0],
    "omega_m": ["fixed", 0.3],
}
SOURCE = Path(experiments.__file__).parents[2]
QUICK = {"width": 16, "blocks": 1, "epochs": 3, "batch_size": 64, "tensorboard": False}


@pytest.fixture(scope="module")
def population(tmp_path_factory):
    folder = tmp_path_factory.mktemp("population")
    u = streams.uniforms(1, "time_delay", "tiny", 0, 3000, simulate.WIDTH)
    tables = simulate.draw(0, u, {"family": "sis_shear", "prior": PRIOR})
    facts = {"experiment": "time_delay", "population": "tiny", "seed": 1}
    store.write(folder / "dataset.h5", tables, simulate.UNITS, facts)
    splits.write(str(folder / "dataset.h5"), str(folder / "split.h5"), "n_images", (16, 2, 2))
    return {"dataset": str(folder / "dataset.h5"), "split": str(folder / "split.h5")}


def train(population, folder, **settings):
    folder.mkdir(exist_ok=True)
    files = {"model": "model.keras", "history": "history.csv", "training": "training.json"}
    files = {name: str(folder / file) for name, file in files.items()}
    network.train(
        **population,
        settings=network_settings("time_delay", {**QUICK, **settings}),
        seed=1,
        threads=1,
        checkpoints=str(folder / "checkpoints"),
        **files,
    )
    return {"model": files["model"], "training": files["training"]}


def scores_of(population, trained, folder, **changes):
    """Predict and score; the predictions are in ``predictions.h5``."""
    settings = {"samples": 200, "stored_samples": 50, "stored_systems": 7, **changes}
    predicted = str(folder / "predicted.h5")
    network.predict(
        network.load(**trained),
        **population,
        settings=settings,
        seed=1,
        output=predicted,
        name="net",
        population="tiny",
    )
    found = score.score(predicted, settings, 1, str(folder / "predictions.h5"))
    return json.loads(json.dumps(found, allow_nan=False))


@pytest.fixture(scope="module")
def noisy(population, tmp_path_factory):
    folder = tmp_path_factory.mktemp("noisy")
    settings = {"images": 4, "head": "mixture", "components": 2, "observation": LABORATORY}
    trained = train(population, folder, **settings)
    return trained, scores_of(population, trained, folder), folder


def test_scores_are_those_of_the_predictions(noisy):
    _, scores, folder = noisy
    systems = store.read(folder / "predictions.h5", "systems")
    error = np.log(systems["d_dt_median"] / systems["d_dt"])
    found = scores["targets"]["ln_d_dt"]
    assert found["mse"] == pytest.approx((error**2).mean())
    assert found["bias"] == pytest.approx(np.median(error))
    inside = (systems["d_dt_low68"] < systems["d_dt"]) & (systems["d_dt"] < systems["d_dt_high68"])
    assert found["coverage68"] == pytest.approx(inside.mean(), abs=0.02)
    assert scores["systems"] == len(error)


def test_errors_are_judged_together_with_what_is_strange(noisy):
    _, scores, folder = noisy
    judged = scores["calibration"]
    table = store.read(folder / "predictions.h5", "calibration")
    systems = store.read(folder / "predictions.h5", "systems")
    assert judged["systems"] == scores["systems"] == len(table["index"])
    assert np.array_equal(table["index"], systems["index"])
    error = np.log(systems["d_dt_median"] / systems["d_dt"])
    # medians of 100 draws and of 200: they scatter by a tenth of the error, which the rank tells
    assert np.corrcoef(table["error_ln_d_dt"], error)[0, 1] > 0.9
    assert np.abs(table["rank_ln_d_dt"] - systems["d_dt_rank"]).max() < 0.3
    assert set(judged["targets"]) == {"ln_d_dt", "potential", "deflection_x", "deflection_y"}
    errors = [
        one["error"] for one in (*judged["targets"].values(), judged["density"], judged["tarp"])
    ]
    assert scores["coverage_error"] == judged["worst"]["error"] == max(errors)
    assert judged["strangeness"]["own"]
    strange = store.read(folder / "predictions.h5", "strangeness")
    assert np.array_equal(strange["index"], systems["index"])


def test_the_density_of_the_truth_is_that_where_the_network_answers(noisy, population):
    trained = noisy[0]
    net = network.load(**trained)
    observed, truth = observe.from_simulated(**population, part=splits.TEST, n_images=4)
    u = observe.noise_uniforms(1, "time_delay", "tiny", observed.index, 4)
    observed = observe.perturb(observed, LABORATORY, u)
    architecture = network._architecture(net.training["settings"], LABORATORY)
    outputs = network._outputs(net.model, architecture.features(observed))
    rng = np.random.default_rng(1)
    # a truth that is one of the posterior's own draws is uniform by density; one far off is not
    draws = network.regression.sample(outputs, architecture.head, 101, rng)
    mixture = network.posteriors.unpack(outputs, architecture.head.components, draws.shape[2])
    own = network.posteriors.log_densities(mixture, draws)
    rank = calibration.density_ranks(own[:, 1:], own[:, 0], rng)
    assert calibration.uniformity(rank) > 1e-3
    moved = truth._replace(d_dt=20 * truth.d_dt)
    given = (outputs, draws, rng)
    found = network._density_ranks(net, architecture, observed, moved, *given)
    assert found.mean() > 0.95
    assert network._density_ranks(net, architecture, observed, truth, *given).mean() < 0.9


def test_what_is_judged_changes_no_draw(noisy, population, tmp_path, monkeypatch):
    monkeypatch.setattr(predictions, "JUDGED_SYSTEMS", 1)
    scores_of(population, noisy[0], tmp_path)
    for table in ("systems", "images", "samples"):
        with_, without = (store.read(f / "predictions.h5", table) for f in (noisy[2], tmp_path))
        assert all(np.array_equal(with_[name], without[name]) for name in with_)
    assert len(store.read(tmp_path / "predictions.h5", "features")["index"]) == 1


def test_a_population_is_strange_or_not_to_the_network_of_another(noisy, population, tmp_path):
    family = str(noisy[2] / "predictions.h5")
    predicted = str(noisy[2] / "predicted.h5")
    alike = score.score(predicted, {}, 1, str(tmp_path / "alike.h5"), family)["calibration"]
    own = noisy[1]["calibration"]["strangeness"]
    assert not alike["strangeness"]["own"]
    assert alike["strangeness"]["family"] == own["family"]
    scores = (store.read(path, "strangeness") for path in (family, tmp_path / "alike.h5"))
    first, second = (table["strangeness"] for table in scores)
    assert first == pytest.approx(second)


def test_intervals_are_nested_and_hold_the_median(noisy):
    systems = store.read(noisy[2] / "predictions.h5", "systems")
    names = ("low95", "low68", "median", "high68", "high95")
    edges = np.stack([systems[f"d_dt_{name}"] for name in names])
    assert (np.diff(edges, axis=0) > 0).all()


def test_predictions_stand_by_the_truth_of_their_own_images(noisy, population):
    _, _, folder = noisy
    systems = store.read(folder / "predictions.h5", "systems")
    images = store.read(folder / "predictions.h5", "images")
    everything = store.read(population["dataset"], "images")
    for i, row in zip(systems["index"][:5], systems["first_image"][:5], strict=True):
        mine = everything["system"] == i
        for name in ("potential", "deflection_x", "deflection_y"):
            assert np.array_equal(images[name][row : row + 4], everything[name][mine])


def test_samples_of_some_simulated_systems_are_kept(noisy):
    with h5py.File(noisy[2] / "predictions.h5") as file:
        assert file["samples/ln_d_dt"].shape == (7, 50)
        assert file["samples/deflection_x"].shape == (28, 50)


def test_real_systems_have_samples_and_no_false_truth(noisy, population, tmp_path):
    simulated, _ = observe.from_simulated(population["dataset"], None, None, 4)
    n = 3
    first = observe.select(simulated, slice(n))
    measured = np.ones((n, 4), np.uint8)
    measured[0, 2] = 0
    measured[2, 1:] = 0  # no delay at all: it cannot be used
    zero, one = np.zeros(n), np.ones(n)
    systems = {
        "index": np.arange(n),
        "name": np.array(["one", "two", "untimed"]),
        "z_lens": first.z_lens,
        "z_source": first.z_source,
        "n_images": np.full(n, 4),
        "first_image": np.arange(n) * 4,
        "lens_x": zero,
        "lens_y": zero,
        "lens_known": np.array([1, 0, 1], np.uint8),
        "lens_error": zero,
        "d_dt": np.array([2000.0, 0.0, 0.0]),
        "d_dt_minus": one,
        "d_dt_plus": one,
        "d_dt_known": np.array([1, 0, 0], np.uint8),
    }
    images = {
        "system": np.repeat(np.arange(n), 4),
        "x": first.position[..., 0].ravel(),
        "y": first.position[..., 1].ravel(),
        "position_error": np.full(4 * n, 0.003),
        "delay": np.where(measured, first.delay, 0.0).ravel(),
        "delay_error": np.tile([0.0, 0.5, 0.5, 0.5], n),
        "delay_measured": measured.ravel(),
    }
    tables = {"systems": systems, "images": images}
    no_units = {table: dict.fromkeys(columns, "") for table, columns in tables.items()}
    store.write(tmp_path / "real.h5", tables, no_units, {"population": "real"})
    real = {"dataset": str(tmp_path / "real.h5"), "split": None}
    scores = scores_of(real, noisy[0], tmp_path, stored_samples=300)
    assert scores["systems"] == 2
    assert scores["mse_standardised"] is None
    assert scores["targets"]["potential"] is None
    judged = scores["calibration"]
    assert judged["systems"] == 1  # of the other the distance is not known
    assert (set(judged["targets"]), judged["density"], judged["tarp"]) == ({"ln_d_dt"}, None, None)
    assert "exact tests have the last word" in judged["note"]
    predicted = store.read(tmp_path / "predictions.h5", "systems")
    assert predicted["index"].tolist() == [0, 1]
    assert predicted["d_dt_rank"][1] == 0.5
    assert np.isfinite(predicted["d_dt_median"]).all()
    with h5py.File(tmp_path / "predictions.h5") as file:
        assert file["samples/ln_d_dt"].shape == (2, 300)
        assert file["samples/potential"].shape == (8, 300)


def test_folds_judge_every_system_once_and_learn_from_all_others(population):
    parts = [observe.from_simulated(**population, part=part, n_images=4) for part in (0, 1)]
    whole = np.sort(np.concatenate([observed.index for observed, _ in parts]))
    judged = []
    for fold in (1, 2, 3):
        (learned, truth), (judging, _) = network._cut(parts, fold, 3)
        assert not np.intersect1d(learned.index, judging.index).size
        assert len(truth.d_dt) == len(learned.index)
        assert np.array_equal(np.sort(np.append(learned.index, judging.index)), whole)
        judged.append(judging.index)
    assert np.array_equal(np.sort(np.concatenate(judged)), whole)
    with pytest.raises(ValueError, match="fold is 4, but must lie between 1 and folds = 3"):
        network._cut(parts, 4, 3)
    with pytest.raises(ValueError, match="systems cannot be cut into folds = 9999"):
        network._cut(parts, 4, 9999)


def test_networks_of_two_folds_learn_otherwise(population, tmp_path):
    means = []
    for fold in (1, 2):
        files = train(population, tmp_path / f"{fold}", images=4, fold=fold, folds=2)
        record = json.loads(Path(files["training"]).read_text())
        means.append(record["standardisation"]["targets"]["mean"])
    assert means[0] != means[1]


def test_a_table_without_such_systems_has_empty_predictions(noisy, population, tmp_path):
    systems, images = (store.read(population["dataset"], t) for t in ("systems", "images"))
    double = systems["n_images"] == 2
    systems = {name: column[double] for name, column in systems.items()}
    ours = np.isin(images["system"], systems["index"])
    images = {name: column[ours] for name, column in images.items()}
    n = int(double.sum())
    systems |= {
        "first_image": 2 * np.arange(n),
        "name": np.full(n, "a"),
        **{name: np.ones(n) for name in ("lens_known", "lens_error", "d_dt_known")},
    }
    images |= {name: np.ones(2 * n) for name in ("position_error", "delay_error", "delay_measured")}
    tables = {"systems": systems, "images": images}
    no_units = {table: dict.fromkeys(columns, "") for table, columns in tables.items()}
    store.write(tmp_path / "doubles.h5", tables, no_units, {"population": "doubles"})
    doubles = {"dataset": str(tmp_path / "doubles.h5"), "split": None}
    scores = scores_of(doubles, noisy[0], tmp_path)
    assert scores == {"network": "net", "population": "tiny", "images": 4, "systems": 0}
    assert not store.read(tmp_path / "predictions.h5", "systems")["index"].size


def test_scoring_loads_no_deep_learning_library(noisy, tmp_path):
    lines = """
import sys
from lensmill.experiments.time_delay import score
found = score.score(sys.argv[1], {}, 1, sys.argv[2])
assert found["systems"] > 0
assert not {"keras", "tensorflow"} & sys.modules.keys()
"""
    files = [str(noisy[2] / "predicted.h5"), str(tmp_path / "predictions.h5")]
    command = [sys.executable, "-c", lines, *files]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(SOURCE)})


def test_only_test_systems_are_judged(noisy, population):
    judged = store.read(noisy[2] / "predictions.h5", "systems", ["index"])["index"]
    labels = store.read(population["split"], "systems")
    part = dict(zip(labels["index"], labels["split"], strict=True))
    assert {part[i] for i in judged} == {splits.TEST}


def test_the_training_file_says_what_made_the_network(noisy):
    record = json.loads(Path(noisy[0]["training"]).read_text())
    assert record["images"] == 4
    assert record["observation"] == LABORATORY
    assert record["epochs"] == 3
    assert len(record["features"]) == len(record["standardisation"]["features"]["mean"])
    assert set(record["versions"]) == {"keras", "tensorflow", "numpy", "python"}
    assert record["parameters"] > 1000
    assert record["threads"] == 1


def test_training_again_gives_the_same_weights(noisy, population, tmp_path):
    settings = {"images": 4, "head": "mixture", "components": 2, "observation": LABORATORY}
    again = train(population, tmp_path, **settings)
    one, other = (network.load(**files).model.get_weights() for files in (noisy[0], again))
    assert all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))


def invariance(population, trained, folder):
    symmetry.invariance(
        **trained,
        **population,
        settings={"invariance_systems": 10},
        seed=1,
        threads=1,
        output=str(folder / "invariance.json"),
        network="net",
        population="tiny",
    )
    return json.loads((folder / "invariance.json").read_text())


def test_a_canonical_network_does_not_care_how_a_lens_is_seen(noisy, population, tmp_path):
    found = invariance(population, noisy[0], tmp_path)
    for view in ("rotation", "reflection", "translation", "relabelling", "scale"):
        assert max(found[view]["d_dt_change"]) < 1e-5
        assert max(found[view]["deflection_change"]) < 1e-5


class RoundsByBatch:
    """A network whose last digits depend on the batch, more than those of any processor do."""

    def __init__(self, model):
        self.model = model

    def predict(self, features, batch_size, verbose):
        """Predict batch by batch."""
        parts = [features[i : i + batch_size] for i in range(0, len(features), batch_size)]
        return np.concatenate(
            [
                np.asarray(self.model(x)) * (1 + 1e-3 * len(x) + 1e-4 * np.arange(len(x))[:, None])
                for x in parts
            ]
        )


def test_a_change_of_the_batch_is_no_change_of_the_view(noisy, population, tmp_path, monkeypatch):
    whole = network.load(**noisy[0])
    odd = whole._replace(model=RoundsByBatch(whole.model))
    monkeypatch.setattr(network, "load", lambda model, training, threads=1: odd)
    found = invariance(population, noisy[0], tmp_path)
    for view in ("rotation", "reflection", "translation", "scale"):
        assert max(found[view]["d_dt_change"]) < 1e-12


def test_a_dense_network_does_care(population, tmp_path):
    trained = train(population, tmp_path, images=4, architecture="dense", epochs=2)
    found = invariance(population, trained, tmp_path)
    for view in ("rotation", "reflection", "translation", "relabelling"):
        assert max(found[view]["deflection_change"]) > 1e-2
    scores = scores_of(population, trained, tmp_path)
    assert scores["targets"]["potential"]["coverage68"] is None
    assert scores["mse_standardised"] > 0


def test_turned_copies_have_turned_targets(population, tmp_path):
    settings = {"images": 4, "architecture": "dense", "augment": "rotation"}
    trained = train(population, tmp_path, **settings)
    scaling = network.load(**trained).training["standardisation"]
    # On average over rotations deflections vanish in either direction and spread alike.
    spread = np.array(scaling["targets"]["scale"][4:]).reshape(4, 2)
    assert spread[:, 0] == pytest.approx(spread[:, 1], rel=0.1)


def test_without_delays_d_dt_is_not_known_better_than_its_prior(population, tmp_path):
    settings = {"images": 4, "head": "gaussian", "use_delays": False, "observation": LABORATORY}
    trained = train(population, tmp_path, epochs=10, **settings)
    scores = scores_of(population, trained, tmp_path)
    # H0 ~ U(50, 100): half the width of the central 68 % of its logarithm is 0.23
    assert scores["targets"]["ln_d_dt"]["robust_scatter"] == pytest.approx(0.23, abs=0.05)


def test_a_population_without_such_systems_is_refused(population, tmp_path):
    # A source this near the centre of an isothermal lens always has two images at least.
    with pytest.raises(ValueError, match="no systems with 1 images"):
        train(population, tmp_path, images=1, architecture="dense")


# --- which settings a network uses

# Another value of every setting that decides what is learned, from what and how.
OTHERS = {
    "augment": "rotation",
    "use_delays": False,
    "distance_weight": 1.0,
    "guess_ellipticity": 0.2,
    "head": "gaussian",
    "components": 3,
    "width": 32,
    "blocks": 2,
    "max_systems": 40,
    "epochs": 4,
    "repeats": 2,
    "batch_size": 32,
    "learning_rate": 0.1,
    "schedule": "constant",
    "weight_decay": 0.1,
    "clip_norm": 3.0,
    "patience": 5,
    "checkpoint_seconds": 1,
    "seed": 2,
}
KEYS = experiments.schema("time_delay")["$defs"]["network"]["properties"]
# What is written of a network before one more setting is.
KINDS = {
    "dense": {"architecture": "dense", "images": 4},
    "point": {"images": 4},
    "gaussian": {"head": "gaussian", "images": 4},
    "mixture": {"head": "mixture", "images": 4},
    "mixture of doubles": {"head": "mixture", "images": 2},
}


class Caught(Exception):
    """What a training is given, before it begins."""


@pytest.fixture
def given(population, tmp_path, monkeypatch):
    """Return what the loop is given: weights, loss, examples of two epochs, its settings."""
    reads = set(re.findall(r'settings(?:\[|\.get\()"(\w+)"', inspect.getsource(loop.fit)))

    def catch(model, loss, draw, validation, settings, seed, *_):
        arrays = [*model.get_weights(), *draw(0), *draw(1), *validation]
        loss = loss if isinstance(loss, str) else loss.get_config()
        raise Caught(arrays, [loss, seed, {k: settings.get(k) for k in reads}])

    def train_until_it_begins(settings):
        monkeypatch.setattr(loop, "fit", catch)
        with pytest.raises(Caught) as caught:
            train(population, tmp_path, **settings)
        return caught.value.args

    return train_until_it_begins


def differ(one, other):
    (arrays, facts), (others, other_facts) = one, other
    if facts != other_facts or [x.shape for x in arrays] != [x.shape for x in others]:
        return True
    # to the last digits of a lens that was turned, of features in units of their spread
    return not all(np.allclose(x, y, atol=1e-3) for x, y in zip(arrays, others, strict=True))


def test_no_setting_of_a_network_is_forgotten_here():
    decide = {by for of in KEYS.values() for by in of.get("used_with", {})}
    decide |= {"train_on", "test_on", "observation", "tensorboard", "fold", "folds"}
    assert KEYS.keys() - decide <= OTHERS.keys() <= KEYS.keys()


@pytest.mark.parametrize("key", OTHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_refused_is_what_a_network_does_not_use(kind, key, given):
    written = KINDS[kind]
    value = "mixture" if OTHERS[key] == written.get(key) else OTHERS[key]
    # without noise, of which a lens that is turned draws other numbers
    noise = {} if key == "augment" else LABORATORY
    base = network_settings("time_delay", QUICK)
    base |= {"components": 2, "max_systems": 50, "observation": noise}
    uses_it = differ(given(base | written), given(base | written | {key: value}))

    mine = {**written, key: value, "train_on": "mine"}
    settings = {"networks": {"net": mine}, "populations": {"mine": {}}}
    with nullcontext() if uses_it else pytest.raises(ValueError, match=f"net: {key} would be"):
        checked.check_networks(settings, experiments.schema("time_delay"), "e")
