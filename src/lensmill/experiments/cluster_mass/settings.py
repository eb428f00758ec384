"""What a schema cannot say of the settings of this experiment: standard library only."""

from collections.abc import Mapping

from lensmill.experiments.cluster_mass.families import FAMILIES as FAMILIES
from lensmill.learning.image_architectures import SMALLEST
from lensmill.pipeline import names
from lensmill.pipeline.settings import refer

# An image does not say it more sharply: masses scatter by several per cent with the noise.
TOLERANCES = {
    "scatter": 0.03,
    "half_range": 0.03,
    "bias": 0.03,
    "bias_median": 0.03,
    "slope": 0.05,
    "mse": 0.02,
    "mse_normalised": 0.002,
}


def check(settings: Mapping, where: str) -> None:
    """Refuse images that a network cannot take, turns that are not there, and unlike comparisons.

    Raises
    ------
    ValueError
        Naming the setting, what is wrong with it and the remedy.
    """
    for name, network in settings["networks"].items():
        _check_size(settings, network, f"{where}.networks.{name}")
        blocks = settings["split"]["blocks"]
        turns, rest = divmod(sum(blocks), blocks[2])
        if network["turn"] and (rest or network["turn"] >= turns):
            raise ValueError(
                f"{where}.networks.{name}.turn is {network['turn']}, but split.blocks {blocks} "
                f"test every cluster once in {sum(blocks)} / {blocks[2]} turns; take a turn below "
                "that, and blocks whose sum is a multiple of the last"
            )
    for name, trainings in settings["comparison"].items():
        for one in trainings:
            refer(names.member(one)[0], settings["networks"], f"{where}.comparison.{name}")
        if not _tested_on(settings, trainings):
            raise ValueError(
                f"{where}.comparison.{name}: {', '.join(trainings)} are trainings of one network, "
                "but have no population in common in test_on; give them one"
            )


def _tested_on(settings: Mapping, trainings: list[str]) -> list[str]:
    """List the populations that several trainings are all tested on."""
    first, *others = (settings["networks"][names.member(one)[0]]["test_on"] for one in trainings)
    return [one for one in first if all(one in several for several in others)]


def _check_size(settings: Mapping, network: Mapping, where: str) -> None:
    """Refuse images that do not divide, or leave nothing to the network."""
    observation = settings["populations"][network["train_on"]]["observation"]
    size, binning = settings["observations"][observation]["size"], network["binning"]
    least = SMALLEST[network["architecture"]]
    if size % binning or size // binning < least:
        raise ValueError(
            f"{where}.binning is {binning}, but images of {size} x {size} pixels must divide by it "
            f"and leave {least} across to {network['architecture']!r}; take a smaller one, 1 at "
            "the least, or raise the size of the observation"
        )


def refuse_unlike(settings: Mapping, trained_on: str, population: str, where: str) -> None:
    """Raise if a network has learned from images of another size, or other pixels of the sky.

    Raises
    ------
    ValueError
        Naming both and the remedy.
    """
    ours, theirs = (
        settings["observations"][settings["populations"][name]["observation"]]
        for name in (trained_on, population)
    )
    for key, unit in (("size", "pixels across"), ("pixel_scale", "arcsec a pixel")):
        if ours[key] != theirs[key]:
            raise ValueError(
                f"{where}: the images of {population!r} have {theirs[key]} {unit}, those of "
                f"{trained_on!r} {ours[key]}; give both one observation, or leave one out"
            )


def compared(settings: Mapping) -> dict[str, list[tuple[str, str]]]:
    """List trainings and the population they are judged on, by ``NAME/POPULATION``."""
    found = {}
    for name, trainings in settings["comparison"].items():
        for population in _tested_on(settings, trainings):
            found[f"{name}/{population}"] = [(one, population) for one in trainings]
    return found
