"""How the networks learned.

Loss of the training and the validation part, epoch by epoch, of networks that name classes (cross-
entropy), that measure (minus the logarithm of the density) and that draw (mean square of what was
not drawn). The marked epoch is kept. Each was trained once, from one seed.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lensmill import plotting


def plot(naming: list[str], measuring: list[str], drawing: list[str]) -> Figure:
    """Draw the ``history.csv`` of networks of each kind."""
    figure, axes = plt.subplots(1, 3, figsize=(plotting.PAGE, 2.9))
    texts = ("cross-entropy", "minus log density", "mean square not drawn")
    for axis, paths, text in zip(axes, (naming, measuring, drawing), texts, strict=True):
        styles = plotting.styles([plotting.network(path) for path in paths])
        for path in paths:
            history, name = pd.read_csv(path), plotting.network(path)
            line = {"color": styles[name]["color"]}
            axis.plot(history["epoch"] + 1, history["loss"], lw=0.6, alpha=0.7, **line)
            label = plotting.trained(name, history)
            axis.plot(history["epoch"] + 1, history["val_loss"], label=label, **line)
            best = history.loc[history["val_loss"].idxmin()]
            axis.plot(best["epoch"] + 1, best["val_loss"], "o", ms=3.5, **line)
        axis.set(xlabel="epoch", ylabel=text, yscale="linear" if paths is measuring else "log")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
    marks = plotting.history_marks()
    figure.legend(handles=marks, loc="outside lower center", ncols=3)
    return figure
