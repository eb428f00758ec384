"""Settings of a population for the tests: the defaults, with other priors over them."""

from lensmill import experiments
from lensmill.pipeline import settings as checked


def population(name="flat", views=None, **override):
    """Return what `simulate.draw` takes, of a population of the defaults."""
    chosen = checked.population(experiments.defaults("cluster_mass"), name)
    chosen["prior"] = chosen["prior"] | override
    return chosen if views is None else chosen | {"views": views}
