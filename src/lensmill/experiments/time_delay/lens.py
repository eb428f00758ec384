"""A lens of one's own: from a table of image positions and delays to the posterior and a verdict.

No network takes part. The posterior is sampled exactly (`exact`); whether to believe it is decided
by the test of the family, whose threshold mocks of the family have set beforehand.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import corner
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from lensmill import plotting
from lensmill.experiments.time_delay import exact, ingest, observe, verdicts
from lensmill.inference.importance import GOOD_K, effective_size, resample
from lensmill.inference.point_images import (
    H0_REFERENCE,
    OMEGA_M_NODES,
    distance_prior,
    draw_distance,
    log_marginal,
)
from lensmill.lensing.distances import distances
from lensmill.pipeline import store
from lensmill.pipeline.priors import ends, inverse_cdf, log_density
from lensmill.pipeline.streams import generator

LEAST_DRAWS = 100.0  # effective: with fewer the ends of an interval are rough
LEAST_WEIGHT = 0.03  # of a mode that is drawn
COLOURS = (plotting.BLUE, plotting.VERMILION, plotting.GREEN, plotting.PURPLE)
BINS = 24
LEVELS = (0.68, 0.95)
REACH = (0.2, 99.8)  # percentiles that an axis spans

# parameters of the figure: what the axis says
LABELS = {
    "d_dt": r"$D_{\Delta t}$ [Mpc]",
    "h0": r"$H_0$ [km s$^{-1}$ Mpc$^{-1}$]",
    "slope": r"slope $\gamma$",
    "q": r"axis ratio $q$",
    "shear": r"shear",
    "theta_e": r"$\theta_\mathrm{E}$ [arcsec]",
    "kappa_ext": r"$\kappa_\mathrm{ext}$",
}
LENS = {"theta_e": "arcsec", "slope": "", "q": "", "shear": "", "kappa_ext": ""}
INTERVAL = ("", "_low68", "_high68")
CENTRAL = ("low68", "median", "high68")
UNITS = {
    **{f"d_dt{end}": "Mpc" for end in (*INTERVAL, "_low95", "_high95")},
    **{f"h0{end}": "km / (Mpc s)" for end in INTERVAL},
    "prior_miss": "",
    **{f"{name}{end}": unit for name, unit in LENS.items() for end in INTERVAL},
}
JUDGED = ("p_value", "threshold", "power")
SAMPLED = ("pareto_k", "ess")
# columns of text: what the reader is told where they are not empty
REMARKS = {
    "modes": "several lenses fit",
    "beyond": "the test was not measured for such errors",
    "sampling": "about the draws",
    "complex": "your table says that one galaxy is too simple",
}
EXCLUDED = "mass profiles that are no power law, companions, a measured line of sight"
NOTES = {
    "title": "Posteriors of lenses of one's own: power-law ellipsoid with shear, exact likelihood",
    "verdict": "read this first: by p_value, against the threshold that mocks have set, and by "
    "prior_miss, the errors by which D_dt misses all that the prior of H0 allows",
    "intervals": "median and central 68 % (95 %); d_dt and the lens under the prior of the family, "
    "h0 under the flat prior hubble.h0, Omega_m integrated over",
    "power": f"part of lenses with one image moved by {exact.DISPLACEMENT} arcsec that the test "
    "refuses",
    "draws": f"ess: effective number; pareto_k: below {GOOD_K} their weights can be trusted; "
    "sampling says what is wrong with them",
    "modes": "where there are several: their weights and medians",
    "beyond": "errors that no mock has, for which the test was not measured",
    "excludes": EXCLUDED,
}


class System(NamedTuple):
    """One system: its row of the table, and draws for the figure."""

    row: dict[str, Any]
    draws: dict[str, NDArray]  # by `LABELS`, and "mode"; empty if there are none


def infer_lens(
    source: str,
    calibration: str,
    output: str,
    table: str,
    text: str,
    figures: str,
    prior: Mapping[str, Any],
    h0: list,
    settings: Mapping[str, Any],
    seed: int,
) -> None:
    """Infer the posteriors of the systems in a user's table, and judge them.

    Parameters
    ----------
    source : path
        CSV or ECSV, see `ingest`.
    calibration : path
        Of `verdicts.calibrate_family`.
    output : path
        Written (HDF5): tables ``systems``, ``modes`` and ``draws`` of `exact`.
    table : path
        Written (ECSV): one row per system, in the order of the source.
    text : path
        Written: the same to read, the verdicts first.
    figures : path
        Folder, written: a corner plot of every system with a posterior, PDF and PNG.
    prior : mapping
        Of the family.
    h0 : list
        Prior of H0 [km / (Mpc s)].
    settings : mapping
        ``ess`` and ``draws``, see `exact.sample_population`.
    seed : int

    Raises
    ------
    ValueError
        If anything is wrong with the table: one sentence per fault, all of them at once.
    """
    with tempfile.TemporaryDirectory() as folder:
        dataset = f"{folder}/dataset.h5"
        ingest.ingest(source, dataset)
        exact.sample_population(dataset, output, prior, settings, seed)
        data = store.read(dataset, "systems")
        observed = {k: observe.from_ingested(dataset, k)[0] for k in exact.TESTED}
    calibrations = verdicts.read_calibrations(calibration)
    answer = {"h0": h0, "omega_m": prior["omega_m"]}
    sampled = {name: store.read(output, name) for name in ("systems", "modes", "draws")}
    where = {int(index): i for i, index in enumerate(sampled["systems"]["index"])}
    systems = []
    for index, name in enumerate(data["name"]):
        about = {"name": str(name), "n_images": int(data["n_images"][index])}
        if index not in where:
            systems.append(System(about | {"verdict": verdicts.NOT_JUDGED}, {}))
            continue
        one = {column: v[where[index]] for column, v in sampled["systems"].items()}
        rows = slice(int(one["first_draw"]), int(one["first_draw"] + one["n_draws"]))
        draws = {column: v[rows] for column, v in sampled["draws"].items()}
        redshifts = float(data["z_lens"][index]), float(data["z_source"][index])
        rng = generator(seed, "time_delay", "lens", index)
        under_h0, left = under_prior_of_h0(draws, *redshifts, answer, rng)
        k = about["n_images"]
        i = int(np.flatnonzero(observed[k].index == index)[0])
        remarks = {
            "beyond": verdicts.beyond_calibration(observed[k], i, calibrations[k]),
            "sampling": describe_sampling(one, left, h0),
            "complex": str(data["complex_reason"][index]),
            "modes": describe_modes(sampled["modes"], index),
        }
        row = about | judge(one, calibrations[k], *redshifts, answer)
        row |= {name: one[name] for name in SAMPLED}
        systems.append(System(row | summarise(draws, under_h0) | remarks, under_h0))
    write_table(table, [system.row for system in systems])
    draw_figures(systems, Path(figures), h0)
    with store.whole(Path(text)) as file:
        file.write(describe(systems, h0, str(Path(table).parent)).encode())


def judge(
    system: Mapping[str, Any],
    calibration: verdicts.Calibration,
    z_lens: float,
    z_source: float,
    prior: Mapping[str, Any],
) -> dict[str, Any]:
    """Decide whether a system is of the family, and whether its H0 is within its prior."""
    quantiles = np.log([[system[name]] for name in verdicts.QUANTILES])
    redshifts = np.array([z_lens]), np.array([z_source])
    miss = float(verdicts.prior_miss(quantiles, *redshifts, prior)[0])
    p = float(system["p_value"])
    sure = bool(exact.well_sampled(system["pareto_k"], system["ess"]))
    return {
        "verdict": verdicts.verdict(p, miss, sure, calibration)
        if system["n_draws"]
        else verdicts.OUTSIDE,
        "p_value": p,
        "prior_miss": miss,
        **{name: getattr(calibration, name) for name in ("threshold", "false_alarms", "power")},
    }


def under_prior_of_h0(
    draws: Mapping[str, NDArray],
    z_lens: float,
    z_source: float,
    prior: Mapping[str, Any],
    rng: np.random.Generator,
) -> tuple[dict[str, NDArray], float]:
    """Posterior with another prior of H0: draws of `LABELS` and of the mode.

    A draw of the posterior counts by what its delays alone say of D_dt, under the one prior and
    under the other; D_dt is then drawn anew, and H0 at an Omega_m that goes with it.

    Returns
    -------
    draws : dict of array
        Empty if there are none.
    effective : float
        Draws that the new prior leaves.
    """
    n = len(draws["ln_d_dt"])
    if not n:
        return {}, 0.0
    wanted = distance_prior(z_lens, z_source, prior["h0"], prior["omega_m"])
    timed = zip(draws["d_dt"], draws["d_dt_error"], strict=True)
    ln_weight = np.array([log_marginal(d, error, *wanted) for d, error in timed])
    ln_weight -= draws["ln_marginal"]
    rows = rng.permutation(resample(ln_weight, n, rng))
    ln_d_dt = np.empty(n)
    draw_distance(draws["d_dt"][rows], draws["d_dt_error"][rows], rng.random(n), *wanted, ln_d_dt)

    nodes = inverse_cdf(prior["omega_m"], (np.arange(OMEGA_M_NODES) + 0.5) / OMEGA_M_NODES)
    *_, reference = distances(z_lens, z_source, H0_REFERENCE, nodes)
    ln_h0 = np.log(H0_REFERENCE * reference) - ln_d_dt[:, None]  # at each Omega_m
    # the prior is one of H0, the draws are of ln D_dt; the ends of its grid lie a little outside
    h0 = np.clip(np.exp(ln_h0), *inverse_cdf(prior["h0"], [1e-9, 1 - 1e-9]))
    inside = np.where(np.abs(np.log(h0) - ln_h0) < 1e-6, 1.0, 1e-12)
    weight = np.cumsum(inside * h0 * np.exp(log_density(prior["h0"], h0)), axis=1)
    chosen = (weight < rng.random((n, 1)) * weight[:, -1:]).sum(axis=1)
    lens = {name: draws[name][rows] for name in draws}
    answer = {"d_dt": np.exp(ln_d_dt), "h0": h0[np.arange(n), chosen], **shape(lens)}
    return answer | {"mode": lens["mode"]}, effective_size(ln_weight)


def shape(draws: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Parameters of the lens that people know, from those that are sampled."""
    return {
        "theta_e": draws["theta_e"],
        "slope": draws["slope"],
        "q": 1 - np.hypot(draws["ellipticity_1"], draws["ellipticity_2"]),
        "shear": np.hypot(draws["gamma1"], draws["gamma2"]),
        "kappa_ext": draws["kappa_ext"],
    }


def summarise(draws: Mapping[str, NDArray], under_h0: Mapping[str, NDArray]) -> dict[str, float]:
    """Medians and central intervals; NaN without draws."""
    row = {}
    values = {"d_dt": np.exp(draws["ln_d_dt"]), "h0": under_h0.get("h0", np.zeros(0))}
    for name, x in (values | shape(draws)).items():
        for end in (*INTERVAL, "_low95", "_high95"):
            if f"{name}{end}" in UNITS:
                percent = exact.QUANTILES[end[1:] or "median"]
                row[f"{name}{end}"] = float(np.percentile(x, percent)) if len(x) else np.nan
    return row


def describe_sampling(system: Mapping[str, Any], left: float, h0: list) -> str:
    """Say what is wrong with the draws; nothing if they are good."""
    if not system["n_draws"]:
        return "none, since no lens of the family makes these images"
    if system["pareto_k"] >= GOOD_K or system["ess"] < LEAST_DRAWS:
        return (
            f"{system['ess']:.0f} effective draws with a Pareto k of {system['pareto_k']:.2f} "
            f"(good: {LEAST_DRAWS:g} or more, below {GOOD_K:g})"
        )
    if left < LEAST_DRAWS:
        low, high = ends(h0)
        return f"only {left:.0f} effective draws have an H0 of {low:.0f} to {high:.0f}"
    return ""


def describe_modes(modes: Mapping[str, NDArray], index: int) -> str:
    """Describe the modes of a posterior that has several, the weightiest first."""
    mine = np.flatnonzero(modes["index"] == index)
    if len(mine) < 2:
        return ""
    return "; ".join(
        f"{modes['weight'][i]:.0%} at D_dt {modes['d_dt'][i]:.0f} Mpc, "
        f"slope {modes['slope'][i]:.2f}, q {1 - modes['one_minus_q'][i]:.2f}, "
        f"shear {modes['shear'][i]:.3f}"
        for i in mine
    )


def write_table(path: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one row per system; what is not known of one is an empty cell."""
    columns = {name: [row[name] for row in rows] for name in ("name", "n_images", "verdict")}
    for name in (*UNITS, *JUDGED, *SAMPLED):
        columns[name] = np.array([row.get(name, np.nan) for row in rows], float)
    columns |= {name: [row.get(name, "") for row in rows] for name in REMARKS}
    verdicts.write_table(path, columns, UNITS, NOTES)


def describe(systems: Sequence[System], h0: list, folder: str) -> str:
    """Write the table as a text: of every system the verdict, then the numbers."""
    low, high = ends(h0)
    parts = []
    for row, draws in systems:
        lines = [f"{row['name']}, {row['n_images']} images: {row['verdict'].upper()}"]
        if "p_value" in row:
            lines.append(
                f"p-value   {row['p_value']:.2g}; below {row['threshold']:.2g} a lens is refused: "
                f"{row['false_alarms']:.1%} of good ones are, and {row['power']:.0%} of those "
                f"with an image {exact.DISPLACEMENT:g} arcsec off"
            )
        if draws:
            lines += [
                f"H0        {_interval(row, 'h0')} km/s/Mpc (flat prior {low:.0f} to {high:.0f})",
                f"D_dt      {_interval(row, 'd_dt')} Mpc, 95 %: {row['d_dt_low95']:.0f} to "
                f"{row['d_dt_high95']:.0f} (with the wide prior of the mocks)",
                *(
                    f"{name:9s} {_interval(row, name)}{' ' * bool(unit)}{unit}"
                    for name, unit in LENS.items()
                    if row[f"{name}_high68"] > row[f"{name}_low68"]
                ),
            ]
        lines += [f"careful:  {REMARKS[name]}: {row[name]}" for name in REMARKS if row.get(name)]
        parts.append("\n  ".join(lines))
    end = (
        f"Intervals are central 68 %. Not in them: {EXCLUDED}\n(docs/own_lens.md). "
        f"Table, draws and figures: {folder}/"
    )
    return "\n\n".join(["", *parts, end, ""])


def _interval(row: Mapping[str, float], name: str) -> str:
    """Write a median with its errors."""
    return "{} +{} -{}".format(*rounded(*(row[name + end] for end in ("_low68", "", "_high68"))))


def _in_figure(low: float, middle: float, high: float) -> str:
    return "${}^{{+{}}}_{{-{}}}$".format(*rounded(low, middle, high))


def rounded(low: float, middle: float, high: float) -> tuple[str, str, str]:
    """Write a median, its upper and its lower error, to two digits of the smaller one."""
    least = min(high - middle, middle - low)
    digits = max(0, 1 - int(np.floor(np.log10(least)))) if least > 0 else 3
    return tuple(f"{value:.{digits}f}" for value in (middle, high - middle, middle - low))


def draw_figures(systems: Sequence[System], folder: Path, h0: list) -> None:
    """Draw a corner plot of every system that has a posterior, called after it."""
    folder.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for number, (row, draws) in enumerate(systems, 1):
        if not draws:
            continue
        stem = file_name(row["name"])
        stem = f"{stem}_{number}" if stem.casefold() in taken else stem
        taken.add(stem.casefold())
        outputs = [str(folder / f"{stem}.{kind}") for kind in ("pdf", "png")]
        plotting.save(partial(plot_corner, row, draws, h0), {}, outputs)


def file_name(name: str) -> str:
    """Turn the name of a system or of a table into one that a file can have everywhere."""
    return re.sub(r"[^\w.+-]", "_", name.strip()).lstrip(".") or "_"


def plot_corner(row: Mapping[str, Any], draws: Mapping[str, NDArray], h0: list) -> Figure:
    """Corner plot of a posterior under the flat prior of H0, every mode in its colour.

    Contours hold 68 % and 95 % of their mode; the area below a curve is the weight of its mode.
    """
    shown = [name for name in LABELS if np.ptp(draws[name]) > 0]
    x = np.column_stack([draws[name] for name in shown])
    modes, counts = np.unique(draws["mode"], return_counts=True)
    order = [j for j in np.argsort(-counts, kind="stable") if counts[j] >= LEAST_WEIGHT * len(x)]
    span = [tuple(np.percentile(column, REACH)) for column in x.T]
    # the style's own engine would move the axes, and "none" lasts for one savefig only
    engine = PlaceHolderLayoutEngine(adjust_compatible=True, colorbar_gridspec=True)
    figure = plt.figure(figsize=(plotting.PAGE, plotting.PAGE), layout=engine)
    highest = np.zeros(len(shown))
    keys = []
    for j, colour in zip(order, COLOURS, strict=False):
        mine = x[draws["mode"] == modes[j]]
        corner.corner(
            mine,
            bins=BINS,
            range=span,
            color=colour,
            smooth=1.2,
            levels=LEVELS,
            plot_datapoints=False,
            plot_density=False,
            no_fill_contours=True,
            fig=figure,
            max_n_ticks=3,
            contour_kwargs={"linewidths": 0.9},
        )
        counted = [np.histogram(c, BINS, s)[0].max() for c, s in zip(mine.T, span, strict=True)]
        highest = np.maximum(highest, counted)
        keys.append(Line2D([], [], color=colour, label=f"{counts[j] / len(x):.0%} of the draws"))
    axes = np.array(figure.axes).reshape(len(shown), -1)
    for i, name in enumerate(shown):
        low, middle, high = np.percentile(x[:, i], [exact.QUANTILES[q] for q in CENTRAL])
        axes[i, i].set_title(_in_figure(low, middle, high), pad=4)
        axes[i, i].set_ylim(0, 1.1 * highest[i])
        axes[-1, i].set_xlabel(LABELS[name])
        if i:
            axes[i, 0].set_ylabel(LABELS[name])
    low, high = ends(h0)
    heading = f"{row['name']}: {row['verdict']}"
    figure.text(0.97, 0.97, heading, ha="right", va="top", fontsize=10)
    note = f"$H_0$ flat in {low:.0f} to {high:.0f}; contours: 68 % and 95 %"
    figure.text(0.97, 0.94, note, ha="right", va="top")
    if len(keys) > 1:
        figure.legend(handles=keys, loc="upper right", bbox_to_anchor=(0.98, 0.92))
    return figure
