"""The point-image solver against lenstronomy's analytical one: same outputs, one core.

Both solve the same systems and give, for every image, position, magnification, Fermat potential
and delay; the distance is computed once outside the timed part for both. The two take turns within
one run, and the median over the repeats is given, in processor time of the process, so that other
work on the machine counts little. Run as ``python benchmarks/solver.py [--json PATH]``.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

import numpy as np
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver

from lensmill.lensing.distances import distances, time_delay
from lensmill.lensing.solver import solve

Z_LENS, Z_SOURCE, H0, OMEGA_M = 0.5, 1.5, 70.0, 0.3

# name: slopes, lenstronomy's profile, the aim of the project (times lenstronomy's analytical rate)
WORKLOADS = {
    "SIE + shear": ((2.0, 2.0), "SIE", 300),
    "EPL + shear, slope 2.0-2.3": ((2.0, 2.3), "EPL", 60),
    "EPL + shear, slope 1.7-2.0": ((1.7, 2.0), "EPL", 30),
}

# rates of other codes [systems / s], not measured here
QUOTED = {
    "GravLensing study": {
        "rate": 1 / 5.9,
        "source": "its log: 177.29 s for 30 mocks, each in three families, on a laptop",
    },
    "pygravlens": {
        "rate": 8.8,
        "source": "newest settings of its repository, one core of a 2-core AMD EPYC server",
    },
}


def draw(n: int, slopes: tuple[float, float], seed: int) -> list[np.ndarray]:
    """Draw galaxy-scale lenses, sources uniform in a disc of 0.6 Einstein radii."""
    rng = np.random.default_rng(seed)
    theta_e = rng.uniform(0.5, 2.0, n)
    shear, turn = rng.uniform(0, 0.15, n), rng.uniform(0, np.pi, n)
    r, p = 0.6 * theta_e * np.sqrt(rng.random(n)), rng.uniform(0, 2 * np.pi, n)
    return [
        *(theta_e, rng.uniform(0.4, 0.99, n), rng.uniform(0, np.pi, n), rng.uniform(*slopes, n)),
        *(shear * np.cos(2 * turn), shear * np.sin(2 * turn), np.zeros(n)),
        *(r * np.cos(p), r * np.sin(p)),
    ]


def arguments(profile: str, system: tuple[float, ...]) -> tuple[list[dict], float, float]:
    """One system in lenstronomy's words."""
    theta_e, q, phi, slope, gamma1, gamma2, _, x, y = system
    e = (1 - q) / (1 + q)
    lens = {"theta_E": theta_e, "e1": e * np.cos(2 * phi), "e2": e * np.sin(2 * phi)}
    lens |= {"center_x": 0.0, "center_y": 0.0} | ({"gamma": slope} if profile == "EPL" else {})
    return [lens, {"gamma1": gamma1, "gamma2": gamma2}], x, y


def time_ours(system: list[np.ndarray], d_dt: float) -> float:
    """Systems per second of processor time."""
    start = time.process_time()
    images = solve(*system)
    first = np.repeat(images.fermat[images.first_image], images.n_images)
    time_delay(d_dt, images.fermat - first)
    return system[0].size / (time.process_time() - start)


def time_theirs(model: LensModel, systems: list[tuple], d_dt: float) -> float:
    """Systems per second of processor time."""
    finder = LensEquationSolver(model)
    start = time.process_time()
    for lens, source_x, source_y in systems:
        x, y = finder.image_position_from_source(source_x, source_y, lens, solver="analytical")
        model.magnification(x, y, lens)
        # its arrival_time() would compute the Fermat potential a second time
        fermat = model.fermat_potential(x, y, lens, source_x, source_y)
        time_delay(d_dt, fermat - fermat.min())
    return len(systems) / (time.process_time() - start)


def measure(name: str, n: int, n_theirs: int, repeats: int) -> dict:
    """Time one workload."""
    slopes, profile, aim = WORKLOADS[name]
    model = LensModel([profile, "SHEAR"])
    d_dt = float(distances(Z_LENS, Z_SOURCE, H0, OMEGA_M)[3])
    system = draw(n, slopes, seed=1)
    theirs = [arguments(profile, s) for s in zip(*(c[:n_theirs] for c in system), strict=True)]
    time_ours([c[:10] for c in system], d_dt)  # compiles
    time_theirs(model, theirs[:10], d_dt)
    rates = [(time_ours(system, d_dt), time_theirs(model, theirs, d_dt)) for _ in range(repeats)]
    ours, peer = np.median(rates, axis=0)
    ratios = [a / b for a, b in rates]
    return {
        "workload": name,
        "lensmill": float(ours),
        "lenstronomy_analytical": float(peer),
        "ratio": float(np.median(ratios)),
        "ratio_range": [float(min(ratios)), float(max(ratios))],
        "aim": aim,
    }


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    parser.add_argument("--systems", type=int, default=100_000, help="solved by ours per repeat")
    parser.add_argument("--peer-systems", type=int, default=500, help="solved by lenstronomy")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    rows = []
    print(f"{'systems per second, one core':32}{'lensmill':>12}{'lenstronomy':>14}{'ratio':>8}")
    for name in WORKLOADS:
        row = measure(name, options.systems, options.peer_systems, options.repeats)
        rows.append(row)
        verdict = "reached" if row["ratio"] >= row["aim"] else "MISSED"
        print(
            f"{name:32}{row['lensmill']:12,.0f}{row['lenstronomy_analytical']:14,.0f}"
            f"{row['ratio']:8.0f}   aim {row['aim']}: {verdict}",
            flush=True,
        )
    for name, quoted in QUOTED.items():
        print(f"{name:32}{'':12}{quoted['rate']:14.2f}   quoted ({quoted['source']})")
    if options.json:
        result = {"measured": rows, "quoted": QUOTED, "machine": platform.machine()}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
