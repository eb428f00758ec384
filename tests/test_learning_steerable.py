"""Answers turn with the image: representations, the head and its loss, on all 8 elements."""

import numpy as np
import pytest

from lensmill.learning import posteriors, regression
from lensmill.learning.backend import start_keras

start_keras(1)

import keras  # noqa: E402

from lensmill.learning import equivariant, layers, steerable  # noqa: E402

SPINS = (0, 2, 0, 2, 1, 1)
HEAD = regression.head("mixture", 10, 2, SPINS)


def test_positions_turn_as_pixels_do():
    image = np.zeros((5, 5))
    image[3, 4] = 1  # x = 2, y = 1
    for g in range(8):
        y, x = np.argwhere(equivariant.transform(image, g) == 1)[0] - 2
        assert (steerable.vectors()[g] @ [2, 1]).tolist() == [x, y]


def test_ellipticities_turn_twice_as_far():
    angle, e = 0.3, 0.4
    for g in range(8):
        matrix = steerable.vectors()[g]
        axis = matrix @ [np.cos(angle), np.sin(angle)]
        turned = np.arctan2(axis[1], axis[0])
        expected = e * np.array([np.cos(2 * turned), np.sin(2 * turned)])
        found = steerable.turn_targets(
            e * np.array([[np.cos(2 * angle), np.sin(2 * angle)]]), g, (2,)
        )
        assert found[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("matrices", [
    steerable.representation(SPINS), steerable.head_representation(SPINS, 2)
])  # fmt: skip
def test_turns_follow_each_other_as_in_the_group(matrices):
    table = equivariant.products()
    for g in range(8):
        for h in range(8):
            assert np.array_equal(matrices[g] @ matrices[h], matrices[table[g, h]])


def test_the_density_of_a_turned_answer_at_a_turned_truth_is_the_same():
    rng = np.random.default_rng(0)
    outputs = rng.standard_normal((50, HEAD.outputs))
    truth = rng.standard_normal((50, 10))
    expected = posteriors.log_density(HEAD.unpack(outputs), truth)
    turns = steerable.head_representation(SPINS, 2)
    for g in range(8):
        turned = HEAD.unpack(outputs @ turns[g].T)
        found = posteriors.log_density(turned, steerable.turn_targets(truth, g, SPINS))
        assert found == pytest.approx(expected, rel=1e-9)


def test_the_loss_is_the_density_that_is_read_later():
    rng = np.random.default_rng(1)
    outputs = rng.standard_normal((50, HEAD.outputs)).astype("float32")
    truth = rng.standard_normal((50, 10)).astype("float32")
    loss = np.asarray(HEAD.loss().call(truth, outputs))
    density = posteriors.log_density(HEAD.unpack(outputs), truth)
    assert -loss - 5 * np.log(2 * np.pi) == pytest.approx(density, rel=1e-4)


def test_draws_have_the_covariance_of_the_factor():
    rng = np.random.default_rng(2)
    head = regression.head("gaussian", 2, spins=(1,))
    outputs = np.array([[0.0, 0.5, -0.3, 0.4, 0.6, -0.9]])
    mixture = head.unpack(outputs)
    factor = mixture.factor[0, 0]
    assert factor[0, 1] == 0 and (np.diag(factor) > 0).all()
    precision = factor.T @ factor
    b, c = 0.6, -0.9
    r = np.hypot(b, c)
    bounded = layers.LARGEST_RATIO * np.tanh(r / layers.LARGEST_RATIO) / r
    eigenvalues, vectors = np.linalg.eigh(bounded * np.array([[b, c], [c, -b]]))
    block = np.exp(layers.LARGEST_LOG * np.tanh(0.4 / layers.LARGEST_LOG)) * (
        vectors @ np.diag(np.exp(eigenvalues)) @ vectors.T
    )
    assert precision == pytest.approx(block @ block, rel=1e-6)
    draws = posteriors.sample(mixture, 100_000, rng)[0]
    assert np.cov(draws.T) == pytest.approx(np.linalg.inv(precision), rel=0.03, abs=0.005)


@pytest.mark.parametrize("side", [3, 4])
def test_a_head_on_equivariant_maps_turns_with_the_image(side):
    keras.utils.set_random_seed(3)
    maps = inputs = keras.Input((side, side, 16))
    hidden = steerable.ViewDense(24, "relu", 1)(steerable.Views()(maps))
    outputs = steerable.Steer(SPINS, 2)(steerable.ViewDense(HEAD.outputs, None, 2)(hidden))
    model = keras.Model(inputs, outputs)
    rng = np.random.default_rng(4)
    x = rng.standard_normal((3, side, side, 8, 2)).astype("float32")
    expected = np.asarray(model(x.reshape(3, side, side, 16)))
    table, turns = equivariant.products(), steerable.head_representation(SPINS, 2)
    for g in range(8):
        # orientation h of a turned image is what orientation g^-1 h was, turned
        turned = np.empty_like(x)
        for h in range(8):
            turned[:, :, :, table[g, h]] = np.moveaxis(
                equivariant.transform(np.moveaxis(x[:, :, :, h], 0, 2), g), 2, 0
            )
        found = np.asarray(model(turned.reshape(3, side, side, 16)))
        assert found == pytest.approx(expected @ turns[g].T, abs=2e-5)


def test_scales_let_targets_turn():
    rng = np.random.default_rng(5)
    columns = rng.normal([1, 2, 3], [0.5, 1, 3], (2000, 3))
    scaling = regression.spin_scaling(columns, (0, 2))
    assert scaling["mean"] == [pytest.approx(1, abs=0.05), 0.0, 0.0]
    assert scaling["scale"][1] == scaling["scale"][2]
    assert scaling["scale"][1] == pytest.approx(np.sqrt((4 + 1 + 9 + 9) / 2), rel=0.05)
