"""Small simulated data sets of substructure, each with its split beside it."""

from lensmill import experiments
from lensmill.experiments.substructure import simulate
from lensmill.pipeline import settings, shards, splits, store


def population(name, observation=None, **override):
    """Return what fixes a population of the defaults; priors given here differ."""
    chosen = settings.population(experiments.defaults("substructure"), name)
    chosen["observation"] |= observation or {}
    return chosen | {"prior": chosen["prior"] | override}


def write(path, name, n, fixed, seed=1):
    """Simulate ``n`` systems and divide them; returns the path."""
    shards.simulate(f"{path}.0", simulate, "substructure", name, seed, 0, n, fixed, "code")
    identity = {"experiment": "substructure", "population": name, "seed": seed, "code": "code"}
    shards.merge([f"{path}.0"], path, n, settings=fixed, **identity)
    splits.write(path, f"{path}.split", "label", (7, 1, 2))
    return path


def changed(source, output, change):
    """Copy a data set with other pixels or columns: ``change(systems, pixels)`` edits them."""
    tables = {name: store.read(source, name) for name in ("systems", "cutouts")}
    tables["cutouts"]["pixels"] = tables["cutouts"]["pixels"].copy()
    change(tables["systems"], tables["cutouts"]["pixels"])
    about = store.attributes(source)
    store.write(output, tables, store.units(source), about)
    if "label" in tables["systems"]:
        splits.write(output, f"{output}.split", "label", (7, 1, 2))
    return output
