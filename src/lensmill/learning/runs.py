"""One training from data to files, and the trained network read again: Keras or scikit-learn.

What an experiment has of its own comes from its function ``prepare``; what is the same for all is
here: threads, random numbers, checkpoints, precision, the record and how files are written.
"""

import hashlib
import json
import logging
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lensmill.learning.backend import start_keras
from lensmill.pipeline import provenance, store

# Keras is imported where it is used: it takes seconds, and threads must be limited before.

log = logging.getLogger(__name__)

SKOPS = ".skops"  # suffix of a model of scikit-learn
# What a .skops file may hold beyond what skops itself trusts (numpy, scipy, public estimators of
# scikit-learn): the private parts of these estimators. They hold numbers and run nothing.
TRUSTED = (
    "_loss.CyHalfMultinomialLoss",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.AbsoluteError",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss.loss.PinballLoss",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.utils._bunch.Bunch",  # a dict, of estimators that are looked at like all others
)


class Network(NamedTuple):
    """A trained network and what its training recorded."""

    model: Any  # keras.Model, or an estimator of scikit-learn
    training: dict[str, Any]


class Keys(NamedTuple):
    """The random numbers of a training: all it does follows from them."""

    first: int  # weights
    second: int  # order of rows, noise


class Training(NamedTuple):
    """What is particular about the training of one Keras model."""

    build: Callable[[], Any]  # gives the model, under whichever precision is set
    loss: Any  # of Keras
    epochs: Any  # `training.Epochs`, or ``draw(epoch)``, which gives features and targets
    validation: Any  # features and targets, or ``validation(model)``; see `training.fit`
    settings: Mapping[str, Any]  # of the loop, with what the architecture fixes
    record: Mapping[str, Any]  # what else is to be known about it
    # What is learned of the validation part when the weights are, by the names of the record.
    finish: Callable[[Any], Mapping[str, Any]] | None = None


class Fit(NamedTuple):
    """What is particular about an estimator of scikit-learn."""

    fit: Callable[[], Any]  # gives the fitted estimator
    settings: Mapping[str, Any]
    record: Mapping[str, Any]
    # What of the validation part is to be known, ``val_...``: what a search compares.
    validate: Callable[[Any], Mapping[str, float]] | None = None


Prepare = Callable[[Any, Any, Mapping[str, Any], int, Keys], Training | Fit]


def train(
    prepare: Prepare,
    dataset: str | list[str],
    split: str | list[str],
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    model: str,
    history: str | None,
    training: str,
    checkpoints: str | None,
    watch: Callable[[dict[str, float]], None] | None = None,
) -> None:
    """Train one network and write it, its history and its record, each whole or not at all.

    Parameters
    ----------
    prepare : callable
        ``prepare(dataset, split, settings, seed, keys)``, called when Keras has its threads and its
        seed: returns a `Training`, or for a model named ``.skops`` a `Fit`.
    dataset, split : path, or list of path
        Systems and their split: it trains on the first part, the second chooses the epoch, the
        third is not looked at. Lists where several populations are learned from, in the order of
        ``train_on``, with ``settings["shares"]``; of a network that learns from what another says
        of them, the files with that are ``settings["teacher"]``.
    settings : mapping
        All settings of the network.
    seed : int
        With ``settings["seed"]`` it fixes every random number.
    threads : int
        Threads of the backend.
    model, training : path
        Written: the model (Keras: in 32 bits, whatever it was trained in), and a JSON file with
        experiment, population, settings, number of weights, wall time, versions and threads.
    history : path or None
        Written: the epochs as CSV; None where there are none. TensorBoard's event files go to a
        folder ``tensorboard`` beside it.
    checkpoints : path
        Folder in which an interrupted training leaves its state, from which the same call goes on.
    watch : callable, optional
        Is given each row of the history as it comes; what it raises ends the training.
    """
    begun = time.monotonic()
    seeds = [seed, settings["seed"]]
    keys = Keys(*(int(key) for key in np.random.SeedSequence(seeds).generate_state(2)))
    several, splits = ([*x] if isinstance(x, list) else [x] for x in (dataset, split))
    dataset, split = (x[0] if len(x) == 1 else x for x in (several, splits))
    facts, *others = map(store.attributes, several)
    if Path(model).suffix == SKOPS:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(threads):
            plan = prepare(dataset, split, settings, seed, keys)
            fitted = plan.fit()
            found: dict[str, Any] = dict(plan.validate(fitted)) if plan.validate else {}
        packages = ("scikit-learn", "skops", "numpy")
    else:
        start_keras(threads)
        import keras

        keras.utils.set_random_seed(keys.first)
        plan = prepare(dataset, split, settings, seed, keys)
        code = provenance.digest(f"experiments/{facts['experiment']}/network.py")
        digests = [facts["content_digest"], store.attributes(splits[0])["content_digest"], code]
        teachers = settings.get("teacher", [])
        teachers = teachers if isinstance(teachers, list) else [teachers]
        more = several[1:] + splits[1:] + teachers
        digests += [store.attributes(path)["content_digest"] for path in more]
        what = [dict(settings), seeds, *digests, threads]
        fitted, rows, found = _fit(plan, keys, history, checkpoints, what, watch)
        packages = ("keras", "tensorflow", "numpy")
    record = {
        "experiment": facts["experiment"],
        "population": facts["population"],
        "settings": dict(plan.settings),
        "seed": seed,
        **plan.record,
        **found,
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(time.process_time(), 1),  # of the job, imports included
        "threads": threads,
        "versions": {name: version(name) for name in packages}
        | {"python": platform.python_version()},
        "dataset": facts["content_digest"],
    }
    if others:
        record["populations"] = [one["population"] for one in (facts, *others)]
        record["datasets"] = [one["content_digest"] for one in (facts, *others)]
    Path(model).parent.mkdir(parents=True, exist_ok=True)
    if Path(model).suffix == SKOPS:
        save_estimator(fitted, model)
    else:
        from lensmill.learning.training import write_history

        write_history(history, rows)
        replace(model, lambda part: fitted.save(part))
    replace(training, lambda part: part.write_text(json.dumps(record, indent=1)))
    log.info("%s: %.0f s", model, record["seconds"])


def _fit(
    plan: Training,
    keys: Keys,
    history: str,
    checkpoints: str,
    what: list[Any],
    watch: Callable | None,
) -> tuple[Any, list[dict[str, float]], dict[str, Any]]:
    """Return the trained Keras model in 32 bits, its history, and what the record says of both."""
    import keras

    from lensmill.learning import devices
    from lensmill.learning import training as loop

    def build(policy: str) -> Any:
        keras.config.set_dtype_policy(policy)
        try:
            return plan.build()
        finally:
            keras.config.set_dtype_policy("float32")

    network = build(devices.precision(plan.settings.get("mixed_precision", False)))
    what = [*what, network.dtype_policy.name]
    rows = loop.fit(
        network,
        plan.loss,
        plan.epochs,
        plan.validation,
        plan.settings,
        keys.second,
        checkpoints,
        hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest(),
        Path(history).parent / "tensorboard" if plan.settings["tensorboard"] else None,
        watch,
    )
    # Tested and kept in 32 bits, on whatever device: 16 would cost the symmetry and the tails.
    saved = build("float32")
    saved.set_weights(network.get_weights())
    best = min(rows, key=lambda row: row["val_loss"])
    added = [key for key in best if key not in ("epoch", "loss", "learning_rate", "seconds")]
    found = {
        "parameters": int(saved.count_params()),
        "epochs": len(rows),
        "best_epoch": best["epoch"],
        # Of the epoch that is kept; what is measured of the training itself, in the median.
        **{
            key: best[key] if key.startswith("val_") else statistics.median(r[key] for r in rows)
            for key in added
        },
        "precision": network.dtype_policy.name,
        "backend": keras.backend.backend(),
    }
    if plan.finish:
        found |= plan.finish(saved)
    return saved, rows, found


def load(model: str, training: str, threads: int = 1) -> Network:
    """Read a trained network: ``.keras``, or ``.skops`` if nothing in it is beyond `TRUSTED`.

    Raises
    ------
    ValueError
        If a ``.skops`` file holds types that are not known to be harmless.
    """
    record = json.loads(Path(training).read_text())
    if Path(model).suffix == SKOPS:
        return Network(load_estimator(model), record)
    start_keras(threads)
    import keras

    # They register what the models are made of.
    from lensmill.learning import equivariant, layers, polar, steerable, stretch  # noqa: F401

    return Network(keras.saving.load_model(model, compile=False), record)


def save_estimator(estimator: Any, path: str | Path) -> None:
    """Write an estimator of scikit-learn as ``.skops``, whole or not at all; never a pickle.

    Raises
    ------
    ValueError
        If it holds types that `load_estimator` would refuse: found before, not after, the training
        is used.
    """
    from skops import io

    _refuse_types(io.get_untrusted_types(data=(content := io.dumps(estimator))), path)
    replace(path, lambda part: part.write_bytes(content))


def load_estimator(path: str | Path) -> Any:
    """Read an estimator of scikit-learn from a ``.skops`` file.

    Raises
    ------
    ValueError
        If the file holds types beyond `TRUSTED`: it could run what it likes.
    """
    from skops import io

    content = Path(path).read_bytes()
    _refuse_types(unknown := io.get_untrusted_types(data=content), path)
    return io.loads(content, trusted=unknown)


def _refuse_types(unknown: list[str], path: str | Path) -> None:
    """Raise if there are types that are not in `TRUSTED`."""
    if foreign := sorted({*unknown} - {*TRUSTED}):
        raise ValueError(
            f"{path} holds types that are not known to be harmless: {', '.join(foreign)}; train it "
            "with this pipeline, with an estimator of scikit-learn that has no others "
            "(lensmill.learning.runs.TRUSTED lists what is permitted)"
        )


def replace(path: str | Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a file in the same folder that takes the name when it is complete."""
    path = Path(path)
    part = path.with_name(f".part.{path.name}")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
