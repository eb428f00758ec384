"""Which lenses are found: completeness at a false-positive rate of 1 %, by property of the lens.

From left to right: against the Einstein radius, the signal to noise of the lensed light, the length
of the arc (connected, above 2 sigma) and the number of images of the centre of the source (minima
and saddles that are bright enough to be kept). Points are bins of equal numbers of lenses, with
binomial errors (68 %) for the threshold as it stands; its own scatter, which is in the interval of
the completeness in the scores, moves all points of a network together. Black, dashed: the ideal
observer who knows the galaxy and the shape of the arc and decides by a matched filter, at the same
rate of false positives; what lies between it and a network is not the noise's fault. By default
each network is trained from one seed, for a time of its own (see `finder_history`).
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.lens_finding.figures import labelled, threshold
from lensmill.learning import classification

PANELS = {
    "theta_e": r"$\theta_\mathrm{E}$ [arcsec]",
    "arc_snr": "S/N of the arc",
    "arc_length": "length of the arc [arcsec]",
}
BINS = 10
FEWEST = 10  # lenses in a bin
FPR = 0.01


def plot(predictions: list[str]) -> Figure:
    """Draw the ``predictions.h5`` of several networks on one population."""
    figure, axes = plt.subplots(
        1, 4, figsize=(plotting.PAGE, 2.3), sharey=True, width_ratios=[1, 1, 1, 0.7]
    )
    styles = plotting.styles([plotting.network(path) for path in predictions])
    for number, path in enumerate(predictions):
        table = labelled(path)
        lenses = {name: values[table["is_lens"] == 1] for name, values in table.items()}
        if not lenses["logit"].size:
            continue  # a small run has no lenses to test on
        found = lenses["logit"] > threshold(path)
        look = {**styles[plotting.network(path)], "marker": "o", "ms": 2.5, "elinewidth": 0.7}
        for axis, column in zip(axes, PANELS, strict=False):
            _by_bins(axis, lenses[column], found, lenses["arc_snr"], look, number == 0)
        place = (number - (len(predictions) - 1) / 2) * 0.6 / len(predictions)
        _by_images(axes[3], lenses["n_images"], found, place, {**look, "ls": ""})
    snr = np.geomspace(0.3, 1000, 200)
    ideal = {"color": plotting.BLACK, "ls": "--", "lw": 0.9, "zorder": 0}
    axes[1].set_xscale("log")
    low, high = axes[1].get_xlim()
    axes[1].plot(snr, classification.ideal_completeness(snr, FPR), **ideal)
    axes[1].set(xlim=(np.clip(low, 0.3, 1.0), max(high, 10)))
    for axis, text in zip(axes, PANELS.values(), strict=False):
        axis.set(xlabel=text, ylim=(0, 1.03))
    axes[0].set_ylabel("completeness")
    axes[3].set(xlabel="images", xlim=(-0.6, 3.6))
    axes[3].set_xticks(range(4), ["1", "2", "3", "4"])
    axes[3].tick_params(axis="x", length=0)
    handles = [
        Line2D([], [], marker="o", ms=2.5, label=plotting.label(name), **look)
        for name, look in styles.items()
    ]
    handles.append(Line2D([], [], label="ideal observer", **ideal))
    figure.legend(handles=handles, loc="outside upper center", ncols=7)
    return figure


def _by_bins(axis, values, found, snr, look, with_ideal):
    if not values.any():
        return  # not known of these lenses
    edges = classification.equal_bins(values, int(np.clip(values.size // FEWEST, 1, BINS)))
    if edges.size < 2:
        return  # all are alike
    of_found, lenses = classification.binned(found, values, edges)
    of_found, lenses = of_found[lenses > 0], lenses[lenses > 0]
    place = np.digitize(values, edges[1:-1])
    centres = [np.median(values[place == i]) for i in np.unique(place)]
    rate = classification.binomial(of_found, lenses)
    axis.errorbar(centres, rate.value, [rate.value - rate.low, rate.high - rate.value], **look)
    if with_ideal and snr.any() and values is not snr:
        ideal = classification.ideal_completeness(snr, FPR)
        means = [ideal[place == i].mean() for i in np.unique(place)]
        axis.plot(centres, means, color=plotting.BLACK, ls="--", lw=0.9, zorder=0)


def _by_images(axis, n_images, found, shift, look):
    for n in range(1, 5):
        of_n = n_images == n
        if of_n.any():
            rate = classification.binomial(int(found[of_n].sum()), int(of_n.sum()))
            bars = [[rate.value - rate.low], [rate.high - rate.value]]
            axis.errorbar([n - 1 + shift], [rate.value], bars, **look)
