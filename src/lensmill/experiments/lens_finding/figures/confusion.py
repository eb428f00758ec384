"""What lenses and non-lenses are called, at two thresholds.

Rows of each matrix: what a test system is; columns: what it is called; the numbers are systems and,
in brackets, per cent of the row, which the shade follows. Top: called a lens if the score is above
one half. Bottom: if it is above the threshold that lets 1 % of the non-lenses through (of those of
the population that the network was trained on, where the test population has too few; where no
threshold is known, one half again).
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.lens_finding.figures import labelled, threshold
from lensmill.learning import classification

NAMES = ("lens", "non-lens")


def plot(predictions: list[str]) -> Figure:
    """Draw the ``predictions.h5`` of several networks, or of one on several populations."""
    n = len(predictions)
    width = min(plotting.PAGE, 0.6 + 1.5 * n)
    figure, axes = plt.subplots(2, n, figsize=(width, 3.4), squeeze=False, sharex=True, sharey=True)
    several = len(set(map(plotting.population, predictions))) > 1
    for column, path in enumerate(predictions):
        table = labelled(path)
        for axis, limit in zip(axes[:, column], (0.0, threshold(path)), strict=True):
            counts = classification.confusion(table["is_lens"], table["logit"], limit)
            matrix = np.reshape(counts, (2, 2))
            share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
            axis.imshow(share, cmap="Blues", vmin=0, vmax=1.3)
            for (i, j), number in np.ndenumerate(matrix):
                text = f"{number:,}\n({100 * share[i, j]:.1f} %)"
                colour = "w" if share[i, j] > 0.6 else "k"
                axis.text(j, i, text, ha="center", va="center", color=colour)
            axis.tick_params(length=0)
        name = (plotting.population if several else plotting.network)(path)
        axes[0, column].set_title(plotting.label(name))
    for axis, text in zip(axes[:, 0], ("score > 0.5", "FPR = 1 %"), strict=True):
        axis.set_yticks([0, 1], NAMES, rotation=90, va="center")
        axis.set_ylabel(f"truth ({text})")
    for axis in axes[1]:
        axis.set_xticks([0, 1], NAMES)
        axis.set_xlabel("called")
    return figure
