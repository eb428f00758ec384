"""Nested sampling with a likelihood of many points at a time, where importance sampling is poor.

The sampler is dynesty's (Speagle 2020, MNRAS 493, 3132), which walks at random within ellipsoids.
Nautilus (Lange 2023, MNRAS 525, 3181) needs fewer likelihoods, but trains networks for minutes to
save microseconds: `benchmarks/nested.py` measures both. A lens solved alone costs six times one of
many, so the walks go in step, which dynesty takes for a pool of workers.

On thin, bent ridges the ellipsoids are too wide, so steps are short and all points come to descend
from a few: evidences are off by several of their stated errors, even parameters without any
information come out narrow, and the ranks of new points do not tell. Two independent runs do. So
there are two, and they must agree in the evidence and in the mean of every parameter.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from dynesty import NestedSampler
from dynesty.internal_samplers import RWalkSampler, SamplerReturn, UnitCubeSampler
from dynesty.utils import LogLikelihood, LoglOutput, Results
from numpy.typing import NDArray
from scipy.special import logsumexp

# Where the likelihood is 0 in part of the prior, dynesty 3.0 loses evidence with about a hundred
# (findings/dynesty_loses_evidence_beside_zeros.sh); with 500 it does not.
LIVE = 500
WALKERS = 50  # in step: a tenth of the live points, so that few end below the threshold
# Of a walk; dynesty takes 20 + n_dim. With 100, posteriors of thin ridges are 4 % too narrow.
STEPS = 250
RUNS = 2
AGREE = 3.0  # errors by which the log-evidences of two runs may differ
SHIFT = 0.3  # standard deviations by which the means of a parameter may
EFFECTIVE = 2000.0  # effective samples asked for
CALLS = 25_000_000  # where to give up
REMEDY = "a ridge is too thin: narrow the prior, or choose parameters in which it is straight"
START = 100_000  # calls spent on finding first points that have a likelihood


class Nested(NamedTuple):
    """Weighted samples of a posterior, and its evidence."""

    samples: NDArray  # (n, d), as the prior transform gives them
    log_weights: NDArray  # (n,), of weights that sum to 1
    log_evidence: float
    log_evidence_error: float  # of the shrinking volumes; a mode lost by both runs is not in it
    calls: int  # likelihoods computed


def nested_sample(
    prior_transform: Callable[[NDArray], NDArray],
    log_likelihood: Callable[[NDArray], NDArray],
    n_dim: int,
    seed: int,
    effective: float = EFFECTIVE,
    calls: int = CALLS,
) -> Nested:
    """Posterior and evidence by nested sampling, twice, joined.

    The same seed gives the same samples. A mode that both runs miss is lost, and nothing tells.

    Parameters
    ----------
    prior_transform : function
        From the unit cube, shape (n, n_dim), to parameters that follow the prior, shape (n, d).
    log_likelihood : function
        From parameters, shape (n, d), to logarithms of the likelihood, shape (n,); -inf where it
        vanishes, which may be in 99.9 % of the prior.
    n_dim : int
        Dimensions of the unit cube.
    seed : int
        Of all random numbers.
    effective : float
        Effective samples to reach, (sum w)^2 / sum w^2.
    calls : int
        Likelihoods after which to give up.

    Raises
    ------
    ValueError
        If a likelihood is NaN or +inf, none of 100,000 points of the prior has one, it is the same
        at all that have one, the runs disagree, or the calls or the samples do not suffice.
    """
    lockstep = Lockstep(prior_transform, log_likelihood, n_dim)
    rng = np.random.default_rng(seed)
    _look_around(lockstep, rng)
    results = []
    for own in rng.spawn(RUNS):
        sampler = NestedSampler(
            lockstep.one,
            lambda u: prior_transform(u[None])[0],
            n_dim,
            nlive=LIVE,
            sample="rwalk",
            walks=STEPS,
            rstate=own,
            pool=lockstep,
            use_pool={"update_bound": False},
        )
        with warnings.catch_warnings():
            # a flat top is where a run may end
            warnings.filterwarnings("ignore", "We have reached the plateau", UserWarning)
            # said below, as an error
            warnings.filterwarnings("ignore", "The sampling was stopped short", UserWarning)
            sampler.run_nested(maxcall=calls // RUNS, print_progress=False)
        results.append(sampler.results)
        if results[-1].ncall.sum() >= calls // RUNS:
            raise ValueError(
                f"nested sampling did not end in the {calls} calls permitted; "
                f"{_found(lockstep, results)}. Permit more calls or narrow the prior"
            )
    evidence = np.array([result.logz[-1] for result in results])
    error = np.array([result.logzerr[-1] for result in results])
    if np.ptp(evidence) > AGREE * np.hypot(*error):
        raise ValueError(
            f"two nested runs disagree: log-evidences {evidence[0]:.2f} +- {error[0]:.2f} and "
            f"{evidence[1]:.2f} +- {error[1]:.2f}, {np.ptp(evidence) / np.hypot(*error):.1f} "
            f"errors apart (permitted: {AGREE:g}); {_found(lockstep, results)}. A mode was lost or "
            f"{REMEDY}"
        )
    shift = _shift(*results)
    if shift.max() > SHIFT:
        i = int(shift.argmax())
        raise ValueError(
            f"two nested runs disagree: the means of coordinate {i} of the unit cube lie "
            f"{shift[i]:.2f} standard deviations apart (permitted: {SHIFT:g}); "
            f"{_found(lockstep, results)}. A mode was lost or {REMEDY}"
        )
    log_weights = np.concatenate([result.logwt for result in results])
    log_weights -= logsumexp(log_weights)
    reached = float(np.exp(-logsumexp(2 * log_weights)))
    if reached < effective:
        raise ValueError(
            f"nested sampling reached {reached:.0f} effective samples, asked for were "
            f"{effective:.0f}; {_found(lockstep, results)}. Ask for fewer, or join runs of several "
            "seeds in proportion to their evidence"
        )
    share = np.exp(evidence - logsumexp(evidence))
    return Nested(
        np.concatenate([result.samples for result in results]),
        log_weights,
        float(logsumexp(evidence) - np.log(RUNS)),
        float(np.linalg.norm(share * error)),
        lockstep.calls,
    )


def _shift(first: Results, second: Results) -> NDArray:
    """Distance of the means of two runs in each coordinate of the unit cube, in their scatter."""
    means, variances = [], []
    for result in (first, second):
        weights = np.exp(result.logwt - logsumexp(result.logwt))
        means.append(weights @ result.samples_u)
        variances.append(weights @ (result.samples_u - means[-1]) ** 2)
    # the wider of the two: a run that has collapsed is narrow
    return np.abs(means[0] - means[1]) / np.sqrt(np.maximum(*variances))


def _found(lockstep: "Lockstep", results: list) -> str:
    return (
        f"{lockstep.calls} calls, the likelihood was 0 in {lockstep.calls - lockstep.finite}, the "
        f"largest log-likelihood {max(result.logl.max() for result in results):.6g}"
    )


def _look_around(lockstep: "Lockstep", rng: np.random.Generator) -> None:
    """Refuse a likelihood that tells no two points of the prior apart."""
    seen: list = []
    for _ in range(START // LIVE):
        ln = lockstep.evaluate(lockstep.transform(rng.random((LIVE, lockstep.n_dim))))
        seen.extend(np.unique(ln[ln > -np.inf])[:2])
        if len(set(seen)) > 1:
            return
    if not seen:
        raise ValueError(
            f"the likelihood is 0 at all of {START} points of the prior, so nested sampling has "
            "nowhere to start; narrow the prior about what was observed"
        )
    raise ValueError(
        f"the log-likelihood is {seen[0]:.6g} at all of those {lockstep.finite} of {START} points "
        "of the prior where it is above -inf; nested sampling cannot climb from such a plateau. "
        "Let the likelihood fall off instead of ending at a floor"
    )


class Lockstep:
    """What dynesty takes for a pool: all its tasks share the calls of the likelihood."""

    size = WALKERS

    def __init__(self, transform: Callable, log_likelihood: Callable, n_dim: int):
        self.transform, self.log_likelihood, self.n_dim = transform, log_likelihood, n_dim
        self.calls = self.finite = 0

    def evaluate(self, parameters: NDArray) -> NDArray:
        """Log-likelihoods, checked and counted."""
        ln = np.asarray(self.log_likelihood(parameters), float)
        if ln.shape != (len(parameters),):
            raise ValueError(
                f"log_likelihood gave shape {ln.shape} for parameters of shape {parameters.shape}; "
                f"it must be ({len(parameters)},)"
            )
        bad = np.flatnonzero(np.isnan(ln) | (ln == np.inf))
        if len(bad):
            raise ValueError(
                f"the log-likelihood is {ln[bad[0]]} at the parameters "
                f"{parameters[bad[0]].tolist()}; it must be a number, or -inf where no lens fits"
            )
        self.calls += len(ln)
        self.finite += int(np.isfinite(ln).sum())
        return ln

    def one(self, parameters: NDArray) -> float:
        """Log-likelihood of a single point."""
        return float(self.evaluate(parameters[None])[0])

    def map(self, function: Callable, tasks: Iterable) -> Iterator:
        """As the built-in ``map``, but what can be is done for all tasks together."""
        tasks = list(tasks)
        if isinstance(function, LogLikelihood):
            return (LoglOutput(ln, False) for ln in self.evaluate(np.array(tasks)).tolist())
        if function is RWalkSampler.sample:
            return iter(self._walk(tasks))
        if function is UnitCubeSampler.sample:
            return iter([self._from_cube(task) for task in tasks])
        return map(function, tasks)

    def _from_cube(self, task) -> SamplerReturn:
        """Draw from the whole prior until one is above the threshold."""
        rng = np.random.default_rng(task.rseed)
        tried = 0
        while True:
            u = rng.random((WALKERS, self.n_dim))
            parameters = self.transform(u)
            ln = self.evaluate(parameters)
            above = np.flatnonzero(ln > task.loglstar)
            if len(above):
                i = above[0]
                tried += int(i) + 1
                return _returned(u[i], parameters[i], ln[i], tried, None, {"n_proposals": tried})
            tried += WALKERS

    def _walk(self, tasks: list) -> list[SamplerReturn]:
        """Walk from live points above the threshold, one step of all at a time."""
        n, steps = len(tasks), tasks[0].kwargs["walks"]
        rng = np.random.default_rng(tasks[0].rseed)
        threshold = tasks[0].loglstar
        axes = np.array([task.axes * task.scale for task in tasks])
        u = np.array([task.u for task in tasks])
        parameters = self.transform(u)
        ln = np.full(n, np.nan)  # of a walk that has not left its start
        accepted = np.zeros(n, int)
        for _ in range(steps):
            # uniform in the unit ball
            z = rng.standard_normal((n, self.n_dim))
            radius = rng.random(n) ** (1 / self.n_dim) / np.linalg.norm(z, axis=1)
            proposed = u + np.einsum("nij,nj->ni", axes, radius[:, None] * z)
            rows = np.flatnonzero(((proposed > 0) & (proposed < 1)).all(axis=1))
            if not len(rows):
                continue
            there = self.transform(proposed[rows])
            ln_there = self.evaluate(there)
            better = ln_there > threshold
            rows, there = rows[better], there[better]
            u[rows], parameters[rows], ln[rows] = proposed[rows], there, ln_there[better]
            accepted[rows] += 1
        stayed = np.flatnonzero(np.isnan(ln))
        if len(stayed):
            ln[stayed] = self.evaluate(parameters[stayed])
        answers = []
        for i, task in enumerate(tasks):
            counts = {"accept": int(accepted[i]), "reject": steps - int(accepted[i])}
            stats = {f"n_{name}": count for name, count in counts.items()}
            tuning = counts | {"scale": task.scale}
            answers.append(_returned(u[i], parameters[i], ln[i], steps, tuning, stats))
        return answers


def _returned(u, parameters, ln, calls, tuning, stats) -> SamplerReturn:
    return SamplerReturn(
        u=u,
        v=parameters,
        logl=LoglOutput(float(ln), False),
        ncalls=calls,
        tuning_info=tuning,
        evaluation_history=[],
        proposal_stats=stats,
    )
