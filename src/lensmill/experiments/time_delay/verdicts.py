"""Is a system a member of the family of lenses? What its exact posterior says, judged by mocks.

An answer outside the family is worth nothing, and neither a network nor a posterior knows. So the
p-value of `exact.Sample` (residuals and shape of the lens, over the posterior) is compared with
those of mocks of the family, observed as those that the networks learn from: the rate of false
alarms is set on one half of them and measured on the other, so that a verdict depends on the system
and on nothing else in its table. Beside it stands the power of the test, also measured: doubles
have next to none. A second test asks whether the distance alone lies outside all that the prior of
the Hubble constant allows. Both hold for errors like those of the mocks: where a system's are not,
it is said.
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.table import MaskedColumn, Table
from numpy.typing import NDArray

from lensmill.experiments.time_delay import exact
from lensmill.experiments.time_delay.observe import Observed, select
from lensmill.lensing.distances import distances
from lensmill.pipeline import store
from lensmill.pipeline.priors import ends, inverse_cdf

INSIDE = "inside the family"
OUTSIDE = "outside the family: do not use"
CONFLICT = "outside the prior of H0: do not use"
UNSURE = "too few draws of its posterior: do not use"
EDGE = "at the edge of the prior of H0"
UNTESTABLE = "cannot be tested"
NOT_JUDGED = "not judged: it needs two or four images and a delay"
UNUSABLE = (OUTSIDE, UNSURE, CONFLICT)

LEAST_POWER = 0.2  # below this the test would hardly see anything and is not called one
OUTSIDE_PRIOR = 0.5  # errors beyond the edge, where leaving systems out hardly truncates
FOREIGN = 1.25  # times an end of the prior: where a mock lies that should be noticed
SLACK = 1.1  # times an end of the range of errors, that still counts as within
REFERENCE = 70.0  # [km / (Mpc s)]; any other H0 gives the same answer: D_dt goes as 1 / H0
OMEGA_M_NODES = 9

QUANTILES = ("d_dt_low68", "d_dt_median", "d_dt_high68")
ERRORS = {
    "position_error": "arcsec",
    "delay_error": "d",
    "delay_error_fraction": "of the longest delay",
    "lens_error": "arcsec",
}


class Edge(NamedTuple):
    """Limits of `prior_miss`, and what mocks say of them."""

    edge: float  # above it H0 is at the edge of its prior
    outside: float  # and above this outside
    at_edge: float  # rates at which mocks exceed the two, wrongly
    beyond: float
    prior_power: float | None  # rate at which mocks a quarter beyond the prior exceed the edge


class Calibration(NamedTuple):
    """What mocks with one number of images say of the tests."""

    mocks: int  # in each half
    threshold: float  # p-value below which a system is outside
    false_alarms: float  # rate measured on the second half
    power: float  # rate at which mocks with one image displaced are refused
    edge: float  # with the next four: `Edge`
    outside: float
    at_edge: float
    beyond: float
    prior_power: float | None
    errors: dict[str, list[float]]  # smallest and largest of each of `ERRORS`


def calibrate_family(
    posteriors: Sequence[str],
    dataset: str,
    split: str,
    output: str,
    prior: Mapping[str, Any],
    observation: Mapping[str, Any],
    false_alarm_rate: float,
    seed: int,
) -> None:
    """Set the thresholds of the tests on mocks of the family, and measure what they do.

    Parameters
    ----------
    posteriors : sequence of path
        Of the mocks, by `exact.sample_mocks`.
    dataset, split : path
        The population that the mocks are of.
    output : path
        Written (JSON): a `Calibration` for each number of images.
    prior : mapping
        Of the answer: ``h0`` and ``omega_m``.
    observation : mapping
        How the mocks are observed.
    false_alarm_rate : float
        Part of the mocks that a test may refuse.
    seed : int
    """
    tables = [store.read(path, "systems") for path in posteriors]
    mocks = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    true = store.read(dataset, "systems", ["h0", "z_lens", "z_source"])
    images = {}
    for k in np.unique(mocks["n_images"]):
        mine = {name: column[mocks["n_images"] == k] for name, column in mocks.items()}
        observed, _ = exact.observed_mocks(dataset, split, int(k), observation, seed)
        observed = select(observed, np.searchsorted(observed.index, mine["index"]))
        one = {name: column[mine["index"]] for name, column in true.items()}
        images[str(k)] = calibrate(mine, one, observed, prior, false_alarm_rate)._asdict()
    content = {
        "false_alarm_rate": false_alarm_rate,
        "displacement_arcsec": exact.DISPLACEMENT,
        "images": images,
    }
    with store.whole(Path(output)) as file:
        file.write(json.dumps(content, indent=2).encode())


def calibrate(
    mocks: Mapping[str, NDArray],
    true: Mapping[str, NDArray],
    observed: Observed,
    prior: Mapping[str, Any],
    rate: float,
) -> Calibration:
    """Set and measure both tests on mocks with one number of images."""
    p = mocks["p_value"]
    n = len(p) // 2
    quantiles = np.log([mocks[name] for name in QUANTILES])
    miss = prior_miss(quantiles, true["z_lens"], true["z_source"], prior)
    try:
        edge = set_edge(miss, true["h0"], prior["h0"], rate)
    except ValueError as error:
        k = int(mocks["n_images"][0])
        raise ValueError(
            f"mocks with {k} images: {error}; raise hubble.mocks or the rate"
        ) from error
    threshold = float(np.quantile(p[:n], rate))
    moved = mocks["displaced_p_value"]
    errors = measured_errors(observed)
    return Calibration(
        mocks=n,
        threshold=threshold,
        false_alarms=float(np.mean(p[n:] < threshold)),
        power=float(np.mean(moved[np.isfinite(moved)] < threshold)),
        **edge._asdict(),
        errors={
            name: [float(np.nanmin(values)), float(np.nanmax(values))]
            for name, values in errors.items()
        },
    )


def set_edge(miss: NDArray, h0: NDArray, prior: Sequence[Any], rate: float) -> Edge:
    """Set the `prior_miss` at which H0 is at the edge of its prior.

    On one half of the mocks with an H0 that the prior allows; the rates of false alarms are
    measured on the other half.

    Raises
    ------
    ValueError
        If those are too few for the rate.
    """
    low, high = ends(list(prior))
    fair = miss[(h0 > low) & (h0 < high)]
    half = len(fair) // 2
    if half * rate < 1:
        raise ValueError(
            f"{len(fair)} with {low:g} < H0 < {high:g} are too few: to set and measure a "
            f"false-alarm rate of {rate:g} takes {int(np.ceil(2 / rate))}"
        )
    edge = max(float(np.quantile(fair[:half], 1 - rate)), 0.0)
    outside = edge + OUTSIDE_PRIOR
    foreign = miss[(h0 < low / FOREIGN) | (h0 > high * FOREIGN)]
    return Edge(
        edge=edge,
        outside=outside,
        at_edge=float(np.mean(fair[half:] > edge)),
        beyond=float(np.mean(fair[half:] > outside)),
        prior_power=float(np.mean(foreign > edge)) if len(foreign) else None,
    )


def read_calibrations(path: str) -> dict[int, Calibration]:
    """Read what `calibrate_family` wrote, by number of images."""
    images = json.loads(Path(path).read_text())["images"]
    return {int(k): Calibration(**values) for k, values in images.items()}


def verdict(p_value: float, miss: float, sure: bool, calibration: Calibration) -> str:
    """Say whether a system is of the family and its H0 within the prior.

    Neither is known if its posterior is not ``sure`` (`exact.well_sampled`). In the product of many
    systems one such answer can outweigh a thousand good ones.

    At the edge are also some good systems of a universe whose H0 is near the end of the prior: to
    leave them out would pull the combined value from the edge, so they stay in it.
    """
    if p_value < calibration.threshold:
        return OUTSIDE
    if not sure:
        return UNSURE
    if miss > calibration.outside:
        return CONFLICT
    if miss > calibration.edge:
        return EDGE
    return INSIDE if calibration.power >= LEAST_POWER else UNTESTABLE


def key(verdict: str) -> str:
    """Return the word by which figures tell verdicts apart: its first, or ``unusable``."""
    return "unusable" if verdict in UNUSABLE else verdict.split(" ")[0]


def measured_errors(observed: Observed) -> dict[str, NDArray]:
    """Mean errors of systems, shape (n,), as in `ERRORS`; NaN where nothing was measured."""
    timed = observed.delay_measured & (observed.delay_error > 0)
    number = timed.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        delay = np.where(timed, observed.delay_error, 0).sum(axis=1) / number
        fraction = delay / np.abs(observed.delay).max(axis=1)
    return {
        "position_error": observed.position_error.mean(axis=1),
        "delay_error": delay,
        "delay_error_fraction": np.where(number > 0, fraction, np.nan),
        "lens_error": np.where(observed.lens_known, observed.lens_error, np.nan),
    }


def beyond_calibration(observed: Observed, i: int, calibration: Calibration) -> str:
    """Say which errors of system ``i`` no mock has; empty where all are within the range."""
    said = []
    for name, values in measured_errors(observed).items():
        low, high = calibration.errors[name]
        if values[i] < low / SLACK or values[i] > high * SLACK:
            unit = ERRORS[name]
            said.append(f"{name} {values[i]:.3g}, of the mocks {low:.3g} to {high:.3g} {unit}")
    return "; ".join(said)


def prior_miss(
    ln_d_dt: NDArray, z_lens: NDArray, z_source: NDArray, prior: Mapping[str, Any]
) -> NDArray:
    """Tension with the prior: by how many of its errors a distance misses all that H0 allows.

    Positive outside the prior, whatever Omega_m; above 1 the central 68 % lie outside.

    Parameters
    ----------
    ln_d_dt : array, shape (3, n)
        Lower end, median and upper end of the central 68 %, under the wider prior of the family.
    z_lens, z_source : array, shape (n,)
    prior : mapping
        Of the answer.
    """
    low, middle, high = ln_d_dt
    slowest, fastest = np.log(ends(prior["h0"]))
    reference = ln_reference(z_lens, z_source, prior["omega_m"])
    too_large = (middle - (reference.max(axis=0) - slowest)) / (middle - low)
    too_small = (reference.min(axis=0) - fastest - middle) / (high - middle)
    return np.maximum(too_large, too_small)


def ln_reference(z_lens: NDArray, z_source: NDArray, omega_m: Sequence[Any]) -> NDArray:
    """Return ln(D_dt H0) at equally probable values of Omega_m, along the first axis."""
    nodes = inverse_cdf(list(omega_m), (np.arange(OMEGA_M_NODES) + 0.5) / OMEGA_M_NODES)
    *_, d_dt = distances(
        z_lens, z_source, REFERENCE, np.expand_dims(nodes, [*range(1, 1 + np.ndim(z_lens))])
    )
    return np.log(REFERENCE * d_dt)


def read_table(path: str) -> dict[str, Any]:
    """Read a table of systems, its rows by name."""
    return {str(row["name"]): row for row in Table.read(path, format="ascii.ecsv")}


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
    text = io.StringIO()  # astropy writes no table as bytes
    table.write(text, format="ascii.ecsv", delimiter=",")
    with store.whole(Path(path)) as file:
        file.write(text.getvalue().encode())
