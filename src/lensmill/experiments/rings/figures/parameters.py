"""How well one ring is measured, against the limit that the photons set.

Each panel is a parameter, in bins of equal numbers of the light on the sensors: the scatter of the
network's errors (dots: root mean square; circles: half of the central 68.3 %, which outliers do not
move), their median (bias, crosses; bars are its standard error), what the network claims (line) and
the Cramer-Rao bound (dashed, grey below it), which no unbiased estimate beats. Angles are only
shown of ellipses whose axes differ by more than 4 per cent; no bound is computed for them.
"""

import json

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter

from lensmill import plotting
from lensmill.experiments.rings.shapes import ROUND
from lensmill.learning import calibration
from lensmill.pipeline import store

BINS = 5
SYMBOLS = {
    "x": "$x$",
    "y": "$y$",
    "radius": r"radius $\sqrt{ab}$",
    "semi_major": "semi-major axis $a$",
    "semi_minor": "semi-minor axis $b$",
    "angle": "position angle",
    "thickness": "thickness",
    "deformation": "deformation",
}


def plot(predictions: str) -> Figure:
    """Draw the ``predictions.h5`` of a network that measures rings."""
    table = store.read(predictions, "systems")
    names = json.loads(store.attributes(predictions)["scored"])
    down = -(-len(names) // 3)
    figure, axes = plt.subplots(
        down, 3, figsize=(plotting.PAGE, 2.1 * down), sharex=True, squeeze=False
    )
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    for axis, name in zip(axes.flat, names, strict=False):
        _panel(axis, name, table)
    for column in range(3):
        axes[-1, column].set_xlabel("charge [photoelectrons]")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5)
    return figure


def _panel(axis, name, table):
    """Draw one parameter."""
    chosen = np.ones(len(table["charge"]), bool)
    if name == "angle":
        a, b = table["semi_major"], table["semi_minor"]
        chosen = (a - b) / (a + b) > ROUND
    turn = np.rad2deg(1.0) if name == "angle" else 1.0
    error = turn * (table[f"{name}_median"] - table[name])[chosen]
    claimed, bound = (turn * table[f"{name}_{end}"][chosen] for end in ("error", "bound"))
    charge = table["charge"][chosen]
    order = np.array_split(np.argsort(charge, kind="stable"), BINS)
    order = [rows for rows in order if rows.size > 1]
    x = np.array([np.median(charge[rows]) for rows in order])
    colour = plotting.BLUE

    def each(of):
        return np.array([of(rows) for rows in order])

    rms = each(lambda rows: np.sqrt((error[rows] ** 2).mean()))
    axis.plot(x, rms, "o", color=colour, label="rms error")
    robust = each(lambda rows: calibration.robust_scatter(error[rows]))
    axis.plot(x, robust, "o", mfc="none", color=colour, label="central 68.3 %")
    if claimed.any():
        axis.plot(x, each(lambda rows: np.sqrt((claimed[rows] ** 2).mean())), color=colour)
        axis.lines[-1].set_label("claimed")
    bias = each(lambda rows: np.median(error[rows]))
    # of a median of Gaussian numbers
    spread = 1.2533 * robust / np.sqrt(each(len))
    axis.errorbar(x, bias, spread, fmt="x", color=plotting.VERMILION, capsize=2, label="bias")
    if bound.any():
        low = each(lambda rows: np.sqrt((bound[rows] ** 2).mean()))
        axis.plot(x, low, "k--", label="Cramer-Rao bound")
        axis.fill_between(x, 0, low, color=plotting.LIGHT)
    axis.axhline(0, color="k", lw=0.4)
    unit = "deg" if name == "angle" else "sensor"
    axis.set(xscale="log", xlim=(0.85 * x[0], 1.18 * x[-1]), ylabel=f"{SYMBOLS[name]} [{unit}]")
    axis.xaxis.set_major_formatter("{x:.0f}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_major_locator(FixedLocator([200, 400, 600, 1000, 2000, 4000]))
