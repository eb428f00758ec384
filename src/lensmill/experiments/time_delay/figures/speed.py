"""Speed of the solver: systems per second on one core, with all images and their delays.

Blue and grey: this package and lenstronomy's analytical solver, timed in turns in one process on
the same systems and for the same outputs (position, magnification, Fermat potential and arrival
time of every image); the number is the median ratio. Open circles: rates of other codes that are
quoted, not measured here, for isothermal lenses. Made by the script benchmarks/solver.py; rates
depend on the machine, ratios hardly do.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting


def plot(solver: str) -> Figure:
    """Draw the numbers that ``benchmarks/solver.py --json`` wrote."""
    found = json.loads(Path(solver).read_text())
    figure, axis = plt.subplots(figsize=(plotting.COLUMN * 1.3, 2.1))
    names = []
    for row, speeds in enumerate(found["measured"]):
        ours, theirs = speeds["lensmill"], speeds["lenstronomy_analytical"]
        axis.plot([theirs, ours], [row, row], color=plotting.LIGHT, lw=1.5, zorder=0)
        axis.plot(theirs, row, "o", ms=5, color=plotting.GREY)
        axis.plot(ours, row, "o", ms=5, color=plotting.BLUE)
        axis.text(ours * 1.6, row, f"{speeds['ratio']:.0f} ×", va="center")
        names.append(speeds["workload"].replace("-", "–"))
    for name, quoted in found["quoted"].items():
        rate = quoted["rate"]
        axis.plot(rate, len(names), "o", ms=5, mfc="none", color=plotting.GREY)
        axis.text(rate * 1.6, len(names), f"{rate:.2g} / s", va="center")
        names.append(name)
    axis.set_yticks(range(len(names)), names)
    axis.tick_params(axis="y", length=0)
    axis.set(
        xscale="log",
        xlim=(0.05, 2e7),
        ylim=(len(names) - 0.5, -0.5),
        xlabel="systems per second and core",
    )
    axis.set_xticks([10.0**power for power in range(-1, 8)])
    mark = {"marker": "o", "ls": "", "ms": 5}
    handles = [
        Line2D([], [], color=plotting.BLUE, label="Lensmill", **mark),
        Line2D([], [], color=plotting.GREY, label="lenstronomy", **mark),
        Line2D([], [], mfc="none", color=plotting.GREY, label="quoted", **mark),
        Line2D([], [], color=plotting.LIGHT, lw=1.5, label="×: ratio"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, handletextpad=0.3)
    return figure
