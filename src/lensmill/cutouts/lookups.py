"""Look-ups that experiments on images share, and what a schema cannot say of their settings.

Only literals and the standard library: this is read in every job (`lensmill.experiments.lookups`).
"""

from collections.abc import Mapping
from typing import Any

from lensmill.learning.image_architectures import SMALLEST
from lensmill.pipeline import freshness
from lensmill.pipeline.settings import own, refer, refuse_test_only, shares

MADE_OF = ("background", "host", "sources")  # keys of a population that name another


def check(settings: Mapping, where: str) -> None:
    """Refuse backgrounds that are not there or do not fit, and images too small for a network."""
    for name, population in settings["populations"].items():
        for key in MADE_OF:
            if population.get(key) in settings["populations"]:
                place = f"{where}.populations.{name}.{key}"
                refuse_test_only(settings, population[key], place)
        if "background" in population:
            place = f"{where}.populations.{name}.background"
            refer(population["background"], settings["populations"], place)
            refuse_unlike(settings, name, population["background"], place, sky=True)
    for name, network in settings["networks"].items():
        refuse_small(settings, network, f"{where}.networks.{name}")


def refuse_small(settings: Mapping, network: Mapping, where: str) -> None:
    """Raise if images are too small for the architecture that is to learn from them."""
    architecture, population = network["architecture"], own(network)
    observation = settings["populations"][population]["observation"]
    size, least = settings["observations"][observation]["size"], SMALLEST.get(architecture, 0)
    if size < least:
        better = [a for a, needed in SMALLEST.items() if needed <= size]
        raise ValueError(
            f"{where}: the images of {population!r} are {size} x {size} pixels, too small for "
            f"the architecture {architecture!r}, which needs {least} across; raise the size of "
            f"the observation {observation!r}, or choose {', '.join(better)}"
        )


def refuse_unlike(
    settings: Mapping, trained_on: str, population: str, where: str, sky: bool = False
) -> None:
    """Raise if what is made for one population cannot be used with another.

    A network learns from images of one size in some bands. Pixel scales, surveys
    and the names of bands may differ: how a network does there is what a test is for.

    Parameters
    ----------
    settings : mapping
        Those of the experiment, whose names have been looked up.
    trained_on, population : str
        The population that decides, and the one that is to go with it.
    where : str
        How the message names the place.
    sky : bool
        If the images of one are laid upon those of the other: pixels and bands must then be the
        same ones.

    Raises
    ------
    ValueError
        With what both are, and what to do.
    """
    one, two = (
        settings["observations"][settings["populations"][name]["observation"]]
        for name in (trained_on, population)
    )
    ours, theirs = (list(observation["bands"]) for observation in (one, two))
    moved = [b for b in ours if b in theirs and ours.index(b) != theirs.index(b)]
    faults = []
    if one["size"] != two["size"]:
        faults.append(f"{two['size']} x {two['size']} pixels instead of {one['size']}")
    if len(ours) != len(theirs) or moved or (sky and ours != theirs):
        faults.append(f"the bands {', '.join(theirs)} instead of {', '.join(ours)}")
    if sky and one["pixel_scale"] != two["pixel_scale"]:
        faults.append(f"pixels of {two['pixel_scale']} arcsec instead of {one['pixel_scale']}")
    if faults:
        kept = "size, bands and pixel_scale" if sky else "size and as many bands in that order"
        raise ValueError(
            f"{where}: the images of {population!r} have {' and '.join(faults)} (those of "
            f"{trained_on!r}); give {population!r} an observation of that {kept}, or leave it out"
        )


def source_files(population: Mapping, source: str) -> list[str]:
    """List the folder or table of images, its table of labels, and that of masses."""
    labels, masses = population.get("labels"), population.get("masses") or {}
    table = [masses["table"]] if masses.get("table") else []
    return [source] + [f"{source}/{labels}"] * isinstance(labels, str) + table


def count_images(population: Mapping, source: str) -> int:
    """Return about how many images a folder or table holds: what is divided among jobs."""
    count = freshness.count(source)
    if population["format"] == "bologna":  # a file for each band
        return -(-count // len(population["observation"]["bands"]))
    return count


def simulation_inputs(settings: Mapping, population: str) -> dict[str, str]:
    """Name the data sets that a simulated population is made of: sky, or hosts and sources."""
    chosen = settings["populations"][population]
    return {key: f"data/{chosen[key]}/dataset.h5" for key in MADE_OF if key in chosen}


def prediction_inputs(settings: Mapping, network: Mapping, population: str) -> dict[str, Any]:
    """Name the split, if a part is to be tested, and real images that the network learned from.

    A population that no network learns from is tested whole, if it names no groups as what the
    network learns from does. If neither is a mock without real sky, no image and no group of
    what was learned may be here; of a population that is `test_only`, systems of such groups
    are left out.
    """
    populations, mine = settings["populations"], shares(network)
    learned = {p for other in settings["networks"].values() for p in shares(other)}
    chosen = populations[population]
    kinds = {_kind_of_groups(populations, name) for name in mine} - {None}
    grouped = _kind_of_groups(populations, population) in kinds and not chosen.get("test_only")
    files: dict[str, Any] = {}
    if population in mine or grouped or (population in learned and "systems" in chosen):
        files["split"] = f"data/{population}/split.h5"
    if _has_real_sky(chosen):
        others = [p for p in mine if p != population and _has_real_sky(populations[p])]
        paths = {
            "learned": [f"data/{p}/dataset.h5" for p in others],
            "learned_split": [f"data/{p}/split.h5" for p in others],
        }
        files |= {key: x[0] if len(x) == 1 else x for key, x in paths.items() if x}
    return files


def _has_real_sky(population: Mapping) -> bool:
    """Say whether images are real ones, or mocks upon them."""
    return any(key in population for key in ("background", "host", "ingest"))


def _kind_of_groups(populations: Mapping, name: str) -> str | None:
    """Say what the groups of a population are: of a column, or the images it was cut from."""
    chosen = populations[name]
    below = [chosen[key] for key in ("host", "background") if key in chosen]
    under = populations[below[0]] if below else chosen
    if under.get("group") is not None:
        return "named"
    if below or under.get("place") == "corners":
        return "images"
    return None
