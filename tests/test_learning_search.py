"""Workers share one study of hyper-parameters, may be killed, and find the best settings."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy
import yaml

from lensmill import experiments
from lensmill.learning import search
from lensmill.pipeline import store

pytest.importorskip("optuna")


@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, "connect")
def _do_not_wait_for_the_disk(connection, _record):
    connection.execute("PRAGMA synchronous = OFF")


SPACE = {"learning_rate": ["log_uniform", 1e-4, 1e-1], "width": ["choice", 4, 8]}
SEARCH = {"trials": 6, "workers": 2, "epochs": 4, "space": SPACE}
SETTINGS = {"architecture": "p4m", "epochs": 30, "augment": "dihedral"}
SETTINGS |= {"learning_rate": 1e-3, "width": 8}


class Finder:
    """Stands for a network: what a training would find is a formula of its settings."""

    def __init__(self):
        self.given = []
        self.killed_at = None

    def train(self, settings, training, watch, **options):
        """Report as a training of so many epochs would."""
        self.given.append({**settings, **options})
        if len(self.given) - 1 == self.killed_at:
            raise KeyboardInterrupt
        if settings["learning_rate"] > 5e-2:
            raise FloatingPointError("the loss is nan")
        value = 1 - abs(settings["learning_rate"] - 1e-2) - 0.01 * (settings["width"] == 4)
        for epoch in range(settings["epochs"]):
            watch({"epoch": epoch, "val_auroc": value - 0.1 / (1 + epoch)})
        Path(training).parent.mkdir(parents=True, exist_ok=True)
        Path(training).write_text(json.dumps({"val_auroc": value}))


@pytest.fixture
def finder(monkeypatch):
    found = Finder()
    monkeypatch.setattr(experiments, "load", lambda name, part: found)
    monkeypatch.setattr("keras.backend.clear_session", lambda: None)  # half a second each
    return found


def work(folder, worker=0, settings=SETTINGS, **changes):
    """Run a worker; return the name of its study."""
    dataset = folder / "dataset.h5"
    if not dataset.exists():
        store.write(dataset, {"systems": {}}, {"systems": {}}, {})
    output = folder / f"{worker}.json"
    search.search_worker(
        study=folder / "study.db",
        dataset=str(dataset),
        split="",
        experiment="lens_finding",
        settings=settings,
        search={**SEARCH, **changes},
        worker=worker,
        seed=1,
        threads=1,
        folder=folder / f"worker{worker}",
        output=output,
    )
    return json.loads(output.read_text())["study"]


def trials(folder, name):
    with search._open(folder / "study.db", name) as study:
        return study.trials


def states(folder, name):
    return [trial.state.name for trial in trials(folder, name)]


def test_a_study_has_as_many_trials_as_asked_for(finder, tmp_path):
    name = work(tmp_path)
    assert len(finder.given) == 6
    assert work(tmp_path) == name  # a second call finds them done
    assert len(finder.given) == 6
    assert set(states(tmp_path, name)) <= {"COMPLETE", "PRUNED"}


def test_more_trials_go_on_where_the_study_was(finder, tmp_path):
    name = work(tmp_path)
    assert work(tmp_path, trials=8, workers=1) == name
    assert len(finder.given) == 8
    tried = {given["learning_rate"] for given in finder.given}
    assert len(tried) == 8  # a worker that starts again does not draw the same numbers again


def test_settings_of_the_network_stay_but_for_those_searched(finder, tmp_path):
    work(tmp_path)
    for given in finder.given:
        assert (given["augment"], given["epochs"], given["seed"]) == ("dihedral", 4, 1)
        assert 1e-4 <= given["learning_rate"] <= 1e-1
        assert given["width"] in (4, 8)


def test_other_settings_are_another_study_in_the_same_file(finder, tmp_path):
    first = work(tmp_path)
    second = work(tmp_path, settings={**SETTINGS, "augment": "none"})
    third = work(tmp_path, epochs=5)
    assert len({first, second, third}) == 3
    assert len(trials(tmp_path, first)) == 6


def test_a_trial_that_was_killed_is_failed_and_tried_again(finder, tmp_path):
    finder.killed_at = 2
    with pytest.raises(KeyboardInterrupt):
        work(tmp_path)
    name = work(tmp_path)
    assert states(tmp_path, name).count("FAIL") == 1
    assert len(states(tmp_path, name)) == 7
    killed, again = finder.given[2], finder.given[3]
    assert killed == again


def test_settings_that_kill_twice_are_not_tried_a_third_time(finder, tmp_path):
    for finder.killed_at in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            work(tmp_path)
    name = work(tmp_path)
    assert finder.given[0] == finder.given[1] != finder.given[2]
    assert states(tmp_path, name).count("FAIL") == 2
    assert len(finder.given) == 2 + 6


def test_the_trial_of_a_worker_that_runs_is_left_alone(finder, tmp_path):
    finder.killed_at = 0
    with pytest.raises(KeyboardInterrupt):
        work(tmp_path, worker=1)
    name = work(tmp_path, worker=0)
    assert states(tmp_path, name)[0] == "RUNNING"
    assert len(finder.given) == 6  # five of its own, and the one that is still running
    work(tmp_path, worker=0, workers=1)  # now there is no worker 1
    assert states(tmp_path, name)[0] == "FAIL"
    assert finder.given[6] | {"checkpoints": 0} | dict.fromkeys(("model", "history"), 0) == (
        finder.given[0] | {"checkpoints": 0} | dict.fromkeys(("model", "history"), 0)
    )


def test_a_training_that_diverges_is_given_up_and_the_search_goes_on(finder, tmp_path):
    space = {**SPACE, "learning_rate": ["choice", 1e-2, 9e-2]}
    name = work(tmp_path, space=space)
    assert len(finder.given) == 6
    for trial in trials(tmp_path, name):
        diverged = trial.params["learning_rate"] == 9e-2
        assert trial.state.name == "PRUNED" or not diverged


def test_a_training_below_the_median_is_stopped(finder, tmp_path):
    name = work(tmp_path, trials=16)
    stopped = [t for t in trials(tmp_path, name) if t.state.name == "PRUNED"]
    stopped = [t for t in stopped if t.params["learning_rate"] < 5e-2]
    assert stopped
    for trial in stopped:
        assert trial.number >= search.UNPRUNED_TRIALS
        assert search.UNPRUNED_EPOCHS < len(trial.intermediate_values) <= 4


def test_workers_that_start_together_share_the_trials(tmp_path):
    here = Path(__file__)
    lines = f"""
import sys, time, types
sys.modules["keras"] = keras = types.ModuleType("keras")  # takes seconds to import
keras.backend = types.SimpleNamespace(clear_session=lambda: None)
sys.path[:0] = [{str(here.parent)!r}, {str(here.parents[1] / "src")!r}]
import {here.stem} as tests
from pathlib import Path
finder = tests.Finder()
tests.experiments.load = lambda name, part: finder
train = finder.train
finder.train = lambda **options: (time.sleep(0.05), train(**options))
tests.work(Path({str(tmp_path)!r}), worker=int(sys.argv[1]), trials=12)
print(len(finder.given))
"""
    store.write(tmp_path / "dataset.h5", {"systems": {}}, {"systems": {}}, {})
    command = [sys.executable, "-c", lines]
    both = [subprocess.Popen([*command, w], stdout=subprocess.PIPE, text=True) for w in "01"]
    ran = [int(process.communicate(timeout=120)[0]) for process in both]
    assert sum(ran) == 12
    assert min(ran) > 0
    (name,) = {json.loads((tmp_path / f"{w}.json").read_text())["study"] for w in "01"}
    assert sum(state != "FAIL" for state in states(tmp_path, name)) == 12


def test_the_summary_names_the_best_settings_in_the_place_they_belong(finder, tmp_path):
    work(tmp_path)
    table, best = tmp_path / "trials.csv", tmp_path / "best.yaml"
    workers = [str(tmp_path / "0.json")]
    search.summarise_search(tmp_path / "study.db", workers, "lens_finding", "p4m", table, best)
    rows = pd.read_csv(table)
    assert len(rows) == 6
    assert set(rows["state"]) <= {"complete", "pruned"}
    first = rows[rows["state"] == "complete"].sort_values("val_auroc").iloc[-1]
    won = yaml.safe_load(best.read_text())["experiments"]["lens_finding"]["networks"]["p4m"]
    assert won == {"learning_rate": pytest.approx(first["learning_rate"]), "width": first["width"]}
    assert f"{first['val_auroc']:.5f}" in best.read_text()


def test_a_summary_of_nothing_but_given_up_trials_is_refused(finder, tmp_path):
    work(tmp_path, space={"learning_rate": ["uniform", 0.06, 0.09], "width": ["choice", 4]})
    with pytest.raises(ValueError, match="none of 6 trials"):
        search.summarise_search(
            tmp_path / "study.db",
            [str(tmp_path / "0.json")],
            "e",
            "n",
            tmp_path / "t",
            tmp_path / "b",
        )


def test_workers_of_different_studies_are_not_summarised_together(finder, tmp_path):
    work(tmp_path, worker=0)
    work(tmp_path, worker=1, epochs=9)
    workers = [str(tmp_path / "0.json"), str(tmp_path / "1.json")]
    with pytest.raises(ValueError, match="different studies"):
        search.summarise_search(
            tmp_path / "study.db", workers, "e", "n", tmp_path / "t", tmp_path / "b"
        )


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"learning_rat": ["uniform", 0, 1]}, "did you mean 'learning_rate'"),
        ({"width": ["choice"]}, "at least one value"),
        ({"width": ["uniform", 3, 3]}, "the lower one first"),
        ({"width": ["uniform", 3]}, "needs two numbers"),
        ({"width": ["log_uniform", 0, 3]}, "must stay above 0"),
        ({"width": ["normal", 0, 3]}, "'normal' is no kind of range"),
    ],
)
def test_a_space_that_is_none_is_refused_before_the_first_trial(finder, tmp_path, space, message):
    with pytest.raises(ValueError, match=message):
        work(tmp_path, space=space)
    assert finder.given == []


def test_an_experiment_without_classes_is_searched_by_its_loss(finder, tmp_path, monkeypatch):
    def train(settings, training, watch, **options):
        loss = abs(settings["learning_rate"] - 1e-2)
        watch({"epoch": 0, "val_loss": loss})
        Path(training).parent.mkdir(parents=True, exist_ok=True)
        Path(training).write_text(json.dumps({"val_loss": loss, "val_rmse": 1.0}))

    monkeypatch.setattr(finder, "train", train)
    work(tmp_path)
    files = [tmp_path / name for name in ("trials.csv", "best.yaml")]
    search.summarise_search(tmp_path / "study.db", [str(tmp_path / "0.json")], "e", "n", *files)
    rows = pd.read_csv(files[0])
    rows = rows[rows["state"] == "complete"]
    assert rows["val_loss"].tolist() == pytest.approx(abs(rows["learning_rate"] - 1e-2))
    best = yaml.safe_load(files[1].read_text())["experiments"]["e"]["networks"]["n"]
    first = rows.sort_values("val_loss").iloc[0]
    assert best["learning_rate"] == pytest.approx(first["learning_rate"])


def test_the_finder_takes_what_a_search_gives():
    import inspect

    from lensmill.experiments.lens_finding import network

    given = {"dataset", "split", "settings", "seed", "threads", "model", "history", "training"}
    given |= {"checkpoints", "watch"}
    assert given == inspect.signature(network.train).parameters.keys() & given
