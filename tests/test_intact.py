"""What a step reads is what was written, or the step stops and says what to do."""

import json
import os
import zipfile

import h5py
import numpy as np
import pytest

from lensmill.pipeline import intact, store

REMEDY = "delete it and run again"


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "dataset.h5"
    columns = {"index": np.arange(1000), "theta_e": np.linspace(0.5, 2, 1000)}
    units = {"systems": {"index": "", "theta_e": "arcsec"}}
    store.write(path, {"systems": columns}, units, {"population": "toy"})
    return path


def flip(path, where):
    """Flip a bit of the byte at ``where``, and set the time of the file back."""
    about = path.stat()
    with path.open("r+b") as file:
        file.seek(where)
        byte = file.read(1)[0]
        file.seek(where)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def place(path):
    """Return where the numbers of a column lie in its file."""
    with h5py.File(path) as file:
        return file["systems/theta_e"].id.get_offset() + 804


def test_a_good_file_passes_and_is_not_read_again(dataset, monkeypatch):
    intact.verify([dataset])
    monkeypatch.setattr(store, "content_digest", lambda file: pytest.fail("it was read again"))
    intact.verify([dataset])


@pytest.mark.parametrize("verified_before", [False, True])
def test_one_flipped_bit_is_refused_whatever_the_time_of_the_file_says(dataset, verified_before):
    if verified_before:
        intact.verify([dataset])
    flip(dataset, place(dataset))
    with pytest.raises(ValueError, match=rf"dataset\.h5 is damaged: its digest .*{REMEDY}"):
        intact.verify([dataset])


def test_a_flipped_bit_among_the_attributes_is_named_with_what_to_do(dataset):
    flip(dataset, dataset.read_bytes().index(b"population\0") - 8)  # version of the message
    with pytest.raises(ValueError, match=rf"dataset\.h5 cannot be read .*{REMEDY}"):
        intact.verify([dataset])


def test_numbers_that_were_edited_are_refused(dataset):
    intact.verify([dataset])
    with h5py.File(dataset, "r+") as file:
        file["systems/theta_e"][3] = np.nan
    with pytest.raises(ValueError, match="is damaged"):
        intact.verify([dataset])


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_named_with_what_to_do(dataset, kept):
    content = dataset.read_bytes()
    dataset.write_bytes(content[: int(kept * len(content)) if kept < 1 else kept])
    with pytest.raises(ValueError, match=rf"dataset\.h5 cannot be read .*{REMEDY}"):
        intact.verify([dataset])


def test_a_file_without_a_digest_is_none_of_ours(tmp_path):
    path = tmp_path / "dataset.h5"
    with h5py.File(path, "w") as file:
        store.add_column(file, "systems", "index", [np.arange(3)], "")
    with pytest.raises(ValueError, match="digest does not match"):
        intact.verify([path])


@pytest.mark.parametrize("damage", ["flip", "list", "truncate"])
def test_a_damaged_network_is_named_with_what_to_do(tmp_path, damage):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", np.random.default_rng(1).bytes(5000))
        archive.writestr("config.json", "{}")
    intact.verify([path])
    if damage == "flip":
        flip(path, 3000)
    elif damage == "list":  # a bit of what says that a file is encrypted
        flip(path, path.read_bytes().index(b"PK\1\2") + 8)
    else:
        path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(ValueError, match=rf"model\.keras .*{REMEDY}"):
        intact.verify([path])


def test_half_a_file_of_scores_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"auroc": 0.9})[:-3])
    with pytest.raises(ValueError, match=rf"scores\.json cannot be read .*{REMEDY}"):
        intact.verify([path])


def test_what_the_user_gave_and_what_is_not_there_yet_is_left_alone(tmp_path):
    (tmp_path / "mine.csv").write_text("name")
    intact.verify([tmp_path / "mine.csv", tmp_path / "absent.h5", tmp_path])
