"""Checksums of results: what a step reads is what was written, or it is refused.

A data set is read whole for this, once per file and content: what was found is remembered beside it
with size and times of the file, since every network reads the same data.
"""

import contextlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py

from lensmill.pipeline import store

REMEDY = "delete it and run again: it is made anew, and then what depends on it"
# What h5py and zipfile say of a file whose structure was hit depends on the place that was
BROKEN = (OSError, LookupError, RuntimeError, ValueError, TypeError, AttributeError)
BROKEN += (OverflowError, MemoryError)


def verify(paths: Iterable[str | Path]) -> None:
    """Check the results among the files that a step reads: HDF5, networks and JSON.

    Files of other kinds, and what the user gave, are left alone: they are checked where they enter.

    Raises
    ------
    ValueError
        Naming the first file that is truncated, damaged or without a digest, and the remedy.
    """
    checks = {".h5": _tables, ".keras": _network, ".skops": _network, ".json": _json}
    for path in dict.fromkeys(map(Path, paths)):
        check = checks.get(path.suffix)
        if check and path.is_file():
            check(path)


def digest(path: Path) -> str:
    """Return the digest of the tables in a file, worked out from all its columns.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    with reading(path), h5py.File(path) as file:
        return store.content_digest(file)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what is raised while a damaged HDF5 file is read into a ValueError with the remedy."""
    try:
        yield
    except BROKEN as error:
        raise ValueError(f"{path} cannot be read ({error}); {REMEDY}") from error


def _tables(path: Path) -> None:
    note = path.with_name(f".{path.name}.verified")
    state = _state(path)
    with contextlib.suppress(OSError, ValueError):
        if json.loads(note.read_text()) == state:
            return
    present = digest(path)
    with reading(path):
        stated = store.attributes(path).get("content_digest")
    if stated != present:
        raise ValueError(f"{path} is damaged: its digest does not match; {REMEDY}")
    part = note.with_name(f"{note.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):  # a folder of somebody else's: verified again next time
        part.write_text(json.dumps(state))
        part.replace(note)


def _state(path: Path) -> dict[str, int]:
    """Return what changes when a file is written; the time of change cannot be set back."""
    status = path.stat()
    return {"size": status.st_size, "modified": status.st_mtime_ns, "changed": status.st_ctime_ns}


def _network(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (*BROKEN, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} cannot be read ({error}); {REMEDY}") from error
    if damaged:
        raise ValueError(f"{path} is damaged: the checksum of {damaged} does not match; {REMEDY}")


def _json(path: Path) -> None:
    try:
        json.loads(path.read_text())
    except ValueError as error:  # of JSON and of UTF-8
        raise ValueError(f"{path} cannot be read ({error}); {REMEDY}") from error
