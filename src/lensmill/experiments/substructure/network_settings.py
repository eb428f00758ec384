"""What a schema cannot say of the networks, and what the rules ask about them (`settings.py`)."""

from collections.abc import Mapping

from lensmill.pipeline.settings import refer

AUTOENCODER = "autoencoder"
# What can be measured, and the class that has it.
CLASS_OF = {
    "sigma_sub": "subhalos",
    "f_sub": "subhalos",
    "m_sub": "subhalos",
    "m_hm": "subhalos",
    "vortex_mass": "vortex",
    "vortex_length": "vortex",
}


def check_networks(settings: Mapping, where: str) -> None:
    """Check that every network can give its answers.

    Raises
    ------
    ValueError
        Naming the setting, what is wrong with it and the remedy.
    """
    for name, network in settings["networks"].items():
        place = f"{where}.networks.{name}"
        answers, architecture = network["answers"], network["architecture"]
        if (answers == "anomaly") != (architecture == AUTOENCODER):
            raise ValueError(
                f"{place}: the architecture {architecture!r} cannot answer {answers!r}; an "
                f"{AUTOENCODER!r} answers 'anomaly' and nothing else"
            )
        targets = network.get("targets", [])
        if (answers == "numbers") != bool(targets):
            raise ValueError(
                f"{place}: a network that answers 'numbers' needs `targets`, and no other has "
                f"them; there are {', '.join(CLASS_OF)}"
            )
        classes = sorted({CLASS_OF[target] for target in targets})
        if len(classes) > 1:
            raise ValueError(
                f"{place}.targets: {', '.join(targets)} belong to {' and '.join(classes)}; no "
                "image has both: measure them by two networks"
            )
    check_published(settings, where)
    check_visibility(settings, where)


def check_published(settings: Mapping, where: str) -> None:
    """Check that what is set beside published numbers is there, and names classes."""
    if "published" not in settings:
        return
    chosen, place = settings["published"], f"{where}.published"
    refer(chosen["population"], settings["populations"], f"{place}.population")
    for name in (chosen["network"], *chosen["compressed"]):
        refer(name, settings["networks"], place)
        answers = settings["networks"][name]["answers"]
        if answers != "class":
            raise ValueError(
                f"{place}: the network {name!r} answers {answers!r}; name one that answers 'class'"
            )


def check_visibility(settings: Mapping, where: str) -> None:
    """Check that the lenses are there of which is asked how much substructure can be seen."""
    if "visibility" not in settings:
        return
    chosen, place = settings["visibility"], f"{where}.visibility"
    refer(chosen["prior"], settings["priors"], f"{place}.prior")
    refer(chosen["observation"], settings["observations"], f"{place}.observation")


def visible(settings: Mapping) -> dict:
    """Return what fixes the lenses of which is asked how much substructure can be seen."""
    chosen = dict(settings["visibility"])
    prior, observation = chosen["prior"], chosen["observation"]
    chosen["prior"] = dict(settings["priors"][prior])
    chosen["observation"] = dict(settings["observations"][observation])
    return chosen


def claims_errors(network: Mapping) -> bool:
    """Say whether a network gives posteriors, whose calibration is judged."""
    return network.get("answers") == "numbers"


def prediction_inputs(settings: Mapping, network: Mapping, population: str) -> dict[str, str]:
    """Name the split of a simulated population, and what a network that names classes learned from.

    Systems without substructure of its training part say what is strange to it.
    """
    own, found = network["train_on"], {}
    if "systems" in settings["populations"][population] or population == own:
        found["split"] = f"data/{population}/split.h5"
    if network["answers"] == "class":
        found |= {"learned": f"data/{own}/dataset.h5", "learned_split": f"data/{own}/split.h5"}
    return found


def score_inputs(settings: Mapping, name: str, network: Mapping, population: str) -> dict[str, str]:
    """Name the scored predictions that say what is strange to a network that measures."""
    if population == network["train_on"] or not claims_errors(network):
        return {}
    return {"family": f"scores/{name}/{network['train_on']}/predictions.h5"}
