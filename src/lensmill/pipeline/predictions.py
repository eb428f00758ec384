"""Predictions: what networks say of populations, several of them in one start of the backend."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lensmill.pipeline import intact, logs
from lensmill.pipeline import settings as checked

log = logging.getLogger(__name__)

REFUSED = "refused.txt"  # suffix of the file that says why there are no predictions


def write(
    output: str, module: Any, network: Any, files: Mapping[str, str], population: str, **given: Any
) -> None:
    """Predict one population.

    Parameters
    ----------
    output : str
        The predictions (HDF5).
    module : module
        ``network.py`` of the experiment.
    network
        What its ``load`` has returned.
    files : mapping
        ``dataset`` and the other files that go with it, by argument of ``predict``.
    population : str
    **given
        ``settings``, ``seed`` and ``name`` of the network.
    """
    files = {name: path for name, path in files.items() if name != "checks"}
    split = files.pop("split", None)
    module.predict(network, split=split, output=output, population=population, **files, **given)


def write_together(
    folder: str,
    module: Any,
    model: str,
    training: str,
    populations: Mapping[str, Mapping[str, str]],
    threads: int,
    **given: Any,
) -> None:
    """Predict several populations with a network that is loaded once.

    One that is refused costs no other its predictions: a file in its place gives the reason, and
    `find` raises it.

    Parameters
    ----------
    folder : str
        Where ``<population>.h5`` are written.
    module, **given
        As in `write`.
    model, training : path
        What ``network.train`` wrote.
    populations : mapping
        By name, their files as in `write`.
    threads : int
        Threads of the backend.
    """
    network = module.load(model, training, threads)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for population, files in logs.progress(populations.items(), "predicting", len(populations)):
        output = place / f"{population}.h5"
        try:
            intact.verify(checked.flat(files.values()))
            write(str(output), module, network, files, population, **given)
        except ValueError as error:
            log.exception("%s is refused", population)
            output.with_suffix(f".{REFUSED}").write_text(str(error))


def find(given: str, population: str) -> str:
    """Return the intact file with the predictions of a population.

    Parameters
    ----------
    given : str
        That file, or the folder that `write_together` has filled.
    population : str

    Raises
    ------
    ValueError
        If the population was refused, with the reason, or the file is damaged.
    """
    path = Path(given)
    if path.is_dir():
        path /= f"{population}.h5"
        refused = path.with_suffix(f".{REFUSED}")
        if refused.exists():
            raise ValueError(refused.read_text())
    intact.verify([path])
    return str(path)
