"""How the networks learned: loss of the training and of the validation set by epoch.

Mean squared error in units of the scatter of ln M in what was learned from. Thick: validation,
thin: training; dot: the epoch that is kept.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from lensmill import plotting


def plot(histories: list[str]) -> Figure:
    """Draw ``history.csv`` of several networks."""
    figure, axis = plt.subplots(figsize=(plotting.COLUMN * 1.2, 2.8))
    looks = plotting.styles([plotting.network(path) for path in histories])
    handles = plotting.history_marks()
    for path in histories:
        name, history = plotting.network(path), pd.read_csv(path)
        look = looks[name]
        axis.plot(history["epoch"] + 1, history["loss"], **look | {"lw": 0.6, "alpha": 0.7})
        (line,) = axis.plot(history["epoch"] + 1, history["val_loss"], **look | {"lw": 1.3})
        line.set_label(plotting.trained(name, history))
        best = history["val_loss"].idxmin()
        axis.plot(best + 1, history["val_loss"][best], "o", ms=3.5, color=look["color"])
        handles.append(line)
    axis.set(yscale="log", xlabel="epoch", ylabel="mean squared error")
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure
