"""All settings of a network for the tests: those given, over the defaults of its experiment."""

from lensmill import experiments


def network_settings(experiment, given):
    """Return the defaults of an experiment with other settings over them."""
    required = {"observation": {}} if experiment == "time_delay" else {}
    return experiments.network_settings(experiment, required | given)


def architecture_settings(name, given=()):
    """Return the settings of an architecture of images, with its own defaults."""
    return network_settings("lens_finding", {"architecture": name, **dict(given)})
