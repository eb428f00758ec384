"""What leaves a dataset comes back from every format as it was, with units."""

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from astropy import units
from astropy.table import Table

from lensmill.pipeline import export, store

UNITS = {
    "systems": {"index": "", "name": "", "h0": "km / (Mpc s)", "z_lens": "", "status": ""},
    "images": {"system": "", "x": "arcsec", "fermat": "arcsec2", "delay": "d"},
}


@pytest.fixture(scope="module")
def tables():
    """Return seven systems with awkward numbers and names, and their images."""
    rng = np.random.default_rng(5)
    awkward = np.array([0.1, 1 / 3, 5e-324, -0.0, 1.7976931348623157e308, 1e-10, np.pi])
    return {
        "systems": {
            "index": np.arange(7) + 2**53 + 1,  # not a number that a float64 can hold
            "name": np.array(
                ["B1608+656", 'a "quoted", name', "Sluse et al.", "", "Courbin é", "x\ny", " z"],
                dtype=object,
            ),
            "h0": awkward,
            "z_lens": rng.random(7),
            "status": np.array([0, 1, 2, 3, 255, 0, 0], np.uint8),
        },
        "images": {
            "system": np.repeat(np.arange(7), 3) + 2**53 + 1,
            "x": rng.normal(size=21),
            "fermat": rng.normal(size=21),
            "delay": rng.exponential(size=21),
        },
    }


@pytest.fixture(scope="module")
def dataset(tables, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "dataset.h5"
    store.write(path, tables, UNITS, {"population": "sié", "settings": '{"a": [1, 2]}'})
    return path


@pytest.fixture(autouse=True, params=[store.CHUNK, 4], ids=["in one piece", "in pieces of 4 rows"])
def chunk(request, monkeypatch):
    monkeypatch.setattr(store, "CHUNK", request.param)


def same(columns, wanted):
    assert set(columns) == set(wanted)
    for name, values in wanted.items():
        assert list(columns[name]) == values.tolist(), name


@pytest.mark.parametrize("table", UNITS)
def test_pandas_reads_the_parquet_bit_for_bit(dataset, tables, tmp_path, table):
    export.export(dataset, tmp_path / f"{table}.parquet")
    frame = pd.read_parquet(tmp_path / f"{table}.parquet")
    same(frame, tables[table])
    for name, values in tables[table].items():
        assert frame[name].dtype == values.dtype, name


def test_parquet_keeps_units_and_where_the_data_come_from(dataset, tmp_path):
    export.export(dataset, tmp_path / "images.parquet")
    schema = pyarrow.parquet.read_schema(tmp_path / "images.parquet")
    assert schema.field("fermat").metadata[b"unit"] == b"arcsec2"
    assert schema.metadata[b"population"].decode() == "sié"


@pytest.mark.parametrize("table", UNITS)
def test_pandas_reads_the_csv_bit_for_bit(dataset, tables, tmp_path, table):
    export.export(dataset, tmp_path / f"{table}.csv")
    frame = pd.read_csv(
        tmp_path / f"{table}.csv", float_precision="round_trip", keep_default_na=False
    )
    same(frame, tables[table])


def test_astropy_reads_the_ecsv_with_units(dataset, tables, tmp_path):
    export.export(dataset, tmp_path / "images.ecsv")
    table = Table.read(tmp_path / "images.ecsv", format="ascii.ecsv")
    same({name: table[name] for name in table.colnames}, tables["images"])
    assert table["fermat"].unit == units.arcsec**2
    assert table["system"].dtype == np.int64


def test_astropy_reads_all_tables_of_the_fits_with_units(dataset, tables, tmp_path):
    export.export(dataset, tmp_path / "dataset.fits")
    for name, wanted in tables.items():
        table = Table.read(tmp_path / "dataset.fits", hdu=name)
        numbers = {n: v for n, v in wanted.items() if v.dtype != object}
        same({n: table[n] for n in numbers}, numbers)
        for column, unit in UNITS[name].items():
            assert (table[column].unit or units.dimensionless_unscaled) == units.Unit(unit)
    assert list(Table.read(tmp_path / "dataset.fits", hdu="systems")["name"][[0, 4]]) == [
        "B1608+656",
        "Courbin e",
    ]


def test_the_name_of_a_fits_file_can_ask_for_one_table(dataset, tables, tmp_path):
    export.export(dataset, tmp_path / "images.fits")
    same(
        {n: Table.read(tmp_path / "images.fits", hdu=1)[n] for n in UNITS["images"]},
        tables["images"],
    )


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "parquet", "fits"])
def test_a_table_without_rows_keeps_its_columns(tables, tmp_path, suffix):
    empty = {"images": {name: values[:0] for name, values in tables["images"].items()}}
    store.write(tmp_path / "empty.h5", empty, UNITS, {})
    path = tmp_path / f"images.{suffix}"
    export.export(tmp_path / "empty.h5", path)
    if suffix == "parquet":
        columns = list(pd.read_parquet(path))
    elif suffix == "csv":
        columns = list(pd.read_csv(path))
    else:
        columns = Table.read(path, **({"hdu": 1} if suffix == "fits" else {})).colnames
    assert sorted(columns) == sorted(UNITS["images"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("images.xls", r"'\.xls' is not a format; choose \.csv, \.ecsv, \.parquet or \.fits"),
        ("image.csv", "no table 'image'; its tables are images, systems"),
    ],
)
def test_an_output_that_cannot_be_is_refused(dataset, tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        export.export(dataset, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_column_of_vectors_is_refused_by_name(tmp_path):
    table = {"samples": {"ln_d_dt": np.zeros((3, 2))}}
    store.write(tmp_path / "deep.h5", table, {"samples": {"ln_d_dt": ""}}, {})
    with pytest.raises(ValueError, match=r"\['ln_d_dt'\] have more than one dimension"):
        export.export(tmp_path / "deep.h5", tmp_path / "samples.csv")
    assert not (tmp_path / "samples.csv").exists()


ID = 2**53 + 1  # not a number that a float64 can hold
GAPS = {
    "object_id": np.array([ID, 0, ID + 1]),
    "object_id_known": np.array([1, 0, 1], np.uint8),
    "z": np.array([0.5, 0.0, 0.0]),
    "z_known": np.array([1, 0, 1], np.uint8),
    "is_lens": np.array([0, 0, 1], np.uint8),
    "label_known": np.array([1, 0, 1], np.uint8),
    "lens_x": np.array([0.0, 0.0, 0.1]),
    "lens_known": np.array([1, 0, 1], np.uint8),
    "snr": np.array([3.0, np.nan, 5.0]),
    "flag": np.array([0, 1, 1]),  # columns of a user, who may call them as ours
    "flag_known": np.array([0, 0, 1]),
}
WANTED = {
    "object_id": [ID, None, ID + 1],
    "z": [0.5, None, 0.0],
    "is_lens": [0, None, 1],
    "lens_x": [0.0, None, 0.1],
    "snr": [3.0, None, 5.0],
    "flag": [0, 1, 1],
}


@pytest.fixture
def gaps(tmp_path):
    """Return a data set of three systems, the second of which nothing was measured of."""
    store.write(tmp_path / "gaps.h5", {"systems": GAPS}, {"systems": dict.fromkeys(GAPS, "")}, {})
    return tmp_path / "gaps.h5"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_was_not_measured_is_missing_in_pandas(gaps, tmp_path, suffix):
    path = tmp_path / f"systems.{suffix}"
    export.export(gaps, path)
    if suffix == "parquet":
        frame = pd.read_parquet(path)
    else:
        # read_csv alone makes float64 of integers with a gap, whoever wrote them
        frame = pd.read_csv(path, dtype_backend="numpy_nullable")
        assert pd.read_csv(path)["z"].isna().tolist() == [False, True, False]
    for name, wanted in WANTED.items():
        assert [None if pd.isna(v) else v for v in frame[name]] == wanted, name


@pytest.mark.parametrize("suffix", ["csv", "ecsv", "fits"])
def test_what_was_not_measured_is_masked_in_astropy(gaps, tmp_path, suffix):
    export.export(gaps, tmp_path / f"systems.{suffix}")
    table = Table.read(tmp_path / f"systems.{suffix}")
    for name, wanted in WANTED.items():
        assert [None if np.ma.is_masked(v) else v for v in table[name]] == wanted, name


def test_what_was_not_measured_is_no_number_where_astropy_reads_parquet(gaps, tmp_path):
    # astropy masks no null of Parquet: it makes NaN of it (and float64 of an integer beside it)
    export.export(gaps, tmp_path / "systems.parquet")
    table = Table.read(tmp_path / "systems.parquet")
    for name, wanted in WANTED.items():
        assert np.isnan(table[name].astype(float)).tolist() == [v is None for v in wanted], name


def test_a_number_that_would_mark_a_gap_in_fits_is_refused(tmp_path):
    lowest = np.iinfo(np.int64).min
    columns = {"n": np.array([lowest, 0]), "n_known": np.array([1, 0], np.uint8)}
    store.write(
        tmp_path / "d.h5", {"systems": columns}, {"systems": dict.fromkeys(columns, "")}, {}
    )
    with pytest.raises(ValueError, match=f"'n' holds {lowest}, which marks a missing value"):
        export.export(tmp_path / "d.h5", tmp_path / "systems.fits")
    assert not (tmp_path / "systems.fits").exists()
