"""How well Einstein radius and slope are measured, and when.

Left against the signal to noise of the lensed light, right against the Einstein radius, in bins of
equal numbers of test systems. Top and middle: errors of the posterior medians relative to the
truth: scatter (half of the central 68 %, dots) and bias (median, crosses, with its standard error).
Dashed: the scatter of one who answers with the mean of what the network learned from, over all test
systems; a network at that line knows nothing. Dotted: the bias of such an answer against the
Einstein radius itself. The axis is linear about 0 and logarithmic far from it. Bottom: the width of
the posteriors over that of the prior (medians), of the Einstein radius with filled and of the slope
with open dots. What is beyond the frame is drawn at its edge.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from lensmill import plotting
from lensmill.experiments.lens_parameters import figures
from lensmill.learning import calibration

ALONG = {"arc_snr": "S/N of the lensed light", "true_theta_e": figures.label("theta_e")}
MEASURED = ("theta_e", "slope")
BINS, FEWEST = 7, 8  # bins, and systems in each
FRAME = 2.0  # times the scatter of the prior alone, to which errors are shown
LINEAR = 1.0  # [%] below it the axis of errors is linear, above logarithmic
TICKS = (-30, -10, -3, -1, 0, 1, 3, 10, 30)  # [%]


def plot(predictions: list[str]) -> Figure:
    """Draw the ``predictions.h5`` of several networks."""
    figure, axes = plt.subplots(
        3, 2, figsize=(plotting.PAGE, 5.4), sharex="col", sharey="row", height_ratios=[1, 1, 0.8]
    )
    looks = plotting.styles([plotting.network(path) for path in predictions])
    highest = [0.0, 0.0]
    for path in predictions:
        table, prior = figures.known(path), figures.prior(path)
        if not table["true_slope"].size:
            continue  # nothing is known of these systems
        look = looks[plotting.network(path)]
        for column, along in enumerate(ALONG):
            bins = _bins(table[along])
            x = np.array([np.median(table[along][b]) for b in bins])
            for row, name in enumerate(MEASURED):
                alone = _alone(axes[row, column], name, table, prior, look)
                highest[row] = max(highest[row], alone)
                _errors(axes[row, column], x, bins, name, table, look, FRAME * alone)
                width = table[f"{name}_error"] / (prior[name]["width"] or 1.0)
                fill = {} if name == "theta_e" else {"mfc": "w"}
                values = [np.median(width[b]) for b in bins]
                axes[2, column].plot(
                    x, np.clip(values, None, 2.0), marker="o", ms=3.5, **look, **fill
                )
            if along == "true_theta_e":
                _pulled(axes[0, column], x, prior["theta_e"]["mean"], look)
    for row, name in enumerate(MEASURED):
        reach = FRAME * (highest[row] or 1.0)
        axes[row, 0].set_yscale("asinh", linear_width=LINEAR)
        axes[row, 0].set_yticks([tick for tick in TICKS if -0.75 * reach < tick < reach])
        axes[row, 0].yaxis.set_major_formatter("{x:g}")
        axes[row, 0].yaxis.set_minor_locator(NullLocator())
        axes[row, 0].set_ylim(-0.75 * reach, 1.05 * reach)
        axes[row, 0].set_ylabel(f"error of {figures.SYMBOLS[name]} [%]")
    for axis in axes[:2].flat:
        axis.axhline(0, color=plotting.GREY, lw=0.5, zorder=0)
    for axis in axes[2]:
        axis.axhline(1, color=plotting.GREY, lw=0.5, ls="--", zorder=0)
    axes[2, 0].set(ylim=(0, None), ylabel="width / prior", xscale="log")
    axes[2, 0].xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes[2, 0].xaxis.set_major_formatter("{x:g}")
    axes[2, 0].xaxis.set_minor_formatter(NullFormatter())
    for axis, text in zip(axes[2], ALONG.values(), strict=True):
        axis.set_xlabel(text)
    figure.legend(handles=[*_networks(looks), *_marks()], loc="outside upper center", ncols=4)
    return figure


def _bins(values):
    """Return the rows of each bin."""
    order = np.argsort(values, kind="stable")
    return np.array_split(order, int(np.clip(values.size // FEWEST, 1, BINS)))


def _errors(axis, x, bins, name, table, look, reach):
    """Draw scatter and bias in bins, in per cent."""
    error = 100 * (table[f"{name}_median"] / table[f"true_{name}"] - 1)
    scatter = np.array([calibration.robust_scatter(error[b]) for b in bins])
    bias = np.array([calibration.bias(error[b]) for b in bins])
    spread = scatter * np.sqrt(np.pi / 2 / np.array([b.size for b in bins]))
    axis.plot(x, np.clip(scatter, None, reach), marker="o", ms=3.5, **look)
    axis.errorbar(
        x,
        np.clip(bias, -0.7 * reach, reach),
        spread,
        **{**look, "ls": ""},
        marker="x",
        ms=3.5,
        lw=0.8,
    )


def _alone(axis, name, table, prior, look):
    """Draw the scatter of one who answers with the mean of the prior, in per cent."""
    error = 100 * (prior[name]["mean"] / table[f"true_{name}"] - 1)
    scatter = calibration.robust_scatter(error)
    axis.axhline(scatter, **{**look, "ls": "--"}, lw=0.8, zorder=1)
    return scatter


def _pulled(axis, x, mean, look):
    """Draw the bias of one who answers with the mean of the prior, whatever the truth."""
    axis.plot(x, 100 * (mean / x - 1), **{**look, "ls": ":"}, lw=0.8, zorder=1)


def _networks(looks):
    return [Line2D([], [], label=plotting.label(name), **look) for name, look in looks.items()]


def _marks():
    """Return the keys to marks and lines."""
    black = {"color": plotting.BLACK}
    return [
        Line2D([], [], marker="o", ms=3.5, ls="-", label="scatter", **black),
        Line2D([], [], marker="x", ms=3.5, ls="", label="bias", **black),
        Line2D([], [], ls="--", lw=0.8, label="scatter, prior alone", **black),
        Line2D([], [], ls=":", lw=0.8, label="bias, prior alone", **black),
        Line2D([], [], marker="o", ms=3.5, ls="", label=r"width: $\theta_\mathrm{E}$", **black),
        Line2D([], [], marker="o", ms=3.5, ls="", mfc="w", label="width: slope", **black),
    ]
