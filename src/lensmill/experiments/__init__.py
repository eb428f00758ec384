"""The experiments: one folder each, all with the same modules.

Nothing is registered. A folder that has a ``defaults.yaml`` is an experiment.
"""

import ast
from importlib import import_module
from pathlib import Path
from types import ModuleType

import yaml

from lensmill.pipeline.settings import Uses

FOLDER = Path(__file__).parent
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/defaults.yaml"))


def load(name: str, part: str) -> ModuleType:
    """Import one module of one experiment, e.g. ``load("time_delay", "simulate")``.

    Only that module is imported, so simulating needs no deep-learning library.
    """
    if name not in NAMES:
        raise ValueError(f"unknown experiment {name!r}; there are: {', '.join(NAMES)}")
    return import_module(f"{__name__}.{name}.{part}")


def offers(name: str, part: str, function: str) -> bool:
    """Say whether a module of an experiment has a function, without importing it."""
    tree = ast.parse((FOLDER / name / f"{part}.py").read_text())
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)


def defaults(name: str) -> dict:
    """Read the settings an experiment has, with their default values."""
    path = FOLDER / name / "defaults.yaml"
    return yaml.safe_load(path.read_text())["experiments"][name]


def schema(name: str) -> dict:
    """Read the schema of the settings that only this experiment has."""
    return yaml.safe_load((FOLDER / name / "schema.yaml").read_text())


def whole_schema(path: str | Path) -> dict:
    """Read the schema of the whole configuration and put those of the experiments into it."""
    whole = yaml.safe_load(Path(path).read_text())
    whole["properties"]["experiments"]["properties"] = {name: schema(name) for name in NAMES}
    return whole


def families(name: str) -> dict[str, dict[str, list]]:
    """Return the priors that each family of an experiment fixes; empty if it has no families."""
    there = (FOLDER / name / "families.py").exists()
    return load(name, "families").FAMILIES if there else {}


def uses(name: str) -> Uses:
    """Return what the networks of an experiment use of their settings; all if it does not say."""
    there = (FOLDER / name / "architectures.py").exists()
    return load(name, "architectures").USES if there else Uses()
