"""Do the claimed errors of the time-delay distance hold? By network and population.

Left: how often the truth lies inside a central interval, against the probability that the interval
claims. Middle: the difference of the two, enlarged; above zero the errors are too large, below zero
too small; calibrated errors would lie in the grey band with a probability of 95 % at every point
(for the smallest test set). Right: where the truth falls in its posterior; flat if calibrated, a
slope is a bias and a bowl overconfidence. Top: doubles. Bottom: quads. The networks for the Hubble
constant are trained on SIS + shear and tested on all families; the survey network is trained and
tested on its own population.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lensmill import plotting
from lensmill.learning import calibration
from lensmill.pipeline import store

LEVELS = np.linspace(0.02, 0.98, 49)
BINS = np.linspace(0.0, 1.0, 21)
ZOOM = 0.08


def plot(doubles: list[str], quads: list[str]) -> Figure:
    """Draw the calibration of the ``predictions.h5`` given."""
    figure, axes = plt.subplots(2, 3, figsize=(plotting.PAGE, 4.5), sharex="col", sharey="col")
    for row, name, paths in zip(axes, ("doubles", "quads"), (doubles, quads), strict=True):
        whole, zoom, ranks = row
        sizes = []
        for path in paths:
            table = store.read(path, "systems", ("d_dt_rank", "d_dt_known"))
            rank = table["d_dt_rank"][table["d_dt_known"] == 1]
            if not rank.size:
                continue  # a small run has no such systems to test on
            sizes.append(rank.size)
            colour = plotting.colour(plotting.population(path))
            covered = calibration.coverage(rank, LEVELS)
            whole.plot(LEVELS, covered, color=colour)
            zoom.plot(LEVELS, covered - LEVELS, color=colour)
            density, _ = np.histogram(rank, BINS, density=True)
            ranks.stairs(density, BINS, color=colour)
        sigma = np.sqrt(LEVELS * (1 - LEVELS) / min(sizes, default=1))
        zoom.fill_between(LEVELS, -1.96 * sigma, 1.96 * sigma, color=plotting.LIGHT, lw=0)
        whole.plot([0, 1], [0, 1], color=plotting.BLACK, lw=0.5)
        zoom.axhline(0, color=plotting.BLACK, lw=0.5)
        ranks.axhline(1, color=plotting.BLACK, lw=0.5)
        for level in calibration.CLAIMED.values():
            zoom.axvline(level, color=plotting.GREY, lw=0.5, ls=":")
        whole.set(ylabel=f"{name}: coverage", xlim=(0, 1), ylim=(0, 1))
        zoom.set(ylabel=r"coverage $-$ claimed", xlim=(0, 1), ylim=(-ZOOM, ZOOM))
        ranks.set(ylabel="density", xlim=(0, 1), yscale="log", ylim=(0.08, 25))
    axes[1, 0].set_xlabel("claimed probability")
    axes[1, 1].set_xlabel("claimed probability")
    axes[1, 2].set_xlabel("rank of the truth")
    names = dict.fromkeys(map(plotting.population, (*doubles, *quads)))
    handles = [Line2D([], [], color=plotting.colour(n), label=plotting.label(n)) for n in names]
    handles += [
        Line2D([], [], color=plotting.BLACK, lw=0.5, label="calibrated"),
        Patch(color=plotting.LIGHT, lw=0, label="95 % of the calibrated"),
        Line2D([], [], color=plotting.GREY, lw=0.5, ls=":", label="68 %, 95 %"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure
