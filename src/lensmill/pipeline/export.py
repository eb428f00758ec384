"""Datasets for other programs: CSV, ECSV, Parquet and FITS, a piece at a time.

The name of the output says what is wanted: ``systems.csv`` and ``images.parquet`` hold one table,
``systems.fits`` too, and ``dataset.fits`` (any name that is not a table) holds every table, one
per HDU. All but CSV hold the units. A value that is not known, which in a dataset is 0 beside a
flag, is missing: an empty cell, a null of Parquet, NaN or the ``TNULL`` of FITS.
"""

import io
import re
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
# Flags that speak of columns with other names; `<name>_known` speaks of `<name>`.
FLAGS = {
    "label_known": ("is_lens",),
    "lens_known": ("lens_x", "lens_y", "lens_error"),
    "d_dt_known": ("d_dt", "d_dt_minus", "d_dt_plus"),
    "delay_measured": ("delay", "delay_error"),
}


def export(dataset: str | Path, output: str | Path) -> None:
    """Write one table of a dataset, or all of them, in the format that ``output`` names.

    Numbers come back from every format as they were, bit for bit. Text in FITS is ASCII: other
    letters lose their accents.

    Parameters
    ----------
    dataset : path
        A file with tables, e.g. ``dataset.h5``.
    output : path
        Ends in ``.csv``, ``.ecsv``, ``.parquet`` or ``.fits``; its stem is a table's name, or for
        FITS any other to have every table in one file.

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
        case ".ecsv":
            write, tables = _ecsv, [name]
        case ".parquet":
            write, tables = _parquet, [name]
        case ".fits":
            write, tables = _fits, [name] if name in units else sorted(units)
        case other:
            raise ValueError(
                f"{output.name}: {other!r} is not a format; choose .csv, .ecsv, .parquet or .fits"
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


def _flags(dataset: Path, table: str) -> dict[str, str]:
    """Return, by column, the flag that says in which rows it is known, where some are not.

    Flags are of 8 bits: the columns that a user's table brings are of 64, whatever their names.
    """
    flags = {}
    with h5py.File(dataset) as file:
        columns = file[table]
        for flag, values in columns.items():
            match = re.fullmatch(r"(.+)_known(_table)*", flag)
            governed = FLAGS.get(flag, (match[1],) if match else ())
            if governed and values.dtype == np.uint8 and not np.all(values[:]):
                flags |= dict.fromkeys({*governed} & {*columns}, flag)
    return flags


def _gaps(columns: dict[str, NDArray], flags: dict[str, str]) -> dict[str, NDArray]:
    """Return, by column of numbers, the rows without a value: not known, or NaN."""
    missing = {name: columns[flag] == 0 for name, flag in flags.items()}
    for name, values in columns.items():
        if values.dtype.kind == "f":
            missing[name] = missing.get(name, False) | np.isnan(values)
    return {n: rows for n, rows in missing.items() if columns[n].dtype.kind in "fiu"}


def _arrow(columns: dict[str, NDArray], flags: dict[str, str]) -> pa.Table:
    """Return a table in which what is missing is null."""
    missing = _gaps(columns, flags)
    return pa.table({n: pa.array(v, mask=missing.get(n)) for n, v in columns.items()})


def _csv(dataset: Path, tables: list[str], units: dict, file: io.BufferedWriter) -> None:
    (table,) = tables
    _write_csv(dataset, table, file, header=True)


def _ecsv(dataset: Path, tables: list[str], units: dict, file: io.BufferedWriter) -> None:
    (table,) = tables
    head = io.StringIO()
    some = _table(store.read(dataset, table, count=0), units[table])
    some.write(head, format="ascii.ecsv", delimiter=",")
    file.write(head.getvalue().encode())
    _write_csv(dataset, table, file, header=False)


def _write_csv(dataset: Path, table: str, file: io.BufferedWriter, header: bool) -> None:
    rows, flags = _rows(dataset, table), _flags(dataset, table)
    for columns in _pieces(dataset, table, rows):
        options = pa.csv.WriteOptions(include_header=header)
        pa.csv.write_csv(_arrow(columns, flags), file, options)
        header = False


def _parquet(dataset: Path, tables: list[str], units: dict, file: io.BufferedWriter) -> None:
    (table,) = tables
    facts = {name: str(value) for name, value in store.attributes(dataset).items()}
    rows, flags = _rows(dataset, table), _flags(dataset, table)
    writer = None
    for columns in _pieces(dataset, table, rows):
        piece = _arrow(columns, flags)
        if writer is None:
            fields = [
                field.with_metadata({"unit": units[table][field.name]}) for field in piece.schema
            ]
            # with its own note, pandas reads integers with nulls as integers, not as float64,
            # which makes neighbouring identifiers of 64 bits one
            empty = piece.slice(0, 0).to_pandas()
            whole = [name for name in flags if columns[name].dtype.kind in "iu"]
            kinds = {n: columns[n].dtype.name.replace("i", "I").replace("u", "U") for n in whole}
            note = pa.Schema.from_pandas(empty.astype(kinds), preserve_index=False).metadata
            schema = pa.schema(fields, metadata=facts | {"pandas": note[b"pandas"]})
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
        flags = _flags(dataset, table)
        null = {n: _null(kind[n]) for n in flags if kind[n].kind in "iu"}
        for name in null:
            place = kind.names.index(name) + 1
            header.set(f"TNULL{place}", null[name], after=f"TFORM{place}")
        file.write(header.tostring().encode("ascii"))
        for columns in _pieces(dataset, table, rows):
            block = np.empty(len(next(iter(columns.values()))), kind)
            for name, values in columns.items():
                block[name] = [_ascii(v) for v in values] if name in widths else values
            for name, missing in _gaps(columns, flags).items():
                if name in null and np.any(columns[name][~missing] == null[name]):
                    raise ValueError(
                        f"column {name!r} holds {null[name]}, which marks a missing value in FITS; "
                        "export it as .parquet"
                    )
                block[name][missing] = null.get(name, np.nan)
            file.write(block.tobytes())
        file.write(b"\0" * (-rows * kind.itemsize % FITS_BLOCK))


def _null(kind: np.dtype) -> int:
    """Return the integer that marks a missing value: the last that one would measure."""
    limits = np.iinfo(kind)
    return int(limits.min if kind.kind == "i" else limits.max)


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
