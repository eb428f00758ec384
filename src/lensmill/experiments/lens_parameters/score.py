"""How good the posteriors of a network are: from what `network.predict` wrote."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.lens_parameters.network import UNITS, tables_of
from lensmill.experiments.lens_parameters.parameters import PARAMETERS, targets_of
from lensmill.learning import calibration, posteriors, regression, strangeness
from lensmill.pipeline import store

COSTS = ("parameters", "train_seconds", "train_cpu_seconds", "seconds")  # add up in an ensemble
RELATIVE = ("theta_e", "slope")  # whose errors the field quotes in per cent


def score(
    predictions: str,
    settings: Mapping[str, Any],
    seed: int,
    output: str,
    family: str | None = None,
) -> dict[str, Any]:
    """Score the predictions for a population.

    Parameters
    ----------
    predictions : path
        As `network.predict` wrote them.
    settings, seed
        Not needed here.
    output : path
        Written: the predictions, and how strange each system is.
    family : path, optional
        Scored predictions of the network for the population that it was trained on, whose systems
        say what is strange; left out of its own scores.

    Returns
    -------
    dict
        ``network``, ``population``, ``systems``, ``known`` (whose truth is known), ``seconds`` that
        predicting took; ``targets``: by parameter `regression.scores` of the medians (``relative``
        ones in addition for Einstein radius and slope), ``width`` (median half width of the
        posterior), ``width_over_prior``, and of one who answers with the mean of what the network
        learned from, ``prior_scatter``; None where no truth is known. ``calibration``: see
        `calibration.summarise` and `strangeness.judge`.
    """
    about = store.attributes(predictions)
    columns, attributes, strange = strangeness.judge(predictions, family)
    store.extend(predictions, output, attributes, columns, strangeness.UNITS)
    systems = store.read(predictions, "systems")
    prior = json.loads(about["prior"])
    truth = np.column_stack([systems[f"true_{name}"] for name in PARAMETERS])
    known = np.isfinite(truth).all(axis=1)
    judged: dict[str, Any] = {"systems": 0}
    ranks: Mapping[str, NDArray] = {}
    if known.any():
        ranks = store.read(predictions, "calibration")
        judged = calibration.summarise({k: v for k, v in ranks.items() if k != "index"})
    targets = {
        name: _target(systems, name, prior[name], ranks.get(f"rank_{name}"), known)
        for name in PARAMETERS
    }
    head = {name: str(about[name]) for name in ("network", "population", "train_on")}
    worst = {"coverage_error": judged["worst"]["error"]} if judged["systems"] else {}
    return {
        **head,
        "architecture": str(about["architecture"]),
        "train_systems": int(about["train_systems"]),
        "systems": len(known),
        "known": int(known.sum()),
        "seconds": float(about["seconds"]),
        "targets": targets,
        "calibration": judged | {"strangeness": strange or None},
        **worst,
    }


def _target(
    systems: Mapping[str, NDArray],
    name: str,
    prior: Mapping[str, float],
    rank: NDArray | None,
    complete: NDArray,
) -> dict[str, Any] | None:
    """Scores of one parameter: of all systems whose own value is known."""
    truth, median = systems[f"true_{name}"], systems[f"{name}_median"]
    known = np.isfinite(truth)
    if not known.any():
        return None
    if rank is not None and not np.array_equal(known, complete):
        rank = None  # ranks are of systems that are known in every parameter
    truth, median = truth[known], median[known]
    found: dict[str, Any] = regression.scores(median, truth, rank, prior["sd"] or 1.0)
    if name in RELATIVE:
        relative = median / truth - 1
        found["relative_bias"] = calibration.bias(relative)
        found["relative_scatter"] = calibration.robust_scatter(relative)
        found["relative_bias_error"] = found["relative_scatter"] * np.sqrt(np.pi / 2 / len(truth))
    width = float(np.median(systems[f"{name}_error"][known]))
    found["width"] = width
    found["width_over_prior"] = width / prior["width"] if prior["width"] else None
    answer = prior["mean"] - truth
    found["prior_scatter"] = calibration.robust_scatter(answer)
    if name in RELATIVE:
        found["relative_prior_scatter"] = calibration.robust_scatter(answer / truth)
    return found


def combine(members: Sequence[str], output: str, network: str) -> None:
    """Put predictions of several seeds together: the mixture of their mixtures.

    Parameters
    ----------
    members : sequence of path
        What `network.predict` wrote for each on the same systems.
    output : path
        Written likewise; features side by side.
    network : str
        Name of the ensemble.

    Raises
    ------
    ValueError
        If the members did not see the same systems.
    """
    about = [store.attributes(path) for path in members]
    systems = store.read(members[0], "systems")
    mixtures = []
    for path in members:
        if not np.array_equal(store.read(path, "systems", ["index"])["index"], systems["index"]):
            raise ValueError(f"{path} and {members[0]} are not predictions of the same systems")
        mixtures.append(posteriors.Mixture(**store.read(path, "mixtures")))
    given = {c: v for c, v in systems.items() if not c.endswith(regression.Summary._fields)}
    draws, seed = (int(about[0][key]) for key in ("draws", "seed"))
    prior = json.loads(about[0]["prior"])
    kind = targets_of(about[0])
    columns = tables_of(posteriors.join(mixtures), given, prior, draws, seed, kind)
    inner = [store.read(path, strangeness.FEATURES)["inner"] for path in members]
    columns[strangeness.FEATURES] = {
        "index": systems["index"],
        "inner": np.concatenate(inner, axis=1),
    }
    left_out = ("content_digest", "network_seed")
    facts = {key: value for key, value in about[0].items() if key not in left_out}
    facts |= {"network": network, "members": len(members)}
    facts |= {key: sum(one[key].item() for one in about) for key in COSTS}
    store.write(output, columns, UNITS, facts)
