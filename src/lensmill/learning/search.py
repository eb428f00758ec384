"""Search for hyper-parameters: trials of short trainings, shared by workers through one study.

A worker is a job. Workers know of each other only through the study, an Optuna database in SQLite:
any number of them may run at once, stop, be killed and start again. Which settings are tried
depends on which trials were finished before, so with several workers it is not repeatable; what a
trial finds is, as every training.
"""

import contextlib
import csv
import fcntl
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lensmill import experiments
from lensmill.learning.backend import start_keras
from lensmill.pipeline import provenance, store

# Keras and Optuna are imported where they are used: threads must be limited before.

log = logging.getLogger(__name__)

# What a trial is worth, of the epoch that a training keeps: the first of these that its validation
# gives; larger is better, but for those of the second line.
OBJECTIVES = ("val_auroc", "val_accuracy", "val_nmad", "val_loss")
SMALLER_IS_BETTER = ("val_nmad", "val_loss")
BUSY_SECONDS = 120  # that a worker waits for another that writes to the database
KINDS = ("uniform", "log_uniform", "choice")
UNPRUNED_TRIALS = 5  # before medians mean anything
UNPRUNED_EPOCHS = 1  # a fast start is no merit


def search_worker(
    study: str | Path,
    dataset: str,
    split: str,
    experiment: str,
    settings: Mapping[str, Any],
    search: Mapping[str, Any],
    worker: int,
    seed: int,
    threads: int,
    folder: str | Path,
    output: str | Path,
) -> None:
    """Run trials until the study has as many as asked for.

    A trial that this worker ran when it was killed, or that one ran of which there is none any
    more, is marked as failed and its settings are tried again, once; the training goes on from its
    checkpoint.

    Parameters
    ----------
    study : path
        The SQLite file; made if need be. Trials of other settings, data or code may be in it: they
        are other studies.
    dataset, split : path
        What is trained on.
    experiment : str
        Whose ``network.train`` is called, with ``watch``: a function that is given each row of the
        history and may raise.
    settings : mapping
        All of the network; those that are searched are put over them.
    search : mapping
        ``trials`` (finished or pruned, in all), ``workers``, ``epochs`` of each, and ``space``: a
        list per setting, ``[uniform, low, high]``, ``[log_uniform, low, high]`` or
        ``[choice, value, value, ...]``.
    worker : int
        Number of this worker, 0 ... ``workers`` - 1; no other that runs has it.
    seed, threads : int
        As for training: all trials start from the same random numbers.
    folder : path
        Where trials of this worker leave what they write; removed after each.
    output : path
        Written (JSON): ``study``, the name of the study in the file, and ``trials``, how many this
        worker ran.
    """
    start_keras(threads)
    import keras
    import optuna

    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    network = experiments.load(experiment, "network")
    settings = {**settings, "epochs": search["epochs"], "tensorboard": False}
    refuse_space(search["space"], settings, f"searches of {experiment}")
    code = provenance.digest(f"experiments/{experiment}/network.py")
    what = [settings, search["space"], store.attributes(dataset)["content_digest"], seed, code]
    name = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    folder = Path(folder)
    # A fit that has no epochs (scikit-learn) is a trial as it is: none is given up before its end.
    model = folder / f"model{experiments.look_up(experiment, 'suffix')(settings)}"
    ran = 0
    with _open(study, name) as trials:
        _requeue(trials, worker, search["workers"])
        # New numbers at every start: else a worker that is resumed would draw the same trials again
        begun = len(trials.trials)
        key = np.random.SeedSequence([seed, worker, begun]).generate_state(1)
        trials.sampler = optuna.samplers.TPESampler(seed=int(key[0]), constant_liar=True)
        while (trial := _next(trials, search["trials"], worker)) is not None:
            chosen = {key: _suggest(trial, key, of) for key, of in search["space"].items()}
            log.info("trial %d: %s", trial.number, chosen)

            def watch(row: Mapping[str, float], trial: optuna.Trial = trial) -> None:
                trial.report(merit(row)[1], int(row["epoch"]))
                if trial.should_prune():
                    raise optuna.TrialPruned

            try:
                network.train(
                    dataset=dataset,
                    split=split,
                    settings={**settings, **chosen},
                    seed=seed,
                    threads=threads,
                    model=str(model),
                    history=str(folder / "history.csv"),
                    training=str(folder / "training.json"),
                    checkpoints=str(folder / "checkpoints"),
                    watch=watch,
                )
            except (optuna.TrialPruned, FloatingPointError) as error:
                log.info("trial %d is given up: %s", trial.number, error or "below the median")
                trials.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                name_, value = merit(json.loads((folder / "training.json").read_text()))
                log.info("trial %d: %s = %.5f", trial.number, name_, abs(value))
                trial.set_user_attr("objective", name_)
                trials.tell(trial, value)
            shutil.rmtree(folder, ignore_errors=True)
            keras.backend.clear_session()  # what is left of a network would pile up
            ran += 1
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(json.dumps({"study": name, "trials": ran}))


def summarise_search(
    study: str | Path,
    workers: list[str],
    experiment: str,
    network: str,
    table: str | Path,
    best: str | Path,
) -> None:
    """Write the trials of a study and the settings of the best.

    Parameters
    ----------
    study : path
    workers : list of path
        What the workers wrote.
    experiment, network : str
        Where in the configuration the settings belong.
    table : path
        Written: CSV, one row per trial.
    best : path
        Written: YAML, to be pasted into the configuration or given to Snakemake as
        ``--configfile``.

    Raises
    ------
    ValueError
        If the workers ran different studies, or no trial came to its end.
    """
    import optuna

    names = {json.loads(Path(worker).read_text())["study"] for worker in workers}
    if len(names) > 1:
        raise ValueError(
            f"the workers of {study} ran different studies, {sorted(names)}: settings, data or "
            "code changed between them; run them again (snakemake --forcerun search_worker)"
        )
    with _open(study, names.pop()) as trials:
        found = trials.trials
        keys = sorted({key for trial in found for key in trial.params})
        ended = [t for t in found if t.state == optuna.trial.TrialState.COMPLETE]
        objective = ended[0].user_attrs["objective"] if ended else OBJECTIVES[0]
        with Path(table).open("w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["trial", "state", objective, "epochs", "seconds", "worker", *keys])
            for trial in found:
                seconds = trial.duration.total_seconds() if trial.duration else ""
                rows.writerow(
                    [
                        trial.number,
                        trial.state.name.lower(),
                        "" if trial.value is None else _number(objective, trial.value),
                        len(trial.intermediate_values),
                        seconds,
                        trial.user_attrs.get("worker", ""),
                        *(trial.params.get(key, "") for key in keys),
                    ]
                )
        if not ended:
            raise ValueError(
                f"{study}: none of {len(found)} trials came to its end; narrow the space, in "
                "particular learning_rate, or ask for more trials"
            )
        won = max(ended, key=lambda trial: trial.value)
    heading = (
        f"# The best of {len(found)} trials of {network}, number {won.number}: {objective} "
        f"{_number(objective, won.value):.5f}, {len(ended)} ran to their end.\n"
    )
    settings = {"experiments": {experiment: {"networks": {network: won.params}}}}
    Path(best).write_text(heading + yaml.safe_dump(settings, sort_keys=True))
    log.info("%s", heading.strip())


def merit(row: Mapping[str, Any]) -> tuple[str, float]:
    """Return the objective of a row of the history, or of a record: its name, and what to maximise.

    What is better when it is smaller is maximised with its sign turned.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not (names := [name for name in OBJECTIVES if name in row]):
        raise ValueError(
            f"nothing to compare trials by: a training must say one of {', '.join(OBJECTIVES)} of "
            "its validation part (lensmill.learning.runs.Fit.validate); this network cannot be "
            "searched"
        )
    return names[0], _number(names[0], row[names[0]])


def _number(objective: str, value: float) -> float:
    """Turn the sign of what is better when it is smaller."""
    return -value if objective in SMALLER_IS_BETTER else value


def refuse_space(space: Mapping[str, list], known: Mapping[str, Any], where: str) -> None:
    """Raise if a setting does not exist, or its range is none.

    Parameters
    ----------
    space : mapping
        As in `search_worker`.
    known : mapping
        The settings that there are.
    where : str
        How messages name the search.
    """
    for key, (kind, *p) in space.items():
        place = f"{where}: space.{key}"
        if key not in known:
            near = get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
            raise ValueError(f"{place} is no setting of the network; {hint}")
        if kind not in KINDS:
            raise ValueError(f"{place}: {kind!r} is no kind of range; there are {', '.join(KINDS)}")
        if kind == "choice":
            if not p:
                raise ValueError(f"{place}: [choice] needs at least one value")
            continue
        if len(p) != 2 or not all(isinstance(x, int | float) for x in p) or not p[0] < p[1]:
            raise ValueError(f"{place}: {[kind, *p]} needs two numbers, the lower one first")
        if kind == "log_uniform" and p[0] <= 0:
            raise ValueError(f"{place}: {[kind, *p]} reaches down to {p[0]}; it must stay above 0")


def _suggest(trial: Any, key: str, of: list) -> Any:
    kind, *p = of
    if kind == "choice":
        return trial.suggest_categorical(key, p)
    return trial.suggest_float(key, *p, log=kind == "log_uniform")


@contextlib.contextmanager
def _open(path: str | Path, name: str) -> Iterator[Any]:
    """Open a study of a file, and close the file afterwards."""
    import optuna
    from sqlalchemy.engine import URL

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    url = URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
    with path.with_suffix(".lock").open("w") as lock:
        # Two workers that start together would both make the tables.
        fcntl.flock(lock, fcntl.LOCK_EX)
        storage = optuna.storages.RDBStorage(
            url, engine_kwargs={"connect_args": {"timeout": BUSY_SECONDS}}
        )
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(UNPRUNED_TRIALS, UNPRUNED_EPOCHS),
        )
    try:
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _requeue(study: Any, worker: int, workers: int) -> None:
    """Fail trials that no one runs any more, and queue their settings, once."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        of = trial.user_attrs.get("worker")
        if of is None or worker != of < workers:
            continue
        log.info("trial %d was running when worker %d was killed", trial.number, of)
        study.tell(trial.number, state=TrialState.FAIL)
        if not trial.user_attrs.get("again"):
            study.enqueue_trial(trial.params, user_attrs={"again": True})


def _next(study: Any, wanted: int, worker: int) -> Any:
    """Return a trial to run, or none if the study has as many as are wanted."""
    from optuna.trial import TrialState

    idle = (TrialState.FAIL, TrialState.WAITING)
    if sum(t.state not in idle for t in study.get_trials(deepcopy=False)) >= wanted:
        return None
    trial = study.ask()
    trial.set_user_attr("worker", worker)
    # Numbers are given one after the other, so of two workers only one takes the last trial.
    before = study.get_trials(deepcopy=False)[: trial.number]
    if sum(t.state != TrialState.FAIL for t in before) < wanted:
        return trial
    study.tell(trial.number, state=TrialState.FAIL)
    return None
