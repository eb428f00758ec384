"""Parts and folds of a data set, and tables of numbers with their scaling."""

import numpy as np
import pytest
from toy_images import rings_and_blobs, write

from lensmill.learning import tables
from lensmill.pipeline import store


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write(tmp_path_factory.mktemp("toy"), *rings_and_blobs(100))


def test_parts_are_those_of_the_split(toy):
    split = store.read(toy[1], "systems")["split"]
    parts = [*tables.parts(*toy), tables.test_rows(*toy)]
    for part, rows in enumerate(parts):
        assert rows.tolist() == np.flatnonzero(split == part).tolist()
    assert tables.test_rows(toy[0], None).tolist() == list(range(100))


def test_systems_of_unknown_target_are_in_no_part(toy):
    known = np.arange(100) % 3 > 0
    for rows in tables.parts(*toy, known=known):
        assert known[rows].all()
    with pytest.raises(ValueError, match="none of 0 usable systems is for train"):
        tables.parts(*toy, known=np.zeros(100, bool))


def test_a_split_without_a_test_part_is_refused(tmp_path):
    files = write(tmp_path, *rings_and_blobs(20), split=np.zeros(20))
    with pytest.raises(ValueError, match="has 20 systems, but none of them is for the test"):
        tables.test_rows(*files)


@pytest.mark.parametrize("classes", [None, np.arange(100) % 4 == 0])
def test_folds_part_what_is_not_for_testing(toy, classes):
    split = store.read(toy[1], "systems")["split"]
    validated = []
    for fold in (1, 2, 3, 4):
        learned, rows = tables.parts(*toy, fold, 4, classes=classes)
        assert not {*learned} & {*rows}
        assert sorted({*learned, *rows}) == np.flatnonzero(split < 2).tolist()
        validated += rows.tolist()
        if classes is not None:
            assert classes[rows].mean() == pytest.approx(classes[learned].mean(), abs=0.04)
    assert sorted(validated) == np.flatnonzero(split < 2).tolist()


@pytest.mark.parametrize("classes", [None, np.arange(90) % 2])
def test_a_group_is_never_in_two_folds(tmp_path, classes):
    pixels, is_lens = rings_and_blobs(90)
    group = np.array(["" if row % 10 == 9 else f"tile {row // 6}" for row in range(90)])
    files = write(tmp_path, pixels, is_lens, group=group, split=np.zeros(90))
    validated = []
    for fold in (1, 2, 3):
        learned, rows = tables.parts(*files, fold, 3, classes=classes)
        assert {*group[learned]} & {*group[rows]} <= {""}
        validated += rows.tolist()
    assert sorted(validated) == list(range(90))
    with pytest.raises(ValueError, match="24 groups cannot be cut into folds = 25"):
        tables.parts(*files, 1, 25, classes=classes)


@pytest.mark.parametrize(("group", "what"), [(None, "systems"), (["one tile"] * 20, "groups")])
def test_folds_of_nothing_are_refused_in_words(tmp_path, group, what):
    pixels, is_lens = rings_and_blobs(20)
    files = write(tmp_path, pixels, is_lens, split=np.full(20, 2), group=group)
    with pytest.raises(ValueError, match=f"0 {what} cannot be cut into folds = 2; simulate"):
        tables.parts(*files, 1, 2)


def test_a_fold_that_there_is_not_is_refused(toy):
    with pytest.raises(ValueError, match="fold is 5, but must lie between 1 and folds = 4"):
        tables.parts(*toy, 5, 4)


def test_columns_stand_by_their_own_systems(tmp_path):
    n = 40
    systems = {
        "index": np.arange(n),
        "z": np.linspace(0, 1, n),
        "colours": np.arange(3.0 * n).reshape(n, 3),
    }
    no_units = {"systems": dict.fromkeys((*systems, "split"), "")}
    store.write(tmp_path / "dataset.h5", {"systems": systems}, no_units, {})
    split = {"index": np.arange(n), "split": np.resize([0, 0, 1, 2], n).astype(np.uint8)}
    store.write(tmp_path / "split.h5", {"systems": split}, no_units, {})
    files = tmp_path / "dataset.h5", tmp_path / "split.h5"
    learned, validated = tables.read(*files, ["z", "colours"], ["z"])
    assert learned.features.shape == (20, 4) and validated.targets.shape == (10, 1)
    assert np.array_equal(learned.features[:, 0], systems["z"][learned.rows])
    assert np.array_equal(validated.features[:, 1:], systems["colours"][validated.rows])


def test_standardised_columns_have_mean_0_and_scatter_1_and_come_back():
    columns = np.random.default_rng(1).normal([5, -2, 7], [3, 0.1, 0], (1000, 3))
    by = tables.scaling(columns)
    standard = tables.standardise(columns, by)
    assert standard.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-12)
    assert standard.std(axis=0) == pytest.approx([1, 1, 0])  # the last is constant
    assert tables.restore(standard, by) == pytest.approx(columns)
