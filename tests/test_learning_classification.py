"""Metrics of lens finding: by hand, against scikit-learn, and by simulation."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from lensmill.learning import classification

# lenses score 9, 7, 4, 2 and non-lenses 8, 5, 5, 1
IS_LENS = np.array([1, 0, 1, 0, 0, 1, 1, 0])
SCORE = np.array([9.0, 8.0, 7.0, 5.0, 5.0, 4.0, 2.0, 1.0])


def _mocks(lenses, others, seed=1, apart=1.5):
    rng = np.random.default_rng(seed)
    is_lens = np.repeat([1, 0], [lenses, others])
    return is_lens, rng.normal(apart * is_lens, 1.0)


def test_auroc_counts_the_pairs_in_which_the_lens_wins():
    # 9 beats 4 non-lenses, 7 beats 3, 4 beats 1 and 2 beats 1, of 16 pairs
    assert classification.auroc(IS_LENS, SCORE) == pytest.approx(9 / 16)
    # a tie is half a win
    assert classification.auroc(np.array([1, 0]), np.array([3.0, 3.0])) == 0.5


def test_auroc_does_not_know_the_scale_of_the_score():
    is_lens, score = _mocks(200, 300)
    assert classification.auroc(is_lens, score) == classification.auroc(is_lens, np.exp(3 * score))


def test_no_lens_that_scores_as_high_as_a_non_lens_counts_in_tpr0():
    assert classification.tpr0(IS_LENS, SCORE).value == 1 / 4
    tied = np.where(SCORE == 8.0, 9.0, SCORE)
    assert classification.tpr0(IS_LENS, tied).value == 0.0


def test_tpr10_is_reached_with_nine_false_positives():
    is_lens = np.repeat([1, 0], [20, 12])
    score = np.concatenate([np.arange(20.0), np.arange(12.0) + 0.5])
    # the tenth highest of the twelve non-lenses has 2.5: lenses 3 ... 19 are above it
    assert classification.threshold(is_lens, score, 9) == 2.5
    assert classification.tpr10(is_lens, score).value == 17 / 20
    assert classification.confusion(is_lens, score, 2.5).false_positives == 9


def test_a_threshold_never_lets_more_false_positives_through_than_allowed():
    is_lens, score = _mocks(100, 400)
    score = np.round(score, 1)  # many ties
    for allowed in range(50):
        limit = classification.threshold(is_lens, score, allowed)
        assert (score[is_lens == 0] > limit).sum() <= allowed
        lower = np.nextafter(limit, -np.inf)
        assert (score[is_lens == 0] > lower).sum() > allowed


def test_the_threshold_of_a_rate_agrees_with_the_curve_of_scikit_learn():
    is_lens, score = _mocks(1000, 2000)
    fpr, tpr, _ = metrics.roc_curve(is_lens, score, drop_intermediate=False)
    for rate in (0.1, 0.01, 0.001):
        found = classification.tpr_at_fpr(is_lens, score, rate)
        assert found.value == tpr[fpr <= rate].max()
        assert found.low < found.value < found.high


def test_what_too_few_systems_cannot_show_is_refused_with_the_number_needed():
    is_lens, score = _mocks(50, 99)
    with pytest.raises(classification.Undefined, match=r"99 negatives .* at least 100 are needed"):
        classification.tpr_at_fpr(is_lens, score, 0.01)
    is_lens, score = _mocks(50, 9)
    with pytest.raises(classification.Undefined, match="at least 10 are needed"):
        classification.tpr10(is_lens, score)
    classification.tpr_at_fpr(*_mocks(50, 100), 0.01)
    classification.tpr_at_fpr(*_mocks(50, 1000), 0.001)


@pytest.mark.parametrize("is_lens", [np.ones(5), np.zeros(5)])
def test_one_kind_of_systems_has_no_auroc(is_lens):
    for metric in (classification.auroc, classification.tpr0, classification.tpr10):
        with pytest.raises(classification.Undefined, match="both classes are needed"):
            metric(is_lens, np.arange(5.0))


def test_the_bootstrap_error_is_that_of_hanley_and_mcneil_and_of_repeated_samples():
    is_lens, score = _mocks(400, 700)
    area = classification.auroc(is_lens, score)
    error = classification.auroc_error(is_lens, score, seed=1, bootstraps=1000)
    # Hanley & McNeil (1982), Radiology 143, 29: for exponential scores, near enough for others
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + 399 * (q1 - area**2) + 699 * (q2 - area**2)
    assert error == pytest.approx(np.sqrt(variance / (400 * 700)), rel=0.15)
    again = [classification.auroc(*_mocks(400, 700, seed)) for seed in range(300)]
    assert error == pytest.approx(np.std(again), rel=0.15)


def test_the_bootstrap_error_is_that_of_delong():
    # DeLong et al. (1988), Biometrics 44, 837: variance of the wins of each lens and non-lens
    is_lens, score = _mocks(300, 500, apart=1.0)
    wins = (score[is_lens == 1][:, None] > score[is_lens == 0]).astype(float)
    variance = wins.mean(1).var(ddof=1) / 300 + wins.mean(0).var(ddof=1) / 500
    error = classification.auroc_error(is_lens, score, seed=3, bootstraps=2000)
    assert error == pytest.approx(np.sqrt(variance), rel=0.06)


def test_the_bootstrap_error_is_a_function_of_its_seed():
    first, second, other = (classification.auroc_error(IS_LENS, SCORE, s, 50) for s in (1, 1, 2))
    assert first == second != other


def test_intervals_of_rates_cover_what_they_claim():
    rng = np.random.default_rng(1)
    for p in (0.1, 0.5, 0.97):
        rate = classification.binomial(rng.binomial(60, p, 4000), 60)
        inside = ((rate.low <= p) & (p <= rate.high)).mean()
        assert inside == pytest.approx(classification.ONE_SIGMA, abs=0.09)
    rate = classification.binomial([0, 5, 0], [5, 5, 0])
    assert rate.low.tolist() == [0.0, rate.low[1], 0.0]
    assert rate.high[1:].tolist() == [1.0, 1.0]
    assert np.isnan(rate.value[2])


@pytest.mark.parametrize("others", [300, 1000])
@pytest.mark.parametrize(
    ("metric", "false_alarms"),
    [
        (classification.tpr0, lambda n: 0),
        (classification.tpr10, lambda n: 9),
        (lambda *ours: classification.tpr_at_fpr(*ours, 0.01), lambda n: n // 100),
    ],
    ids=["tpr0", "tpr10", "tpr_at_fpr"],
)
@pytest.mark.parametrize("law", [stats.norm, stats.logistic], ids=lambda law: law.name)
def test_intervals_hold_the_scatter_of_the_threshold(law, metric, false_alarms, others):
    m, apart, lenses, repeats = false_alarms(others), 3.0, 200, 100
    # in the median of many test sets the threshold has this false-positive rate
    fpr = stats.beta.median(m + 1, others - m)
    expected = law.sf(law.isf(fpr) - apart)
    rng = np.random.default_rng(10)
    is_lens = np.repeat([1, 0], [lenses, others])
    scores = law.rvs(size=(repeats, is_lens.size), random_state=rng) + apart * is_lens
    found = [metric(is_lens, score) for score in scores]
    binomial = [classification.binomial(round(rate.value * lenses), lenses) for rate in found]
    covered, of_lenses = (
        np.mean([rate.low <= expected <= rate.high for rate in rates])
        for rates in (found, binomial)
    )
    assert 0.58 <= covered <= 0.86  # 0.68 +- 0.05 if the intervals are right
    assert of_lenses < covered - 0.1
    real = np.ptp(np.percentile([rate.value for rate in found], [16, 84]))
    width = np.median([rate.high - rate.low for rate in found])
    assert width == pytest.approx(real, rel=0.4)


def test_a_threshold_is_the_median_of_what_it_might_be():
    is_lens, score = _mocks(1, 4000)
    for m in (0, 9, 40):
        possible = classification.thresholds(is_lens, score, m)
        assert possible[49] > classification.threshold(is_lens, score, m) > possible[50]


def test_rates_at_a_threshold_of_other_non_lenses_scatter_as_it_does():
    survey, mocks = _mocks(20_000, 20_000), [_mocks(1, 1000, seed) for seed in range(2, 102)]
    for metric in (classification.tpr_above, classification.fpr_above):
        found = [
            metric(*survey, classification.threshold(*one, 10), classification.thresholds(*one, 10))
            for one in mocks
        ]
        again = np.ptp(np.percentile([rate.value for rate in found], [16, 84]))
        assert np.median([rate.high - rate.low for rate in found]) == pytest.approx(again, rel=0.3)


def test_one_non_lens_or_none_like_another_leaves_an_interval():
    one = classification.tpr0(np.array([1, 1, 0]), np.array([1.0, 2.0, 0.0]))
    assert 0 < one.low < 0.5 < one.value == one.high == 1
    same = classification.tpr0(np.array([1, 0, 0, 0]), np.array([1.0, 0.0, 0.0, 0.0]))
    assert 0 < same.low < same.value == same.high == 1


def test_curves_are_those_of_scikit_learn():
    is_lens, score = _mocks(80, 120)
    score = np.round(score, 1)
    fpr, tpr, threshold = metrics.roc_curve(is_lens, score, drop_intermediate=False)
    found = classification.curves(is_lens, score)
    assert found.tpr == pytest.approx(tpr)
    assert found.fpr == pytest.approx(fpr)
    # scikit-learn calls a lens what is at the threshold or above, we what is above
    assert found.threshold[:-1] == pytest.approx(threshold[1:])
    for i in (0, 7, -1):
        above = score > found.threshold[i]
        assert found.tpr[i] == above[is_lens == 1].mean()


def test_curves_of_lenses_alone_have_no_false_positive_rate():
    found = classification.curves(np.ones(3), np.arange(3.0))
    assert found.tpr.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert np.isnan(found.fpr).all()


def test_purity_in_a_survey_is_that_of_a_sample_with_its_fraction_of_lenses():
    # 1 lens in 50: count them
    rng = np.random.default_rng(2)
    is_lens = (np.arange(500_000) % 50 == 0).astype(int)
    score = rng.normal(2.5 * is_lens)
    counted = classification.confusion(is_lens, score, 2.0)
    expected = counted.true_positives / (counted.true_positives + counted.false_positives)
    # from a balanced sample of the same kinds
    rates = classification.confusion(*_mocks(200_000, 200_000, apart=2.5), 2.0)
    tpr, fpr = rates.true_positives / 200_000, rates.false_positives / 200_000
    assert classification.purity(tpr, fpr, 1 / 50) == pytest.approx(expected, rel=0.02)


def test_one_false_alarm_in_a_thousand_halves_a_survey_of_one_lens_in_a_thousand():
    assert classification.purity(1.0, 0.001, 0.001) == pytest.approx(0.5, abs=1e-3)
    assert np.isnan(classification.purity(0.0, 0.0, 0.001))


def test_confusion_by_hand():
    assert classification.confusion(IS_LENS, SCORE, 4.5) == (2, 2, 3, 1)
    ours = classification.confusion(IS_LENS, SCORE, 4.5)
    (rejected, false_alarms), (lost, found) = metrics.confusion_matrix(IS_LENS, SCORE > 4.5)
    assert ours == (found, lost, false_alarms, rejected)


def test_probabilities_that_come_true_are_calibrated():
    rng = np.random.default_rng(4)
    claimed = rng.random(20_000)
    is_lens = (rng.random(20_000) < claimed).astype(int)
    found = classification.reliability(is_lens, claimed, 10)
    assert found.count.sum() == 20_000
    assert np.abs(found.fraction - found.claimed).max() < 0.05
    error = classification.expected_calibration_error(is_lens, claimed, 10)
    assert error == pytest.approx(np.sqrt(10 / 20_000) / 3, rel=0.7)
    # one who claims 0.1 too much everywhere is off by 0.1
    claimed = 0.2 + 0.6 * claimed
    is_lens = (rng.random(20_000) < claimed - 0.1).astype(int)
    error = classification.expected_calibration_error(is_lens, claimed, 10)
    assert error == pytest.approx(0.1, abs=0.01)


def test_reliability_agrees_with_scikit_learn_and_takes_certainty():
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(5)
    claimed = np.concatenate([rng.random(200), [0.0, 1.0]])
    is_lens = rng.integers(0, 2, 202)
    fraction, mean = calibration_curve(is_lens, claimed, n_bins=8)
    found = classification.reliability(is_lens, claimed, 8)
    assert found.fraction == pytest.approx(fraction)
    assert found.claimed == pytest.approx(mean)


def test_probabilities_for_another_fraction_of_lenses_come_true_there():
    rng = np.random.default_rng(6)
    # scores N(+-1, 1): the logarithm of the likelihood ratio is twice the score
    is_lens = (np.arange(400_000) % 20 == 0).astype(int)
    logit = 2 * rng.normal(2.0 * is_lens - 1.0)
    probability = 1 / (1 + np.exp(-classification.shift_logit(logit, 1 / 20)))
    assert classification.expected_calibration_error(is_lens, probability) < 0.002
    assert probability.mean() == pytest.approx(1 / 20, rel=0.02)
    assert classification.shift_logit(logit, 0.3, 0.3) == pytest.approx(logit)


def test_the_ideal_observer_is_the_matched_filter():
    rng = np.random.default_rng(7)
    arcs = rng.normal(size=(40, 25)) * rng.uniform(0.05, 0.6, (40, 1))
    sigma = rng.uniform(0.5, 2.0, 25)
    snr = np.sqrt((arcs**2 / sigma**2).sum(axis=1))
    with_arc = arcs + rng.normal(size=(3000, 40, 25)) * sigma
    twin = rng.normal(size=(3000, 40, 25)) * sigma
    filtered = [np.einsum("nlp,lp->nl", x, arcs / sigma**2) for x in (with_arc, twin)]
    wins = (filtered[0] > filtered[1]).mean()
    assert classification.ideal_auroc(snr) == pytest.approx(wins, abs=0.003)
    # at a false-positive rate of 5 % of each filter's own
    limit = np.quantile(filtered[1], 0.95, axis=0)
    found = (filtered[0] > limit).mean(axis=0)
    # the limit of 3000 twins scatters by 0.04, the completeness by 0.02
    assert classification.ideal_completeness(snr, 0.05) == pytest.approx(found, abs=0.06)
    assert classification.ideal_completeness(snr, 0.05).mean() == pytest.approx(
        found.mean(), abs=0.01
    )


def test_who_also_knows_which_arc_is_missing_ranks_by_likelihood():
    rng = np.random.default_rng(8)
    snr = rng.uniform(0, 4, 600)
    square = np.tile(snr, 50) ** 2
    noise = np.tile(snr, 50) * rng.normal(size=(2, square.size))
    score = np.concatenate([square / 2 + noise[0], -square / 2 + noise[1]])
    is_lens = np.repeat([1, 0], square.size)
    found = classification.ideal_auroc_bound(snr)
    assert found == pytest.approx(classification.auroc(is_lens, score), abs=0.005)
    assert found > classification.ideal_auroc(snr)
    same = np.full(30, 1.7)
    assert classification.ideal_auroc_bound(same) == pytest.approx(classification.ideal_auroc(same))
    # half the arcs invisible, half obvious: 3 of 4 pairs decided, the rest by chance
    assert classification.ideal_auroc_bound(np.repeat([0.0, 50.0], 50)) == pytest.approx(0.875)
    assert classification.ideal_auroc(np.repeat([0.0, 50.0], 50)) == pytest.approx(0.75)


def test_an_arc_without_light_cannot_be_found():
    assert classification.ideal_auroc(np.zeros(3)) == 0.5
    assert classification.ideal_completeness(0.0, 0.01) == pytest.approx(0.01)
    assert classification.ideal_completeness(stats.norm.ppf(0.99), 0.01) == pytest.approx(0.5)


def test_bins_of_equal_numbers_hold_every_lens_once():
    values = np.random.default_rng(9).lognormal(size=103)
    edges = classification.equal_bins(values, 8)
    found, lenses = classification.binned(values > 1.0, values, edges)
    assert lenses.sum() == 103
    assert lenses.max() - lenses.min() <= 1
    assert found.sum() == (values > 1.0).sum()
    assert classification.equal_bins(np.array([2.0, 2.0]), 4).tolist() == [2.0]


# Several classes


def _classes(n=3000, seed=1):
    """Make up labels 0, 1, 2 and logits of which the softmax is the true probability."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, 3))
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (rng.random(n)[:, None] > probability.cumsum(axis=1)).sum(axis=1)
    return labels, logits


def test_metrics_of_several_classes_agree_with_scikit_learn():
    labels, logits = _classes()
    probability = classification.probabilities(logits)
    assert probability.sum(axis=1) == pytest.approx(1)
    assert classification.cross_entropy(labels, logits) == pytest.approx(
        metrics.log_loss(labels, probability)
    )
    found = classification.accuracy(labels, logits)
    assert found.value == metrics.accuracy_score(labels, logits.argmax(axis=1))
    assert found.low < found.value < found.high
    areas = classification.auroc_one_vs_rest(labels, logits)
    mean = metrics.roc_auc_score(labels, probability, multi_class="ovr", average="macro")
    assert areas.mean() == pytest.approx(mean, abs=1e-12)
    matrix = classification.confusion_matrix(labels, logits)
    assert matrix.sum(axis=1).tolist() == np.bincount(labels).tolist()
    assert np.trace(matrix) / len(labels) == found.value


def test_what_is_common_to_all_logits_says_nothing_about_a_class():
    labels, logits = _classes(300)
    common = np.random.default_rng(2).normal(0, 10, (300, 1))
    one, other = (classification.auroc_one_vs_rest(labels, x) for x in (logits, logits + common))
    assert one == pytest.approx(other)


def test_a_missing_class_has_no_auroc_and_the_others_have():
    areas = classification.auroc_one_vs_rest(np.array([0, 1, 0, 1]), np.eye(4, 3))
    assert np.isnan(areas).tolist() == [False, False, True]
    matrix = classification.confusion_matrix(np.array([0, 1, 0, 1]), np.eye(4, 3))
    assert matrix.shape == (3, 3) and matrix[2].sum() == 0


def test_the_named_class_is_right_as_often_as_claimed():
    labels, logits = _classes(100_000)
    assert classification.top_label_calibration_error(labels, logits) < 0.01
    # twice the logits: surer than right
    assert classification.top_label_calibration_error(labels, 2 * logits) > 0.05


def test_class_weights_are_inverse_to_the_number_of_a_class():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    weights = classification.class_weights(labels)
    assert weights * [60, 30, 10] == pytest.approx(100 / 3)
    assert weights[labels].mean() == pytest.approx(1)


def test_a_class_that_is_missing_is_named_with_the_numbers():
    with pytest.raises(ValueError, match=r"the train part has 2 arcs and 0 rings .* are needed"):
        classification.check_classes(np.zeros(2), "the train part", ("arcs", "rings"))
