"""What stands for the look-ups that an experiment's ``settings.py`` leaves out (README.md).

They are asked while the workflow is read, in every job: nothing large is imported.
"""

from collections.abc import Mapping

from lensmill.pipeline import freshness
from lensmill.pipeline.settings import shares

FAMILIES: dict[str, dict[str, list]] = {}
TOLERANCES: dict[str, float] = {}


def check(settings: Mapping, where: str) -> None:
    """Raise for what a schema cannot say; nothing, here."""


def refuse_unlike(settings: Mapping, trained_on: str, population: str, where: str) -> None:
    """Raise if a network of one population cannot be asked about another; nothing, here."""


def suffix(network: Mapping) -> str:
    """Return the suffix of a network's model file."""
    return ".keras"


def claims_errors(network: Mapping) -> bool:
    """Say whether the calibration of a network's errors is judged; not, here."""
    return False


def source_files(population: Mapping, source: str) -> list[str]:
    """List the files that an ingested population is made of."""
    return [source]


def count_images(population: Mapping, source: str) -> int:
    """Return about how many systems a source holds: its files, or its lines."""
    return freshness.count(source)


def simulation_inputs(settings: Mapping, population: str) -> dict[str, str]:
    """Name the results that the simulation of a population takes."""
    return {}


def check_settings(settings: Mapping, population: str) -> dict:
    """Return what the check of a population is told beyond its settings."""
    return {}


def training_inputs(settings: Mapping, network: Mapping) -> dict[str, str | list[str]]:
    """Name the results that a training takes beside its data sets and their splits."""
    return {}


def prediction_inputs(settings: Mapping, network: Mapping, population: str) -> dict[str, str]:
    """Name the results that a prediction takes beside the data set.

    With a split only its test part is predicted: that of every population which is simulated, or
    which the network has learned from. Of a real one all systems are.
    """
    simulated = "systems" in settings["populations"][population]
    if simulated or population in shares(network):
        return {"split": f"data/{population}/split.h5"}
    return {}


def score_inputs(settings: Mapping, name: str, network: Mapping, population: str) -> dict[str, str]:
    """Name the results that the scores of a network on a population take beside its predictions."""
    return {}


def scored_beside(settings: Mapping, network: Mapping) -> list[str]:
    """Name populations whose predictions by a network go into its scores on every other."""
    return []
