"""Change detection: whether the files of a sample are those of before, by name, size and time.

Imports only the standard library: Snakemake asks this before every run.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path


def files(folder: str, above: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the names of all files below a folder, in order, also where links lead.

    A link to one of the folders ``above``, by their real paths, is not followed.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        linked = entry.is_symlink() and os.path.isdir(entry.path)  # noqa: PTH112
        if linked or entry.is_dir(follow_symlinks=False):
            yield from files(entry.path, above | {real})
        else:
            yield entry.path


def names(folder: str) -> str:
    """Return a digest of the names of all files below a folder."""
    whole = hashlib.sha256()
    for file in files(folder):
        whole.update(os.fsencode(f"{file}\0"))
    return whole.hexdigest()


def states(listed: str | Path) -> str:
    """Return a digest of size and time of change of files, whose names a JSON file lists."""
    whole = hashlib.sha256()
    for path in json.loads(Path(listed).read_text()):
        try:
            status = os.stat(path)  # noqa: PTH116 - a Path for each of a million takes seconds
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:  # it is gone, or not there yet
            state = "missing"
        whole.update(os.fsencode(f"{path}\0{state}\0"))
    return whole.hexdigest()
