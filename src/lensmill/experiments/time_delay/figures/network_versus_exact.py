"""Networks against the exact posterior of the time-delay distance: how near, and where not.

Mocks that both have answered, doubles above and quads below. Left: difference of the medians of
ln D in units of the exact width (half of the central 68 %); grey: closer than a fifth of it.
Middle: the same against the error of the image positions. Right: width of the network's posterior
over that of the exact one, 1 at best. Circles: the lens galaxy was seen; squares: it was not.
Black: median of each fifth of the systems; in the middle, that of the difference without its sign.
Triangles: beyond the axis.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lensmill import plotting

KINDS = {2: "doubles", 4: "quads"}
NEAR = 0.2
REACH = 2.5  # of the differences
RATIOS = (0.4, 4.0)
BINS = np.linspace(-REACH, REACH, 51)
SEEN = {1: ("o", plotting.BLUE, "galaxy seen"), 0: ("s", plotting.VERMILION, "galaxy not seen")}


def plot(systems: str, summary: str) -> Figure:
    """Draw the table (ECSV) and the report (JSON) of `exact_checks.check_posteriors`."""
    table = Table.read(systems)
    report = json.loads(Path(summary).read_text())
    kinds = [k for k in KINDS if "network_against_exact" in report.get(str(k), {})]
    figure, axes = plt.subplots(
        len(kinds),
        3,
        figsize=(plotting.PAGE, 0.6 + 1.9 * len(kinds)),
        sharex="col",
        squeeze=False,
        width_ratios=[1, 1.15, 1.15],
    )
    for row, k in zip(axes, kinds, strict=True):
        mocks = table[table["n_images"] == k]
        mocks = mocks[~np.ma.getmaskarray(np.ma.asarray(mocks["difference"]))]
        _differences(row[0], mocks, report[str(k)]["network_against_exact"], KINDS[k])
        error = 1e3 * np.asarray(mocks["position_error"])  # [mas]
        off, ratio = np.asarray(mocks["difference"]), np.asarray(mocks["width_ratio"])
        for axis, values, limits in ((row[1], off, (-REACH, REACH)), (row[2], ratio, RATIOS)):
            _scatter(axis, error, values, np.asarray(mocks["lens_known"]), limits)
        row[1].axhspan(-NEAR, NEAR, color=plotting.LIGHT, lw=0, zorder=0)
        row[1].set(ylabel=r"difference [$\sigma_\mathrm{exact}$]", ylim=(-REACH, REACH))
        row[2].axhline(1, color=plotting.GREY, lw=0.5, zorder=0)
        row[2].set(ylabel="network / exact width", yscale="log", ylim=RATIOS)
        row[2].set_yticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
        row[2].yaxis.set_minor_locator(plt.NullLocator())
        for axis in row[1:]:
            axis.set_xscale("log")
            axis.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
            axis.xaxis.set_minor_locator(plt.NullLocator())
        _medians(row[1], error, np.abs(off))
        _medians(row[2], error, ratio)
    axes[-1, 0].set_xlabel(r"difference of medians [$\sigma_\mathrm{exact}$]")
    for axis in axes[-1, 1:]:
        axis.set(xlabel="error of the positions [mas]")
    handles = [
        Line2D([], [], marker=marker, color=colour, ls="", ms=3, label=label)
        for marker, colour, label in SEEN.values()
    ]
    handles.append(
        Line2D([], [], color=plotting.BLACK, marker="D", ms=2.5, label="medians (of sizes)")
    )
    handles.append(Patch(color=plotting.LIGHT, lw=0, label=rf"within {NEAR} $\sigma$"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure


def _differences(axis, mocks, numbers, kind):
    """Draw the histogram of the differences."""
    axis.axvspan(-NEAR, NEAR, color=plotting.LIGHT, lw=0)
    off = np.clip(np.asarray(mocks["difference"]), BINS[0], BINS[-1])
    counts, _ = np.histogram(off, BINS)
    axis.stairs(counts, BINS, color=plotting.BLUE)
    text = f"{numbers['systems']:,} {kind}\n{100 * numbers['near']:.0f} % within {NEAR} $\\sigma$"
    text += f"\nwidths: {numbers['median_width_ratio']:.2f}"
    axis.text(0.03, 0.96, text, transform=axis.transAxes, va="top", fontsize=6.5)
    axis.set(ylabel="systems", xlim=(-REACH, REACH), ylim=(0, 1.15 * counts.max()))


def _scatter(axis, error, values, seen, limits):
    """Draw systems against their error, those beyond the axis at its edge."""
    low, high = limits
    for known, (marker, colour, _) in SEEN.items():
        mine = seen == known
        inside = mine & (values > low) & (values < high)
        axis.plot(error[inside], values[inside], marker, color=colour, ms=1.6, mew=0, alpha=0.6)
        for beyond, edge, pointer in ((values >= high, high, "^"), (values <= low, low, "v")):
            if (x := error[mine & beyond]).size:
                axis.plot(
                    x, np.full(len(x), edge), pointer, color=colour, ms=3, mew=0, clip_on=False
                )


def _medians(axis, error, values):
    """Draw the medians of fifths of the systems in the order of their errors."""
    parts = np.array_split(np.argsort(error), 5)
    x, y = ([np.median(column[part]) for part in parts] for column in (error, values))
    axis.plot(x, y, "D-", color=plotting.BLACK, ms=2.5, lw=0.9, zorder=3)
