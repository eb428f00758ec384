"""Effective samples per second of lens posteriors, and whether other samplers find the same.

Mock quads and doubles of a survey's prior, images to 20 mas, delays to 1 d and 5 %. All samplers
are given the same compiled likelihood of many lenses at a time. Ours finds the modes and adapts,
all of it timed. dynesty (`inference.nested`: two runs that must agree) and nautilus start in the
prior; the chain of emcee starts from draws of the posterior, whose cost is not counted.

Effective samples: (sum w)^2 / sum w^2 of weighted ones; for the chain, samples after 50
autocorrelation times over the largest autocorrelation time of the parameters. A chain that is not
twice as long when its time is over is marked, and counted with what it estimates; a nested run that
was refused or did not end has none. Agreement: of the medians of four parameters with ours, in half
widths of the central 68 %, and the ratio of the widths.
Processor time of the process. Run as ``python benchmarks/posterior.py [--json PATH]``: an hour.
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

import emcee
import nautilus
import numpy as np
from numpy.typing import NDArray

from lensmill.inference import posterior
from lensmill.inference.importance import resample
from lensmill.inference.point_images import PointImages, Posterior
from lensmill.lensing.distances import distances, time_delay
from lensmill.lensing.solver import solve

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
POSITION_ERROR, LENS_ERROR, DELAY_ERROR, DELAY_FRACTION = 0.02, 0.02, 1.0, 0.05
WALKERS = 64
BURN_IN = 50  # autocorrelation times


PLACES = {  # compared
    "slope": lambda p: p[:, 3],
    "one_minus_q": lambda p: np.hypot(p[:, 1], p[:, 2]),
    "shear": lambda p: np.hypot(p[:, 4], p[:, 5]),
    "theta_e": lambda p: p[:, 0],
}


def _lenses(u: NDArray) -> NDArray:
    """Lenses of the prior about the origin, whatever the data."""
    nothing = np.zeros(2)
    data = PointImages(
        *(np.zeros((2, 2)), np.ones(2), nothing, nothing, np.zeros(2, bool)),
        *(nothing, 1e-9, True, nothing, nothing),
    )
    return Posterior(data, PRIOR, Z_LENS, Z_SOURCE).from_unit(u)


def mocks(n_images: int, count: int, seed: int) -> list[Posterior]:
    """Posteriors of mock systems with so many images."""
    rng = np.random.default_rng(seed)
    p = _lenses(rng.random((100 * count, N_DIM)))
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


def quantiles(parameters: NDArray, ln_weight: NDArray) -> dict[str, list[float]]:
    """Return the ends of the central 68 % and the median of the parameters compared."""
    weight = np.exp(ln_weight - ln_weight.max())
    found = {}
    for name, of in PLACES.items():
        x = of(parameters)
        order = np.argsort(x)
        below = np.cumsum(weight[order]) / weight.sum()
        found[name] = np.interp([0.16, 0.5, 0.84], below, x[order]).tolist()
    return found


def run_ours(target: Posterior, seed: int, limit: float) -> dict:
    """Find the modes, adapt and draw."""
    draws = posterior.sample(target, np.random.default_rng(seed))
    return of_draws(draws)


def of_draws(draws: posterior.Draws) -> dict:
    """Describe weighted draws."""
    return {
        "effective": draws.ess,
        "calls": draws.calls,
        "log_evidence": draws.log_evidence,
        "quantiles": quantiles(draws.parameters, draws.ln_weight),
    }


def run_dynesty(target: Posterior, seed: int, limit: float) -> dict:
    """Nested sampling twice, with walks in step and long enough for ridges."""
    try:
        return of_draws(posterior.sample_nested(target, seed, 1000.0))
    except ValueError as error:
        return {"effective": 0.0, "calls": 0, "refused": str(error)}


def run_nautilus(target: Posterior, seed: int, limit: float) -> dict:
    """Nautilus as recommended, a batch of lenses at a time, within a limited time."""

    def log_likelihood(p: NDArray) -> NDArray:
        ln = target.log_prior(p)  # finite where the solver may be asked
        ln = target.evaluate(p, np.where(np.isfinite(ln), 0.0, -np.inf))[0]
        return np.maximum(ln, -1e10)  # it takes no -inf for granted

    sampler = nautilus.Sampler(target.from_unit, log_likelihood, N_DIM, vectorized=True, seed=seed)
    ended = sampler.run(n_eff=2000, discard_exploration=True, timeout=4 * limit)
    if not ended:
        return {"effective": 0.0, "calls": int(sampler.n_like), "refused": "not at its end"}
    points, ln_weight, _ = sampler.posterior()
    return {
        "effective": float(sampler.n_eff),
        "calls": int(sampler.n_like),
        "log_evidence": float(sampler.log_z),
        "quantiles": quantiles(points, ln_weight),
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
    chain = sampler.get_chain(discard=steps // 2, flat=True)
    return {
        "quantiles": quantiles(chain, np.zeros(len(chain))),
        "effective": WALKERS * kept / tau,
        "calls": calls,
        "converged": bool(converged),
        "autocorrelation_time": tau,
        "seconds": time.process_time() - begin,  # without the draws that it started from
    }


SAMPLERS = {
    "lensmill": run_ours,
    "dynesty": run_dynesty,
    "nautilus": run_nautilus,
    "emcee": run_emcee,
}


def measure(target: Posterior, images: int, system: int, limit: float) -> list[dict]:
    """All samplers on one system."""
    rows: list[dict] = []
    for name, run in SAMPLERS.items():
        row = {"images": images, "system": system, "sampler": name}
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of short chains: `converged` says it
            found = run(target, system, limit)
        row |= {"seconds": time.process_time() - start} | found
        row["rate"] = row["effective"] / row["seconds"]
        if rows and "quantiles" in row:
            ours, theirs = (
                {key: np.array(values) for key, values in one["quantiles"].items()}
                for one in (rows[0], row)
            )
            width = {key: np.ptp(values) / 2 for key, values in ours.items()}
            row["shift"] = {k: float((theirs[k][1] - ours[k][1]) / width[k]) for k in ours}
            row["width"] = {k: float(np.ptp(theirs[k]) / 2 / width[k]) for k in ours}
        rows.append(row)
    return rows


def table(rows: list[dict]) -> str:
    """Medians over systems, by number of images and of all together, and by sampler."""
    lines = [
        f"{'images':8}{'sampler':12}{'systems':>8}{'ended':>6}{'ESS/s':>9}{'ours / it':>10}"
        f"{'ESS':>8}{'calls':>11}{'CPU s':>8}{'largest shift, median':>23}{'width':>7}"
    ]
    kinds = sorted({row["images"] for row in rows}, reverse=True)
    for title, of in [(str(images), [images]) for images in kinds] + [("all", kinds)]:
        ours = [r for r in rows if r["images"] in of and r["sampler"] == "lensmill"]
        for name in SAMPLERS:
            mine = [r for r in rows if r["images"] in of and r["sampler"] == name]
            ended = [r for r in mine if "refused" not in r]
            rate, effective, calls, seconds = (
                float(np.median([r[key] for r in mine]))
                for key in ("rate", "effective", "calls", "seconds")
            )
            ratio = np.median(
                [
                    o["rate"] / r["rate"] if r["rate"] else np.inf
                    for o, r in zip(ours, mine, strict=True)
                ]
            )
            shifts = [max(map(abs, r["shift"].values())) for r in ended if "shift" in r]
            widths = [w for r in ended if "width" in r for w in r["width"].values()]
            agreed = f"{np.median(shifts):23.2f}{np.median(widths):7.2f}" if shifts else ""
            short = sum(not r.get("converged", True) for r in mine)
            mark = f"   {short} chains too short" if short else ""
            lines.append(
                f"{title:8}{name:12}{len(mine):8}{len(ended):6}{rate:9.1f}{ratio:10.0f}"
                f"{effective:8.0f}{calls:11,.0f}{seconds:8.1f}{agreed}{mark}"
            )
    return "\n".join(lines)


def main() -> None:
    """Print the table after every system; write the rows as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--systems", type=int, default=10, help="of two and of four images")
    parser.add_argument("--limit", type=float, default=30.0, help="of a chain, of nautilus x 4 [s]")
    options = parser.parse_args()
    rows: list[dict] = []
    targets = {n: mocks(n, options.systems, seed=1) for n in (4, 2)}
    for some in targets.values():
        posterior.sample(some[0], np.random.default_rng(0))  # compiles
    for system in range(options.systems):
        for n_images, some in targets.items():
            rows += measure(some[system], n_images, system, options.limit)
        print(table(rows), flush=True)
        if options.json:
            result = {"measured": rows, "machine": platform.machine()}
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
