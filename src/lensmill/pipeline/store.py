"""Tables in HDF5 files: written whole or not at all, with units and a digest of their content.

A file holds tables (groups) of columns (datasets), each column with its unit as an attribute.
"""

import contextlib
import hashlib
import io
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

Tables = dict[str, dict[str, NDArray]]
Units = Mapping[str, Mapping[str, str]]

MAPPED = 1 << 25  # bytes of a mapped column that are in memory
CHUNK = 1 << 18  # rows read at a time where a whole column need not be in memory


@contextlib.contextmanager
def create(path: str | Path) -> Iterator[h5py.File]:
    """Write a new HDF5 file atomically: it appears under its name only when it is complete.

    It is written under a temporary name in the same folder, flushed to disk and renamed, so a
    job that is killed, or a full disk, leaves no file that could be taken for a good one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py.File(temporary, "w") as file:
            yield file
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[io.BufferedWriter]:
    """Write any other file atomically, in binary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write(path: str | Path, tables: Tables, units: Units, attributes: Mapping[str, Any]) -> None:
    """Write tables to a new file, with a digest of their content.

    Parameters
    ----------
    path : path
        The file; its folder is made if need be.
    tables : dict of dict of array
        ``tables[table][column]``; the columns of a table have one length.
    units : mapping of mapping of str
        Unit of every column as astropy writes it; ``""`` for a pure number.
    attributes : mapping
        Attributes of the file: where the data come from.

    Raises
    ------
    ValueError
        If a column has no unit, or the columns of a table differ in length.
    """
    for table, columns in tables.items():
        missing = columns.keys() - units[table].keys()
        if missing:
            raise ValueError(f"table {table!r}: no unit is given for {sorted(missing)}")
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"table {table!r}: columns differ in length: {lengths}")
    write_parts(path, [tables], units, attributes)


def write_parts(
    path: str | Path, parts: Sequence[Tables], units: Units, attributes: Mapping[str, Any]
) -> None:
    """Write tables that come in parts, one behind the other, as `write` does."""
    with create(path) as file:
        for table, columns in parts[0].items():
            for name in columns:
                pieces = [part[table][name] for part in parts]
                add_column(file, table, name, pieces, units[table][name])
        file.attrs.update(attributes)
        file.attrs["content_digest"] = content_digest(file)


def extend(
    path: str | Path,
    output: str | Path,
    attributes: Mapping[str, Any] | None = None,
    columns: Tables | None = None,
    units: Units | None = None,
) -> None:
    """Write a file again with further columns and attributes, or others of the same name.

    Parameters
    ----------
    path, output : path
        Two different files.
    attributes : mapping, optional
    columns : dict of dict of array, optional
        ``columns[table][column]``, rows in the order of the table.
    units : mapping of mapping of str
        Unit of every new column.

    Raises
    ------
    ValueError
        If a column is not as long as its table.
    """
    columns = columns or {}
    with h5py.File(path) as old, create(output) as file:
        for table, group in old.items():
            for name, column in group.items():
                if name not in columns.get(table, {}):
                    old.copy(column, file.require_group(table), name)
        file.attrs.update({**old.attrs, **(attributes or {})})
        for table, new in columns.items():
            rows = {len(column) for column in old.get(table, {}).values()}
            for name, values in new.items():
                if rows - {len(values)}:
                    raise ValueError(
                        f"{path}: column {table}/{name} has {len(values)} rows where the table has "
                        f"{rows.pop()}"
                    )
                add_column(file, table, name, [values], units[table][name])
        if columns:
            file.attrs["content_digest"] = content_digest(file)


def check_order(index: NDArray, other: NDArray, name: str) -> None:
    """Raise unless the rows of another table or file are those of ``systems``, in its order.

    Parameters
    ----------
    index : array, shape (n,)
        Of the systems.
    other : array, shape (m,)
        The index that each row of the other has.
    name : str
        How the message names the other.
    """
    if len(index) != len(other):
        raise ValueError(
            f"{name} has {len(other)} rows where systems/index has {len(index)}; they do not "
            "belong together: make both anew"
        )
    if (wrong := index != other).any():
        i = int(wrong.argmax())
        raise ValueError(
            f"{name} does not follow systems/index: {int(wrong.sum())} of {len(index)} rows differ "
            f"(first: row {i} with {other[i]}, not {index[i]}); what is known of one system would "
            "be taken for that of another: make both anew"
        )


def add_column(
    file: h5py.File, table: str, name: str, pieces: Sequence[NDArray], unit: str
) -> None:
    """Store one column, contiguous and uncompressed, from its pieces; text as UTF-8.

    Of a piece that is mapped from a file, little is in memory at a time.
    """
    first = pieces[0]
    kind = h5py.string_dtype() if first.dtype.kind in "UO" else first.dtype
    shape = (sum(len(piece) for piece in pieces), *first.shape[1:])
    column = file.require_group(table).create_dataset(name, shape, kind)
    start = 0
    for piece in pieces:
        mapped = isinstance(piece, np.memmap) and piece.mode == "r"
        rows = MAPPED * len(piece) // piece.nbytes if mapped else len(piece)
        for some in (piece[i : i + max(1, rows)] for i in range(0, len(piece), max(1, rows))):
            column[start : start + len(some)] = some
            start += len(some)
            if mapped and isinstance(piece.base, mmap.mmap):
                piece.base.madvise(mmap.MADV_DONTNEED)  # pages that were read count as memory
    column.attrs["unit"] = unit


def read(
    path: str | Path,
    table: str,
    columns: Sequence[str] | None = None,
    first: int = 0,
    count: int | None = None,
) -> dict[str, NDArray]:
    """Read columns of one table, all of them by default, rows ``first ... first + count - 1``."""
    with h5py.File(path) as file:
        stop = None if count is None else first + count
        return {
            name: _text(file[table][name])[first:stop] for name in columns or sorted(file[table])
        }


def rows_at_a_time(column: h5py.Dataset) -> int:
    """Return how many rows of a column to read at a time: an image has thousands of numbers."""
    return max(1, CHUNK // int(np.prod(column.shape[1:], dtype=np.int64)))


def memmap(path: str | Path, table: str, column: str) -> np.memmap:
    """Map a column of numbers into memory, read-only, without the HDF5 library.

    Random rows are read hundreds of times faster than through the library: what training needs.

    Raises
    ------
    ValueError
        If the column is not contiguous and uncompressed (as `add_column` stores it) or is empty.
    """
    with h5py.File(path) as file:
        stored = file[table][column]
        offset = stored.id.get_offset()
        if offset is None:
            raise ValueError(
                f"{path}: column {table}/{column} of shape {stored.shape} cannot be mapped: it is "
                "empty, chunked or compressed; make the file anew with this pipeline"
            )
        return np.memmap(path, stored.dtype, "r", offset, stored.shape)


def pixels(path: str | Path) -> np.memmap:
    """Map the images of a data set into memory, (n, height, width, bands), one per system.

    Raises
    ------
    ValueError
        If they are not in the order of the systems: labels would be those of other images.
    """
    index = read(path, "systems", ["index"])["index"]
    check_order(index, read(path, "cutouts", ["system"])["system"], f"{path}: cutouts/system")
    return memmap(path, "cutouts", "pixels")


def _text(column: h5py.Dataset) -> Any:
    return column.asstr() if h5py.check_string_dtype(column.dtype) else column


def attributes(path: str | Path) -> dict[str, Any]:
    """Read the attributes of a file."""
    with h5py.File(path) as file:
        return dict(file.attrs)


def units(path: str | Path) -> dict[str, dict[str, str]]:
    """Read the unit of every column, ``units[table][column]``."""
    with h5py.File(path) as file:
        return {
            table: {name: column.attrs["unit"] for name, column in group.items()}
            for table, group in file.items()
        }


def content_digest(file: h5py.File) -> str:
    """Return the SHA-256 of all columns in row order: what 'the same data' means.

    It covers names, types, units and values, not the bytes of the container, so it does not
    depend on the shards that the data were made in.
    """
    whole = hashlib.sha256()
    for table in sorted(file):
        for name in sorted(file[table]):
            column = file[table][name]
            part = hashlib.sha256()
            rows = rows_at_a_time(column)
            for start in range(0, len(column), rows):
                values = column[start : start + rows]
                if values.dtype == object:
                    part.update(b"".join([len(t).to_bytes(8, "little") + t for t in values]))
                else:
                    part.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")))
            kind = "text" if column.dtype == object else column.dtype.newbyteorder("<").str
            header = f"{table}/{name}:{kind}:{column.shape}:{column.attrs['unit']}:"
            whole.update(header.encode() + part.digest())
    return whole.hexdigest()
