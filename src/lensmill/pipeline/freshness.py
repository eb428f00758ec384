"""Whether the files of a sample are those that were there before, by name, size and time.

Imports only the standard library: Snakemake asks this before every run.
"""

import hashlib
import json
import os
from pathlib import Path


def names(folder: str | Path) -> str:
    """Return a digest of the names of all files below a folder."""
    whole = hashlib.sha256()
    for path, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            whole.update(os.fsencode(f"{path}/{name}\0"))
    return whole.hexdigest()


def states(listed: str | Path) -> str:
    """Return a digest of size and time of change of files, whose names a JSON file lists."""
    whole = hashlib.sha256()
    for path in json.loads(Path(listed).read_text()):
        try:
            about = os.stat(path)  # noqa: PTH116 - a Path for each of a million takes seconds
            state = f"{about.st_size} {about.st_mtime_ns}"
        except OSError:  # it is gone, or not there yet
            state = "missing"
        whole.update(os.fsencode(f"{path}\0{state}\0"))
    return whole.hexdigest()
