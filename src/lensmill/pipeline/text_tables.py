"""Read tables that people and their spreadsheets write: CSV or ECSV in, cells of text out.

What can be told for sure is read: UTF-8 and UTF-16, all ends of lines, tabs, a typographic minus.
What cannot (a comma may mark decimals, thousands or columns) is refused by its cause.
"""

import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import meta as ecsv
from numpy.typing import NDArray

# cells that say nothing
UNKNOWN = ("", "nan", "+nan", "-nan", "none", "null", "--")
UNKNOWN += ("na", "<na>", "n/a", "#n/a", "#na")  # of R, pandas and spreadsheets
UNKNOWN += ("inf", "+inf", "-inf", "infinity", "+infinity", "-infinity")
MINUS = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d", "-"))

INTEGER = re.compile(r"-?[1-9][0-9]*|0")  # as a program prints it
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
MEASURED = re.compile(r".*(\.|[eE][+-]).*")  # no name of a thing has a point or such an exponent
PADDED = re.compile(r"[+-]?0[0-9]+([eE].*)?")
THOUSANDS = r"[+-]?[0-9]{1,3}([ ,.'\u00a0\u2009\u202f][0-9]{3})+([.,][0-9]+)?"
COMMA = re.compile(THOUSANDS + "|[+-]?[0-9]*,[0-9]+")
SEPARATOR = re.compile(r'"?sep=.?"?', re.IGNORECASE)  # a first line for spreadsheets alone
EXACT = 2.0**53  # above it a float64 does not tell neighbouring integers apart


class Table(NamedTuple):
    """A table as text."""

    names: list[str]
    header: int  # line of the names
    rows: list[tuple[int, list[str]]]  # where each row stands in the file, and its cells
    units: dict[str, str]  # of an ECSV


class Stream:
    """A table as text that is read row by row, each time that it is asked for its rows.

    Attributes
    ----------
    names, header, units
        As of `Table`.
    """

    def __init__(self, lines: Callable[[], Iterable[str]]):
        self._lines = lines
        self.header, head = next(_data(lines()), (0, ""))
        self.names: list[str] = []
        self.units: dict[str, str] = {}
        if not self.header:
            return
        above = [*itertools.islice(lines(), self.header - 1)]
        if above and above[0].startswith("# %ECSV"):
            self._delimiter, self.units = _ecsv_header([line.rstrip("\n") for line in above])
        else:
            self._delimiter = _delimiter(head, self.header)
        self.names = names = next(_cells(lines(), self._delimiter))[1]
        if above and above[-1][:1] == "#" and any(NUMBER.fullmatch(n) for n in names):
            inside = next(csv.reader([above[-1][1:]], delimiter=self._delimiter))
            if len(inside) == len(names) > 1:
                raise ValueError(
                    f"line {self.header - 1}: the names of the columns stand behind a '#', which "
                    "makes them a comment; remove the '#'"
                )
        self.names = names[: self._without_empty()]

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """Return where each row stands in the file, and its cells, as many as it has."""
        if not self.header:
            return
        rows = _cells(self._lines(), self._delimiter)
        columns = len(next(rows)[1])
        kept = len(self.names) if len(self.names) < columns else None
        for line, row in rows:
            if any(row):
                yield line, row[:kept]

    def _without_empty(self) -> int:
        """Return the number of columns but those at the end without a name and without a cell.

        A spreadsheet writes a comma more for a column that has once been touched.
        """
        names = self.names
        last = max([1, *(i + 1 for i, name in enumerate(names) if name)])
        if last < len(names):
            for _, row in self:
                while last < len(names) and (len(row) < len(names) or any(row[last : len(names)])):
                    last += 1
        return last


def stream(path: str | Path) -> Stream:
    """Open a CSV, plain or gzipped, or an ECSV, of which no more than a row is in memory.

    The libraries read what programs write: pandas fills a row that is short with nothing, and
    neither it nor astropy says in which line of the file a row stands, or what is wrong with a
    table of semicolons, blanks or decimal commas. Owners of tables need to be told.

    Raises
    ------
    ValueError
        If it is not text, or cut short, or its columns cannot be told: here, or where its rows are
        asked for.
    """
    return Stream(lambda: _text(path))


def read(path: str | Path) -> Table:
    """Read a whole table, see `stream`."""
    return _whole(stream(path))


def split(text: str) -> Table:
    """Divide the text of a table into cells; ``#`` starts a comment.

    Rows have as many cells as they have: what to do with a wrong number is the caller's business.

    Raises
    ------
    ValueError
        If the columns cannot be told, with the line.
    """
    return _whole(Stream(lambda: io.StringIO(text, newline=None)))


def _whole(rows: Stream) -> Table:
    return Table(rows.names, rows.header, [*rows], rows.units)


def _text(path: str | Path) -> Iterator[str]:
    """Yield the lines of a file, whatever marks their ends."""
    with Path(path).open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file = gzip.open(raw) if zipped else raw
        try:
            begin = file.read(2)
            file.seek(0)
            encoding = "utf-8-sig"
            if begin in (b"\xff\xfe", b"\xfe\xff"):
                encoding = "utf-16"
            elif 0 in begin:  # a letter of UTF-16 without its mark
                encoding = "utf-16-be" if begin[0] == 0 else "utf-16-le"
            yield from io.TextIOWrapper(file, encoding)
        except UnicodeDecodeError as error:
            raise ValueError(f"it is not UTF-8 text ({error}); export it as CSV (UTF-8)") from error
        except (EOFError, OSError, zlib.error) as error:
            if not zipped:
                raise
            raise ValueError(f"it is damaged or cut short ({error}); fetch it again") from error


def _data(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines that are neither empty nor a comment, and their numbers."""
    first = True
    for number, line in enumerate(lines, 1):
        if not line.strip() or line[0] == "#":
            continue
        if not (first and SEPARATOR.fullmatch(line.strip())):
            yield number, line.removesuffix("\n")
        first = False


def _cells(lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row, the names first, and the line that it ends in."""
    number = 0

    def texts() -> Iterator[str]:
        nonlocal number
        for number, line in _data(lines):  # noqa: B007 - it is read below
            yield f"{line}\n"

    for row in csv.reader(texts(), delimiter=delimiter):
        yield number, [_cell(value) for value in row]


def _delimiter(head: str, line: int) -> str:
    if head.count(";") > head.count(","):
        raise ValueError(
            f"line {line}: the columns are separated by semicolons, as a spreadsheet does where "
            "the decimal mark is a comma; save it with commas between the columns and points in "
            "the numbers (0.5, not 0,5)"
        )
    if "," not in head and "\t" not in head and len(re.split(r"[\s|]+", head.strip(" |"))) > 2:
        raise ValueError(
            f"line {line}: the columns are separated by blanks or '|' ({head.strip()[:40]!r}); "
            "save it with commas or tabs between them"
        )
    return "\t" if head.count("\t") > head.count(",") else ","


def _ecsv_header(lines: list[str]) -> tuple[str, dict[str, str]]:
    """Return the delimiter and the units that the header of an ECSV names."""
    try:
        header = ecsv.get_header_from_yaml([line[2:] for line in lines[1:] if line[:1] == "#"])
        units = {column["name"]: column.get("unit") for column in header["datatype"]}
    except (ecsv.YamlParseError, KeyError, TypeError) as error:
        raise ValueError(f"line 1: the header of this ECSV cannot be read ({error!r})") from error
    return header.get("delimiter", " "), {n: str(unit) for n, unit in units.items() if unit}


def _cell(value: str) -> str:
    """Return a cell in one line; a number that a word processor has set is mended."""
    value = value.strip()
    if "\n" in value:
        value = value.replace("\n", " ")
    if value.isascii():
        return value
    plain = value.translate(MINUS)
    return plain if NUMBER.fullmatch(plain) else value


def mistaken(text: str) -> str:
    """Say what keeps a cell from being a number, if it looks like one."""
    if COMMA.fullmatch(text):
        return "write decimals with a point and thousands without a mark (1234.5)"
    return ""


def column(texts: list[str], known: NDArray) -> NDArray:
    """Turn the cells of a column into integers or numbers, or leave them text.

    What would not print back as it stood is the name of a thing, not a number: ``000120``,
    ``1e0`` where no cell has a point, digits beyond what the type can hold.

    Parameters
    ----------
    texts : list of str
        The cells.
    known : array, shape (n,)
        Which of them say something; the others become 0, or stay text.

    Returns
    -------
    array, shape (n,)
        int64, float64 or str.
    """
    said = [text for text, k in zip(texts, known, strict=True) if k]
    if all(INTEGER.fullmatch(text) for text in said):
        numbers = [int(text) if k else 0 for text, k in zip(texts, known, strict=True)]
        limits = np.iinfo(np.int64)
        if said and all(limits.min <= number <= limits.max for number in numbers):
            return np.array(numbers, np.int64)
        if not said:  # nothing is known: it may have been anything
            return np.zeros(len(texts))
    elif any(MEASURED.fullmatch(text) for text in said) and all(map(_is_number, said)):
        return np.array([float(t) if k else 0.0 for t, k in zip(texts, known, strict=True)])
    return np.array(texts, dtype=str)


def _is_number(text: str) -> bool:
    """Tell whether a cell is a number that a float64 holds as well as it is written."""
    if not NUMBER.fullmatch(text) or PADDED.fullmatch(text) or not np.isfinite(float(text)):
        return False
    whole = re.split(r"[.eE]", text)[0]
    return abs(float(text)) < EXACT or "e" in text.casefold() or int(float(text)) == int(whole)


def identity(text: str) -> str:
    """Return a number that names a thing without the ``.0`` that a program may have put behind."""
    return re.sub(r"^(-?[0-9]+)\.0*$", r"\1", text)
