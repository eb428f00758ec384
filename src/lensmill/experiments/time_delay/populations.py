"""Real systems answer for their own population: H0 of many without the prior of one.

The exact posteriors, drawn under a wide prior, are weighted to a population whose mean and scatter
of slope, ellipticity, shear and sheet have hyperpriors from published lenses; H0 is inferred with
them (`inference.population`).

The population is that of all lenses, those without a trace of it in the sample too. What is assumed
of the selection: a source lies anywhere in the disc of the prior with equal probability, and who
has four images (or two) is found. So the part of a population that is found is counted among lenses
drawn from the wide prior. It matters: slope, ellipticity, shear and source can be scaled together
without a trace in the images, hence a prior on the sizes of sources is one on the slope, and on H0.
To weight the draws by the inverse area of their caustics instead, and to give the lenses that are
found a population of independent shapes, is off by 2.5 % in H0 (benchmarks/population.py): large
caustics are found, so that the shapes of the lenses found are not independent.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.time_delay import hubble, observe, simulate, verdicts
from lensmill.experiments.time_delay.exact import TESTED
from lensmill.experiments.time_delay.hubble import Draws
from lensmill.inference import population
from lensmill.learning.calibration import ONE_SIGMA_PERCENTILES
from lensmill.lensing.distances import distances
from lensmill.pipeline import store
from lensmill.pipeline.streams import generator, uniforms

log = logging.getLogger(__name__)

SHAPES = ("slope", "one_minus_q", "shear", "kappa_ext")
# The universe that mocks of different universes are moved to: their ratio of H0 to the true one.
REFERENCE = 70.0  # [km / (Mpc s)]
OMEGA_M = 0.3
SELECTION = 200_000  # lenses drawn to find out which of them are found: enough for 50 systems
BATCH = 20_000
QUANTILES = {
    "low95": 0.02275,
    "low68": 0.15865,
    "median": 0.5,
    "high68": 0.84135,
    "high95": 0.97725,
}


def infer_population(
    dataset: str,
    posteriors: str,
    table: str,
    output: str,
    prior: Mapping[str, Any],
    answer_prior: Mapping[str, Any],
    hyperpriors: Mapping[str, list],
    seed: int,
) -> None:
    """Infer population and H0 of the usable quads of a population, and of doubles with them.

    Parameters
    ----------
    dataset, posteriors, table : path
        The ingested population, its exact posteriors, and its verdicts (``systems.ecsv``).
    output : path
        Written (JSON): for quads, quads that are not complex, and all usable systems: H0, the
        hyperparameters, H0 of each system with the others' population as its prior, and where the
        truth is known the accuracy. A set of less than two has names only, and one whose weights
        collapse says why it is ``refused``.
    prior : mapping
        Under which the posteriors were drawn.
    answer_prior : mapping
        Of ``h0`` and ``omega_m``.
    hyperpriors : mapping
        Of mean (median) and scatter of each of ``SHAPES``.
    seed : int
    """
    systems = store.read(dataset, "systems")
    judged = verdicts.read_table(table)
    draws = read(posteriors)
    selections = select(prior, seed, SELECTION)
    usable = [
        i for i in draws if judged[str(systems["name"][i])]["verdict"] not in verdicts.UNUSABLE
    ]
    quads = [i for i in usable if systems["n_images"][i] == 4]
    chosen = {
        "quads": quads,
        "quads_without_complex": [i for i in quads if not systems["complex"][i]],
        "quads_and_doubles": usable,
    }
    content: dict[str, Any] = {
        "hyperpriors": dict(hyperpriors),
        "prior": dict(answer_prior),
        "combined": {},
    }
    for name, rows in chosen.items():
        some = {c: v[rows] for c, v in systems.items()}
        found: dict[str, Any] = {"systems": [str(n) for n in some["name"]]}
        if len(rows) > 1:
            rng = generator(seed, "time_delay", f"population/{name}", len(rows))
            mine = [draws[i] for i in rows]
            try:
                found |= infer(mine, some, selections, prior, answer_prior, hyperpriors, rng)
            except (
                population.Refused
            ) as error:  # no answer is better than one that finite draws made
                log.warning("%s (%s): no answer: %s", name, ", ".join(found["systems"]), error)
                found["refused"] = str(error)
        content["combined"][name] = found
    with store.whole(Path(output)) as file:
        file.write(json.dumps(content, indent=2).encode())


def infer(
    draws: Sequence[Mapping[str, NDArray]],
    systems: Mapping[str, NDArray],
    selections: Mapping[int, population.Selection],
    prior: Mapping[str, Any],
    answer_prior: Mapping[str, Any],
    hyperpriors: Mapping[str, list],
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Infer population and H0 of some systems; of mocks the ratio of H0 to the true one."""
    mock = bool(hubble.is_mock(systems).all())
    together = gather(draws, systems, mock)
    interim = {name: prior[name] for name in SHAPES}
    priors = {**hyperpriors, **cosmology(answer_prior, mock)}
    kinds = np.unique(systems["n_images"]).tolist()
    model = population.prepare(together, interim, priors, [selections[k] for k in kinds])
    answer = population.infer(model, rng)
    weighted = [
        Draws(
            *(one[c] for c in ("d_dt", "d_dt_error", "ln_marginal")),
            population.reweight(model, together, answer, j, rng),
        )
        for j, one in enumerate(draws)
    ]
    found = summarise(answer, mock)
    found["h0_of_each"] = {
        str(systems["name"][j]): hubble.combine(
            [one], {c: v[[j]] for c, v in systems.items()}, prior, answer_prior
        )
        for j, one in enumerate(weighted)
    }
    if mock:
        found["accuracy"] = hubble.accuracy(weighted, systems, prior, answer_prior)
    return found


def select(prior: Mapping[str, Any], seed: int, drawn: int) -> dict[int, population.Selection]:
    """Draw lenses from a prior: the shapes of those with two and with four images.

    ``drawn`` is a multiple of ``BATCH``; the noise of their number grows as that of the systems.
    """
    kept: dict[int, list[dict[str, NDArray]]] = {k: [] for k in TESTED}
    for first in range(0, drawn, BATCH):
        u = uniforms(seed, "time_delay", "population/selection", first, BATCH, simulate.WIDTH)
        systems = simulate.draw(first, u, {"family": "epl_shear", "prior": prior})["systems"]
        shapes = {
            "slope": systems["slope"],
            "one_minus_q": 1 - systems["q"],
            "shear": np.hypot(systems["gamma1"], systems["gamma2"]),
            "kappa_ext": systems["kappa_ext"],
        }
        # what is fixed is so to the last digit, which 1 - q has not
        held = {name: prior[name][1] for name in SHAPES if prior[name][0] == "fixed"}
        shapes |= {name: np.full(BATCH, value) for name, value in held.items()}
        sharp = systems["status"] <= observe.LAST_GOOD_STATUS
        for k, parts in kept.items():
            found = sharp & (systems["n_images"] == k)
            parts.append({name: column[found] for name, column in shapes.items()})
    return {
        k: population.Selection(
            {name: np.concatenate([one[name] for one in parts]) for name in SHAPES}, drawn
        )
        for k, parts in kept.items()
    }


def read(posteriors: str, table: str = "draws") -> dict[int, dict[str, NDArray]]:
    """Read draws of exact posteriors: shape and distance, by row of the population."""
    systems = store.read(posteriors, "systems", ["index", "first_draw", "n_draws"])
    columns = store.read(posteriors, table) if systems["n_draws"].any() else {}
    found = {}
    for i, first, n in zip(*(systems[c].tolist() for c in systems), strict=True):
        if not n:
            continue
        one = {name: column[first : first + n] for name, column in columns.items()}
        if "one_minus_q" not in one:
            one["one_minus_q"] = np.hypot(one["ellipticity_1"], one["ellipticity_2"])
            one["shear"] = np.hypot(one["gamma1"], one["gamma2"])
        found[i] = one
    return found


def gather(
    draws: Sequence[Mapping[str, NDArray]], systems: Mapping[str, NDArray], mock: bool
) -> population.Systems:
    """Put the draws of systems one behind the other; mocks are moved to the reference universe."""
    scale = np.ones(len(draws))
    if mock:
        *_, d_dt = distances(systems["z_lens"], systems["z_source"], REFERENCE, OMEGA_M)
        scale = d_dt / systems["d_dt"]
    columns = {
        name: np.concatenate([one[name] * s for one, s in zip(draws, scale, strict=True)])
        for name in ("d_dt", "d_dt_error")
    }
    return population.Systems(
        first=np.cumsum([0, *(len(one["slope"]) for one in draws)]),
        parameters={name: np.concatenate([one[name] for one in draws]) for name in SHAPES},
        z_lens=systems["z_lens"],
        z_source=systems["z_source"],
        ln_marginal=np.concatenate([one["ln_marginal"] for one in draws]),
        group=np.unique(systems["n_images"], return_inverse=True)[1],
        **columns,
    )


def cosmology(prior: Mapping[str, Any], mock: bool) -> dict[str, list]:
    """Priors of H0 and Omega_m; of mocks H0 is in units of the true one, times the reference."""
    if mock:
        return {"h0": prior["h0"], "omega_m": ["fixed", OMEGA_M]}
    return {name: prior[name] for name in ("h0", "omega_m")}


def summarise(answer: population.Answer, mock: bool) -> dict[str, Any]:
    """Quantiles of H0 and of every hyperparameter, and how good the answer is."""
    levels = list(QUANTILES.values())
    hyper = {}
    for name, values in answer.values.items():
        if np.ptp(values) > 0:
            q = population.weighted_quantile(values, answer.weight, levels)
            hyper[name] = dict(zip(QUANTILES, np.round(q, 5).tolist(), strict=True))
    ends = ONE_SIGMA_PERCENTILES[0] / 100, 0.5, ONE_SIGMA_PERCENTILES[2] / 100
    h0 = population.quantile(answer, "h0", ends) / (REFERENCE if mock else 1)
    suffix = "_over_truth" if mock else ""
    return {
        **dict(
            zip([f"h0{e}{suffix}" for e in ("_low68", "", "_high68")], h0.tolist(), strict=True)
        ),
        "hyperparameters": hyper,
        "pareto_k": answer.k,
        "ess": answer.effective,
        "noise_of_draws": answer.shift,
        "least_draws_used": float(answer.draws_used.min()),
    }
