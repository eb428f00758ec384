"""May the errors of this network be trusted for this population? One page.

Top left: how often the truth lies below each rank, less the rank, for every target; in the grey
band lie 95 % of the curves of a perfect posterior, each as a whole. Top right: how often regions of
the posterior hold the truth, less what they claim: central intervals of every target, the regions
of highest density of all targets together (expected coverage), and balls around random points
(TARP); above zero errors are too large, below too small. Table: bias (median error), scatter (half
of the central 68 % of errors), width of the posterior over that of the prior, coverage of 68 % and
95 %, largest coverage error over all levels, CRPS over that of one who knows the population only.
Bottom: how strange the systems look to the network, beside its own family; one per cent of the
family shall lie above the threshold.
"""

import json
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from lensmill import plotting
from lensmill.learning import calibration, strangeness
from lensmill.pipeline import store

COLOURS = (
    *(plotting.BLUE, plotting.ORANGE, plotting.GREEN, plotting.PURPLE),
    *(plotting.VERMILION, plotting.SKY, plotting.GREY),
)
POINTS = 20  # of the simultaneous band
BINS = 60
ROWS = 9  # of the table that fill its place
JOINT = {"density": ("all: density", ":"), "tarp": ("all: TARP", "--")}
HEAD = ("", "bias", "scatter", "width /\nprior", "68 %", "95 %", "coverage\nerror", "CRPS /\nprior")


def plot(predictions: str, scores: str) -> Figure:
    """Draw the page of one network and one population.

    Parameters
    ----------
    predictions : path
        Scored: tables ``calibration`` and ``strangeness``, as `calibration.judge_systems` and
        `strangeness.judge` describe them; either may be missing.
    scores : path
        With their numbers, ``calibration``.
    """
    about = json.loads(Path(scores).read_text())
    found = about.get("calibration")
    trust, sentence = calibration.verdict(found)
    figure = plt.figure(figsize=(plotting.PAGE, 8.4))
    rows = figure.add_gridspec(4, 2, height_ratios=(0.35, 2.6, 2.2, 2.0))
    _write(figure.add_subplot(rows[0, :]), about, trust, sentence)
    if found and found["systems"]:
        columns = store.read(predictions, "calibration")
        looks = _looks(found["targets"])
        _ranks(figure.add_subplot(rows[1, 0]), columns, looks)
        _coverage(figure.add_subplot(rows[1, 1]), columns, looks)
        figure.legend(handles=_handles(found, looks), loc="outside lower center", ncols=4)
        units = store.units(predictions)["calibration"]
        _table(figure.add_subplot(rows[2, :]), found, units)
    if found and found["strangeness"]:
        values = store.read(predictions, strangeness.TABLE)["strangeness"]
        values = values[strangeness.MEASURED] if found["strangeness"]["own"] else values
        _strangeness(figure.add_subplot(rows[3, :]), values, found["strangeness"])
    return figure


def _write(axis: Axes, about: Mapping[str, Any], trust: bool, sentence: str) -> None:
    axis.axis("off")
    names = f"{plotting.label(about['network'])} on {plotting.label(about['population'])}"
    axis.text(0, 1, f"{names}: {about['systems']:,} systems", va="top", fontsize=11)
    colour = plotting.BLACK if trust else plotting.VERMILION
    weight = "normal" if trust else "bold"
    axis.text(0, 0.35, sentence, va="top", fontsize=8.5, color=colour, weight=weight, wrap=True)


def _looks(targets: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Give each target the look of its line: as many colours as the blind can tell, then dashes."""
    lines = [(colour, line) for line in ("-", "-.") for colour in COLOURS]
    return {
        name: {"color": colour, "ls": line}
        for name, (colour, line) in zip(targets, cycle(lines), strict=False)
    }


def _handles(found: Mapping[str, Any], looks: Mapping[str, dict]) -> list:
    handles = [Line2D([], [], **look, label=name.replace("_", " ")) for name, look in looks.items()]
    handles += [
        Line2D([], [], color=plotting.BLACK, ls=line, label=label)
        for kind, (label, line) in JOINT.items()
        if found[kind]
    ]
    return [*handles, Patch(color=plotting.LIGHT, lw=0, label="95 % of perfect posteriors")]


def _excess(axis: Axes, level: NDArray, **look: Any) -> None:
    """Draw the cumulative distribution of levels, less the diagonal."""
    at = np.sort(level)
    steps = np.arange(1, len(at) + 1) / len(at)
    thin = np.unique(np.linspace(0, len(at) - 1, 400).astype(int))
    axis.plot([0, *at[thin], 1], [0, *(steps - at)[thin], 0], lw=1.0, **look)


def _ranks(axis: Axes, columns: Mapping[str, NDArray], looks: Mapping[str, dict]) -> None:
    n = len(columns[f"rank_{next(iter(looks))}"])
    at, low, high = calibration.ecdf_band(n, POINTS)
    axis.fill_between(
        [0, *at, 1], [0, *low - at, 0], [0, *high - at, 0], color=plotting.LIGHT, lw=0
    )
    axis.axhline(0, color=plotting.BLACK, lw=0.5)
    for name, look in looks.items():
        _excess(axis, columns[f"rank_{name}"], **look)
    axis.set(xlim=(0, 1), xlabel="rank of the truth", ylabel="fraction below, less rank")


def _coverage(axis: Axes, columns: Mapping[str, NDArray], looks: Mapping[str, dict]) -> None:
    n = len(columns[f"rank_{next(iter(looks))}"])
    limit = calibration.sampling_limit(n)
    axis.axhspan(-limit, limit, color=plotting.LIGHT, lw=0)
    axis.axhline(0, color=plotting.BLACK, lw=0.5)
    for name, look in looks.items():
        _excess(axis, calibration.central(columns[f"rank_{name}"]), **look)
    for kind, (_, line) in JOINT.items():
        if f"{kind}_rank" in columns:
            _excess(axis, columns[f"{kind}_rank"], color=plotting.BLACK, ls=line)
    for level in calibration.CLAIMED.values():
        axis.axvline(level, color=plotting.GREY, lw=0.5, ls=":")
    axis.set(xlim=(0, 1), xlabel="claimed probability", ylabel=r"coverage $-$ claimed")


def _table(axis: Axes, found: Mapping[str, Any], units: Mapping[str, str]) -> None:
    axis.axis("off")
    rows = []
    for name, one in found["targets"].items():
        unit, over = units[f"error_{name}"], one["crps_over_prior"]
        rows.append(
            [
                name.replace("_", " ") + (f" [{unit}]" if unit else ""),
                *(f"{one[key]:.3g}" for key in ("bias", "robust_scatter", "sharpness")),
                *(f"{one[key]:.3f}" for key in ("coverage68", "coverage95")),
                f"{one['error']:.3f}",
                "" if over is None else f"{over:.3g}",
            ]
        )
    rows += [
        [label, *[""] * 5, f"{found[kind]['error']:.3f}", ""]
        for kind, (label, _) in JOINT.items()
        if found[kind]
    ]
    first = next(iter(found["targets"].values()))
    alone = (f"{first['expected']:.3f}", f"sampling alone (in 1 of 20: {first['limit']:.3f})")
    rows.append([alone[1], *[""] * 5, alone[0], ""])
    height = min(1.0, (len(rows) + 1.5) / ROWS)
    table = axis.table(
        cellText=rows,
        colLabels=HEAD,
        colWidths=(0.34, *[0.66 / 7] * 7),
        cellLoc="right",
        edges="horizontal",
        bbox=(0, 1 - height, 1, height),
    )
    table.auto_set_font_size(False)
    table.set_fontsize(7.5 if len(rows) < 11 else 6.5)
    for (row, column), cell in table.get_celld().items():
        cell.set_linewidth(0.4 if row == 0 else 0.0)
        if column == 0:
            cell.set_text_props(ha="left")


def _strangeness(axis: Axes, values: NDArray, found: Mapping[str, Any]) -> None:
    family = found["family"]
    positive = np.maximum(values, 1e-6)
    ends = (min(positive.min(), 0.3), 1.2 * max(positive.max(), family["threshold"]))
    axis.hist(positive, np.geomspace(*ends, BINS), histtype="stepfilled", color=plotting.SKY)
    axis.axvline(family["threshold"], color=plotting.VERMILION, lw=1.2)
    low, rate, high = (100 * family[key] for key in ("low", "rate", "high"))
    said = (
        f"threshold {family['threshold']:.3g}: {rate:.2f} % of {family['of']:,} systems of the "
        f"family lie above it ({low:.2f} to {high:.2f} %); it was set for "
        f"{100 * family['wanted']:.0f} % on {family['set_on']:,} others"
    )
    axis.set_title(said, loc="left", fontsize=7)
    axis.set(xscale="log", xlim=ends, xlabel="strangeness to the network", ylabel="systems")
