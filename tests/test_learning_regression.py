"""Heads, draws and scores of numbers as answers."""

import numpy as np
import pytest

from lensmill.learning import calibration, posteriors, regression


def test_a_head_gives_as_many_numbers_as_its_mixture_needs():
    assert regression.head("point", 3).outputs == 3
    # 3 means, 3 widths, 3 correlations and a weight
    assert regression.head("gaussian", 3, components=5).outputs == 10
    assert regression.head("mixture", 3, components=5).outputs == 50
    with pytest.raises(ValueError, match="head is 'mixtur', but must be one of point, gaussian"):
        regression.head("mixtur", 3)


def test_without_draws_a_mixture_says_its_mean():
    head = regression.head("mixture", 2, 3)
    outputs = np.random.default_rng(1).normal(size=(4, head.outputs))
    mean = regression.sample(outputs, head)
    assert mean.shape == (4, 1, 2)
    draws = regression.sample(outputs, head, 40_000, np.random.default_rng(2))
    scatter = draws.std(axis=1)
    assert (np.abs(draws.mean(axis=1) - mean[:, 0]) < 4 * scatter / np.sqrt(40_000)).all()
    mixture = posteriors.unpack(outputs, 3, 2)
    assert mean[0, 0] == pytest.approx(mixture.weight[0] @ mixture.mean[0])


def test_scores_of_gaussian_errors_are_those_of_the_gaussian():
    rng = np.random.default_rng(3)
    truth = rng.normal(0, 5, 20_000)
    centre = truth + 0.5 + rng.normal(0, 2, truth.size)
    draws = centre[:, None] + rng.normal(0, 2, (truth.size, 99))
    found = regression.scores(centre, truth, calibration.ranks(draws - 0.5, truth), scale=5.0)
    assert found["bias"] == pytest.approx(0.5, abs=0.06)
    assert found["robust_scatter"] == pytest.approx(2, rel=0.03)
    assert found["rmse"] == pytest.approx(np.hypot(2, 0.5), rel=0.02)
    assert found["mse_standardised"] == pytest.approx(found["mse"] / 25)
    assert found["coverage68"] == pytest.approx(0.68, abs=0.015)
    assert found["coverage95"] == pytest.approx(0.95, abs=0.01)
    assert found["calibration_error"] < 0.01


def test_a_summary_is_that_of_the_quantiles():
    draws = np.random.default_rng(4).normal([[0.0], [10.0]], [[1.0], [3.0]], (2, 200_000))
    found = regression.summarise(draws)
    assert found.median == pytest.approx([0, 10], abs=0.03)
    assert found.error == pytest.approx([0.9945, 2.983], rel=0.01)  # 68 %, not 68.27
    assert found.high95 - found.low95 == pytest.approx([3.92, 11.76], rel=0.01)
    many = regression.summarise(np.zeros((5, 4, 7)))
    assert many.low68.shape == (5, 4)
