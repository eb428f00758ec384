"""Turned, mirrored, moved, relabelled or scaled, a lens is the same lens: not to every network.

The same test systems are shown to each network in other views, and its answers carried back. Shown
is how much they change against the view as it was, in the median of the systems (thick) and at most
(thin): the time-delay distance (top) and the deflection of the first image (bottom, x component).
Networks in a canonical frame do not change beyond rounding (dotted: 1e-5; what is smaller than 1e-9
is drawn there). The dense network does, and training it on turned copies, with their targets turned
too, is no substitute, not even for rotations. Changes beyond 10 are drawn there. Each network is
trained from one seed, for a time of its own (see `training_history`).
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting

FLOOR, CEILING = 1e-9, 10.0  # changes beyond are drawn there
TICKS = {1e-9: r"$\leq 10^{-9}$", 1e-7: "$10^{-7}$", 1e-5: "$10^{-5}$", 1e-3: "$10^{-3}$"}
TICKS |= {1e-1: "$10^{-1}$", 1e1: r"$\geq 10$"}
LIMIT = 1e-5  # what we ask of the networks in a canonical frame
VIEWS = {  # what the JSON calls it: label of the axis, factor to the label's unit
    "rotation": ("rotation [deg]", 180 / np.pi),
    "reflection": ("axis of reflection [deg]", 180 / np.pi),
    "translation": ("translation [arcsec]", 1.0),
    "relabelling": ("order of images, number", 1.0),
    "scale": ("scale of the angles", 1.0),
}
CHANGES = {
    "d_dt": r"$|\delta D_{\Delta t}| / D_{\Delta t}$",
    "deflection_x": r"$|\delta \alpha_x|$ [arcsec]",
}


def plot(invariance: list[str]) -> Figure:
    """Draw the files ``invariance.json`` of several networks."""
    found = {plotting.network(path): json.loads(Path(path).read_text()) for path in invariance}
    figure, axes = plt.subplots(
        2, len(VIEWS), figsize=(plotting.PAGE, 3.4), sharex="col", sharey=True
    )
    for row, (quantity, text) in zip(axes, CHANGES.items(), strict=True):
        row[0].set_ylabel(text)
        for axis, (view, (_, unit)) in zip(row, VIEWS.items(), strict=True):
            axis.axhline(LIMIT, color=plotting.BLACK, lw=0.6, ls=":")
            for name, answers in found.items():
                amount = unit * np.array(answers[view]["amount"])
                change = _change(answers, view, quantity)
                style = {"color": plotting.colour(name)}
                marker = "o" if view == "relabelling" else "-"
                middle = np.clip(np.median(change, axis=1), FLOOR, CEILING)
                most = np.clip(change.max(axis=1), FLOOR, CEILING)
                axis.plot(amount, most, marker, ms=1.2, lw=0.5, alpha=0.8, **style)
                axis.plot(amount, middle, marker, ms=2.6, label=plotting.label(name), **style)
            axis.set(yscale="log", ylim=(FLOOR / 3, 3 * CEILING))
            axis.set_yticks(list(TICKS), list(TICKS.values()))
            axis.yaxis.set_minor_locator(plt.NullLocator())
    for axis, (view, (text, _)) in zip(axes[-1], VIEWS.items(), strict=True):
        axis.set_xlabel(text)
        if view == "scale":
            axis.set(xscale="log", xticks=[0.5, 1, 2], xticklabels=["0.5", "1", "2"])
            axis.xaxis.set_minor_locator(plt.NullLocator())
    handles, _ = axes[0, 0].get_legend_handles_labels()
    black = {"color": plotting.BLACK}
    handles += [
        Line2D([], [], label="median of the systems", **black),
        Line2D([], [], lw=0.5, label="largest", **black),
        Line2D([], [], lw=0.6, ls=":", label="permitted: $10^{-5}$", **black),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=6, columnspacing=1.2)
    return figure


def _change(answers, view, quantity):
    """Return the change of an answer, shape (amounts, systems); relative for the distance."""
    before = np.array(answers["rotation"][quantity][0])  # turned by nothing
    change = np.abs(np.array(answers[view][quantity]) - before)
    return change / before if quantity == "d_dt" else change
