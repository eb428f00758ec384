"""The numbers that redshifts and their p(z) are judged by, against values known beforehand."""

import numpy as np
import pytest
from scipy.stats import norm

from lensmill.experiments.photo_z import densities, judging, weights
from lensmill.learning import calibration, posteriors

RNG = np.random.default_rng(3)


def gaussians(mean, sigma):
    """p(z) that is one Gaussian in ln(1 + z), given twice so that it is a mixture."""
    u = np.log1p(np.asarray(mean, float))
    factor = np.broadcast_to(1 / np.asarray(sigma, float), u.shape)
    both = np.stack([u, u], axis=1)[..., None]
    factors = np.stack([factor, factor], axis=1)[..., None, None]
    return densities.Gaussians(posteriors.Mixture(np.full(both.shape[:2], 0.5), both, factors))


def grid(mean, sigma, points=2000):
    """Return the same p(z) on a grid."""
    z = np.linspace(0, 2, points)
    u = (np.log1p(z) - np.log1p(np.asarray(mean))[:, None]) / sigma
    values = norm.pdf(u) / sigma / (1 + z)
    return densities.Grid(z, values / np.trapezoid(values, z, axis=1)[:, None])


def test_the_nmad_of_known_errors():
    truth = np.zeros(5)
    answer = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
    assert judging.nmad(answer, truth) == pytest.approx(1.4826 * 0.01)
    # the median is taken off: a bias is no scatter
    assert judging.nmad(answer + 0.1, truth) == pytest.approx(1.4826 * 0.01)


def test_the_nmad_of_a_gaussian_is_its_sigma_and_errors_are_relative():
    truth = RNG.uniform(0, 3, 40000)
    answer = truth + 0.03 * (1 + truth) * RNG.normal(size=truth.size)
    assert judging.nmad(answer, truth) == pytest.approx(0.03, rel=0.02)


def test_outliers_are_counted_at_both_limits():
    error = np.concatenate([RNG.normal(0, 0.01, 9900), np.full(60, 0.1), np.full(40, 0.3)])
    found = judging.numbers(error)
    assert found["outliers"] == pytest.approx(0.004)
    assert found["outliers_5sigma"] == pytest.approx(0.01, abs=2e-4)


def test_weights_that_are_whole_numbers_count_galaxies_again():
    error, weight = RNG.normal(0, 0.1, 301), RNG.integers(0, 4, 301)
    again = judging.numbers(np.repeat(error, weight))
    weighted = judging.numbers(error, weight.astype(float))
    for name, value in again.items():
        assert weighted[name] == pytest.approx(value, abs=1e-3), name


def test_the_bootstrap_error_of_a_median_is_that_of_theory():
    error = RNG.normal(0, 0.02, 4000)
    found = judging.bootstrap([error], judging.numbers, 300, np.random.default_rng(1))
    assert found["bias"] == pytest.approx(np.sqrt(np.pi / 2) * 0.02 / np.sqrt(4000), rel=0.2)


def test_of_more_galaxies_than_are_drawn_the_error_is_smaller(monkeypatch):
    error = RNG.normal(0, 0.02, 4000)
    all_ = judging.bootstrap([error], judging.numbers, 300, np.random.default_rng(1))
    monkeypatch.setattr(judging, "MOST_DRAWN", 500)
    some = judging.bootstrap([error], judging.numbers, 300, np.random.default_rng(1))
    assert some["bias"] == pytest.approx(all_["bias"], rel=0.25)


def test_two_methods_are_compared_on_the_same_galaxies():
    noise = RNG.normal(0, 0.02, 3000)
    found = judging.paired(0.8 * noise, noise, 200, np.random.default_rng(1))
    assert found["ratio"] == pytest.approx(0.8)
    assert found["error"] == pytest.approx(0, abs=1e-9)  # they err alike, galaxy by galaxy
    apart = judging.paired(RNG.normal(0, 0.02, 3000), noise, 200, np.random.default_rng(1))
    assert abs(apart["sigma"]) < 4
    assert apart["error"] > 0.01


@pytest.mark.parametrize("kind", [gaussians, grid])
def test_the_pit_of_right_densities_is_uniform_and_that_of_narrow_ones_is_not(kind):
    mean = RNG.uniform(0.3, 0.8, 3000)
    truth = np.expm1(np.log1p(mean) + 0.03 * RNG.normal(size=mean.size))
    right = kind(mean, 0.03).cdf(truth)
    assert calibration.uniformity(right) > 0.01
    narrow = kind(mean, 0.02).cdf(truth)
    assert calibration.uniformity(narrow) < 1e-6


@pytest.mark.parametrize("kind", [gaussians, grid])
def test_quantiles_undo_the_distribution(kind):
    density = kind(RNG.uniform(0.3, 0.8, 50), 0.05)
    levels = np.array([0.01, 0.16, 0.5, 0.84, 0.99])
    found = density.quantiles(levels)
    for column, level in zip(found.T, levels, strict=True):
        assert density.cdf(column) == pytest.approx(level, abs=1e-6)


def test_both_kinds_of_densities_say_the_same():
    mean = RNG.uniform(0.3, 0.8, 40)
    one, other = gaussians(mean, 0.05), grid(mean, 0.05)
    at = np.stack([0.9 * mean, mean], axis=1)
    assert other.density(at) == pytest.approx(one.density(at), rel=1e-2)
    assert densities.answer(other) == pytest.approx(np.stack(densities.answer(one)), rel=1e-3)
    draws = [kind.sample(4000, np.random.default_rng(1)).std(axis=1) for kind in (one, other)]
    assert draws[0] == pytest.approx(draws[1], rel=0.08)


def test_the_cde_loss_of_a_gaussian_is_what_theory_says():
    # of the right p: int p^2 - 2 E[p] = -int p^2 = -1 / (2 sqrt(pi) sigma), near z = 0
    sigma = 0.01
    truth = np.expm1(sigma * RNG.normal(size=4000))
    found = judging.tables(gaussians(np.zeros(4000), sigma), np.arange(4000), truth, 1.0, 200, RNG)
    expected = -1 / (2 * np.sqrt(np.pi) * sigma)
    assert found["densities"]["cde_loss"].mean() == pytest.approx(expected, rel=0.03)
    wide = judging.tables(
        gaussians(np.zeros(4000), 2 * sigma), np.arange(4000), truth, 1.0, 200, RNG
    )
    assert wide["densities"]["cde_loss"].mean() > 0.9 * expected


def test_kernels_are_little_wider_than_the_draws():
    draws = np.expm1(0.3 + 0.05 * RNG.normal(size=(200, 100)))
    _, error = densities.answer(densities.kernels(draws))
    assert 1.0 < np.median(error) / np.median(np.log1p(draws).std(axis=1) * 1.35) < 1.15


def test_equal_samples_have_equal_weights():
    ours, theirs = RNG.normal(size=(3000, 2)), RNG.normal(size=(3000, 2))
    found = weights.nearest_neighbours(ours, theirs, 20)
    assert found.weight.mean() == pytest.approx(1)
    assert np.median(found.weight) == pytest.approx(1, abs=0.1)
    assert found.unrepresented < 0.03


def test_weights_are_the_ratio_of_the_densities():
    # uniform against density 2 x on (0, 1)
    ours = RNG.uniform(size=(4000, 1))
    theirs = np.sqrt(RNG.uniform(size=(8000, 1)))
    weight = weights.nearest_neighbours(ours, theirs, 60).weight
    # sums of k = 60 neighbours' counts: 13 % each, and they are not independent
    thirds = np.array_split(np.argsort(ours[:, 0]), 3)
    found = [weight[part].mean() for part in thirds]
    assert found == pytest.approx([2 * ours[part, 0].mean() for part in thirds], rel=0.12)
    assert np.average(ours[:, 0], weights=weight) == pytest.approx(theirs.mean(), abs=0.02)


def test_galaxies_beyond_the_spectroscopic_ones_are_counted():
    ours = RNG.uniform(size=(2000, 1))
    theirs = np.concatenate([RNG.uniform(size=(600, 1)), RNG.uniform(3, 4, (400, 1))])
    assert weights.nearest_neighbours(ours, theirs, 10).unrepresented == pytest.approx(
        0.4, abs=0.03
    )
    with pytest.raises(ValueError, match="do not overlap"):
        weights.nearest_neighbours(ours, theirs + 10, 10)
    with pytest.raises(ValueError, match=r"5 spectroscopic galaxies have no 10 neighbours"):
        weights.nearest_neighbours(ours[:5], theirs, 10)


def test_the_effective_size_of_equal_weights_is_their_number():
    assert weights.effective_size(np.ones(70)) == pytest.approx(70)
    assert weights.effective_size(np.array([1.0, 0, 0, 0])) == pytest.approx(1)
