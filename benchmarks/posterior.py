"""Effective samples per second of lens posteriors: ours, nested sampling and a Markov chain.

Mock quads and doubles of a survey's prior, with the errors of good data. All three are given the
same compiled likelihood of many lenses at a time, and the settings their authors recommend. Ours
finds the modes and adapts, all of it timed; dynesty starts in the prior; the chain of emcee starts
from draws of the posterior, whose cost is not counted.

Effective samples: (sum w)^2 / sum w^2 of weighted ones; for the chain, samples after 50
autocorrelation times over the largest autocorrelation time of the parameters. A chain that is not
twice as long when its time is over is marked, and counted with what it estimates.
Processor time of the process. Run as ``python benchmarks/posterior.py [--json PATH]``.
"""

import argparse
import json
import os
import platform
import sys
import time
import warnings
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import dynesty
import emcee
import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from lensmill.inference import posterior
from lensmill.inference.importance import resample
from lensmill.inference.nested import Lockstep
from lensmill.inference.point_images import PointImages, Posterior
from lensmill.lensing.distances import distances, time_delay
from lensmill.lensing.solver import solve
from lensmill.pipeline.priors import inverse_cdf

N_DIM = 11
PRIOR = {
    "einstein_radius": ["truncated_lognormal", 0.8, 0.25, 0.2, 4.0],
    "einstein_radius_is": "theta_e",
    "one_minus_q": ["truncated_normal", 0.3, 0.16, 0.0, 0.9],
    "phi": ["uniform", 0.0, np.pi],
    "shear": ["lognormal", 0.05, 0.2],
    "shear_angle": ["uniform", 0.0, np.pi],
    "slope": ["truncated_normal", 2.08, 0.16, 1.6, 2.5],
    "kappa_ext": ["truncated_normal", 0.0, 0.03, -0.2, 0.2],
    "source": ["disc", 0.6],
    "min_magnification": 0.1,
    "h0": ["truncated_lognormal", 70.7, 0.15, 20.0, 200.0],
    "omega_m": ["uniform", 0.2, 0.4],
}
Z_LENS, Z_SOURCE, H0, OMEGA_M = 0.5, 1.8, 70.0, 0.3
POSITION_ERROR, LENS_ERROR, DELAY_ERROR, DELAY_FRACTION = 0.003, 0.005, 0.5, 0.02
WALKERS = 64
BURN_IN = 50  # autocorrelation times


def from_unit(u: NDArray, lens_position: NDArray, lens_error: float) -> NDArray:
    """Lenses of the prior, in the order of `point_images.PARAMETERS`, shape (n, 11)."""
    theta_e, e, shear, slope, kappa = (
        inverse_cdf(PRIOR[name], u[:, i])
        for i, name in enumerate(("einstein_radius", "one_minus_q", "shear", "slope", "kappa_ext"))
    )
    # of ellipticity, shear (twice their direction) and source
    angle = 2 * np.pi * u[:, 5:8]
    r = PRIOR["source"][1] * theta_e * np.sqrt(u[:, 8])
    steps = inverse_cdf(["normal", 0.0, 1.0], np.clip(u[:, 9:], 1e-15, 1 - 1e-15))
    centre = lens_position + lens_error * steps
    return np.column_stack(
        [
            *(theta_e, e * np.cos(angle[:, 0]), e * np.sin(angle[:, 0]), slope),
            *(shear * np.cos(angle[:, 1]), shear * np.sin(angle[:, 1]), kappa, centre),
            *(centre[:, 0] + r * np.cos(angle[:, 2]), centre[:, 1] + r * np.sin(angle[:, 2])),
        ]
    )


def mocks(n_images: int, count: int, seed: int) -> list[Posterior]:
    """Posteriors of mock systems with so many images."""
    rng = np.random.default_rng(seed)
    p = from_unit(rng.random((100 * count, N_DIM)), np.zeros(2), 1e-9)
    images = solve(
        *(p[:, 0], 1 - np.hypot(p[:, 1], p[:, 2]), np.arctan2(p[:, 2], p[:, 1]) / 2),
        *(*p[:, 3:7].T, *(p[:, 9:11] - p[:, 7:9]).T),
        min_magnification=PRIOR["min_magnification"],
    )
    d_dt = float(distances(Z_LENS, Z_SOURCE, H0, OMEGA_M)[3])
    found = []
    for system in np.flatnonzero(images.n_images == n_images)[:count]:
        rows = images.first_image[system] + np.arange(n_images)
        delay = time_delay(d_dt, images.fermat[rows] - images.fermat[rows[0]])
        delay_error = np.hypot(DELAY_ERROR, DELAY_FRACTION * delay)
        delay_error[0] = 0.0
        position = np.column_stack([images.x[rows], images.y[rows]])
        data = PointImages(
            position=position + POSITION_ERROR * rng.standard_normal(position.shape),
            position_error=np.full(n_images, POSITION_ERROR),
            delay=delay + delay_error * rng.standard_normal(n_images),
            delay_error=delay_error,
            delay_measured=np.ones(n_images, bool),
            lens_position=LENS_ERROR * rng.standard_normal(2),
            lens_error=LENS_ERROR,
            lens_known=True,
            flux=np.zeros(n_images),
            flux_error=np.zeros(n_images),
        )
        found.append(Posterior(data, PRIOR, Z_LENS, Z_SOURCE))
    if len(found) < count:
        raise ValueError(f"only {len(found)} of {count} systems with {n_images} images were drawn")
    return found


def run_ours(target: Posterior, seed: int, limit: float) -> dict:
    """Find the modes, adapt and draw."""
    draws = posterior.sample(target, np.random.default_rng(seed))
    return {"effective": draws.ess, "calls": draws.calls, "log_evidence": draws.log_evidence}


def run_dynesty(target: Posterior, seed: int, limit: float) -> dict:
    """Nested sampling as dynesty recommends, but with the likelihood of many lenses at a time."""
    lockstep = Lockstep(
        lambda u: from_unit(u, target.data.lens_position, target.data.lens_error),
        lambda p: target.log_likelihood(p).ln,
        N_DIM,
    )
    sampler = dynesty.DynamicNestedSampler(
        lockstep.one,
        lambda u: lockstep.transform(u[None])[0],
        N_DIM,
        pool=lockstep,
        use_pool={"update_bound": False, "stop_function": False},
        rstate=np.random.default_rng(seed),
    )
    sampler.run_nested(print_progress=False)
    result = sampler.results
    log_weights = result.logwt - logsumexp(result.logwt)
    return {
        "effective": float(np.exp(-logsumexp(2 * log_weights))),
        "calls": lockstep.calls,
        "log_evidence": float(result.logz[-1]),
    }


def run_emcee(target: Posterior, seed: int, limit: float) -> dict:
    """Stretch moves from draws of the posterior, a start that favours the chain."""
    rng = np.random.default_rng(seed)
    draws = posterior.sample(target, rng)
    start = draws.parameters[resample(draws.ln_weight, WALKERS, rng)]
    calls = 0

    def log_probability(p: NDArray) -> NDArray:
        nonlocal calls
        calls += len(p)
        return target.evaluate(p)[0]

    # walkers on one point would move in a plane only
    start = start + 1e-6 * rng.standard_normal(start.shape)
    start = start[np.isfinite(log_probability(start))]
    start = np.resize(start, (WALKERS, N_DIM)) + 1e-9 * rng.standard_normal((WALKERS, N_DIM))
    sampler = emcee.EnsembleSampler(WALKERS, N_DIM, log_probability, vectorize=True)
    sampler.random_state = np.random.RandomState(seed).get_state()
    begin = time.process_time()
    tau = np.inf
    while time.process_time() - begin < limit and sampler.iteration < 2 * BURN_IN * tau:
        sampler.run_mcmc(
            start if sampler.iteration == 0 else None, 500, skip_initial_state_check=True
        )
        tau = float(sampler.get_autocorr_time(quiet=True, tol=0).max())
    steps = sampler.iteration
    converged = steps >= 2 * BURN_IN * tau
    kept = steps - BURN_IN * tau if converged else steps
    return {
        "effective": WALKERS * kept / tau,
        "calls": calls,
        "converged": bool(converged),
        "autocorrelation_time": tau,
        "seconds": time.process_time() - begin,  # without the draws that it started from
    }


SAMPLERS = {"lensmill": run_ours, "dynesty": run_dynesty, "emcee": run_emcee}


def measure(n_images: int, systems: int, limit: float) -> list[dict]:
    """All samplers on the same systems."""
    targets = mocks(n_images, systems, seed=1)
    posterior.sample(targets[0], np.random.default_rng(0))  # compiles
    rows = []
    for i, target in enumerate(targets):
        for name, run in SAMPLERS.items():
            row = {"images": n_images, "system": i, "sampler": name}
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of short chains: `converged` says it
                found = run(target, i, limit)
            rows.append(row | {"seconds": time.process_time() - start} | found)
            rows[-1]["rate"] = rows[-1]["effective"] / rows[-1]["seconds"]
    return rows


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--systems", type=int, default=20, help="of two and of four images")
    parser.add_argument("--limit", type=float, default=60.0, help="of a chain [s]")
    options = parser.parse_args()
    rows = []
    print(f"{'images':8}{'median of systems':20}{'ESS/s':>9}{'ESS':>8}{'calls':>11}{'CPU s':>8}")
    for n_images in (4, 2):
        rows += measure(n_images, options.systems, options.limit)
        for name in SAMPLERS:
            these = [r for r in rows if r["images"] == n_images and r["sampler"] == name]
            rate, effective, calls, seconds = (
                float(np.median([r[key] for r in these]))
                for key in ("rate", "effective", "calls", "seconds")
            )
            short = sum(not r.get("converged", True) for r in these)
            mark = f"   {short} of {len(these)} not converged" if short else ""
            print(
                f"{n_images:<8}{name:20}{rate:9.1f}{effective:8.0f}{calls:11,.0f}{seconds:8.1f}{mark}",
                flush=True,
            )
    if options.json:
        result = {"measured": rows, "machine": platform.machine()}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
