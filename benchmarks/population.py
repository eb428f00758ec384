"""H0 of many lenses with their population, and flat: coverage and bias in sets of mock quads.

A set of 10, 100 or 1,000 quads is moved to one universe by the true distances, and its H0 is
inferred together with slope, ellipticity, shear and sheet of the population: of the lenses in the
sample (draws count by the inverse of the area that their sources come from), and of all lenses,
those without four images too, as `populations` does (with the selection among lenses drawn from the
interim prior). Beside
them: the product of the single likelihoods under the prior of the family (`hubble.combine`). The
mocks are of the family, or of a population that is not it: flatter and rounder (``--moved``).

    python benchmarks/population.py [--moved] [--mocks FILE ... --dataset FILE] [--json PATH]

Mocks are those of `sample_mocks` in the results of ``make run``, or of the files that are named;
moved ones are drawn, and kept in ``--moved-mocks``.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})

import numpy as np
from numpy.typing import NDArray

from lensmill import experiments
from lensmill.experiments.time_delay import exact, hubble, observe, populations, simulate
from lensmill.experiments.time_delay.hubble import Draws
from lensmill.inference import population
from lensmill.learning.calibration import ONE_SIGMA
from lensmill.lensing.caustics import areas
from lensmill.pipeline import store
from lensmill.pipeline.priors import log_density
from lensmill.pipeline.streams import generator, uniforms

RESULTS = Path(__file__).parents[1] / "results/time_delay"
SIZES = (10, 100, 1000)
COVERED = 4  # sets, from which on their coverage is judged
STUDY = experiments.defaults("time_delay")
HUBBLE = STUDY["hubble"]
FAMILY = STUDY["priors"]["survey"]
WIDE = FAMILY | HUBBLE["population"]["interim"]
MOVED = FAMILY | {
    "slope": ["truncated_normal", 2.01, 0.16, 1.55, 2.49],
    "one_minus_q": ["truncated_normal", 0.17, 0.16, 0.0, 0.9],
}
ESS, DRAWS = 1000.0, 4000  # of each posterior of a moved lens
MOVED_DRAWN = 20_000  # lenses, of which one in ten has four images
FOUND, FEW = 2000, 200  # lenses drawn for the selection, for each quad of so many at least
LEAST_AREA = 1e-6  # [theta_E^2]; no draw may count without limit

# Bars: a mean may be off by so many standard errors and so much more; moved: by so much in all.
ERRORS, MORE, MOVED_MORE = 2.5, 0.003, 0.02


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    family = HUBBLE["family"]
    parser.add_argument("--moved", action="store_true", help="mocks unlike the prior")
    parser.add_argument("--dataset", default=str(RESULTS / f"data/{family}/dataset.h5"))
    parser.add_argument("--mocks", nargs="+", help="files of sample_mocks, four images")
    parser.add_argument("--moved-mocks", type=Path, default=RESULTS / "posteriors/moved")
    parser.add_argument("--systems", type=int, default=200, help="moved mocks")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--kinds", nargs="+", default=["sample", "all lenses", "flat"])
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    if options.moved:
        files = draw_moved(options.moved_mocks, options.systems)
        pool = Pool(*files, WIDE, options.systems)
    else:
        files = options.mocks or sorted(map(str, (RESULTS / f"posteriors/{family}").glob("4.*.h5")))
        pool = Pool(options.dataset, files, FAMILY)
    rows = []
    print(
        f"{'quads':>6}{'sets':>6}  {'H0 by':12}{'bias [%]':>16}{'half width':>11}{'covered':>9}"
        f"{'noise':>10}"
    )
    for size in options.sizes:
        for kind in options.kinds:
            if len(pool.draws) >= size:
                rows.append({"moved": options.moved} | measure(pool, size, kind, options.moved))
                print(line(rows[-1]), flush=True)
    if options.json:
        with store.whole(options.json) as file:
            file.write(json.dumps(rows, indent=1).encode())


class Pool:
    """Exact posteriors of mock quads, and how the population was drawn that they are of."""

    def __init__(
        self, dataset: str, files: Sequence[str], interim: Mapping, most: int | None = None
    ):
        self.interim = interim
        draws: dict[int, dict[str, NDArray]] = {}
        poor = 0
        for path in files:
            quality = store.read(path, "systems", ["index", "pareto_k", "ess"])
            sure = exact.well_sampled(quality["pareto_k"], quality["ess"])
            good = set(quality["index"][sure].tolist())
            draws |= {i: one for i, one in populations.read(path).items() if i in good}
            poor += int((~sure).sum())
        print(f"{len(draws)} posteriors, without {poor} that rest on too few draws")
        self.draws = list(draws.values())[:most]
        rows = np.array(list(draws))[:most]
        self.systems = {
            name: column[rows] for name, column in store.read(dataset, "systems").items()
        }
        self.systems["name"] = rows.astype(str)
        self.systems["h0"] = np.full(len(rows), populations.REFERENCE)
        self.systems |= {name: np.ones(len(rows), int) for name in ("h0_known", "d_dt_known")}
        self.systems |= {name: np.zeros(len(rows)) for name in ("d_dt_minus", "d_dt_plus")}

    def h0(
        self,
        members: slice,
        kind: str,
        selection: population.Selection | None,
        rng: np.random.Generator,
    ) -> tuple[list[float], float]:
        """Infer H0 over truth of a set: ends of the central 68 % and median, and noise of draws."""
        draws = self.draws[members]
        systems = {name: column[members] for name, column in self.systems.items()}
        answer_prior = {"h0": HUBBLE["h0"]}
        if kind == "flat":
            flat = [self._of_family(one) for one in draws]
            found = hubble.combine(
                flat, systems, FAMILY, answer_prior | {"omega_m": FAMILY["omega_m"]}
            )
            return list(found.values()), 0.0
        interim = {name: self.interim[name] for name in populations.SHAPES}
        priors = HUBBLE["population"]["hyperpriors"] | populations.cosmology(answer_prior, True)
        gathered = populations.gather(draws, systems, True)
        if kind == "sample":
            weight = np.concatenate([inverse_area(one) for one in draws])
            gathered = gathered._replace(ln_weight=weight)
        found_among = [selection] if selection else []
        model = population.prepare(gathered, interim, priors, found_among)
        answer = population.sample(model, rng)
        found = populations.summarise(answer, True)
        h0 = [found[f"h0{end}_over_truth"] for end in ("_low68", "", "_high68")]
        return h0, answer.shift["h0"]

    def _of_family(self, one: Mapping[str, NDArray]) -> Draws:
        """Give draws the prior of the family."""
        ln_w = np.zeros(len(one["slope"]))
        for name in populations.SHAPES:
            if self.interim[name] != FAMILY[name]:
                ln_w += log_density(FAMILY[name], one[name])
                ln_w -= log_density(self.interim[name], one[name])
        columns = (one[name] for name in ("d_dt", "d_dt_error", "ln_marginal"))
        return Draws(*columns, np.exp(ln_w - ln_w.max()))


def inverse_area(draws: Mapping[str, NDArray]) -> NDArray:
    """Logarithm of one over the area within the caustic, in units of the Einstein radius."""
    phi = np.arctan2(draws["ellipticity_2"], draws["ellipticity_1"]) / 2
    lens = [draws["theta_e"], 1 - draws["one_minus_q"], phi]
    lens += [draws[name] for name in ("slope", "gamma1", "gamma2", "kappa_ext")]
    caustic, _ = areas(*lens)
    return -np.log(np.maximum(caustic / draws["theta_e"] ** 2, LEAST_AREA))


def draw_moved(folder: Path, n: int) -> tuple[str, list[str]]:
    """Draw quads of the moved population; sample them under the wide prior, 100 in a file."""
    dataset = folder / "dataset.h5"
    if not dataset.exists():
        u = uniforms(1, "time_delay", "population/moved", 0, MOVED_DRAWN, simulate.WIDTH)
        tables = simulate.draw(0, u, {"family": "epl_shear", "prior": MOVED})
        facts = {"experiment": "time_delay", "population": "moved"}
        folder.mkdir(parents=True, exist_ok=True)
        store.write(dataset, tables, simulate.UNITS, facts)
    everything, _ = observe.from_simulated(str(dataset), None, None, 4)
    u = observe.noise_uniforms(1, "time_delay", "moved", everything.index, 4)
    observed = observe.perturb(everything, STUDY["observations"][HUBBLE["observation"]], u)
    files = []
    for first in range(0, n, 100):
        files.append(folder / f"{first}.h5")
        if files[-1].exists():
            continue
        some = observe.select(observed, np.arange(first, first + 100))
        settings = {"ess": ESS, "draws": DRAWS}
        found = exact.sample_systems(some, WIDE, settings, 1, "posterior/moved")
        store.write(files[-1], found, exact.UNITS, settings)
    return str(dataset), [str(path) for path in files]


def measure(pool: Pool, size: int, kind: str, moved: bool) -> dict:
    """Infer H0 of disjoint sets of one size; how far off, how wide, how often right."""
    begun = time.process_time()
    selection = None
    if kind == "all lenses":
        drawn = FOUND * max(size, FEW)
        selection = populations.select(pool.interim, 1, drawn)[4]
    found, noise = [], []
    sets = len(pool.draws) // size
    for j in range(sets):
        rng = generator(1, "time_delay", f"population/{kind}/{size}", j)
        h0, shift = pool.h0(slice(j * size, (j + 1) * size), kind, selection, rng)
        found.append(h0)
        noise.append(shift)
    row = {"quads": size, "sets": sets, "kind": kind, "noise_of_draws": float(np.mean(noise))}
    row["seconds"] = time.process_time() - begun
    low, middle, high = np.log(found).T
    n = len(found)
    width = float(np.mean(high - low) / 2)
    scatter = float(middle.std(ddof=1)) if n >= COVERED else width
    row |= {
        "bias": float(middle.mean()),
        "error": scatter / np.sqrt(n),
        "half_width": width,
        "each": np.exp([low, middle, high]).T.tolist(),
    }
    limit = MOVED_MORE if moved else MORE
    row["unbiased"] = bool(abs(row["bias"]) < ERRORS * row["error"] + limit)
    if n >= COVERED:
        share = float(np.mean((low < 0) & (high > 0)))
        row["covered"] = share
        allowed = ERRORS * np.sqrt(ONE_SIGMA * (1 - ONE_SIGMA) / n)
        row["covers"] = bool(abs(share - ONE_SIGMA) < allowed)
    return row


def line(row: Mapping) -> str:
    """One row of the printed table."""
    start = f"{row['quads']:6}{row['sets']:6}  {row['kind']:12}"
    bias = f"{100 * row['bias']:+.2f} +- {100 * row['error']:.2f}"
    covered = f"{row['covered']:9.2f}" if "covered" in row else " " * 9
    missed = [
        what
        for what, key in (("bias", "unbiased"), ("coverage", "covers"))
        if not row.get(key, True)
    ]
    verdict = f"MISSED: {', '.join(missed)}" if missed else "reached"
    width = f"{100 * row['half_width']:.2f}"
    noise = f"{row['noise_of_draws']:10.2f}"
    return f"{start}{bias:>16}{width:>11}{covered}{noise}   {verdict} ({row['seconds']:.0f} s)"


if __name__ == "__main__":
    main()
