"""How the networks learn: loss per epoch on the training set (thin) and the validation set (thick).

Left: networks that are trained on squared errors, in units of the variance of each one's targets (a
dense and a canonical network have different targets). Right: networks that give a distribution,
trained on its negative log-likelihood, whose zero means nothing: networks with other inputs have
other targets, so that only lines of one network compare. The dot is the epoch whose weights are
kept. The legend gives the time of each training, all epochs: these are unequal, and each network is
trained from the seeds named, by default one, so that a difference is one between these trainings
and not between architectures at equal cost.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lensmill import plotting


def plot(squared_error: list[str], likelihood: list[str]) -> Figure:
    """Draw the histories (``history.csv``) of both kinds of networks."""
    figure, axes = plt.subplots(1, 2, figsize=(plotting.PAGE, 3.4))
    for axis, histories in zip(axes, (squared_error, likelihood), strict=True):
        names = [plotting.network(path) for path in histories]
        styles = _styles(names)
        lowest, first = [], []
        for name, path in zip(names, histories, strict=True):
            history = pd.read_csv(path)
            epoch = history["epoch"] + 1
            axis.plot(epoch, history["loss"], lw=0.6, alpha=0.7, **styles[name])
            axis.plot(
                epoch,
                history["val_loss"],
                lw=1.3,
                label=plotting.trained(name, history),
                **styles[name],
            )
            best = history["val_loss"].idxmin()
            axis.plot(
                epoch[best], history["val_loss"][best], "o", ms=3.5, color=styles[name]["color"]
            )
            lowest.append(history["val_loss"].min())
            first.append(np.percentile(history[["loss", "val_loss"]].iloc[1:], 95))
        axis.set(xlabel="epoch", xlim=(1, None))
        if axis is axes[1]:  # the first epochs would hide the rest
            low, high = min(lowest), max(first)
            axis.set_ylim(low - 0.05 * (high - low), high)
        axis.legend(ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    figure.legend(handles=plotting.history_marks(), loc="outside upper center", ncols=3)
    axes[0].set(yscale="log", ylabel="mean squared error [variance of the targets]")
    axes[1].set(ylabel="negative log-likelihood [nat]")
    return figure


def _styles(names):
    """Give a colour to each network; a second one of the same colour is dashed."""
    styles, used = {}, []
    for name in names:
        colour = plotting.colour(name)
        styles[name] = {"color": colour, "ls": ["-", "--", ":"][min(used.count(colour), 2)]}
        used.append(colour)
    return styles
