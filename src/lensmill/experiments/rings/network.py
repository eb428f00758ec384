"""Networks that count rings, measure a ring, or draw one: see the modules of these names."""

import functools
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from lensmill.experiments.rings import counting, drawing, shapes
from lensmill.learning import runs
from lensmill.learning.runs import Network, load
from lensmill.pipeline import provenance, store

__all__ = ["load", "predict", "train"]

ANSWERS: dict[str, ModuleType] = {
    "count": counting,
    "ring": shapes,
    "ellipse": shapes,
    "images": drawing,
}


def prepare(
    dataset: str, split: str, settings: Mapping[str, Any], seed: int, keys: runs.Keys
) -> runs.Training | runs.Fit:
    """Return what is particular about the training: of the module for what is to be answered.

    ``settings["answers"]`` says what that is: count, ring, ellipse or images.
    """
    return ANSWERS[settings["answers"]].prepare(dataset, split, settings, seed, keys)


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
        Written (HDF5): table ``systems``, with the truth beside every answer.
    name, population : str
        Of the network and of the population.
    """
    record = network.training
    answers = record["settings"]["answers"]
    tables, units, facts = ANSWERS[answers].predict(network, dataset, split, settings, seed)
    attributes = provenance.attributes(
        {},
        experiment="rings",
        network=name,
        population=population,
        answers=answers,
        train_on=record["population"],
        architecture=record["architecture"],
        train_seconds=record["seconds"],
        parameters=record.get("parameters", 0),
        seed=seed,
        dataset=store.attributes(dataset)["content_digest"],
        **facts,
    )
    store.write(output, tables, units, attributes)
