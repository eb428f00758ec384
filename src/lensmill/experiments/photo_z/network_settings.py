"""What a schema cannot say of the methods, and what the rules ask about them (`settings.py`)."""

from collections.abc import Mapping

from lensmill.pipeline.settings import refer

CLAIMING = ("forest", "mixture", "template")  # methods that answer with p(z)
ALONE = ("forest", "template")  # methods that are not made better by seeds


def check_networks(settings: Mapping, where: str) -> None:
    """Check that every method finds its bands in the populations that it is asked about.

    Raises
    ------
    ValueError
        Naming the setting, what is wrong with it and the remedy.
    """
    for name, network in settings["networks"].items():
        place = f"{where}.networks.{name}"
        bands = network.get("bands") or bands_of(settings, network["train_on"])
        others = [(population, "test_on") for population in network["test_on"]]
        if network.get("reweight_to"):
            refer(network["reweight_to"], settings["populations"], f"{place}.reweight_to")
            others.append((network["reweight_to"], "reweight_to"))
        for population, key in [(network["train_on"], "train_on"), *others]:
            there = bands_of(settings, population)
            if missing := [band for band in bands if band not in there]:
                raise ValueError(
                    f"{place}.{key}: {population!r} has no {', '.join(missing)}; give the network "
                    f"`bands` that it has ({', '.join(there)}), or leave the population out"
                )
        if network.get("features") == "all" and set(others) - {(network["train_on"], "test_on")}:
            extra = settings["populations"][network["train_on"]].get("extra", [])
            for population, key in others:
                there = settings["populations"][population].get("extra", [])
                if missing := [column for column in extra if column not in there]:
                    raise ValueError(
                        f"{place}.{key}: {population!r} has no column {', '.join(missing)}; give "
                        "the network `features: colours`, or leave the population out"
                    )
        if "seeds" in network and network["architecture"] in ALONE:
            raise ValueError(
                f"{place}.seeds: a {network['architecture']} is not made better by seeds; leave "
                "them out"
            )


def bands_of(settings: Mapping, population: str) -> list[str]:
    """Return the bands of a population's data set."""
    observation = settings["populations"][population]["observation"]
    return list(settings["observations"][observation]["bands"])


def suffix(network: Mapping) -> str:
    """Return the suffix of a network's model file."""
    return ".keras" if network.get("architecture") == "mixture" else ".skops"


def claims_errors(network: Mapping) -> bool:
    """Say whether a method answers with p(z), whose calibration is judged."""
    return network.get("architecture", "forest") in CLAIMING


def prediction_inputs(settings: Mapping, network: Mapping, population: str) -> dict[str, str]:
    """Name the split, and of its own population the sample that weights are for."""
    own = population == network["train_on"]
    found = {}
    if "systems" in settings["populations"][population] or own:
        found["split"] = f"data/{population}/split.h5"
    if own and network.get("reweight_to"):
        found["photometric"] = f"data/{network['reweight_to']}/dataset.h5"
    return found


def score_inputs(settings: Mapping, name: str, network: Mapping, population: str) -> dict[str, str]:
    """Name the scored predictions that say what is strange to a method."""
    if population == network["train_on"] or not claims_errors(network):
        return {}
    return {"family": f"scores/{name}/{network['train_on']}/predictions.h5"}
