"""Datasets for other programs: CSV, Parquet and FITS, with units, a piece at a time.

The name of the output says what is wanted: ``systems.csv`` and ``images.parquet`` hold one table,
``systems.fits`` too, and ``dataset.fits`` (any name that is not a table) holds every table, one
per HDU. CSV files open with the header of astropy's ECSV, so that ``Table.read(path,
format="ascii.ecsv")`` knows the units and ``pandas.read_csv(path, comment="#")`` the rest.
"""

import io
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from lensmill.pipeline import logs, store

FITS_BLOCK = 2880  # bytes; every part of a FITS file ends on such a block


def export(dataset: str | Path, output: str | Path) -> None:
    """Write one table of a dataset, or all of them, in the format that ``output`` names.

    Numbers come back from every format as they were, bit for bit. Text in FITS is ASCII: other
    letters lose their accents.

    Parameters
    ----------
    dataset : path
        A file with tables, e.g. ``dataset.h5``.
    output : path
        Ends in ``.csv``, ``.parquet`` or ``.fits``; its stem is a table's name, or for FITS any
        other to have every table in one file.

    Raises
    ------
    ValueError
        If the format is not one of these, or the dataset has no such table.
    """
    output = Path(output)
    units = store.units(dataset)
    name = output.stem
    match output.suffix:
        case ".csv":
            write, tables = _csv, [name]
        case ".parquet":
            write, tables = _parquet, [name]
        case ".fits":
            write, tables = _fits, [name] if name in units else sorted(units)
        case other:
            raise ValueError(
                f"{output.name}: {other!r} is not a format; choose .csv, .parquet or .fits"
            )
    if not set(tables) <= units.keys():
        raise ValueError(
            f"{output.name}: {dataset} has no table {name!r}; its tables are "
            f"{', '.join(sorted(units))}"
        )
    with store.whole(output) as file:
        write(Path(dataset), tables, units, file)


def _pieces(dataset: Path, table: str, rows: int) -> Iterator[dict[str, NDArray]]:
    """Read a table piece by piece; an empty table is one empty piece."""
    starts = range(0, max(rows, 1), store.CHUNK)
    for start in logs.progress(starts, f"export {table}"):
        yield store.read(dataset, table, first=start, count=store.CHUNK)


def _rows(dataset: Path, table: str) -> int:
    """Return the number of rows of a table, whose columns must be flat."""
    with h5py.File(dataset) as file:
        shapes = {name: column.shape for name, column in file[table].items()}
    deep = [name for name, shape in shapes.items() if len(shape) > 1]
    if deep:
        raise ValueError(f"table {table!r} cannot be exported: {deep} have more than one dimension")
    return next(iter(shapes.values()))[0]


def _table(columns: dict[str, NDArray], units: dict[str, str]) -> Table:
    """Return an astropy table with units."""
    plain = {n: v.astype(str) if v.dtype == object else v for n, v in columns.items()}
    return Table(plain, units={name: units[name] for name in plain if units[name]}, copy=False)


def _csv(dataset: Path, tables: list[str], units: dict, file: io.BufferedWriter) -> None:
    (table,) = tables
    rows = _rows(dataset, table)
    head = io.StringIO()
    some = _table(store.read(dataset, table, count=0), units[table])
    some.write(head, format="ascii.ecsv", delimiter=",")
    file.write(head.getvalue().encode())
    plain = pa.csv.WriteOptions(include_header=False)
    for columns in _pieces(dataset, table, rows):
        pa.csv.write_csv(pa.table(columns), file, plain)


def _parquet(dataset: Path, tables: list[str], units: dict, file: io.BufferedWriter) -> None:
    (table,) = tables
    facts = {name: str(value) for name, value in store.attributes(dataset).items()}
    writer = None
    for columns in _pieces(dataset, table, _rows(dataset, table)):
        piece = pa.table(columns)
        if writer is None:
            fields = [
                field.with_metadata({"unit": units[table][field.name]}) for field in piece.schema
            ]
            schema = pa.schema(fields, metadata=facts)
            writer = pa.parquet.ParquetWriter(file, schema, compression="zstd")
        writer.write_table(piece.cast(schema))
    writer.close()


def _fits(dataset: Path, tables: list[str], units: dict, file: io.BufferedWriter) -> None:
    primary = fits.PrimaryHDU()
    for name, value in store.attributes(dataset).items():
        text = _ascii(value)
        primary.header.add_history(f"{name} = {text if len(text) < 1000 else text[:1000] + '...'}")
    primary.writeto(file)
    for table in tables:
        rows = _rows(dataset, table)
        widths = _text_widths(dataset, table, rows)
        header, kind = _fits_form(dataset, table, units[table], widths)
        header["NAXIS2"] = rows
        file.write(header.tostring().encode("ascii"))
        for columns in _pieces(dataset, table, rows):
            block = np.empty(len(next(iter(columns.values()))), kind)
            for name, values in columns.items():
                block[name] = [_ascii(v) for v in values] if name in widths else values
            file.write(block.tobytes())
        file.write(b"\0" * (-rows * kind.itemsize % FITS_BLOCK))


def _ascii(value: object) -> str:
    """Return text in the letters FITS allows."""
    text = unicodedata.normalize("NFKD", str(value)).encode("ascii", "ignore").decode()
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _text_widths(dataset: Path, table: str, rows: int) -> dict[str, int]:
    """Return the longest text of each column of text, which FITS stores at fixed width."""
    widths: dict[str, int] = {}
    for columns in _pieces(dataset, table, rows):
        for name, values in columns.items():
            if values.dtype == object:
                longest = max((len(_ascii(value)) for value in values), default=0)
                widths[name] = max(widths.get(name, 1), longest)
    return widths


def _fits_form(
    dataset: Path, table: str, units: dict[str, str], widths: dict[str, int]
) -> tuple[fits.Header, np.dtype]:
    """Return the header of a table without its rows, and the type of a row (big-endian)."""
    some = store.read(dataset, table, count=0)
    kinds = {n: f"S{widths[n]}" if n in widths else v.dtype for n, v in some.items()}
    hdu = fits.table_to_hdu(_table({n: np.empty(0, k) for n, k in kinds.items()}, units))
    hdu.name = table
    return hdu.header, np.dtype([(n, np.dtype(k).newbyteorder(">")) for n, k in kinds.items()])
