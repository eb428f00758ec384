"""All views of a cluster are in one part of every split: a network must not know the answers."""

import json
from itertools import pairwise

import h5py
import numpy as np
import pytest
from cluster_mass_settings import population

from lensmill.experiments.cluster_mass import simulate
from lensmill.learning import images, tables
from lensmill.pipeline import shards, splits, store

VIEWS, CLUSTERS = 4, 150
BLOCKS = (6, 2, 2)
TURNS = 5  # in which every cluster is tested once


def make(folder, edges, name="flat"):
    """Simulate shards cut at ``edges``, also through the middle of clusters, and merge them."""
    settings = population(name, views=VIEWS)
    settings["observation"] |= {"size": 16, "pixel_scale": 150.0}
    paths = []
    for first, end in pairwise(edges):
        paths.append(str(folder / f"{name}_{first:05d}.h5"))
        shards.simulate(
            paths[-1], simulate, "cluster_mass", name, 1, first, end - first, settings, "code"
        )
    merged = str(folder / f"{name}.h5")
    of = {"experiment": "cluster_mass", "population": name, "seed": 1, "settings": settings}
    shards.merge(paths, merged, edges[-1], **of, code="code")
    return merged


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    n = VIEWS * CLUSTERS
    return make(tmp_path_factory.mktemp("views"), [0, 1, 6, 7, 250, 403, n])


def shared(path, one, other):
    """Return the clusters that two sets of rows have in common, by what they are, not by name."""
    systems = store.read(path, "systems", ["ln_m500", "m_gas", "l_x"])
    rows = np.stack(list(systems.values()), axis=1)
    return {tuple(row) for row in rows[one]} & {tuple(row) for row in rows[other]}


def split(path, folder, stratify):
    output = str(folder / f"split_{stratify}.h5")
    splits.write(path, output, "mass_bin", BLOCKS, stratify_groups=stratify)
    return output


def parts(path, output, turn=0):
    part = splits.read(path, output, turn)
    return [np.flatnonzero(part == number) for number in range(3)]


def test_where_shards_are_cut_changes_nothing(dataset, tmp_path):
    other = make(tmp_path, [0, 322, VIEWS * CLUSTERS])
    one, two = (store.attributes(path)["content_digest"] for path in (dataset, other))
    assert one == two
    systems = store.read(dataset, "systems", ["group", "ln_m500", "turn"])
    names, seen = np.unique(systems["group"].astype(str), return_counts=True)
    assert len(names) == CLUSTERS and (seen == VIEWS).all()
    assert len(np.unique(systems["ln_m500"])) == CLUSTERS
    assert len(np.unique(systems["turn"])) == VIEWS * CLUSTERS


@pytest.mark.parametrize("stratify", [True, False])
def test_no_cluster_is_in_two_parts_of_a_split_in_any_turn(dataset, tmp_path, stratify):
    output = split(dataset, tmp_path, stratify)
    tested = []
    for turn in range(TURNS):
        train, validation, test = parts(dataset, output, turn)
        assert len(train) + len(validation) + len(test) == VIEWS * CLUSTERS
        assert min(len(train), len(validation), len(test)) > 0
        for one, other in ((train, validation), (train, test), (validation, test)):
            assert not shared(dataset, one, other)
        tested.append(test)
    # every cluster, with all its views, is tested in one turn
    assert sorted(np.concatenate(tested).tolist()) == list(range(VIEWS * CLUSTERS))


@pytest.mark.parametrize("stratify", [True, False])
def test_no_cluster_is_in_two_folds_nor_in_a_fold_and_the_test(dataset, tmp_path, stratify):
    output = split(dataset, tmp_path, stratify)
    classes = store.read(dataset, "systems", ["mass_bin"])["mass_bin"]
    _, _, test = parts(dataset, output)
    validated = []
    for fold in range(1, 11):
        chosen = images.read(dataset, output, np.zeros(VIEWS * CLUSTERS), fold, 10, classes=classes)
        train, validation = (part.rows for part in chosen)
        assert not shared(dataset, train, validation)
        assert not shared(dataset, np.concatenate([train, validation]), test)
        validated.append(validation)
    pool = np.setdiff1d(np.arange(VIEWS * CLUSTERS), test)
    assert sorted(np.concatenate(validated).tolist()) == pool.tolist()


def test_strata_keep_the_rare_masses_in_every_part(tmp_path):
    path = make(tmp_path, [0, VIEWS * CLUSTERS], "mass_function")
    bins = store.read(path, "systems", ["mass_bin"])["mass_bin"]
    train, _, test = parts(path, split(path, tmp_path, True))
    for value, count in zip(*np.unique(bins, return_counts=True), strict=True):
        share = (bins[test] == value).sum() / count
        assert share == pytest.approx(0.2, abs=0.8 * VIEWS * sum(BLOCKS) / count), value
    assert len(test) == pytest.approx(0.2 * VIEWS * CLUSTERS, abs=2 * VIEWS * len(np.unique(bins)))
    assert not shared(path, train, test)


def test_without_groups_the_leak_is_there_and_seen(dataset, tmp_path):
    """What the tests above would find: the same images, whose names say nothing of clusters."""
    broken = str(tmp_path / "broken.h5")
    index = store.read(dataset, "systems", ["index"])["index"]
    alone = {"systems": {"group": np.array([f"flat/{i}" for i in index])}}
    store.extend(dataset, broken, columns=alone, units={"systems": {"group": ""}})
    output = split(broken, tmp_path, True)
    train, _, test = parts(broken, output)
    assert len(shared(broken, train, test)) > 0.3 * CLUSTERS
    one, other = tables.parts(broken, output, 1, 10)
    assert shared(broken, one, other)


def test_a_split_of_torn_clusters_is_refused(dataset, tmp_path):
    # views of one cluster in two bins of mass: the file was put together wrongly
    torn = str(tmp_path / "torn.h5")
    bins = store.read(dataset, "systems", ["mass_bin"])["mass_bin"]
    bins[1] += 1
    columns, units = {"systems": {"mass_bin": bins}}, {"systems": {"mass_bin": ""}}
    store.extend(dataset, torn, columns=columns, units=units)
    with pytest.raises(ValueError, match=r"group 'flat/0' are in several strata"):
        split(torn, tmp_path, True)


def test_the_settings_of_a_split_are_those_it_was_made_with(dataset, tmp_path):
    output = split(dataset, tmp_path, True)
    with h5py.File(output) as file:
        settings = json.loads(file.attrs["settings"])
    assert settings["stratify_groups"] is True
