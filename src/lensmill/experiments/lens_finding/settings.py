"""Look-ups of this experiment, and what a schema cannot say of its settings.

Only literals and the standard library: this is read in every job (../README.md).
"""

from collections.abc import Mapping

from lensmill.cutouts import lookups
from lensmill.cutouts.lookups import (
    prediction_inputs,
    refuse_unlike,
    simulation_inputs,
    source_files,
)
from lensmill.experiments.lens_finding.families import FAMILIES
from lensmill.pipeline.settings import refer

__all__ = [
    "FAMILIES",
    "TOLERANCES",
    "check",
    "prediction_inputs",
    "refuse_unlike",
    "score_inputs",
    "simulation_inputs",
    "source_files",
]

# Scores that another machine reproduces, and how far they may lie apart (or by the error of the
# score): what does not hang on the few false alarms that a threshold lets through. One network,
# trained with its sums in another order, found 0.28 instead of 0.44 of the lenses at ten false
# alarms, and its AUROC was 0.008 lower.
TOLERANCES = dict.fromkeys(
    ("auroc", "calibration_error", "ideal_auroc", "ideal_completeness"), 0.02
)


def check(settings: Mapping, where: str) -> None:
    """Refuse comparisons of what is not there, and what no experiment on images can have."""
    lookups.check(settings, where)
    for name in settings["comparison"]:
        refer(name, settings["networks"], f"{where}.comparison")


def score_inputs(settings: Mapping, name: str, network: Mapping, population: str) -> dict[str, str]:
    """Name the scores on the network's own population, whose threshold a survey would use."""
    own = network["train_on"]
    return {} if population == own else {"reference": f"scores/{name}/{own}/scores.json"}
