"""Look-ups of this experiment, and what a schema cannot say of its settings.

Only literals and the standard library: this is read in every job (../README.md).
"""

from collections.abc import Mapping

from lensmill.cutouts import lookups
from lensmill.cutouts.lookups import refuse_unlike as refuse_unlike
from lensmill.cutouts.lookups import simulation_inputs as simulation_inputs
from lensmill.cutouts.lookups import source_files as source_files
from lensmill.experiments.substructure.families import FAMILIES as FAMILIES
from lensmill.experiments.substructure.network_settings import check_networks
from lensmill.experiments.substructure.network_settings import claims_errors as claims_errors
from lensmill.experiments.substructure.network_settings import (
    prediction_inputs as prediction_inputs,
)
from lensmill.experiments.substructure.network_settings import score_inputs as score_inputs


def check(settings: Mapping, where: str) -> None:
    """Refuse subhalos that no family makes, and networks that cannot give their answers.

    Raises
    ------
    ValueError
        Naming the setting, what is wrong with it and the remedy.
    """
    lookups.check(settings, where)
    check_networks(settings, where)
    for name, population in settings["populations"].items():
        if "prior" in population:
            preset = settings["priors"].get(population["prior"], {})
            prior = {**preset, **population.get("override", {})}
            _check_prior(prior, population["family"], f"{where}.populations.{name}")


def _check_prior(prior: Mapping, family: str, where: str) -> None:
    """Check what belongs together in a prior."""
    points = prior.get("points", 0)
    if (family == "points") != (points > 0):
        raise ValueError(
            f"{where}: the family {family!r} does not go with points: {points}; give the number of "
            "point masses to the family 'points', and 0 to halos"
        )
    if sum(prior.get("classes", [1])) <= 0:
        raise ValueError(f"{where}: all shares of classes are 0; give one at least")
    low, high, index = prior.get("subhalo_mass", (1.0, 2.0, 0.0))
    if not 0 < low < high:
        raise ValueError(
            f"{where}.subhalo_mass: [{low:g}, {high:g}] is no range of masses; give the smallest "
            "first"
        )
    if points == 0 and index == -1:
        raise ValueError(
            f"{where}.subhalo_mass: an index of -1 has as many halos in every decade, which the "
            "mass function is not written for; give -1.01"
        )
    kind, *radii = prior.get("place", ("disc", 1.0))
    if len(radii) != {"disc": 1, "ring": 2}[kind] or radii != sorted({*radii}) or radii[-1] <= 0:
        raise ValueError(
            f"{where}.place: {kind} {radii} is no place; write [disc, r] or [ring, r1, r2] with "
            "r1 < r2, in arcsec"
        )
    if kind == "ring" and points == 0:
        raise ValueError(
            f"{where}.place: halos are counted by area; write [disc, r] for the family {family!r}"
        )
