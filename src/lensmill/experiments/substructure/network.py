"""Networks that name the class of an image, measure its substructure, or find it strange.

See the modules `naming`, `measuring` and `strange`.
"""

import functools
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from lensmill.experiments.substructure import measuring, naming, strange
from lensmill.learning import runs
from lensmill.learning.runs import Network, load
from lensmill.pipeline import provenance, store

__all__ = ["load", "predict", "train"]

ANSWERS: dict[str, ModuleType] = {"class": naming, "numbers": measuring, "anomaly": strange}


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], seed: int, keys: runs.Keys
) -> runs.Training:
    """Return what is particular about the training: of the module for what is to be answered.

    ``settings["answers"]`` says what that is: class, numbers or anomaly.
    """
    return ANSWERS[settings["answers"]].prepare(dataset, split, settings, keys)


train = functools.partial(runs.train, prepare)


def predict(
    network: Network,
    dataset: str,
    split: str | None,
    settings: Mapping[str, Any],
    seed: int,
    output: str,
    name: str,
    population: str,
    learned: str | None = None,
    learned_split: str | None = None,
) -> None:
    """Ask a network about the test part of a population, or all of it without a split.

    Parameters
    ----------
    network : Network
        As `load` gives it.
    dataset, split : path
    settings : mapping
        ``evaluation`` of the experiment.
    seed : int
        Keys what is drawn.
    output : path
        Written (HDF5): table ``systems``, with the truth beside every answer, and what the module
        for these answers adds.
    name, population : str
        Of the network and of the population.
    learned, learned_split : path, optional
        The population that the network learned from and its split: systems without substructure of
        its training part say what is strange to a network that names classes.
    """
    record = network.training
    answers = record["settings"]["answers"]
    about = (learned, learned_split)
    tables, units, facts = ANSWERS[answers].predict(network, dataset, split, settings, seed, about)
    attributes = provenance.attributes(
        {},
        experiment="substructure",
        network=name,
        population=population,
        answers=answers,
        train_on=record["population"],
        architecture=record["architecture"],
        train_systems=record["systems"],
        train_seconds=record["seconds"],
        parameters=record["parameters"],
        seed=seed,
        dataset=store.attributes(dataset)["content_digest"],
        **facts,
    )
    store.write(output, tables, units, attributes)
