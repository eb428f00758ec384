"""How good answers and their claimed errors are: scatter, bias, coverage and ranks, in numpy.

Two ranks: `ranks`, the place of a truth among the draws as it stands, and `random_ranks`, whose
distribution is exactly uniform if the posterior is right, whatever the number of draws. Tests of
uniformity are for the second.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import kolmogi, kolmogorov
from scipy.stats import beta, binom

# Two numbers are called 68 % in the field, and each stays where results were made with it.
# Errors: what a Gaussian has within one standard deviation. Intervals of counts, robust scatter,
# the Hubble constant.
ONE_SIGMA = 0.6827
ONE_SIGMA_PERCENTILES = (15.865, 50.0, 84.135)  # its ends and its middle
# Posteriors: the round numbers that an interval claims and at which coverage is counted.
CLAIMED = {"68": 0.68, "95": 0.95}
CENTRAL = {name: ((1 - level) / 2, (1 + level) / 2) for name, level in CLAIMED.items()}
CLAIMED_PERCENTILES = (16, 84)  # of 68 %
# The worst that sampling alone does in all but one of twenty test sets.
SAMPLING = 0.95
# ASSUME: errors that are too small by ten points (68 % that are 58 %) are not to be trusted; less,
# and errors too large, are said and left to the reader.
DISTRUST = 0.10
KOLMOGOROV_MEAN = 0.8687311606  # of sqrt(n) times the largest error: sqrt(pi / 2) ln 2


class Coverage(NamedTuple):
    """The largest coverage error, and what sampling alone makes of a perfect posterior."""

    error: float  # largest |coverage - claimed|
    excess: float  # the same with its sign: below 0 errors are too small
    level: float  # claimed probability where it is
    expected: float  # mean of the error that n systems of a perfect posterior have
    limit: float  # which that error exceeds in one of twenty test sets
    p: float  # probability that it is larger than what was found


def robust_scatter(error: NDArray) -> float:
    """Robust scatter: half of the central 68.27 % of errors; of a Gaussian its sigma."""
    low, _, high = np.percentile(error, ONE_SIGMA_PERCENTILES)
    return float((high - low) / 2)


def bias(error: NDArray) -> float:
    """Bias: the median of the errors."""
    return float(np.median(error))


def ranks(samples: NDArray, truth: NDArray) -> NDArray:
    """Rank of the truth in its posterior: uniform over systems if it is calibrated.

    Simulation-based calibration: Talts et al. (2018), arXiv:1804.06788. Only S + 1 values are
    possible: a test of uniformity would see these steps where they are coarser than 1 / sqrt(n).
    It takes `random_ranks`.

    Parameters
    ----------
    samples : array, shape (..., S)
        Draws from the posterior along the last axis.
    truth : array, shape (...)

    Returns
    -------
    array, shape (...)
        In (0, 1): the truth's place among the draws, those equal to it counted half.
    """
    below = (samples < truth[..., None]).sum(axis=-1)
    equal = (samples == truth[..., None]).sum(axis=-1)
    return (below + 0.5 * equal + 0.5) / (samples.shape[-1] + 1)


def random_ranks(samples: NDArray, truth: NDArray, rng: np.random.Generator) -> NDArray:
    """Randomised rank of the truth in its posterior, exactly uniform if it is calibrated.

    The truth of a calibrated posterior is one more draw: it has each of the S + 1 places with equal
    probability, among equal draws too if chance decides there. A uniform number within the place
    makes the rank continuous, for 20 draws as for 1000.

    Parameters
    ----------
    samples : array, shape (..., S)
    truth : array, shape (...)
    rng : Generator

    Returns
    -------
    array, shape (...)
        In (0, 1).
    """
    below = (samples < truth[..., None]).sum(axis=-1)
    equal = (samples == truth[..., None]).sum(axis=-1)
    return _random_place(below, equal, samples.shape[-1], rng)


def _random_place(below: NDArray, equal: NDArray, draws: int, rng: np.random.Generator) -> NDArray:
    return (below + np.maximum(rng.random(below.shape), 2.0**-54) * (equal + 1)) / (draws + 1)


def density_ranks(
    log_densities: NDArray, log_density: NDArray, rng: np.random.Generator
) -> NDArray:
    """Rank of the truth by density: the level of the smallest credible region that holds it.

    The fraction of draws with a higher posterior density than the truth, randomised: uniform if
    the joint posterior is calibrated. Expected coverage (Hermans et al. 2022, arXiv:2110.06581) is
    the fraction of systems whose rank is at most the level.

    Parameters
    ----------
    log_densities : array, shape (n, S)
        Of the draws, in their own posterior.
    log_density : array, shape (n,)
        Of the truth.
    rng : Generator
    """
    return random_ranks(-log_densities, -log_density, rng)


def tarp_ranks(
    samples: NDArray,
    truth: NDArray,
    width: NDArray,
    rng: np.random.Generator,
    references: NDArray | None = None,
) -> NDArray:
    """Rank of the truth by distance from a random point: tests of accuracy with random points.

    Lemos et al. (2023), arXiv:2302.03026: the fraction of draws nearer to the reference than the
    truth, randomised. It is uniform for every choice of references if the posterior is right, and
    not for all of them if it is wrong.

    Parameters
    ----------
    samples : array, shape (n, S, T)
    truth : array, shape (n, T)
    width : array, shape (T,)
        Of the prior: distances are in its units.
    rng : Generator
    references : array, shape (n, T), optional
        They must not know the truth of their own system. Left out, they are truths of others, so
        that they lie where the prior is.

    Raises
    ------
    ValueError
        If there is but one system, to which no other can lend its truth.
    """
    n = len(truth)
    if references is None:
        if n < 2:
            raise ValueError(f"{n} systems, but references are truths of others: give 2 or more")
        # Each has the truth of the next in a random circle: nobody his own.
        circle = rng.permutation(n)
        references = np.empty_like(truth)
        references[circle] = truth[np.roll(circle, 1)]
    far = (((samples - references[:, None]) / width) ** 2).sum(axis=-1)
    return random_ranks(far, (((truth - references) / width) ** 2).sum(axis=-1), rng)


def central(rank: NDArray) -> NDArray:
    """Level of the smallest central interval that holds the truth; uniform as the rank is."""
    return np.abs(2 * rank - 1)


def uniformity(rank: NDArray) -> float:
    """Probability that calibrated ranks lie as far from uniform, by Kolmogorov and Smirnov.

    Parameters
    ----------
    rank : array, shape (n,)
        Continuous: from `random_ranks` and the like. Each place of `ranks` would be taken for a
        crowd.
    """
    return coverage_error(rank).p


def coverage_error(inside: NDArray) -> Coverage:
    """Largest coverage error over all levels, beside what sampling alone would give.

    Parameters
    ----------
    inside : array, shape (n,)
        The level of the smallest region that holds each truth, in (0, 1): `central` of ranks for
        central intervals, `density_ranks`, or `tarp_ranks`. The largest distance of their
        cumulative distribution from the diagonal is the statistic of Kolmogorov and Smirnov.
    """
    level = np.sort(inside)
    n = len(level)
    steps = np.arange(n + 1) / n
    apart = np.stack([level - steps[:-1], steps[1:] - level])
    side, i = np.unravel_index(apart.argmax(), apart.shape)
    error = float(apart[side, i])
    scale = _effective(n)
    p = float(kolmogorov(scale * error))
    excess = -error if side == 0 else error
    return Coverage(
        error, excess, float(level[i]), float(KOLMOGOROV_MEAN / scale), sampling_limit(n), p
    )


def sampling_limit(n: int, tests: int = 1) -> float:
    """Coverage error that sampling alone exceeds in one of twenty test sets of ``n`` systems.

    Of several tests the largest error counts: each may go wrong so much less often (Bonferroni).
    """
    return float(kolmogi((1 - SAMPLING) / tests) / _effective(n))


def _effective(n: int) -> float:
    """Root of n as Stephens (1970, J. R. Stat. Soc. B 32, 115) corrects it for few systems."""
    return np.sqrt(n) + 0.12 + 0.11 / np.sqrt(n)


def crps(samples: NDArray, truth: NDArray) -> NDArray:
    """CRPS of draws, fair: its mean does not depend on how many there are.

    Continuous ranked probability score, ``E|x - truth| - E|x - x'| / 2`` (Gneiting & Raftery 2007,
    JASA 102, 359); pairs of a draw with itself are left out (Ferro 2014, QJRMS 140, 1917), so that
    a single score may be negative. Sorted draws make it O(S log S).

    Parameters
    ----------
    samples : array, shape (..., S)
        Two draws or more.
    truth : array, shape (...)

    Returns
    -------
    array, shape (...)
        In the unit of the truth; smaller is better.
    """
    return np.abs(samples - truth[..., None]).mean(axis=-1) - _half_distance(samples)


def prior_crps(truth: NDArray) -> float:
    """CRPS of one who knows the population and nothing of the system: half of Gini's difference.

    Parameters
    ----------
    truth : array, shape (n,)
        Two systems or more; all others are the draws for each.
    """
    return float(_half_distance(truth))


def _half_distance(draws: NDArray) -> NDArray:
    """Half of the mean distance of two different draws along the last axis."""
    s = draws.shape[-1]
    weight = 2 * np.arange(s) - (s - 1)
    return np.sort(draws, axis=-1) @ weight / (s * (s - 1))


def sharpness(samples: NDArray, prior_width: float | NDArray) -> NDArray:
    """Sharpness: half of the central 68 % of the draws over the width of the prior.

    Parameters
    ----------
    samples : array, shape (..., S)
    prior_width : float or array, shape (...)
        Half of the central 68 % of the prior, or its standard deviation.
    """
    low, high = np.quantile(samples, CENTRAL["68"], axis=-1)
    return (high - low) / 2 / prior_width


def rate(count: int, of: int) -> dict[str, float]:
    """Return a fraction with its central interval of 68 %, by Jeffreys' prior."""
    tail = (1 - ONE_SIGMA) / 2
    low = beta.ppf(tail, count + 0.5, of - count + 0.5) if count else 0.0
    high = beta.isf(tail, count + 0.5, of - count + 0.5) if count < of else 1.0
    return {"rate": count / of, "low": float(low), "high": float(high), "of": of}


def judge_systems(
    samples: NDArray,
    truth: NDArray,
    names: Sequence[str],
    prior_width: NDArray,
    rng: np.random.Generator,
    density_rank: NDArray | None = None,
) -> dict[str, NDArray]:
    """Judge posteriors by their draws, system by system: the columns of table ``calibration``.

    Parameters
    ----------
    samples : array, shape (n, S, T)
    truth : array, shape (n, T)
    names : sequence of str
        Of the targets.
    prior_width : array, shape (T,)
        As in `sharpness`; the unit of distances too.
    rng : Generator
        Of its own: other numbers of the predictions must not hang on it.
    density_rank : array, shape (n,), optional
        From `density_ranks`, where the posterior has a density.

    Returns
    -------
    dict of array, shape (n,)
        By target ``rank_``, ``crps_``, ``error_`` (median less truth), ``width_`` (sharpness) and
        ``truth_``; with several targets and systems ``tarp_rank``; ``density_rank`` if given.
    """
    columns: dict[str, NDArray] = {}
    for i, name in enumerate(names):
        draws, true = samples[..., i], truth[:, i]
        columns |= {
            f"rank_{name}": random_ranks(draws, true, rng),
            f"crps_{name}": crps(draws, true),
            f"error_{name}": np.median(draws, axis=-1) - true,
            f"width_{name}": sharpness(draws, prior_width[i]),
            f"truth_{name}": true,
        }
    if len(names) > 1 and len(truth) > 1:
        columns["tarp_rank"] = tarp_ranks(samples, truth, prior_width, rng)
    if density_rank is not None:
        columns["density_rank"] = density_rank
    return columns


def units_of(units: Mapping[str, str]) -> dict[str, str]:
    """Return the units of the columns of `judge_systems` from those of the targets."""
    found = {"index": "", "tarp_rank": "", "density_rank": ""}
    for name, unit in units.items():
        found |= {f"{kind}_{name}": unit for kind in ("crps", "error", "truth")}
        found |= {f"{kind}_{name}": "" for kind in ("rank", "width")}
    return found


def summarise(columns: Mapping[str, NDArray]) -> dict[str, Any]:
    """Sum up what `judge_systems` found: the numbers of ``calibration`` in the scores.

    Returns
    -------
    dict
        ``systems``; ``targets``, by name ``bias``, ``robust_scatter``, ``sharpness`` (medians),
        ``coverage68``, ``coverage95``, ``crps`` (mean), ``crps_over_prior`` (None if all truths
        are equal), ``uniformity`` of the ranks, and the six of `Coverage`; ``density`` and
        ``tarp`` with those six, or None; ``worst``: the largest coverage error of all, with
        ``of``, what it is of, and ``limit``, which that of perfect posteriors exceeds in at most
        one of twenty test sets. Without systems only ``systems``.
    """
    names = [key.removeprefix("rank_") for key in columns if key.startswith("rank_")]
    n = len(columns[f"rank_{names[0]}"])
    if not n:
        return {"systems": 0}
    targets = {name: _target(columns, name) for name in names}
    joint = {
        kind: coverage_error(columns[f"{kind}_rank"])._asdict()
        if f"{kind}_rank" in columns
        else None
        for kind in ("density", "tarp")
    }
    tests = targets | {kind: found for kind, found in joint.items() if found}
    of = max(tests, key=lambda name: tests[name]["error"])
    worst = {key: tests[of][key] for key in ("error", "excess", "level")} | {"of": of}
    worst["limit"] = sampling_limit(n, len(tests))
    return {"systems": n, "targets": targets, **joint, "worst": worst}


def _target(columns: Mapping[str, NDArray], name: str) -> dict[str, Any]:
    rank, error, width, truth, score = (
        columns[f"{kind}_{name}"] for kind in ("rank", "error", "width", "truth", "crps")
    )
    prior = prior_crps(truth) if len(truth) > 1 else 0.0
    return {
        "bias": bias(error),
        "robust_scatter": robust_scatter(error),
        "sharpness": float(np.median(width)),
        **{f"coverage{text}": coverage(rank, level) for text, level in CLAIMED.items()},
        "crps": float(score.mean()),
        "crps_over_prior": float(score.mean() / prior) if prior > 0 else None,
        "uniformity": uniformity(rank),
        **coverage_error(central(rank))._asdict(),
    }


def judge(
    samples: NDArray,
    truth: NDArray,
    names: Sequence[str],
    prior_width: NDArray,
    rng: np.random.Generator,
    density_rank: NDArray | None = None,
) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Judge posteriors by their draws: columns by system, and the numbers of all together.

    Arguments and columns as in `judge_systems`, numbers as in `summarise`.
    """
    columns = judge_systems(samples, truth, names, prior_width, rng, density_rank)
    return columns, summarise(columns)


def verdict(found: Mapping[str, Any] | None) -> tuple[bool, str]:
    """Say whether a network's errors for a population may be trusted, and why.

    Parameters
    ----------
    found : mapping or None
        ``calibration`` of the scores: what `summarise` found, and ``strangeness`` (`judge` of
        `lensmill.learning.strangeness`, or None), and ``note``, if the experiment has something to
        add. None if there were no systems.

    Returns
    -------
    trust : bool
    sentence : str
        It begins with "Do not trust" if not.
    """
    if not found:
        return False, "Do not trust: there are no systems to judge the network by."
    strange, reasons, said = found.get("strangeness"), [], []
    if strange and strange["strange"]:
        rate, of = strange["strange"]["rate"], strange["strange"]["of"]
        text = (
            f"{100 * rate:.1f} % of {of:,} systems look strange to the network, "
            f"{100 * strange['family']['rate']:.1f} % of its own family do"
        )
        (reasons if strange["trusted"] is False else said).append(text)
    if found["systems"]:
        worst = found["worst"]
        of, excess = _most_overconfident(found)
        bad = -excess > max(worst["limit"], DISTRUST)
        if not bad:
            of, excess = worst["of"], worst["excess"]
        text = (
            f"the largest coverage error is {100 * abs(excess):.1f} points ({of}, errors too "
            f"{'small' if excess < 0 else 'large'}), and sampling alone gives up to "
            f"{100 * worst['limit']:.1f}"
        )
        (reasons if bad else said).append(text)
    note = f" {found['note']}" if "note" in found else ""
    if reasons:
        foreign = strange and strange["trusted"] is False
        what = "outside the family that it was trained on" if foreign else "wrong errors"
        return False, f"Do not trust: {what}; {'; '.join(reasons)}.{note}"
    where = "Whether it is inside the family is not known"
    if strange and strange["trusted"]:
        # Passing is no proof: a network may not see what sets a system apart.
        where = "Inside the family" if strange["own"] else "No sign of lying outside the family"
    judged = "; ".join(said) or "there is nothing to judge the errors by"
    return True, f"{where}; {judged}.{note}"


def _most_overconfident(found: Mapping[str, Any]) -> tuple[str, float]:
    """Return what has the smallest excess of coverage, and that excess."""
    tests = {kind: found[kind] for kind in ("density", "tarp") if found[kind]} | found["targets"]
    of = min(tests, key=lambda name: tests[name]["excess"])
    return of, tests[of]["excess"]


def coverage(rank: NDArray, level: float | NDArray) -> float | NDArray:
    """Coverage: the fraction of truths inside the central interval that claims ``level``.

    Parameters
    ----------
    rank : array, shape (n,)
        From `ranks`.
    level : float or array
        E.g. 0.68.
    """
    inside = np.sort(np.abs(2 * rank - 1))
    found = np.searchsorted(inside, level, side="right") / len(inside)
    return float(found) if np.ndim(level) == 0 else found


def calibration_error(rank: NDArray) -> float:
    """Calibration error: mean distance of the coverage from what is claimed, over all levels."""
    levels = np.linspace(0.005, 0.995, 100)
    return float(np.abs(coverage(rank, levels) - levels).mean())


def ecdf_band(n: int, points: int, level: float = 0.95) -> tuple[NDArray, NDArray, NDArray]:
    """Band that holds the whole distribution of ``n`` calibrated ranks with probability ``level``.

    Every point has the same pointwise probability of its own, found by bisection; the chance to
    stay inside at all of them follows from point to point: Saeilynoja, Buerkner & Vehtari (2022,
    Stat. Comput. 32, 32).

    Parameters
    ----------
    n : int
        Number of ranks.
    points : int
        The distribution is compared at 1 / points ... 1 - 1 / points.
    level : float

    Returns
    -------
    at, low, high : array, shape (points - 1,)
        Where, and the least and the largest fraction of ranks up to there.
    """
    at = np.arange(1, points) / points
    certain, never = np.log(1 - level) - np.log(points), np.log(1 - level)  # of ln(tail)
    for _ in range(12):
        middle = (certain + never) / 2
        if _stay_inside(at, n, *_counts(at, n, np.exp(middle))) >= level:
            certain = middle
        else:
            never = middle
    low, high = _counts(at, n, np.exp(certain))
    return at, low / n, high / n


def _counts(at: NDArray, n: int, tail: float) -> tuple[NDArray, NDArray]:
    return binom.ppf(tail / 2, n, at).astype(int), binom.isf(tail / 2, n, at).astype(int)


def _stay_inside(at: NDArray, n: int, low: NDArray, high: NDArray) -> float:
    """Probability that so many of ``n`` uniform numbers lie below each point."""
    before, p, last = np.zeros(1, int), np.ones(1), 0.0
    for z, least, most in zip(at, low, high, strict=True):
        counts = np.arange(least, most + 1)
        p = p @ binom.pmf(counts - before[:, None], n - before[:, None], (z - last) / (1 - last))
        before, last = counts, z
    return float(p.sum())
