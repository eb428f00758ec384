"""Tables of galaxies, whatever program wrote them: FITS, HDF5, Parquet, CSV and ECSV, in pieces.

A piece is small beside a table of 10^7 rows, and only the columns that are asked for are read.
"""

import csv
import gzip
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from numpy.typing import NDArray

from lensmill.pipeline import text_tables

PIECE = 1 << 17  # rows read at a time
HEAD = 50  # lines of a text whose form is looked at
FORMATS = {
    ".fits": "fits",
    ".fit": "fits",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".hdf": "hdf5",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "text",
    ".ecsv": "text",
    ".txt": "text",
    ".tsv": "text",
}
ELEMENT = re.compile(r"(.+)\[(\d+)\]")  # one number of a column that has several in each row


class Catalogue(NamedTuple):
    """A table that can be read."""

    names: dict[str, int]  # of its columns, and how many numbers each has in a row
    pieces: Callable[[Sequence[str], Sequence[str]], Iterator[dict[str, NDArray]]]


def open_table(path: str | Path, table: str | None = None) -> Catalogue:
    """Look at a table.

    Parameters
    ----------
    path : path
        Its suffix says what it is; ``.gz`` may stand behind it.
    table : str, optional
        Which table of a file that has several: name of the extension (FITS), path of the group or
        data set (HDF5).

    Returns
    -------
    Catalogue
        ``pieces(numbers, texts)`` yields dicts of arrays, rows in order: the columns ``numbers``
        as float64, NaN where a cell is empty or masked, and the columns ``texts`` as they are
        written. ``NAME[k]`` is number k of each row of the column NAME, from 0.

    Raises
    ------
    ValueError
        If it is no table that can be read.
    """
    suffixes = [s for s in Path(path).suffixes if s.lower() != ".gz"]
    kind = FORMATS.get(suffixes[-1].lower() if suffixes else "")
    if kind is None:
        raise ValueError(f"it is none of {', '.join(FORMATS)} by its name; give it one of these")
    read = {"fits": _fits, "hdf5": _hdf5, "parquet": _parquet, "text": _text}[kind]
    try:
        return read(Path(path), table)
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise ValueError(f"it cannot be read as {kind}: {error}") from error


def check_columns(catalogue: Catalogue, wanted: dict[str, str]) -> list[str]:
    """Return a sentence for every column that is asked for and not there.

    Parameters
    ----------
    catalogue : Catalogue
    wanted : dict of str
        By column: the setting that names it.
    """
    problems = []
    for column, where in wanted.items():
        name, element = split(column)
        size = catalogue.names.get(name)
        if size is None:
            near = get_close_matches(name, catalogue.names, n=1, cutoff=0.5)
            same = [n for n in catalogue.names if n.lower() == name.lower()]
            hint = f"did you mean {(same or near)[0]!r}?" if same or near else "there are: "
            hint += "" if same or near else ", ".join(catalogue.names)
            problems.append(f"{where}: there is no column {name!r}; {hint}")
        elif element is None and size > 1:
            problems.append(
                f"{where}: the column {name!r} has {size} numbers in each row; say which, as "
                f"{name}[0] ... {name}[{size - 1}]"
            )
        elif element is not None and element >= size:
            problems.append(
                f"{where}: the column {name!r} has {size} in each row, so that {column!r} is not "
                f"there; counting starts at 0"
            )
    return problems


def split(column: str) -> tuple[str, int | None]:
    """Divide ``NAME[k]`` into the name and k; k is None where there is none."""
    found = ELEMENT.fullmatch(column)
    return (found[1], int(found[2])) if found else (column, None)


def _fits(path: Path, table: str | None) -> Catalogue:
    with fits.open(path) as file:
        tables = {hdu.name or str(i): i for i, hdu in enumerate(file) if hasattr(hdu, "columns")}
        number = _choose(tables, table, "extension")
        names = {c.name: _size(c.dtype) for c in file[number].columns}
        nulls = {c.name: c.null for c in file[number].columns if c.null not in (None, "")}

    def pieces(numbers: Sequence[str], texts: Sequence[str]) -> Iterator[dict[str, NDArray]]:
        with fits.open(path, memmap=True) as file:
            data = file[number].data
            for start in range(0, len(data), PIECE):
                rows = data[start : start + PIECE]
                found = {}
                for column in numbers:
                    name, element = split(column)
                    values = np.asarray(rows[name])
                    values = values if element is None else values[:, element]
                    found[column] = values.astype(float).reshape(len(rows))
                    if name in nulls:
                        # the mark is a number before scaling, which astropy forgets
                        raw = rows.view(np.ndarray)[name]
                        raw = raw if element is None else raw[:, element]
                        found[column][raw.reshape(len(rows)) == nulls[name]] = np.nan
                yield found | {column: _words(np.asarray(rows[column])) for column in texts}

    return Catalogue(names, pieces)


def _size(kind: np.dtype) -> int:
    return int(np.prod(kind.shape, dtype=int))


def _choose(tables: dict, wanted: str | None, what: str) -> object:
    """Return the table that is asked for, or the only one."""
    if wanted is not None and wanted in tables:
        return tables[wanted]
    if wanted is None and len(tables) == 1:
        return next(iter(tables.values()))
    there = ", ".join(tables) or "none"
    ask = f"`table: {wanted}` is not there" if wanted else "say which, as `table: NAME`"
    raise ValueError(f"it has {len(tables)} tables ({what}: {there}); {ask}")


def _hdf5(path: Path, table: str | None) -> Catalogue:
    with h5py.File(path) as file:
        tables: dict[str, str] = {}

        def look(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.names:
                tables[name] = name
            elif isinstance(item, h5py.Group) and _columns_of(item):
                tables[name] = name

        if _columns_of(file):
            tables["/"] = "/"
        file.visititems(look)
        if table is not None:
            table = table.strip("/") or "/"
        place = _choose(tables, table, "group")
        item = file[place]
        if isinstance(item, h5py.Dataset):
            names = {name: _size(item.dtype[name]) for name in item.dtype.names}
            length = len(item)
        else:
            columns = _columns_of(item)
            names = {name: int(np.prod(item[name].shape[1:], dtype=int)) for name in columns}
            lengths = {name: len(item[name]) for name in columns}
            if len(set(lengths.values())) > 1:
                raise ValueError(f"the columns of {place!r} differ in length: {lengths}")
            length = next(iter(lengths.values()))

    def pieces(numbers: Sequence[str], texts: Sequence[str]) -> Iterator[dict[str, NDArray]]:
        with h5py.File(path) as file:
            for start in range(0, length, PIECE):
                rows = slice(start, min(start + PIECE, length))
                part = file[place]
                if isinstance(part, h5py.Dataset):
                    part = part[rows]
                found = {}
                for column in (*numbers, *texts):
                    name, element = split(column)
                    values = part[name] if isinstance(part, np.ndarray) else part[name][rows]
                    values = values if element is None else values[:, element]
                    found[column] = values.reshape(len(values))
                yield {c: found[c].astype(float) for c in numbers} | {
                    c: _words(found[c]) for c in texts
                }

    return Catalogue(names, pieces)


def _columns_of(group: h5py.Group) -> list[str]:
    """Return the columns of a group: data sets of one number, or one row of them, per galaxy."""
    return [
        name
        for name, item in group.items()
        if isinstance(item, h5py.Dataset) and item.ndim in (1, 2) and not item.dtype.names
    ]


def _parquet(path: Path, table: str | None) -> Catalogue:
    if table is not None:
        raise ValueError(f"a Parquet file is one table; leave `table: {table}` out")
    schema = pq.read_schema(path)
    names = {field.name: 1 for field in schema if not pa.types.is_nested(field.type)}

    def pieces(numbers: Sequence[str], texts: Sequence[str]) -> Iterator[dict[str, NDArray]]:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(PIECE, columns=[*numbers, *texts]):
                # pandas would round whole numbers beside an empty cell: text is made by Arrow
                yield {
                    c: batch[c].cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
                    for c in numbers
                } | {
                    c: np.array(batch[c].cast(pa.string()).fill_null("").to_pylist(), object)
                    for c in texts
                }

    return Catalogue(names, pieces)


def _text(path: Path, table: str | None) -> Catalogue:
    if table is not None:
        raise ValueError(f"a text is one table; leave `table: {table}` out")
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig") as file:
        comments = []
        for line in file:
            if line.strip() and not line.startswith("#"):
                break
            comments.append(line)
        else:
            raise ValueError("it has no rows")
        first = [line, *itertools.islice(file, HEAD)]
    # The owners of tables are told what is wrong with semicolons, blanks and decimal commas.
    head = text_tables.split("".join([*comments, *first]))
    delimiter = "," if len(head.names) < 2 else _delimiter(first[0], head.names)
    with opener(path, "rt", encoding="utf-8-sig") as file:
        _check_lines(file, delimiter, len(head.names))
    form = {
        "sep": delimiter,
        "skiprows": len(comments) + 1,
        "header": None,
        "names": head.names,
        "comment": "#",
        "encoding": "utf-8-sig",
        "chunksize": PIECE,
        "skipinitialspace": True,
        "keep_default_na": False,
    }

    def pieces(numbers: Sequence[str], texts: Sequence[str]) -> Iterator[dict[str, NDArray]]:
        done = 0
        try:
            try:
                for chunk in _chunks(path, form, numbers, texts, quick=True):
                    yield chunk
                    done += 1
            except ValueError as error:
                if isinstance(error, pd.errors.ParserError):
                    raise
                # Some cell is no number as programs write them: cell by cell, thirty times slower.
                yield from itertools.islice(
                    _chunks(path, form, numbers, texts, quick=False), done, None
                )
        except pd.errors.ParserError as error:
            raise ValueError(f"it is no table: {error}") from error

    return Catalogue(dict.fromkeys(head.names, 1), pieces)


def _check_lines(lines: Iterable[str], delimiter: str, columns: int) -> None:
    """Raise at the first line without a cell for every column: pandas would fill it up."""
    for number, line in enumerate(lines, 1):
        if line.startswith("#") or not line.strip():
            continue
        if "#" in line:
            raise ValueError(
                f"line {number}: a '#' stands within the line, which begins a comment; take it out"
            )
        cells = line.count(delimiter) + 1
        if '"' in line:
            cells = len(next(csv.reader([line], delimiter=delimiter)))
        if cells != columns:
            raise ValueError(
                f"line {number}: {cells} cells, but the header names {columns} columns; leave a "
                "cell empty where there is no value, quote text that holds the separator, and "
                "write decimals with a point"
            )


def _chunks(
    path: Path, form: dict, numbers: Sequence[str], texts: Sequence[str], quick: bool
) -> Iterator[dict[str, NDArray]]:
    """Read a text in pieces; ``quick`` raises at the first cell that is no plain number."""
    unknown = [text for text in text_tables.UNKNOWN if "inf" not in text]
    unknown += [text.upper() for text in unknown] + ["NaN", "None", "Null"]
    kind = dict.fromkeys(numbers, float) if quick else dict.fromkeys(numbers, str)
    marks = {column: unknown if quick else [] for column in numbers}
    kind |= dict.fromkeys(texts, str)
    marks |= {column: [] for column in texts}
    row = 0
    columns = [*numbers, *texts]
    with pd.read_csv(path, usecols=columns, dtype=kind, na_values=marks, **form) as chunks:
        for chunk in chunks:
            yield {
                c: chunk[c].to_numpy(float) if quick else _numbers(chunk[c], c, row)
                for c in numbers
            } | {c: chunk[c].fillna("").to_numpy(object) for c in texts}
            row += len(chunk)


def _delimiter(header: str, names: list[str]) -> str:
    for sign in (",", "\t", " "):
        if [name.strip().strip('"') for name in header.strip().split(sign)] == names:
            return sign
    raise ValueError(f"its columns cannot be told by {header.strip()[:60]!r}; save it with commas")


def _numbers(cells: pd.Series, column: str, row: int) -> NDArray:
    """Turn cells into numbers: NaN where they say that nothing is known, infinity as it stands."""
    cells = cells.fillna("").str.strip()
    infinite = cells.str.casefold().str.fullmatch(r"[+-]?inf(inity)?")
    unknown = cells.str.casefold().isin(text_tables.UNKNOWN) & ~infinite
    values = pd.to_numeric(cells.mask(unknown, "nan"), errors="coerce").to_numpy(float)
    wrong = np.isnan(values) & ~unknown.to_numpy()
    if wrong.any():
        first = int(wrong.argmax())
        text = cells.iloc[first]
        raise ValueError(
            f"column {column!r}, row {row + first}: {text!r} is not a number "
            f"({int(wrong.sum())} such cells in rows {row} to {row + len(cells) - 1}); "
            + (text_tables.mistaken(text) or "leave a cell empty where nothing is known")
        )
    return values


def _words(values: NDArray) -> NDArray:
    """Return cells as text; whole numbers as they are written."""
    if values.dtype.kind == "S":
        return np.char.decode(np.char.rstrip(values), "utf-8").astype(object)
    if values.dtype.kind == "O":
        return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], object)
    return values.astype(str).astype(object)
