"""The same sky at every angle, and answers that should turn with it.

Lenses turned from 0 to 360 degrees and rendered anew, so that no pixel is interpolated. Top: the
lens with the largest ellipticity, what is true of it (black) and what the networks answer (mean of
the posterior): the Einstein radius, which no turn changes; the position of the source, which turns
once; the ellipticity, which turns twice. Below: how far an answer, turned back, is from that for
the sky as it was, mean over all lenses. Dotted: quarter turns, by which the noise turns too; there
the answers of the p4m network turn exactly, to rounding, by construction, and those of others do
not. In between the sky falls on other pixels and meets other noise, and no network is immune. What
is smaller than 1e-6 is drawn there.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.lens_parameters import figures

# Column by column: the parameter of the example, and what is compared, as it is called.
COLUMNS = (
    ("theta_e", {"theta_e": r"$\ln\theta_\mathrm{E}$", "slope": r"$\gamma$"}),
    ("source_x", {"source": "source [arcsec]", "lens": "lens [arcsec]"}),
    ("ellipticity_1", {"ellipticity": "ellipticity", "shear": "shear"}),
)
TITLES = ("spin 0", "spin 1", "spin 2")
FLOOR = 1e-6  # changes below are drawn there
MARKS = ({}, {"alpha": 0.5, "lw": 0.7})  # of the first and the second of a column


def plot(rotation: list[str]) -> Figure:
    """Draw the files ``rotation.json`` of several networks."""
    figure, axes = plt.subplots(2, 3, figsize=(plotting.PAGE, 3.6), sharex=True)
    looks = plotting.styles([plotting.network(path) for path in rotation])
    populations = {}
    for path in rotation:
        found, name = json.loads(Path(path).read_text()), plotting.network(path)
        angle, look = np.array(found["angle"]), looks[name]
        of_truth = {"color": plotting.BLACK}
        if plotting.population(path) != populations.setdefault("first", plotting.population(path)):
            of_truth = {"color": plotting.GREY}  # another population has another example
        for (parameter, groups), (top, bottom) in zip(COLUMNS, axes.T, strict=True):
            example = found["example"][parameter]
            top.plot(angle, example["truth"], lw=0.8, zorder=1, **of_truth)
            top.plot(angle, example["answer"], marker="o", ms=2, lw=0.6, **look)
            for group, mark in zip(groups, MARKS, strict=True):
                change = np.maximum(found["change"][group]["mean"], FLOOR)
                bottom.plot(angle, change, marker="o", ms=2, **{**look, **mark})
    for (parameter, groups), title, (top, bottom) in zip(COLUMNS, TITLES, axes.T, strict=True):
        top.set_title(title)
        top.set_ylabel(figures.label(parameter))
        first, second = groups.values()
        bottom.set(yscale="log", ylim=(FLOOR / 2, None), xlim=(0, 360))
        bottom.set(xlabel="angle [deg]", ylabel=f"change of {first}\n(pale: {second})")
        bottom.set_xticks(range(0, 361, 90))
        for axis in (top, bottom):
            for quarter in (90, 180, 270):
                axis.axvline(quarter, color=plotting.GREY, lw=0.5, ls=":", zorder=0)
    handles = [
        Line2D([], [], marker="o", ms=2, label=plotting.label(name), **look)
        for name, look in looks.items()
    ]
    handles.append(Line2D([], [], color=plotting.BLACK, lw=0.8, label="truth"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure
