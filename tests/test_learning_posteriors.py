"""Mixtures, and what is said about them."""

import numpy as np
import pytest
from scipy import stats

from lensmill.learning import calibration, posteriors


def outputs(n, components, targets, seed=0):
    size = components * (1 + targets + targets * (targets + 1) // 2)
    return np.random.default_rng(seed).normal(0, 0.5, (n, size))


def test_a_mixture_of_one_component_is_a_gaussian():
    mixture = posteriors.unpack(outputs(5, 1, 3), 1, 3)
    x = np.random.default_rng(1).normal(size=(5, 3))
    for i in range(5):
        factor = mixture.factor[i, 0]
        covariance = np.linalg.inv(factor.T @ factor)
        expected = stats.multivariate_normal(mixture.mean[i, 0], covariance).logpdf(x[i])
        assert posteriors.log_density(mixture, x)[i] == pytest.approx(expected)


def test_the_loss_is_minus_the_logarithm_of_the_density():
    layers = pytest.importorskip("lensmill.learning.layers")
    raw = outputs(20, 3, 4).astype(np.float32)
    y = np.random.default_rng(2).normal(size=(20, 4)).astype(np.float32)
    loss = np.asarray(layers.MixtureLoss(3, 4).call(y, raw))
    density = posteriors.log_density(posteriors.unpack(raw, 3, 4), y)
    assert loss + 2 * np.log(2 * np.pi) == pytest.approx(-density, rel=1e-4, abs=1e-4)


def test_the_first_target_counts_by_itself_with_its_own_density():
    layers = pytest.importorskip("lensmill.learning.layers")
    raw = outputs(20, 3, 4).astype(np.float32)
    y = np.random.default_rng(2).normal(size=(20, 4)).astype(np.float32)
    more, plain = (np.asarray(layers.MixtureLoss(3, 4, alone=w).call(y, raw)) for w in (2.0, 0.0))
    first = posteriors.marginal(posteriors.unpack(raw, 3, 4), [0])
    density = posteriors.log_density(first, y[:, :1])
    assert more - plain + np.log(2 * np.pi) == pytest.approx(-2 * density, abs=1e-4)
    with pytest.raises(ValueError, match="half of a position"):
        layers.MixtureLoss(3, 4, pairs=(0,), alone=1.0)


def test_samples_have_the_mean_and_covariance_of_their_mixture():
    mixture = posteriors.unpack(outputs(1, 3, 2), 3, 2)
    draws = posteriors.sample(mixture, 200_000, np.random.default_rng(3))[0]
    weight, mean = mixture.weight[0], mixture.mean[0]
    centre = weight @ mean
    covariances = [np.linalg.inv(f.T @ f) for f in mixture.factor[0]]
    covariance = sum(
        w * (c + np.outer(m - centre, m - centre))
        for w, c, m in zip(weight, covariances, mean, strict=True)
    )
    assert draws.mean(axis=0) == pytest.approx(centre, abs=0.02)
    assert np.cov(draws.T) == pytest.approx(covariance, rel=0.05, abs=0.02)


def cores_and_tails(n, groups=(0, 1, 1)):
    """Return claimed mixtures, and truths of which a fifth are three times as far off as claimed.

    All are off in the first target by itself as claimed, so that its widths are one.
    """
    rng = np.random.default_rng(8)
    claimed = posteriors.unpack(outputs(n, 2, 3), 2, 3)
    width = np.where(rng.random((n, 1)) < 0.2, 3.0, 0.6) * np.array([0.0, 1.0, 1.0])
    width[:, 0] = 1.0
    scaled = claimed._replace(factor=claimed.factor / width[:, None, :, None])
    return claimed, posteriors.sample(scaled, 1, rng)[:, 0], groups


def test_scales_are_found_again():
    claimed, truth, groups = cores_and_tails(20000)
    found = posteriors.learn_scales(claimed, truth, groups)
    assert found.weight.sum() == pytest.approx(1)
    assert (found.width[:, 1] == found.width[:, 2]).all()
    spread = (found.weight[:, None] * found.width**2).sum(axis=0)
    assert spread == pytest.approx([1.0, *2 * [0.2 * 9 + 0.8 * 0.36]], rel=0.05)
    few = found.weight[found.width[:, 1] > 2].sum()
    assert few == pytest.approx(0.2, abs=0.02)


def test_the_density_of_all_targets_together_is_calibrated_by_scales():
    claimed, truth, groups = cores_and_tails(8000)
    learned, judged = slice(4000), slice(4000, 8000)
    some = posteriors.Mixture(*(part[learned] for part in claimed))
    scales = posteriors.learn_scales(some, truth[learned], groups)
    errors, likelihood = [], []
    held_out = posteriors.Mixture(*(part[judged] for part in claimed))
    for mixture in (held_out, posteriors.scale_mixture(held_out, scales)):
        rng = np.random.default_rng(9)
        draws = posteriors.sample(mixture, 300, rng)
        of_draws = posteriors.log_densities(mixture, draws)
        of_truth = posteriors.log_density(mixture, truth[judged])
        rank = calibration.density_ranks(of_draws, of_truth, rng)
        errors.append(stats.kstest(rank, "uniform").statistic)
        likelihood.append(of_truth.mean())
    assert errors[0] > 0.08
    assert errors[1] < 0.03
    assert likelihood[1] > likelihood[0] + 0.1


def test_scales_may_be_of_the_targets_by_themselves():
    # each target has its own tails, which a few scales of all together cannot follow
    rng = np.random.default_rng(10)
    claimed = posteriors.unpack(outputs(6000, 1, 6), 1, 6)
    claimed.factor[:] = np.eye(6)
    width = np.where(rng.random((6000, 6)) < 0.2, 3.0, 0.6)
    truth = claimed.mean[:, 0] + width * rng.standard_normal((6000, 6))
    apart = []
    for alone in (0.0, 20.0):
        scales = posteriors.learn_scales(claimed, truth, range(6), alone)
        rank = scales.weight @ stats.norm.cdf((truth - claimed.mean[:, 0])[:, None] / scales.width)
        apart.append(np.mean([stats.kstest(column, "uniform").statistic for column in rank.T]))
    assert apart[0] > 0.04
    assert apart[1] < 0.02


def test_scales_of_a_few_systems_stay_near_one():
    claimed = posteriors.unpack(outputs(8, 2, 3), 2, 3)
    truth = posteriors.sample(claimed, 1, np.random.default_rng(3))[:, 0]
    truth[0] = claimed.mean[0, 0]  # by chance: without a prior a width would be zero
    found = posteriors.learn_scales(claimed, truth, (0, 1, 1))
    assert (found.width > 0.3).all()
    assert (found.width < 3).all()


def test_samples_are_the_same_for_the_same_generator():
    mixture = posteriors.unpack(outputs(4, 2, 3), 2, 3)
    once, again = (posteriors.sample(mixture, 10, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(once, again)


def gaussian_ranks(claimed, n=4000):
    rng = np.random.default_rng(7)
    truth = rng.normal(size=n)
    return calibration.ranks(rng.normal(0, claimed, (n, 400)), truth)


def test_an_honest_gaussian_covers_what_it_claims():
    rank = gaussian_ranks(1.0)
    assert calibration.coverage(rank, 0.68) == pytest.approx(0.68, abs=0.02)
    assert calibration.coverage(rank, 0.95) == pytest.approx(0.95, abs=0.01)
    assert calibration.calibration_error(rank) < 0.012
    assert stats.kstest(rank, "uniform").pvalue > 1e-3


def test_draws_equal_to_the_truth_count_half():
    samples = np.array([[0, 1, 1, 3], [2, 2, 2, 2], [0, 0, 1, 1]])
    rank = calibration.ranks(samples, np.array([1, 2, 2]))
    # below: 1, 0 and 4 of 4; equal: 2, 4 and 0
    assert rank == pytest.approx(np.array([2.5, 2.5, 4.5]) / 5)
    # honest posteriors of a small whole number: the mean rank is 1/2
    rng = np.random.default_rng(9)
    rank = calibration.ranks(rng.poisson(1.5, (4000, 100)), rng.poisson(1.5, 4000))
    assert rank.mean() == pytest.approx(0.5, abs=0.02)


def test_errors_claimed_too_small_by_half_show_in_the_coverage():
    # A central 68 % interval of half the width holds 38 % of a Gaussian.
    assert calibration.coverage(gaussian_ranks(0.5), 0.6827) == pytest.approx(0.383, abs=0.02)


def test_a_few_outliers_do_not_move_the_robust_scatter():
    error = np.random.default_rng(8).normal(0.1, 2.0, 20_000)
    error[:100] = 1e4
    assert calibration.robust_scatter(error) == pytest.approx(2.0, rel=0.03)
    assert calibration.bias(error) == pytest.approx(0.1, abs=0.06)


def test_the_marginal_of_a_mixture_is_that_of_its_draws():
    mixture = posteriors.unpack(outputs(1, 2, 4, seed=3), 2, 4)
    some = posteriors.marginal(mixture, [0, 2])
    draws = posteriors.sample(mixture, 200_000, np.random.default_rng(4))[0][:, [0, 2]]
    edges = [np.quantile(draws[:, i], [0.2, 0.5, 0.8]) for i in (0, 1)]
    own = posteriors.sample(some, 200_000, np.random.default_rng(5))[0]
    for i in (0, 1):
        assert np.quantile(own[:, i], [0.2, 0.5, 0.8]) == pytest.approx(edges[i], abs=0.02)
    assert np.cov(own.T) == pytest.approx(np.cov(draws.T), rel=0.03, abs=0.01)


def test_an_ensemble_is_the_mean_of_its_densities():
    members = [posteriors.unpack(outputs(5, 2, 3, seed=i), 2, 3) for i in (6, 7, 8)]
    x = np.random.default_rng(9).normal(size=(5, 3))
    mean = np.mean([np.exp(posteriors.log_density(m, x)) for m in members], axis=0)
    assert np.exp(posteriors.log_density(posteriors.join(members), x)) == pytest.approx(mean)


def test_rescaled_mixtures_keep_their_probability():
    mixture, scale, mean = posteriors.unpack(outputs(4, 2, 2), 2, 2), [2.0, 0.1], [5.0, -1.0]
    x = np.random.default_rng(1).normal(size=(4, 2))
    density = posteriors.log_density(posteriors.rescale(mixture, mean, scale), x * scale + mean)
    expected = posteriors.log_density(mixture, x) - np.log(np.prod(scale))
    assert density == pytest.approx(expected)


def test_a_conditional_times_the_marginal_is_the_density_of_all():
    mixture = posteriors.unpack(outputs(4, 3, 5), 3, 5)
    x = np.random.default_rng(6).normal(size=(4, 5))
    given, others = [3, 1], [0, 2, 4]
    conditional = posteriors.conditional(mixture, given, x[:, given])
    ln = posteriors.log_density(conditional, x[:, others])
    ln += posteriors.log_density(posteriors.marginal(mixture, given), x[:, given])
    assert ln == pytest.approx(posteriors.log_density(mixture, x))
    assert not np.triu(conditional.factor, 1).any()
