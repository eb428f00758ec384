"""Networks that read image positions and time delays of lensed quasars.

One network per number of images. `dense` sees the sky and gives {phi_i, alpha_i}, as in the study
we follow; `canonical` sees the canonical frame and gives what fixes {phi_i, alpha_i} and D_dt.
"""

import functools
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.time_delay import observe, predictions, transforms
from lensmill.experiments.time_delay.canonical import Answer, Canonical
from lensmill.experiments.time_delay.observe import Observed, Truth
from lensmill.experiments.time_delay.sky import Dense
from lensmill.learning import calibration, posteriors, regression, runs, tables
from lensmill.learning.runs import Network, load  # noqa: F401  (`load` is part of the contract)
from lensmill.pipeline import logs, provenance, splits, store

log = logging.getLogger(__name__)

ARCHITECTURES = {"dense": Dense, "canonical": Canonical}
NO_LIMIT = 1e30
ROWS_AT_A_TIME = 8192
SYSTEMS_AT_A_TIME = 1000  # bounds the memory that draws of the posterior take
VALIDATED = 10000  # systems of the validation set: enough to tell two epochs apart


def predict(
    network: Network,
    dataset: str,
    split: str | None,
    settings: Mapping[str, Any],
    seed: int,
    output: str,
    name: str,
    population: str,
) -> None:
    """Predict the test systems of a population, or all systems of an ingested one.

    Parameters
    ----------
    network : Network
        As `load` gives it.
    dataset : path
        The population.
    split : path or None
        Its split, of which the test part is used; None for an ingested population.
    settings : mapping
        ``samples`` of the posterior drawn per system, ``stored_samples`` kept per system, and
        ``stored_systems``, for how many simulated systems they are kept (all ingested ones, for
        which enough are drawn).
    seed : int
        Fixes the noise of simulated systems, the same for all networks, and the draws.
    output : path
        Written (HDF5): tables ``systems``, ``images`` and ``samples``, see `predictions.UNITS`, and
        of a network that claims errors ``calibration`` and ``features`` of the first systems.
        What is predicted is the median of the posterior, its error half the central 68 %: where
        D_dt is hardly known the potential has long tails, and their mean means nothing.
    name, population : str
        Of the network and of the population.
    """
    record = network.training
    k, observation = record["images"], record["observation"]
    experiment = record["experiment"]
    if split is None:
        observed, truth = observe.from_ingested(dataset, k)
    else:
        observed, truth = observe.from_simulated(dataset, split, splits.TEST, k)
        if observation:
            u = observe.noise_uniforms(seed, experiment, population, observed.index, k)
            observed = observe.perturb(observed, observation, u)
    log.info("%d systems with %d images", len(observed.index), k)
    facts = {"network": name, "population": population, "images": k}
    if not len(observed.index):  # a table of real systems need not have this number of images
        empty = {"systems": {"index": observed.index, "n_images": observed.index}}
        store.write(output, empty, predictions.UNITS, facts)
        return

    architecture = _architecture(record["settings"], observation)
    draws = settings["samples"] if split else max(settings["samples"], settings["stored_samples"])
    if record["settings"]["head"] == "point":
        draws = 0
    kept_systems = len(observed.index) if split is None else settings["stored_systems"]
    rng = np.random.Generator(np.random.Philox([seed, record["settings"]["seed"], 2]))
    # Of its own, so that no draw hangs on what is judged.
    chance = np.random.Generator(np.random.Philox([seed, record["settings"]["seed"], 3]))
    parts, kept, judged, density_rank = [], [], [], []
    seconds = 0.0  # of predicting, without the judging
    for first in logs.progress(range(0, len(observed.index), SYSTEMS_AT_A_TIME), "predicting"):
        rows = slice(first, first + SYSTEMS_AT_A_TIME)
        begun = time.monotonic()
        some = observe.select(observed, rows)
        outputs = _outputs(network.model, architecture.features(some))
        answers = regression.sample(outputs, architecture.head, draws, rng)
        given = _to_sky(network, architecture, answers, some)
        true = observe.select(truth, rows)
        parts.append(predictions.summary(given, true))
        seconds += time.monotonic() - begun
        if draws and first < predictions.JUDGED_SYSTEMS:
            judged.append(predictions.judged_draws(given))
            if split:
                ranked = (architecture, some, true, outputs, answers, chance)
                density_rank.append(_density_ranks(network, *ranked))
        room = max(kept_systems - first, 0)
        if draws and room:
            kept.append(Answer(*(x[:room, ..., : settings["stored_samples"]] for x in given)))
    summary = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    columns = predictions.tables(observed, truth, summary)
    if kept:
        columns["samples"] = predictions.samples(kept)
    if judged:
        few = slice(predictions.JUDGED_SYSTEMS)
        some, true = (observe.select(table, few) for table in (observed, truth))
        features = architecture.features(some)
        columns |= _judge(network, some, true, features, judged, density_rank, chance)
    attributes = provenance.attributes(
        {key: settings[key] for key in ("samples", "stored_samples", "stored_systems")},
        **facts,
        experiment=experiment,
        seed=seed,
        draws=draws,
        observation=json.dumps(observation, sort_keys=True),
        dataset=store.attributes(dataset)["content_digest"],
        seconds=round(seconds, 2),
        target_scaling=json.dumps(record["standardisation"]["sky"]),
    )
    # Samples are rows of systems or of images: their columns differ in length.
    store.write_parts(output, [columns], predictions.UNITS, attributes)


def answer(
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
    record = network.training
    architecture = _architecture(record["settings"], record["observation"])
    outputs = _outputs(network.model, architecture.features(observed), rows)
    answers = regression.sample(outputs, architecture.head, draws, rng)
    return _to_sky(network, architecture, answers, observed)


def _outputs(model: Any, features: NDArray, rows: int = ROWS_AT_A_TIME) -> NDArray:
    return np.asarray(model.predict(features.astype(np.float32), batch_size=rows, verbose=0))


def _to_sky(
    network: Network, architecture: Dense | Canonical, answers: NDArray, observed: Observed
) -> Answer:
    scaling = network.training["standardisation"]["targets"]
    return architecture.to_sky(tables.restore(answers, scaling), observed)


def _density_ranks(
    network: Network,
    architecture: Dense | Canonical,
    observed: Observed,
    truth: Truth,
    outputs: NDArray,
    answers: NDArray,
    rng: np.random.Generator,
) -> NDArray:
    """Rank of the truth by its density where the network answers; blurred as what it learned."""
    _, true = architecture.examples(observed, truth, rng)
    true = tables.standardise(true, network.training["standardisation"]["targets"])
    head = architecture.head
    mixture = posteriors.unpack(outputs, head.components, head.targets)
    of_draws = posteriors.log_densities(mixture, answers[:, : predictions.JUDGED_DRAWS])
    return calibration.density_ranks(of_draws, posteriors.log_density(mixture, true), rng)


def _judge(
    network: Network,
    observed: Observed,
    truth: Truth,
    features: NDArray,
    draws: list[NDArray],
    density_rank: list[NDArray],
    rng: np.random.Generator,
) -> store.Tables:
    """Return the tables ``calibration`` and ``features`` of the systems that are judged."""
    from lensmill.learning import models

    sky, n = network.training["standardisation"]["sky"], len(observed.index)
    columns = predictions.judge(
        np.concatenate(draws)[:n],
        truth,
        {name: sky[name]["scale"][0] for name in predictions.JUDGED},
        rng,
        np.concatenate(density_rank)[:n] if density_rank else None,
    )
    inner = _outputs(models.inner(network.model), features)
    return {
        "calibration": {"index": observed.index[truth.d_dt_known], **columns},
        "features": {"index": observed.index, "inner": inner},
    }


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], seed: int, keys: runs.Keys
) -> runs.Training:
    """Return what is particular about the training of these networks."""
    observation = settings["observation"]
    settings = {key: value for key, value in settings.items() if key != "observation"}
    architecture = _architecture(settings, observation)
    facts = store.attributes(dataset)
    k = settings["images"]
    parts = [observe.from_simulated(dataset, split, part, k) for part in (0, 1)]
    if settings["folds"]:
        parts = _cut(parts, settings["fold"], settings["folds"])
    limit = settings["max_systems"] or None
    exact, truth = (observe.select(table, slice(limit)) for table in parts[0])
    draw = _examples(architecture, exact, truth, observation, keys.second)
    held_out, held_truth = (observe.select(table, slice(VALIDATED)) for table in parts[1])
    u = observe.noise_uniforms(seed, facts["experiment"], facts["population"], held_out.index, k)
    held_out = _observe(held_out, observation, u)
    validation = architecture.examples(held_out, held_truth, np.random.default_rng(keys))

    features, targets = draw(0)
    names = architecture.names()
    scaling = {
        "features": _feature_scaling(features, names),
        "targets": tables.scaling(targets),
        "sky": _sky_scaling(truth),
    }
    log.info("%d systems to train on, %d features", *features.shape)
    return runs.Training(
        build=lambda: architecture.build(scaling["features"], keys.first % 2**20),
        loss=architecture.head.loss(settings.get("distance_weight", 0.0)),
        epochs=lambda epoch: _standardise(draw(epoch), scaling["targets"]),
        validation=_standardise(validation, scaling["targets"]),
        settings={**settings, **architecture.fixed()},
        record={
            "architecture": settings["architecture"],
            "images": k,
            "observation": dict(observation),
            "features": names,
            "standardisation": scaling,
            "systems": len(features),
        },
    )


train = functools.partial(runs.train, prepare)


def _architecture(settings: Mapping[str, Any], observation: Mapping[str, Any]) -> Dense | Canonical:
    return ARCHITECTURES[settings["architecture"]](settings, observation)


def _cut(
    parts: list[tuple[Observed, Truth]], fold: int, folds: int
) -> list[tuple[Observed, Truth]]:
    """Pool the parts and cut them into folds, of which number ``fold`` of 1 ... validates."""
    pooled = [
        type(both[0])(*map(np.concatenate, zip(*both, strict=True)))
        for both in zip(*parts, strict=True)
    ]
    chosen = tables.cut(np.arange(len(pooled[0].index)), fold, folds)
    return [tuple(observe.select(table, rows) for table in pooled) for rows in chosen]


def _examples(
    architecture: Dense | Canonical,
    exact: Observed,
    truth: Truth,
    observation: Mapping[str, Any],
    seed: int,
) -> Callable[[int], tuple[NDArray, NDArray]]:
    """Return the function that draws the examples of an epoch."""
    from lensmill.learning.training import NOISE

    if not observation and not architecture.turns:
        always = architecture.examples(exact, truth, np.random.default_rng(seed))
        return lambda epoch: always

    def draw(epoch: int) -> tuple[NDArray, NDArray]:
        rng = np.random.Generator(np.random.Philox([seed, epoch, NOISE]))
        n, k = exact.delay.shape
        observed, answers = exact, truth
        if architecture.turns:
            # Inputs and targets turn together, or the network learns what is not true.
            matrix = transforms.rotation(rng.uniform(0, 2 * np.pi, n))
            observed = transforms.turned(observed, matrix)
            answers = transforms.turned_truth(truth, matrix)
        u = np.maximum(rng.random((n, observe.width(k))), 2.0**-54)
        observed = _observe(observed, observation, u)
        return architecture.examples(observed, answers, rng)

    return draw


def _observe(exact: Observed, observation: Mapping[str, Any], u: NDArray) -> Observed:
    return observe.perturb(exact, observation, u) if observation else exact


def _feature_scaling(features: NDArray, names: list[str]) -> dict[str, list[float]]:
    """Also the range of errors in training, to which those of other data are clipped."""
    is_error = np.array(["error" in name for name in names])
    low = np.where(is_error, features.min(axis=0), -NO_LIMIT)
    high = np.where(is_error, features.max(axis=0), NO_LIMIT)
    return {**tables.scaling(features), "low": low.tolist(), "high": high.tolist()}


def _sky_scaling(truth: Truth) -> dict[str, dict[str, list[float]]]:
    """Mean and standard deviation of the study's targets: its unit of error."""
    return {
        "potential": tables.scaling(truth.potential),
        "deflection_x": tables.scaling(truth.deflection[..., 0]),
        "deflection_y": tables.scaling(truth.deflection[..., 1]),
        "ln_d_dt": tables.scaling(np.log(truth.d_dt)[:, None]),
    }


def _standardise(examples: tuple[NDArray, NDArray], scaling: Mapping) -> tuple[NDArray, NDArray]:
    features, targets = examples
    return features.astype(np.float32), tables.standardise(targets, scaling).astype(np.float32)
