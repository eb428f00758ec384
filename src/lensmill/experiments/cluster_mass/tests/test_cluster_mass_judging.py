"""Scores of masses, simple estimators, the excised core and paired tests, on numbers made up."""

import numpy as np
import pytest

from lensmill.experiments.cluster_mass import comparison, estimators, excision, judging

RNG = np.random.default_rng(7)
TRUTH = RNG.uniform(31.5, 34.5, 4000)
ALONE = np.arange(4000).astype(str)


def test_one_who_answers_the_same_for_all_has_slope_minus_one():
    found = judging.numbers(33.0 - TRUTH, TRUTH)
    assert found["slope"] == pytest.approx(-1.0)
    assert found["scatter"] == pytest.approx(TRUTH.std())
    assert found["mse"] == pytest.approx(found["scatter"] ** 2 + found["bias"] ** 2)


def test_scatter_and_half_range_of_gaussian_errors_agree_and_an_outlier_parts_them():
    error = RNG.normal(0.05, 0.12, 4000)
    found = judging.numbers(error, TRUTH)
    assert found["scatter"] == pytest.approx(0.12, rel=0.05)
    assert found["half_range"] == pytest.approx(0.12, rel=0.05)
    assert abs(found["slope"]) < 4 * 0.12 / (TRUTH.std() * np.sqrt(4000))
    error[:40] += 3.0
    apart = judging.numbers(error, TRUTH)
    assert apart["scatter"] > 2 * found["scatter"]
    assert apart["half_range"] == pytest.approx(found["half_range"], rel=0.05)


def test_copies_of_an_image_do_not_make_an_error_smaller():
    rng = np.random.default_rng(3)
    error, truth, names = rng.normal(0, 0.1, 300), TRUTH[:300], ALONE[:300]
    expected = error.std() / np.sqrt(300)
    alone = judging.with_errors(error, truth, names, 1000, rng)
    error, truth, names = (np.tile(x, 4) for x in (error, truth, names))
    copied = judging.with_errors(error, truth, names, 1000, rng)
    assert alone["bias_error"] == pytest.approx(expected, rel=0.1)
    assert copied["bias_error"] == pytest.approx(expected, rel=0.1)
    apart = judging.with_errors(error, truth, np.arange(1200).astype(str), 1000, rng)
    assert apart["bias_error"] == pytest.approx(expected / 2, rel=0.1)


def test_a_bin_of_few_clusters_is_not_judged():
    truth = np.array([1.0] * 40 + [2.5] * 9)
    group = np.arange(49).astype(str)
    found = judging.by_mass(truth * 0.1, truth, group, np.array([0.0, 2.0, 3.0]))
    assert found["clusters"] == [40, 9]
    assert found["bias"] == [pytest.approx(0.1), None] and found["scatter"][1] is None
    # many images of few clusters are no better
    found = judging.by_mass(truth * 0.1, truth, np.repeat("a", 49), np.array([0.0, 2.0, 3.0]))
    assert found["bias"] == [None, None]


def test_the_offset_of_cool_cores_is_that_of_the_means():
    cool = np.arange(400) % 2
    found = judging.cool_core_offset(0.3 * cool + RNG.normal(0, 0.1, 400), cool)
    assert found["offset"] == pytest.approx(0.3, abs=4 * found["error"])
    assert found["error"] == pytest.approx(0.01, rel=0.2)
    assert judging.cool_core_offset(np.zeros(5), np.ones(5)) is None


def clusters(n=3000, seed=3, redshift=None):
    """Return columns in which the rate of photons goes as a power of mass, above a background."""
    rng = np.random.default_rng(seed)
    ln_m = rng.uniform(31.5, 34.5, n)
    z = np.full(n, 0.05) if redshift is None else rng.uniform(*redshift, n)
    exposure = rng.uniform(500, 2000, n)
    background = rng.uniform(0.1, 0.5, n)
    net = exposure * np.exp(1.6 * (ln_m - 33) + rng.normal(0, 0.3, n)) * (0.05 / z) ** 2
    return {
        "ln_m500": ln_m,
        "redshift": z,
        "exposure": exposure,
        "background": background,
        "area": np.full(n, 900.0),
        "area_excised": np.full(n, 300.0),
        "counts": net + background * 900,
        "counts_excised": 0.5 * net + background * 300,
        "m_gas": np.exp(1.25 * (ln_m - 33) + 30),
    }


@pytest.mark.parametrize("redshift", [None, (0.04, 0.2)])
def test_estimators_find_the_law_and_its_scatter(redshift):
    systems, other = (clusters(seed=seed, redshift=redshift) for seed in (3, 4))
    found = estimators.answer(estimators.fit(systems), other)
    for name in estimators.ESTIMATORS:
        error = found[name] - other["ln_m500"]
        expected = 0.0 if name == "gas_mass" else 0.3 / 1.6
        # a parabola follows the rate, whose redshift enters by its logarithm, nearly
        assert error.std() == pytest.approx(expected, abs=0.02), name
        assert abs(error.mean()) < 0.02


def test_a_fit_is_drawn_to_what_has_weight():
    systems = clusters()
    heavy = systems["ln_m500"] > 34
    plain = estimators.answer(estimators.fit(systems), systems)["counts"]
    weighted = estimators.answer(estimators.fit(systems, np.where(heavy, 50.0, 1.0)), systems)
    bias = [abs((x - systems["ln_m500"])[heavy].mean()) for x in (plain, weighted["counts"])]
    assert bias[1] < bias[0] / 2


def test_where_there_are_no_photons_an_estimator_still_answers():
    systems = clusters(50)
    fits = estimators.fit(systems)
    systems["counts"] = np.zeros(50)
    systems["m_gas"] = np.zeros(50)
    assert all(np.isfinite(x).all() for x in estimators.answer(fits, systems).values())


def test_a_replaced_core_has_photons_as_its_ring_and_the_rest_is_as_it_was():
    pixels = np.random.default_rng(0).poisson(3.0, (2, 64, 64, 1)).astype(np.float32)
    x, y, r500 = np.array([31.5, 20.0]), np.array([31.5, 40.0]), np.array([40.0, 30.0])
    distance = excision.radii((64, 64), x, y)
    core = distance < excision.CORE * r500[:, None, None]
    pixels[core] = 500.0
    found = excision.without_core(pixels, x, y, r500, np.random.default_rng(1))
    assert np.array_equal(found[~core], pixels[~core])
    assert found[core].mean() == pytest.approx(3.0, abs=4 * np.sqrt(3 / core.sum()))
    assert found.dtype == np.float32 and np.array_equal(found, found.round())
    assert distance[1, 40, 20] == 0.0


def test_a_paired_test_sees_what_two_scatters_do_not():
    rng = np.random.default_rng(5)
    common = rng.gamma(1.0, 0.01, 200)  # what both share hides the difference
    one = {str(i): common[i] for i in range(200)}
    other = {str(i): common[i] + 0.0005 + 0.0005 * rng.normal() for i in range(200)}
    found = comparison.paired_test([(one, other)], np.random.default_rng(1))
    assert found["difference"] == pytest.approx(-0.0005, abs=4 * found["error"])
    assert found["p"] < 1e-3 and found["p_folds"] is None
    same = {str(i): common[i] + 0.001 * rng.normal() for i in range(200)}
    assert comparison.paired_test([(one, same)], np.random.default_rng(1))["p"] > 0.01


def test_p_values_of_a_paired_test_are_uniform_where_nothing_differs():
    rng = np.random.default_rng(6)
    p = []
    for _ in range(200):
        one, other = ({str(i): v for i, v in enumerate(rng.gamma(1, 1, 30))} for _ in range(2))
        p.append(comparison.paired_test([(one, other)], rng)["p"])
    for level in (0.1, 0.5):
        expected = np.sqrt(level * (1 - level) / 200)
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=4 * expected)


def test_networks_judged_on_other_clusters_are_not_compared():
    with pytest.raises(ValueError, match="not judged on the same clusters"):
        comparison.paired_test([({"a": 1.0}, {"b": 1.0})], np.random.default_rng(0))


def test_the_corrected_test_is_more_careful_than_student():
    from scipy import stats

    differences = np.random.default_rng(2).normal(1.0, 1.0, 10)
    found = comparison.corrected_t_test(differences)
    assert found > stats.ttest_1samp(differences, 0.0).pvalue
    t = differences.mean() / np.sqrt(differences.var(ddof=1) * (1 / 10 + 1 / 9))
    assert found == pytest.approx(2 * stats.t.sf(abs(t), 9))
    assert comparison.corrected_t_test(np.zeros(10)) == 1.0
