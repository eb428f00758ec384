"""How the networks learn: loss per epoch on the training set (thin) and the validation set (thick).

Left: networks that count rings, by their cross-entropy. Middle: networks that measure a ring, by
the negative log-likelihood of their Gaussians, in units of the scatter of the targets; its zero
means nothing. Right: networks that draw images, by the loss of the reconstruction plus beta times
the Kullback-Leibler divergence of the latent numbers (minus the evidence lower bound for beta = 1).
The dot is the epoch whose weights are kept.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lensmill import plotting

LABELS = (
    "cross-entropy [nat]",
    "negative log-likelihood [nat]",
    r"reconstruction + $\beta$ KL [nat]",
)


def plot(counting: list[str], measuring: list[str], drawing: list[str]) -> Figure:
    """Draw the ``history.csv`` of three kinds of networks."""
    figure, axes = plt.subplots(1, 3, figsize=(plotting.PAGE, 2.6))
    groups = (counting, measuring, drawing)
    for axis, histories, label in zip(axes, groups, LABELS, strict=True):
        styles = plotting.styles([plotting.network(path) for path in histories])
        low, high = [], []
        for path in histories:
            name, history = plotting.network(path), pd.read_csv(path)
            epoch, best = history["epoch"] + 1, history["val_loss"].idxmin()
            axis.plot(epoch, history["loss"], lw=0.6, alpha=0.7, **styles[name])
            kept = plotting.trained(name, history)
            axis.plot(epoch, history["val_loss"], lw=1.3, label=kept, **styles[name])
            colour = styles[name]["color"]
            axis.plot(epoch[best], history["val_loss"][best], "o", ms=3.5, color=colour)
            low.append(min(history["val_loss"].min(), history["loss"].min()))
            high.append(np.percentile(history[["loss", "val_loss"]], 90))
        reach = max(high) - min(low)
        axis.set(xlabel="epoch", ylabel=label)
        if reach > 0:  # the first epochs would hide the rest
            axis.set_ylim(min(low) - 0.05 * reach, max(high) + 0.1 * reach)
        axis.legend()
    figure.legend(handles=plotting.history_marks(), loc="outside upper center", ncols=3)
    return figure
