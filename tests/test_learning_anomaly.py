"""An autoencoder draws what it has learned, and little else."""

import numpy as np
import pytest

from lensmill.learning import anomaly, classification

SIDE = 24
SETTINGS = {"latent": 4, "width": 4, "softening": 1.0}


def blobs(n, seed, bar=False):
    """Draw blobs at any place, with noise of 1; half of them may lie in a bar."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    at = rng.uniform(-4, 4, (2, n, 1, 1))
    images = 30 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 18)
    if bar:
        images += 20 * (np.abs(x - at[0]) < 1) * (np.abs(y) < 9)
    return (images + rng.normal(size=images.shape)).astype(np.float32)[..., None]


@pytest.fixture(scope="module")
def model():
    keras = pytest.importorskip("keras")
    model = anomaly.autoencoder((SIDE, SIDE, 1), SETTINGS, seed=1)
    model.compile(keras.optimizers.Adam(5e-3), anomaly.loss())
    model.fit(blobs(512, 0), anomaly.targets(512), batch_size=32, epochs=12, verbose=0)
    return model


def test_what_was_never_seen_is_drawn_worse(model):
    known, new = (anomaly.scores(model, blobs(100, 1 + bar, bar)) for bar in (False, True))
    positive = np.arange(200) >= 100
    assert classification.auroc(positive, np.concatenate([known, new])) > 0.95


def test_the_output_is_the_image_less_its_drawing(model):
    import keras

    images = blobs(5, 3)
    drawing = keras.Model(model.input, model.get_layer("drawing").output)
    stretched = keras.Model(model.input, model.layers[1].output)
    left = model.predict(images, verbose=0)
    assert left == pytest.approx(
        stretched.predict(images, verbose=0) - drawing.predict(images, verbose=0), abs=1e-5
    )
    assert anomaly.scores(model, images) == pytest.approx(
        np.sqrt((left**2).mean(axis=(1, 2, 3))), rel=1e-5
    )


def test_images_of_any_size_can_be_drawn():
    pytest.importorskip("keras")
    for shape in ((21, 21, 1), (16, 24, 2)):
        model = anomaly.autoencoder(shape, SETTINGS, seed=2)
        assert model.output_shape[1:] == shape
        rows = np.array([2, 0])
        pixels = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
        whole = anomaly.scores(model, pixels)
        assert anomaly.scores(model, pixels, rows) == pytest.approx(whole[rows], rel=1e-5)
