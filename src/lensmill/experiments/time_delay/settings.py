"""What a schema cannot say of the settings of this experiment."""

from collections.abc import Mapping

from lensmill.pipeline.priors import inverse_cdf
from lensmill.pipeline.settings import population, refuse_prior

H0_SUPPORT = [10.0, 200.0]  # [km / (Mpc s)]


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
    refuse_prior(chosen["h0"], H0_SUPPORT, f"{where}.h0")
    for name in chosen["networks"]:
        network = settings["networks"][name]
        if network["train_on"] != chosen["family"]:
            raise ValueError(
                f"{where}.networks: {name!r} is trained on {network['train_on']!r}, but "
                f"hubble.family is {chosen['family']!r}; the prior of the training is taken from "
                "there, so both must be the same"
            )
    trained = population(settings, chosen["family"])["prior"]["h0"]
    edges = [0.0, 1.0]
    if trained[0] == "fixed":
        raise ValueError(
            f"{where}.family: {chosen['family']!r} has {trained} for h0, so its networks learn "
            "nothing of it; give it a range"
        )
    (low, high), (least, most) = inverse_cdf(chosen["h0"], edges), inverse_cdf(trained, edges)
    if low < least or high > most:
        raise ValueError(
            f"{where}.h0: {chosen['h0']} reaches from {low:g} to {high:g}, beyond the {least:g} to "
            f"{most:g} of the training on {chosen['family']!r}; what a network never saw it cannot "
            "tell: narrow the one or widen the other"
        )
