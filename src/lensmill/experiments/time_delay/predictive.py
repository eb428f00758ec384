"""Out-of-distribution tests: real systems against the family that the network was trained on.

An answer outside the family is worth nothing, and the network does not know. So the best member of
the family is fitted to every system (`fit`), and what chi^2 is too much is decided by mocks of the
family, observed as those that the networks learn from: the rate of false alarms is set on one half
of them and measured on the other, so that a verdict depends on the system and on nothing else in
its table. Beside it stands the power of the test, also measured: doubles have next to none. A
second test asks whether the network's answer gives back the data. Whether the Hubble constant lies
outside its prior is asked of the fit, where data outnumber parameters, and of the network's answer
(`hubble.prior_miss`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray
from scipy.stats import chi2 as chi_squared

from lensmill.experiments.time_delay import observe
from lensmill.experiments.time_delay.fit import DAYS, Fit, fit
from lensmill.experiments.time_delay.observe import Observed, select
from lensmill.lensing.distances import distances
from lensmill.pipeline import store
from lensmill.pipeline.logs import progress
from lensmill.pipeline.priors import cdf, inverse_cdf
from lensmill.pipeline.streams import uniforms

TESTED = (2, 4)  # numbers of images that there are networks for
INSIDE = "inside the family"
OUTSIDE = "outside the family: do not use"
CONFLICT = "outside the prior of H0: do not use"
EDGE = "at the edge of the prior of H0"
UNTESTABLE = "cannot be tested"
NOT_JUDGED = "not judged: it needs two or four images and a delay"
UNUSABLE = (OUTSIDE, CONFLICT)

LEAST_POWER = 0.2  # below this the test would hardly see anything and is not called one
DISPLACEMENT = 0.2  # [arcsec] of one image, in random direction: the fault that defines power
H0_REFERENCE, OMEGA_M_REFERENCE = 70.0, 0.3  # [km / (Mpc s)]; cosmology of ``fit_h0``
BATCH = 250  # mocks fitted at a time: a step of the progress bar

UNITS = {
    "power": "",
    "chi2": "",
    "dof": "",
    "p_value": "",
    "fit_d_dt": "Mpc",
    "fit_error": "",
    "fit_h0": "km / (Mpc s)",
    "theta_e": "arcsec",
    "q": "",
    "slope": "",
    "shear": "",
}


NOTES = {
    "title": "Best fit of the training family to every system, and whether it is good enough",
    "verdict": "by the p-value of chi^2, against a threshold set on mocks of the family",
    "prior": f"{CONFLICT!r} if fit_h0 misses the prior by more of its errors than mocks do",
    "power": f"part of the mocks with one image moved by {DISPLACEMENT} arcsec that are refused; "
    f"below {LEAST_POWER} a system that is not refused 'cannot be tested' (doubles)",
    "fit": "fit_d_dt is a classical distance (maximum of posterior), fit_error the error of its "
    "logarithm, fit_h0 its Hubble constant at Omega_m = 0.3; where data outnumber parameters",
}


class Calibration(NamedTuple):
    """Calibration of test and fit on mocks with one number of images."""

    mocks: int  # in each half
    threshold: float  # p-value below which a system is outside
    false_alarms: float  # rate measured on the second half
    power: float  # rate at which mocks with one image displaced are refused
    prior_limit: float | None  # of `fit_prior_miss`; None where the fit gives no error
    conflicts: float | None  # rate of mocks beyond it, wrongly
    bias: float  # median error of ln D_dt of the fit
    scatter: float  # half the 16-84 % range of that error
    coverage68: float | None  # of the error that the fit claims, where it can claim one


def calibrate_family(
    mocks: str,
    output: str,
    prior: Mapping[str, Any],
    h0: list,
    observation: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int,
) -> None:
    """Set the thresholds of the test on mocks of the family, and measure what it does.

    Parameters
    ----------
    mocks : path
        Simulated systems of the family.
    output : path
        Written (JSON): a `Calibration` for each number of images.
    prior : mapping
        Of the family.
    h0 : list
        Prior of the answer.
    observation : mapping
        How the mocks are observed: settings of `observe.perturb`.
    settings : mapping
        ``mocks`` (number in each half, per number of images), ``starts`` (of the fit) and
        ``false_alarm_rate``.
    seed : int
        Fixes the noise of the mocks.
    """
    content = {
        "false_alarm_rate": settings["false_alarm_rate"],
        "displacement_arcsec": DISPLACEMENT,
        "images": {
            str(k): calibrate(mocks, k, prior, h0, observation, settings, seed)._asdict()
            for k in TESTED
        },
    }
    Path(output).write_text(json.dumps(content, indent=2))


def judge_family(
    dataset: str, calibration: str, table: str, prior: Mapping[str, Any], h0: list, starts: int
) -> None:
    """Fit the family to every system of a population and decide which systems are outside.

    Parameters
    ----------
    dataset : path
        The ingested population.
    calibration : path
        Of `calibrate_family`.
    table : path
        Written: one row per system (ECSV).
    prior : mapping
        Prior of the family.
    h0 : list
        Prior of the answer.
    starts : int
        Of the fit.
    """
    systems = store.read(dataset, "systems", ["name", "n_images"])
    calibrations = json.loads(Path(calibration).read_text())["images"]
    rows: dict[int, dict[str, Any]] = {}
    for k in TESTED:
        real, _ = observe.from_ingested(dataset, k)
        if not len(real.index):
            continue
        result = fit(real, prior, starts)
        calibrated = Calibration(**calibrations[str(k)])
        miss = fit_prior_miss(result, real, h0)
        descriptions = _rows(result, calibrated, fitted_h0(result, real), miss)
        for i, columns in zip(real.index, descriptions, strict=True):
            rows[int(i)] = columns
    descriptions = [rows.get(i, {"verdict": NOT_JUDGED}) for i in range(len(systems["name"]))]
    columns = {"name": systems["name"], "n_images": systems["n_images"]}
    columns["verdict"] = np.array([row["verdict"] for row in descriptions])
    for name in UNITS:
        columns[name] = np.array([row.get(name, np.nan) for row in descriptions])
    write_table(table, columns, UNITS, NOTES)


def calibrate(
    mocks: str,
    k: int,
    prior: Mapping[str, Any],
    h0: list,
    observation: Mapping[str, Any],
    settings: Mapping[str, Any],
    seed: int,
) -> Calibration:
    """Set the threshold of the test for systems with ``k`` images."""
    n = settings["mocks"]
    exact, truth = observe.from_simulated(mocks, None, None, k)
    if len(exact.index) < 2 * n:
        raise ValueError(
            f"{mocks} has {len(exact.index)} systems with {k} images, but the test of the family "
            f"needs {2 * n}; make the population larger or hubble.mocks smaller"
        )
    first = np.arange(2 * n)
    exact, truth = select(exact, first), select(truth, first)
    u = observe.noise_uniforms(seed, "time_delay", "family", exact.index, k)
    data = observe.perturb(exact, observation, u)
    result = _fit_all(data, prior, settings["starts"], f"mocks with {k} images")
    p = p_value(result)
    threshold = float(np.quantile(p[:n], settings["false_alarm_rate"]))
    some = np.arange(n, n + max(n // 4, 1))
    u = uniforms(seed, "time_delay", f"family/displaced/{k}", 0, len(some), 4)
    moved = _fit_all(displace(select(data, some), u), prior, settings["starts"], "power")
    error = result.parameters[:, -1] - np.log(truth.d_dt)
    low, middle, high = np.percentile(error, [16, 50, 84])
    claimed = result.dof > 0
    limit = conflicts = None
    if claimed.any():
        true = store.read(mocks, "systems", ["h0"])["h0"][exact.index]
        fair = claimed & (cdf(h0, true) > 0) & (cdf(h0, true) < 1)
        miss = fit_prior_miss(result, data, h0)
        quantile = np.quantile(miss[:n][fair[:n]], 1 - settings["false_alarm_rate"])
        limit = max(float(quantile), 0.0)
        conflicts = float(np.mean(miss[n:][fair[n:]] > limit))
    return Calibration(
        mocks=n,
        threshold=threshold,
        false_alarms=float(np.mean(p[n:] < threshold)),
        power=float(np.mean(p_value(moved) < threshold)),
        prior_limit=limit,
        conflicts=conflicts,
        bias=float(middle),
        scatter=float((high - low) / 2),
        coverage68=float(np.mean((np.abs(error) < result.ln_d_dt_error)[claimed]))
        if claimed.any()
        else None,
    )


def displace(data: Observed, u: NDArray) -> Observed:
    """Move one image of every system by ``DISPLACEMENT``: systems that are no member."""
    n, k = data.delay.shape
    angle = 2 * np.pi * u[:, 1]
    position = data.position.copy()
    position[np.arange(n), (u[:, 0] * k).astype(int)] += DISPLACEMENT * np.stack(
        [np.cos(angle), np.sin(angle)], axis=1
    )
    return data._replace(position=position)


def _fit_all(data: Observed, prior: Mapping, starts: int, label: str) -> Fit:
    """Fit in batches, with a progress bar."""
    batches = range(0, len(data.delay), BATCH)
    parts = [
        fit(select(data, np.arange(b, min(b + BATCH, len(data.delay)))), prior, starts)
        for b in progress(batches, f"fitting {label}")
    ]
    return Fit(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def p_value(result: Fit) -> NDArray:
    """P-value: probability of a larger chi^2 by chance.

    Where data and priors do not outnumber the parameters it only ranks systems: the threshold,
    which comes from mocks, gives it its meaning.
    """
    return chi_squared.sf(result.chi2, np.maximum(result.dof, 1))


def fitted_h0(result: Fit, data: Observed) -> NDArray:
    """Hubble constant of the fitted distances at Omega_m = 0.3 [km / (Mpc s)]."""
    cosmology = H0_REFERENCE, OMEGA_M_REFERENCE
    *_, reference = distances(data.z_lens, data.z_source, *cosmology)
    return H0_REFERENCE * reference / np.exp(result.parameters[:, -1])


def fit_prior_miss(result: Fit, data: Observed, h0: list) -> NDArray:
    """By how many of its own errors the fitted H0 misses its prior; positive outside."""
    low, high = inverse_cdf(h0, np.array([0.0, 1.0]))
    fitted = fitted_h0(result, data)
    return np.log(np.maximum(low / fitted, fitted / high)) / result.ln_d_dt_error


def _rows(
    result: Fit, calibration: Calibration, h0: NDArray, miss: NDArray
) -> list[dict[str, Any]]:
    """Describe the fits, one row per system."""
    rows = []
    for i, p in enumerate(p_value(result)):
        if p < calibration.threshold:
            verdict = OUTSIDE
        elif result.dof[i] > 0 and miss[i] > calibration.prior_limit:
            verdict = CONFLICT
        else:
            verdict = INSIDE if calibration.power >= LEAST_POWER else UNTESTABLE
        f, measured = result.parameters[i], result.dof[i] > 0
        rows.append(
            {
                "verdict": verdict,
                "power": calibration.power,
                "chi2": result.chi2[i],
                "dof": result.dof[i],
                "p_value": p,
                "fit_d_dt": np.exp(f[-1]) if measured else np.nan,
                "fit_error": result.ln_d_dt_error[i] if measured else np.nan,
                "fit_h0": h0[i] if measured else np.nan,
                "theta_e": np.exp(f[0]),
                "q": 1 - np.hypot(f[1], f[2]),
                "slope": f[3],
                "shear": np.hypot(f[4], f[5]),
            }
        )
    return rows


class Predictive(NamedTuple):
    """Posterior predictive check: whether a posterior gives back the data, per system."""

    source_scatter: NDArray  # [arcsec] rms distance of the sources of the images from their mean
    delay_misfit: NDArray  # largest |predicted - measured delay| in units of their joint error
    p_value: NDArray  # of all differences together, with the posterior's covariance


def posterior_predictive(
    data: Observed, ln_d_dt: NDArray, potential: NDArray, deflection: NDArray
) -> Predictive:
    """Compare posterior samples with the data they were inferred from.

    The images of one source must map back to one place, and the predicted delays must be the
    measured ones, within the errors of the data and of the prediction.

    Parameters
    ----------
    data : Observed
        ``n`` systems of ``k`` images.
    ln_d_dt : array, shape (n, S)
        Samples of ln D_dt [Mpc].
    potential : array, shape (n, k, S)
        Samples of the potential [arcsec^2].
    deflection : array, shape (n, k, 2, S)
        Samples of the deflection [arcsec].
    """
    source = data.position[..., None] - deflection
    fermat = (deflection**2).sum(axis=2) / 2 - potential
    delay = DAYS * np.exp(ln_d_dt)[:, None] * (fermat - fermat[:, :1])
    k = data.delay.shape[1]
    scatter, misfit, p = [], [], []
    for i in range(len(ln_d_dt)):
        mean = source[i].mean(axis=-1)
        scatter.append(np.sqrt(((mean - mean.mean(axis=0)) ** 2).sum(axis=1).mean()))
        rows = 1 + np.flatnonzero(data.delay_measured[i, 1:])
        difference = np.concatenate(
            [(source[i, 1:] - source[i, :1]).reshape(2 * (k - 1), -1), delay[i, rows]]
        )
        expected = np.concatenate([np.zeros(2 * (k - 1)), data.delay[i, rows]])
        # ASSUME: an astrometric error moves a source by as much as its image (in truth less)
        moved = np.diag(data.position_error[i, 1:] ** 2) + data.position_error[i, 0] ** 2
        covariance = np.cov(difference)
        covariance[: 2 * (k - 1), : 2 * (k - 1)] += np.kron(moved, np.eye(2))
        timed = np.arange(2 * (k - 1), len(expected))
        covariance[timed, timed] += data.delay_error[i, rows] ** 2
        miss = np.median(difference, axis=1) - expected
        misfit.append(np.abs(miss[timed] / np.sqrt(covariance[timed, timed])).max(initial=0.0))
        p.append(chi_squared.sf(miss @ np.linalg.pinv(covariance) @ miss, len(miss)))
    return Predictive(np.array(scatter), np.array(misfit), np.array(p))


def write_table(
    path: str, columns: Mapping[str, Any], units: Mapping[str, str], notes: Mapping[str, str]
) -> None:
    """Write a table that people read: ECSV with commas and units; NaN becomes an empty cell."""
    table = Table(meta=dict(notes))
    for name, values in columns.items():
        values = np.asarray(values)
        if values.dtype.kind == "f":
            rounded = np.array([float(f"{v:.5g}") for v in values])
            values = MaskedColumn(rounded, mask=np.isnan(rounded), unit=units.get(name) or None)
        elif values.dtype.kind == "O":
            values = values.astype(str)
        table[name] = values
    table.write(path, format="ascii.ecsv", delimiter=",", overwrite=True)
