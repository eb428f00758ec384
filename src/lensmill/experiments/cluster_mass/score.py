"""How good the masses by a network and by simple methods are: from what `network.predict` wrote."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lensmill.experiments.cluster_mass import judging
from lensmill.experiments.cluster_mass.network import ANSWERS
from lensmill.pipeline import store

NO_GAS = np.log(1e10)  # Msun: a "mass" below it is of a real cluster, whose gas nobody has weighed


def score(predictions: str, settings: Mapping[str, Any], seed: int, output: str) -> dict[str, Any]:
    """Score the predictions for a population.

    Parameters
    ----------
    predictions : path
    settings : mapping
        ``bins`` of mass, and ``bootstraps`` for errors.
    seed : int
        Of the bootstraps.
    output : path
        Written: the predictions, as they are.

    Returns
    -------
    dict
        ``network``, ``population``, ``systems``, ``clusters`` and what the network is; of systems
        of known mass the scores of the network (`judging.numbers`, each with its ``_error``) and
        ``mse_normalised``, where the masses that it learned from reach from 0 to 1; ``answers``: by
        each of `network.ANSWERS` (of real clusters not the true gas mass) the same, ``by_mass``
        (`judging.by_mass`) and ``cool_core`` (`judging.cool_core_offset`). Without any known mass
        ``clusters`` is 0 and the rest missing.
    """
    about = store.attributes(predictions)
    store.extend(predictions, output)
    systems = store.read(predictions, "systems")
    known = systems["known"] == 1
    head = {name: str(about[name]) for name in ("network", "population", "train_on")}
    found: dict[str, Any] = {
        **head,
        "systems": len(known),
        "architecture": str(about["architecture"]),
        "weights": str(about["weights"]),
        "turn": int(about["turn"]),
        "parameters": int(about["parameters"]),
        "train_systems": int(about["train_systems"]),
        "train_groups": int(about["train_groups"]),
        "train_cpu_seconds": float(about["train_cpu_seconds"]),
        "seconds": float(about["seconds"]),
        "clusters": 0,
    }
    if not known.any():
        return found
    systems = {name: values[known] for name, values in systems.items()}
    truth, group = systems["ln_m500"], systems["group"]
    edges = np.linspace(truth.min(), np.nextafter(truth.max(), np.inf), settings["bins"] + 1)
    rng = np.random.Generator(np.random.Philox([seed, 29]))
    answers = {}
    for name in ANSWERS:
        if name == "gas_mass" and systems["ln_m500_gas_mass"].min() < NO_GAS:
            continue
        error = systems[f"ln_m500_{name}"] - truth
        answers[name] = {
            **judging.with_errors(error, truth, group, settings["bootstraps"], rng),
            "by_mass": judging.by_mass(error, truth, group, edges),
            "cool_core": judging.cool_core_offset(error, systems["cool_core"]),
        }
    own = {key: value for key, value in answers["network"].items() if isinstance(value, float)}
    low, high = about["span"]
    return {
        **found,
        "clusters": len(np.unique(group)),
        **own,
        "mse_normalised": own["mse"] / float(high - low) ** 2,
        "answers": answers,
    }
