"""Cells of a table are numbers or names as they were meant."""

import gzip

import numpy as np
import pytest

from lensmill.pipeline import text_tables

TABLE = "name,x\na,-0.5\nb,2\n"


def column(*texts):
    known = np.array([text.casefold() not in text_tables.UNKNOWN for text in texts])
    return text_tables.column(list(texts), known)


@pytest.mark.parametrize(
    "texts",
    [
        ("43158176442354198", "43158176442354199"),  # one float64
        ("9223372036854775807", "-9223372036854775808"),
        ("0", "1", "-7"),
    ],
)
def test_integers_stay_integers(texts):
    values = column(*texts)
    assert values.dtype == np.int64
    assert [str(v) for v in values] == list(texts)


def test_an_integer_that_is_not_known_is_0():
    assert column("43158176442354199", "", "nan").tolist() == [43158176442354199, 0, 0]
    assert column("43158176442354199", "").dtype == np.int64


@pytest.mark.parametrize(
    "texts",
    [
        ("000120", "000121"),
        ("1e0", "1e1"),
        ("1e0", "120"),
        ("000120", "0.5"),
        ("43158176442354199", "0.5"),  # would be ...200
        ("43158176442354199.0", "0.5"),
        ("9223372036854775808", "1"),  # beyond int64
        ("1_000", "1"),
        ("1e999", "0.5"),
        ("+5", "1"),
        ("0x10", "1"),
        ("J0001", "1"),
    ],
)
def test_what_would_not_print_back_stays_text(texts):
    values = column(*texts)
    assert values.dtype.kind == "U"
    assert values.tolist() == list(texts)


@pytest.mark.parametrize(
    "texts",
    [
        ("0.30", "1.50"),
        ("1e-5", "2"),
        ("1e-05", "1E+20"),
        ("0.5", "1e3"),
        ("-0.5", "+41.2692"),
        ("12.", ".5"),
        ("012.345", "120.5"),
        ("3.086e22", "1e10"),
    ],
)
def test_measurements_are_numbers_however_they_are_printed(texts):
    values = column(*texts)
    assert values.dtype == np.float64
    assert values.tolist() == [float(text) for text in texts]


@pytest.mark.parametrize(
    "data",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        TABLE.encode("utf-16-le"),
        TABLE.encode("utf-16-be"),
        gzip.compress(TABLE.encode(), mtime=0),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace("\n", "\r").encode(),
        TABLE.replace(",", "\t").encode(),
        TABLE.replace("-", "\u2212").encode(),
        TABLE.replace("-", "\u2013").encode(),
        TABLE.replace("\n", ",\n").encode(),  # a column that was touched once
        (TABLE + ",\n,\n").encode(),  # rows that were
        ("sep=,\n" + TABLE).encode(),
        ("sep=\t\n" + TABLE.replace(",", "\t")).encode("utf-16"),
    ],
)
def test_what_can_be_told_for_sure_is_read(tmp_path, data):
    (tmp_path / "t.csv").write_bytes(data)
    read = text_tables.read(tmp_path / "t.csv")
    assert read.names == ["name", "x"]
    assert [cells for _, cells in read.rows] == [["a", "-0.5"], ["b", "2"]]


def test_a_dash_in_a_name_stays_what_it_is():
    assert text_tables.split("name\nJ0001\u22120002\n").rows == [(2, ["J0001\u22120002"])]


def test_a_line_separator_inside_a_cell_does_not_end_the_row():
    assert text_tables.split("name,x\na\u2028b,1\n").rows == [(2, ["a\u2028b", "1"])]


def test_lines_of_one_cell_are_not_glued_together():
    assert text_tables.split('name,x\n"a\nb",1\nc,2\n').rows == [
        (3, ["a b", "1"]),
        (4, ["c", "2"]),
    ]


@pytest.mark.parametrize("gap", ["NA", "<NA>", "N/A", "#N/A", "nan", "NULL", "--", ""])
def test_what_programs_write_where_nothing_is_known_is_no_value(gap):
    assert column("0.5", gap).tolist() == [0.5, 0.0]
    assert column("43158176442354199", gap).tolist() == [43158176442354199, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name x z\na 0.5 1\n", "line 1: the columns are separated by blanks"),
        ("# name x z\na 0.5 1\n", "line 2: the columns are separated by blanks"),
        ("| name | x | z |\n| a | 0.5 | 1 |\n", "line 1: the columns are separated by blanks"),
        ("sep=;\nname;x\na;0,5\n", "line 2: the columns are separated by semicolons"),
        ("name;x\na;0,5\n", "line 1: the columns are separated by semicolons"),
        ("# name,x\na,0.5\n", "line 1: the names of the columns stand behind a '#'"),
        ("# %ECSV 1.0\n# ---\n# datatype: [\nname x\n", "line 1: the header of this ECSV"),
    ],
)
def test_what_cannot_be_told_is_refused_by_its_cause(text, said):
    with pytest.raises(ValueError, match=said):
        text_tables.split(text)


def test_a_table_is_read_row_by_row_as_often_as_asked(tmp_path):
    (tmp_path / "t.csv").write_text("# comment\nname,x,\na,1,\n\n#,,\nb,2,\n")
    rows = text_tables.stream(tmp_path / "t.csv")
    assert (rows.names, rows.header) == (["name", "x"], 2)
    assert [*rows] == [*rows] == [(3, ["a", "1"]), (6, ["b", "2"])]
    # a column without a name is one if a single cell has something in it, or is missing
    for last in ("b,2,z", "b,2"):
        (tmp_path / "t.csv").write_text(f"name,x,,\na,1,,\n{last},\n")
        rows = text_tables.stream(tmp_path / "t.csv")
        assert rows.names == (["name", "x", ""] if last == "b,2,z" else ["name", "x", "", ""])


def test_a_table_that_is_cut_short_is_refused(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(TABLE.encode())[:-9])
    with pytest.raises(ValueError, match="damaged or cut short"):
        text_tables.read(tmp_path / "t.csv.gz")
