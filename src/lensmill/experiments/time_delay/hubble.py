"""Time-delay distances and the Hubble constant from the networks' answers for real systems.

What the numbers include: the errors of positions and delays, and the spread of slope, ellipticity,
shear and external convergence in the population that the networks were trained on. What they do
not: a mass profile that is no power law (the mass-sheet degeneracy; lambda = 1 throughout), what
is known of each line of sight, second galaxies, groups and clusters. A mean slope of real lenses
that differs from that of the population shifts all systems together and does not average out.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from lensmill.experiments.time_delay import observe, predictive
from lensmill.learning import calibration
from lensmill.learning.calibration import ONE_SIGMA, ONE_SIGMA_PERCENTILES
from lensmill.lensing.distances import distances
from lensmill.pipeline import store
from lensmill.pipeline.priors import cdf, ends, inverse_cdf

REFERENCE = 70.0  # [km / (Mpc s)]; any other H0 gives the same answer: D_dt goes as 1 / H0
GRID = 2000  # points in H0
OMEGA_M_NODES = 9
BINS = 4  # per kernel width, where densities are estimated
TRUNCATE = 8.0  # kernel widths from its centre, where the kernel ends
OUTSIDE_PRIOR = 0.5  # errors beyond the edge, where leaving systems out hardly truncates
FOREIGN = 1.25  # times an end of the prior: where a mock lies that should be noticed
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
    "fit_d_dt": "Mpc",
    "fit_h0": "km / (Mpc s)",
    "source_scatter": "arcsec",
}
NOTES = {
    "title": "Time-delay distances and H0 of real systems: network, publications, classical fit",
    "includes": "errors of positions and delays; spread of slope, ellipticity, shear and external "
    "convergence in the population that the networks were trained on",
    "excludes": "mass profiles that are no power law (mass sheet: lambda = 1), measured lines of "
    "sight, companions, groups and clusters, an offset of the mean slope",
    "intervals": "68 %, central; H0 within its prior (hubble.h0), that of a system as if combined "
    "with no other; D_dt with the wider prior of the training",
    "prior_miss": "by how many of its own errors a distance misses all the prior of H0 allows; "
    "mocks set from where on the verdict says so",
    "difference_sigma": "ln(network / published) in units of both errors",
    "fit": "fit_d_dt: classical fit of the family, fit_error the error of its logarithm; fit_h0: "
    "its Hubble constant at Omega_m = 0.3",
    "checks": "p_value, power and verdict: can the family reproduce the system? source_scatter, "
    "delay_misfit (sigma) and predictive_p_value: does the network's answer give back the data? "
    "Canonical networks put all images on one source by construction, so that this says little: "
    "it passes systems that the verdict refuses",
}
FROM_FAMILY = ("verdict", "p_value", "power", "fit_d_dt", "fit_error", "fit_h0")


class Posterior(NamedTuple):
    """The posterior of a network for one system."""

    ln_d_dt: NDArray  # (S,) samples, D_dt in Mpc
    source_scatter: float  # [arcsec]; with the two below, see predictive.Predictive
    delay_misfit: float
    p_value: float


def infer_hubble(
    dataset: str,
    family: str,
    predictions: Sequence[str],
    mocks: str,
    mock_predictions: Sequence[str],
    table: str,
    summary: str,
    trained: Mapping[str, Any],
    prior: Mapping[str, Any],
    false_alarm_rate: float,
) -> None:
    """Put predicted distances beside published ones, and turn them into Hubble constants.

    Parameters
    ----------
    dataset : path
        The ingested population.
    family : path
        Table of `predictive.judge_family`.
    predictions : sequence of path
        Of the networks, with posterior samples; each answers for one number of images.
    mocks, mock_predictions : path, sequence of path
        The simulated population that the networks were trained on, and what they say of it.
    table, summary : path
        Written: one row per system (ECSV); combined Hubble constants and, where the truth is
        known, the accuracy (JSON).
    trained, prior : mapping
        Priors of ``h0`` and ``omega_m``: of the networks' training, and of the answer.
    false_alarm_rate : float
        Part of the mocks whose H0 the test against the prior may refuse.
    """
    systems = store.read(dataset, "systems")
    posteriors: dict[int, Posterior] = {}
    for path in predictions:
        posteriors |= read_posteriors(path, dataset)
    limits = prior_limits(mocks, mock_predictions, prior, false_alarm_rate)
    judged = {row["name"]: row for row in Table.read(family, format="ascii.ecsv")}

    columns: dict[str, list] = {}
    for i, name in enumerate(systems["name"]):
        one = {c: v[[i]] for c, v in systems.items()}
        row = _row(one, posteriors.get(i), trained, prior)
        for column in FROM_FAMILY:
            row[column] = _cell(judged, name, column)
        if i in posteriors and row["verdict"] not in predictive.UNUSABLE:
            beyond = verdict_on_h0(row["prior_miss"], limits[row["n_images"]])
            row["verdict"] = beyond or row["verdict"]
        for column, value in row.items():
            columns.setdefault(column, []).append(value)
    order = ["name", "n_images", "verdict", "complex", *UNITS, "difference_sigma", "fit_error"]
    order += ["p_value", "power", "delay_misfit", "predictive_p_value"]
    predictive.write_table(table, {c: _column(columns[c]) for c in order}, UNITS, NOTES)

    usable = [i for i in sorted(posteriors) if columns["verdict"][i] not in predictive.UNUSABLE]
    together = {
        "usable": usable,
        "usable_without_complex": [i for i in usable if not systems["complex"][i]],
    }
    content: dict[str, Any] = {
        **{name: NOTES[name] for name in ("includes", "excludes")},
        "prior": dict(prior),
        "prior_of_training": dict(trained),
        "prior_miss": {str(k): limit for k, limit in limits.items()},
        "not_to_be_used": {
            str(systems["name"][i]): columns["verdict"][i]
            for i in sorted(posteriors.keys() - usable)
        },
        "combined": {},
    }
    for name, chosen in together.items():
        some = {c: v[chosen] for c, v in systems.items()}
        content["combined"][name] = {
            "systems": [str(n) for n in some["name"]],
            **combine([posteriors[i].ln_d_dt for i in chosen], some, trained, prior),
        }
    exact = [i for i in np.flatnonzero(is_mock(systems)) if i in posteriors]
    if exact:
        content["accuracy"] = accuracy(
            [posteriors[i].ln_d_dt for i in exact],
            {c: v[exact] for c, v in systems.items()},
            trained,
            prior,
        )
    Path(summary).write_text(json.dumps(content, indent=2))


def read_posteriors(path: str, dataset: str) -> dict[int, Posterior]:
    """Read posterior samples and compare them with the data; keys are rows of ``systems``."""
    predicted = store.read(path, "systems", ["index", "n_images"])
    if not len(predicted["index"]):
        return {}
    samples = store.read(path, "samples")
    k = int(predicted["n_images"][0])
    data, _ = observe.from_ingested(dataset, k)
    if not np.array_equal(data.index, predicted["index"]):
        raise ValueError(f"{path} is not about the systems of {dataset}; evaluate it again")
    n = len(data.index)
    deflection = [samples[f"deflection_{c}"].reshape(n, k, -1) for c in "xy"]
    check = predictive.posterior_predictive(
        data,
        samples["ln_d_dt"].astype(float),
        samples["potential"].reshape(n, k, -1).astype(float),
        np.stack(deflection, axis=2).astype(float),
    )
    return {
        int(i): Posterior(samples["ln_d_dt"][j].astype(float), *(float(c[j]) for c in check))
        for j, i in enumerate(data.index)
    }


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
    reference = _ln_reference(z_lens, z_source, trained["omega_m"])
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


def hubble_posterior(
    samples: Sequence[NDArray],
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
    samples : sequence of array
        Of ln D_dt, from networks.
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
    total = np.zeros((OMEGA_M_NODES, GRID))
    for i, ln_d_dt in enumerate(samples):
        z = systems["z_lens"][i], systems["z_source"][i]
        if over_truth:
            reference = np.full(OMEGA_M_NODES, np.log(systems["d_dt"][i]))
        else:
            reference = _ln_reference(*z, prior["omega_m"])
        total += np.interp(reference[:, None] - np.log(h0), *log_likelihood(ln_d_dt, *z, trained))
    weight = np.exp(total - total.max()).sum(axis=0)
    return h0, (np.cumsum(weight) - weight / 2) / weight.sum()


def combine(
    samples: Sequence[NDArray],
    systems: Mapping[str, NDArray],
    trained: Mapping[str, Any],
    prior: Mapping[str, Any],
) -> dict[str, Any]:
    """Median and central 68 % of `hubble_posterior`.

    Returns
    -------
    dict
        ``h0_low68``, ``h0``, ``h0_high68`` [km / (Mpc s)], or the same with ``_over_truth``; None
        without systems.
    """
    if not samples:
        return {f"h0{end}": None for end in ("", "_low68", "_high68")}
    known = bool(is_mock(systems).all())
    h0, cumulative = hubble_posterior(samples, systems, trained, prior, known)
    values = np.interp(np.array(ONE_SIGMA_PERCENTILES) / 100, cumulative, h0)
    suffix = "_over_truth" if known else ""
    names = ("h0_low68", "h0", "h0_high68")
    return {name + suffix: round(float(v), 4) for name, v in zip(names, values, strict=True)}


def is_mock(systems: Mapping[str, NDArray]) -> NDArray:
    """Say whose truth is known: systems with a Hubble constant and a distance without error."""
    error = systems["d_dt_minus"] + systems["d_dt_plus"]
    return (systems["h0_known"] == 1) & (systems["d_dt_known"] == 1) & (error == 0)


def prior_limits(
    mocks: str, predictions: Sequence[str], prior: Mapping[str, Any], false_alarm_rate: float
) -> dict[int, dict[str, Any]]:
    """Set the `prior_miss` at which H0 is at the edge of its prior, by number of images.

    On one half of the mocks with an H0 that the prior allows; the rates of false alarms are
    measured on the other half.

    Returns
    -------
    dict of dict
        ``edge`` and ``outside`` (the limits), ``at_edge`` and ``beyond`` (the rates at which mocks
        exceed them), ``mocks`` (in each half), and ``power``: the rate at which mocks whose H0 lies
        a quarter or more beyond the prior exceed the edge.
    """
    true = store.read(mocks, "systems", ["h0"])["h0"]
    low, high = ends(prior["h0"])
    limits = {}
    for path in predictions:
        answers = store.read(path, "systems")
        h0 = true[answers["index"]]
        n = np.count_nonzero((h0 > low) & (h0 < high)) // 2
        if n * false_alarm_rate < 1:
            raise ValueError(
                f"{path} has {2 * n} mocks with {low:g} < H0 < {high:g}, but a false-alarm rate of "
                f"{false_alarm_rate:g} needs {int(np.ceil(2 / false_alarm_rate))} to be set and "
                "measured; make the population larger"
            )
        quantiles = np.log([answers[f"d_dt_{name}"] for name in ("low68", "median", "high68")])
        all_miss = prior_miss(quantiles, answers["z_lens"], answers["z_source"], prior)
        miss = all_miss[(h0 > low) & (h0 < high)]
        foreign = all_miss[(h0 < low / FOREIGN) | (h0 > high * FOREIGN)]
        edge = max(float(np.quantile(miss[:n], 1 - false_alarm_rate)), 0.0)
        limits[int(answers["n_images"][0])] = {
            "edge": edge,
            "outside": edge + OUTSIDE_PRIOR,
            "at_edge": float(np.mean(miss[n:] > edge)),
            "beyond": float(np.mean(miss[n:] > edge + OUTSIDE_PRIOR)),
            "mocks": n,
            "power": float(np.mean(foreign > edge)) if len(foreign) else None,
        }
    return limits


def verdict_on_h0(miss: float, limits: Mapping[str, float]) -> str | None:
    """Say whether H0 is at the edge of its prior or outside, or neither (None).

    At the edge are also some good systems of a universe whose H0 is near the end of the prior: to
    leave them out would pull the combined value from the edge, so they stay in it.
    """
    if miss > limits["outside"]:
        return predictive.CONFLICT
    return predictive.EDGE if miss > limits["edge"] else None


def prior_miss(
    ln_d_dt: NDArray, z_lens: NDArray, z_source: NDArray, prior: Mapping[str, Any]
) -> NDArray:
    """Tension with the prior: by how many of its errors a distance misses all that H0 allows.

    Positive outside the prior, whatever Omega_m; above 1 the central 68 % lie outside.

    Parameters
    ----------
    ln_d_dt : array, shape (3, n)
        Lower end, median and upper end of the central 68 %, under the wider prior of the training.
    z_lens, z_source : array, shape (n,)
    prior : mapping
        Of the answer.
    """
    low, middle, high = ln_d_dt
    slowest, fastest = np.log(ends(prior["h0"]))
    reference = _ln_reference(z_lens, z_source, prior["omega_m"])
    too_large = (middle - (reference.max(axis=0) - slowest)) / (middle - low)
    too_small = (reference.min(axis=0) - fastest - middle) / (high - middle)
    return np.maximum(too_large, too_small)


def _ln_reference(z_lens: NDArray, z_source: NDArray, omega_m: Sequence[Any]) -> NDArray:
    """Return ln(D_dt H0) at equally probable values of Omega_m, along the first axis."""
    nodes = inverse_cdf(list(omega_m), (np.arange(OMEGA_M_NODES) + 0.5) / OMEGA_M_NODES)
    *_, d_dt = distances(
        z_lens, z_source, REFERENCE, np.expand_dims(nodes, [*range(1, 1 + np.ndim(z_lens))])
    )
    return np.log(REFERENCE * d_dt)


def accuracy(
    samples: Sequence[NDArray],
    systems: Mapping[str, NDArray],
    trained: Mapping[str, Any],
    prior: Mapping[str, Any],
) -> dict[str, Any]:
    """Score the H0 of single mocks against the true one, by number of images and in all.

    ``bias`` and ``robust_scatter`` are of ln H0.
    """
    error, rank = [], []
    for i, ln_d_dt in enumerate(samples):
        one = {name: column[[i]] for name, column in systems.items()}
        ratio, cumulative = hubble_posterior([ln_d_dt], one, trained, prior, over_truth=True)
        error.append(np.log(np.interp(0.5, cumulative, ratio)))
        rank.append(np.interp(1.0, ratio, cumulative))
    error, rank = np.array(error), np.array(rank)
    groups = {"all": np.ones(len(samples), bool)}
    groups |= {f"{k}_images": systems["n_images"] == k for k in np.unique(systems["n_images"])}
    return {
        name: {
            "systems": int(members.sum()),
            "bias": round(calibration.bias(error[members]), 4),
            "robust_scatter": round(calibration.robust_scatter(error[members]), 4),
            "coverage68": round(calibration.coverage(rank[members], ONE_SIGMA), 4),
            "coverage95": round(calibration.coverage(rank[members], 0.9545), 4),
        }
        for name, members in groups.items()
    }


def _row(
    system: Mapping[str, NDArray],
    posterior: Posterior | None,
    trained: Mapping[str, Any],
    prior: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe one system (columns of one row), without what the test of the family says."""
    one = {column: values[0] for column, values in system.items()}
    known, mock = bool(one["d_dt_known"]), bool(is_mock(system)[0])
    row = {
        "name": one["name"],
        "n_images": int(one["n_images"]),
        "complex": one["complex_reason"],
        "d_dt_published": one["d_dt"] if known else None,
        "d_dt_published_minus": one["d_dt_minus"] if known else None,
        "d_dt_published_plus": one["d_dt_plus"] if known else None,
        "h0_true": one["h0"] if mock else None,
    }
    if posterior is None:
        empty = ("d_dt", "h0", "d_dt_low68", "d_dt_high68", "h0_low68", "h0_high68", "prior_miss")
        checks = ("difference_sigma", "source_scatter", "delay_misfit", "predictive_p_value")
        return row | dict.fromkeys((*empty, *checks))
    quantiles = np.percentile(posterior.ln_d_dt, ONE_SIGMA_PERCENTILES)
    low, middle, high = quantiles
    h0 = list(combine([posterior.ln_d_dt], system, trained, prior).values())
    h0_low, h0_middle, h0_high = np.array(h0) * (one["h0"] if mock else 1)
    miss = prior_miss(quantiles[:, None], system["z_lens"], system["z_source"], prior)
    row |= {
        "d_dt": np.exp(middle),
        "d_dt_low68": np.exp(low),
        "d_dt_high68": np.exp(high),
        "h0": h0_middle,
        "h0_low68": h0_low,
        "h0_high68": h0_high,
        "prior_miss": float(miss[0]),
        "difference_sigma": None,
        "source_scatter": posterior.source_scatter,
        "delay_misfit": posterior.delay_misfit,
        "predictive_p_value": posterior.p_value,
    }
    if known:
        difference = middle - np.log(one["d_dt"])
        ours = middle - low if difference > 0 else high - middle
        theirs = one["d_dt_plus"] if difference > 0 else one["d_dt_minus"]
        row["difference_sigma"] = difference / np.hypot(ours, theirs / one["d_dt"])
    return row


def _cell(judged: Mapping[str, Any], name: str, column: str) -> Any:
    """Return what the test of the family says of a system, or None."""
    value = judged[name][column] if name in judged else None
    return None if value is None or np.ma.is_masked(value) else value


def _column(values: list) -> NDArray:
    """Turn a list of cells into a column: None becomes NaN, or empty in a column of text."""
    if any(isinstance(v, str) for v in values):
        return np.array([v or "" for v in values])
    return np.array([np.nan if v is None else v for v in values])
