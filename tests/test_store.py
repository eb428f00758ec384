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


def test_a_file_written_again_has_what_it_had_and_what_is_added(tmp_path):
    tables = {"systems": TABLES["systems"], "samples": {"draw": np.arange(12.0).reshape(6, 2)}}
    units = {**UNITS, "samples": {"draw": "Mpc"}}
    store.write_parts(tmp_path / "a.h5", [tables], units, {"seed": 1, "network": "a"})
    store.extend(tmp_path / "a.h5", tmp_path / "b.h5", {"network": "b"})
    facts = store.attributes(tmp_path / "a.h5")
    assert store.attributes(tmp_path / "b.h5") == facts | {"network": "b"}
    assert store.units(tmp_path / "b.h5") == store.units(tmp_path / "a.h5")
    assert store.read(tmp_path / "b.h5", "systems")["name"].tolist() == ["A", "Bé", ""]
    mapped = store.memmap(tmp_path / "b.h5", "samples", "draw")
    assert np.array_equal(mapped, tables["samples"]["draw"])

    new = {"systems": {"index": np.arange(3) + 5, "score": np.ones(3)}}
    more = {"systems": {"index": "", "score": "mag"}}
    store.extend(tmp_path / "a.h5", tmp_path / "c.h5", {}, new, more)
    read = store.read(tmp_path / "c.h5", "systems")
    assert sorted(read) == ["index", "name", "score"] and read["index"].tolist() == [5, 6, 7]
    assert store.units(tmp_path / "c.h5")["systems"]["score"] == "mag"
    assert store.attributes(tmp_path / "c.h5")["content_digest"] != facts["content_digest"]
    with pytest.raises(ValueError, match="column systems/score has 2 rows where the table has 3"):
        short = {"systems": {"score": np.ones(2)}}
        store.extend(tmp_path / "a.h5", tmp_path / "d.h5", {}, short, more)
    assert not (tmp_path / "d.h5").exists()


def test_rows_of_another_file_are_those_of_the_systems_or_refused():
    store.check_order(np.array([3, 5, 7]), np.array([3, 5, 7]), "x")
    with pytest.raises(ValueError, match="x has 2 rows where systems/index has 3"):
        store.check_order(np.array([3, 5, 7]), np.array([3, 5]), "x")
    with pytest.raises(ValueError, match=r"2 of 3 rows differ \(first: row 1 with 7, not 5\)"):
        store.check_order(np.array([3, 5, 7]), np.array([3, 7, 5]), "x")


@pytest.mark.parametrize("mode", ["r", "c", "r+"])
def test_a_mapped_column_is_stored_in_parts_and_keeps_what_was_changed(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(store, "MAPPED", 1 << 13)
    values = np.arange(50 * 700, dtype=np.float32).reshape(50, 700)
    values.tofile(tmp_path / "values")
    mapped = np.memmap(tmp_path / "values", np.float32, mode, shape=values.shape)
    if mode != "r":
        mapped[7] = values[7] = -1
    for columns in (mapped, mapped[3:]), (values, values[3:]):
        with store.create(tmp_path / "a.h5") as file:
            store.add_column(file, "systems", "x", columns, "")
        assert np.array_equal(
            store.read(tmp_path / "a.h5", "systems")["x"], np.concatenate([values, values[3:]])
        )
    assert np.array_equal(mapped, values)
