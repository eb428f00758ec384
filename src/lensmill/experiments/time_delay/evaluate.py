"""Judge a network on a population: predictions in physical units, scores, and symmetry."""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.time_delay import network as networks
from lensmill.experiments.time_delay import observe, transforms
from lensmill.experiments.time_delay.canonical import Answer
from lensmill.experiments.time_delay.observe import Observed, Truth
from lensmill.learning import calibration
from lensmill.pipeline import logs, provenance, splits, store

log = logging.getLogger(__name__)

SYSTEMS_AT_A_TIME = 1000  # bounds the memory that draws of the posterior take
LEVELS = {"68": 0.68, "95": 0.95}
CENTRAL = {name: ((1 - level) / 2, (1 + level) / 2) for name, level in LEVELS.items()}

UNITS = {
    "systems": {
        "index": "",
        "n_images": "",
        "first_image": "",
        "d_dt": "Mpc",
        "d_dt_known": "",
        "d_dt_median": "Mpc",
        "d_dt_low68": "Mpc",
        "d_dt_high68": "Mpc",
        "d_dt_low95": "Mpc",
        "d_dt_high95": "Mpc",
        "d_dt_rank": "",
        "z_lens": "",
        "z_source": "",
        "lens_x": "arcsec",
        "lens_y": "arcsec",
        "lens_error": "arcsec",
        "lens_known": "",
    },
    "images": {
        "system": "",
        "potential": "arcsec2",
        "potential_predicted": "arcsec2",
        "potential_error": "arcsec2",
        "potential_rank": "",
        "deflection_x": "arcsec",
        "deflection_x_predicted": "arcsec",
        "deflection_x_error": "arcsec",
        "deflection_x_rank": "",
        "deflection_y": "arcsec",
        "deflection_y_predicted": "arcsec",
        "deflection_y_error": "arcsec",
        "deflection_y_rank": "",
        "x_observed": "arcsec",
        "y_observed": "arcsec",
        "position_error": "arcsec",
        "delay_observed": "d",
        "delay_error": "d",
        "delay_measured": "",
    },
    "samples": {
        "ln_d_dt": "",
        "potential": "arcsec2",
        "deflection_x": "arcsec",
        "deflection_y": "arcsec",
    },
}


def evaluate(
    model: str,
    training: str,
    dataset: str,
    split: str | None,
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    predictions: str,
    scores: str,
    network: str,
    population: str,
) -> None:
    """Judge a network on the test systems of a population, or on all systems of an ingested one.

    Parameters
    ----------
    model, training : path
        As `lensmill.experiments.time_delay.network.train` wrote them.
    dataset : path
        The population.
    split : path or None
        Its split, of which the test part is used; None for an ingested population.
    settings : mapping
        ``samples`` of the posterior drawn per system, ``stored_samples`` kept per system, and
        ``stored_systems``, for how many simulated systems they are kept (all ingested ones, for
        which enough are drawn). What is left out is in ``network.DEFAULTS``; other keys are left
        alone.
    seed : int
        Fixes the noise of simulated systems, the same for all networks, and the draws.
    threads : int
        Threads of the backend.
    predictions, scores : path
        Written: tables ``systems``, ``images`` and ``samples`` (HDF5), and the scores (JSON).
        What is predicted is the median of the posterior, its error half the central 68 %: where
        D_dt is hardly known the potential has long tails, and their mean means nothing.
    network, population : str
        Names of the network and of the population.
    """
    settings = {**networks.DEFAULTS, **settings}
    trained = networks.load(model, training, threads)
    record = trained.training
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

    if not len(observed.index):  # a table of real systems need not have this number of images
        empty = {"index": observed.index, "n_images": observed.index}
        store.write(predictions, {"systems": empty}, UNITS, {"network": network, "images": k})
        facts = {"network": network, "population": population, "images": k, "systems": 0}
        Path(scores).write_text(json.dumps(facts, indent=1))
        return
    draws = settings["samples"] if split else max(settings["samples"], settings["stored_samples"])
    if record["settings"]["head"] == "point":
        draws = 0
    kept_systems = len(observed.index) if split is None else settings["stored_systems"]
    rng = np.random.Generator(np.random.Philox([seed, record["settings"]["seed"], 2]))
    begun = time.monotonic()
    parts, kept = [], []
    for first in logs.progress(range(0, len(observed.index), SYSTEMS_AT_A_TIME), "evaluating"):
        rows = slice(first, first + SYSTEMS_AT_A_TIME)
        some = observe.select(observed, rows)
        answer = networks.predict(trained, some, draws, rng)
        parts.append(_summary(answer, observe.select(truth, rows)))
        room = max(kept_systems - first, 0)
        if draws and room:
            kept.append(Answer(*(x[:room, ..., : settings["stored_samples"]] for x in answer)))
    seconds = time.monotonic() - begun
    summary = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}

    tables = _tables(observed, truth, summary)
    if kept:
        tables["samples"] = _samples(kept)
    facts = {"network": network, "population": population, "images": k}
    attributes = provenance.attributes(
        {key: settings[key] for key in ("samples", "stored_samples", "stored_systems")},
        **facts,
        experiment=experiment,
        seed=seed,
        draws=draws,
        observation=json.dumps(observation, sort_keys=True),
        dataset=store.attributes(dataset)["content_digest"],
    )
    with store.create(predictions) as file:
        for table, columns in tables.items():
            for column, values in columns.items():
                store.add_column(file, table, column, [values], UNITS[table][column])
        file.attrs.update(attributes)
        file.attrs["content_digest"] = store.content_digest(file)
    found = {
        **facts,
        "systems": len(observed.index),
        "seconds": round(seconds, 2),
        **_scores(summary, truth, record["standardisation"]["sky"], bool(draws)),
    }
    Path(scores).write_text(json.dumps(found, indent=1))


def _summary(answer: Answer, truth: Truth) -> dict[str, NDArray]:
    """Return medians, errors, intervals and ranks of some systems."""
    summary = {}
    ln_d_dt = answer.ln_d_dt
    summary["ln_d_dt"] = np.median(ln_d_dt, axis=-1)
    for level, (low, high) in CENTRAL.items():
        interval = np.quantile(ln_d_dt, [low, high], axis=-1)
        summary[f"low{level}"], summary[f"high{level}"] = interval
    ln_true = np.log(np.where(truth.d_dt_known, truth.d_dt, 1.0))
    summary["rank"] = np.where(truth.d_dt_known, calibration.ranks(ln_d_dt, ln_true), 0.5)
    wanted = {
        "potential": (answer.potential, truth.potential),
        "deflection_x": (answer.deflection[:, :, 0], truth.deflection[..., 0]),
        "deflection_y": (answer.deflection[:, :, 1], truth.deflection[..., 1]),
    }
    for name, (draws, true) in wanted.items():
        low, summary[name], high = np.quantile(draws, [CENTRAL["68"][0], 0.5, CENTRAL["68"][1]], -1)
        summary[f"{name}_error"] = (high - low) / 2
        known = truth.lens_model_known[:, None]
        summary[f"{name}_rank"] = np.where(known, calibration.ranks(draws, true), 0.5)
    return summary


def _tables(observed: Observed, truth: Truth, summary: Mapping[str, NDArray]) -> store.Tables:
    n, k = observed.delay.shape
    systems = {
        "index": observed.index,
        "n_images": np.full(n, k),
        "first_image": np.arange(n) * k,
        "d_dt": truth.d_dt,
        "d_dt_known": truth.d_dt_known.astype(np.uint8),
        "d_dt_median": np.exp(summary["ln_d_dt"]),
        "d_dt_rank": summary["rank"],
        "z_lens": observed.z_lens,
        "z_source": observed.z_source,
        "lens_x": observed.lens_position[:, 0],
        "lens_y": observed.lens_position[:, 1],
        "lens_error": observed.lens_error,
        "lens_known": observed.lens_known.astype(np.uint8),
    }
    for level in CENTRAL:
        for end in ("low", "high"):
            systems[f"d_dt_{end}{level}"] = np.exp(summary[f"{end}{level}"])
    images = {
        "system": np.repeat(observed.index, k),
        "x_observed": observed.position[..., 0],
        "y_observed": observed.position[..., 1],
        "position_error": observed.position_error,
        "delay_observed": observed.delay,
        "delay_error": observed.delay_error,
        "delay_measured": observed.delay_measured.astype(np.uint8),
        "potential": truth.potential,
        "deflection_x": truth.deflection[..., 0],
        "deflection_y": truth.deflection[..., 1],
    }
    for name in ("potential", "deflection_x", "deflection_y"):
        images[f"{name}_predicted"] = summary[name]
        images[f"{name}_error"] = summary[f"{name}_error"]
        images[f"{name}_rank"] = summary[f"{name}_rank"]
    return {"systems": systems, "images": {name: x.ravel() for name, x in images.items()}}


def _samples(kept: list[Answer]) -> dict[str, NDArray]:
    """Return draws as 2-D columns: rows of ``systems`` or of ``images``."""
    ln_d_dt, potential, deflection = (
        np.concatenate([getattr(answer, name) for answer in kept]) for name in Answer._fields
    )
    draws = ln_d_dt.shape[-1]
    return {
        "ln_d_dt": ln_d_dt,
        "potential": potential.reshape(-1, draws),
        "deflection_x": deflection[:, :, 0].reshape(-1, draws),
        "deflection_y": deflection[:, :, 1].reshape(-1, draws),
    }


def _scores(
    summary: Mapping[str, NDArray], truth: Truth, scaling: Mapping[str, Any], calibrated: bool
) -> dict[str, Any]:
    """Scores per target; None where a truth is unknown or a network claims no error."""
    model, d_dt = truth.lens_model_known, truth.d_dt_known
    components: dict[str, list] = {"potential": [], "deflection": [], "ln_d_dt": []}
    true = {
        "potential": truth.potential,
        "deflection_x": truth.deflection[..., 0],
        "deflection_y": truth.deflection[..., 1],
    }
    for name, values in true.items():
        error = (summary[name] - values)[model]
        rank = summary[f"{name}_rank"][model]
        components[name.split("_")[0]].append((error, scaling[name]["scale"], rank))
    k = truth.potential.shape[1]
    if k > 1:
        ln_true = np.log(np.where(d_dt, truth.d_dt, 1.0))
        error = (summary["ln_d_dt"] - ln_true)[d_dt][:, None]
        rank = summary["rank"][d_dt][:, None]
        components["ln_d_dt"].append((error, scaling["ln_d_dt"]["scale"], rank))

    targets = {}
    for target, columns in components.items():
        columns = [column for column in columns if column[0].size]
        targets[target] = _target_scores(columns, calibrated) if columns else None
    lens = components["potential"] + components["deflection"]
    squares = [((error / scale) ** 2).mean() for error, scale, _ in lens if error.size]
    return {
        "targets": targets,
        # Potential has one column per image and deflection two: each column counts the same.
        "mse_standardised": float(np.mean(squares)) if squares else None,
    }


def _target_scores(columns: list[tuple], calibrated: bool) -> dict[str, float | None]:
    errors = np.concatenate([error.ravel() for error, _, _ in columns])
    scaled = np.concatenate([(error / np.array(scale)).ravel() for error, scale, _ in columns])
    ranks = np.concatenate([rank.ravel() for _, _, rank in columns])
    found: dict[str, float | None] = {
        "bias": calibration.bias(errors),
        "robust_scatter": calibration.robust_scatter(errors),
        "mse": float((errors**2).mean()),
        "mae": float(np.abs(errors).mean()),
        "mse_standardised": float((scaled**2).mean()),
        "mae_standardised": float(np.abs(scaled).mean()),
    }
    for level, claimed in LEVELS.items():
        found[f"coverage{level}"] = calibration.coverage(ranks, claimed) if calibrated else None
    found["calibration_error"] = calibration.calibration_error(ranks) if calibrated else None
    return found


def invariance(
    model: str,
    training: str,
    dataset: str,
    split: str,
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    output: str,
    network: str,
    population: str,
) -> None:
    """Measure how the answers change when the same lenses are seen otherwise.

    Parameters
    ----------
    model, training, dataset, split, seed, threads, network, population
        As in `evaluate`.
    settings : mapping
        ``invariance_systems``: test systems looked at.
    output : path
        Written (JSON): for each symmetry the ``amount`` of change (rad, arcsec, a permutation's
        number or a factor), ``d_dt`` [Mpc] predicted per amount and system, ``deflection_x`` of
        the first image carried back [arcsec] likewise, and the largest relative change of D_dt,
        ``d_dt_change``, and of carried-back deflections, ``deflection_change`` (of its modulus),
        against the system as it is, per amount.
    """
    settings = {**networks.DEFAULTS, **settings}
    trained = networks.load(model, training, threads)
    k, observation = trained.training["images"], trained.training["observation"]
    experiment = trained.training["experiment"]
    observed, _ = observe.from_simulated(dataset, split, splits.TEST, k)
    observed = observe.select(observed, slice(settings["invariance_systems"]))
    if observation:
        u = observe.noise_uniforms(seed, experiment, population, observed.index, k)
        observed = observe.perturb(observed, observation, u)
    # Every view in a batch of its own, like the reference: products of matrices of another shape
    # are rounded otherwise, by 5e-8 on some processors.
    n = len(observed.index)
    before = networks.predict(trained, observed, rows=n)
    amounts = {
        "rotation": np.radians(np.arange(0, 361, 5)),
        "reflection": np.radians(np.arange(0, 181, 5)),
        "translation": np.linspace(0, 2, 21),
        "relabelling": np.arange(12),
        "scale": np.geomspace(0.5, 2, 21),
    }
    found: dict[str, Any] = {"network": network, "population": population, "images": k}
    for kind, values in amounts.items():
        views = [transforms.apply(kind, float(value), observed) for value in values]
        together = Observed(*(np.concatenate(columns) for columns in zip(*views, strict=True)))
        answer = networks.predict(trained, together, rows=n)
        d_dt = np.exp(answer.ln_d_dt[:, 0]).reshape(len(values), n)
        carried = np.stack(
            [
                transforms.undo(
                    kind, float(value), Answer(*(x[i * n : (i + 1) * n] for x in answer))
                ).deflection[..., 0]
                for i, value in enumerate(values)
            ]
        )
        change = np.linalg.norm(carried - before.deflection[..., 0], axis=-1)
        modulus = np.linalg.norm(before.deflection[..., 0], axis=-1)
        ratio = np.abs(d_dt / np.exp(before.ln_d_dt[:, 0]) - 1)
        found[kind] = {
            "amount": values.tolist(),
            "d_dt": d_dt.tolist(),
            "deflection_x": carried[:, :, 0, 0].tolist(),
            "d_dt_change": ratio.max(axis=1).tolist(),
            "deflection_change": (change / modulus).max(axis=(1, 2)).tolist(),
        }
    Path(output).write_text(json.dumps(found))
