"""Which lenses are recovered: completeness against Einstein radius over seeing, and magnitude.

Blue: lenses painted on real galaxies that the network has not seen, in bins of equal numbers, at
the threshold `unpainted` (1 % of unpainted hosts and look-alikes). Black: real lenses, those of
which the separation of the images is known (half of it stands for the Einstein radius) on the left,
all on the right. Bars are 68 % binomial intervals. Dashed: the ideal observer of the painted lenses
who knows the galaxy and the shape of the arcs; what lies below it is not the noise's fault.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.lens_finding.figures import labelled, named_threshold
from lensmill.learning import classification

PANELS = {
    "theta_e_over_seeing": r"$\theta_\mathrm{E}$ / seeing",
    "host_magnitude": "magnitude in $i$",
}
NAME = "unpainted"
BINS, FEWEST = 8, 8
FPR = 0.01


def plot(painted: list[str], real: list[str]) -> Figure:
    """Draw the ``predictions.h5`` of one network on painted and on real lenses."""
    figure, axes = plt.subplots(1, 2, figsize=(plotting.PAGE * 0.8, 2.5), sharey=True)
    for paths, colour in ((painted, plotting.BLUE), (real, plotting.BLACK)):
        tables = [labelled(path) for path in paths]
        limits = [named_threshold(path, NAME) for path in paths]
        lens = [table["is_lens"] == 1 for table in tables]
        found = np.concatenate(
            [t["logit"][is_] > at for t, is_, at in zip(tables, lens, limits, strict=True)]
        )
        for axis, (column, text) in zip(axes, PANELS.items(), strict=True):
            values, snr = (
                np.concatenate([t[c][is_] for t, is_ in zip(tables, lens, strict=True)])
                for c in (column, "arc_snr")
            )
            known = values != 0
            _bins(axis, values[known], found[known], snr[known], colour)
            axis.set(xlabel=text, ylim=(-0.02, 1.03))
    axes[0].set_ylabel("completeness")
    handles = [
        Line2D([], [], color=plotting.BLUE, marker="o", ms=3, label="painted on real galaxies"),
        Line2D([], [], color=plotting.BLACK, marker="o", ms=3, label="real"),
        Line2D([], [], color=plotting.BLUE, ls="--", lw=0.9, label="ideal observer, painted"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _bins(axis, values, found, snr, colour):
    if not values.size:
        return
    edges = classification.equal_bins(values, int(np.clip(values.size // FEWEST, 1, BINS)))
    if edges.size < 2:
        return  # all are alike
    of_found, lenses = classification.binned(found, values, edges)
    some = lenses > 0
    place = np.digitize(values, edges[1:-1])
    centres = [np.median(values[place == i]) for i in np.unique(place)]
    rate = classification.binomial(of_found[some], lenses[some])
    bars = [rate.value - rate.low, rate.high - rate.value]
    axis.errorbar(centres, rate.value, bars, color=colour, marker="o", ms=3, elinewidth=0.7)
    if snr.any():
        ideal = classification.ideal_completeness(snr, FPR)
        means = [ideal[place == i].mean() for i in np.unique(place)]
        axis.plot(centres, means, color=colour, ls="--", lw=0.9, zorder=0)
