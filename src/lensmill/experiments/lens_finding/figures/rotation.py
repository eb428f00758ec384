"""The same sky at every angle: how much the score of a network depends on it.

Lenses and non-lenses, turned from 0 to 360 degrees and rendered anew, so that no pixel is
interpolated. Top: the mean change of the logit (modulus) against the sky as it was. Middle: change
of the score, mean and the range of the central 68 % of the systems. Bottom: AUROC at each angle.
Dotted: quarter turns, by which the noise turns too; there the p4m network gives the same answer, to
rounding, by construction. In between the sky falls on other pixels and meets other noise, and no
network is immune. What is smaller than 1e-6 is drawn there. By default each network is trained from
one seed, for a time of its own (see `finder_history`).
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lensmill import plotting

FLOOR = 1e-6  # changes of the logit below are drawn there


def plot(rotation: list[str]) -> Figure:
    """Draw the files ``rotation.json`` of several networks."""
    figure, axes = plt.subplots(3, 1, figsize=(plotting.COLUMN * 1.4, 4.4), sharex=True)
    styles = plotting.styles([plotting.network(path) for path in rotation])
    for path in rotation:
        found = json.loads(Path(path).read_text())
        name = plotting.network(path)
        look, angle, change = styles[name], found["angle"], found["score_change"]
        logit = np.maximum(found["logit_change"]["mean"], FLOOR)
        axes[0].plot(angle, logit, marker="o", ms=2, label=plotting.label(name), **look)
        axes[1].plot(angle, change["mean"], **look)
        axes[1].fill_between(
            angle, change["low"], change["high"], color=look["color"], alpha=0.2, lw=0
        )
        if found["auroc"][0] is not None:
            axes[2].plot(angle, found["auroc"], **look)
    axes[0].set(yscale="log", ylim=(FLOOR / 2, None), ylabel=r"$|\delta$ logit$|$")
    axes[1].set(ylabel=r"$\delta$ score")
    axes[2].set(ylabel="AUROC", xlabel="angle [deg]", xlim=(0, 360))
    axes[2].set_xticks(range(0, 361, 45))
    for axis in axes:
        for quarter in (90, 180, 270):
            axis.axvline(quarter, color=plotting.GREY, lw=0.5, ls=":", zorder=0)
    axes[0].set_yticks([FLOOR, 1e-4, 1e-2, 1], [r"$\leq 10^{-6}$", "$10^{-4}$", "$10^{-2}$", "1"])
    axes[0].yaxis.set_minor_locator(plt.NullLocator())
    handles, _ = axes[0].get_legend_handles_labels()
    handles.append(Patch(color=plotting.BLACK, alpha=0.2, lw=0, label="central 68 %"))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(styles) + 1, 4))
    return figure
