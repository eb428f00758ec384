"""Look-ups of this experiment, and what a schema cannot say of its settings.

Only literals and the standard library: this is read in every job (../README.md).
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from lensmill.experiments.time_delay.families import FAMILIES as FAMILIES
from lensmill.pipeline.settings import population, reach


def check(settings: Mapping, where: str) -> None:
    """Refuse lenses behind their sources, networks without images to compare, and a lost H0."""
    for name, chosen in settings["populations"].items():
        if "systems" in chosen:
            prior = population(settings, name)["prior"] | FAMILIES[chosen["family"]]
            refuse_source_before_lens(prior, f"{where}.populations.{name}")
    check_images(settings)
    check_hubble(settings)


def own_table(given: str | None, find: Callable[[str], str]) -> str:
    """Return the path of a user's table of lenses, which is read before the first job runs.

    Raises
    ------
    ValueError
        If there is none, or with all that is wrong with it.
    """
    from lensmill.experiments.time_delay import ingest  # astropy takes a while; only here

    if given is None:
        raise ValueError(
            "experiments.time_delay.lens names no table; say `make lens CSV=my_lens.csv` "
            "(docs/own_lens.md), or name one in a --configfile"
        )
    path = find(str(Path(given).expanduser()))
    try:
        ingest.read(path)
    except OSError as error:
        raise ValueError(
            f"{given!r} cannot be read from {Path.cwd()}: {error.strerror}; correct the path"
        ) from error
    return path


def name_of_lens(table: str) -> str:
    """Return what the results for a user's table are called: after the file, fit for a folder."""
    name = Path(table).name.removesuffix(".gz")
    return re.sub(r"[^\w.+-]", "_", Path(name).stem).lstrip(".") or "_"


def check_settings(settings: Mapping, population: str) -> dict:
    """Return the fractions of systems by number of images that a population should have."""
    expected = settings["expected_fractions"].get(population, {})
    return (
        {"expected_fractions": expected} if "systems" in settings["populations"][population] else {}
    )


def claims_errors(network: Mapping) -> bool:
    """Say whether a network gives posteriors, whose calibration is judged."""
    return network.get("head", "point") != "point"


def score_inputs(settings: Mapping, name: str, network: Mapping, population: str) -> dict[str, str]:
    """Name the scored predictions for a network's own population, which say what is strange."""
    own = network["train_on"]
    if population == own or not claims_errors(network):
        return {}
    return {"family": f"scores/{name}/{own}/predictions.h5"}


def check_images(settings: Mapping) -> None:
    """Check that a network has images to compare.

    Raises
    ------
    ValueError
        Naming the network and the remedy.
    """
    for name, network in settings["networks"].items():
        if network["images"] == 1 and network.get("architecture") != "dense":
            raise ValueError(
                f"experiments.time_delay.networks.{name}: a canonical network needs 2 images or "
                "more, whose delays and places it compares, not 1; say architecture: dense, or "
                "raise images"
            )


def check_hubble(settings: Mapping) -> None:
    """Check the names in ``hubble``, and that its networks can answer for the prior of ``h0``.

    Raises
    ------
    ValueError
        Naming the setting, what is wrong with it and the remedy.
    """
    chosen, where = settings["hubble"], "experiments.time_delay.hubble"
    known = {
        "family": [n for n, p in settings["populations"].items() if "systems" in p],
        "populations": [n for n, p in settings["populations"].items() if "ingest" in p],
        "networks": list(settings["networks"]),
        "observation": list(settings["observations"]),
    }
    for key, names in known.items():
        for name in [chosen[key]] if isinstance(chosen[key], str) else chosen[key]:
            if name not in names:
                raise ValueError(f"{where}.{key}: {name!r} is none of {', '.join(names)}")
    for name in chosen["networks"]:
        network = settings["networks"][name]
        if network["train_on"] != chosen["family"]:
            raise ValueError(
                f"{where}.networks: {name!r} is trained on {network['train_on']!r}, but "
                f"hubble.family is {chosen['family']!r}; the prior of the training is taken from "
                "there, so both must be the same"
            )
    trained = population(settings, chosen["family"])["prior"]["h0"]
    if trained[0] == "fixed":
        raise ValueError(
            f"{where}.family: {chosen['family']!r} has {trained} for h0, so its networks learn "
            "nothing of it; give it a range"
        )
    (low, high), (least, most) = reach(chosen["h0"]), reach(trained)
    if low < least or high > most:
        raise ValueError(
            f"{where}.h0: {chosen['h0']} reaches from {low:g} to {high:g}, beyond the {least:g} to "
            f"{most:g} of the training on {chosen['family']!r}; what a network never saw it cannot "
            "tell: narrow the one or widen the other"
        )


def refuse_source_before_lens(prior: Mapping, place: str) -> None:
    """Raise if a lens can be drawn that no source of the prior lies behind.

    A source is drawn from its prior beyond the redshift of its lens and the gap; where nothing of
    the prior is left, the draw would be its upper end, in front of the lens.
    """
    gap = prior["redshift_gap"]
    lens, source = (reach(prior[name]) for name in ("z_lens", "z_source"))
    if lens[1] + gap <= source[1] * (1 + 1e-12):
        return
    many = "every" if lens[0] + gap > source[1] else "some"
    raise ValueError(
        f"{place}: {many} lens would lie behind its source: z_lens {prior['z_lens']} reaches "
        f"{lens[1]:g}, and with redshift_gap {gap:g} that is beyond {source[1]:g}, the highest of "
        f"z_source {prior['z_source']}; end z_lens below {source[1] - gap:g} or raise z_source"
    )
