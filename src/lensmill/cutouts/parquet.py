"""Images in columns of a Parquet file, a row each, read from one end of a row group to the other.

A column holds nested lists, (height, width) or (bands, height, width), as the `datasets` library
writes its arrays; tensors of one shape, which Arrow has a type for; or square images as flat lists.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import parquet

from lensmill.cutouts.headers import Refused

AT_A_TIME = 64  # rows that are decoded together: how many are in memory, however large a row group
REMEDY = "write images as nested lists (height, width), or as tensors of one shape"


class Form(NamedTuple):
    """How a column holds the image of a row."""

    axes: int  # levels of lists
    kind: np.dtype  # of the numbers
    shape: tuple[int, ...] = ()  # of tensors


class Images:
    """The images of one column, or of one plane of it, as a stack (rows, height, width).

    Rows that are asked for in the order of the file are decoded once.
    """

    def __init__(self, file: parquet.ParquetFile, column: str, form: Form, plane: int | None):
        self.column, self.form, self.plane = column, form, plane
        self.dtype = form.kind
        self._file = file
        groups = range(file.num_row_groups)
        counts = [file.metadata.row_group(i).num_rows for i in groups]
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._first, self._values = 0, pa.array([])
        rows = file.metadata.num_rows
        try:
            self.shape = (rows, *self[0].shape) if rows else (0, 0, 0)
        except Refused:
            self.shape = (rows, 0, 0)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def __getitem__(self, row: int) -> NDArray:
        """Return the image of a row.

        Raises
        ------
        Refused
            If the row holds none.
        """
        self._go_to(row)
        try:
            return self._image(self._values[row - self._first])
        except ValueError as error:
            raise Refused(f"row {row} of its column {self.column!r} {error}; {REMEDY}") from error

    def _go_to(self, row: int) -> None:
        """Decode the rows around one: those that follow, or its row group from its start."""
        group = int(np.searchsorted(self._ends, row, "right"))
        start = int(self._ends[group - 1]) if group else 0
        behind = self._first + len(self._values)
        if not self._first <= row or behind < start or not len(self._values):
            self._first, self._values = start, self._values[:0]
            groups = [*range(group, len(self._ends))]
            self._batches = self._file.iter_batches(AT_A_TIME, groups, [self.column])
        while row >= self._first + len(self._values):
            self._first += len(self._values)
            self._values = _descend(next(self._batches), self.column)

    def _image(self, value: Any) -> NDArray:
        form = self.form
        if not value.is_valid:
            raise ValueError("is empty")
        if form.shape:
            array = _numbers(value.value.values).reshape(form.shape)
            return array if self.plane is None else array[self.plane]
        if form.axes == 1:
            numbers = _numbers(value.values)
            side = math.isqrt(len(numbers))
            if side**2 != len(numbers):
                raise ValueError(f"is a list of {len(numbers)} numbers, which is no square")
            return numbers.reshape(side, side)
        rows = value.values
        if self.plane is not None:
            if self.plane >= len(rows):
                raise ValueError(f"has no plane {self.plane}, but {len(rows)} of them")
            rows = rows[self.plane].values
        widths = {len(line.values) if line.is_valid else 0 for line in rows}
        if len(widths) != 1:
            raise ValueError(f"has lines of different lengths: {sorted(widths)}")
        return _numbers(rows.flatten()).reshape(len(rows), *widths)


def stacks(path: Path) -> dict[str, Images]:
    """Open the columns of images of a Parquet file; of each, some rows are decoded.

    A column within another is called ``image.flux``, the second of its planes ``image.flux.1``.

    Raises
    ------
    OSError, ValueError
        If the file is damaged, or there is none and some column holds bytes.
    """
    file = parquet.ParquetFile(path, memory_map=True, pre_buffer=False)
    found: dict[str, Images] = {}
    unknown = []
    for name, form in _columns(file.schema_arrow):
        if form is None:
            unknown.append(name)
        elif form.axes == 3:
            for plane in range(_planes(file, name, form)):
                found[f"{name}.{plane}"] = Images(file, name, form, plane)
        else:
            found[name] = Images(file, name, form, None)
    if unknown and not found:
        raise ValueError(
            f"the column {unknown[0]!r} holds bytes, which say neither the type nor the shape of "
            f"an image; {REMEDY}"
        )
    return found


def _columns(fields: Any, above: str = "") -> Iterator[tuple[str, Form | None]]:
    """Yield columns that may be images, by name; None for those of bytes."""
    for field in fields:
        name, kind, axes = f"{above}{field.name}", field.type, 0
        if isinstance(kind, pa.FixedShapeTensorType):
            axes = len(kind.shape)
            if kind.permutation in (None, [*range(axes)]) and axes in (2, 3):
                yield name, _form(axes, kind.value_type, tuple(kind.shape))
            continue
        if pa.types.is_struct(kind):
            yield from _columns(kind, f"{name}.")
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            yield name, None
        while pa.types.is_list(kind) or pa.types.is_large_list(kind) or _is_fixed(kind):
            kind, axes = kind.value_type, axes + 1
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or kind == pa.bool_()
        if number and 1 <= axes <= 3:
            yield name, _form(axes, kind)


def _form(axes: int, kind: pa.DataType, shape: tuple[int, ...] = ()) -> Form:
    return Form(axes, np.dtype(kind.to_pandas_dtype()), shape)


def _is_fixed(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind)


def _planes(file: parquet.ParquetFile, name: str, form: Form) -> int:
    """Return the number of planes of the first row."""
    if form.shape:
        return form.shape[0]
    for batch in file.iter_batches(1, columns=[name]):
        value = _descend(batch, name)[0]
        return len(value.values) if value.is_valid else 0
    return 0


def _descend(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Return the values of a column, which may lie within others."""
    table_names = batch.schema.names
    outer = next(n for n in table_names if name == n or name.startswith(f"{n}."))
    values = batch.column(outer)
    inner = name[len(outer) + 1 :]
    return pc.struct_field(values, inner.split(".")) if inner else values


def _numbers(values: pa.Array) -> NDArray:
    """Return numbers; one that is missing becomes NaN."""
    return values.to_numpy(zero_copy_only=False)
