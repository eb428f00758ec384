"""Images within other files: members of archives (tar, zip), and stacks, by row.

Stacks are those of HDF5, .npz and Parquet. Nothing is unpacked: of an archive its table of contents
is read once, of a stack the row in hand.
"""

import functools
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lensmill.cutouts.headers import Refused

ENDINGS = (".tar", ".zip")
IN_ARCHIVE = re.compile(r"(.*?\.(?:tar|zip))/(.+)", re.IGNORECASE)
HDF5, NPZ, PARQUET = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"PAR1"  # what they begin with
LARGEST = 1 << 29  # bytes of a packed array that is unpacked into memory
OPEN = 4  # archives whose table of contents is kept in memory


def split(text: str) -> tuple[str, str | None]:
    """Divide the name of a file, if it lies in an archive: ``tile.tar/cut-outs/1.fits``."""
    match = IN_ARCHIVE.fullmatch(text)
    return (match[1], match[2]) if match else (text, None)


def members(path: Path) -> list[str]:
    """List the files in an archive by name.

    Raises
    ------
    ValueError
        If it is none, or packed as a whole.
    """
    try:
        return sorted(_contents(path, path.stat().st_mtime_ns))
    except Refused as reason:
        raise ValueError(f"{path}: {reason}") from reason


def read(path: Path, changed: int, name: str) -> bytes:
    """Return a file in an archive.

    Raises
    ------
    Refused
        If there is none of that name, or the archive cannot be read.
    """
    found = _contents(path, changed)
    if name not in found:
        raise Refused(f"there is no {name!r} in the archive {path.name}")
    if path.suffix.casefold() == ".zip":
        with zipfile.ZipFile(path) as archive:
            return archive.read(found[name])
    start, size = found[name]
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


@functools.lru_cache(maxsize=OPEN)
def _contents(path: Path, changed: int) -> dict[str, Any]:
    """Return where each file in an archive is."""
    try:
        if path.suffix.casefold() == ".zip":
            with zipfile.ZipFile(path) as archive:
                return {i.filename: i for i in archive.infolist() if not i.is_dir()}
        with tarfile.open(path, "r:") as archive:
            return {
                i.name.removeprefix("./"): (i.offset_data, i.size) for i in archive if i.isfile()
            }
    except (tarfile.TarError, zipfile.BadZipFile, OSError) as error:
        raise Refused(
            f"the archive {path.name} cannot be read ({error}); one that is packed as a whole "
            "(tar.gz) has to be unpacked with gunzip: its files cannot be found in it"
        ) from error


def holds_stacks(path: Path, begin: bytes) -> bool:
    """Say whether a file may hold stacks, by the bytes that it begins with."""
    packed = begin[:4] == NPZ and path.suffix.casefold() == ".npz"
    return packed or begin[:4] == PARQUET or begin == HDF5


def stacks(path: Path, begin: bytes) -> dict[str, Any]:
    """Open the stacks of a file, arrays of numbers of three axes, by name; none is read.

    ``begin``: its first bytes, as for `holds_stacks`.

    Raises
    ------
    OSError, ValueError
        If the file is damaged.
    """
    if begin[:4] == PARQUET:
        from lensmill.cutouts import parquet  # pyarrow takes a while

        return parquet.stacks(path)
    if begin[:4] == NPZ:
        with zipfile.ZipFile(path) as archive:
            found = {i.filename.removesuffix(".npy"): _array(path, i) for i in archive.infolist()}
    else:
        found, file = {}, h5py.File(path)

        def visit(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = item

        file.visititems(visit)
    return {n: a for n, a in found.items() if len(a.shape) == 3 and a.dtype.kind in "fiub"}


def _array(path: Path, member: zipfile.ZipInfo) -> NDArray:
    """Map an array of an .npz file, or unpack one that is packed and small."""
    if member.compress_type != zipfile.ZIP_STORED:
        if member.file_size > LARGEST:
            raise ValueError(
                f"{member.filename} is packed, and takes {member.file_size / 1e9:.1f} GB of "
                "memory; write it with np.savez, which does not pack, or as HDF5"
            )
        with np.load(path, allow_pickle=False) as file:
            return file[member.filename.removesuffix(".npy")]
    with path.open("rb") as file:
        file.seek(member.header_offset + 26)  # of the local header: lengths of name and extra field
        lengths = np.frombuffer(file.read(4), "<u2")
        file.seek(member.header_offset + 30 + int(lengths.sum()))
        version = np.lib.format.read_magic(file)
        read_header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
        shape, fortran, kind = read_header(file)
        if kind.hasobject:
            raise ValueError(f"{member.filename} holds objects, not numbers")
        return np.memmap(path, kind, "r", file.tell(), shape, "F" if fortran else "C")
