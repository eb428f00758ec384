"""How much substructure there is: posteriors of its numbers, and how good they are."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.substructure import systems
from lensmill.experiments.substructure.network_settings import CLASS_OF
from lensmill.experiments.substructure.systems import CLASSES
from lensmill.learning import calibration, posteriors, regression, runs, strangeness, tables
from lensmill.pipeline import store

VALIDATED = 10000  # images of the validation set: enough to tell two epochs apart
SYSTEMS_AT_A_TIME = 500  # bounds the memory that draws of the posterior take


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], keys: runs.Keys
) -> runs.Training:
    """Return what is particular about the training of networks that measure."""
    from lensmill.learning import image_models, images

    names = settings["targets"]
    values, known = read(dataset, names)
    learned, validated = images.read(dataset, split, values, known=known)
    learned = images.first(learned, settings["max_systems"])
    validated = images.first(validated, VALIDATED)
    truth = learned.targets
    scaling = tables.scaling(truth)
    parts = [
        part._replace(targets=tables.standardise(part.targets, scaling).astype(np.float32))
        for part in (learned, validated)
    ]
    shape, noise = learned.pixels.shape[1:], systems.image_noise(settings, learned)
    head = head_of(settings)
    loss = head.loss()
    batches = images.Batches(
        parts[0],
        settings["batch_size"],
        keys.second,
        settings["repeats"],
        turn=images.unchanged if settings.get("augment") == "dihedral" else None,
    )
    first = keys.first % 2**20
    return runs.Training(
        build=lambda: image_models.build(
            settings["architecture"], shape, settings, first, noise, head.outputs
        ),
        loss=loss,
        epochs=batches,
        validation=images.Validation(parts[1], loss, batches),
        settings=settings,
        record={
            "architecture": settings["architecture"],
            "shape": list(shape),
            "noise": noise,
            "systems": len(learned.rows),
            "standardisation": scaling,
            "prior": _prior(truth, names),
        },
    )


def head_of(settings: Mapping[str, Any]) -> regression.Head:
    """Return the head: a mixture of Gaussians over all targets."""
    return regression.head("mixture", len(settings["targets"]), settings["components"])


def read(dataset: str, names: list[str]) -> tuple[NDArray, NDArray]:
    """Return the logarithms of what is asked, (n, T), and of which systems they are known.

    Those of another class than the one that has these numbers do not have them.
    """
    label, known = systems.labels(dataset)
    values = tables.columns(dataset, names)
    known = known & (label == CLASSES.index(CLASS_OF[names[0]])) & (values > 0).all(axis=1)
    return np.log10(np.where(known[:, None], values, 1.0)), known


def _prior(truth: NDArray, names: list[str]) -> dict[str, dict[str, float]]:
    """Describe what the network learned from: whoever answers with that alone is this good."""
    low, _, high = np.percentile(truth, calibration.ONE_SIGMA_PERCENTILES, axis=0)
    return {
        name: {
            "mean": float(truth[:, i].mean()),
            "sd": float(truth[:, i].std()),
            "width": float((high - low)[i] / 2),
        }
        for i, name in enumerate(names)
    }


def predict(
    network: runs.Network,
    dataset: str,
    split: str | None,
    settings: Mapping[str, Any],
    seed: int,
    learned: tuple[str | None, str | None],
) -> tuple[store.Tables, dict[str, dict[str, str]], dict[str, Any]]:
    """Return the posteriors of the test systems that have the numbers: tables, units, attributes.

    All numbers are logarithms (base 10).
    """
    from lensmill.learning import images

    pixels, record = store.pixels(dataset), network.training
    images.check_shape(pixels, record["shape"], record["population"])
    names = record["settings"]["targets"]
    truth, known = read(dataset, names)
    rows = tables.test_rows(dataset, split)
    rows = rows[known[rows]]
    if not rows.size:
        raise ValueError(
            f"{dataset} has no test image whose {', '.join(names)} is known and not 0, which is "
            "what this network measures; leave the population out of its test_on, or simulate more"
        )
    outputs, features = systems.answer(network.model, pixels, rows)
    found = {name: column[rows] for name, column in systems.columns(dataset).items()}
    systems.refuse_bad(outputs, found["index"], record["population"])
    mixture = head_of(record["settings"]).unpack(outputs)
    mixture = posteriors.rescale(mixture, *record["standardisation"].values())
    summed, judged = _judge(mixture, truth[rows], names, record["prior"], settings["draws"], seed)
    units = dict(systems.UNITS)
    for i, name in enumerate(names):
        found |= {f"true_{name}": truth[rows][:, i]}
        units |= {f"true_{name}": ""}
        units |= {f"{name}_{part}": "" for part in regression.Summary._fields}
    columns = {
        "systems": found | summed,
        "calibration": {"index": found["index"], **judged},
        strangeness.FEATURES: {
            "index": found["index"],
            "inner": features.astype(np.float32),
        },
    }
    of_tables = {
        "systems": units,
        "calibration": calibration.units_of(dict.fromkeys(names, "")),
        strangeness.FEATURES: strangeness.UNITS[strangeness.FEATURES],
    }
    attributes = {"targets": json.dumps(names), "prior": json.dumps(record["prior"])}
    return columns, of_tables, attributes


def _judge(
    mixture: posteriors.Mixture,
    truth: NDArray,
    names: list[str],
    prior: Mapping[str, Mapping[str, float]],
    draws: int,
    seed: int,
) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
    """Sum posteriors up by draws, and judge them against the truth."""
    rng = np.random.Generator(np.random.Philox([seed, 4]))
    chance = np.random.Generator(np.random.Philox([seed, 5]))  # no draw hangs on what is judged
    values, ranks = [], []
    for first in range(0, len(truth), SYSTEMS_AT_A_TIME):
        rows = slice(first, first + SYSTEMS_AT_A_TIME)
        some = posteriors.Mixture(*(part[rows] for part in mixture))
        values.append(posteriors.sample(some, draws, rng))
        of_truth = posteriors.log_density(some, truth[rows])
        of_draws = posteriors.log_densities(some, values[-1])
        ranks.append(calibration.density_ranks(of_draws, of_truth, chance))
    samples = np.concatenate(values)
    summary = regression.summarise(np.moveaxis(samples, 1, 2))
    summed = {
        f"{name}_{part}": getattr(summary, part)[:, i]
        for i, name in enumerate(names)
        for part in regression.Summary._fields
    }
    widths = np.array([prior[name]["width"] or 1.0 for name in names])
    judged = calibration.judge_systems(samples, truth, names, widths, chance, np.concatenate(ranks))
    return summed, judged


def score(
    about: Mapping[str, Any], predictions: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return bias, scatter and coverage of every number, and what the prior alone would give.

    Returns
    -------
    dict
        ``targets``: by number `regression.scores` of the medians (logarithms, base 10), ``width``
        (median half width of the posterior), ``width_over_prior``, and of one who answers with the
        mean of what the network learned from ``prior_rmse``, with ``rmse_over_prior``.
    """
    table, ranks = (store.read(predictions, name) for name in ("systems", "calibration"))
    prior = json.loads(about["prior"])
    targets = {}
    for name in json.loads(about["targets"]):
        truth, median = table[f"true_{name}"], table[f"{name}_median"]
        mine = prior[name]
        found = regression.scores(median, truth, ranks[f"rank_{name}"], mine["sd"] or 1.0)
        width = float(np.median(table[f"{name}_error"]))
        alone = float(np.sqrt(((truth - mine["mean"]) ** 2).mean()))
        found |= {
            "width": width,
            "width_over_prior": width / mine["width"] if mine["width"] else None,
            "prior_rmse": alone,
            "rmse_over_prior": found["rmse"] / alone if alone > 0 else None,
        }
        targets[name] = found
    judged = calibration.summarise({k: v for k, v in ranks.items() if k != "index"})
    worst = {"coverage_error": judged["worst"]["error"]} if judged["systems"] else {}
    return {"known": len(table["index"]), "targets": targets, "calibration": judged, **worst}
