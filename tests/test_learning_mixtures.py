"""Several data sets that are learned from together."""

import numpy as np
import pytest

from lensmill.learning import mixtures


def test_joined_images_are_those_of_the_parts_in_any_order():
    parts = [np.arange(n * 4.0).reshape(n, 2, 2, 1) + 100 * n for n in (3, 5, 2)]
    joined, whole = mixtures.Joined(parts), np.concatenate(parts)
    assert len(joined) == 10 and joined.shape == whole.shape
    rows = np.array([9, 0, 4, 4, 7, 2, 3])
    assert np.array_equal(joined[rows], whole[rows])
    assert np.array_equal(joined[2:9:3], whole[2:9:3])


def test_images_of_unlike_size_are_not_joined():
    with pytest.raises(ValueError, match="cannot be learned from together"):
        mixtures.Joined([np.zeros((2, 4, 4, 1)), np.zeros((2, 5, 5, 1))])


def test_a_pass_shows_populations_in_their_shares():
    population = np.repeat([0, 1, 2], [700, 250, 50])
    sampler = mixtures.Shares(population, [0.5, 0.2, 0.3])
    shown = sampler.members(0, np.random.default_rng(1))
    assert np.bincount(population[shown]).tolist() == [500, 200, 300]
    times = np.bincount(shown, minlength=1000)
    assert times[population < 2].max() == 1  # none twice before all were shown
    assert set(times[population == 2]) == {6}
    again = sampler.members(1, np.random.default_rng(2))
    assert not np.array_equal(np.sort(shown), np.sort(again))


def test_weights_do_what_showing_them_more_often_does():
    population = np.repeat([0, 1], [90, 10])
    weights = mixtures.weights(population, [0.5, 0.5])
    assert weights.mean() == pytest.approx(1)
    assert weights[population == 0].sum() == pytest.approx(weights[population == 1].sum())


def test_nothing_is_lost_when_a_number_is_divided():
    for n in (1, 7, 100, 1001):
        assert mixtures.apportion(n, [1, 1, 1]).sum() == n
        assert mixtures.apportion(n, [0.2, 3.0]).sum() == n
