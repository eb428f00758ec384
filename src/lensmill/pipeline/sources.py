"""Where the tables and folders lie that a configuration names.

Imports nothing large: this is asked while the workflow is read.
"""

from importlib.util import find_spec
from pathlib import Path

PACKAGE = "package:"  # then the name of an installed package, and the path of a file in it


def find(given: str, root: str | Path) -> str:
    """Return the path of what a configuration names: here, else beside the Snakefile.

    What starts with ``package:`` lies in an installed package, which is not imported for it:
    ``package:kcorrect/data/test/gst_tests_small.fits``.

    Parameters
    ----------
    given : str
        As it is written in the configuration.
    root : path
        The folder of the Snakefile.

    Returns
    -------
    str
        The path; it need not exist.
    """
    if given.startswith(PACKAGE):
        name, _, inside = given.removeprefix(PACKAGE).partition("/")
        found = find_spec(name) if name.isidentifier() else None
        folders = (found and found.submodule_search_locations) or []
        return str(Path(folders[0]) / inside) if folders else given
    return given if Path(given).exists() else str(Path(root) / given)


def where(given: str) -> str:
    """Say where a file that is not there was looked for, and what to do."""
    if given.startswith(PACKAGE):
        package = given.removeprefix(PACKAGE).partition("/")[0]
        return (
            f"{given!r} is not there: the package {package!r} is not installed, or has no such "
            "file; `make env` installs what requirements.txt locks"
        )
    return f"{given!r} is neither in {Path.cwd()} nor beside the Snakefile; correct the path"
