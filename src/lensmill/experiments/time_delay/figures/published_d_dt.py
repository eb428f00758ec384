"""Time-delay distances of real lensed quasars: computed, predicted and published.

Left, with 68 % intervals: circles are exact posteriors under the prior of the family; filled if the
family of lenses reproduces the system, half filled if the test could hardly have failed it (doubles
above all), open and red if it must not be used: no member of the family reproduces positions and
delays, or the Hubble constant is far outside its prior. Diamonds: the networks, which learned to
approximate the same posteriors. Squares: published distances, from models of the lens with far more
data. Right: p-value of residuals and shape of the lens over the posterior; arrows: below 1e-6. A
dagger marks systems known to be more complex than one galaxy with shear. The errors include those
of positions and delays and the spread of slope, shape, shear and external convergence in the prior;
they do not include the mass-sheet degeneracy, companions or what is known of the line of sight.
"""

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table, vstack
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.time_delay import verdicts

SMALLEST = 1e-6  # probabilities below are drawn there
SMALLER = "below $10^{-6}$"
FILL = {"inside": "full", "cannot": "left", "unusable": "none"}  # by `verdicts.key`


def plot(systems: list[str]) -> Figure:
    """Draw the systems in the tables ``systems.ecsv``."""
    tables = [Table.read(path) for path in systems]
    table = vstack(tables, metadata_conflicts="silent") if len(tables) > 1 else tables[0]
    table = table[np.lexsort((table["name"], -table["n_images"]))]
    figure, (left, right) = plt.subplots(
        1,
        2,
        figsize=(plotting.PAGE, 0.9 + 0.2 * len(table)),
        width_ratios=[3.2, 1],
        sharey=True,
    )
    for row, system in enumerate(table):
        _distances(left, row, system)
        verdict = verdicts.key(str(system["verdict"]))
        if verdict == "unusable" or system["n_images"] > 2:  # for the others it means nothing
            place = max(float(system["p_value"]), SMALLEST)
            marker = "<" if place == SMALLEST else "o"
            right.plot(place, row, marker, **_style(verdict))
    doubles = np.count_nonzero(table["n_images"] > 2) - 0.5
    for axis in (left, right):
        axis.axhline(doubles, color=plotting.GREY, lw=0.5)
    names = [str(s["name"]) + (r" $\dagger$" if s["complex"] else "") for s in table]
    left.set_yticks(range(len(table)), names)
    left.set(
        xscale="log",
        xlabel=r"$D_{\Delta t}$ [Mpc]",
        xlim=_limits(table),
        ylim=(len(table) - 0.4, -0.6),
    )
    low, high = left.get_xlim()
    ticks = [t for t in (200, 500, 1000, 2000, 5000, 10000, 20000, 50000) if low <= t <= high]
    left.set_xticks(ticks, [str(tick) for tick in ticks])
    left.xaxis.set_minor_locator(plt.NullLocator())
    right.set(xscale="log", xlabel="p-value", xlim=(SMALLEST / 3, 2))
    right.set_xticks([1e-6, 1e-4, 1e-2, 1])
    for axis in (left, right):
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", color=plotting.LIGHT, lw=0.3)
    figure.legend(handles=_legend(), loc="outside upper center", ncols=7, columnspacing=1.0)
    return figure


def _limits(table):
    """Return a range that holds all intervals, and the usual distances."""
    low = np.nanmin(np.ma.filled(np.ma.asarray(table["d_dt_low68"]), np.nan))
    high = np.nanmax(np.ma.filled(np.ma.asarray(table["d_dt_high68"]), np.nan))
    return min(500, 0.8 * low), max(22000, 1.2 * high)


def _distances(axis, row, system):
    """Draw the exact, the predicted and the published distance of one system."""
    verdict = verdicts.key(str(system["verdict"]))
    if not np.ma.is_masked(system["d_dt"]):
        ends = float(system["d_dt_low68"]), float(system["d_dt_high68"])
        style = _style(verdict)
        axis.plot(ends, [row - 0.22] * 2, color=style["color"], lw=1.0)
        axis.plot(float(system["d_dt"]), row - 0.22, "o", **style)
    if not np.ma.is_masked(system["network_d_dt"]):
        ends = [float(system[f"network_d_dt_{end}"]) for end in ("low68", "high68")]
        axis.plot(ends, [row + 0.04] * 2, color=plotting.GREY, lw=0.7)
        axis.plot(float(system["network_d_dt"]), row + 0.04, "D", color=plotting.GREY, ms=2.4)
    if not np.ma.is_masked(system["d_dt_published"]):
        value = float(system["d_dt_published"])
        ends = value - system["d_dt_published_minus"], value + system["d_dt_published_plus"]
        axis.plot(ends, [row + 0.27] * 2, color=plotting.BLACK, lw=0.9)
        axis.plot(value, row + 0.27, "s", color=plotting.BLACK, ms=3.0)


def _style(verdict):
    """Return the look of a prediction by what the test of the family says."""
    colour = plotting.VERMILION if verdict == "unusable" else plotting.BLUE
    fill = FILL.get(verdict, "full")
    return {"color": colour, "fillstyle": fill, "ms": 4.2, "mew": 0.8, "markerfacecoloralt": "w"}


def _legend():
    texts = {
        "inside": "exact: family reproduces it",
        "cannot": "not testable",
        "unusable": "do not use",
    }
    handles = [Line2D([], [], marker="o", label=t, **_style(v)) for v, t in texts.items()]
    return [
        *handles,
        Line2D([], [], marker="D", color=plotting.GREY, ms=2.6, lw=0.7, label="network"),
        Line2D([], [], marker="s", color=plotting.BLACK, ms=3.2, lw=0.9, label="published"),
        Line2D([], [], marker="<", color=plotting.BLACK, ls="", ms=4, mfc="none", label=SMALLER),
        Line2D([], [], marker=r"$\dagger$", color="k", ls="", ms=6, mew=0, label="complex lens"),
    ]
