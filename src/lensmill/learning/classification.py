"""How well classes are told apart: the metrics of the field, class weights, losses, hard examples.

Two classes: `positive` is 1 or 0, `score` anything that grows with the belief in the positive
class. Give logits: a probability in floating point is 1 for all logits above 37, and such ties cost
true positives. A system is called positive if its score is *above* a threshold, so that one which
ties with a negative at the threshold does not count as found.

Several classes: `labels` are 0 ... C - 1, logits and probabilities of shape (n, C).

Without Keras, but for the losses, which import it when they are asked for.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats
from sklearn import metrics
from sklearn.utils.class_weight import compute_class_weight

from lensmill.learning.calibration import ONE_SIGMA

STEPS = 1000  # of the distribution of S/N in `ideal_auroc_bound`
QUANTILES = (np.arange(100) + 0.5) / 100  # equally probable values that stand for a distribution
TAIL = 10  # highest negatives, which tell how fast their scores run out


class Undefined(ValueError):
    """A metric has no value for these systems; the message says why."""


class Rate(NamedTuple):
    """A fraction and its interval, of probability `ONE_SIGMA`."""

    value: float | NDArray
    low: float | NDArray
    high: float | NDArray


class Confusion(NamedTuple):
    """Systems by what they are and what they are called."""

    true_positives: int
    false_negatives: int
    false_positives: int
    true_negatives: int


class Curves(NamedTuple):
    """Rates at every threshold that makes a difference, from the highest down."""

    threshold: NDArray
    tpr: NDArray
    fpr: NDArray


class Reliability(NamedTuple):
    """What was claimed and what came true, by bins of claimed probability that are not empty."""

    claimed: NDArray  # mean probability in the bin
    fraction: NDArray  # of systems in the bin that are positive
    low: NDArray  # its interval
    high: NDArray
    count: NDArray


def binomial(successes: ArrayLike, trials: ArrayLike, level: float = ONE_SIGMA) -> Rate:
    """Binomial fraction with the central interval of Jeffreys' prior.

    Brown, Cai & DasGupta (2001), Statistical Science 16, 101: it covers what it claims on average
    also for a handful of trials; with no success its lower end is 0, with successes only its upper
    end is 1. No trials: value nan, interval 0 to 1.

    Parameters
    ----------
    successes, trials : array of int, shape (...)
    level : float
        Probability of the interval.
    """
    from astropy.stats import binom_conf_interval  # here, for it takes longer than all the rest

    k, n = np.broadcast_arrays(successes, trials)
    low, high = binom_conf_interval(k, np.maximum(n, 1), level, "jeffreys")
    value = np.divide(k, n, out=np.full(n.shape, np.nan), where=n > 0)
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


def auroc(positive: NDArray, score: NDArray) -> float:
    """Area under the ROC curve: how often a positive scores higher than a negative, ties half.

    Raises
    ------
    Undefined
        If there are no positives or no negatives.
    """
    _need_both(positive)
    return float(metrics.roc_auc_score(positive, score))


def auroc_error(positive: NDArray, score: NDArray, seed: int, bootstraps: int = 500) -> float:
    """AUROC error: its standard deviation over bootstrap samples.

    Positives and negatives are drawn separately, as many as there are: their numbers are a choice,
    not a result.
    """
    _need_both(positive)
    rng = np.random.Generator(np.random.Philox(seed))
    values, place = np.unique(score, return_inverse=True)
    classes = place[positive == 1], place[positive != 1]
    found = np.empty(bootstraps)
    for i in range(bootstraps):
        positives, negatives = (
            np.bincount(rows[rng.integers(rows.size, size=rows.size)], minlength=values.size)
            for rows in classes
        )
        beaten = np.cumsum(negatives) - negatives / 2  # by a positive of each score, ties half
        found[i] = (positives * beaten).sum() / (classes[0].size * classes[1].size)
    return float(found.std(ddof=1))


def threshold(positive: NDArray, score: NDArray, false_positives: int) -> float:
    """Lowest threshold above which there are at most so many negatives.

    It is the score of a negative: the first one too many. If negatives tie there, fewer are above
    it than allowed, never more.

    Raises
    ------
    Undefined
        If there are no more negatives than are allowed.
    """
    others = np.sort(score[positive != 1])[::-1]
    if others.size <= false_positives:
        raise Undefined(
            f"{others.size} negatives set no threshold that lets {false_positives} of them "
            f"through; at least {false_positives + 1} are needed"
        )
    return float(others[false_positives])


def allowed(positive: NDArray, fpr: float) -> int:
    """Return the number of false positives that a false-positive rate of ``fpr`` is.

    Raises
    ------
    Undefined
        If there are fewer than ``1 / fpr`` negatives: the rate could not be told from zero.
    """
    others = int((positive != 1).sum())
    if others * fpr < 1 - 1e-9:
        raise Undefined(
            f"{others} negatives cannot show a false-positive rate of {fpr:g}; "
            f"at least {int(np.ceil(1 / fpr - 1e-9))} are needed"
        )
    return int(others * fpr + 1e-9)


def threshold_at_fpr(positive: NDArray, score: NDArray, fpr: float) -> float:
    """Return the lowest threshold with a false-positive rate of at most ``fpr``."""
    return threshold(positive, score, allowed(positive, fpr))


def thresholds(positive: NDArray, score: NDArray, false_positives: int) -> NDArray:
    """Return equally probable values of what `threshold` estimates.

    The true false-positive rate of the threshold that lets m of n negatives through is distributed
    as Beta(m + 1, n - m), whatever the scores. Rates become scores by the negatives themselves,
    the k-th highest of which has a rate of (k - 0.3) / (n + 0.4) in the median; between them, and
    beyond the highest, the rate falls exponentially. A bootstrap knows nothing beyond the highest:
    of TPR_0 its intervals cover 48 % where they claim 68 %, in the median of
    ``benchmarks/intervals.py``.

    Returns
    -------
    array, shape (len(QUANTILES),)
        Falling.
    """
    threshold(positive, score, false_positives)  # undefined if there are too few
    others = np.sort(score[positive != 1])[::-1]
    n = others.size
    rate = stats.beta.ppf(QUANTILES, false_positives + 1, n - false_positives)
    typical = (np.arange(n) + 0.7) / (n + 0.4)
    found = np.interp(np.log(rate), np.log(typical), others)
    beyond = rate < typical[0]
    top = min(TAIL, n - 1)
    # mean excess of an exponential tail; a single negative does not tell how far others would reach
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
    positive: NDArray, score: NDArray, threshold: float, thresholds: ArrayLike | None = None
) -> Rate:
    """True-positive rate (completeness): positives above a threshold; see `above`."""
    if not (positive == 1).any():
        raise Undefined("there are no positives to find")
    return above(score[positive == 1], threshold, thresholds)


def fpr_above(
    positive: NDArray, score: NDArray, threshold: float, thresholds: ArrayLike | None = None
) -> Rate:
    """False-positive rate: negatives above a threshold; see `above`.

    Give ``thresholds`` of other negatives only: the rate of a threshold that these have set
    scatters as their number above it.
    """
    if not (positive != 1).any():
        raise Undefined("there are no negatives that could be taken for positives")
    return above(score[positive != 1], threshold, thresholds)


def tpr0(positive: NDArray, score: NDArray) -> Rate:
    """TPR_0: the fraction of positives that score higher than every negative.

    Metcalf et al. (2019), A&A 625, A119. It is set by a single
    negative and falls with their number; quote the number (10^5 images in the challenge).

    The interval is that of positives and threshold together (`thresholds`), for the median of test
    sets of this size. Simulated with five laws of scores (Gaussian to Student's t with 3 degrees of
    freedom), 300 to 10^4 negatives and 100 to 10^4 positives (``benchmarks/intervals.py``), it
    holds that in 64 to 81 % of the cases, 77 in the median (95 % where TPR_0 is below 10^-3); that
    of the positives alone in 21.
    """
    return _tpr(positive, score, 0)


def tpr10(positive: NDArray, score: NDArray) -> Rate:
    """TPR_10: the fraction of positives found with fewer than ten false positives.

    Metcalf et al. (2019), that is with nine. Like `tpr0` it depends on how many
    negatives there are. Its interval, simulated likewise, covers 67 to 78 %.
    """
    return _tpr(positive, score, 9)


def tpr_at_fpr(positive: NDArray, score: NDArray, fpr: float) -> Rate:
    """True-positive rate at a false-positive rate of at most ``fpr``.

    Its interval, simulated as for `tpr0` at 1 and 0.1 %, covers 66 to 78 % for the median of test
    sets of this size, and 60 to 75 % for a true rate of ``fpr``: less where it is but one or two
    false positives, whose threshold lets more through in truth.
    """
    _need_both(positive)
    return _tpr(positive, score, allowed(positive, fpr))


def _tpr(positive: NDArray, score: NDArray, false_positives: int) -> Rate:
    """True-positive rate with so many false positives, and how it scatters."""
    _need_both(positive)
    limit = threshold(positive, score, false_positives)
    return tpr_above(positive, score, limit, thresholds(positive, score, false_positives))


def curves(positive: NDArray, score: NDArray) -> Curves:
    """ROC curve: true- and false-positive rates above every threshold; nan for a missing class.

    Thresholds are the scores themselves, from the highest (nothing is above it) down, and at last
    minus infinity (all is above it).
    """
    values, place = np.unique(score, return_inverse=True)
    rates = []
    for wanted in (positive == 1, positive != 1):
        counts = np.bincount(place[wanted], minlength=values.size)[::-1]
        above = np.concatenate([[0], np.cumsum(counts)])
        rates.append(above / above[-1] if above[-1] else np.full(above.size, np.nan))
    return Curves(np.append(values[::-1], -np.inf), *rates)


def purity(tpr: ArrayLike, fpr: ArrayLike, prevalence: float) -> NDArray:
    """Purity: the fraction of positives among what is called positive in a survey.

    Parameters
    ----------
    tpr, fpr : array, shape (...)
        Rates as measured on any mixture: they do not depend on it.
    prevalence : float
        Fraction of the systems searched that are positive.

    Returns
    -------
    array, shape (...)
        nan where nothing is called positive.
    """
    right = prevalence * np.asarray(tpr, float)
    wrong = (1 - prevalence) * np.asarray(fpr, float)
    called = right + wrong
    return np.divide(right, called, out=np.full(called.shape, np.nan), where=called > 0)


def confusion(positive: NDArray, score: NDArray, threshold: float) -> Confusion:
    """Confusion matrix: positives and negatives above and below a threshold."""
    right, called = positive == 1, score > threshold
    counts = (right & called, right & ~called, ~right & called, ~right & ~called)
    return Confusion(*(int(x.sum()) for x in counts))


def reliability(positive: NDArray, probability: NDArray, bins: int = 10) -> Reliability:
    """Reliability diagram: claimed probabilities and what came true, in bins of equal width."""
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    some = count > 0
    positives = np.bincount(place, positive == 1, minlength=bins)[some]
    claimed = np.bincount(place, probability, minlength=bins)[some] / count[some]
    return Reliability(claimed, *binomial(positives, count[some]), count[some])


def expected_calibration_error(positive: NDArray, probability: NDArray, bins: int = 10) -> float:
    """ECE, expected calibration error: how far what came true is from what was claimed, by bins.

    Guo et al. (2017), arXiv:1706.04599, with bins of the probability of a positive. Noise alone
    makes it about ``sqrt(bins / systems) / 3`` where claims are spread evenly: a perfect network
    has not got zero.
    """
    found = reliability(positive, probability, bins)
    return float(np.average(np.abs(found.fraction - found.claimed), weights=found.count))


def shift_logit(logit: NDArray, prevalence: float, trained_at: float = 0.5) -> NDArray:
    """Logits that belong to another prevalence.

    Bayes: the odds of a positive are likelihood ratio times prior odds, and only the latter change.

    Parameters
    ----------
    logit : array, shape (n,)
        Of a network that is calibrated for ``trained_at``.
    prevalence : float
        Fraction of positives in the survey.
    trained_at : float
        Fraction of positives that the network learned from, weights of the classes included.
    """
    return logit + special.logit(prevalence) - special.logit(trained_at)


def ideal_auroc(snr: NDArray) -> float:
    """AUROC of the matched filter: of an observer who knows all but whether the signal is there.

    Given a positive, let the image without its signal, the signal s and the covariance C of the
    Gaussian noise be known. The likelihood ratio grows with t = s^T C^-1 d (d: image minus what is
    known), which is N(0, S^2) without the signal and N(S^2, S^2) with it, where S^2 = s^T C^-1 s,
    the signal's S/N. The difference of two such t has mean S^2 and variance 2 S^2, hence
    P(t_positive > t_twin) = Phi(S / sqrt 2).

    The mean over positives bounds the AUROC of every score on the same mixture: against images
    that differ by the signal alone, no score ranks image i above its twin more often than the
    matched filter made for image i. It supposes that the rest of the image does not tell how bright
    its signal would be, see `ideal_auroc_bound`, and says nothing about negatives that look
    different, which may be easier, or about how hard it is not to know the signal's shape.

    Parameters
    ----------
    snr : array, shape (positives,)
        S/N of the signal alone, by the matched filter.
    """
    if not snr.size:
        raise Undefined("there are no positives with a known S/N")
    return float(stats.norm.cdf(snr / np.sqrt(2)).mean())


def ideal_auroc_bound(snr: NDArray) -> float:
    """AUROC of the matched filter of one who also knows which signal each *negative* lacks.

    The logarithm of the likelihood ratio is N(S^2 / 2, S^2) for a positive and N(-S^2 / 2, S^2) for
    a negative whose signal would have S; a positive i wins over a negative j with probability
    Phi(sqrt(S_i^2 + S_j^2) / 2). Where all S are equal this is `ideal_auroc`, else it is more: a
    signal that could not be overlooked, and is not there, speaks against a positive. No network can
    be better on images and the same images without their signals.
    """
    if not snr.size:
        raise Undefined("there are no positives with a known S/N")
    steps = min(snr.size, STEPS)
    square = np.quantile(snr, (np.arange(steps) + 0.5) / steps, method="inverted_cdf") ** 2
    return float(stats.norm.cdf(np.sqrt(square[:, None] + square) / 2).mean())


def ideal_completeness(snr: ArrayLike, fpr: float) -> NDArray:
    """Completeness of the matched filter of `ideal_auroc` at a false-positive rate.

    ``t / S`` is N(0, 1) without the signal and N(S, 1) with it: Phi(S - Phi^-1(1 - fpr)).
    """
    return stats.norm.cdf(np.asarray(snr, float) + stats.norm.ppf(fpr))


def equal_bins(values: NDArray, bins: int) -> NDArray:
    """Return edges between which there are equal numbers of values; fewer if values repeat."""
    return np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))


def binned(found: NDArray, values: NDArray, edges: NDArray) -> tuple[NDArray, NDArray]:
    """Count positives, and those found, between edges; the last edge belongs to the last bin.

    Parameters
    ----------
    found : array of bool, shape (positives,)
    values : array, shape (positives,)
        What the positives are binned by.
    edges : array, shape (bins + 1,)

    Returns
    -------
    found, positives : array of int, shape (bins,)
    """
    of_found, _ = np.histogram(values[found], edges)
    of_all, _ = np.histogram(values, edges)
    return of_found, of_all


# Several classes


def cross_entropy(labels: NDArray, logits: NDArray) -> float:
    """Cross-entropy: mean of minus the logarithm of the probability of the true class."""
    return float(-special.log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def probabilities(logits: NDArray) -> NDArray:
    """Softmax: the probability of every class, shape (n, C)."""
    return special.softmax(logits, axis=1)


def confusion_matrix(labels: NDArray, logits: NDArray) -> NDArray:
    """Confusion matrix (C, C): systems by true class (row) and most probable class (column)."""
    return metrics.confusion_matrix(
        labels, logits.argmax(axis=1), labels=np.arange(logits.shape[1])
    )


def accuracy(labels: NDArray, logits: NDArray) -> Rate:
    """Accuracy: the fraction of systems whose most probable class is the true one."""
    return binomial(int((logits.argmax(axis=1) == labels).sum()), len(labels))


def auroc_one_vs_rest(labels: NDArray, logits: NDArray) -> NDArray:
    """AUROC of every class against all others, shape (C,); nan where a class is missing, or alone.

    The score of a class is its logit less that of all others together, so that what is common to
    all logits does not count.
    """
    found = np.full(logits.shape[1], np.nan)
    for of in range(logits.shape[1]):
        mine = labels == of
        if 0 < mine.sum() < mine.size:
            others = special.logsumexp(np.delete(logits, of, axis=1), axis=1)
            found[of] = auroc(mine, logits[:, of] - others)
    return found


def top_label_calibration_error(labels: NDArray, logits: NDArray, bins: int = 10) -> float:
    """Top-label expected calibration error: claimed probability of the class named, and how often.

    Guo et al. (2017), arXiv:1706.04599: of each system only the most probable class counts.
    """
    probability = probabilities(logits)
    right = probability.argmax(axis=1) == labels
    return expected_calibration_error(right, probability.max(axis=1), bins)


# Training


def class_weights(labels: NDArray) -> NDArray:
    """Class weights, by class: all classes count alike in the loss, and the mean weight is 1.

    Parameters
    ----------
    labels : array of int or bool, shape (n,)
        0 ... C - 1; of each class there is one at least.

    Returns
    -------
    array, shape (C,), float32
    """
    labels = np.asarray(labels, int)
    classes = np.arange(labels.max() + 1)
    weights = compute_class_weight("balanced", classes=classes, y=labels)
    return weights.astype(np.float32)


def binary_loss(name: str, gamma: float = 2.0) -> Any:
    """Loss of logits (n, 1): ``binary_crossentropy``, or ``focal``.

    The focal loss (Lin et al. 2017, arXiv:1708.02002) multiplies the cross-entropy of a system by
    ``(1 - p)^gamma``, ``p`` being the probability of what it is. Its minimum is no longer at the
    true probabilities: calibrate before purity is computed.
    """
    import keras

    if name == "focal":
        return keras.losses.BinaryFocalCrossentropy(gamma=gamma, from_logits=True)
    return keras.losses.BinaryCrossentropy(from_logits=True)


def class_loss() -> Any:
    """Cross-entropy of logits (n, C) and labels (n,)."""
    import keras

    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def binary_metrics(positive: NDArray, logits: NDArray) -> dict[str, float]:
    """AUROC of the validation set, ``val_auroc``: from targets and logits (n, 1)."""
    finite = np.isfinite(logits).all()
    found = metrics.roc_auc_score(positive[:, 0], logits[:, 0]) if finite else np.nan
    return {"val_auroc": float(found)}


def class_metrics(labels: NDArray, logits: NDArray) -> dict[str, float]:
    """Accuracy of the validation set, ``val_accuracy``: from labels (n,) and logits (n, C)."""
    return {"val_accuracy": float((logits.argmax(axis=1) == labels).mean())}


class HardNegatives:
    """Hard negatives: those that a network takes for positives are shown more often.

    Parameters
    ----------
    positive : array of bool, shape (n,)
    share : float
        0 ... 1: how far negatives are drawn, in the end, in proportion to the probability of being
        positive that the network gave them, rather than all equally often.
    epochs : int
        Over which this share grows from 0.
    """

    def __init__(self, positive: NDArray, share: float, epochs: int):
        self.negatives = np.flatnonzero(~positive)
        self.count, self.share, self.epochs = len(positive), share, epochs
        self.scores = np.ones(len(self.negatives), np.float32)

    def members(self, epoch: int, rng: np.random.Generator) -> NDArray:
        """Return the systems that a pass shows, 0 ... n - 1, some of them repeatedly."""
        members = np.arange(self.count)
        if epoch:
            members[self.negatives] = self.negatives[self._draw(epoch, rng)]
        return members

    def _draw(self, epoch: int, rng: np.random.Generator) -> NDArray:
        """Draw negatives with replacement, evenly: each as often as expected, up to 1."""
        share = self.share * epoch / max(1, self.epochs - 1)
        expected = (1 - share) + share * self.scores / self.scores.mean(dtype=np.float64)
        edges = np.cumsum(expected / expected.sum())
        places = (np.arange(len(edges)) + rng.random()) / len(edges)
        return np.searchsorted(edges[:-1], places, side="right")

    def end(self, score: Callable[[NDArray], NDArray]) -> None:
        """Score the negatives: ``score(rows)`` gives their logits, (m, 1)."""
        logit = score(self.negatives)[:, 0]
        # Bounded below, so that a network sure of every one of them draws evenly.
        self.scores = (1 / (1 + np.exp(np.minimum(-logit, 20.0)))).astype(np.float32)

    def state(self) -> dict[str, NDArray]:
        """Return the scores of the negatives: the next epochs depend on them."""
        return {"scores": self.scores}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Undo `state`."""
        self.scores = state["scores"]


def check_classes(labels: NDArray, what: str, names: tuple[str, ...]) -> None:
    """Raise if a class is missing among systems to learn from.

    Parameters
    ----------
    labels : array of int or bool, shape (n,)
    what : str
        How the message names the systems.
    names : tuple of str
        What the classes are called, in the plural.
    """
    counts = np.bincount(np.asarray(labels, int), minlength=len(names))
    if not counts.all():
        found = " and ".join(f"{n} {name}" for n, name in zip(counts, names, strict=True))
        raise ValueError(
            f"{what} has {found} of known class; all of them are needed: more systems, more "
            "groups, or another split"
        )


def _need_both(positive: NDArray) -> None:
    positives = int((positive == 1).sum())
    if not 0 < positives < positive.size:
        raise Undefined(
            f"{positives} positives and {positive.size - positives} negatives: both classes are "
            "needed"
        )
