"""Networks that count rings, measure a ring, or draw one: see the modules of these names."""

from collections.abc import Callable, Mapping
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


def train(
    dataset: str,
    split: str,
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    model: str,
    history: str | None,
    training: str,
    checkpoints: str | None,
    watch: Callable[[dict[str, float]], None] | None = None,
) -> None:
    """Train one network; all arguments as in `lensmill.learning.runs.train`.

    ``settings["answers"]`` says what it is to answer: count, ring, ellipse or images.
    """
    prepare = ANSWERS[settings["answers"]].prepare
    files = model, history, training, checkpoints
    runs.train(prepare, dataset, split, settings, seed, threads, *files, watch)


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
