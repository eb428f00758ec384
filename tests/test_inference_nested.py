"""Nested sampling finds known evidences, and says so where it cannot."""

import numpy as np
import pytest

from lensmill.inference.nested import nested_sample

SIGMA = 0.02


def unchanged(u):
    return u


def gaussian(x):
    return -0.5 * np.sum(((x - 0.5) / SIGMA) ** 2, axis=1)


def cut_gaussian(x):
    # zero in 98 % of the prior, and beyond the middle of the peak
    inside = (x[:, 0] > 0.48) & (x[:, 0] < 0.5)
    return np.where(inside, gaussian(x), -np.inf)


@pytest.fixture(scope="module")
def cut():
    return nested_sample(unchanged, cut_gaussian, 3, seed=1, effective=500)


def test_evidence_where_the_likelihood_vanishes_in_most_of_the_prior(cut):
    # (sqrt(2 pi) sigma)^3, of which 34.1 % lies between the mean and one sigma below
    truth = 3 * np.log(np.sqrt(2 * np.pi) * SIGMA) + np.log(0.3413)
    assert cut.log_evidence == pytest.approx(truth, abs=4 * cut.log_evidence_error)
    assert cut.log_evidence_error < 0.2


def test_samples_have_the_width_of_the_posterior(cut):
    weights = np.exp(cut.log_weights)
    assert weights.sum() == pytest.approx(1)
    assert 1 / np.sum(weights**2) > 500
    x = cut.samples[:, 1] - 0.5
    assert np.sqrt(weights @ x**2) == pytest.approx(SIGMA, rel=0.1)
    assert cut.samples[weights > 0, 0].max() < 0.5


def test_the_same_seed_gives_the_same_samples():
    runs = [nested_sample(unchanged, gaussian, 2, seed, effective=100) for seed in (3, 3, 4)]
    assert np.array_equal(runs[0].samples, runs[1].samples)
    assert runs[0].log_evidence == runs[1].log_evidence != runs[2].log_evidence


def test_a_flat_top_is_no_obstacle():
    # 1 in a square of side 0.2, falling off like exp(-100 d) outside
    def likelihood(x):
        return -100 * np.maximum(np.abs(x - 0.5).max(axis=1) - 0.1, 0)

    run = nested_sample(unchanged, likelihood, 2, seed=1, effective=100)
    # int 8 (0.1 + d) exp(-100 d) dd beside the square
    truth = np.log(0.04 + 8 * (0.1 / 100 + 1 / 100**2))
    assert run.log_evidence == pytest.approx(truth, abs=4 * run.log_evidence_error)


def test_a_likelihood_that_is_zero_everywhere_is_refused():
    with pytest.raises(ValueError, match=r"0 at all of 100000 points.*narrow the prior"):
        nested_sample(unchanged, lambda x: np.full(len(x), -np.inf), 2, seed=1)


def test_a_plateau_that_fills_the_prior_is_refused():
    def needle(x):  # on a floor, a peak that no point of the prior is near
        return np.where(np.abs(x - 0.5).max(axis=1) < 1e-6, 0.0, -50.0)

    with pytest.raises(ValueError, match=r"-50 at all of those 100000.*plateau"):
        nested_sample(unchanged, needle, 3, seed=1)


def test_too_few_calls_are_refused():
    with pytest.raises(ValueError, match=r"did not end in the 5000 calls permitted"):
        nested_sample(unchanged, gaussian, 3, seed=1, calls=5000)


def test_more_effective_samples_than_there_are_are_refused():
    with pytest.raises(ValueError, match=r"asked for were 1000000"):
        nested_sample(unchanged, gaussian, 2, seed=1, effective=1_000_000)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_likelihood_that_is_no_number_is_refused(wrong):
    def likelihood(x):
        return np.where(x[:, 0] > 0.9, wrong, gaussian(x))

    with pytest.raises(ValueError, match=rf"log-likelihood is {wrong} at the parameters"):
        nested_sample(unchanged, likelihood, 2, seed=1)


def test_runs_that_disagree_are_refused():
    # two bent ridges 0.0001 wide beside two parameters without any information
    def likelihood(x):
        across = x[:, 1:4:2] - 0.2 * np.cos(6 * x[:, 0:4:2]) - 0.5
        return -0.5 * ((across / 1e-4) ** 2).sum(axis=1) - 50 * ((x[:, 0:4:2] - 0.5) ** 2).sum(1)

    with pytest.raises(ValueError, match="two nested runs disagree"):
        nested_sample(unchanged, likelihood, 6, seed=1, effective=100)
