"""What images with one and more rings are counted as.

Rows of each matrix: how many rings a test image has; columns: how many the network counts. Numbers
are images and, in brackets, per cent of the row, which the shade follows. Above each matrix: the
network, and the population that the images are of. The population that each network has learned
from, if it is another, is named in the figure of their transfer.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting

ACROSS = 4


def plot(scores: list[str]) -> Figure:
    """Draw the matrices in ``scores.json`` of several networks and populations."""
    down = -(-len(scores) // ACROSS)
    figure, axes = plt.subplots(down, ACROSS, figsize=(plotting.PAGE, 1.95 * down), squeeze=False)
    for axis in axes.flat[len(scores) :]:
        axis.set_axis_off()
    for axis, path in zip(axes.flat, scores, strict=False):
        found = json.loads(Path(path).read_text())
        matrix = np.array(found["confusion"])
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1.3)
        for (i, j), number in np.ndenumerate(matrix):
            colour = "w" if share[i, j] > 0.6 else "k"
            text = f"{number}\n({100 * share[i, j]:.0f} %)"
            small = 8 if len(matrix) < 4 else 5
            axis.text(j, i, text, ha="center", va="center", color=colour, fontsize=small)
        axis.set_xticks(range(len(found["counts"])), found["counts"])
        axis.set_yticks(range(len(matrix)), found["confusion_rows"])
        axis.tick_params(length=0)
        names = (plotting.label(found[key]) for key in ("network", "population"))
        axis.set_title("\n".join(names))
        axis.set_xlabel("rings counted")
    for row in axes:
        row[0].set_ylabel("rings in the image")
    return figure
