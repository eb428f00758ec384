"""Settings of populations and networks in the tests."""

from pathlib import Path

import yaml

from lensmill.pipeline import settings

FOLDER = Path(__file__).parents[1]


def population(name, **override):
    """Return what fixes a population of the defaults; priors given here differ."""
    chosen = yaml.safe_load((FOLDER / "defaults.yaml").read_text())["experiments"]["rings"]
    found = settings.population(chosen, name)
    return found | {"prior": found["prior"] | override}
