"""Families of rings, and what a schema cannot say of the settings of this experiment."""

from collections.abc import Mapping

# cone: a cone of Cherenkov light for each ring, each with its light; cone_matched: the light of
# the image does not hang on the number of rings; a3net: rings as in the images of that study.
FAMILIES: dict[str, dict[str, list]] = {
    "cone": {"margin": ["fixed", 0.0]},
    "cone_matched": {"margin": ["fixed", 0.0]},
    "a3net": {"tilt": ["fixed", 0.0], "direction": ["fixed", 0.0], "beta": ["fixed", 1.0]},
}
# What is asked, and the architectures that can answer it; p4m says the same of all views.
ANSWERED_BY = {
    "count": ("cnn", "dense", "p4m", "pca_svm"),
    "ring": ("cnn", "dense"),
    "ellipse": ("cnn", "dense"),
    "images": ("vae",),
}


def check(settings: Mapping, where: str) -> None:
    """Check that numbers of rings are a range, and that every network can give its answers.

    Raises
    ------
    ValueError
        Naming the setting, what is wrong with it and the remedy.
    """
    presets = {f"{where}.priors.{name}": prior for name, prior in settings["priors"].items()}
    presets |= {
        f"{where}.populations.{name}.override": population.get("override", {})
        for name, population in settings["populations"].items()
    }
    for place, prior in presets.items():
        least, most = prior.get("rings", (0, 0))
        if least > most:
            raise ValueError(
                f"{place}.rings: [{least}, {most}] is no range; give the smallest number of rings "
                "first"
            )
    for name, network in settings["networks"].items():
        answers, architecture = network["answers"], network["architecture"]
        if architecture not in ANSWERED_BY[answers]:
            raise ValueError(
                f"{where}.networks.{name}: the architecture {architecture!r} cannot answer "
                f"{answers!r}; choose {', '.join(ANSWERED_BY[answers])}"
            )
        observation = settings["populations"][network["train_on"]]["observation"]
        for band in settings["observations"][observation]["bands"].values():
            if answers == "images" and band["reads"] != "hits":
                raise ValueError(
                    f"{where}.networks.{name}: it draws images of bits, but the sensors of "
                    f"{network['train_on']!r} read {band['reads']!r}; train it on a population "
                    "whose observation reads hits"
                )


def refuse_unlike(settings: Mapping, trained_on: str, population: str, where: str) -> None:
    """Raise if a network has learned from images of another size.

    Raises
    ------
    ValueError
        Naming both sizes and the remedy.
    """
    ours, theirs = (
        settings["observations"][settings["populations"][name]["observation"]]["size"]
        for name in (trained_on, population)
    )
    if ours != theirs:
        raise ValueError(
            f"{where}: the images of {population!r} are {theirs} sensors across, those of "
            f"{trained_on!r} {ours}; give both an observation of one size, or leave one out"
        )


def suffix(network: Mapping) -> str:
    """Return the suffix of a network's model file."""
    return ".skops" if network.get("architecture") == "pca_svm" else ".keras"
