"""Time-delay distances and the Hubble constant of real systems, from their exact posteriors.

What the numbers include: the errors of positions and delays, and the spread of slope, ellipticity,
shear and external convergence in the family's prior. What they do not: a mass profile that is no
power law (the mass-sheet degeneracy; lambda = 1 throughout), what is known of each line of sight,
second galaxies, groups and clusters. Where the prior is not the population all systems are wrong
together, which does not average out: `population` lets them answer for it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from lensmill.experiments.time_delay import exact, observe, verdicts
from lensmill.experiments.time_delay.verdicts import ln_reference, prior_miss
from lensmill.learning import calibration
from lensmill.learning.calibration import ONE_SIGMA, ONE_SIGMA_PERCENTILES
from lensmill.pipeline import store
from lensmill.pipeline.priors import cdf, ends, inverse_cdf

GRID = 2000  # points in H0
DISTANCES = 1000  # points in ln D_dt of an exact likelihood
BLUR = 0.3  # times spread times n^-0.2 (Silverman's rule: 0.9): least width of a draw's likelihood
LEAST_DRAWS = 5.0  # effective ones, that a system must have at a combined value
BINS = 4  # per kernel width, where densities are estimated
TRUNCATE = 8.0  # kernel widths from its centre, where the kernel ends
NARROWEST = 1e-5  # kernel, in ln D_dt
TINY = 1e-300

UNITS = {
    "d_dt": "Mpc",
    "d_dt_low68": "Mpc",
    "d_dt_high68": "Mpc",
    "d_dt_published": "Mpc",
    "d_dt_published_minus": "Mpc",
    "d_dt_published_plus": "Mpc",
    "h0": "km / (Mpc s)",
    "h0_low68": "km / (Mpc s)",
    "h0_high68": "km / (Mpc s)",
    "h0_true": "km / (Mpc s)",
    "prior_miss": "",
    "network_d_dt": "Mpc",
    "network_d_dt_low68": "Mpc",
    "network_d_dt_high68": "Mpc",
    "network_shift": "",
    "slope": "",
    "one_minus_q": "",
    "shear": "",
}
NOTES = {
    "title": "Time-delay distances and H0 of real systems: exact posterior, network, publications",
    "includes": "errors of positions and delays; spread of slope, ellipticity, shear and external "
    "convergence in the prior of the family",
    "excludes": "mass profiles that are no power law (mass sheet: lambda = 1), measured lines of "
    "sight, companions, groups and clusters, a population unlike the prior",
    "intervals": "68 %, central; H0 within its prior (hubble.h0), that of a system as if combined "
    "with no other; D_dt with the wider prior of the family",
    "prior_miss": "by how many of its own errors a distance misses all the prior of H0 allows; "
    "mocks set from where on the verdict says so",
    "difference_sigma": "ln(exact / published) in units of both errors",
    "network": "what the network says, which approximates the same posterior; network_shift: "
    "ln(network / exact) in units of the exact error",
    "checks": "p_value (of residuals and shape of the lens over the posterior) and power: can the "
    "family reproduce the system? pareto_k (below 0.7) and ess: quality of the draws",
    "modes": "weight, D_dt [Mpc] and slope of every mode of the posterior that has several",
    "beyond": "errors that no mock has, for which the thresholds were not measured",
}


class Draws(NamedTuple):
    """Draws of the exact posterior of one system, as far as its distance is concerned."""

    d_dt: NDArray  # (S,) [Mpc], the next two: `inference.point_images.Likelihood`
    d_dt_error: NDArray
    ln_marginal: NDArray
    weight: NDArray | None = None  # (S,); None: equally probable


def infer_hubble(
    dataset: str,
    posteriors: str,
    predictions: Sequence[str],
    family: str,
    table: str,
    summary: str,
    trained: Mapping[str, Any],
    prior: Mapping[str, Any],
) -> None:
    """Put distances beside published ones and a network's, and turn them into Hubble constants.

    Parameters
    ----------
    dataset, posteriors : path
        The ingested population, and its exact posteriors (`exact.sample_population`).
    predictions : sequence of path
        Of the networks; each answers for one number of images.
    family : path
        Of `verdicts.calibrate_family`.
    table, summary : path
        Written: one row per system (ECSV); combined Hubble constants and, where the truth is
        known, the accuracy (JSON).
    trained, prior : mapping
        Priors of ``h0`` and ``omega_m``: of the family, and of the answer.
    """
    systems = store.read(dataset, "systems")
    draws = read_draws(posteriors)
    networks: dict[int, NDArray] = {}
    for path in predictions:
        networks |= read_networks(path, dataset)
    rows = describe(dataset, posteriors, family, trained, prior, networks)
    columns: dict[str, list] = {name: [row.get(name) for row in rows] for name in COLUMNS}
    cells = {name: _column(values, name in TEXTS) for name, values in columns.items()}
    verdicts.write_table(table, cells, UNITS, NOTES)

    usable = [i for i in sorted(draws) if columns["verdict"][i] not in verdicts.UNUSABLE]
    together = {
        "usable": usable,
        "usable_without_complex": [i for i in usable if not systems["complex"][i]],
    }
    content: dict[str, Any] = {
        **{name: NOTES[name] for name in ("includes", "excludes")},
        "prior": dict(prior),
        "prior_of_family": dict(trained),
        "not_to_be_used": {
            row["name"]: row["verdict"] for row in rows if row["verdict"] in verdicts.UNUSABLE
        },
        "combined": {},
        "combined_by_network": {},
    }
    for name, chosen in together.items():
        for key, answers in (("combined", draws), ("combined_by_network", networks)):
            mine = [i for i in chosen if i in answers]
            some = {c: v[mine] for c, v in systems.items()}
            content[key][name] = {
                "systems": [str(n) for n in some["name"]],
                **combine([answers[i] for i in mine], some, trained, prior),
            }
    for key, answers in (("accuracy", draws), ("accuracy_of_network", networks)):
        mocks = [i for i in np.flatnonzero(is_mock(systems)) if i in answers]
        if mocks:
            some = {c: v[mocks] for c, v in systems.items()}
            content[key] = accuracy([answers[i] for i in mocks], some, trained, prior)
    with store.whole(Path(summary)) as file:
        file.write(json.dumps(content, indent=2).encode())


def read_draws(posteriors: str) -> dict[int, Draws]:
    """Read exact posteriors; keys are rows of ``systems`` of the population."""
    systems = store.read(posteriors, "systems", ["index", "first_draw", "n_draws"])
    names = ["d_dt", "d_dt_error", "ln_marginal"]
    columns = store.read(posteriors, "draws", names) if len(systems["index"]) else {}
    found = {}
    for i, first, n in zip(*(systems[c].tolist() for c in systems), strict=True):
        if n:
            found[i] = Draws(*(columns[name][first : first + n] for name in names))
    return found


def read_networks(path: str, dataset: str) -> dict[int, NDArray]:
    """Read a network's samples of ln D_dt; keys are rows of ``systems``."""
    predicted = store.read(path, "systems", ["index", "n_images"])
    if not len(predicted["index"]):
        return {}
    k = int(predicted["n_images"][0])
    data, _ = observe.from_ingested(dataset, k)
    if not np.array_equal(data.index, predicted["index"]):
        raise ValueError(f"{path} is not about the systems of {dataset}; evaluate it again")
    samples = store.read(path, "samples", ["ln_d_dt"])["ln_d_dt"].astype(float)
    return dict(zip(data.index.tolist(), samples, strict=True))


def describe(
    dataset: str,
    posteriors: str,
    family: str,
    trained: Mapping[str, Any],
    prior: Mapping[str, Any],
    networks: Mapping[int, NDArray] | None = None,
) -> list[dict[str, Any]]:
    """Describe every system of a population: ``COLUMNS`` by name, one dictionary per system.

    Arguments as of `infer_hubble`; ``networks`` has samples of ln D_dt by row of the population.
    """
    systems = store.read(dataset, "systems")
    calibrations = verdicts.read_calibrations(family)
    sampled = store.read(posteriors, "systems")
    draws = read_draws(posteriors)
    lenses = store.read(posteriors, "draws") if draws else {}
    modes = store.read(posteriors, "modes") if draws else {"index": np.zeros(0, int)}
    observed = {k: observe.from_ingested(dataset, k)[0] for k in calibrations}
    rows = [_facts({c: v[[i]] for c, v in systems.items()}) for i in range(len(systems["name"]))]
    for j, i in enumerate(sampled["index"].tolist()):
        row, one = rows[i], {c: v[[i]] for c, v in systems.items()}
        quality = {c: sampled[c][j] for c in ("p_value", "pareto_k", "ess")}
        k = row["n_images"]
        calibration = calibrations[k]
        row |= quality | {"power": calibration.power}
        place = int(np.searchsorted(observed[k].index, i))
        row["beyond"] = verdicts.beyond_calibration(observed[k], place, calibration)
        miss = np.nan
        if i in draws:
            quantiles = np.log([[sampled[name][j]] for name in verdicts.QUANTILES])
            row |= _distance(quantiles[:, 0], one, draws[i], trained, prior)
            miss = row["prior_miss"]
            own = slice(sampled["first_draw"][j], sampled["first_draw"][j] + sampled["n_draws"][j])
            row |= _shape({name: column[own] for name, column in lenses.items()})
            row["modes"] = _modes({c: v[modes["index"] == i] for c, v in modes.items()})
        if networks and i in networks:
            low, middle, high = np.percentile(networks[i], ONE_SIGMA_PERCENTILES)
            row |= {
                "network_d_dt": np.exp(middle),
                "network_d_dt_low68": np.exp(low),
                "network_d_dt_high68": np.exp(high),
            }
            if i in draws:
                half = np.log(row["d_dt_high68"] / row["d_dt_low68"]) / 2
                row["network_shift"] = (middle - np.log(row["d_dt"])) / half
        sure = bool(exact.well_sampled(quality["pareto_k"], quality["ess"]))
        row["verdict"] = verdicts.verdict(quality["p_value"], miss, sure, calibration)
    return rows


def log_likelihood(
    ln_d_dt: NDArray, z_lens: float, z_source: float, trained: Mapping[str, Any]
) -> tuple[NDArray, NDArray]:
    """Logarithm of the likelihood of ln D_dt, but for a constant, from a network's posterior.

    It is the density of the samples divided by that of the training's prior, where D_dt goes as
    1 / H0: flat in H0 is not flat in ln D_dt. One kernel smooths both, so that the ends of the
    prior, where the posterior is cut off, do not look like information.

    Returns
    -------
    ln_d_dt, log_likelihood : array
        On an even grid over all distances that the training's prior allows.
    """
    low, high = np.percentile(ln_d_dt, [25, 75])
    spread = min(ln_d_dt.std(), (high - low) / 1.349)
    kernel = max(0.9 * spread * len(ln_d_dt) ** -0.2, NARROWEST)  # Silverman 1986, eq. 3.31
    reference = ln_reference(z_lens, z_source, trained["omega_m"])
    slowest, fastest = np.log(ends(trained["h0"]))
    margin = TRUNCATE * kernel
    edges = np.arange(
        reference.min() - fastest - margin, reference.max() - slowest + margin, kernel / BINS
    )
    density, _ = np.histogram(ln_d_dt, edges)
    expected = -np.diff(cdf(trained["h0"], np.exp(reference[:, None] - edges))).mean(axis=0)
    density, expected = (
        gaussian_filter1d(mass, BINS, mode="constant", truncate=TRUNCATE)
        for mass in (density / len(ln_d_dt), expected)
    )
    ratio = np.log(np.maximum(density, TINY)) - np.log(np.maximum(expected, TINY))
    return (edges[1:] + edges[:-1]) / 2, ratio


def _blurred(draws: Draws) -> NDArray:
    """Width of the delays' likelihood of each draw; a finite number of thin ones is a comb."""
    d = draws.d_dt
    return np.hypot(draws.d_dt_error, BLUR * len(d) ** -0.2 * np.std(d))


def _draws_at(draws: Draws, d_dt: float) -> float:
    """Effective number of draws that the likelihood of one distance [Mpc] rests on."""
    ln_w = -draws.ln_marginal - ((d_dt - draws.d_dt) / _blurred(draws)) ** 2 / 2
    w = np.exp(ln_w - ln_w.max()) if np.isfinite(ln_w).all() else np.ones(len(ln_w))
    if draws.weight is not None:
        w = w * draws.weight
    return float(w.sum() ** 2 / (w**2).sum())


def exact_log_likelihood(draws: Draws) -> tuple[NDArray, NDArray]:
    """Logarithm of the likelihood of ln D_dt, but for a constant, from draws of the posterior.

    The delays' likelihood, given a lens, is Gaussian in D_dt; the mean over the lenses is free of
    the prior of D_dt under which they were drawn.

    Returns
    -------
    ln_d_dt, log_likelihood : array
        On an even grid over all distances that any draw allows.
    """
    d, error = draws.d_dt, draws.d_dt_error
    if not np.isfinite(error).all():  # no delay: any distance will do
        return np.array([-1e3, 1e3]), np.zeros(2)
    error = _blurred(draws)
    ln_weight = -draws.ln_marginal
    if draws.weight is not None:
        ln_weight = ln_weight + np.log(np.maximum(draws.weight, TINY))
    used = ln_weight > ln_weight.max() - 30
    d, error, ln_weight = d[used], error[used], ln_weight[used]
    # delays that are mostly noise may ask for a negative distance
    floor = 0.05 * (d[d > 0] if (d > 0).any() else error).min()
    ends_of = np.maximum(d - TRUNCATE * error, floor), d + TRUNCATE * error
    grid = np.linspace(np.log(ends_of[0].min()), np.log(ends_of[1].max()), DISTANCES)
    # one pass over a large table each; that of scipy takes several
    ln = (np.exp(grid)[:, None] - d) / error
    ln *= ln
    ln *= -0.5
    ln += ln_weight
    largest = ln.max(axis=1)
    ln -= largest[:, None]
    return grid, largest + np.log(np.exp(ln, out=ln).sum(axis=1))


def hubble_posterior(
    samples: Sequence[NDArray | Draws],
    systems: Mapping[str, NDArray],
    trained: Mapping[str, Any],
    prior: Mapping[str, Any],
    over_truth: bool = False,
) -> tuple[NDArray, NDArray]:
    """Posterior of H0 from independent systems in one universe, Omega_m integrated over.

    The likelihoods of the systems are multiplied, and H0 is given its prior once. Of one system
    this is its Hubble constant.

    Parameters
    ----------
    samples : sequence
        Of ln D_dt, from networks, or `Draws` of exact posteriors.
    systems : mapping
        Columns of the same systems.
    trained, prior : mapping
        Priors of ``h0`` and ``omega_m``: of the training, and of the answer.
    over_truth : bool
        Give the ratio of H0 to the true one, which is known of all systems (`is_mock`).

    Returns
    -------
    h0, cumulative : array
        Values of H0, equally probable a priori, and the probability that it is below each.
    """
    u = (np.arange(GRID) + 0.5) / GRID
    h0 = inverse_cdf(prior["h0"], u)
    if over_truth:
        h0 = h0 / np.median(systems["h0"])
    total = np.zeros((verdicts.OMEGA_M_NODES, GRID))
    for i, sample in enumerate(samples):
        z = systems["z_lens"][i], systems["z_source"][i]
        if over_truth:
            reference = np.full(verdicts.OMEGA_M_NODES, np.log(systems["d_dt"][i]))
        else:
            reference = ln_reference(*z, prior["omega_m"])
        if isinstance(sample, Draws):
            likelihood = exact_log_likelihood(sample)
        else:
            likelihood = log_likelihood(sample, *z, trained)
        total += np.interp(reference[:, None] - np.log(h0), *likelihood)
    weight = np.exp(total - total.max()).sum(axis=0)
    return h0, (np.cumsum(weight) - weight / 2) / weight.sum()


def combine(
    samples: Sequence[NDArray | Draws],
    systems: Mapping[str, NDArray],
    trained: Mapping[str, Any],
    prior: Mapping[str, Any],
) -> dict[str, Any]:
    """Median and central 68 % of `hubble_posterior`.

    Returns
    -------
    dict
        ``h0_low68``, ``h0``, ``h0_high68`` [km / (Mpc s)], or the same with ``_over_truth``; None
        without systems, and with a reason in ``refused`` where systems contradict each other so
        much that the value of all rests on hardly a draw of one.
    """
    if not samples:
        return {f"h0{end}": None for end in ("", "_low68", "_high68")}
    known = bool(is_mock(systems).all())
    h0, cumulative = hubble_posterior(samples, systems, trained, prior, known)
    values = np.interp(np.array(ONE_SIGMA_PERCENTILES) / 100, cumulative, h0)
    suffix = "_over_truth" if known else ""
    names = ("h0_low68", "h0", "h0_high68")
    far = []
    for i, sample in enumerate(samples if len(samples) > 1 else ()):
        if isinstance(sample, Draws):
            z = systems["z_lens"][i], systems["z_source"][i]
            reference = systems["d_dt"][i]
            if not known:
                reference = np.exp(np.median(ln_reference(*z, prior["omega_m"])))
            used = _draws_at(sample, float(reference / values[1]))
            if used < LEAST_DRAWS:
                far.append(f"{systems['name'][i]} ({used:.1f})")
    if far:
        empty = dict.fromkeys([name + suffix for name in names])
        return empty | {"refused": f"contradict the others (effective draws): {', '.join(far)}"}
    return {name + suffix: round(float(v), 4) for name, v in zip(names, values, strict=True)}


def is_mock(systems: Mapping[str, NDArray]) -> NDArray:
    """Say whose truth is known: systems with a Hubble constant and a distance without error."""
    error = systems["d_dt_minus"] + systems["d_dt_plus"]
    return (systems["h0_known"] == 1) & (systems["d_dt_known"] == 1) & (error == 0)


def prior_limits(
    mocks: str, predictions: Sequence[str], prior: Mapping[str, Any], false_alarm_rate: float
) -> dict[int, verdicts.Edge]:
    """Set the `prior_miss` of networks at which H0 is at the edge of its prior, by images."""
    true = store.read(mocks, "systems", ["h0"])["h0"]
    limits = {}
    for path in predictions:
        answers = store.read(path, "systems")
        quantiles = np.log([answers[f"d_dt_{name}"] for name in ("low68", "median", "high68")])
        miss = prior_miss(quantiles, answers["z_lens"], answers["z_source"], prior)
        try:
            edge = verdicts.set_edge(miss, true[answers["index"]], prior["h0"], false_alarm_rate)
        except ValueError as error:
            raise ValueError(f"mocks of {path}: {error}; make the population larger") from error
        limits[int(answers["n_images"][0])] = edge
    return limits


def accuracy(
    samples: Sequence[NDArray | Draws],
    systems: Mapping[str, NDArray],
    trained: Mapping[str, Any],
    prior: Mapping[str, Any],
) -> dict[str, Any]:
    """Score the H0 of single mocks against the true one, by number of images and in all.

    ``bias`` and ``robust_scatter`` are of ln H0. ``A``, ``P`` and ``chi2`` are accuracy, precision
    and goodness of the challenge (Ding et al. 2021, MNRAS 503, 1096): means of the error and of the
    claimed error, over the truth, and of the square of their ratio. ``A_error`` is the error of the
    mean by the scatter of the systems.
    """
    error, rank, quantiles = [], [], []
    for i, sample in enumerate(samples):
        one = {name: column[[i]] for name, column in systems.items()}
        ratio, cumulative = hubble_posterior([sample], one, trained, prior, over_truth=True)
        quantiles.append(np.interp(np.array(ONE_SIGMA_PERCENTILES) / 100, cumulative, ratio))
        error.append(np.log(quantiles[-1][1]))
        rank.append(np.interp(1.0, ratio, cumulative))
    error, rank, (low, middle, high) = np.array(error), np.array(rank), np.array(quantiles).T
    claimed = (high - low) / 2
    groups = {"all": np.ones(len(samples), bool)}
    groups |= {f"{k}_images": systems["n_images"] == k for k in np.unique(systems["n_images"])}
    return {
        name: {
            "systems": int(members.sum()),
            "A": round(float(np.mean(middle[members] - 1)), 4),
            "A_error": round(float(np.std(middle[members]) / np.sqrt(members.sum())), 4),
            "P": round(float(np.mean(claimed[members])), 4),
            "chi2": round(float(np.mean(((middle - 1) / claimed)[members] ** 2)), 4),
            "bias": round(calibration.bias(error[members]), 4),
            "robust_scatter": round(calibration.robust_scatter(error[members]), 4),
            "coverage68": round(calibration.coverage(rank[members], ONE_SIGMA), 4),
            "coverage95": round(calibration.coverage(rank[members], 0.9545), 4),
        }
        for name, members in groups.items()
    }


TEXTS = ("name", "verdict", "complex", "modes", "beyond")
COLUMNS = (
    "name",
    "n_images",
    "verdict",
    "complex",
    *UNITS,
    "difference_sigma",
    "p_value",
    "power",
    "pareto_k",
    "ess",
    "modes",
    "beyond",
)


def _facts(system: Mapping[str, NDArray]) -> dict[str, Any]:
    """Return what is known of one system (columns of one row) without any inference."""
    one = {column: values[0] for column, values in system.items()}
    row = {
        "name": str(one["name"]),
        "n_images": int(one["n_images"]),
        "complex": str(one["complex_reason"]),
        "verdict": verdicts.NOT_JUDGED,
    }
    if one["d_dt_known"]:
        row |= {f"d_dt_published{end}": one[f"d_dt{end}"] for end in ("", "_minus", "_plus")}
    if is_mock(system)[0]:
        row["h0_true"] = one["h0"]
    return row


def _distance(
    quantiles: NDArray,
    system: Mapping[str, NDArray],
    draws: Draws,
    trained: Mapping[str, Any],
    prior: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe distance and H0 of one system, from the quantiles of its ln D_dt and its draws."""
    one = {column: values[0] for column, values in system.items()}
    low, middle, high = quantiles
    h0 = list(combine([draws], system, trained, prior).values())
    h0_low, h0_middle, h0_high = np.array(h0) * (one["h0"] if is_mock(system)[0] else 1)
    miss = prior_miss(quantiles[:, None], system["z_lens"], system["z_source"], prior)
    row = {
        "d_dt": np.exp(middle),
        "d_dt_low68": np.exp(low),
        "d_dt_high68": np.exp(high),
        "h0": h0_middle,
        "h0_low68": h0_low,
        "h0_high68": h0_high,
        "prior_miss": float(miss[0]),
    }
    if one["d_dt_known"]:
        difference = middle - np.log(one["d_dt"])
        ours = middle - low if difference > 0 else high - middle
        theirs = one["d_dt_plus"] if difference > 0 else one["d_dt_minus"]
        row["difference_sigma"] = difference / np.hypot(ours, theirs / one["d_dt"])
    return row


def _shape(draws: Mapping[str, NDArray]) -> dict[str, float]:
    """Return the medians of the shape of one lens."""
    return {
        "slope": np.median(draws["slope"]),
        "one_minus_q": np.median(np.hypot(draws["ellipticity_1"], draws["ellipticity_2"])),
        "shear": np.median(np.hypot(draws["gamma1"], draws["gamma2"])),
    }


def _modes(modes: Mapping[str, NDArray]) -> str:
    """Describe the modes of one posterior, where there are several."""
    if len(modes["mode"]) < 2:
        return ""
    return "; ".join(
        f"{100 * weight:.0f} % at {d_dt:.0f} Mpc, slope {slope:.2f}"
        for weight, d_dt, slope in zip(modes["weight"], modes["d_dt"], modes["slope"], strict=True)
    )


def _column(values: list, text: bool) -> NDArray:
    """Turn a list of cells into a column: None becomes NaN, or empty in a column of text."""
    if text:
        return np.array([v or "" for v in values])
    return np.array([np.nan if v is None else v for v in values])
