"""The locks, the conda environments and the package agree on every version."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import lensmill

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
# conda-forge's name where it is not that of the wheel
WHEEL = {"matplotlib-base": "matplotlib"}


def locked(name: str) -> dict[str, str]:
    """Return the version of each package in a lock file."""
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, flags=re.MULTILINE))


def required(name: str) -> dict[str, str]:
    """Return the exact versions asked for in a ``.in`` file."""
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)$", text, flags=re.MULTILINE))


def pinned(path: Path) -> dict[str, str]:
    """Return the versions in a conda environment: its packages, and the wheels that pip adds."""
    asked = yaml.safe_load(path.read_text())["dependencies"]
    wheels = [pin for entry in asked if isinstance(entry, dict) for pin in entry["pip"]]
    assert ("pip" in asked) == bool(wheels)
    packages = [entry for entry in asked if isinstance(entry, str) and entry != "pip"]
    return dict(pin.split("=") for pin in packages) | dict(pin.split("==") for pin in wheels)


def test_there_is_an_environment_for_each_kind_of_step():
    assert {path.stem for path in ENVIRONMENTS} == {"workflow", "simulate", "train", "figures"}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_conda_pins_are_the_versions_asked_for(path):
    environment = yaml.safe_load(path.read_text())
    assert environment["channels"] == ["conda-forge", "bioconda", "nodefaults"]

    pins = pinned(path)
    assert pins.pop("python") == "3.11"

    asked = required("requirements.in")
    assert {WHEEL.get(name, name): version for name, version in pins.items()} == {
        WHEEL.get(name, name): asked.get(WHEEL.get(name, name)) for name in pins
    }


def test_every_package_asked_for_is_in_some_conda_environment():
    found = {WHEEL.get(name, name) for path in ENVIRONMENTS for name in pinned(path)}
    assert set(required("requirements.in")) <= found


def test_the_lock_holds_the_versions_asked_for():
    lock = locked("requirements.txt")
    for name, version in required("requirements.in").items():
        assert lock.get(name) == version, name


def test_the_development_lock_contains_the_other():
    development, lock = locked("requirements-dev.txt"), locked("requirements.txt")
    assert {name: development.get(name) for name in lock} == lock


def test_the_documentation_is_made_beside_the_same_versions():
    development, docs = locked("requirements-dev.txt"), locked("requirements-docs.txt")
    shared = {name: development[name] for name in docs if name in development}
    assert "docutils" in shared
    assert {name: docs[name] for name in shared} == shared


@pytest.mark.parametrize(
    "name", ["requirements.txt", "requirements-dev.txt", "requirements-docs.txt"]
)
def test_every_locked_package_has_a_hash(name):
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) == len(locked(name))
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_citation_the_project_and_the_package_name_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == project["version"] == lensmill.__version__
