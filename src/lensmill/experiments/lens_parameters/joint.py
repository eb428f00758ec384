"""Image and delays together: what a network sees in an image, times what positions and delays say.

For mocks whose test images a network has measured: their positions, delays and redshifts are
observed, and the exact posterior of these is sampled (`lensmill.inference`), alone and times what
the network says of the image (`lensmill.inference.image_posterior`). Of one's own system the draws
of `time_delay` are there already: they are weighted by the image.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.lens_parameters.families import FAMILIES
from lensmill.experiments.lens_parameters.parameters import targets_of, without_centre
from lensmill.inference import image_posterior, posterior
from lensmill.inference.importance import effective_size, resample
from lensmill.inference.point_images import (
    PARAMETERS as SAMPLED,
)
from lensmill.inference.point_images import (
    PointImages,
    Posterior,
    draw_distance,
)
from lensmill.learning import calibration, posteriors
from lensmill.learning.calibration import ONE_SIGMA_PERCENTILES
from lensmill.lensing.distances import time_delay
from lensmill.lensing.solver import solve
from lensmill.pipeline import logs, provenance, store
from lensmill.pipeline.priors import inverse_cdf
from lensmill.pipeline.streams import generator

log = logging.getLogger(__name__)

TIMED = (2, 4)  # numbers of images whose posteriors are sampled
MIN_MAGNIFICATION = 0.1  # as in `sky`
OWN = {  # columns of the draws of one's own lens
    **{"theta_e": "arcsec", "ellipticity_1": "", "ellipticity_2": "", "slope": ""},
    **{"gamma1": "", "gamma2": "", "kappa_ext": "", "lens_x": "arcsec", "lens_y": "arcsec"},
    **{"source_x": "arcsec", "source_y": "arcsec", "ln_d_dt": "", "d_dt": "Mpc"},
    **{"d_dt_error": "Mpc", "ln_marginal": ""},
}
DRAWS = {
    **dict.fromkeys(("slope", "one_minus_q", "shear", "kappa_ext"), ""),
    "d_dt": "Mpc",
    "d_dt_error": "Mpc",
    "ln_marginal": "",
}
UNITS = {
    "systems": {
        "index": "",
        "n_images": "",
        "z_lens": "",
        "z_source": "",
        "d_dt": "Mpc",
        **{f"{kind}_{q}": "Mpc" for kind in ("delays", "joint") for q in ("low", "median", "high")},
        **{f"{kind}_rank": "" for kind in ("delays", "joint")},
        **{f"{kind}_slope_{q}": "" for kind in ("delays", "joint") for q in ("median", "error")},
        **{f"{kind}_{q}": "" for kind in ("delays", "joint") for q in ("ess", "pareto_k")},
        "first_draw": "",
        "n_draws": "",
    },
    "draws": DRAWS,
    "delays": DRAWS,  # without the image
}


class Observation(NamedTuple):
    """How positions and delays are measured."""

    position_error: float  # [arcsec], of images and lens
    delay_error: float  # [day]
    delay_error_fraction: float  # of the delay, in quadrature


def join_mocks(
    dataset: str,
    predictions: str,
    output: str,
    summary: str,
    prior: Mapping[str, Any],
    population: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int,
) -> None:
    """Infer the time-delay distance of mocks by positions and delays, with and without the image.

    Parameters
    ----------
    dataset : path
        A simulated population.
    predictions : path
        What a network says of its test systems.
    output, summary : path
        Written: tables ``systems`` and ``draws`` (HDF5), and scatter, coverage and bias of all
        (JSON).
    prior : mapping
        Of the population that the network learned from: the prior of the analysis.
    population : mapping
        ``family`` of the network's population.
    settings : mapping
        ``systems``, ``ess`` and ``draws`` of a posterior, ``position_error`` [arcsec],
        ``delay_error`` [day], ``delay_error_fraction``.
    seed : int

    Raises
    ------
    ValueError
        If there are not as many test systems with two or four images.
    """
    whole = {**prior, **FAMILIES[population["family"]]}
    truth = store.read(dataset, "systems")
    index = store.read(predictions, "systems", ["index"])["index"]
    mixtures = posteriors.Mixture(**store.read(predictions, "mixtures"))
    place = {int(i): row for row, i in enumerate(truth["index"])}
    usable = [row for row, i in enumerate(index) if truth["n_images"][place[int(i)]] in TIMED]
    if len(usable) < settings["systems"]:
        raise ValueError(
            f"{predictions} has {len(usable)} systems with two or four images, but joint.systems "
            f"is {settings['systems']}; simulate more, or ask for fewer"
        )
    usable = usable[: settings["systems"]]
    about = store.attributes(predictions)
    targets = targets_of(about)
    mixtures = posteriors.Mixture(*(part[usable] for part in mixtures))
    images = posteriors.marginal(mixtures, without_centre(targets))
    observation = Observation(*(settings[name] for name in Observation._fields))
    name = store.attributes(dataset)["population"]
    rows, draws = [], []
    for i, row in enumerate(logs.progress(usable, "image and delays")):
        system = {c: v[place[int(index[row])]] for c, v in truth.items()}
        rng = generator(seed, "lens_parameters", f"joint/{name}", int(index[row]))
        target = Posterior(
            observe(system, observation, rng),
            analysed(whole),
            float(system["z_lens"]),
            float(system["z_source"]),
        )
        image = posteriors.Mixture(*(part[[i]] for part in images))
        one, found = join(target, image, targets, whole, settings, rng, float(system["d_dt"]))
        facts = {c: system[c] for c in ("index", "n_images", "z_lens", "z_source", "d_dt")}
        rows.append({**facts, **one, "n_draws": settings["draws"]})
        draws.append(found)
    systems = {column: np.array([row[column] for row in rows]) for column in rows[0]}
    systems["first_draw"] = np.cumsum(systems["n_draws"]) - systems["n_draws"]
    tables = {
        table: {c: np.concatenate([one[table][c] for one in draws]) for c in DRAWS}
        for table in ("draws", "delays")
    }
    attributes = provenance.attributes(
        dict(settings),
        experiment="lens_parameters",
        network=about["network"],
        population=name,
        seed=seed,
    )
    store.write(output, {"systems": systems, **tables}, UNITS, attributes)
    found = {"network": str(about["network"]), "population": str(name), **summarise(systems)}
    with store.whole(Path(summary)) as file:
        file.write(json.dumps(found, indent=1).encode())


def analysed(prior: Mapping[str, Any]) -> dict[str, Any]:
    """Return the prior of positions and delays: of the lens with the sheet divided out.

    So the distance that they give is D_dt (1 - kappa).
    """
    more = {"einstein_radius_is": "theta_e", "min_magnification": MIN_MAGNIFICATION}
    return {**prior, **more, "kappa_ext": ["fixed", 0.0]}


def observe(
    system: Mapping[str, Any], observation: Observation, rng: np.random.Generator
) -> PointImages:
    """Measure positions and delays of a mock system, the lens at the origin."""
    mass = [np.atleast_1d(system[n]) for n in ("theta_e", "q", "phi", "slope", "gamma1", "gamma2")]
    source = [np.atleast_1d(system[n]) for n in ("source_x", "source_y")]
    images = solve(*mass, np.zeros(1), *source, min_magnification=MIN_MAGNIFICATION)
    k = int(images.n_images[0])
    fermat = images.fermat - images.fermat[0]
    delay = (1 - system["kappa_ext"]) * time_delay(float(system["d_dt"]), fermat)
    error = np.hypot(observation.delay_error, observation.delay_error_fraction * delay)
    error[0] = 0.0
    noise = observation.position_error
    nothing = np.zeros(k)
    return PointImages(
        position=np.column_stack([images.x, images.y]) + noise * rng.standard_normal((k, 2)),
        position_error=np.full(k, noise),
        delay=delay + error * rng.standard_normal(k),
        delay_error=error,
        delay_measured=np.ones(k, bool),
        lens_position=noise * rng.standard_normal(2),
        lens_error=noise,
        lens_known=True,
        flux=nothing,
        flux_error=nothing,
    )


def join(
    target: Posterior,
    image: posteriors.Mixture,
    targets: str,
    prior: Mapping[str, Any],
    settings: Mapping[str, Any],
    rng: np.random.Generator,
    true: float = np.nan,
) -> tuple[dict[str, float], dict[str, dict[str, NDArray]]]:
    """Sample a system by positions and delays alone, and together with the image.

    ``image`` and ``targets`` are as `image_posterior.log_likelihood` takes them.

    Returns
    -------
    numbers : dict
        Of the table ``systems``.
    draws : dict
        By table: ``delays`` and ``draws``, the latter with the image.
    """

    def seen(p: NDArray, images: NDArray | None) -> NDArray:
        lens = dict(zip(SAMPLED, p.T, strict=True))
        return image_posterior.log_likelihood(lens, image, prior, targets, images)

    places = target.data.position[:2] - target.data.lens_position
    redshifts = target.z_lens, target.z_source
    shapes = image_posterior.shapes(image, targets, places)
    together = Posterior(target.data, target.prior, *redshifts, more=seen, shapes=shapes)
    numbers: dict[str, float] = {}
    draws = {}
    for kind, one in (("delays", target), ("joint", together)):
        sampled = posterior.sample(one, rng, settings["ess"])
        rows = rng.permutation(resample(sampled.ln_weight, settings["draws"], rng))
        lens = dict(zip(SAMPLED, sampled.parameters[rows].T, strict=True))
        n = len(rows)
        kappa = inverse_cdf(prior["kappa_ext"], rng.random(n))
        # what the delays ask for is D_dt (1 - kappa)
        d_dt, error = (x[rows] / (1 - kappa) for x in (sampled.d_dt, sampled.d_dt_error))
        ln_d_dt = np.empty(n)
        draw_distance(d_dt, error, rng.random(n), *target.distance, ln_d_dt)
        numbers |= _numbers(kind, ln_d_dt, lens["slope"], true)
        numbers |= {f"{kind}_ess": sampled.ess, f"{kind}_pareto_k": sampled.pareto_k}
        draws["draws" if kind == "joint" else kind] = {
            "slope": lens["slope"],
            "one_minus_q": np.hypot(lens["ellipticity_1"], lens["ellipticity_2"]),
            "shear": np.hypot(lens["gamma1"], lens["gamma2"]),
            "kappa_ext": kappa,
            "d_dt": d_dt,
            "d_dt_error": error,
            "ln_marginal": sampled.ln_marginal[rows],
        }
    return numbers, draws


def _numbers(kind: str, ln_d_dt: NDArray, slope: NDArray, true: float) -> dict[str, float]:
    """Quantiles of distance and slope, and the rank of the true distance."""
    low, median, high = np.exp(np.percentile(ln_d_dt, ONE_SIGMA_PERCENTILES))
    found = {f"{kind}_low": low, f"{kind}_median": median, f"{kind}_high": high}
    found[f"{kind}_rank"] = float(np.mean(ln_d_dt < np.log(true)))
    low, median, high = np.percentile(slope, ONE_SIGMA_PERCENTILES)
    return found | {f"{kind}_slope_median": median, f"{kind}_slope_error": (high - low) / 2}


def join_lens(
    image: str,
    lens: str,
    output: str,
    text: str,
    prior: Mapping[str, Any],
    system: str | None = None,
) -> None:
    """Weigh the draws of one's own lens, by positions and delays, by one's own image of it.

    Both must have the same directions: x to the right and y up in the image, in arcsec.

    Parameters
    ----------
    image : path
        The posterior by the image, written by `measure.measure_image`.
    lens : path
        Posteriors by positions and delays, with tables ``systems`` and ``draws``.
    output, text : path
        Written: the draws with ``ln_image`` (HDF5), and what comes of them, to read.
    prior : mapping
        Of the population that the network learned from.
    system : str, optional
        Its name in ``lens``; it need not be given where there is but one.

    Raises
    ------
    ValueError
        If there is no such system, it has no draws, or hardly a draw fits the image.
    """
    systems = store.read(lens, "systems")
    names = [str(name) for name in systems["name"]]
    if (system or names[0]) not in names or (system is None and len(names) > 1):
        raise ValueError(
            f"{lens} has the systems {', '.join(names)}; name one of them (measure.system)"
        )
    row = names.index(system) if system is not None else 0
    first, n = int(systems["first_draw"][row]), int(systems["n_draws"][row])
    if not n:
        raise ValueError(f"{lens}: {names[row]} has no draws, since no lens makes its images")
    draws = {c: v[first : first + n] for c, v in store.read(lens, "draws").items()}
    mixture = posteriors.Mixture(**store.read(image, "mixtures"))
    targets = targets_of(store.attributes(image))
    seen = posteriors.marginal(mixture, without_centre(targets))
    ln_image = image_posterior.log_likelihood(draws, seen, prior, targets)
    left = effective_size(ln_image) if np.isfinite(ln_image).any() else 0.0
    if left < posterior.FEW:
        raise ValueError(
            f"{left:.0f} of {n} draws of {names[row]} fit its image, but {posterior.FEW:.0f} or "
            "more must: positions and image contradict each other, or lie in frames that are "
            "turned or mirrored against each other (x to the right and y up in the image), or the "
            "image is far better than the delays: raise hubble.posteriors.draws"
        )
    weight = np.exp(ln_image - ln_image.max())
    lines = [
        f"{names[row]}, positions and delays with the image: {left:.0f} effective draws of {n}"
    ]
    d_dt = np.exp(draws["ln_d_dt"])
    for name, unit, x in (("D_dt", " Mpc", d_dt), ("slope", "", draws["slope"])):
        said = []
        for weights in (np.ones(n), weight):
            low, middle, high = _weighted(x, weights)
            digits = 0 if unit else 3
            said.append(
                f"{middle:.{digits}f} +{high - middle:.{digits}f} -{middle - low:.{digits}f}{unit}"
            )
        lines.append(f"  {name:6s} {said[0]} without, {said[1]} with the image")
    columns = {name: draws[name] for name in OWN} | {"ln_image": ln_image}
    about = provenance.attributes({}, experiment="lens_parameters", system=names[row])
    store.write(output, {"draws": columns}, {"draws": {**OWN, "ln_image": ""}}, about)
    with store.whole(Path(text)) as file:
        file.write(("\n".join(lines) + "\n").encode())


def _weighted(x: NDArray, weight: NDArray) -> NDArray:
    """Return the ends of the central 68 % and the median of weighted draws."""
    order = np.argsort(x)
    below = np.cumsum(weight[order]) - weight[order] / 2
    return np.interp(np.array(ONE_SIGMA_PERCENTILES) / 100, below / weight.sum(), x[order])


def summarise(systems: Mapping[str, NDArray]) -> dict[str, Any]:
    """Scatter, bias, coverage and width of ln D_dt, without and with the image, and their ratio."""
    found: dict[str, Any] = {"systems": len(systems["d_dt"])}
    for kind in ("delays", "joint"):
        error = np.log(systems[f"{kind}_median"] / systems["d_dt"])
        rank = systems[f"{kind}_rank"]
        width = np.log(systems[f"{kind}_high"] / systems[f"{kind}_low"]) / 2
        found[kind] = {
            "bias": calibration.bias(error),
            "mean": float(error.mean()),
            "mean_error": float(error.std() / np.sqrt(len(error))),
            "scatter": calibration.robust_scatter(error),
            "width": float(np.median(width)),
            **{
                f"coverage{name}": calibration.coverage(rank, level)
                for name, level in calibration.CLAIMED.items()
            },
        }
    found["scatter_ratio"] = found["joint"]["scatter"] / found["delays"]["scatter"]
    found["width_ratio"] = found["joint"]["width"] / found["delays"]["width"]
    found["least_ess"] = float(np.min([systems["joint_ess"], systems["delays_ess"]]))
    return found
