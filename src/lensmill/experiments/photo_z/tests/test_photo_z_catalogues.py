"""Tables of galaxies are read alike, whatever program wrote them."""

import gzip

import h5py
import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from lensmill.experiments.photo_z import catalogues

N = 7
MAG = np.array([18.5, 19.25, np.nan, 20.0, 21.5, -99.0, 17.0])
PAIRS = np.arange(2.0 * N).reshape(N, 2)
FIELD = ["a", "b", "a", "long name", "b", "a", "c"]


def as_table():
    return Table({"mag": MAG, "pair": PAIRS, "field": FIELD, "id": np.arange(N) + 2**53})


def everything(path, columns, texts=(), table=None):
    """Read all pieces of a table."""
    found = catalogues.open_table(path, table)
    parts = list(found.pieces(columns, texts))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.fixture(params=["fits", "fits.gz", "h5", "group.h5", "parquet", "csv", "csv.gz", "ecsv"])
def written(request, tmp_path):
    """Write the table in one form; return its path and whether it has columns of pairs."""
    path = tmp_path / f"table.{request.param}"
    whole = as_table()
    flat = whole["mag", "field", "id"]
    match request.param:
        case "fits" | "fits.gz":
            whole.write(path)
        case "h5":
            whole.write(path, path="galaxies", serialize_meta=False)
        case "group.h5":
            with h5py.File(path, "w") as file:
                file["photometry/mag"], file["photometry/pair"] = MAG, PAIRS
                file["photometry/field"] = FIELD
                file["photometry/id"] = np.arange(N) + 2**53
        case "parquet":
            flat.to_pandas().to_parquet(path)
        case "csv" | "csv.gz":
            flat.to_pandas().to_csv(path, index=False)
        case "ecsv":
            flat.write(path)
    return path, request.param in ("fits", "fits.gz", "h5", "group.h5")


@pytest.mark.parametrize("piece", [3, 100])
def test_a_table_is_the_same_in_every_form_and_whatever_the_pieces(written, piece, monkeypatch):
    monkeypatch.setattr(catalogues, "PIECE", piece)
    path, pairs = written
    columns = ["mag", *(["pair[1]"] if pairs else [])]
    found = everything(path, columns, ["field", "id"])
    np.testing.assert_array_equal(found["mag"], MAG)
    assert found["field"].tolist() == FIELD
    # whole numbers above 2^53 would lose their last digit as numbers
    assert found["id"].tolist() == [str(2**53 + i) for i in range(N)]
    if pairs:
        np.testing.assert_array_equal(found["pair[1]"], PAIRS[:, 1])


def test_cells_that_are_masked_are_not_known(tmp_path):
    table = Table({"whole": MaskedColumn([1, 2, 3], mask=[False, True, False])})
    table.write(tmp_path / "masked.fits")
    table.write(tmp_path / "masked.ecsv")
    pd.DataFrame({"whole": pd.array([1, None, 3], "Int64")}).to_parquet(tmp_path / "masked.parquet")
    for name in ("masked.fits", "masked.ecsv", "masked.parquet"):
        found = everything(tmp_path / name, ["whole"])["whole"]
        assert np.isnan(found).tolist() == [False, True, False], name
        assert found[2] == 3, name


def test_a_null_of_a_scaled_column_is_not_known(tmp_path):
    raw = fits.Column("mag", "I", null=-32768, array=np.array([100, -32768, 300], "i2"))
    table = fits.BinTableHDU.from_columns([raw])
    table.header["TSCAL1"], table.header["TZERO1"] = 0.01, 15.0
    table.writeto(tmp_path / "scaled.fits")
    found = everything(tmp_path / "scaled.fits", ["mag"])["mag"]
    np.testing.assert_allclose(found, [16.0, np.nan, 18.0])


def test_infinities_stay_and_what_people_write_for_nothing_is_not_known(tmp_path):
    path = tmp_path / "typed.csv"
    path.write_text("z, mag\n0.1,inf\n0.2,\n0.3,N/A\n0.4,--\n0.5, 18.5\n")
    found = everything(path, ["z", "mag"])
    np.testing.assert_array_equal(found["mag"], [np.inf, np.nan, np.nan, np.nan, 18.5])
    assert found["z"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize(
    "text, said",
    [
        ("z,mag\n0.1,18\n0.2,bright\n", "column 'mag', row 1: 'bright' is not a number"),
        ("z,mag\n0.1,18\n0.2\n", "line 3: 1 cells, but the header names 2"),
        ("z;mag\n0,1;18\n", "separated by semicolons"),
        ("z,mag\n0.1,18 # good\n", "line 2: a '#' stands within"),
        ("# nothing\n", "no rows"),
    ],
)
def test_a_text_that_is_no_table_is_refused_by_its_line(tmp_path, text, said):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        everything(path, ["mag"])


def test_a_piece_that_was_read_is_not_read_again_where_a_later_cell_needs_care(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(catalogues, "PIECE", 2)
    path = tmp_path / "late.csv"
    path.write_text("mag\n1\n2\n3\n+Infinity\n5\nNone\n")
    np.testing.assert_array_equal(everything(path, ["mag"])["mag"], [1, 2, 3, np.inf, 5, np.nan])


def test_of_several_tables_one_is_named(tmp_path):
    path = tmp_path / "two.h5"
    with h5py.File(path, "w") as file:
        file["near/z"], file["far/z"] = [0.1], [3.0]
    with pytest.raises(ValueError, match=r"2 tables .*far, near\); say which"):
        catalogues.open_table(path)
    with pytest.raises(ValueError, match="`table: middle` is not there"):
        catalogues.open_table(path, "middle")
    assert everything(path, ["z"], table="far")["z"] == [3.0]


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "notes.docx").write_text("z")
    (tmp_path / "broken.fits").write_bytes(b"SIMPLE  =")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with gzip.open(tmp_path / "empty.csv.gz", "wt") as file:
        file.write("")
    for name in ("notes.docx", "broken.fits", "broken.parquet", "empty.csv.gz"):
        with pytest.raises(ValueError):
            catalogues.open_table(tmp_path / name)


def test_a_column_that_is_not_there_is_refused_with_the_nearest(tmp_path):
    as_table().write(tmp_path / "table.fits")
    found = catalogues.open_table(tmp_path / "table.fits")
    wanted = {"Mag": "a", "pair": "b", "pair[2]": "c", "redshift": "d", "pair[0]": "e"}
    said = catalogues.check_columns(found, wanted)
    assert len(said) == 4
    assert "did you mean 'mag'?" in said[0]
    assert "say which, as pair[0] ... pair[1]" in said[1]
    assert "counting starts at 0" in said[2]
    assert "there are: mag, pair, field, id" in said[3]
