"""Training: repeatable, resumable after a kill, and loud when it fails."""

import csv
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from lensmill.learning import layers, models, posteriors, training  # noqa: E402

SETTINGS = {
    "epochs": 6,
    "batch_size": 32,
    "repeats": 1,
    "learning_rate": 3e-3,
    "weight_decay": 1e-4,
    "clip_norm": 1.0,
    "schedule": "cosine",
    "patience": 0,
    "checkpoint_seconds": 0,
}


class Killed(Exception):
    """Stands for SIGKILL: nothing after it runs."""


def examples(epoch, n=200):
    """Noise that is a function of the epoch, as in real training."""
    rng = np.random.default_rng([1, epoch])
    x = rng.normal(size=(n, 3)).astype(np.float32)
    return x, np.stack([x[:, 0] * x[:, 1], x[:, 2]], axis=1).astype(np.float32)


def fit(folder, draw=examples, identity="a", kind="residual", **settings):
    ones = [1.0] * 3
    standardise = layers.Standardise([0.0] * 3, ones, [-9.0] * 3, [9.0] * 3)
    if kind == "dense":  # batch normalisation and dropout have states of their own
        model, loss = models.dense(standardise, 3, 2, (16, 8), 0.1, 1e-4, seed=3), "mse"
    else:
        outputs = posteriors.outputs(2, 2)
        model, loss = models.residual(standardise, 3, outputs, 16, 1, 3), layers.MixtureLoss(2, 2)
    keras.utils.set_random_seed(3)
    rows = training.fit(
        model, loss, draw, examples(99), {**SETTINGS, **settings}, 5, folder, identity
    )
    return model, rows


def without_times(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def dies_in_epoch(number):
    def draw(epoch):
        if epoch == number:
            raise Killed
        return examples(epoch)

    return draw


@pytest.mark.parametrize("kind", ["residual", "dense"])
def test_a_killed_training_resumed_gives_the_same_network_bit_for_bit(tmp_path, kind):
    straight, rows = fit(tmp_path / "straight", kind=kind)
    with pytest.raises(Killed):
        fit(tmp_path / "killed", dies_in_epoch(3), kind=kind)
    assert len(list((tmp_path / "killed").iterdir())) == 1
    drawn = []
    resumed, again = fit(
        tmp_path / "killed", lambda epoch: drawn.append(epoch) or examples(epoch), kind=kind
    )
    assert drawn == [0, 3, 4, 5]  # the first for the number of rows
    assert without_times(again) == without_times(rows)
    for one, other in zip(straight.get_weights(), resumed.get_weights(), strict=True):
        assert np.array_equal(one, other)
    assert not (tmp_path / "killed").exists()


def test_a_checkpoint_of_other_settings_is_not_resumed(tmp_path):
    with pytest.raises(Killed):
        fit(tmp_path, dies_in_epoch(3), identity="a")
    drawn = []
    fit(tmp_path, lambda epoch: drawn.append(epoch) or examples(epoch), identity="b")
    assert drawn == [0, 1, 2, 3, 4, 5]


def test_an_unfinished_checkpoint_is_ignored(tmp_path):
    (tmp_path / "000004.part").mkdir()
    _, rows = fit(tmp_path)
    assert [row["epoch"] for row in rows] == list(range(6))


def fit_normalised(folder, watch=None, settle=0.5):
    """Train with batch normalisation that settles; return what the network answers, and itself."""
    keras.utils.set_random_seed(3)
    x = image = keras.Input((3,))
    x = layers.BatchNormalization(momentum=0.9)(keras.layers.Dense(8)(x))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.ReLU()(x)))
    settings = {**SETTINGS, "settle": settle, "ema": 0.9}
    draw = training.Epochs(examples, SETTINGS["batch_size"], 5)
    means, weights = [], []

    def note(row):
        means.append(model.layers[2].moving_mean.numpy().copy())
        weights.append(model.layers[1].kernel.numpy().copy())
        if watch is not None:
            watch(row)

    training.fit(model, "mse", draw, examples(99), settings, 5, folder, "a", None, note)
    return model, np.array(means), np.array(weights)


def test_statistics_are_held_in_the_last_epochs_and_weights_go_on(tmp_path):
    model, means, weights = fit_normalised(tmp_path / "a")
    assert (np.diff(means, axis=0)[:2] != 0).any(axis=1).all()
    assert (np.diff(means, axis=0)[2:] == 0).all()
    assert (np.diff(weights, axis=0) != 0).any(axis=(1, 2)).all()
    x = examples(7)[0]
    assert np.array_equal(model(x, training=True), model(x, training=False))
    model, means, _ = fit_normalised(tmp_path / "b", settle=0.0)
    assert (np.diff(means, axis=0) != 0).any(axis=1).all()
    assert not np.array_equal(model(x, training=True), model(x, training=False))


@pytest.mark.parametrize("killed", [1, 3])  # before and after the statistics are held
def test_a_training_that_settles_resumes_bit_for_bit(tmp_path, killed):
    def kill(row):
        if row["epoch"] == killed:
            raise Killed

    whole, _, _ = fit_normalised(tmp_path / "a")
    with pytest.raises(Killed):
        fit_normalised(tmp_path / "b", kill)
    resumed, _, _ = fit_normalised(tmp_path / "b")
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_the_network_has_the_weights_of_its_best_epoch(tmp_path):
    model, rows = fit(tmp_path, learning_rate=0.3, clip_norm=0.0, kind="dense")
    model.compile(loss="mse")
    loss = model.test_on_batch(*examples(99), return_dict=True)["loss"]
    assert float(loss) == pytest.approx(min(row["val_loss"] for row in rows), rel=1e-5)


def test_training_stops_when_it_no_longer_gets_better(tmp_path):
    def hopeless(epoch):
        x, y = examples(epoch)
        return x, np.random.default_rng(epoch).permutation(y * 10)

    _, rows = fit(tmp_path, hopeless, epochs=60, patience=3)
    assert len(rows) < 60
    losses = [row["val_loss"] for row in rows]
    assert int(np.argmin(losses)) == len(rows) - 4


def test_a_loss_that_is_not_finite_stops_training_with_the_epoch(tmp_path):
    def broken(epoch):
        x, y = examples(epoch)
        return x, y * (np.nan if epoch == 2 else 1)

    with pytest.raises(FloatingPointError, match="epoch 2"):
        fit(tmp_path, broken)


def test_rows_of_an_epoch_are_a_function_of_seed_and_epoch():
    one, other = (training.Epochs(examples, 32, 5) for _ in range(2))
    one.begin(1)
    one.begin(2)
    other.begin(2)
    assert np.array_equal(one.x, other.x)
    another = training.Epochs(examples, 32, 6)
    another.begin(2)
    assert not np.array_equal(one.x, another.x)


def test_a_ragged_last_batch_is_left_out():
    epochs = training.Epochs(examples, 64, 1)
    assert len(epochs) == 3
    assert all(len(epochs[i][0]) == 64 for i in range(3))


def test_features_and_targets_stay_together_when_shuffled():
    def draw(epoch):
        x = np.arange(100.0)[:, None]
        return x, 2 * x

    epochs = training.Epochs(draw, 10, 1, repeats=3)
    assert np.array_equal(epochs.y, 2 * epochs.x)
    assert np.array_equal(np.sort(epochs.x[:100, 0]), np.arange(100.0))
    assert len(epochs) == 30


def test_a_saved_model_predicts_the_same_and_knows_its_scaling(tmp_path):
    model, _ = fit(tmp_path / "c", epochs=1)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    x, _ = examples(7)
    assert np.array_equal(model.predict(x, verbose=0), again.predict(x, verbose=0))


def test_errors_beyond_those_of_training_count_as_the_largest_there():
    layer = layers.Standardise([1.0], [2.0], [0.0], [5.0])
    assert np.asarray(layer(np.array([[-3.0], [3.0], [50.0]]))).ravel() == pytest.approx(
        [-0.5, 1.0, 2.0]
    )


def test_the_study_networks_have_the_layers_of_the_study():
    weights = {}
    for k, inputs, outputs in ((1, 5, 3), (2, 8, 6), (4, 14, 12)):
        study = dict(models.STUDY[k])
        study.pop("learning_rate")
        wide = [0.0] * inputs
        standardise = layers.Standardise(wide, [1.0] * inputs, wide, wide)
        weights[k] = models.dense(standardise, inputs, outputs, **study, seed=0).count_params()
    # inputs x neurons + biases, four numbers of batch normalisation per hidden neuron
    assert weights[1] == (5 * 16 + 16) + (16 * 8 + 8) + (8 * 3 + 3) + 4 * 24
    assert weights[2] == (8 * 64 + 64) + (64 * 128 + 128) + (128 * 64 + 64) + 65 * 6 + 4 * 256
    assert weights[4] == (14 * 32 + 32) + (32 * 16 + 16) + (16 * 12 + 12) + 4 * 48


def test_no_file_appears_when_writing_fails(tmp_path):
    def half(part):
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        training.replace(tmp_path / "history.csv", half)
    assert list(tmp_path.iterdir()) == []


def test_the_history_is_a_table(tmp_path):
    _, rows = fit(tmp_path / "c", epochs=2)
    training.write_history(tmp_path / "history.csv", rows)
    with (tmp_path / "history.csv").open() as file:
        read = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in read] == [row["val_loss"] for row in rows]


@pytest.mark.slow
def test_a_training_killed_by_signal_resumes_to_the_same_bytes_of_weights(tmp_path):
    program = textwrap.dedent(
        """
        import os, sys, signal
        import numpy as np
        sys.path[:0] = sys.argv[3:]
        import test_learning_training as t
        def draw(epoch):
            if epoch == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            return t.examples(epoch)
        model, _ = t.fit(sys.argv[1] + "/c", draw)
        np.savez(sys.argv[1] + "/weights.npz", *model.get_weights())
        """
    )
    here = Path(__file__).parent
    paths = [str(here), str(here.parent / "src")]
    environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}

    def run(folder, dies):
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", program, str(folder), str(dies), *paths]
        return subprocess.run(command, env=environment, check=False).returncode

    assert run(tmp_path / "killed", 4) == -9
    state = json.loads(next((tmp_path / "killed" / "c").glob("*/state.json")).read_text())
    assert len(state["rows"]) == 4
    assert run(tmp_path / "killed", -1) == 0
    assert run(tmp_path / "straight", -1) == 0
    one, other = (np.load(tmp_path / name / "weights.npz") for name in ("killed", "straight"))
    assert all(np.array_equal(one[name], other[name]) for name in one.files)
