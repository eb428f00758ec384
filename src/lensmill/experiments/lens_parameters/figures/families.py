"""Lenses and images that a network has not learned from: how wrong it is, and whether it notices.

Rows are populations, colours networks. From left to right: error of the Einstein radius and of
the slope relative to the truth (bias with its standard error, thick, and scatter, thin); how many
truths lie in the central 68 % of their posteriors (filled: Einstein radius, open: slope; grey: what
sampling does to a right posterior in 95 of 100 test sets); and the fraction of systems that look
strange to the network, with its 68 % interval, beside the one that was wanted for its own
population (line). A coverage far from 68 % in a row without strange systems is an error that nobody
is told of. Errors beyond 30 % are drawn there.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import binom

from lensmill import plotting
from lensmill.experiments.lens_parameters import figures

MEASURED = ("theta_e", "slope")
REACH = 30.0  # [%]
CLAIMED = 0.68
FLOOR = 1e-3  # fractions of strange systems below are drawn there


def plot(scores: list[str]) -> Figure:
    """Draw the ``scores.json`` of networks on several populations."""
    populations = list(dict.fromkeys(map(plotting.population, scores)))
    looks = plotting.styles([plotting.network(path) for path in scores])
    height = 1.1 + 0.3 * len(populations)
    figure, axes = plt.subplots(1, 4, figsize=(plotting.PAGE, height), sharey=True)
    fewest = None
    for path in scores:
        found, name = json.loads(Path(path).read_text()), plotting.network(path)
        beside = [other for other in scores if plotting.population(other) == found["population"]]
        y = populations.index(found["population"])
        y += 0.55 * (beside.index(path) - (len(beside) - 1) / 2) / len(beside)
        colour = looks[name]["color"]
        for axis, parameter in zip(axes, MEASURED, strict=False):
            _error(axis, y, found["targets"][parameter], colour)
        _coverage(axes[2], y, found["targets"], colour)
        _strange(axes[3], y, found["calibration"]["strangeness"], colour)
        if found["known"]:
            fewest = min(fewest or found["known"], found["known"])
    for axis, parameter in zip(axes, MEASURED, strict=False):
        axis.axvline(0, color=plotting.GREY, lw=0.5, zorder=0)
        axis.set(xlabel=f"error of {figures.SYMBOLS[parameter]} [%]")
        axis.set_xlim(np.clip(axis.get_xlim(), -1.05 * REACH, 1.05 * REACH))
    if fewest:
        low, high = binom.ppf([0.025, 0.975], fewest, CLAIMED) / fewest
        axes[2].axvspan(low, high, color=plotting.LIGHT, lw=0, zorder=0)
    axes[2].set(xlim=(-0.03, 1.03), xlabel="truths in 68 %")
    axes[3].set(xscale="log", xlim=(FLOOR / 1.4, 1.4), xlabel="fraction called strange")
    axes[0].set_yticks(range(len(populations)), map(plotting.label, populations))
    axes[0].set_ylim(len(populations) - 0.5, -0.5)
    for axis in axes:
        axis.tick_params(axis="y", length=0)
    handles = [
        Line2D([], [], marker="o", ms=3.5, ls="", color=look["color"], label=plotting.label(name))
        for name, look in looks.items()
    ]
    handles += [
        Line2D([], [], marker="o", ms=3.5, ls="", color=plotting.BLACK, label="Einstein radius"),
        Line2D([], [], marker="o", ms=3.5, ls="", mfc="w", color=plotting.BLACK, label="slope"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure


def _error(axis, y, numbers, colour):
    """Draw bias and scatter of one parameter, in per cent."""
    if numbers is None:
        return
    bias, error, scatter = (
        100 * numbers[f"relative_{key}"] for key in ("bias", "bias_error", "scatter")
    )
    place = np.clip(bias, -REACH, REACH)
    axis.errorbar([place], [y], xerr=[scatter], fmt="o", ms=3, lw=0.6, color=colour)
    axis.errorbar([place], [y], xerr=[error], lw=2.2, color=colour)


def _coverage(axis, y, targets, colour):
    for name, fill, beside in zip(MEASURED, ({}, {"mfc": "w"}), (-0.06, 0.06), strict=True):
        numbers = targets[name]
        if numbers is not None and numbers["coverage68"] is not None:
            axis.plot([numbers["coverage68"]], [y + beside], "o", ms=3.5, color=colour, **fill)


def _strange(axis, y, found, colour):
    if not found or not found["strange"]:
        return  # too few systems to say
    strange = found["strange"]
    rate, low, high = (max(strange[key], FLOOR) for key in ("rate", "low", "high"))
    axis.errorbar([rate], [y], xerr=[[rate - low], [high - rate]], fmt="o", ms=3.5, color=colour)
    axis.axvline(found["family"]["wanted"], color=plotting.GREY, lw=0.5, zorder=0)
