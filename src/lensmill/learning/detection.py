"""How well lenses are told from what is none: the metrics of the field, from labels and scores.

`is_lens` is 1 or 0, `score` anything that grows with the belief in a lens. Give logits: a
probability in floating point is 1 for all logits above 37, and such ties cost true positives.
A system is called a lens if its score is *above* a threshold, so that one which ties with a
non-lens at the threshold does not count as found.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats
from sklearn import metrics

ONE_SIGMA = 0.6827  # probability of the intervals
STEPS = 1000  # of the distribution of S/N in `ideal_auroc_bound`
QUANTILES = (np.arange(100) + 0.5) / 100  # equally probable values that stand for a distribution
TAIL = 10  # highest non-lenses, which tell how fast their scores run out


class Undefined(ValueError):
    """A metric has no value for these systems; the message says why."""


class Rate(NamedTuple):
    """A fraction and its interval, of probability `ONE_SIGMA`."""

    value: float | NDArray
    low: float | NDArray
    high: float | NDArray


class Confusion(NamedTuple):
    """Systems by what they are and what they are called."""

    found: int  # lenses called lenses (true positives)
    lost: int  # lenses called non-lenses (false negatives)
    false_alarms: int  # non-lenses called lenses (false positives)
    rejected: int  # non-lenses called non-lenses (true negatives)


class Curves(NamedTuple):
    """Rates at every threshold that makes a difference, from the highest down."""

    threshold: NDArray
    tpr: NDArray
    fpr: NDArray


class Reliability(NamedTuple):
    """What was claimed and what came true, by bins of claimed probability that are not empty."""

    claimed: NDArray  # mean probability in the bin
    fraction: NDArray  # of systems in the bin that are lenses
    low: NDArray  # its interval
    high: NDArray
    count: NDArray


def binomial(successes: ArrayLike, trials: ArrayLike, level: float = ONE_SIGMA) -> Rate:
    """Return a fraction with the central interval of Jeffreys' prior.

    Brown, Cai & DasGupta (2001), Statistical Science 16, 101: it covers what it claims on average
    also for a handful of trials; with no success its lower end is 0, with successes only its upper
    end is 1. No trials: value nan, interval 0 to 1.

    Parameters
    ----------
    successes, trials : array of int, shape (...)
    level : float
        Probability of the interval.
    """
    k, n = np.asarray(successes, float), np.asarray(trials, float)
    tail = (1 - level) / 2
    low = np.where(k > 0, stats.beta.ppf(tail, k + 0.5, n - k + 0.5), 0.0)
    high = np.where(k < n, stats.beta.ppf(1 - tail, k + 0.5, n - k + 0.5), 1.0)
    value = np.divide(k, n, out=np.full(np.broadcast(k, n).shape, np.nan), where=n > 0)
    rate = Rate(value, np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0))
    return Rate(*map(float, rate)) if np.ndim(rate.value) == 0 else rate


def possible(successes: ArrayLike, trials: int) -> NDArray:
    """Return equally probable true fractions, by Jeffreys' prior, along the first axis."""
    k = np.asarray(successes, float)
    tail = QUANTILES.reshape(-1, *(1,) * k.ndim)
    return stats.beta.ppf(tail, k + 0.5, trials - k + 0.5)


def spread(value: float, others: NDArray) -> Rate:
    """Return a value with the central interval of equally probable ones; it lies within."""
    tail = 50 * (1 - ONE_SIGMA)
    low, high = np.percentile(others, [tail, 100 - tail])
    return Rate(float(value), min(float(low), float(value)), max(float(high), float(value)))


def auroc(is_lens: NDArray, score: NDArray) -> float:
    """Probability that a lens scores higher than a non-lens, ties counted half.

    Raises
    ------
    Undefined
        If there are no lenses or no non-lenses.
    """
    _need_both(is_lens)
    return float(metrics.roc_auc_score(is_lens, score))


def auroc_error(is_lens: NDArray, score: NDArray, seed: int, bootstraps: int = 500) -> float:
    """Return the standard deviation of `auroc` over bootstrap samples.

    Lenses and non-lenses are drawn separately, as many as there are: their numbers are a choice,
    not a result.
    """
    _need_both(is_lens)
    rng = np.random.Generator(np.random.Philox(seed))
    values, place = np.unique(score, return_inverse=True)
    lens, other = place[is_lens == 1], place[is_lens != 1]
    found = np.empty(bootstraps)
    for i in range(bootstraps):
        lenses, others = (
            np.bincount(rows[rng.integers(rows.size, size=rows.size)], minlength=values.size)
            for rows in (lens, other)
        )
        beaten = np.cumsum(others) - others / 2  # by a lens of each score, ties half
        found[i] = (lenses * beaten).sum() / (lens.size * other.size)
    return float(found.std(ddof=1))


def threshold(is_lens: NDArray, score: NDArray, false_alarms: int) -> float:
    """Return the lowest threshold above which there are at most so many non-lenses.

    It is the score of a non-lens: the first one too many. If non-lenses tie there, fewer are above
    it than allowed, never more.

    Raises
    ------
    Undefined
        If there are no more non-lenses than are allowed.
    """
    others = np.sort(score[is_lens != 1])[::-1]
    if others.size <= false_alarms:
        raise Undefined(
            f"{others.size} non-lenses set no threshold that lets {false_alarms} of them through; "
            f"at least {false_alarms + 1} are needed"
        )
    return float(others[false_alarms])


def allowed(is_lens: NDArray, fpr: float) -> int:
    """Return the number of false alarms that a false-positive rate of ``fpr`` is.

    Raises
    ------
    Undefined
        If there are fewer than ``1 / fpr`` non-lenses: the rate could not be told from zero.
    """
    others = int((is_lens != 1).sum())
    if others * fpr < 1 - 1e-9:
        raise Undefined(
            f"{others} non-lenses cannot show a false-positive rate of {fpr:g}; "
            f"at least {int(np.ceil(1 / fpr - 1e-9))} are needed"
        )
    return int(others * fpr + 1e-9)


def threshold_at_fpr(is_lens: NDArray, score: NDArray, fpr: float) -> float:
    """Return the lowest threshold with a false-positive rate of at most ``fpr``."""
    return threshold(is_lens, score, allowed(is_lens, fpr))


def thresholds(is_lens: NDArray, score: NDArray, false_alarms: int) -> NDArray:
    """Return equally probable values of what `threshold` estimates.

    The true false-positive rate of the threshold that lets m of n non-lenses through is distributed
    as Beta(m + 1, n - m), whatever the scores. Rates become scores by the non-lenses themselves,
    the k-th highest of which has a rate of (k - 0.3) / (n + 0.4) in the median; between them, and
    beyond the highest, the rate falls exponentially. A bootstrap knows nothing beyond the highest:
    of TPR_0 its intervals cover 48 % where they claim 68 %, in the median of
    ``benchmarks/intervals.py``.

    Returns
    -------
    array, shape (len(QUANTILES),)
        Falling.
    """
    threshold(is_lens, score, false_alarms)  # undefined if there are too few
    others = np.sort(score[is_lens != 1])[::-1]
    n = others.size
    rate = stats.beta.ppf(QUANTILES, false_alarms + 1, n - false_alarms)
    typical = (np.arange(n) + 0.7) / (n + 0.4)
    found = np.interp(np.log(rate), np.log(typical), others)
    beyond = rate < typical[0]
    top = min(TAIL, n - 1)
    # mean excess of an exponential tail; a single non-lens does not tell how far others would reach
    scale = others[:top].mean() - others[top] if top else np.inf
    found[beyond] += scale * np.log(typical[0] / rate[beyond])
    return found


def above(score: NDArray, threshold: float, thresholds: ArrayLike | None = None) -> Rate:
    """Return the fraction of scores above a threshold.

    The interval is that of the number of scores, for the threshold as it stands; where equally
    probable ``thresholds`` are given (`thresholds`), with their scatter.
    """
    count = int((score > threshold).sum())
    if thresholds is None:
        return binomial(count, score.size)
    counts = score.size - np.searchsorted(np.sort(score), thresholds, side="right")
    return spread(count / score.size, possible(counts, score.size))


def tpr_above(
    is_lens: NDArray, score: NDArray, threshold: float, thresholds: ArrayLike | None = None
) -> Rate:
    """Return the fraction of lenses above a threshold (completeness); see `above`."""
    if not (is_lens == 1).any():
        raise Undefined("there are no lenses to find")
    return above(score[is_lens == 1], threshold, thresholds)


def fpr_above(
    is_lens: NDArray, score: NDArray, threshold: float, thresholds: ArrayLike | None = None
) -> Rate:
    """Return the fraction of non-lenses above a threshold; see `above`.

    Give ``thresholds`` of other non-lenses only: the rate of a threshold that these have set
    scatters as their number above it.
    """
    if not (is_lens != 1).any():
        raise Undefined("there are no non-lenses that could be taken for lenses")
    return above(score[is_lens != 1], threshold, thresholds)


def tpr0(is_lens: NDArray, score: NDArray) -> Rate:
    """Return the fraction of lenses that score higher than every non-lens.

    TPR_0 of the lens finding challenge: Metcalf et al. (2019), A&A 625, A119. It is set by a single
    non-lens and falls with their number; quote the number (10^5 images in the challenge).

    The interval is that of lenses and threshold together (`thresholds`), for the median of test
    sets of this size. Simulated with five laws of scores (Gaussian to Student's t with 3 degrees of
    freedom), 300 to 10^4 non-lenses and 100 to 10^4 lenses (``benchmarks/intervals.py``), it holds
    that in 64 to 81 % of the cases, 77 in the median (95 % where TPR_0 is below 10^-3); that of
    the lenses alone in 21.
    """
    return _tpr(is_lens, score, 0)


def tpr10(is_lens: NDArray, score: NDArray) -> Rate:
    """Return the fraction of lenses found with fewer than ten false positives.

    TPR_10 of Metcalf et al. (2019), that is with nine. Like `tpr0` it depends on how many
    non-lenses there are. Its interval, simulated likewise, covers 67 to 78 %.
    """
    return _tpr(is_lens, score, 9)


def tpr_at_fpr(is_lens: NDArray, score: NDArray, fpr: float) -> Rate:
    """Return the fraction of lenses found at a false-positive rate of at most ``fpr``.

    Its interval, simulated as for `tpr0` at 1 and 0.1 %, covers 66 to 78 % for the median of test
    sets of this size, and 60 to 75 % for a true rate of ``fpr``: less where it is but one or two
    false alarms, whose threshold lets more through in truth.
    """
    _need_both(is_lens)
    return _tpr(is_lens, score, allowed(is_lens, fpr))


def _tpr(is_lens: NDArray, score: NDArray, false_alarms: int) -> Rate:
    """Return the fraction of lenses found with so many false alarms, and how it scatters."""
    _need_both(is_lens)
    limit = threshold(is_lens, score, false_alarms)
    return tpr_above(is_lens, score, limit, thresholds(is_lens, score, false_alarms))


def curves(is_lens: NDArray, score: NDArray) -> Curves:
    """Return true- and false-positive rates above every threshold; nan for a class that is missing.

    Thresholds are the scores themselves, from the highest (nothing is above it) down, and at last
    minus infinity (all is above it).
    """
    values, place = np.unique(score, return_inverse=True)
    rates = []
    for wanted in (is_lens == 1, is_lens != 1):
        counts = np.bincount(place[wanted], minlength=values.size)[::-1]
        above = np.concatenate([[0], np.cumsum(counts)])
        rates.append(above / above[-1] if above[-1] else np.full(above.size, np.nan))
    return Curves(np.append(values[::-1], -np.inf), *rates)


def purity(tpr: ArrayLike, fpr: ArrayLike, prevalence: float) -> NDArray:
    """Return the fraction of true lenses among those called lenses in a survey.

    Parameters
    ----------
    tpr, fpr : array, shape (...)
        Rates as measured on any mixture: they do not depend on it.
    prevalence : float
        Fraction of the images searched that show a lens.

    Returns
    -------
    array, shape (...)
        nan where nothing is called a lens.
    """
    lenses = prevalence * np.asarray(tpr, float)
    others = (1 - prevalence) * np.asarray(fpr, float)
    called = lenses + others
    return np.divide(lenses, called, out=np.full(called.shape, np.nan), where=called > 0)


def confusion(is_lens: NDArray, score: NDArray, threshold: float) -> Confusion:
    """Count lenses and non-lenses above and below a threshold."""
    lens, called = is_lens == 1, score > threshold
    counts = (lens & called, lens & ~called, ~lens & called, ~lens & ~called)
    return Confusion(*(int(x.sum()) for x in counts))


def reliability(is_lens: NDArray, probability: NDArray, bins: int = 10) -> Reliability:
    """Compare claimed probabilities with what came true, in bins of equal width."""
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    some = count > 0
    lenses = np.bincount(place, is_lens == 1, minlength=bins)[some]
    claimed = np.bincount(place, probability, minlength=bins)[some] / count[some]
    return Reliability(claimed, *binomial(lenses, count[some]), count[some])


def expected_calibration_error(is_lens: NDArray, probability: NDArray, bins: int = 10) -> float:
    """Mean distance of what came true from what was claimed, over systems, by bins of claim.

    Guo et al. (2017), arXiv:1706.04599, with bins of the probability of a lens. Noise alone makes
    it about ``sqrt(bins / systems) / 3`` where claims are spread evenly: a perfect network has not
    got zero.
    """
    found = reliability(is_lens, probability, bins)
    return float(np.average(np.abs(found.fraction - found.claimed), weights=found.count))


def shift_logit(logit: NDArray, prevalence: float, trained_at: float = 0.5) -> NDArray:
    """Return the logits that belong to another fraction of lenses.

    Bayes: the odds of a lens are likelihood ratio times prior odds, and only the latter change.

    Parameters
    ----------
    logit : array, shape (n,)
        Of a network that is calibrated for ``trained_at``.
    prevalence : float
        Fraction of lenses in the survey.
    trained_at : float
        Fraction of lenses that the network learned from, weights of the classes included.
    """
    return logit + special.logit(prevalence) - special.logit(trained_at)


def ideal_auroc(snr: NDArray) -> float:
    """AUROC of an observer who knows everything but whether the arc is there.

    Given a lens, let the image without its arc, the arc s and the covariance C of the Gaussian
    noise be known. The likelihood ratio grows with t = s^T C^-1 d (d: image minus what is known),
    which is N(0, S^2) without the arc and N(S^2, S^2) with it, where S^2 = s^T C^-1 s, the S/N of
    the arc. The difference of two such t has mean S^2 and variance 2 S^2, hence
    P(t_lens > t_twin) = Phi(S / sqrt 2).

    The mean over lenses bounds the AUROC of every score on the same mixture: against images that
    differ from the lens by the arc alone, no score ranks lens i above its twin more often than the
    matched filter made for lens i. It supposes that the lens galaxy does not tell how bright its
    arc would be, see `ideal_auroc_bound`, and says nothing about non-lenses that look different,
    which may be easier, or about how hard it is not to know the arc's shape.

    Parameters
    ----------
    snr : array, shape (lenses,)
        S/N of the lensed light alone, by the matched filter.
    """
    if not snr.size:
        raise Undefined("there are no lenses with a known S/N of the arc")
    return float(stats.norm.cdf(snr / np.sqrt(2)).mean())


def ideal_auroc_bound(snr: NDArray) -> float:
    """AUROC of the observer of `ideal_auroc` who also knows which arc each *non-lens* lacks.

    The logarithm of the likelihood ratio is N(S^2 / 2, S^2) for a lens and N(-S^2 / 2, S^2) for a
    non-lens whose arc would have S; a lens i wins over a non-lens j with probability
    Phi(sqrt(S_i^2 + S_j^2) / 2). Where all S are equal this is `ideal_auroc`, else it is more: an
    arc that could not be overlooked, and is not there, speaks against a lens. No network can be
    better on lenses and the same galaxies without their arcs.
    """
    if not snr.size:
        raise Undefined("there are no lenses with a known S/N of the arc")
    steps = min(snr.size, STEPS)
    square = np.quantile(snr, (np.arange(steps) + 0.5) / steps, method="inverted_cdf") ** 2
    return float(stats.norm.cdf(np.sqrt(square[:, None] + square) / 2).mean())


def ideal_completeness(snr: ArrayLike, fpr: float) -> NDArray:
    """Fraction found by the matched filter of `ideal_auroc` at a false-positive rate.

    ``t / S`` is N(0, 1) without the arc and N(S, 1) with it: Phi(S - Phi^-1(1 - fpr)).
    """
    return stats.norm.cdf(np.asarray(snr, float) + stats.norm.ppf(fpr))


def equal_bins(values: NDArray, bins: int) -> NDArray:
    """Return edges between which there are equal numbers of values; fewer if values repeat."""
    return np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))


def binned(found: NDArray, values: NDArray, edges: NDArray) -> tuple[NDArray, NDArray]:
    """Count lenses, and those found, between edges; the last edge belongs to the last bin.

    Parameters
    ----------
    found : array of bool, shape (lenses,)
    values : array, shape (lenses,)
        What the lenses are binned by.
    edges : array, shape (bins + 1,)

    Returns
    -------
    found, lenses : array of int, shape (bins,)
    """
    of_found, _ = np.histogram(values[found], edges)
    of_all, _ = np.histogram(values, edges)
    return of_found, of_all


def _need_both(is_lens: NDArray) -> None:
    lenses = int((is_lens == 1).sum())
    if not 0 < lenses < is_lens.size:
        raise Undefined(
            f"{lenses} lenses and {is_lens.size - lenses} non-lenses: both kinds are needed"
        )
