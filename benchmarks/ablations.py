"""What each kind of data is worth: exact posteriors of the same mocks with one thing changed.

Test systems of the `survey` population as an observer with 5 mas and 1 day sees them, all delays
and the galaxy's position among the data, and then without one of these, with other errors, or with
a measurement more. Without the redshifts D_dt has the prior that their own prior leaves it; what is
lost is the Hubble constant. Below: SIS + shear lenses as the networks `h0_*` see them, exact and by
the networks. Needs the results of `make run`; writes docs/measured/ablations.csv.

    python benchmarks/ablations.py [--results results/time_delay] [--systems 100]
"""

import argparse
import json
import time
from pathlib import Path

from measured import FOLDER, write  # first: it holds numpy to one thread

# isort: split
import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.time_delay import exact, observe, simulate
from lensmill.experiments.time_delay.observe import Observed
from lensmill.inference import posterior
from lensmill.inference.importance import resample
from lensmill.inference.point_images import H0_REFERENCE, Distance, Stars, draw_distance
from lensmill.learning import calibration
from lensmill.learning.calibration import CENTRAL, CLAIMED
from lensmill.lensing.distances import distances
from lensmill.lensing.kinematics import velocity_dispersion
from lensmill.pipeline import splits, store
from lensmill.pipeline.priors import ends, inverse_cdf, log_density
from lensmill.pipeline.streams import generator

ROOT = Path(__file__).parents[1]
ESS, DRAWS = 500.0, 1000  # of each posterior
NODES = 41  # of Omega_m
GALAXY = ["fixed", 0.005]  # error of the galaxy's position [arcsec]
NOISE = {  # positions [arcsec], delays [day]
    "1 mas, 0.25 d": (0.001, 0.25),
    "5 mas, 1 d": (0.005, 1.0),
    "20 mas, 4 d": (0.02, 4.0),
}
BASE = "5 mas, 1 d"
STARS = 0.05  # relative error of the velocity dispersion
APERTURE, SEEING = 1.0, 0.7  # [arcsec]
FLUX = 0.2  # relative error of a flux: substructure and variability
TINY = 1e-4  # [arcsec]: an exact galaxy for posteriors, whose data all have errors
REDSHIFTS = 1000  # draws of the prior, where they are not known
KINDS = {2: "doubles", 4: "quads"}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", default=str(ROOT / "results/time_delay"))
    parser.add_argument("--systems", type=int, default=100)
    arguments = parser.parse_args()
    results = Path(arguments.results)
    begun = time.process_time()
    rows = survey_rows(results / "data/survey", arguments.systems)
    rows += network_rows(results, arguments.systems)
    write("ablations", rows)
    print(f"{FOLDER / 'ablations.csv'}: {time.process_time() - begun:.0f} s of processor time")


def survey_rows(folder: Path, n: int) -> list[dict]:
    """Rows of the survey population: one thing changed at a time."""
    rows = []
    for k in KINDS:
        mocks = Mocks(folder, k, n)
        base = mocks.observe(*NOISE[BASE])
        delays = np.arange(k) > 0
        variants = {f"all of it, {BASE}": (base, {})}
        variants |= {name: (mocks.observe(*NOISE[name]), {}) for name in NOISE if name != BASE}
        untimed = base._replace(delay_measured=base.delay_measured & ~delays)
        variants["without the delays"] = (untimed, {})
        variants["without the redshifts"] = (base, {"redshifts": False})
        unseen = base._replace(lens_known=np.zeros(n, bool))
        variants["without the galaxy's position"] = (unseen, {})
        variants["with a velocity dispersion, 5 %"] = (base, {"stars": True})
        variants["with fluxes, 20 %"] = (base, {"fluxes": True})
        for name, (observed, how) in variants.items():
            rows.append(row(KINDS[k], "survey", name, *mocks.posteriors(observed, **how)))
    return rows


def network_rows(results: Path, n: int) -> list[dict]:
    """Rows of SIS + shear: exact posteriors and the networks, of the same observations."""
    rows = []
    networks = {2: ["h0_double"], 4: ["h0_quad", "h0_quad_no_delay"]}
    for k, names in networks.items():
        paths = [results / f"scores/{name}/sis_shear_h0/predictions.h5" for name in names]
        facts = store.attributes(paths[0])
        mocks = Mocks(results / "data/sis_shear_h0", k, n)
        observed = mocks.as_networks(json.loads(facts["observation"]), int(facts["seed"]))
        data = "SIS + shear, 3 mas, 0.5 d + 1 %"
        rows.append(row(KINDS[k], data, "exact", *mocks.posteriors(observed)))
        for path, name in zip(paths, names, strict=True):
            table = store.read(path, "systems", count=n)
            store.check_order(observed.index, table["index"], str(path))
            low, middle, high = (np.log(table[f"d_dt_{c}"]) for c in ("low68", "median", "high68"))
            answer = Answer((high - low) / 2, middle - np.log(table["d_dt"]), table["d_dt_rank"])
            rows.append(row(KINDS[k], data, f"network {name}", answer))
    return rows


class Answer:
    """Half widths of the central 68 %, errors of the medians and ranks of the truths, (n,) each."""

    def __init__(self, width: np.ndarray, error: np.ndarray, rank: np.ndarray):
        self.width, self.error, self.rank = width, error, rank

    def cells(self) -> list[str]:
        """Median width, robust scatter and coverage."""
        return [
            f"{np.median(self.width):.3f}",
            f"{calibration.robust_scatter(self.error):.3f}",
            f"{calibration.coverage(self.rank, CLAIMED['68']):.2f}",
        ]


def summarised(draws: list[np.ndarray], truth: np.ndarray) -> Answer:
    """Summarise draws of a logarithm, system by system."""
    low, middle, high = np.array(
        [np.quantile(one, [CENTRAL["68"][0], 0.5, CENTRAL["68"][1]]) for one in draws]
    ).T
    rank = np.array([calibration.ranks(*one) for one in zip(draws, truth, strict=True)])
    return Answer((high - low) / 2, middle - truth, rank)


def row(kind: str, data: str, name: str, d_dt: Answer, h0: Answer | None = None) -> dict:
    """Make one row of the table; a network is not asked for H0."""
    of_h0 = h0.cells() if h0 else ["", "", ""]
    columns = ("width of ln D_dt", "scatter", "coverage 68 %", "width of ln H0")
    return {
        "systems": f"{len(d_dt.width)} {kind}",
        "data": data,
        "": name,
        **dict(zip(columns, [*d_dt.cells(), of_h0[0]], strict=True)),
    }


class Mocks:
    """Test systems of a population with one number of images, the first ``n``."""

    def __init__(self, folder: Path, k: int, n: int):
        dataset, split = str(folder / "dataset.h5"), str(folder / "split.h5")
        self.facts = store.attributes(dataset)
        self.prior = simulate.family_prior(json.loads(self.facts["settings"]))
        everything, truth = observe.from_simulated(dataset, split, splits.TEST, k)
        rows = np.arange(n)
        self.exact, truth = observe.select(everything, rows), observe.select(truth, rows)
        table = store.read(dataset, "systems")
        self.truth = {name: column[self.exact.index] for name, column in table.items()}
        images = store.read(dataset, "images", ["magnification"])["magnification"]
        self.flux = np.abs(images[truth.first_image[:, None] + np.arange(k)])
        # redshifts of any lenses are draws of their prior
        self._anywhere: Distance | None = None
        self.redshifts = table["z_lens"][:REDSHIFTS], table["z_source"][:REDSHIFTS]

    def observe(self, position_error: float, delay_error: float) -> Observed:
        """Observe with these errors; the noise of a system is the same in units of them."""
        how = {
            "position_error": ["fixed", position_error],
            "delay_error": ["fixed", delay_error],
            "lens_error": GALAXY,
        }
        return self.as_networks(how, 1)

    def as_networks(self, observation: dict, seed: int) -> Observed:
        """Observe with the noise that networks are tested with."""
        where = self.facts["experiment"], self.facts["population"]
        u = observe.noise_uniforms(seed, *where, self.exact.index, self.exact.delay.shape[1])
        seen = observe.perturb(self.exact, observation, u)
        return seen._replace(lens_error=np.maximum(seen.lens_error, TINY))

    def posteriors(
        self, observed: Observed, redshifts: bool = True, stars: bool = False, fluxes: bool = False
    ) -> tuple[Answer, Answer]:
        """Sample D_dt, and the Hubble constant that goes with it."""
        d_dt, h0 = [], []
        for i, index in enumerate(observed.index):
            rng = generator(1, "time_delay", "ablations", int(index))
            target = exact.target(observed, i, self.prior, self._measured(i, rng, stars, fluxes))
            z = observed.z_lens[i], observed.z_source[i]
            if not redshifts:
                z = self.redshifts
                target.distance = self._distance(target.distance)
            found = posterior.sample(target, rng, ESS)
            rows = resample(found.ln_weight, DRAWS, rng)
            ln_d_dt = np.empty(DRAWS)
            per_lens = found.d_dt[rows], found.d_dt_error[rows]
            draw_distance(*per_lens, rng.random(DRAWS), *target.distance, ln_d_dt)
            d_dt.append(ln_d_dt)
            h0.append(self._hubble(ln_d_dt, *z, rng))
        truth = np.log(self.truth["d_dt"]), np.log(self.truth["h0"])
        return tuple(summarised(*both) for both in zip((d_dt, h0), truth, strict=True))

    def _measured(
        self, i: int, rng: np.random.Generator, stars: bool, fluxes: bool
    ) -> exact.Optional:
        """Measure the stars and the fluxes of a system, or none of them."""
        k = self.flux.shape[1]
        noise = rng.standard_normal(k + 1)
        flux, flux_error = np.zeros(k), np.zeros(k)
        if fluxes:
            flux_error = FLUX * self.flux[i]
            flux = self.flux[i] + flux_error * noise[:k]
        seen = None
        if stars:
            lens = {name: float(column[i]) for name, column in self.truth.items()}
            how = lens["theta_e"], APERTURE, SEEING
            ratio = lens["d_s"] / lens["d_ls"]
            sigma = velocity_dispersion(lens["theta_e"], lens["slope"], ratio, *how)
            measured = float(sigma * (1 + STARS * noise[k]))
            seen = Stars(measured, STARS * float(sigma), *how, np.inf)
        return exact.Optional(flux, flux_error, seen)

    def _distance(self, known: Distance) -> Distance:
        """Prior of D_dt over the prior of the redshifts."""
        if self._anywhere is None:
            reference = np.log(self._references(*self.redshifts))
            least, most = np.log(ends(self.prior["h0"]))
            y = np.linspace(reference.min() - most, reference.max() - least, len(known.ln_d_dt))
            h0 = np.exp(reference[:, None] - y)
            density = (np.exp(log_density(self.prior["h0"], h0)) * h0).mean(axis=0)
            self._anywhere = Distance(y, density / np.trapezoid(density, y))
        return self._anywhere

    def _hubble(self, ln_d_dt: NDArray, z_lens: NDArray, z_source: NDArray, rng) -> NDArray:
        """Draw ln H0 for draws of ln D_dt, Omega_m (and redshifts) from their prior."""
        h0 = self._references(z_lens, z_source) / np.exp(ln_d_dt)[:, None]
        weight = np.exp(log_density(self.prior["h0"], h0)) * h0
        edges = np.cumsum(weight, axis=1)
        chosen = (edges < rng.random((len(h0), 1)) * edges[:, -1:]).sum(axis=1)
        return np.log(h0[np.arange(len(h0)), np.minimum(chosen, h0.shape[1] - 1)])

    def _references(self, z_lens: NDArray, z_source: NDArray) -> NDArray:
        """D_dt times H0 [km / s] for draws of Omega_m, with the redshifts given for each or all."""
        n = max(np.size(z_lens), NODES)
        u = (np.random.default_rng(1).permutation(n) + 0.5) / n  # not in the order of the redshifts
        omega_m = inverse_cdf(self.prior["omega_m"], u)
        return distances(z_lens, z_source, H0_REFERENCE, omega_m)[3] * H0_REFERENCE


if __name__ == "__main__":
    main()
