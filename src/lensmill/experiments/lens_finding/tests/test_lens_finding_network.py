"""Rings and blobs from a data set to a trained network that is read again."""

import csv
import json

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from network_settings import network_settings  # noqa: E402
from toy_images import SIZE, rings_and_blobs, write  # noqa: E402

from lensmill.experiments.lens_finding import network  # noqa: E402
from lensmill.learning import classification, tables  # noqa: E402
from lensmill.pipeline import splits, store  # noqa: E402

QUICK = {"width": 2, "stem": 4, "stages": 2, "epochs": 3, "batch_size": 32, "tensorboard": False}
FILES = {"model": "model.keras", "history": "history.csv", "training": "training.json"}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write(tmp_path_factory.mktemp("toy"), *rings_and_blobs(400))


def train(toy, folder, **settings):
    folder.mkdir(exist_ok=True)
    files = {name: str(folder / file) for name, file in FILES.items()}
    network.train(
        dataset=str(toy[0]),
        split=str(toy[1]),
        settings=network_settings("lens_finding", {**QUICK, **settings}),
        seed=1,
        threads=1,
        checkpoints=str(folder / "checkpoints"),
        **files,
    )
    return network.load(files["model"], files["training"])


@pytest.fixture(scope="module")
def trained(toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return train(toy, folder), folder


def test_the_record_says_what_was_trained_on_what(trained):
    net, folder = trained
    record = net.training
    assert record["architecture"] == "p4m" and record["shape"] == [SIZE, SIZE, 1]
    assert record["parameters"] == net.model.count_params()
    assert record["systems"] == 320 and 0 < record["lenses"] < 320
    assert record["precision"] == "float32" and record["images_per_second"] > 0
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [0, 1, 2]
    assert float(rows[record["best_epoch"]]["val_loss"]) == record["val_loss"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES.values())
    json.dumps(record)


def test_a_network_gives_a_logit_per_image(trained):
    pixels, _ = rings_and_blobs(50, seed=3)
    logit = network.logits(trained[0], pixels)
    assert logit.shape == (50,) and logit.dtype == np.float64 and np.isfinite(logit).all()
    rows = np.array([4, 2])
    assert network.logits(trained[0], pixels, rows) == pytest.approx(logit[rows], abs=1e-5)


def test_images_of_another_size_are_refused_with_the_remedy(trained):
    pixels = np.zeros((2, 32, 32, 3), np.float32)
    with pytest.raises(
        ValueError,
        match=r"32 x 32 pixels in 3 bands, but .* 'toy'\) takes 24 x 24 pixels in 1 bands; bring",
    ):
        network.logits(trained[0], pixels)


def test_seeds_of_a_definition_are_different_networks(trained, toy, tmp_path):
    other = train(toy, tmp_path, seed=2, epochs=1)
    one, third = (n.model.get_weights() for n in (trained[0], other))
    assert not np.array_equal(one[0], third[0])


def test_training_again_gives_the_same_weights(trained, toy, tmp_path):
    one, again = (n.model.get_weights() for n in (trained[0], train(toy, tmp_path)))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))


def test_a_scale_of_the_training_set_is_stored_in_the_network(toy, tmp_path):
    net = train(toy, tmp_path, stretch="training", fold=2, folds=3, max_systems=100)
    assert net.training["systems"] == 100
    (stretch,) = (layer for layer in net.model.layers if type(layer).__name__ == "AsinhStretch")
    assert stretch.noise == pytest.approx(net.training["noise"])
    assert stretch.noise == pytest.approx([0.1], rel=0.1)


def test_a_part_without_lenses_is_refused(tmp_path):
    pixels, is_lens = rings_and_blobs(100)
    files = write(tmp_path, pixels, np.zeros_like(is_lens))
    with pytest.raises(ValueError, match=r"the train part has 80 non-lenses and 0 lenses of known"):
        train(files, tmp_path / "net")


def test_systems_without_a_label_teach_nothing(tmp_path):
    pixels, is_lens = rings_and_blobs(200)
    known = np.ones(200, np.uint8)
    known[::3] = 0
    files = write(tmp_path, pixels, is_lens, known)
    net = train(files, tmp_path / "net", epochs=1)
    split = np.resize(np.repeat([0, 1, 2], (8, 1, 1)), 200)
    assert net.training["systems"] == ((split == 0) & (known == 1)).sum()


def test_a_network_trained_in_16_bits_is_kept_in_32(toy, tmp_path, monkeypatch):
    # where there is a GPU; a CPU can do it too, but slowly
    monkeypatch.setattr(keras.distribution, "list_devices", lambda kind=None: ["gpu:0"])
    net = train(toy, tmp_path, mixed_precision=True, epochs=1)
    assert net.training["precision"] == "mixed_bfloat16"
    assert {layer.dtype_policy.name for layer in net.model.layers} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"


# ---- several populations, and hosts that are in more than one of them


def hosts_in_two_populations(folder, names=40):
    """Paint rings on hosts that two populations share, some turned; every host has four images."""
    rng = np.random.default_rng(5)
    blobs, _ = rings_and_blobs(names, seed=8, lenses=0.0)
    rings, _ = rings_and_blobs(names, seed=9, lenses=1.0)
    made = []
    for number in range(2):
        host = np.repeat(np.arange(names), 4)
        is_lens = np.tile([True, False, True, False], names)
        turned = [np.rot90(blobs[h], k) for h, k in zip(host, rng.integers(0, 4, 160), strict=True)]
        pixels = np.array(turned) + is_lens[:, None, None, None] * rings[host] * 0.7
        where = folder / str(number)
        where.mkdir()
        group = [f"field {h // 2}" for h in host]  # two hosts in a field
        dataset, _ = write(where, pixels.astype(np.float32), is_lens, group=group)
        splits.write(str(dataset), str(where / "split.h5"), "kind", (2, 1, 3))
        made.append((str(dataset), str(where / "split.h5")))
    return made


@pytest.mark.parametrize("turn", [0, 1])
def test_no_field_is_both_learned_from_and_judged_whatever_the_population(tmp_path, turn):
    made = hosts_in_two_populations(tmp_path)
    settings = {"turn": turn, "train_on": {"one": 1, "two": 1}, "test_on": ["one"], **QUICK}
    settings = network_settings("lens_finding", settings) | {"shares": [0.5, 0.5]}
    keys = network.runs.Keys(1, 2)
    plan = network.prepare(*map(list, zip(*made, strict=True)), settings, 1, keys)
    size = len(splits.groups(made[0][0]))
    groups = np.concatenate([splits.groups(dataset) for dataset, _ in made])
    learned = {*groups[plan.epochs.images.rows]}
    chose = {*groups[plan.validation.images.rows]}
    judged = set()
    for dataset, parts in made:
        judged |= {*splits.groups(dataset)[tables.test_rows(dataset, parts, turn)]}
    assert learned and chose and judged and max(plan.epochs.images.rows) >= size
    assert not (learned & judged or chose & judged or learned & chose)


def test_two_turns_judge_every_field_once(tmp_path):
    made = hosts_in_two_populations(tmp_path)
    for dataset, parts in made:
        rows = [tables.test_rows(dataset, parts, turn) for turn in (0, 1)]
        assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(160))


def test_a_host_that_comes_back_under_another_name_is_found_out(tmp_path):
    made = hosts_in_two_populations(tmp_path)
    net = train(made[0], tmp_path / "net", epochs=1)
    # the same hosts, turned, with names of their own: as a background or as real non-lenses
    blobs, is_lens = rings_and_blobs(40, seed=8, lenses=0.0)
    group = [f"tile {i}" for i in range(40)]
    turned = np.ascontiguousarray(np.rot90(blobs, axes=(1, 2)))
    (tmp_path / "again").mkdir()
    again, _ = write(tmp_path / "again", turned, is_lens, group=group)
    with pytest.raises(ValueError, match="images of 'toy' are in 'toy' as well"):
        judge(net, again, None, tmp_path, learned=made[0][0], learned_split=made[0][1])


def judge(net, dataset, split, folder, **learned):
    output = str(folder / "predictions.h5")
    network.predict(
        net, str(dataset), split, {}, seed=1, output=output, name="p4m", population="toy", **learned
    )
    return store.read(output, "systems"), store.attributes(output)


def test_lenses_in_a_field_that_was_learned_from_are_left_to_another_turn(tmp_path):
    (dataset, parts), _ = hosts_in_two_populations(tmp_path)
    rings, is_lens = rings_and_blobs(25, seed=77, lenses=1.0)
    (tmp_path / "real").mkdir()
    group = [f"field {i}" for i in range(20)] + [f"far {i}" for i in range(5)]
    real, _ = write(tmp_path / "real", rings, is_lens, group=group, settings={"test_only": True})
    judged = []
    for turn in (0, 1):
        net = train((dataset, parts), tmp_path / f"net{turn}", epochs=1, turn=turn)
        table, facts = judge(net, real, None, tmp_path, learned=dataset, learned_split=parts)
        seen = splits.groups(dataset)[splits.read(dataset, parts, turn) != splits.TEST]
        assert not {*table["group"]} & {*seen}
        assert facts["left_out"] == 25 - len(table["index"]) > 0
        judged.append({*table["index"]})
    assert judged[0] | judged[1] == {*range(25)}
    assert judged[0] & judged[1] == {*range(20, 25)}  # of no field that was learned from


def test_the_shares_are_those_of_an_epoch_and_of_the_validation(tmp_path):
    made = hosts_in_two_populations(tmp_path)
    settings = {"train_on": {"one": 3, "two": 1}, "test_on": ["one"], **QUICK}
    settings = network_settings("lens_finding", settings) | {"shares": [0.75, 0.25]}
    plan = network.prepare(
        *map(list, zip(*made, strict=True)), settings, 1, network.runs.Keys(1, 2)
    )
    rows, shown = plan.epochs.images.rows, plan.epochs.order
    assert (rows[shown] < 160).mean() == pytest.approx(0.75, abs=0.01)
    weights = plan.validation.weights
    first = plan.validation.images.rows < 160
    assert weights[first].sum() == pytest.approx(0.75 * weights.sum(), rel=1e-5)


def test_a_catalogue_tells_by_size_and_is_kept_without_a_history(tmp_path):
    pixels, is_lens = rings_and_blobs(300)
    bands = {"i": {"wavelength": 752, "zero_point": 25.0, "psf": {"gaussian": 0.9}}}
    observation = {"pixel_scale": 0.3, "size": SIZE, "bands": bands}
    toy = write(tmp_path, pixels, is_lens, settings={"observation": observation})
    model, training = str(tmp_path / "model.skops"), str(tmp_path / "training.json")
    chosen = {"architecture": "logistic", "train_on": "toy", "test_on": ["toy"]}
    network.train(
        str(toy[0]), str(toy[1]), network_settings("lens_finding", chosen), 1, 1, model, None,
        training, None,
    )  # fmt: skip
    net = network.load(model, training)
    assert net.training["parameters"] == 3  # magnitude, size and an offset: there is no colour
    found = network.logits(net, pixels)
    assert classification.auroc(is_lens, found) > 0.95


def test_a_distilled_network_says_what_its_teacher_says_and_not_the_labels(trained, toy, tmp_path):
    net, _ = trained
    said = tmp_path / "logits.h5"
    network.recall(net, str(toy[0]), str(said), "teacher")
    logit = network.recalled(str(said), str(toy[0]))
    assert logit == pytest.approx(network.logits(net, store.pixels(toy[0])))
    # a teacher who takes every ring for a blob, and the other way round
    units = {"systems": {"logit": ""}}
    store.extend(said, tmp_path / "wrong.h5", {}, {"systems": {"logit": -4 * logit}}, units)
    wrong = str(tmp_path / "wrong.h5")
    pupil = train(toy, tmp_path / "pupil", teacher=wrong, learning_rate=0.01, epochs=6)
    assert "teacher" not in pupil.training["settings"]
    rows = tables.test_rows(toy[0], toy[1])
    is_lens = network.labels(str(toy[0]))[0][rows]
    found = network.logits(pupil, store.pixels(toy[0]), rows)
    assert classification.auroc(is_lens, network.logits(net, store.pixels(toy[0]), rows)) > 0.8
    assert classification.auroc(is_lens, found) < 0.2
    assert pupil.training["val_auroc"] < 0.2  # the history still tells lenses by their labels
    other = write(tmp_path, *rings_and_blobs(400, seed=2))
    with pytest.raises(ValueError, match=r"wrong.h5 are not the logits of .*dataset.h5; delete"):
        train(other, tmp_path / "no", teacher=wrong)
