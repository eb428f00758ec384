"""Splits: fractions by stratum, and stability when the data grow."""

import zlib

import numpy as np
import pytest

from lensmill.pipeline import splits, store
from lensmill.pipeline.splits import labels

STRATUM = np.random.default_rng(1).choice([1, 2, 4], 10_000, p=[0.3, 0.65, 0.05])
BLOCKS = (16, 2, 2)


def test_every_stratum_is_split_in_the_same_parts():
    split = labels("e/p/1", STRATUM, BLOCKS)
    for value in (1, 2, 4):
        counts = np.bincount(split[STRATUM == value], minlength=3)
        total = counts.sum()
        assert abs(counts - total * np.array([0.8, 0.1, 0.1])).max() <= 4


def test_growth_changes_no_label():
    split = labels("e/p/1", STRATUM, BLOCKS)
    for n in (1, 19, 20, 5_001):
        assert (labels("e/p/1", STRATUM[:n], BLOCKS) == split[:n]).all()


def test_another_population_is_split_otherwise():
    first, other = (labels(f"e/{p}/1", STRATUM, BLOCKS) for p in "pq")
    assert 0.2 < (first != other).mean() < 0.5


def grouped(path, population, group, seed=None):
    n = len(group)
    systems = {"index": np.arange(n), "kind": np.arange(n) % 3, "group": np.array(group)}
    facts = {"experiment": "e", "population": population} | ({} if seed is None else {"seed": seed})
    store.write(path, {"systems": systems}, {"systems": dict.fromkeys(systems, "")}, facts)
    splits.write(str(path), str(path) + ".split", "kind", BLOCKS)
    return store.read(str(path) + ".split", "systems")["split"]


def test_a_group_is_never_parted_and_has_its_part_in_every_population(tmp_path):
    names = np.array([f"host {i}" for i in range(2000)])
    one = grouped(tmp_path / "one.h5", "one", np.repeat(names, 3))
    other = grouped(tmp_path / "other.h5", "other", names[::-1], seed=5)
    assert (one.reshape(-1, 3) == one[::3, None]).all()
    assert (other[::-1] == one[::3]).all()
    shares = np.bincount(other, minlength=3) / 2000
    assert abs(shares - [0.8, 0.1, 0.1]).max() < 4 * np.sqrt(0.16 / 2000)


def test_groups_that_are_added_change_no_part(tmp_path):
    group = [f"{i:06d}" for i in range(300)]
    split = grouped(tmp_path / "all.h5", "p", group)
    assert (grouped(tmp_path / "few.h5", "p", group[:70]) == split[:70]).all()


def test_systems_without_a_group_are_split_as_if_alone(tmp_path):
    none = grouped(tmp_path / "none.h5", "p", [""] * 500)
    assert (none == labels("e/p/0", np.arange(500) % 3, BLOCKS)).all()
    some = grouped(tmp_path / "some.h5", "p", ["a", "a"] + [""] * 498)
    assert some[0] == some[1]
    assert (some[2:] == labels("e/p/0", np.arange(2, 500) % 3, BLOCKS)).all()


def test_systems_without_groups_are_split_as_ever():
    # frozen: another order of the random numbers would part every published split
    split = labels("lens_finding/euclid/1", np.arange(1000) % 7, BLOCKS)
    assert zlib.crc32(split.tobytes()) == 4242008686


def test_turns_test_every_group_once(tmp_path):
    group = np.array([f"field {i // 2}" for i in range(600)] + [""] * 60)
    grouped(tmp_path / "all.h5", "p", group)
    paths = str(tmp_path / "all.h5"), str(tmp_path / "all.h5.split")
    parts = np.array([splits.read(*paths, turn) for turn in range(10)])  # 20 / 2 turns
    own = group != ""
    assert ((parts[:, own] == splits.TEST).sum(axis=0) == 1).all()
    assert (parts[:, ~own] == parts[0, ~own]).all()
    assert (parts[:, own].reshape(10, -1, 2).std(axis=2) == 0).all()  # fields are whole
    assert (parts[0] == store.read(paths[1], "systems")["split"]).all()


def in_strata(path, group, stratum, blocks=(2, 1, 1)):
    systems = {"index": np.arange(len(group)), "kind": stratum, "group": np.array(group)}
    facts = {"experiment": "e", "population": "p", "seed": 1}
    store.write(path, {"systems": systems}, {"systems": dict.fromkeys(systems, "")}, facts)
    splits.write(str(path), f"{path}.split", "kind", blocks, stratify_groups=True)
    return store.read(f"{path}.split", "systems")["split"]


def test_stratified_groups_are_whole_and_alike_in_every_stratum(tmp_path):
    # three systems of every group, not side by side, in an order that is not that of their names
    names = [f"p/{i}" for i in np.random.default_rng(0).permutation(400)]
    kind = np.arange(400) % 5
    split = in_strata(tmp_path / "all.h5", names * 3, np.tile(kind, 3))
    assert (split.reshape(3, -1) == split[:400]).all()
    for value in range(5):
        assert np.bincount(split[:400][kind == value]).tolist() == [40, 20, 20]
    assert (in_strata(tmp_path / "few.h5", names[:90], kind[:90]) == split[:90]).all()


def test_turns_test_every_stratified_group_once(tmp_path):
    names = [f"p/{i}" for i in range(200)]
    kind = np.arange(200) % 2
    in_strata(tmp_path / "all.h5", np.repeat(names, 2), np.repeat(kind, 2), (8, 1, 1))
    paths = str(tmp_path / "all.h5"), str(tmp_path / "all.h5.split")
    parts = np.array([splits.read(*paths, turn) for turn in range(10)])
    assert ((parts == splits.TEST).sum(axis=0) == 1).all()
    assert (parts[:, ::2] == parts[:, 1::2]).all()
    of_kind = [(parts[:, np.repeat(kind, 2) == k] == splits.TEST).sum(axis=1) for k in (0, 1)]
    assert (np.array(of_kind) == 20).all()


def test_a_group_that_is_torn_cannot_be_stratified(tmp_path):
    with pytest.raises(ValueError, match=r"'p/3' are in several strata.*stratify_groups: false"):
        in_strata(tmp_path / "torn.h5", ["p/1", "p/3", "p/3"], np.array([0, 0, 1]))
