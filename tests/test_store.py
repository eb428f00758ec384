"""Files are whole or absent, and a digest means 'the same data'."""

import h5py
import numpy as np
import pytest

from lensmill.pipeline import store

TABLES = {"systems": {"index": np.arange(3), "name": np.array(["A", "Bé", ""])}}
UNITS = {"systems": {"index": "", "name": ""}}


def test_what_is_written_is_read(tmp_path):
    store.write(tmp_path / "a.h5", TABLES, UNITS, {"seed": 1})
    read = store.read(tmp_path / "a.h5", "systems")
    assert read["index"].tolist() == [0, 1, 2]
    assert read["name"].tolist() == ["A", "Bé", ""]
    assert store.attributes(tmp_path / "a.h5")["seed"] == 1


def test_a_range_of_rows_can_be_read(tmp_path):
    store.write(tmp_path / "a.h5", TABLES, UNITS, {})
    assert store.read(tmp_path / "a.h5", "systems", ["index"], 1, 1)["index"].tolist() == [1]


def test_a_column_without_unit_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no unit is given for \['name'\]"):
        store.write(tmp_path / "a.h5", TABLES, {"systems": {"index": ""}}, {})


def test_columns_of_unequal_length_are_refused(tmp_path):
    tables = {"systems": {"index": np.arange(3), "name": np.array(["A"])}}
    with pytest.raises(ValueError, match="differ in length"):
        store.write(tmp_path / "a.h5", tables, UNITS, {})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.h5"
    store.write(path, TABLES, UNITS, {})
    before = path.read_bytes()
    with pytest.raises(RuntimeError), store.create(path) as file:
        file["half"] = np.zeros(10)
        raise RuntimeError
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def _digest(path):
    return store.attributes(path)["content_digest"]


def test_the_digest_sees_values_units_and_order_but_not_the_container(tmp_path):
    store.write(tmp_path / "a.h5", TABLES, UNITS, {"seed": 1})
    store.write(tmp_path / "b.h5", TABLES, UNITS, {"seed": 2})
    assert _digest(tmp_path / "a.h5") == _digest(tmp_path / "b.h5")

    swapped = {"systems": {name: column[::-1] for name, column in TABLES["systems"].items()}}
    store.write(tmp_path / "c.h5", swapped, UNITS, {})
    other_units = {"systems": {"index": "arcsec", "name": ""}}
    store.write(tmp_path / "d.h5", TABLES, other_units, {})
    assert len({_digest(tmp_path / f"{name}.h5") for name in "acd"}) == 3


def test_the_digest_does_not_depend_on_how_much_is_read_at_a_time(tmp_path, monkeypatch):
    store.write(tmp_path / "a.h5", TABLES, UNITS, {})
    monkeypatch.setattr(store, "CHUNK", 2)
    with h5py.File(tmp_path / "a.h5") as file:
        assert store.content_digest(file) == file.attrs["content_digest"]


def test_images_are_mapped_into_memory_as_they_were_written(tmp_path):
    pixels = np.arange(24, dtype=np.float32).reshape(2, 3, 4, 1)
    units = {"cutouts": {"pixels": "electron / s"}}
    store.write(tmp_path / "a.h5", {"cutouts": {"pixels": pixels}}, units, {})
    mapped = store.memmap(tmp_path / "a.h5", "cutouts", "pixels")
    assert (mapped == pixels).all() and not mapped.flags.writeable


def test_a_compressed_column_cannot_be_mapped(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("cutouts/pixels", data=np.zeros((4, 2)), compression="gzip")
    with pytest.raises(ValueError, match="chunked or compressed"):
        store.memmap(tmp_path / "a.h5", "cutouts", "pixels")


def test_the_digest_of_images_does_not_depend_on_how_many_are_read_at_a_time(tmp_path, monkeypatch):
    pixels = np.random.default_rng(1).random((50, 8, 8, 1), np.float32)
    units = {"cutouts": {"pixels": ""}}
    digests = []
    for chunk in (64, 1 << 18):
        monkeypatch.setattr(store, "CHUNK", chunk)
        store.write(tmp_path / "a.h5", {"cutouts": {"pixels": pixels}}, units, {})
        digests.append(store.attributes(tmp_path / "a.h5")["content_digest"])
    assert digests[0] == digests[1]
