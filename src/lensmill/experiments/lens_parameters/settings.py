"""Look-ups of this experiment, and what a schema cannot say of its settings.

Only literals and the standard library: this is read in every job (../README.md).
"""

from collections.abc import Mapping

from lensmill.cutouts import lookups
from lensmill.cutouts.lookups import prediction_inputs as prediction_inputs
from lensmill.cutouts.lookups import refuse_unlike as refuse_unlike
from lensmill.cutouts.lookups import source_files as source_files
from lensmill.experiments.lens_parameters.families import FAMILIES as FAMILIES
from lensmill.pipeline.settings import refer


def check(settings: Mapping, where: str) -> None:
    """Refuse images too small for a network, and comparisons of networks that are not there."""
    lookups.check(settings, where)
    for name in settings["comparison"]:
        refer(name, settings["networks"], f"{where}.comparison")


def claims_errors(network: Mapping) -> bool:
    """Say whether a network gives posteriors, whose calibration is judged: all do."""
    return True


def score_inputs(settings: Mapping, name: str, network: Mapping, population: str) -> dict[str, str]:
    """Name the scored predictions of the network's own population: what is strange is unlike it."""
    own = network["train_on"]
    return {} if population == own else {"family": f"scores/{name}/{own}/predictions.h5"}
