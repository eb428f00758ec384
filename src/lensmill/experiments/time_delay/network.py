"""Networks that read image positions and time delays of lensed quasars.

One network per number of images. `dense` sees the sky and gives {phi_i, alpha_i}, as in the study
we follow; `canonical` sees the canonical frame and gives what fixes {phi_i, alpha_i} and D_dt.
"""

import hashlib
import json
import logging
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from lensmill.experiments.time_delay import canonical, isothermal, observe, sky, transforms
from lensmill.experiments.time_delay.canonical import Answer
from lensmill.experiments.time_delay.observe import Observed, Truth
from lensmill.learning import posteriors
from lensmill.learning.backend import start_keras
from lensmill.pipeline import provenance, store

# Keras is imported where it is used: it takes seconds, and threads must be limited before.

log = logging.getLogger(__name__)

NO_LIMIT = 1e30
ROWS_AT_A_TIME = 8192
JUDGES = 10000  # validation systems that judge an epoch: enough to tell two epochs apart

DEFAULTS: dict[str, Any] = {
    "architecture": "canonical",
    "observation": {},
    "augment": "none",
    "use_delays": True,
    "guess_ellipticity": 0.0,
    "head": "point",
    "components": 1,
    "width": 128,
    "blocks": 3,
    "max_systems": 0,
    "fold": 0,
    "folds": 0,
    "epochs": 50,
    "repeats": 1,
    "batch_size": 512,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "weight_decay": 0.0,
    "clip_norm": 1.0,
    "patience": 0,
    "checkpoint_seconds": 20,
    "tensorboard": True,
    "seed": 1,
    # evaluation
    "samples": 500,
    "stored_samples": 500,
    "stored_systems": 500,
    "invariance_systems": 50,
}


class Network(NamedTuple):
    """A trained network and what its training recorded."""

    model: Any  # keras.Model
    training: dict[str, Any]


def train(
    dataset: str,
    split: str,
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    model: str,
    history: str,
    training: str,
    checkpoints: str,
) -> None:
    """Train one network and write it, its history and what is to be known about it.

    Parameters
    ----------
    dataset, split : path
        Simulated systems and their split: it trains on the first part, the second chooses the
        epoch, the third is not looked at.
    settings : mapping
        The network's settings; what is left out is in ``DEFAULTS``. ``observation`` is itself a
        mapping, the settings of `observe.perturb`, empty for none; noise is drawn afresh in every
        epoch.
    seed : int
        With ``settings["seed"]`` it fixes every random number.
    threads : int
        Threads of the backend.
    model, history, training : path
        Written: the Keras model, the history as CSV, and a JSON file with settings, scaling,
        number of weights, wall time, versions and threads. TensorBoard's event files go to a
        folder ``tensorboard`` beside the history.
    checkpoints : path
        Folder in which an interrupted training leaves its state, from which the same call goes on.
    """
    begun = time.monotonic()
    start_keras(threads)
    import keras

    from lensmill.learning import training as loop

    settings = {**DEFAULTS, **settings}
    observation = settings.pop("observation")
    seeds = [seed, settings["seed"]]
    keys = np.random.SeedSequence(seeds).generate_state(2)
    keras.utils.set_random_seed(int(keys[0]))
    facts = store.attributes(dataset)
    k = settings["images"]
    parts = [observe.from_simulated(dataset, split, part, k) for part in (0, 1)]
    if settings["folds"]:
        parts = _cut(parts, settings["fold"], settings["folds"])
    limit = settings["max_systems"] or None
    exact, truth = (observe.select(table, slice(limit)) for table in parts[0])
    draw = _drawing(exact, truth, settings, observation, int(keys[1]))
    held_out, held_truth = (observe.select(table, slice(JUDGES)) for table in parts[1])
    u = observe.noise_uniforms(seed, facts["experiment"], facts["population"], held_out.index, k)
    held_out = _observe(held_out, observation, u)
    rng = np.random.default_rng(keys)
    validation = _examples(held_out, held_truth, settings, observation, rng)

    features, targets = draw(0)
    scaling = {
        "features": _feature_scaling(features, _names(settings, observation)),
        "targets": _scaling(targets),
        "sky": _sky_scaling(truth),
    }
    log.info("%d systems to train on, %d features", *features.shape)
    network, loss, details = _build(settings, scaling, int(keys[0] % 2**20))
    code = provenance.digest("experiments/time_delay/network.py")
    what = [dict(settings), dict(observation), seeds, facts["content_digest"], code, threads]
    rows = loop.fit(
        network,
        loss,
        lambda epoch: _standardised(draw(epoch), scaling["targets"]),
        _standardised(validation, scaling["targets"]),
        {**settings, **details},
        int(keys[1]),
        checkpoints,
        hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest(),
        Path(history).parent / "tensorboard" if settings["tensorboard"] else None,
    )

    record = {
        "architecture": settings["architecture"],
        "images": k,
        "experiment": facts["experiment"],
        "population": facts["population"],
        "settings": {**settings, **details},
        "observation": dict(observation),
        "seed": seed,
        "features": _names(settings, observation),
        "standardisation": scaling,
        "systems": len(features),
        "parameters": int(network.count_params()),
        "epochs": len(rows),
        "best_epoch": int(np.argmin([row["val_loss"] for row in rows])),
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(time.process_time(), 1),  # of the job, imports included
        "threads": threads,
        "backend": keras.backend.backend(),
        "versions": {name: version(name) for name in ("keras", "tensorflow", "numpy")}
        | {"python": platform.python_version()},
        "dataset": facts["content_digest"],
    }
    Path(model).parent.mkdir(parents=True, exist_ok=True)
    loop.write_history(history, rows)
    loop.replace(model, lambda part: network.save(part))
    loop.replace(training, lambda part: part.write_text(json.dumps(record, indent=1)))
    log.info("%s: %d epochs in %.0f s", model, len(rows), record["seconds"])


def load(model: str, training: str, threads: int = 1) -> Network:
    """Read a trained network."""
    start_keras(threads)
    import keras

    import lensmill.learning.layers  # noqa: F401  (registers what the model is made of)

    network = keras.saving.load_model(model, compile=False)
    return Network(network, json.loads(Path(training).read_text()))


def predict(
    network: Network,
    observed: Observed,
    draws: int = 0,
    rng: np.random.Generator | None = None,
    rows: int = ROWS_AT_A_TIME,
) -> Answer:
    """Answer for each system: its posterior by samples, or one central answer.

    Parameters
    ----------
    network : Network
    observed : Observed
        Systems with the network's number of images.
    draws : int
        Samples of the posterior; 0, or a network that gives no errors: the mean in the network's
        targets, carried to the sky (last axis of length 1).
    rng : Generator
        Needed to draw.
    rows : int
        Systems that the network sees at a time. The last digits of an answer depend on it, and on
        the place of a system among them.
    """
    settings, observation = network.training["settings"], network.training["observation"]
    scaling = network.training["standardisation"]["targets"]
    features = _features(observed, settings, observation).astype(np.float32)
    outputs = np.asarray(network.model.predict(features, batch_size=rows, verbose=0))
    mean, scale = np.array(scaling["mean"]), np.array(scaling["scale"])
    if settings["head"] == "point":
        answers = outputs.astype(np.float64)[:, None]
    else:
        mixture = posteriors.unpack(outputs, settings["components"], len(mean))
        if draws:
            answers = posteriors.sample(mixture, draws, rng)
        else:
            answers = (mixture.weight[..., None] * mixture.mean).sum(axis=1)[:, None]
    answers = answers * scale + mean
    if settings["architecture"] == "dense":
        return sky.to_sky(answers, observed)
    return canonical.to_sky(answers, observed, _view(settings, observation))


def _cut(
    parts: list[tuple[Observed, Truth]], fold: int, folds: int
) -> list[tuple[Observed, Truth]]:
    """Pool the parts and cut them into folds, of which number ``fold`` of 1 ... judges."""
    if not 1 <= fold <= folds:
        raise ValueError(f"fold is {fold}, but must lie between 1 and folds = {folds}")
    pooled = [
        type(tables[0])(*map(np.concatenate, zip(*tables, strict=True)))
        for tables in zip(*parts, strict=True)
    ]
    n = len(pooled[0].index)
    if n < folds:
        raise ValueError(f"{n} systems cannot be cut into folds = {folds}; simulate more")
    chosen = list(KFold(folds, shuffle=True, random_state=0).split(np.arange(n)))[fold - 1]
    return [tuple(observe.select(table, rows) for table in pooled) for rows in chosen]


def _drawing(
    exact: Observed,
    truth: Truth,
    settings: Mapping[str, Any],
    observation: Mapping[str, Any],
    seed: int,
) -> Callable[[int], tuple[NDArray, NDArray]]:
    """Return the function that draws the examples of an epoch."""
    from lensmill.learning.training import NOISE

    augment = settings["augment"] == "rotation"
    if not observation and not augment:
        always = _examples(exact, truth, settings, observation, np.random.default_rng(seed))
        return lambda epoch: always

    def draw(epoch: int) -> tuple[NDArray, NDArray]:
        rng = np.random.Generator(np.random.Philox([seed, epoch, NOISE]))
        n, k = exact.delay.shape
        observed, answers = exact, truth
        if augment:
            # Inputs and targets turn together, or the network learns what is not true.
            matrix = transforms.rotation(rng.uniform(0, 2 * np.pi, n))
            observed = transforms.turned(observed, matrix)
            answers = transforms.turned_truth(truth, matrix)
        u = np.maximum(rng.random((n, observe.width(k))), 2.0**-54)
        observed = _observe(observed, observation, u)
        return _examples(observed, answers, settings, observation, rng)

    return draw


def _view(settings: Mapping[str, Any], observation: Mapping[str, Any]) -> canonical.View:
    return canonical.View(
        use_delays=settings["use_delays"],
        errors=bool(observation),
        ellipticity=max(settings["guess_ellipticity"], isothermal.ROUND),
    )


def _observe(exact: Observed, observation: Mapping[str, Any], u: NDArray) -> Observed:
    return observe.perturb(exact, observation, u) if observation else exact


def _examples(
    observed: Observed,
    truth: Truth,
    settings: Mapping[str, Any],
    observation: Mapping[str, Any],
    rng: np.random.Generator,
) -> tuple[NDArray, NDArray]:
    if settings["architecture"] == "dense":
        return sky.features(observed), sky.targets(truth)
    view = _view(settings, observation)
    a = canonical.arranged(observed, view)
    y = canonical.targets(observed, truth, view, a)
    if observation:
        y = canonical.blurred(y, a, rng)
    return canonical.features(observed, view, a), y


def _features(
    observed: Observed, settings: Mapping[str, Any], observation: Mapping[str, Any]
) -> NDArray:
    if settings["architecture"] == "dense":
        return sky.features(observed)
    return canonical.features(observed, _view(settings, observation))


def _names(settings: Mapping[str, Any], observation: Mapping[str, Any]) -> list[str]:
    if settings["architecture"] == "dense":
        return sky.feature_names(settings["images"])
    return canonical.feature_names(settings["images"], _view(settings, observation))


def _scaling(columns: NDArray) -> dict[str, list[float]]:
    scale = columns.std(axis=0)
    # A constant column says nothing; its scale must only not divide by zero.
    scale = np.where(scale > 1e-9 * np.abs(columns).max(axis=0), scale, 1.0)
    return {"mean": columns.mean(axis=0).tolist(), "scale": scale.tolist()}


def _feature_scaling(features: NDArray, names: list[str]) -> dict[str, list[float]]:
    """Also the range of errors in training, to which those of other data are clipped."""
    is_error = np.array(["error" in name for name in names])
    low = np.where(is_error, features.min(axis=0), -NO_LIMIT)
    high = np.where(is_error, features.max(axis=0), NO_LIMIT)
    return {**_scaling(features), "low": low.tolist(), "high": high.tolist()}


def _sky_scaling(truth: Truth) -> dict[str, dict[str, list[float]]]:
    """Mean and standard deviation of the study's targets: its unit of error."""
    return {
        "potential": _scaling(truth.potential),
        "deflection_x": _scaling(truth.deflection[..., 0]),
        "deflection_y": _scaling(truth.deflection[..., 1]),
        "ln_d_dt": _scaling(np.log(truth.d_dt)[:, None]),
    }


def _standardised(examples: tuple[NDArray, NDArray], scaling: Mapping) -> tuple[NDArray, NDArray]:
    features, targets = examples
    targets = (targets - np.array(scaling["mean"])) / np.array(scaling["scale"])
    return features.astype(np.float32), targets.astype(np.float32)


def _build(
    settings: Mapping[str, Any], scaling: Mapping[str, Any], seed: int
) -> tuple[Any, Any, dict[str, Any]]:
    """Return the model, its loss, and the settings that the architecture fixes."""
    from lensmill.learning import layers, models

    n_targets = len(scaling["targets"]["mean"])
    standardise = layers.Standardise(**scaling["features"])
    n_features = len(scaling["features"]["mean"])
    if settings["architecture"] == "dense":
        study = dict(models.STUDY[settings["images"]])
        # The study's own values: they are what makes it the baseline.
        details = {
            "learning_rate": study.pop("learning_rate"),
            "schedule": "constant",
            "weight_decay": 0.0,
            "clip_norm": 0.0,
            "head": "point",
        }
        network = models.dense(standardise, n_features, n_targets, **study, seed=seed)
        return network, "mse", details
    size = settings["width"], settings["blocks"]
    if settings["head"] == "point":
        return models.residual(standardise, n_features, n_targets, *size, seed), "mse", {}
    components = settings["components"] if settings["head"] == "mixture" else 1
    outputs = layers.mixture_outputs(components, n_targets)
    network = models.residual(standardise, n_features, outputs, *size, seed)
    if components > 1:
        models.spread_components(network, components, n_targets, seed)
    return network, layers.MixtureLoss(components, n_targets), {"components": components}
