"""Rings drawn by an autoencoder on demand, beside real ones with the same parameters.

Top: test images (first row) and images drawn for their centres, radii, thicknesses and deformations
(second row, with the circle that was asked for), the first of the test part, not chosen. Below,
left: the radius that is measured on an image, by the moments of its lit pixels, less the one asked
for; the same on drawn and on real images, since the measurement has errors of its own. Middle:
sensors lit. Above it the area under the ROC curve of a classifier that tells drawn from real images
by principal components of the pixels and by what is measured; one half if it cannot. Right: the
loss of the validation set in nats per image (reconstruction plus beta times the Kullback-Leibler
divergence) against the number of images that were learned from, with their share of those for
training and validation.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from lensmill import plotting
from lensmill.pipeline import store

ACROSS = 8
COLOURS = {"real": plotting.BLACK, "drawn": plotting.ORANGE}


def plot(predictions: str, scores: list[str]) -> Figure:
    """Draw the ``predictions.h5`` of a network that draws, and the scores of several."""
    systems, cutouts = (store.read(predictions, table) for table in ("systems", "cutouts"))
    found = [json.loads(Path(path).read_text()) for path in scores]
    figure = plt.figure(figsize=(plotting.PAGE, 4.2))
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.8, 2.4])
    axes = top.subplots(2, ACROSS)
    for axis in axes.flat:
        axis.set_axis_off()
    for row in range(min(ACROSS, len(systems["index"]))):
        for axis, of in zip(axes[:, row], COLOURS, strict=True):
            image = cutouts[of][row, ..., 0]
            size = len(image)
            axis.set_axis_on()
            axis.imshow(image, "Greys", origin="lower", extent=(0, size, 0, size), vmin=0, vmax=1)
            axis.set_xticks([])
            axis.set_yticks([])
        place = systems["x"][row], systems["y"][row]
        circle = Circle(place, systems["radius"][row], fill=False, ec=plotting.VERMILION, lw=0.8)
        axes[1, row].add_patch(circle)
    axes[0, 0].set_ylabel("real")
    axes[1, 0].set_ylabel("drawn")
    left, middle, right = bottom.subplots(1, 3)
    error = {of: systems[f"{of}_radius"] - systems["radius"] for of in COLOURS}
    _histograms(left, error, "radius measured - asked for [sensor]")
    _histograms(middle, {of: systems[f"{of}_lit"] for of in COLOURS}, "sensors lit")
    middle.legend()
    mine = next(one for one in found if one["network"] == plotting.network(predictions))
    if "two_sample_auroc" in mine:
        error = mine["two_sample_auroc"] - mine["two_sample_low"]
        middle.set_title(rf"two-sample AUROC ${mine['two_sample_auroc']:.3f} \pm {error:.3f}$")
    for one in found:
        share = one["train_systems"] / (one["train_systems"] + one["train_validated"])
        colour = plotting.colour(one["network"])
        right.plot(one["train_systems"], one["val_loss"], "o", color=colour)
        text = f" {share:.0%} train"
        right.annotate(text, (one["train_systems"], one["val_loss"]), fontsize=6, va="bottom")
    right.set(xlabel="images learned from", ylabel="validation loss [nat]")
    right.margins(x=0.25)
    return figure


def _histograms(axis, values, label):
    """Draw the distribution of something in real and in drawn images."""
    edges = np.linspace(*np.quantile(np.concatenate([*values.values()]), [0.002, 0.998]), 31)
    for (of, mine), ls in zip(values.items(), ("-", "--"), strict=True):
        style = {"histtype": "step", "color": COLOURS[of], "ls": ls}
        axis.hist(np.clip(mine, edges[0], edges[-1]), edges, label=of, **style)
    axis.set(xlabel=label, ylabel="images")
