"""The images that a lens can make, from the population with ellipticity and shear.

Each panel is one simulated system, chosen by its geometry alone: a single image, a double, a naked
cusp (three images on one side of the lens) and the three kinds of quad: cross, fold and cusp. Dots
are the images, their area growing with the magnification; blue circles are minima and red
diamonds saddles of the arrival time, and the numbers are the delays in days. The star is the
source. Grey: critical curve. Solid: caustic, inside of which there are two images more. Dashed:
cut, inside of which there is a second image.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.time_delay.figures import IMAGES
from lensmill.lensing import caustics
from lensmill.pipeline import store

SHAPE = ("theta_e", "q", "phi", "slope", "gamma1", "gamma2", "kappa_ext")
REACH = 3.6  # half width of a panel [arcsec]
AREA = 22.0  # of the dot of an image that is not magnified [points^2]
SYSTEMS = 200_000  # read from the start of the file: enough for the rarest kind


def plot(dataset: str) -> Figure:
    """Draw one system of every kind in ``dataset``."""
    columns = (*SHAPE, "source_x", "source_y", "n_images", "first_image")
    systems = store.read(dataset, "systems", columns, count=SYSTEMS)
    n_rows = int(systems["first_image"][-1] + systems["n_images"][-1])
    columns = ("x", "y", "magnification", "type", "delay")
    images = store.read(dataset, "images", columns, count=n_rows)
    chosen = _choose(systems, images)

    n_columns = max(1, (len(chosen) + 1) // 2)
    figure, axes = plt.subplots(
        2,
        n_columns,
        figsize=(plotting.PAGE, 2 * plotting.PAGE / n_columns),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axis in axes.flat[len(chosen) :]:  # a small population has not got every kind
        axis.set_axis_off()
    for axis, (name, row) in zip(axes.flat, chosen.items(), strict=False):
        _draw(axis, name, {k: v[row] for k, v in systems.items()}, images)
    for axis in axes[-1]:
        axis.set_xlabel("$x$ [arcsec]")
    for axis in axes[:, 0]:
        axis.set_ylabel("$y$ [arcsec]")
    figure.legend(handles=_legend(), loc="outside upper center", ncols=7, columnspacing=1.4)
    return figure


def _choose(systems, images):
    """Pick the row of one typical system of every kind there is."""
    n, first = systems["n_images"], systems["first_image"]
    radius = np.hypot(images["x"], images["y"])
    inside = np.maximum.reduceat(radius, first[n > 0]) < REACH - 0.8
    seen = np.zeros(n.size, bool)
    seen[n > 0] = inside
    shear = np.hypot(systems["gamma1"], systems["gamma2"])
    typical = seen & (np.abs(systems["q"] - 0.65) < 0.12) & (shear < 0.12)
    chosen = {}

    def nearest(name, rows, measure, target):
        if rows.size:
            chosen[name] = int(rows[np.argmin(np.abs(measure - target))])

    offset = np.hypot(systems["source_x"], systems["source_y"]) / systems["theta_e"]
    one = np.flatnonzero((n == 1) & typical)
    nearest("single", one, offset[one], 1.1)
    two = np.flatnonzero((n == 2) & typical)
    nearest("double", two, offset[two], 0.5)
    three = np.flatnonzero((n == 3) & seen)
    brightest = np.abs(images["magnification"][first[three, None] + np.arange(3)]).max(axis=1)
    nearest("naked cusp", three, brightest, 5.0)

    four = np.flatnonzero((n == 4) & typical)
    rows = first[four, None] + np.arange(4)
    angle = np.sort(np.arctan2(images["y"][rows], images["x"][rows]), axis=1)
    gap = np.degrees(np.diff(angle, axis=1, append=angle[:, :1] + 2 * np.pi))
    pair = gap.min(axis=1)
    triplet = (gap + np.roll(gap, -1, axis=1)).min(axis=1)
    nearest("quad: cross", four, gap.max(axis=1), 98.0)
    # two close images far from the others; then three in a row, evenly spaced
    fold = (pair > 20) & (pair < 26)
    nearest("quad: fold", four[fold], triplet[fold], 180.0)
    even = np.sort(gap, axis=1)[:, 1] - pair < 6.0
    nearest("quad: cusp", four[even], triplet[even], 70.0)
    return chosen


def _draw(axis, name, system, images):
    rows = slice(system["first_image"], system["first_image"] + system["n_images"])
    x, y, size, kind, delay = (
        images[c][rows] for c in ("x", "y", "magnification", "type", "delay")
    )
    curves = caustics.curves(*(system[c] for c in SHAPE))
    axis.plot(curves.critical_x, curves.critical_y, color=plotting.LIGHT, lw=2.2)
    axis.plot(curves.caustic_x, curves.caustic_y, color=plotting.BLACK, lw=0.8)
    axis.plot(curves.cut_x, curves.cut_y, color=plotting.BLACK, lw=0.8, ls=(0, (4, 2)))
    axis.plot(0, 0, "+", color=plotting.GREY, ms=5, mew=0.7)
    source = {"marker": "*", "color": plotting.YELLOW, "ms": 8, "mec": "k", "mew": 0.5}
    axis.plot(system["source_x"], system["source_y"], **source)
    # the area of a dot grows with the magnification, within what can be seen and told apart
    brightness = np.clip(np.abs(size), 0.15, 8.0)
    for number, (_, colour, marker) in IMAGES.items():
        of = kind == number
        area = AREA * brightness[of] / (2.0 if marker == "D" else 1.0)
        axis.scatter(x[of], y[of], s=area, c=colour, marker=marker, alpha=0.9, lw=0, zorder=3)
    for i in range(x.size):
        away = np.array([x[i], y[i]]) / np.hypot(x[i], y[i])
        digits = 2 if 0 < delay[i] < 0.1 else 1 if 0 < delay[i] < 9.5 else 0
        axis.annotate(
            f"{delay[i]:.{digits}f} d",
            (x[i], y[i]),
            xytext=away * (7.5 + np.sqrt(AREA * brightness[i]) / 2) * (1.25, 1.0),
            textcoords="offset points",
            fontsize=7,
            ha="center",
            va="center",
            bbox={"boxstyle": "square,pad=0.05", "fc": "white", "ec": "none", "alpha": 0.8},
        )
    axis.set(xlim=(-REACH, REACH), ylim=(-REACH, REACH), aspect="equal")
    axis.text(0.04, 0.96, name, transform=axis.transAxes, va="top", fontweight="bold")


def _legend():
    marks = [
        Line2D([], [], color=colour, marker=marker, ls="", label=name)
        for name, colour, marker in list(IMAGES.values())[:2]
    ]
    star = {"marker": "*", "color": plotting.YELLOW, "mec": "k", "mew": 0.5, "ms": 7, "ls": ""}
    return [
        *marks,
        Line2D([], [], label="source", **star),
        Line2D([], [], color=plotting.GREY, marker="+", ms=5, mew=0.7, ls="", label="lens"),
        Line2D([], [], color=plotting.LIGHT, lw=2.2, label="critical curve"),
        Line2D([], [], color="k", lw=0.8, label="caustic"),
        Line2D([], [], color="k", lw=0.8, ls=(0, (4, 2)), label="cut"),
    ]
