"""Images into training: the right ones with the right labels, the same after a kill as without."""

import logging

import h5py
import numpy as np
import pytest
from network_settings import architecture_settings

keras = pytest.importorskip("keras")

from toy_images import SIZE, rings_and_blobs, write  # noqa: E402

from lensmill.learning import (  # noqa: E402
    classification,
    devices,
    equivariant,
    image_models,
    images,
    regression,
    tables,
    training,
)
from lensmill.pipeline import store  # noqa: E402

SETTINGS = {
    "epochs": 5,
    "batch_size": 32,
    "learning_rate": 3e-3,
    "weight_decay": 1e-4,
    "clip_norm": 1.0,
    "schedule": "cosine",
    "patience": 0,
    "checkpoint_seconds": 0,
}


class Killed(Exception):
    """Stands for SIGKILL: nothing after it runs."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return write(tmp_path_factory.mktemp("toy"), *rings_and_blobs(400))


def labelled(n=100, seed=0):
    pixels, is_lens = rings_and_blobs(n, seed)
    return images.Images(pixels, np.arange(n), is_lens.astype(np.float32)[:, None])


# Reading


def read(files, fold=0, folds=0, known=None):
    """Read the labels of a toy data set, and its images by them."""
    is_lens = store.read(files[0], "systems")["is_lens"] == 1
    targets = is_lens.astype(np.float32)[:, None]
    return images.read(*files, targets, fold, folds, known, is_lens)


def test_rows_are_those_of_the_split_with_their_targets(toy):
    pixels, is_lens = rings_and_blobs(400)
    learned, validated = read(toy)
    split = store.read(toy[1], "systems")["split"]
    for part, found in enumerate((learned, validated)):
        assert found.rows.tolist() == np.flatnonzero(split == part).tolist()
        assert np.array_equal(found.targets[:, 0] == 1, is_lens[split == part])
    assert isinstance(learned.pixels, np.memmap) and not learned.pixels.flags.writeable
    assert np.array_equal(learned.pixels[learned.rows], pixels[split == 0])


def test_labels_shifted_by_one_image_are_refused(tmp_path):
    files = write(tmp_path, *rings_and_blobs(50), shift=1)
    with pytest.raises(ValueError, match=r"50 of 50 rows differ \(first: row 0 with 49, not 0\)"):
        read(files)


def test_a_split_of_another_population_is_refused(tmp_path, toy):
    dataset, _ = write(tmp_path, *rings_and_blobs(50))
    with pytest.raises(ValueError, match="has 400 rows where systems/index has 50"):
        read((dataset, toy[1]))


def test_folds_have_equal_fractions_of_the_classes(toy):
    for fold in (1, 2, 3, 4):
        learned, validated = read(toy, fold, 4)
        assert validated.targets.mean() == pytest.approx(learned.targets.mean(), abs=0.02)


def is_lens(given):
    return given.targets[:, 0] == 1


# Batches


def test_an_epoch_shows_every_image_once_but_those_of_a_ragged_batch():
    given = labelled(100)
    epochs = images.Batches(given, 32, seed=5)
    assert len(epochs) == 3
    seen = np.concatenate([epochs[i][0] for i in range(3)])
    assert len(seen) == 96 and all(len(epochs[i][0]) == 32 for i in range(3))
    assert len(np.unique(seen.reshape(96, -1), axis=0)) == 96


def test_images_keep_their_labels_when_shuffled():
    given = labelled(100)
    epochs = images.Batches(given, 10, seed=5, repeats=2)
    for batch in range(len(epochs)):
        x, y = epochs[batch]
        for image, label in zip(x, y, strict=True):
            row = int(np.flatnonzero((given.pixels == image).all(axis=(1, 2, 3)))[0])
            assert label == given.targets[row]


def test_augmented_images_are_one_of_the_8_views_exactly():
    given = labelled(40)
    epochs = images.Batches(given, 40, seed=5, turn=images.unchanged)
    views = [
        np.stack([equivariant.transform(image, g) for image in given.pixels]) for g in range(8)
    ]
    found = set()
    x, y = epochs[0]
    for image, label in zip(x, y, strict=True):
        is_ = [np.flatnonzero((view == image).all(axis=(1, 2, 3))) for view in views]
        element = next(g for g in range(8) if len(is_[g]))
        assert label == given.targets[is_[element][0]]
        found.add(element)
    assert len(found) >= 6


def test_targets_turn_with_their_images():
    # a bright pixel and where it is, (x, y) from the centre: turned alike, it stays there
    rng = np.random.default_rng(1)
    place = rng.integers(0, SIZE, (50, 2))
    pixels = np.zeros((50, SIZE, SIZE, 1), np.float32)
    pixels[np.arange(50), place[:, 1], place[:, 0]] = 1
    middle = (SIZE - 1) / 2

    def turn(targets, element):
        x, y = targets.T
        for _ in range(element % 4):
            x, y = y, -x
        return np.stack([-x if element >= 4 else x, y], axis=1)

    given = images.Images(pixels, np.arange(50), (place - middle).astype(np.float32))
    epochs = images.Batches(given, 50, seed=5, turn=turn)
    x, y = epochs[0]
    rows, columns = np.divmod(x.reshape(50, -1).argmax(axis=1), SIZE)
    assert np.array_equal(y, np.stack([columns, rows], axis=1) - middle)
    assert not np.array_equal(np.sort(y, axis=0), np.sort(given.targets, axis=0))


def test_batches_are_a_function_of_seed_and_epoch():
    one, other = (images.Batches(labelled(), 32, 5, turn=images.unchanged) for _ in range(2))
    one.begin(1)
    one.begin(2)
    other.begin(2)
    assert np.array_equal(one[1][0], other[1][0])
    other.begin(3)
    assert not np.array_equal(one[1][0], other[1][0])
    another = images.Batches(labelled(), 32, 6, turn=images.unchanged)
    another.begin(2)
    assert not np.array_equal(one[1][0], another[1][0])


def test_images_that_are_not_square_cannot_be_augmented():
    given = labelled()
    narrow = given._replace(pixels=given.pixels[:, :, 2:])
    with pytest.raises(ValueError, match="24 x 22 pixels cannot be turned"):
        images.Batches(narrow, 32, 5, turn=images.unchanged)


def test_classes_weigh_the_same_if_balanced():
    # 1 lens to 3 others: each lens counts 2, each other 2/3.
    weights = classification.class_weights(np.array([1, 0, 0, 0]))
    assert weights.tolist() == pytest.approx([2 / 3, 2.0])
    given = labelled(200)
    weights = classification.class_weights(is_lens(given))[is_lens(given).astype(int)]
    epochs = images.Batches(given, 200, 5, weights=weights)
    _, y, weight = epochs[0]
    assert weight[y[:, 0] == 1].sum() == pytest.approx(weight[y[:, 0] == 0].sum(), rel=1e-5)
    assert weight.mean() == pytest.approx(1, rel=1e-5)


# Hard negatives


def hard(given, epochs):
    return classification.HardNegatives(is_lens(given), 1.0, epochs)


def times_drawn(epochs):
    return np.bincount(epochs.order, minlength=len(epochs.images.rows))


def test_harder_non_lenses_are_drawn_in_proportion_to_their_scores():
    given = labelled(400)
    sampler = hard(given, 11)
    epochs = images.Batches(given, 10, 5, sampler=sampler)
    negatives = ~is_lens(given)
    sampler.scores = np.where(np.arange(negatives.sum()) < 20, 0.9, 0.1).astype(np.float32)
    epochs.begin(10)
    drawn = times_drawn(epochs)
    assert (drawn[~negatives] == 1).all()
    assert drawn[negatives].sum() == negatives.sum()
    assert drawn[negatives][:20].mean() / drawn[negatives][20:].mean() == pytest.approx(9, rel=0.15)


def test_hard_negatives_come_in_by_and_by():
    given = labelled(400)
    easy = []
    for epoch in (1, 5, 10):
        sampler = hard(given, 11)
        epochs = images.Batches(given, 10, 5, sampler=sampler)
        sampler.scores = np.where(np.arange(len(sampler.scores)) < 20, 0.9, 0.1).astype(np.float32)
        epochs.begin(epoch)
        easy.append((times_drawn(epochs)[~is_lens(given)][20:] > 0).mean())
    assert easy[0] > 0.95 and easy[0] > easy[1] > easy[2]


def test_a_network_that_is_sure_of_all_non_lenses_draws_them_evenly():
    given = labelled(100)
    epochs = images.Batches(given, 10, 5, sampler=hard(given, 2))
    model = image_models.build("dense", (SIZE, SIZE, 1), {"width": 16, "dropout": 0.2}, 0)
    model.layers[-1].set_weights([np.zeros((16, 1)), np.array([-300.0])])
    epochs.end(0, model)
    epochs.begin(1)
    assert (times_drawn(epochs) == 1).all()


# Losses


def test_the_focal_loss_is_the_one_of_its_formula():
    logit = np.array([[1.2], [-0.4], [0.3]], np.float32)
    y = np.array([[1.0], [1.0], [0.0]], np.float32)
    p = 1 / (1 + np.exp(-logit))
    right = np.where(y == 1, p, 1 - p)
    cross = -np.log(right)
    focal = classification.binary_loss("focal", 2.0)(y, logit)
    assert float(focal) == pytest.approx(((1 - right) ** 2 * cross).mean(), rel=1e-5)
    plain = classification.binary_loss("binary_crossentropy", 2.0)(y, logit)
    assert float(plain) == pytest.approx(cross.mean(), rel=1e-5)
    assert float(classification.binary_loss("focal", 0.0)(y, logit)) == pytest.approx(float(plain))


def test_a_confident_logit_has_a_finite_loss():
    y, logit = np.zeros((1, 1), np.float32), np.full((1, 1), 60.0, np.float32)
    loss = classification.binary_loss("binary_crossentropy")
    assert float(loss(y, logit)) == pytest.approx(60)


# Training


def balanced(given, shown=None):
    """Return weights, of images that are shown, that make the classes of the given ones alike."""
    shown = given if shown is None else shown
    return classification.class_weights(is_lens(given))[is_lens(shown).astype(int)]


def validate(judged, loss, epochs, given):
    weights = balanced(given, judged)
    return images.Validation(judged, loss, epochs, classification.binary_metrics, weights)


def fit(folder, dies=None, ema=0.9, hard_negatives=1.0, architecture="p4m", **settings):
    """Train a small network; die as epoch ``dies`` begins."""
    given, judged = labelled(200), labelled(60, seed=9)
    chosen = {**SETTINGS, **settings, "ema": ema}
    small = {"width": 2 if architecture == "p4m" else 16, "stem": 4, "stages": 2}
    chosen_model = architecture_settings(architecture, {**small, "dropout": 0.2})
    model = image_models.build(architecture, (SIZE, SIZE, 1), chosen_model, 3)

    class Dying(images.Batches):
        def begin(self, epoch):
            if epoch == dies:
                raise Killed
            super().begin(epoch)

    epochs = Dying(
        given,
        chosen["batch_size"],
        5,
        turn=images.unchanged,
        weights=balanced(given),
        sampler=hard(given, chosen["epochs"]) if hard_negatives else None,
    )
    loss = classification.binary_loss("focal", 2.0)
    validation = validate(judged, loss, epochs, given)
    return model, training.fit(model, loss, epochs, validation, chosen, 5, folder, "a")


def numbers(rows):
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


@pytest.mark.parametrize("architecture", ["p4m", "one_conv"])
def test_a_killed_training_resumed_gives_the_same_network_bit_for_bit(tmp_path, architecture):
    straight, rows = fit(tmp_path / "straight", architecture=architecture)
    with pytest.raises(Killed):
        fit(tmp_path / "killed", dies=3, architecture=architecture)
    resumed, again = fit(tmp_path / "killed", architecture=architecture)
    assert numbers(again) == numbers(rows)
    pairs = zip(straight.get_weights(), resumed.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_averaged_weights_are_those_that_are_judged_and_kept(tmp_path):
    model, rows = fit(tmp_path, ema=0.9)
    given, judged = labelled(200), labelled(60, seed=9)
    loss = classification.binary_loss("focal", 2.0)
    epochs = images.Batches(given, 32, 5)
    again = validate(judged, loss, epochs, given)(model)
    assert again["val_loss"] == pytest.approx(min(row["val_loss"] for row in rows), rel=1e-6)


def test_without_an_average_the_weights_are_others(tmp_path):
    settings = {"architecture": "dense", "epochs": 1}
    (plain, _), (averaged, _) = (fit(tmp_path, ema=ema, **settings) for ema in (0.0, 0.99))
    one, other = (model.get_weights()[0] for model in (plain, averaged))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("architecture", ["p4m", "resnet"])
def test_a_network_tells_rings_from_blobs(tmp_path, architecture):
    _, rows = fit(tmp_path, architecture=architecture, ema=0, hard_negatives=0, epochs=12)
    assert max(row["val_auroc"] for row in rows) > 0.95


def test_outputs_are_those_of_the_rows_asked_for(toy):
    learned, _ = read(toy)
    model = image_models.build("one_conv", (SIZE, SIZE, 1), {"width": 16, "dropout": 0.2}, 0)
    everything = images.predict(model, learned.pixels)
    some = images.predict(model, learned.pixels, np.array([3, 300, 17]))
    assert everything.dtype == np.float64 and everything.shape == (400, 1)
    assert some == pytest.approx(everything[[3, 300, 17]], abs=1e-5)


def test_a_network_of_several_classes_is_trained_likewise(tmp_path):
    given, judged = labelled(300), labelled(100, seed=9)
    classes = [
        part._replace(targets=part.targets[:, 0].astype(np.int32)) for part in (given, judged)
    ]
    loss = classification.class_loss()
    epochs = images.Batches(classes[0], 32, 5, turn=images.unchanged)
    validation = images.Validation(classes[1], loss, epochs, classification.class_metrics)
    small = architecture_settings("resnet", {"width": 16, "stem": 4, "stages": 2})
    model = image_models.build("resnet", (SIZE, SIZE, 1), small, 3, outputs=3)
    rows = training.fit(model, loss, epochs, validation, SETTINGS, 5, tmp_path / "c", "a")
    assert max(row["val_accuracy"] for row in rows) > 0.95
    logits = images.predict(model, judged.pixels)
    assert logits.shape == (100, 3)
    best = min(rows, key=lambda row: row["val_loss"])
    assert classification.accuracy(classes[1].targets, logits).value == best["val_accuracy"]
    found = classification.cross_entropy(classes[1].targets, logits)
    assert found == pytest.approx(best["val_loss"], rel=1e-4)


def test_a_network_that_gives_a_place_with_its_error_learns_from_turned_images(tmp_path):
    # where a blob lies, (x, y) from the centre [pixels]
    rng = np.random.default_rng(6)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    place = rng.uniform(-6, 6, (400, 2))
    light = np.exp(-((x - place[:, :1, None]) ** 2 + (y - place[:, 1:, None]) ** 2) / 8)
    pixels = (light + rng.normal(0, 0.05, light.shape))[..., None].astype(np.float32)

    def turn(targets, element):
        x, y = targets.T
        for _ in range(element % 4):
            x, y = y, -x
        return np.stack([-x if element >= 4 else x, y], axis=1)

    by = {"mean": [0.0, 0.0], "scale": [3.5, 3.5]}
    targets = tables.standardise(place, by).astype(np.float32)
    rows = np.arange(300), np.arange(300, 400)
    learned, validated = (images.Images(pixels, part, targets[part]) for part in rows)
    head = regression.head("gaussian", 2)
    epochs = images.Batches(learned, 32, 5, repeats=2, turn=turn)
    validation = images.Validation(validated, head.loss(), epochs)
    small = {"width": 16, "dropout": 0.2, "stretch": "none"}
    model = image_models.build("one_conv", (SIZE, SIZE, 1), small, 3, outputs=head.outputs)
    settings = {**SETTINGS, "epochs": 12}
    training.fit(model, head.loss(), epochs, validation, settings, 5, tmp_path / "c", "a")
    outputs = images.predict(model, pixels, rows[1])
    found = tables.restore(regression.sample(outputs, head), by)[:, 0]
    assert np.std(found - place[rows[1]]) < 1.0


# Precision


def test_sixteen_bits_are_for_gpus_and_their_lack_is_said(monkeypatch, caplog):
    monkeypatch.setattr(devices.keras.distribution, "list_devices", lambda kind: [])
    with caplog.at_level(logging.INFO):
        assert devices.precision(True) == "float32"
        assert "no GPU: everything stays in float32" in caplog.text
        assert devices.precision(False) == "float32"
        monkeypatch.setattr(devices.keras.distribution, "list_devices", lambda kind: ["gpu:0"])
        assert devices.precision(True) == "mixed_bfloat16"


def test_pixels_are_contiguous_on_disk_for_the_memory_map(toy):
    with h5py.File(toy[0]) as file:
        assert file["cutouts/pixels"].chunks is None


# Numbers beside the image


def told(n=100):
    """Return images whose numbers are their labels, and what is not."""
    given = labelled(n)
    rng = np.random.default_rng(3)
    numbers = np.column_stack([given.targets[:, 0], rng.normal(size=n)]).astype(np.float32)
    return given._replace(numbers=numbers)


def test_numbers_stay_with_their_images_when_shuffled_and_turned():
    given = told()
    batches = images.Batches(given, 16, seed=5, turn=images.unchanged)
    for batch in range(len(batches)):
        (pixels, numbers), labels = batches[batch]
        assert np.array_equal(numbers[:, :1], labels)
        assert len(pixels) == len(numbers) == 16
    few = images.first(given, 7)
    assert np.array_equal(few.numbers, given.numbers[:7]) and len(few.targets) == 7


def test_the_numbers_of_a_split_are_those_of_its_rows(toy):
    index = store.read(toy[0], "systems")["index"].astype(float)[:, None]
    for part in images.read(*toy, index, numbers=index):
        assert np.array_equal(part.numbers, part.targets)
        assert np.array_equal(part.numbers[:, 0], part.rows)


def test_a_network_answers_by_the_numbers_that_it_is_told():
    given = told(300)
    pixels, numbers = keras.Input((SIZE, SIZE, 1)), keras.Input((2,))
    x = keras.layers.GlobalAveragePooling2D()(pixels)
    x = keras.layers.Concatenate()([x, numbers])
    model = keras.Model([pixels, numbers], keras.layers.Dense(1, kernel_initializer="ones")(x))
    found = images.predict(model, given.pixels, given.rows, given.numbers)
    expected = given.pixels.mean(axis=(1, 2)) + given.numbers.sum(axis=1, keepdims=True)
    assert found == pytest.approx(expected, abs=1e-5)
    loss = keras.losses.MeanSquaredError()
    batches = images.Batches(given, 32, seed=1)
    score = images.Validation(given, loss, batches)(model)
    assert score["val_loss"] == pytest.approx(((expected - given.targets) ** 2).mean(), rel=1e-4)
