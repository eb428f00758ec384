"""Nested sampling by two libraries on problems whose answer is known, shaped like those of lenses.

Twelve parameters; ridges of a thousandth of the prior, several modes, and plateaus: log-likelihood
minus infinity or a constant in most of the prior, as where a lens has another number of images.
Each run is asked for the same effective number of samples with the settings that the library
recommends. Printed: evidence minus the truth, the largest error of a posterior probability (each
parameter at 5, 25, 50, 75 and 95 %), the effective number of samples, (sum w)^2 / sum w^2, calls,
and processor time of the process. Run as ``python benchmarks/nested.py [--json PATH]``.
"""

import argparse
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import dynesty
import nautilus
import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp, ndtr

from lensmill.inference.nested import nested_sample

N_DIM = 12
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])


@dataclass(frozen=True)
class Problem:
    """A log-likelihood on the unit cube with the answer."""

    log_likelihood: Callable[[NDArray], NDArray]
    log_evidence: float
    # uniform in (0, 1), each column, where the points follow the posterior
    probabilities: Callable[[NDArray], NDArray]


def gaussian(x: NDArray, sigma: NDArray) -> NDArray:
    """Logarithm of a normalised Gaussian, independent in every column."""
    return -0.5 * np.sum((x / sigma) ** 2, axis=1) - np.sum(np.log(sigma * np.sqrt(2 * np.pi)))


def ridges() -> Problem:
    """Two bent ridges, 0.001 by 0.1, four parameters known to 0.001, two to 0.1, two not at all."""
    sigma = np.array([0.1, 1e-3] * 2 + [1e-3] * 4 + [0.1, 0.1])

    def straight(u: NDArray) -> NDArray:
        x = u[:, :10] - 0.5
        # a shear: the volume stays, so the evidence is that of straight ridges
        x[:, 1:4:2] -= 0.2 * np.cos(6 * x[:, 0:4:2]) - 0.1
        return x

    return Problem(
        lambda u: gaussian(straight(u), sigma),
        # what of the Gaussians lies outside the cube, 6e-7 each, is not worth a correction
        0.0,
        lambda u: np.column_stack([ndtr(straight(u) / sigma), u[:, 10:]]),
    )


def modes() -> Problem:
    """Four modes, 0.01 wide, with 60, 25, 10 and 5 % of the posterior."""
    share = np.array([0.6, 0.25, 0.1, 0.05])
    # of one width: a narrow one beside a wide one is a needle, which no sampler of the prior finds
    width = np.full(4, 0.01)
    centre = np.random.default_rng(3).uniform(0.2, 0.8, (4, N_DIM))

    def each(u: NDArray) -> NDArray:
        return np.stack(
            [
                np.log(s) + gaussian(u - c, np.full(N_DIM, w))
                for s, c, w in zip(share, centre, width, strict=True)
            ]
        )

    def probabilities(u: NDArray) -> NDArray:
        x = ndtr((u[:, None] - centre) / width[:, None])
        return np.einsum("k,nkd->nd", share, x)

    return Problem(lambda u: logsumexp(each(u), axis=0), 0.0, probabilities)


def caustic(inside: float, outside: float) -> Problem:
    """Place the source in an astroid, ``inside`` of the prior; ``outside`` is ln L beyond it."""
    radius = np.sqrt(inside * 8 / (3 * np.pi))
    centre, width = np.array([0.6, 0.05]) * radius, np.array([0.3, 0.2]) * radius
    sigma = np.geomspace(0.003, 0.1, N_DIM - 2)

    x, y = np.meshgrid(*[(np.arange(4000) + 0.5) / 2000 - 1] * 2, indexing="ij")
    x, y = x * radius, y * radius
    density = np.exp(-0.5 * (((x - centre[0]) / width[0]) ** 2 + ((y - centre[1]) / width[1]) ** 2))
    density *= np.abs(x / radius) ** (2 / 3) + np.abs(y / radius) ** (2 / 3) < 1
    log_evidence = np.log(density.sum() * (radius / 2000) ** 2)
    cumulative = [np.cumsum(density.sum(axis)) / density.sum() for axis in (1, 0)]
    edges = (np.arange(4000) + 1) / 2000 - 1

    def log_likelihood(u: NDArray) -> NDArray:
        source = u[:, :2] - 0.5
        result = -0.5 * np.sum(((source - centre) / width) ** 2, axis=1)
        result += gaussian(u[:, 2:] - 0.5, sigma)
        in_caustic = np.sum(np.abs(source / radius) ** (2 / 3), axis=1) < 1
        return np.where(in_caustic, result, outside)

    def probabilities(u: NDArray) -> NDArray:
        source = (u[:, :2] - 0.5) / radius
        columns = [np.interp(source[:, k], edges, cumulative[k]) for k in (0, 1)]
        return np.column_stack([*columns, ndtr((u[:, 2:] - 0.5) / sigma)])

    return Problem(log_likelihood, float(log_evidence), probabilities)


def flat_top() -> Problem:
    """Constant in a ball of radius 0.1, exponential outside it."""
    core, slope = 0.1, 300.0
    radius = np.linspace(0, 0.5, 2_000_001)[1:]
    log_likelihood = np.minimum(0.0, -slope * (radius - core))
    log_ball = N_DIM / 2 * np.log(np.pi) - gammaln(N_DIM / 2 + 1)
    log_shell = log_ball + np.log(N_DIM) + (N_DIM - 1) * np.log(radius) + np.log(radius[0])
    shares = log_likelihood + log_shell
    cumulative = np.exp(np.logaddexp.accumulate(shares) - logsumexp(shares))

    def distance(u: NDArray) -> NDArray:
        return np.sqrt(np.sum((u - 0.5) ** 2, axis=1))

    return Problem(
        lambda u: np.minimum(0.0, -slope * (distance(u) - core)),
        float(logsumexp(shares)),
        lambda u: np.interp(distance(u), radius, cumulative)[:, None],
    )


PROBLEMS = {
    "ridges": ridges,
    "modes": modes,
    "-inf in 90 %": lambda: caustic(0.1, -np.inf),
    "-inf in 99 %": lambda: caustic(0.01, -np.inf),
    "-inf in 99.9 %": lambda: caustic(0.001, -np.inf),
    "-1e5 in 99 %": lambda: caustic(0.01, -1e5),
    "-1e5 in 99.9 %": lambda: caustic(0.001, -1e5),
    "flat top": flat_top,
}


def run_nautilus(problem: Problem, seed: int, n_effective: int, **settings: int) -> tuple:
    """Points, logarithm of their weights, log-evidence and calls."""
    sampler = nautilus.Sampler(
        lambda u: u, problem.log_likelihood, N_DIM, vectorized=True, seed=seed, **settings
    )
    sampler.run(n_eff=n_effective, discard_exploration=True, n_like_max=3_000_000)
    points, log_weights, _ = sampler.posterior()
    return points, log_weights, sampler.log_z, sampler.n_like


def run_dynesty(problem: Problem, seed: int, n_effective: int) -> tuple:
    """Points, logarithm of their weights, log-evidence and calls."""
    sampler = dynesty.DynamicNestedSampler(
        # it asks for one point at a time
        lambda u: problem.log_likelihood(u[None])[0],
        lambda u: u,
        N_DIM,
        rstate=np.random.default_rng(seed),
    )
    sampler.run_nested(n_effective=n_effective, print_progress=False)
    result = sampler.results
    return result.samples, result.logwt - result.logz[-1], result.logz[-1], int(sampler.ncall)


def run_ours(problem: Problem, seed: int, n_effective: int) -> tuple:
    """Points, logarithm of their weights, log-evidence and calls."""
    run = nested_sample(lambda u: u, problem.log_likelihood, N_DIM, seed, n_effective)
    return run.samples, run.log_weights, run.log_evidence, run.calls


LIBRARIES = {
    "ours": run_ours,
    "nautilus": run_nautilus,
    "nautilus, 1 network": lambda *given: run_nautilus(*given, n_networks=1),
    "nautilus, ellipsoids": lambda *given: run_nautilus(*given, n_networks=0),
    "dynesty": run_dynesty,
}


def measure(name: str, library: str, seed: int, n_effective: int) -> dict:
    """One library on one problem."""
    problem = PROBLEMS[name]()
    row = {"problem": name, "library": library, "seed": seed}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        start = time.process_time()
        try:
            points, log_weights, log_evidence, calls = LIBRARIES[library](
                problem, seed, n_effective
            )
        except ValueError as error:
            return row | {"seconds": time.process_time() - start, "refused": str(error)}
        seconds = time.process_time() - start
    weights = np.exp(log_weights - logsumexp(log_weights))
    probabilities = problem.probabilities(points)
    below = np.array([weights @ (probabilities < level) for level in LEVELS])
    return row | {
        "evidence_error": float(log_evidence - problem.log_evidence),
        "probability_error": float(np.abs(below - LEVELS[:, None]).max()),
        "effective": float(1 / np.sum(weights**2)),
        "calls": calls,
        "seconds": seconds,
        "warnings": sorted({str(w.message) for w in warned}),
    }


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--effective", type=int, default=2000, help="samples asked for")
    options = parser.parse_args()
    rows = []
    print(
        f"{'problem':16}{'library':22}{'seed':>5}{'d ln Z':>9}{'d prob.':>9}{'ESS':>9}{'calls':>11}"
        f"{'CPU s':>8}"
    )
    for name in options.problems:
        for library in options.libraries:
            for seed in range(options.seeds):
                row = measure(name, library, seed, options.effective)
                rows.append(row)
                if "refused" in row:
                    print(f"{name:16}{library:22}{seed:5} {row['seconds']:.1f} s: {row['refused']}")
                    continue
                print(
                    f"{name:16}{library:22}{seed:5}{row['evidence_error']:9.3f}"
                    f"{row['probability_error']:9.3f}{row['effective']:9.0f}{row['calls']:11,}"
                    f"{row['seconds']:8.1f}",
                    flush=True,
                )
    if options.json:
        result = {"measured": rows, "machine": platform.machine()}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
