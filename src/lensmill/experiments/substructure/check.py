"""Validation of a population of images before anything is trained on it."""

from collections.abc import Mapping
from typing import Any

from lensmill.cutouts import checks as image_checks
from lensmill.experiments.substructure import simulate
from lensmill.pipeline import checks


def check(dataset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check one population; what is found goes into ``checks.json``.

    Parameters
    ----------
    dataset : str
        The merged file of a simulated population, or that of an ingested one.
    settings : mapping
        What fixes the population; of a simulated one also ``systems``.

    Returns
    -------
    dict
        As `lensmill.cutouts.checks.check` gives it.
    """
    report = image_checks.check(dataset, settings)
    if "ingest" in settings or checks.failed(report["checks"]):
        return report
    report["checks"] += image_checks.redraw(dataset, settings, simulate, simulate.noise_free)
    return report
