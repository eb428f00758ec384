"""Are posteriors calibrated? Perfect ones pass as often as the tests say, others do not."""

import numpy as np
import pytest
from scipy import stats

from lensmill.learning import calibration, posteriors

TESTS = 300  # test sets of which about 15 must fail at the level of 5 %


def expected_failures(count, of=TESTS, level=0.05):
    """Say whether so many failures are what chance gives: 1 in 1000 times it would be wrong."""
    low, high = stats.binom.ppf([0.0005, 0.9995], of, level)
    return low <= count <= high


def gaussian(rng, n, draws, claimed=1.0):
    """Draws of posteriors N(centre, claimed), of which the truths scatter by 1, and the truths."""
    centre = rng.normal(0, 3, n)
    return centre[:, None] + claimed * rng.normal(size=(n, draws)), centre + rng.normal(size=n)


@pytest.mark.parametrize("draws", [20, 100, 1000])
def test_perfect_posteriors_pass_as_often_as_the_tests_say(draws):
    rng = np.random.default_rng(draws)
    ranks, central = [], []
    for _ in range(TESTS):
        rank = calibration.random_ranks(*gaussian(rng, 150, draws), rng)
        ranks.append(calibration.uniformity(rank))
        central.append(calibration.coverage_error(calibration.central(rank)).p)
    for p in (ranks, central):
        assert expected_failures((np.array(p) < 0.05).sum())
        assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_ranks_of_counts_are_uniform_although_most_are_tied():
    rng = np.random.default_rng(3)
    p = []
    for _ in range(TESTS):
        samples, truth = rng.poisson(0.7, (200, 30)), rng.poisson(0.7, 200)
        p.append(calibration.uniformity(calibration.random_ranks(samples, truth, rng)))
    assert expected_failures((np.array(p) < 0.05).sum())


def test_the_band_of_ranks_holds_its_level_for_few_draws_if_ranks_are_random():
    rng = np.random.default_rng(4)
    at, low, high = calibration.ecdf_band(500, 50)

    def leaves(rank):
        below = (rank[:, None] <= at).mean(axis=0)
        return ((below < low) | (below > high)).any()

    as_they_stand, random = 0, 0
    for _ in range(TESTS):
        samples, truth = gaussian(rng, 500, 20)
        as_they_stand += leaves(calibration.ranks(samples, truth))
        random += leaves(calibration.random_ranks(samples, truth, rng))
    assert as_they_stand == TESTS  # 21 places do not look uniform at 49 points
    assert random <= stats.binom.ppf(0.9995, TESTS, 0.05)


@pytest.mark.parametrize(("claimed", "passes"), [(1.0, True), (0.7, False), (1.4, False)])
def test_errors_that_are_too_small_or_too_large_are_found(claimed, passes):
    rng = np.random.default_rng(5)
    rank = calibration.random_ranks(*gaussian(rng, 1000, 100, claimed), rng)
    found = calibration.coverage_error(calibration.central(rank))
    assert (found.error < found.limit) == passes
    assert (found.p > 0.05) == passes
    # the largest |erf(t / sqrt 2) - erf(c t / sqrt 2)| over t, for Gaussians
    t = np.linspace(0, 5, 5000)
    true = np.abs(np.diff(stats.norm.cdf([t, claimed * t], 0, 1), axis=0) * 2).max()
    assert found.error == pytest.approx(true, abs=2 * found.expected)


def test_a_bias_is_found_by_ranks():
    rng = np.random.default_rng(6)
    samples, truth = gaussian(rng, 1000, 100)
    assert calibration.uniformity(calibration.random_ranks(samples + 0.3, truth, rng)) < 1e-6


def test_the_largest_coverage_error_is_where_it_is():
    found = calibration.coverage_error(np.array([0.5, 0.55, 0.6, 0.9]))
    # nothing below 0.5: coverage 0 where 50 % is claimed
    assert (found.error, found.excess, found.level) == (0.5, -0.5, 0.5)
    found = calibration.coverage_error(np.array([0.1, 0.12, 0.15, 0.9]))
    assert found.error == found.excess == pytest.approx(0.75 - 0.15)
    assert found.level == 0.15


@pytest.mark.parametrize("n", [10, 100, 2000])
def test_sampling_alone_gives_the_coverage_error_that_is_said(n):
    rng = np.random.default_rng(n)
    found = [calibration.coverage_error(rng.random(n)) for _ in range(1000)]
    errors = np.array([one.error for one in found])
    assert found[0].expected == pytest.approx(errors.mean(), rel=0.03)
    assert expected_failures((errors > found[0].limit).sum(), 1000)
    worst = np.array([max(errors[i : i + 5]) for i in range(0, 1000, 5)])
    assert expected_failures((worst > calibration.sampling_limit(n, 5)).sum(), 200)


def joint(rng, n, draws, correlation=0.8, claimed=0.8):
    """Draws of posteriors of two targets whose correlation is claimed, and the truths."""

    def cloud(shape, rho):
        x, y = rng.normal(size=(2, *shape))
        return np.stack([x, rho * x + np.sqrt(1 - rho**2) * y], axis=-1)

    centre = rng.normal(0, 2, (n, 1, 2))
    return (
        centre + cloud((n, draws), claimed),
        (centre + cloud((n, 1), correlation))[:, 0],
        centre,
    )


def log_densities(x, centre, rho):
    """Logarithm of the density of a cloud, but for a constant."""
    a, b = np.moveaxis(x - centre, -1, 0)
    return -0.5 * (a**2 - 2 * rho * a * b + b**2) / (1 - rho**2)


@pytest.mark.parametrize("draws", [20, 200])
def test_joint_tests_of_perfect_posteriors_hold_their_level(draws):
    rng = np.random.default_rng(7)
    density, tarp = [], []
    for _ in range(TESTS):
        samples, truth, centre = joint(rng, 100, draws)
        of_draws = log_densities(samples, centre, 0.8)
        of_truth = log_densities(truth[:, None], centre, 0.8)[:, 0]
        rank = calibration.density_ranks(of_draws, of_truth, rng)
        density.append(calibration.coverage_error(rank).p)
        rank = calibration.tarp_ranks(samples, truth, np.full(2, 2.2), rng)
        tarp.append(calibration.coverage_error(rank).p)
    assert expected_failures((np.array(density) < 0.05).sum())
    assert expected_failures((np.array(tarp) < 0.05).sum())


def test_a_wrong_correlation_is_seen_by_joint_tests_only():
    rng = np.random.default_rng(8)
    samples, truth, centre = joint(rng, 3000, 200, correlation=-0.8)
    ranks = calibration.random_ranks(samples.transpose(0, 2, 1), truth, rng)
    assert all(calibration.uniformity(ranks[:, i]) > 0.01 for i in range(2))
    density = calibration.density_ranks(
        log_densities(samples, centre, 0.8),
        log_densities(truth[:, None], centre, 0.8)[:, 0],
        rng,
    )
    tarp = calibration.tarp_ranks(samples, truth, np.full(2, 2.2), rng)
    for rank in (density, tarp):
        assert calibration.coverage_error(rank).p < 1e-6


def test_the_region_of_highest_density_is_that_of_the_mixture():
    rng = np.random.default_rng(9)
    mixture = posteriors.unpack(rng.normal(size=(400, posteriors.outputs(3, 2))), 3, 2)
    truth = posteriors.sample(mixture, 1, rng)[:, 0]
    draws = posteriors.sample(mixture, 100, rng)
    many = posteriors.log_densities(mixture, draws)
    assert many[:, 7] == pytest.approx(posteriors.log_density(mixture, draws[:, 7]))
    rank = calibration.density_ranks(many, posteriors.log_density(mixture, truth), rng)
    assert calibration.uniformity(rank) > 0.01
    blurred = posteriors.log_density(mixture, truth + rng.normal(0, 2, truth.shape))
    assert calibration.uniformity(calibration.density_ranks(many, blurred, rng)) < 1e-4


def test_tarp_is_that_of_the_package_for_the_same_references():
    tarp = pytest.importorskip("tarp", reason="it is in requirements-dev.txt")
    rng = np.random.default_rng(10)
    n, draws = 500, 200
    samples, truth, _ = joint(rng, n, draws, claimed=0.2)
    references = rng.normal(0, 3, (n, 2))
    coverage, level = tarp.get_tarp_coverage(
        np.ascontiguousarray(samples.transpose(1, 0, 2)), truth.copy(), references, norm=False
    )
    rank = calibration.tarp_ranks(samples, truth, np.ones(2), rng, references)
    ours = (rank[:, None] <= level).mean(axis=0)
    # theirs counts steps of one draw; the first and the last level are the ends of what was found
    near = (np.abs(rank[:, None] - level) < 1.5 / draws).mean(axis=0)
    assert (np.abs(ours - coverage)[1:-1] <= near[1:-1] + 1e-9).all()


def test_no_system_is_its_own_reference():
    # Posteriors far apart, each with its truth in the middle of two draws: the reference is
    # another's truth, so that one draw is nearer and one farther; its own would be nearer than both
    truth = np.arange(50.0)[:, None] * 100
    samples = truth[:, None] + np.array([[-1.0], [1.0]])
    rank = calibration.tarp_ranks(samples, truth, np.ones(1), np.random.default_rng(11))
    assert ((rank > 1 / 3) & (rank < 2 / 3)).all()
    with pytest.raises(ValueError, match="1 systems, but references are truths of others"):
        calibration.tarp_ranks(samples[:1], truth[:1], np.ones(1), np.random.default_rng(1))


def gaussian_crps(mean, sigma, truth):
    """CRPS of a Gaussian: Gneiting & Raftery (2007)."""
    z = (truth - mean) / sigma
    return sigma * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))


@pytest.mark.parametrize("draws", [2, 5, 100])
def test_the_mean_crps_is_that_of_the_gaussian_for_any_number_of_draws(draws):
    rng = np.random.default_rng(draws)
    n = 200_000 // draws
    truth = rng.normal(1, 2, n)
    found = calibration.crps(rng.normal(0, 1.5, (n, draws)), truth)
    exact = gaussian_crps(0, 1.5, truth)
    error = (found - exact).std() / np.sqrt(n)
    assert found.mean() == pytest.approx(exact.mean(), abs=4 * error)


def test_crps_is_the_integral_over_the_steps_of_the_draws():
    rng = np.random.default_rng(12)
    draws, truth = rng.normal(size=7), 0.3
    edges = np.sort(np.append(draws, truth))
    middle = (edges[1:] + edges[:-1]) / 2
    below = (draws[:, None] < middle).mean(axis=0)
    whole = (((below - (middle > truth)) ** 2) * np.diff(edges)).sum()
    # which counts each draw as a pair with itself
    pairs = np.mean([abs(a - b) for i, a in enumerate(draws) for b in np.delete(draws, i)])
    fair = whole - pairs / 2 / len(draws)
    assert calibration.crps(draws, np.array(truth)) == pytest.approx(fair)


def test_who_knows_only_the_population_has_the_crps_of_its_spread():
    rng = np.random.default_rng(13)
    truth = rng.normal(0, 2, 20_000)
    assert calibration.prior_crps(truth) == pytest.approx(2 / np.sqrt(np.pi), rel=0.02)
    exact = gaussian_crps(0, 2, truth).mean()
    assert calibration.prior_crps(truth) == pytest.approx(exact, rel=0.02)


def test_sharpness_is_the_width_in_units_of_the_prior():
    draws = np.random.default_rng(14).normal(0, [[1.0], [3.0]], (2, 200_000))
    assert calibration.sharpness(draws, 2.0) == pytest.approx([0.4972, 1.492], rel=0.01)


def test_a_rate_has_an_interval_that_ends_where_it_can():
    found = calibration.rate(0, 50)
    assert (found["rate"], found["low"]) == (0, 0)
    assert 0.005 < found["high"] < 0.04
    assert calibration.rate(50, 50)["high"] == 1
    found = calibration.rate(10, 1000)
    assert found["low"] == pytest.approx(0.01 - 0.0031, abs=5e-4)


def judged(claimed, n=2000, seed=15):
    rng = np.random.default_rng(seed)
    centre = rng.normal(0, 3, (n, 2))
    samples = centre[:, None] + claimed * rng.normal(size=(n, 100, 2))
    truth = centre + rng.normal(size=(n, 2))
    density = calibration.density_ranks(
        -((samples - centre[:, None]) ** 2).sum(axis=-1), -((truth - centre) ** 2).sum(axis=-1), rng
    )
    return calibration.judge(samples, truth, ["x", "y"], np.full(2, 3.0), rng, density)


def test_a_judgement_holds_all_of_it():
    columns, numbers = judged(1.0)
    assert all(len(values) == 2000 for values in columns.values())
    units = calibration.units_of({"x": "arcsec", "y": ""})
    assert columns.keys() | {"index"} == units.keys()
    assert (units["crps_x"], units["rank_x"]) == ("arcsec", "")
    assert numbers["systems"] == 2000
    one = numbers["targets"]["x"]
    assert one["bias"] == pytest.approx(0, abs=0.1)
    assert one["robust_scatter"] == pytest.approx(1, rel=0.08)
    assert one["sharpness"] == pytest.approx(1 / 3, rel=0.05)
    assert one["crps_over_prior"] == pytest.approx(1 / np.sqrt(10), rel=0.05)
    assert one["coverage68"] == pytest.approx(0.68, abs=0.04)
    errors = {"x": one["error"], "y": numbers["targets"]["y"]["error"]}
    errors |= {kind: numbers[kind]["error"] for kind in ("density", "tarp")}
    worst = numbers["worst"]
    assert worst["error"] == max(errors.values()) == errors[worst["of"]]
    assert worst["error"] < worst["limit"]
    assert calibration.summarise(columns) == numbers


def test_overconfidence_is_judged_and_worst_where_targets_meet():
    _, numbers = judged(0.6)
    assert numbers["worst"]["of"] == "density"
    assert numbers["worst"]["error"] > 0.25 > 5 * numbers["worst"]["limit"]
    trust, sentence = calibration.verdict(numbers | {"strangeness": None})
    assert not trust
    assert sentence.startswith("Do not trust: wrong errors; the largest coverage error is")
    assert "(density, errors too small)" in sentence


def test_errors_that_are_too_large_are_said_and_not_refused():
    numbers = judged(2.5)[1]
    assert numbers["worst"]["excess"] > 0.2
    trust, sentence = calibration.verdict(numbers | {"strangeness": None})
    assert trust
    assert "errors too large" in sentence


def test_one_target_alone_has_no_joint_test():
    rng = np.random.default_rng(16)
    samples, truth = gaussian(rng, 30, 50)
    columns, numbers = calibration.judge(samples[..., None], truth[:, None], ["x"], np.ones(1), rng)
    assert numbers["density"] is None and numbers["tarp"] is None
    assert numbers["worst"]["of"] == "x"
    nothing = {name: values[:0] for name, values in columns.items()}
    assert calibration.summarise(nothing) == {"systems": 0}


FAMILY = {"rate": 0.01, "low": 0.008, "high": 0.012, "of": 1000, "wanted": 0.01, "set_on": 500}


@pytest.mark.parametrize(
    ("rate", "trusted", "own", "begins"),
    [
        (0.3, False, False, "Do not trust: outside the family that it was trained on; 30.0 % of"),
        (0.01, True, False, "No sign of lying outside the family; 1.0 % of 500 systems"),
        (0.01, True, True, "Inside the family; 1.0 % of 500 systems"),
        (0.01, None, True, "Whether it is inside the family is not known; 1.0 % of 500 systems"),
    ],
)
def test_the_verdict_says_inside_or_do_not_trust(rate, trusted, own, begins):
    strange = {"strange": {"rate": rate, "of": 500}, "trusted": trusted, "own": own}
    numbers = judged(1.0)[1] | {"strangeness": strange | {"family": FAMILY}}
    trust, sentence = calibration.verdict(numbers)
    assert trust == (trusted is not False)
    assert sentence.startswith(begins)
    assert ("the largest coverage error is" in sentence) == trust


def test_without_systems_or_a_family_the_verdict_says_so():
    assert calibration.verdict(None) == (
        False,
        "Do not trust: there are no systems to judge the network by.",
    )
    trust, sentence = calibration.verdict({"systems": 0, "strangeness": None})
    assert trust
    assert sentence.startswith("Whether it is inside the family is not known; there is nothing")
    _, noted = calibration.verdict({"systems": 0, "strangeness": None, "note": "Ask others."})
    assert noted == f"{sentence} Ask others."
