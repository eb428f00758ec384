"""Real systems answer for their own population: H0 of many without the prior of one.

The exact posteriors, drawn under the prior of the family, are weighted to a population whose mean
and scatter of slope, ellipticity, shear and sheet have hyperpriors from published lenses; H0 is
inferred with them (`inference.population`). Doubles and quads are selected each for itself: that a
lens makes four images says something of its ellipticity, how many of each were observed does not.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.time_delay import hubble, observe, verdicts
from lensmill.experiments.time_delay.hubble import Draws
from lensmill.inference import population
from lensmill.learning.calibration import ONE_SIGMA_PERCENTILES
from lensmill.lensing.distances import distances
from lensmill.pipeline import store
from lensmill.pipeline.streams import generator

SHAPES = ("slope", "one_minus_q", "shear", "kappa_ext")
# The universe that mocks of different universes are moved to: their ratio of H0 to the true one.
REFERENCE = 70.0  # [km / (Mpc s)]
OMEGA_M = 0.3
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
    mocks: str,
    output: str,
    prior: Mapping[str, Any],
    trained: Mapping[str, Any],
    answer_prior: Mapping[str, Any],
    hyperpriors: Mapping[str, list],
    seed: int,
) -> None:
    """Infer population and H0 of the usable systems of a population, with and without complex ones.

    Parameters
    ----------
    dataset, posteriors, table : path
        The ingested population, its exact posteriors, and its verdicts (``systems.ecsv``).
    mocks : path
        Data set of the family: what is selected of its prior.
    output : path
        Written (JSON).
    prior : mapping
        Of the family, under which the posteriors were drawn.
    trained, answer_prior : mapping
        Priors of ``h0`` and ``omega_m``: of the family, and of the answer.
    hyperpriors : mapping
        Of mean (median) and scatter of each of ``SHAPES``; H0 and Omega_m have those of the answer.
    seed : int
    """
    systems = store.read(dataset, "systems")
    judged = verdicts.read_table(table)
    draws = read(posteriors)
    usable = [
        i for i in draws if judged[str(systems["name"][i])]["verdict"] not in verdicts.UNUSABLE
    ]
    chosen = {"usable": usable}
    if any(systems["complex"][i] for i in usable):
        chosen["usable_without_complex"] = [i for i in usable if not systems["complex"][i]]
    mock = bool(hubble.is_mock(systems)[usable].all()) if usable else False
    interim = {name: prior[name] for name in SHAPES}
    selections = select(mocks, sorted({int(systems["n_images"][i]) for i in usable}))
    content: dict[str, Any] = {
        "hyperpriors": dict(hyperpriors),
        "over_truth": mock,
        "prior": dict(answer_prior),
        "combined": {},
    }
    for name, rows in chosen.items():
        if len(rows) < 2:
            content["combined"][name] = {"systems": [str(systems["name"][i]) for i in rows]}
            continue
        some = {c: v[rows] for c, v in systems.items()}
        together = gather([draws[i] for i in rows], some, mock)
        priors = {**hyperpriors, **cosmology(answer_prior, mock)}
        model = population.prepare(together, interim, priors, list(selections.values()))
        rng = generator(seed, "time_delay", f"population/{name}", len(rows))
        answer = population.infer(model, rng)
        found = summarise(answer, mock)
        weighted = [
            Draws(
                *(draws[i][c] for c in ("d_dt", "d_dt_error", "ln_marginal")),
                population.reweight(model, together, answer, j, rng),
            )
            for j, i in enumerate(rows)
        ]
        found["systems"] = [str(n) for n in some["name"]]
        found["h0_of_each"] = {
            str(some["name"][j]): hubble.combine(
                [one], {c: v[[j]] for c, v in some.items()}, trained, answer_prior
            )
            for j, one in enumerate(weighted)
        }
        if mock:
            found["accuracy"] = hubble.accuracy(weighted, some, trained, answer_prior)
        content["combined"][name] = found
    with store.whole(Path(output)) as file:
        file.write(json.dumps(content, indent=2).encode())


def read(posteriors: str) -> dict[int, dict[str, NDArray]]:
    """Read draws of exact posteriors: shape and distance, by row of the population."""
    systems = store.read(posteriors, "systems", ["index", "first_draw", "n_draws"])
    columns = store.read(posteriors, "draws") if systems["n_draws"].any() else {}
    if columns:
        columns["one_minus_q"] = np.hypot(columns["ellipticity_1"], columns["ellipticity_2"])
        columns["shear"] = np.hypot(columns["gamma1"], columns["gamma2"])
    names = (*SHAPES, "d_dt", "d_dt_error", "ln_marginal")
    return {
        i: {name: columns[name][first : first + n] for name in names}
        for i, first, n in zip(*(systems[c].tolist() for c in systems), strict=True)
        if n
    }


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
    kinds = np.unique(systems["n_images"])
    return population.Systems(
        first=np.cumsum([0, *(len(one["slope"]) for one in draws)]),
        parameters={name: np.concatenate([one[name] for one in draws]) for name in SHAPES},
        ln_marginal=np.concatenate([one["ln_marginal"] for one in draws]),
        z_lens=systems["z_lens"],
        z_source=systems["z_source"],
        group=np.searchsorted(kinds, systems["n_images"]),
        **columns,
    )


def select(mocks: str, images: Sequence[int]) -> dict[int, population.Selection]:
    """Return the lenses of the family's prior that made so many images, by number of images."""
    names = ["q", "slope", "gamma1", "gamma2", "kappa_ext", "n_images", "status"]
    systems = store.read(mocks, "systems", names)
    shape = {
        "slope": systems["slope"],
        "one_minus_q": 1 - systems["q"],
        "shear": np.hypot(systems["gamma1"], systems["gamma2"]),
        "kappa_ext": systems["kappa_ext"],
    }
    good = systems["status"] <= observe.LAST_GOOD_STATUS
    return {
        k: population.Selection(
            {name: column[good & (systems["n_images"] == k)] for name, column in shape.items()},
            len(good),
        )
        for k in images
    }


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
        "selection_used": answer.selection_used.tolist(),
    }
