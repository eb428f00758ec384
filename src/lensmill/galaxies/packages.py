"""Where the files lie that other packages bring along."""

from importlib.util import find_spec
from pathlib import Path


def folder(package: str) -> Path:
    """Return the folder of an installed package, without importing it (seconds for some)."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(
            f"the package {package}, which brings spectra or filters, is not installed: "
            "`make env` installs what requirements.txt locks"
        )
    return Path(found.submodule_search_locations[0])
