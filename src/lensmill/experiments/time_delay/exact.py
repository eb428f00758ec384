"""Exact posteriors of systems, real or simulated: tables of draws.

What a network learns to approximate, computed: prior and likelihood of `inference.point_images`,
sampled system by system. The draws are those of the population's own prior.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import chi2 as chi_squared

from lensmill.experiments.time_delay import observe
from lensmill.experiments.time_delay.observe import Observed, Truth, select
from lensmill.inference import posterior
from lensmill.inference.importance import GOOD_K, resample
from lensmill.inference.point_images import (
    PARAMETERS,
    PointImages,
    Posterior,
    Stars,
    draw_distance,
)
from lensmill.pipeline import splits, store
from lensmill.pipeline.logs import progress
from lensmill.pipeline.priors import cdf
from lensmill.pipeline.streams import generator, uniforms

log = logging.getLogger(__name__)

SHAPES = ("slope", "one_minus_q", "shear")  # whose prior takes part in the test of the family
TESTED = (2, 4)  # numbers of images that are sampled
LEAST = 100.0  # effective draws, below which a posterior says nothing
DISPLACEMENT = 0.2  # [arcsec] of one image, in random direction: the fault that defines power
QUANTILES = {"low95": 2.275, "low68": 15.865, "median": 50.0, "high68": 84.135, "high95": 97.725}

UNITS = {
    "systems": {
        "index": "",
        "name": "",
        "n_images": "",
        "pareto_k": "",
        "ess": "",
        "log_evidence": "",
        "calls": "",
        "p_value": "",
        **{f"d_dt_{name}": "Mpc" for name in QUANTILES},
        "first_draw": "",
        "n_draws": "",
        "displaced_p_value": "",
    },
    "modes": {
        "index": "",
        "mode": "",
        "weight": "",
        "d_dt": "Mpc",
        "theta_e": "arcsec",
        "one_minus_q": "",
        "slope": "",
        "shear": "",
    },
    "draws": {
        "theta_e": "arcsec",
        "ellipticity_1": "",
        "ellipticity_2": "",
        "slope": "",
        "gamma1": "",
        "gamma2": "",
        "kappa_ext": "",
        "lens_x": "arcsec",
        "lens_y": "arcsec",
        "source_x": "arcsec",
        "source_y": "arcsec",
        "ln_d_dt": "",  # of Mpc
        "d_dt": "Mpc",
        "d_dt_error": "Mpc",
        "ln_marginal": "",
        "chi2": "",
        "mode": "",
    },
}


class Sample(NamedTuple):
    """Equally probable draws of the posterior of one system, and how good they are."""

    draws: dict[str, NDArray]  # columns of the table `draws`, (S,) each
    pareto_k: float
    ess: float
    log_evidence: float
    calls: int
    p_value: float  # probability of a larger chi^2 of data and shape, mean over the draws


def sample_population(
    dataset: str, output: str, prior: Mapping[str, Any], settings: Mapping[str, Any], seed: int
) -> None:
    """Sample the posteriors of an ingested population.

    Parameters
    ----------
    dataset : path
        The ingested population; systems without two or four images, or without a delay, are not
        sampled.
    output : path
        Written: tables ``systems``, ``modes`` and ``draws``.
    prior : mapping
        Of the family of lenses.
    settings : mapping
        ``ess`` to reach and ``draws`` to store.
    seed : int
    """
    names = np.asarray(store.read(dataset, "systems", ["name"])["name"], object)
    parts = []
    for k in TESTED:
        observed, _ = observe.from_ingested(dataset, k)
        optional = _optional(dataset, observed)
        part = sample_systems(observed, prior, settings, seed, f"posterior/{k}", optional)
        if part["systems"]:
            part["systems"]["name"] = names[observed.index]
        parts.append(part)
    _write(output, parts, prior, settings)


def sample_mocks(
    dataset: str,
    split: str,
    output: str,
    images: int,
    part: int,
    prior: Mapping[str, Any],
    observation: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int,
) -> None:
    """Sample the posteriors of some simulated systems, observed as the networks' own.

    Parameters
    ----------
    dataset, split : path
        Simulated population; the systems are of its test part, with the noise that the networks
        are tested with.
    output : path
        Written, as by `sample_population`; ``displaced_p_value`` is that of the same system with
        one image moved by 0.2 arcsec (NaN where that was not asked for).
    images : int
        Systems with so many are sampled.
    part : int
        Which ``settings["part"]`` of them: 0 for the first.
    prior, observation : mapping
        Of the family, and of how its mocks are observed.
    settings : mapping
        ``ess``, ``draws``, ``part`` (number of systems), and ``displaced`` (how many in a hundred
        are sampled a second time with one image moved).
    seed : int
    """
    mocks = observed_mocks(dataset, split, images, observation, seed)
    rows = np.arange(part * settings["part"], (part + 1) * settings["part"])
    if len(mocks[0].index) < rows[-1] + 1:
        raise ValueError(
            f"{dataset} has {len(mocks[0].index)} systems with {images} images in its test part, "
            f"but part {part} of the mocks needs {rows[-1] + 1}; make the population larger or "
            "ask for fewer mocks"
        )
    observed = select(mocks[0], rows)
    tables = sample_systems(observed, prior, settings, seed, f"posterior/mocks/{images}")
    moved_p = np.full(len(observed.index), np.nan)
    some = np.flatnonzero(observed.index % 100 < settings["displaced"])
    if len(some):
        moved = displace(select(observed, some), seed, images)
        few = {**settings, "ess": settings["ess"] / 4, "draws": 100}
        stream = f"posterior/displaced/{images}"
        moved_p[some] = sample_systems(moved, prior, few, seed, stream)["systems"]["p_value"]
    tables["systems"]["displaced_p_value"] = moved_p
    _write(output, [tables], prior, settings)


def observed_mocks(
    dataset: str, split: str, images: int, observation: Mapping[str, Any], seed: int
) -> tuple[Observed, Truth]:
    """Return the test systems of a simulated population, observed, and the truth of them."""
    exact, truth = observe.from_simulated(dataset, split, splits.TEST, images)
    facts = store.attributes(dataset)
    u = observe.noise_uniforms(seed, facts["experiment"], facts["population"], exact.index, images)
    return observe.perturb(exact, observation, u), truth


def displace(data: Observed, seed: int, images: int) -> Observed:
    """Move one image of every system by ``DISPLACEMENT``: systems that are no member."""
    n, k = data.delay.shape
    u = uniforms(seed, "time_delay", f"family/displaced/{images}", 0, n, 4)
    angle = 2 * np.pi * u[:, 1]
    position = data.position.copy()
    position[np.arange(n), (u[:, 0] * k).astype(int)] += DISPLACEMENT * np.stack(
        [np.cos(angle), np.sin(angle)], axis=1
    )
    return data._replace(position=position)


class Optional(NamedTuple):
    """What a system may have been measured in beside images and delays."""

    flux: NDArray  # (k,)
    flux_error: NDArray  # (k,); 0: not measured
    stars: Stars | None


def sample_systems(
    observed: Observed,
    prior: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int,
    stream: str,
    optional: Sequence[Optional] | None = None,
) -> store.Tables:
    """Sample the posteriors of systems with one number of images; tables as in ``UNITS``."""
    rows, modes, draws = [], [], []
    n = len(observed.index)
    for i in progress(range(n), f"posteriors, {observed.delay.shape[1]} images"):
        rng = generator(seed, "time_delay", stream, int(observed.index[i]))
        more = optional[i] if optional else None
        one = sample_system(observed, i, prior, settings, rng, more)
        quantiles = np.full(len(QUANTILES), np.nan)
        if len(one.draws["ln_d_dt"]):
            quantiles = np.exp(np.percentile(one.draws["ln_d_dt"], list(QUANTILES.values())))
        rows.append(
            {
                "index": observed.index[i],
                "n_images": observed.delay.shape[1],
                **{name: getattr(one, name) for name in ("pareto_k", "ess", "log_evidence")},
                "calls": one.calls,
                "p_value": one.p_value,
                **{f"d_dt_{q}": v for q, v in zip(QUANTILES, quantiles, strict=True)},
                "n_draws": len(one.draws["ln_d_dt"]),
            }
        )
        modes += _modes(observed.index[i], one.draws)
        draws.append(one.draws)
    if not n:
        return {"systems": {}, "modes": {}, "draws": {}}
    systems = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    systems["first_draw"] = np.cumsum(systems["n_draws"]) - systems["n_draws"]
    return {
        "systems": systems,
        "modes": {name: np.array([mode[name] for mode in modes]) for name in UNITS["modes"]},
        "draws": {name: np.concatenate([one[name] for one in draws]) for name in UNITS["draws"]},
    }


def target(
    observed: Observed, i: int, prior: Mapping[str, Any], optional: Optional | None = None
) -> Posterior:
    """Return prior and likelihood of one system."""
    k = observed.delay.shape[1]
    nothing = np.zeros(k)
    optional = optional or Optional(nothing, nothing, None)
    data = PointImages(
        position=observed.position[i],
        position_error=observed.position_error[i],
        delay=observed.delay[i],
        delay_error=observed.delay_error[i],
        delay_measured=observed.delay_measured[i],
        lens_position=observed.lens_position[i],
        lens_error=float(observed.lens_error[i]),
        lens_known=bool(observed.lens_known[i]),
        flux=optional.flux,
        flux_error=optional.flux_error,
    )
    redshifts = float(observed.z_lens[i]), float(observed.z_source[i])
    return Posterior(data, prior, *redshifts, optional.stars)


def sample_system(
    observed: Observed,
    i: int,
    prior: Mapping[str, Any],
    settings: Mapping[str, Any],
    rng: np.random.Generator,
    optional: Optional | None = None,
) -> Sample:
    """Sample the posterior of one system: ``settings["draws"]`` equally probable draws.

    None, with a p-value of 0, if no lens of the prior makes such images.
    """
    chosen = target(observed, i, prior, optional)
    try:
        sampled = posterior.sample(chosen, rng, settings["ess"])
        if settings.get("nested") and not well_sampled(sampled.pareto_k, sampled.ess):
            sampled = _nested(chosen, sampled, rng, int(observed.index[i]))
    except posterior.NoLens as error:
        log.warning("system %d: %s", observed.index[i], error)
        nothing = {name: np.zeros(0) for name in UNITS["draws"]}
        return Sample(nothing, np.inf, 0.0, -np.inf, 0, 0.0)
    weight = np.exp(sampled.ln_weight - sampled.ln_weight.max())
    counts = weight > 0
    chi2 = sampled.chi2[counts] + _unlikeliness(sampled.parameters[counts], prior)
    shaped = sum(prior[name][0] != "fixed" for name in SHAPES)
    p = chi_squared.sf(chi2, chosen.n_data + shaped)
    rows = resample(sampled.ln_weight, settings["draws"], rng)
    # systematic resampling leaves them in the order they were drawn in, copies side by side
    rows = rng.permutation(rows)
    draws = dict(zip(PARAMETERS, sampled.parameters[rows].T, strict=True))
    timed = {name: getattr(sampled, name)[rows] for name in ("d_dt", "d_dt_error", "ln_marginal")}
    draws["ln_d_dt"] = np.empty(len(rows))
    draw_distance(
        timed["d_dt"],
        timed["d_dt_error"],
        rng.random(len(rows)),
        *chosen.distance,
        draws["ln_d_dt"],
    )
    draws |= timed | {"chi2": sampled.chi2[rows], "mode": sampled.mode[rows]}
    return Sample(
        draws,
        sampled.pareto_k,
        sampled.ess,
        sampled.log_evidence,
        sampled.calls,
        float(weight[counts] @ p / weight.sum()),
    )


def well_sampled(pareto_k: ArrayLike, ess: ArrayLike) -> NDArray:
    """Say whether draws are enough, and their weights good enough, to stand for a posterior."""
    return (np.asarray(ess) >= LEAST) & (np.asarray(pareto_k) < GOOD_K)


def _nested(
    chosen: Posterior, poor: posterior.Draws, rng: np.random.Generator, index: int
) -> posterior.Draws:
    """Sample once more by nested sampling; the poor draws remain where that fails too."""
    quality = f"ESS {poor.ess:.0f}, Pareto k {poor.pareto_k:.2f}"
    log.warning("system %d: %s: nested sampling instead, minutes", index, quality)
    try:
        return posterior.sample_nested(chosen, int(rng.integers(2**31)))
    except ValueError as error:
        log.warning("system %d keeps its poor draws (%s): %s", index, quality, error)
        return poor


def _unlikeliness(parameters: NDArray, prior: Mapping[str, Any]) -> NDArray:
    """Sum of squares of the shape parameters as standard normal numbers, each by its prior.

    Under the family they and the residuals are together a chi^2, in a draw of the posterior as in
    the truth (Yuan & Johnson 2012, Biometrics 68, 156): a lens that fits only by a freak of a
    galaxy is found out as well as one that does not fit.
    """
    _, e1, e2, slope, g1, g2 = parameters[:, :6].T
    shape = {"slope": slope, "one_minus_q": np.hypot(e1, e2), "shear": np.hypot(g1, g2)}
    total = np.zeros(len(parameters))
    for name in SHAPES:
        if prior[name][0] != "fixed":
            total += ndtri(np.clip(cdf(prior[name], shape[name]), 1e-12, 1 - 1e-12)) ** 2
    return total


def _modes(index: int, draws: Mapping[str, NDArray]) -> list[dict[str, Any]]:
    """Describe the modes of a posterior by the medians of their draws, the weightiest first."""
    numbers, counts = np.unique(draws["mode"], return_counts=True)
    described = []
    for j in np.argsort(-counts, kind="stable"):
        mine = draws["mode"] == numbers[j]
        described.append(
            {
                "index": index,
                "mode": numbers[j],
                "weight": counts[j] / counts.sum(),
                "d_dt": np.exp(np.median(draws["ln_d_dt"][mine])),
                "theta_e": np.median(draws["theta_e"][mine]),
                "one_minus_q": np.median(
                    np.hypot(draws["ellipticity_1"], draws["ellipticity_2"])[mine]
                ),
                "slope": np.median(draws["slope"][mine]),
                "shear": np.median(np.hypot(draws["gamma1"], draws["gamma2"])[mine]),
            }
        )
    return described


def _optional(dataset: str, observed: Observed) -> list[Optional]:
    """Read fluxes and velocity dispersions of an ingested population, where there are any."""
    systems, images = store.read(dataset, "systems"), store.read(dataset, "images")
    k = observed.delay.shape[1]
    found = []
    for i in observed.index:
        rows = systems["first_image"][i] + np.arange(k)
        flux = flux_error = np.zeros(k)
        if "flux" in images:
            known = images["flux_known"][rows].astype(bool)
            flux = np.where(known, images["flux"][rows], 0.0)
            flux_error = np.where(known, images["flux_error"][rows], 0.0)
        stars = None
        if "sigma_v" in systems and systems["sigma_v_known"][i]:
            names = ("sigma_v", "sigma_v_error", "r_eff", "aperture", "seeing")
            orbits = systems["anisotropy"][i] if systems["anisotropy_known"][i] else np.inf
            stars = Stars(*(float(systems[name][i]) for name in names), float(orbits))
        found.append(Optional(flux, flux_error, stars))
    return found


def _write(
    output: str,
    parts: Sequence[store.Tables],
    prior: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Write tables of systems with different numbers of images, one behind the other."""
    nothing = {table: {name: np.zeros(0) for name in columns} for table, columns in UNITS.items()}
    parts = [part for part in parts if part["systems"]] or [nothing]
    before = 0
    for part in parts:
        part["systems"]["first_draw"] = part["systems"]["first_draw"] + before
        before += len(part["draws"]["ln_d_dt"])
    store.write_parts(output, parts, UNITS, {"draws": settings["draws"]})
