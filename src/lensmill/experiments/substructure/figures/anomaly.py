"""Substructure as what an autoencoder, which has seen none, cannot draw.

Left, for one test image of each class: the image in the network's stretch, and what it did not draw
of it, in the same units, from blue (too much drawn) to red. Right: the distribution of the anomaly
score, the rms of what was not drawn, by class and population; the AUROC of each class of
substructure against none is given in brackets. The autoencoder learned from images of one
population without substructure; those of others are strange to it whether they have any or not.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.substructure.figures import CLASSES
from lensmill.pipeline import store

BINS = 30
WHITE = 1.0  # of what was not drawn: the end of the scale


def plot(predictions: list[str], scores: list[str]) -> Figure:
    """Draw predictions of an autoencoder on several populations, the first of its own."""
    figure = plt.figure(figsize=(plotting.PAGE, 1.2 + 1.35 * max(2, len(predictions))))
    left, right = figure.subfigures(1, 2, width_ratios=(1.0, 1.15))
    axes = left.subplots(len(CLASSES), 2, squeeze=False)
    cutouts = store.read(predictions[0], "cutouts")
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    for c, (row, (text, _)) in enumerate(zip(axes, CLASSES.values(), strict=True)):
        mine = np.flatnonzero(cutouts["label"] == c)
        row[0].set_ylabel(text)
        if not mine.size:
            continue
        seen, residual = (cutouts[name][mine[0], ..., 0] for name in ("seen", "left"))
        row[0].imshow(seen, origin="lower", cmap="gray")
        shown = row[1].imshow(residual, origin="lower", cmap="RdBu_r", vmin=-WHITE, vmax=WHITE)
        left.colorbar(shown, ax=row[1], shrink=0.8)
    axes[0, 0].set_title("image")
    axes[0, 1].set_title("not drawn")
    rows = right.subplots(len(predictions), 1, squeeze=False)[:, 0]
    for axis, path, score in zip(rows, predictions, scores, strict=True):
        _histogram(axis, path, json.loads(Path(score).read_text()))
    rows[-1].set_xlabel("anomaly score")
    return figure


def _histogram(axis, path, found):
    """Draw the scores of one population by class."""
    table = store.read(path, "systems")
    every = table["anomaly"]
    edges = np.linspace(every.min(), every.max() + 1e-9, BINS + 1)
    for c, (name, (text, colour)) in enumerate(CLASSES.items()):
        mine = every[(table["label"] == c) & (table["label_known"] == 1)]
        auroc = found.get(f"auroc_{name}")
        label = text if auroc is None else f"{text} ({auroc:.2f})"
        axis.hist(mine, edges, histtype="step", color=colour, label=label)
    axis.set(ylabel="test images", title=plotting.label(found["population"]))
    axis.legend()
