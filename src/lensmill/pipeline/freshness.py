"""Change detection: whether the files of a sample are those of before, by name, size and time.

Imports only the standard library: Snakemake asks this before every run.
"""

import functools
import gzip
import hashlib
import json
import os
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


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


@functools.cache
def count(path: str) -> int:
    """Return the number of files below a folder or in an archive, or of a table's lines but one.

    Lines are counted as they are; whoever divides them must take it as about so many.
    """
    if os.path.isdir(path):  # noqa: PTH112
        return sum(1 for _ in files(path))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return len(archive.infolist())
    if path.casefold().endswith(".tar"):
        with tarfile.open(path, "r:") as archive:
            return sum(1 for _ in archive)
    with open(path, "rb") as raw:  # noqa: PTH123
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = gzip.open(raw) if zipped else raw
        pieces = iter(lambda: file.read(1 << 20), b"")
        lines, last = 0, b"\n"
        for piece in pieces:
            lines += piece.count(b"\n")
            last = piece[-1:]
    return lines + (last != b"\n") - 1


def states(listed: str | Path) -> str:
    """Return a digest of size and time of change of files, whose names a JSON file lists."""
    return _states(json.loads(Path(listed).read_text()), hashlib.sha256())


def state_of_plan(plan: str | Path) -> str:
    """Return a digest of a JSON file, and of size and time of change of its ``files``."""
    text = Path(plan).read_bytes()
    return _states(json.loads(text)["files"], hashlib.sha256(text))


def _states(paths: list[str], whole: Any) -> str:
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 - a Path for each of a million takes seconds
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:  # it is gone, or not there yet
            state = "missing"
        whole.update(os.fsencode(f"{path}\0{state}\0"))
    return whole.hexdigest()
