"""A small variational autoencoder: its ELBO, its draws, and the test of draws against the real."""

import numpy as np
import pytest
from scipy import stats

from lensmill.learning import generation

SETTINGS = {
    "epochs": 12,
    "batch_size": 64,
    "repeats": 2,
    "learning_rate": 3e-3,
    "weight_decay": 0.0,
    "clip_norm": 1.0,
    "schedule": "cosine",
    "patience": 0,
    "checkpoint_seconds": 60,
}


def bars(n, seed):
    """Images (n, 10, 10, 1) of an upright or a level bar, and which: one-hot (n, 2)."""
    rng = np.random.default_rng(seed)
    level = rng.random(n) < 0.5
    images = np.zeros((n, 10, 10, 1), np.float32)
    for image, flat, at in zip(images, level, rng.integers(2, 7, n), strict=True):
        view = image if flat else image.transpose(1, 0, 2)
        view[at : at + 2] = 1
    return images, np.stack([~level, level], axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pytest.importorskip("keras")
    from lensmill.learning import training

    model = generation.build((10, 10, 1), conditions=2, latent=2, width=8, beta=1.0, seed=1)
    (images, given), (others, theirs) = bars(1000, 1), bars(200, 2)
    rows = training.fit(
        model,
        generation.loss("bernoulli"),
        lambda epoch: ((images, given), images),
        ((others, theirs), others),
        SETTINGS,
        1,
        tmp_path_factory.mktemp("fit") / "checkpoint",
        "a",
    )
    return model, rows


def test_the_loss_is_minus_the_elbo_by_hand():
    keras = pytest.importorskip("keras")
    from lensmill.learning.layers import GaussianLatent

    mean, log_variance = np.array([[0.5, -1.0]]), np.array([[0.3, -0.7]])
    latent = GaussianLatent(beta=2.0, seed=1)
    latent(np.concatenate([mean, log_variance], axis=1).astype(np.float32))
    by_hand = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum()
    assert float(latent.losses[0]) == pytest.approx(2 * by_hand, rel=1e-3)

    pixels, logit = np.array([[[[1.0]], [[0.0]]]]), np.array([[[[0.7]], [[-1.2]]]])
    p = 1 / (1 + np.exp(-logit))
    bernoulli = -stats.bernoulli.logpmf(pixels.astype(int), p).sum()
    assert float(generation.loss("bernoulli")(pixels, logit)) == pytest.approx(bernoulli, rel=1e-5)
    gaussian = -stats.norm.logpdf(pixels, logit, 0.5).sum() + 2 * stats.norm.logpdf(0, 0, 0.5)
    found = float(generation.loss("gaussian", 0.5)(pixels, logit))
    assert found == pytest.approx(gaussian, rel=1e-5)
    with pytest.raises(ValueError, match="likelihood is 'poisson'"):
        generation.loss("poisson")
    assert keras.saving.get_registered_object("lensmill>GaussianLatent") is GaussianLatent


def test_training_raises_the_elbo(trained):
    losses = [row["val_loss"] for row in trained[1]]
    assert losses[-1] < 0.5 * losses[0]


def test_draws_are_of_the_kind_asked_for(trained):
    given = np.repeat(np.eye(2), 100, axis=0)
    drawn = generation.draw(trained[0], 200, 1, given, "bernoulli")
    assert drawn.shape == (200, 10, 10, 1) and 0 <= drawn.min() and drawn.max() <= 1
    rows, columns = drawn[..., 0].mean(axis=2), drawn[..., 0].mean(axis=1)
    level = rows.max(axis=1) > columns.max(axis=1)
    assert level[:100].mean() < 0.1 and level[100:].mean() > 0.9


def test_draws_are_a_function_of_the_seed(trained):
    given = np.repeat(np.eye(2), 5, axis=0)
    one, same, other = (generation.draw(trained[0], 10, seed, given) for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    first = generation.draw(trained[0], 4, 1, given[:4])
    assert first == pytest.approx(one[:4], abs=1e-5)


def test_conditions_of_another_shape_are_refused(trained):
    with pytest.raises(ValueError, match=r"shape \(3, 0\), but 3 images .* need \(3, 2\)"):
        generation.draw(trained[0], 3, 1)


def test_a_model_without_conditions_is_saved_and_read(tmp_path):
    keras = pytest.importorskip("keras")
    model = generation.build((9, 12, 2), conditions=0, latent=3, width=4, beta=1.0, seed=1)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    one, other = (generation.draw(m, 3, 5) for m in (model, again))
    assert one.shape == (3, 9, 12, 2)
    assert np.array_equal(one, other)


def test_equal_samples_are_not_told_apart_and_others_are():
    rng = np.random.default_rng(3)
    real, same = rng.normal(size=(2, 2000, 3))
    found = generation.two_sample_test(real, same, 1, 100)
    assert abs(found.value - 0.5) < 4 * (found.high - found.low) / 2
    assert found.high - found.value == pytest.approx(np.sqrt(1 / 12 / 1000), rel=0.3)
    # as ideal: half a standard deviation apart has the AUROC Phi(0.5 / sqrt 2)
    moved = generation.two_sample_test(real, same + np.array([0.5, 0, 0]), 1, 100)
    assert moved.value == pytest.approx(stats.norm.cdf(0.5 / np.sqrt(2)), abs=0.03)
    wider = generation.two_sample_test(real, 2 * same, 1, 100)
    assert wider.value > 0.7
