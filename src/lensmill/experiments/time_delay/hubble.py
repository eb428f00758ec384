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
from scipy.stats import gaussian_kde

from lensmill.experiments.time_delay import observe, predictive
from lensmill.lensing.distances import distances
from lensmill.pipeline import store
from lensmill.pipeline.priors import inverse_cdf

CENTRAL68, CENTRAL95 = [15.865, 50, 84.135], [2.275, 97.725]  # percentiles
REFERENCE = 70.0  # [km / (Mpc s)]; any other H0 gives the same answer: D_dt goes as 1 / H0
GRID = 501  # points in H0
OMEGA_M_NODES = 9

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
    "intervals": "68 %, central; H0 with the flat prior of the training, which limits it",
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
    """The answer of a network for one system."""

    ln_d_dt: NDArray  # (S,) samples, D_dt in Mpc
    source_scatter: float  # [arcsec]; with the two below, see predictive.Predictive
    delay_misfit: float
    p_value: float


def infer_hubble(
    dataset: str,
    family: str,
    predictions: Sequence[str],
    table: str,
    summary: str,
    prior: Mapping[str, Any],
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
    table, summary : path
        Written: one row per system (ECSV); combined Hubble constants and, where the truth is
        known, the accuracy (JSON).
    prior : mapping
        Priors of ``h0`` and ``omega_m`` of the population that the networks were trained on.
    """
    systems = store.read(dataset, "systems")
    posteriors: dict[int, Posterior] = {}
    for path in predictions:
        posteriors |= read_posteriors(path, dataset)
    judged = {row["name"]: row for row in Table.read(family, format="ascii.ecsv")}

    columns: dict[str, list] = {}
    for i, name in enumerate(systems["name"]):
        row = _row({c: v[i] for c, v in systems.items()}, posteriors.get(i), prior)
        for column in FROM_FAMILY:
            row[column] = _cell(judged, name, column)
        for column, value in row.items():
            columns.setdefault(column, []).append(value)
    order = ["name", "n_images", "verdict", "complex", *UNITS, "difference_sigma", "fit_error"]
    order += ["p_value", "power", "delay_misfit", "predictive_p_value"]
    predictive.write_table(table, {c: _column(columns[c]) for c in order}, UNITS, NOTES)

    usable = {
        "all": lambda i: True,
        "without_complex": lambda i: not systems["complex"][i],
        "without_complex_and_outside": lambda i: (
            not systems["complex"][i] and columns["verdict"][i] not in predictive.UNUSABLE
        ),
    }
    content: dict[str, Any] = {
        **{name: NOTES[name] for name in ("includes", "excludes")},
        "prior": {name: prior[name] for name in ("h0", "omega_m")},
        "combined": {},
    }
    for name, use in usable.items():
        chosen = [i for i in sorted(posteriors) if use(i)]
        content["combined"][name] = {
            "systems": [str(systems["name"][i]) for i in chosen],
            **combine(
                [posteriors[i].ln_d_dt for i in chosen],
                {c: v[chosen] for c, v in systems.items()},
                prior,
            ),
        }
    exact = [i for i in sorted(posteriors) if _is_truth(systems, i)]
    if exact:
        content["accuracy"] = accuracy(
            [posteriors[i].ln_d_dt for i in exact], {c: v[exact] for c, v in systems.items()}
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


def hubble_samples(
    ln_d_dt: NDArray, z_lens: float, z_source: float, omega_m: Sequence[Any]
) -> NDArray:
    """Turn samples of ln D_dt into samples of H0 [km / (Mpc s)], Omega_m drawn from its prior.

    The prior on H0 is the one that the networks were trained with: their posterior contains it.
    """
    n = len(ln_d_dt)
    # evenly spread and in an order that has nothing to do with that of the samples
    u = (np.random.Generator(np.random.Philox(n)).permutation(n) + 0.5) / n
    *_, reference = distances(z_lens, z_source, REFERENCE, inverse_cdf(list(omega_m), u))
    return REFERENCE * reference / np.exp(ln_d_dt)


def combine(
    samples: Sequence[NDArray], systems: Mapping[str, NDArray], prior: Mapping[str, Any]
) -> dict[str, Any]:
    """Combine the posteriors of independent systems in one universe.

    The likelihood of a system is its posterior density divided by the prior of the training, which
    is that of ``prior["h0"]``; H0 is then given that prior once, and Omega_m is integrated over.
    Where the truth is known, the answer is the ratio of H0 to the true one.

    Returns
    -------
    dict
        ``h0``, ``h0_low68``, ``h0_high68`` [km / (Mpc s)], or the same with ``_over_truth``.
    """
    known = len(samples) > 0 and bool(np.all(systems["h0_known"]))
    suffix = "_over_truth" if known else ""
    if not samples:
        return {f"h0{end}": None for end in ("", "_low68", "_high68")}
    low, high = (float(inverse_cdf(prior["h0"], edge)) for edge in (1e-6, 1 - 1e-6))
    if known:
        middle = float(np.median(systems["h0"]))
        low, high = low / middle, high / middle
    h0 = np.linspace(low, high, GRID)
    nodes = (np.arange(OMEGA_M_NODES) + 0.5) / OMEGA_M_NODES
    total = np.zeros((OMEGA_M_NODES, GRID))
    for i, ln_d_dt in enumerate(samples):
        if known:
            reference, scale = np.full(OMEGA_M_NODES, systems["d_dt"][i]), 1.0
        else:
            z = systems["z_lens"][i], systems["z_source"][i]
            *_, reference = distances(*z, REFERENCE, inverse_cdf(prior["omega_m"], nodes))
            scale = REFERENCE
        at = np.log(reference[:, None] * scale / h0)
        density = gaussian_kde(ln_d_dt).logpdf(at.ravel()).reshape(at.shape)
        total += density - np.log(h0)  # density in H0, whose prior is flat
    weight = np.exp(total - total.max()).sum(axis=0)
    cumulative = np.cumsum(weight) / weight.sum()
    values = np.interp(np.array(CENTRAL68) / 100, cumulative, h0)
    names = ("h0_low68", "h0", "h0_high68")
    return {name + suffix: round(float(v), 4) for name, v in zip(names, values, strict=True)}


def accuracy(samples: Sequence[NDArray], systems: Mapping[str, NDArray]) -> dict[str, Any]:
    """Score recovered H0 against the true one, by number of images and in all.

    The errors are of ln H0 = -ln D_dt: the true cosmology is taken as known but for its scale.
    """
    results = {}
    groups = {"all": np.ones(len(samples), bool)}
    groups |= {f"{k}_images": systems["n_images"] == k for k in np.unique(systems["n_images"])}
    for name, members in groups.items():
        rows = np.flatnonzero(members)
        error = np.array([np.log(systems["d_dt"][i]) - np.median(samples[i]) for i in rows])
        inside = []
        for level in (CENTRAL68[::2], CENTRAL95):
            bounds = [np.percentile(samples[i], level) for i in rows]
            truth = np.log(systems["d_dt"][rows])
            inside.append(np.mean([b[0] < t < b[1] for b, t in zip(bounds, truth, strict=True)]))
        low, high = np.percentile(error, [16, 84])
        results[name] = {
            "systems": len(rows),
            "bias": round(float(np.median(error)), 4),
            "robust_scatter": round(float((high - low) / 2), 4),
            "coverage68": round(float(inside[0]), 4),
            "coverage95": round(float(inside[1]), 4),
        }
    return results


def _row(system: Mapping[str, Any], posterior: Posterior | None, prior: Mapping) -> dict[str, Any]:
    """Describe one system, without what the test of the family says."""
    known = bool(system["d_dt_known"])
    row = {
        "name": system["name"],
        "n_images": int(system["n_images"]),
        "complex": system["complex_reason"],
        "d_dt_published": system["d_dt"] if known else None,
        "d_dt_published_minus": system["d_dt_minus"] if known else None,
        "d_dt_published_plus": system["d_dt_plus"] if known else None,
        "h0_true": system["h0"] if system["h0_known"] else None,
    }
    if posterior is None:
        empty = ("d_dt", "h0", "d_dt_low68", "d_dt_high68", "h0_low68", "h0_high68")
        checks = ("difference_sigma", "source_scatter", "delay_misfit", "predictive_p_value")
        return row | dict.fromkeys((*empty, *checks))
    low, middle, high = np.percentile(posterior.ln_d_dt, CENTRAL68)
    if system["h0_known"]:  # so is the rest of the cosmology
        h0 = np.exp(np.log(system["h0"] * system["d_dt"]) - posterior.ln_d_dt)
    else:
        z = system["z_lens"], system["z_source"]
        h0 = hubble_samples(posterior.ln_d_dt, *z, prior["omega_m"])
    h0_low, h0_middle, h0_high = np.percentile(h0, CENTRAL68)
    row |= {
        "d_dt": np.exp(middle),
        "d_dt_low68": np.exp(low),
        "d_dt_high68": np.exp(high),
        "h0": h0_middle,
        "h0_low68": h0_low,
        "h0_high68": h0_high,
        "difference_sigma": None,
        "source_scatter": posterior.source_scatter,
        "delay_misfit": posterior.delay_misfit,
        "predictive_p_value": posterior.p_value,
    }
    if known:
        difference = middle - np.log(system["d_dt"])
        ours = middle - low if difference > 0 else high - middle
        theirs = system["d_dt_plus"] if difference > 0 else system["d_dt_minus"]
        row["difference_sigma"] = difference / np.hypot(ours, theirs / system["d_dt"])
    return row


def _is_truth(systems: Mapping[str, NDArray], i: int) -> bool:
    """Say whether the distance of a system is known exactly: it was simulated."""
    error = systems["d_dt_minus"][i] + systems["d_dt_plus"][i]
    return bool(systems["d_dt_known"][i]) and error == 0


def _cell(judged: Mapping[str, Any], name: str, column: str) -> Any:
    """Return what the test of the family says of a system, or None."""
    value = judged[name][column] if name in judged else None
    return None if value is None or np.ma.is_masked(value) else value


def _column(values: list) -> NDArray:
    """Turn a list of cells into a column: None becomes NaN, or empty in a column of text."""
    if any(isinstance(v, str) for v in values):
        return np.array([v or "" for v in values])
    return np.array([np.nan if v is None else v for v in values])
