"""The experiments: one folder each, all by the contract of README.md.

Nothing is registered. A folder that has a ``defaults.yaml`` is an experiment.
"""

import ast
import functools
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from lensmill.experiments import lookups
from lensmill.pipeline import names, scalars, settings

FOLDER = Path(__file__).parent
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/defaults.yaml"))
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(name: str, part: str) -> ModuleType:
    """Import one module of one experiment, e.g. ``load("time_delay", "simulate")``.

    Only that module is imported, so simulating needs no deep-learning library.
    """
    if name not in NAMES:
        raise ValueError(f"unknown experiment {name!r}; there are: {', '.join(NAMES)}")
    return import_module(f"{__name__}.{name}.{part}")


@functools.cache
def offers(name: str, part: str, function: str) -> bool:
    """Say whether a module of an experiment has a function, without importing it."""
    path = FOLDER / name / f"{part}.py"
    if not path.exists():
        return False
    body = ast.parse(path.read_text()).body
    names = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    imports = (node for node in body if isinstance(node, ast.ImportFrom))
    names |= {alias.asname or alias.name for node in imports for alias in node.names}
    assigned = (node.targets for node in body if isinstance(node, ast.Assign))
    names |= {target.id for targets in assigned for target in targets if hasattr(target, "id")}
    return function in names


@functools.cache
def look_up(name: str, what: str) -> Any:
    """Return a look-up of an experiment (README.md lists them), or what stands for it."""
    own = load(name, "settings") if (FOLDER / name / "settings.py").exists() else None
    return getattr(own, what, getattr(lookups, what))


@functools.cache
def schema(name: str) -> dict:
    """Read the schema of an experiment's settings, laid over what all share."""
    shared, own = (
        yaml.load(path.read_text(), Loader)
        for path in (FOLDER / "schema.yaml", FOLDER / name / "schema.yaml")
    )
    return settings.merge_schemas(shared, own)


@functools.cache
def whole_schema() -> dict:
    """Return the schema of the whole configuration, with those of the experiments in it."""
    whole = yaml.load((FOLDER / "configuration.schema.yaml").read_text(), Loader)
    whole["properties"]["experiments"]["properties"] = {name: schema(name) for name in NAMES}
    return whole


@functools.cache
def shared_priors() -> dict[str, dict]:
    """Read the priors that experiments share, by the name of their file in ``priors``."""
    files = sorted((FOLDER / "priors").glob("*.yaml"))
    return {path.stem: yaml.load(path.read_text(), Loader) for path in files}


def with_priors(name: str, chosen: Mapping) -> dict:
    """Return settings of an experiment whose presets of priors are not ``from`` elsewhere."""
    where = f"experiments.{name}"
    return settings.with_shared_priors(chosen, shared_priors(), schema(name), where)


def choices(name: str) -> dict:
    """Read what an experiment's ``defaults.yaml`` says: the choices of the study."""
    text = (FOLDER / name / "defaults.yaml").read_text()
    return with_priors(name, yaml.load(text, Loader)["experiments"][name])


def defaults(name: str) -> dict:
    """Return all settings of an experiment as they are where nothing else is said."""
    return settings.complete(choices(name), schema(name))


def network_settings(name: str, chosen: Mapping) -> dict:
    """Return all settings of a network, of which some are chosen."""
    whole = schema(name)
    return settings.complete(chosen, whole["$defs"]["network"], whole)


def population_settings(name: str, chosen: Mapping) -> dict:
    """Return all settings of a population, of which some are chosen."""
    whole = schema(name)
    return settings.complete(chosen, whole["$defs"]["population"], whole)


def check(name: str, chosen: Mapping) -> dict:
    """Check the settings of an experiment and return them with all defaults.

    Raises
    ------
    ValueError
        Naming the setting, what is wrong with it and what to do.
    """
    where, whole = f"experiments.{name}", schema(name)
    settings.refuse_unknown(chosen, whole, where)
    chosen = settings.without_null(chosen)
    settings.validate(chosen, whole, where)
    names.check(chosen, where)
    settings.check_references(chosen, whole, where, look_up(name, "refuse_unlike"))
    settings.check_populations(chosen, look_up(name, "FAMILIES"), whole, where)
    settings.check_networks(chosen, whole, where)
    chosen = settings.complete(chosen, whole)
    look_up(name, "check")(chosen, where)
    return chosen


def check_config(config: dict, files: Iterable[str | Path], given: Mapping) -> dict:
    """Check the whole configuration and fill in all defaults, in place.

    Parameters
    ----------
    config : dict
        What Snakemake has read; afterwards it holds every setting, also those left out.
    files : iterable of path
        The configuration files, in which a value may be read otherwise than it looks.
    given : mapping
        What the command line said.

    Returns
    -------
    dict
        The configuration as it was written, to be kept, with the numbers of shared priors.

    Raises
    ------
    ValueError
        Naming the setting, what is wrong with it and what to do.
    """
    whole = whole_schema()
    for path in dict.fromkeys(map(str, files)):
        scalars.refuse_misread(path, whole)
    scalars.refuse_text(given, whole)
    written = names.text_values(names.text_keys(config, "config"), whole)
    for name in written["run"]:
        if name not in NAMES:
            raise ValueError(
                f"config.yaml asks to run {name!r}, which is not an experiment; the folders in "
                f"src/lensmill/experiments are: {', '.join(NAMES)}."
            )
    for name in written["experiments"]:
        if name not in NAMES:
            raise ValueError(
                f"experiments.{name} is not an experiment; there are: {', '.join(NAMES)}."
            )
    shell = whole | {"properties": whole["properties"] | {"experiments": {"type": "object"}}}
    settings.validate(written, shell, "config")
    written["experiments"] = {n: with_priors(n, c) for n, c in written["experiments"].items()}
    config.clear()
    config |= written
    config["experiments"] = {n: check(n, c) for n, c in written["experiments"].items()}
    return written
