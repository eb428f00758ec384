"""What images of each class are named.

Rows of each matrix: the class of a test image; columns: the class that the network named. Numbers
are images and, in brackets, per cent of the row, which the shade follows. Above each matrix are the
population that the network learned from, that of the images, and the accuracy with its interval.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting

ACROSS = 4
SHORT = ("none", "subhalos", "vortex")


def plot(scores: list[str]) -> Figure:
    """Draw the matrices in ``scores.json`` of several networks and populations."""
    found = [json.loads(Path(path).read_text()) for path in scores]
    across = min(ACROSS, len(found))
    down = -(-len(found) // across)
    size = plotting.PAGE * across / ACROSS, 2.4 * down
    figure, axes = plt.subplots(down, across, figsize=size, squeeze=False)
    for axis in axes.flat[len(found) :]:
        axis.set_axis_off()
    for axis, one in zip(axes.flat, found, strict=False):
        _matrix(axis, one)
    for row in axes:
        row[0].set_ylabel("class")
    return figure


def _matrix(axis, found):
    """Draw one matrix."""
    matrix = np.array(found["confusion"])
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axis.imshow(share, cmap="Blues", vmin=0, vmax=1.3)
    for (i, j), number in np.ndenumerate(matrix):
        colour = "w" if share[i, j] > 0.6 else "k"
        text = f"{number}\n({100 * share[i, j]:.0f} %)"
        axis.text(j, i, text, ha="center", va="center", color=colour, fontsize=6)
    axis.set_xticks(range(len(SHORT)), SHORT)
    axis.set_yticks(range(len(SHORT)), SHORT, rotation=90, va="center")
    axis.tick_params(length=0)
    names = [plotting.label(found[key]) for key in ("train_on", "population")]
    half = (found["accuracy_high"] - found["accuracy_low"]) / 2
    axis.set_title(
        f"learned: {names[0]}\nimages: {names[1]}\n"
        f"right: {100 * found['accuracy']:.1f} ± {100 * half:.1f} %"
    )
    axis.set_xlabel("named")
