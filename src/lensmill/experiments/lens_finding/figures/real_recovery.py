"""Which lenses are recovered: completeness against Einstein radius over seeing, and magnitude.

Blue: lenses painted on real galaxies that the network has not seen, in bins of equal numbers, at
the threshold `unpainted` (1 % of unpainted hosts and look-alikes). Black: real lenses, those of
which the separation of the images is known (half of it stands for the Einstein radius) on the left,
all on the right. Bars are 68 % binomial intervals. Grey: observers at the same rate who know the
shape of the arcs, of lenses as nature paints them, of which nothing is required: dashed one who
knows the galaxy pixel by pixel, dotted one to whom light of the galaxy's own colour may be any
smooth galaxy's, full one to whom light of any colour may be. No finder knows the shape of the arcs.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.lens_finding.figures import labelled, named_threshold
from lensmill.learning import classification
from lensmill.pipeline import store

PANELS = {
    "theta_e_over_seeing": r"$\theta_\mathrm{E}$ / seeing",
    "host_magnitude": "magnitude in $i$",
}
OBSERVERS = {
    "found_known": ("galaxy known", {"ls": "--"}),
    "found_one_colour": ("galaxy of its colour", {"ls": ":"}),
    "found_any_colour": ("galaxy of any colour", {"ls": "-"}),
}
NAME = "unpainted"
BINS, FEWEST = 8, 8


def plot(painted: list[str], real: list[str], resolvable: str) -> Figure:
    """Draw the ``predictions.h5`` of one network on painted and on real lenses.

    ``resolvable`` is what the observers find (`lens_finding.resolvable`).
    """
    figure, axes = plt.subplots(1, 2, figsize=(plotting.PAGE * 0.8, 2.5), sharey=True)
    for paths, colour in ((painted, plotting.BLUE), (real, plotting.BLACK)):
        tables = [labelled(path) for path in paths]
        limits = [named_threshold(path, NAME) for path in paths]
        lens = [table["is_lens"] == 1 for table in tables]
        found = np.concatenate(
            [t["logit"][is_] > at for t, is_, at in zip(tables, lens, limits, strict=True)]
        )
        for axis, (column, text) in zip(axes, PANELS.items(), strict=True):
            values = np.concatenate([t[column][is_] for t, is_ in zip(tables, lens, strict=True)])
            known = values != 0
            _bins(axis, values[known], found[known], colour)
            axis.set(xlabel=text, ylim=(-0.02, 1.03))
    observers = store.read(resolvable, "systems")
    for axis, column in zip(axes, PANELS, strict=True):
        place = _places(observers[column])
        centres = [np.median(observers[column][place == i]) for i in np.unique(place)]
        for name, (_, look) in OBSERVERS.items():
            means = [observers[name][place == i].mean() for i in np.unique(place)]
            axis.plot(centres, means, color=plotting.GREY, lw=0.9, zorder=0, **look)
    axes[0].set_ylabel("completeness")
    handles = [
        Line2D([], [], color=plotting.BLUE, marker="o", ms=3, label="painted on real galaxies"),
        Line2D([], [], color=plotting.BLACK, marker="o", ms=3, label="real"),
    ]
    handles += [
        Line2D([], [], color=plotting.GREY, lw=0.9, label=text, **look)
        for text, look in OBSERVERS.values()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def _bins(axis, values, found, colour):
    if not values.size:
        return
    place = _places(values)
    which = np.unique(place)
    centres = [np.median(values[place == i]) for i in which]
    counts = [(found[place == i].sum(), (place == i).sum()) for i in which]
    rate = classification.binomial(*np.array(counts).T)
    bars = [rate.value - rate.low, rate.high - rate.value]
    axis.errorbar(centres, rate.value, bars, color=colour, marker="o", ms=3, elinewidth=0.7)


def _places(values):
    """Return the bin of every value, equal numbers in each."""
    bins = int(np.clip(values.size // FEWEST, 1, BINS))
    return np.digitize(values, classification.equal_bins(values, bins)[1:-1])
