"""How the lens finders learn, epoch by epoch.

Left: loss on the training set (thin; as trained, with augmentation and dropout) and on the
validation set (thick). Right: AUROC on the validation set. The dot is the epoch whose weights are
kept, that of the lowest validation loss. The legend gives the time of each training, all epochs:
these are unequal, and by default each network is trained from one seed, so that a difference is one
between these trainings; `equal_cost` compares architectures. Losses of networks that were trained
on different losses or weights of the classes do not compare; the AUROC does. Losses far above that
of a guess (0.69 if nothing is weighted) are cut off.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from lensmill import plotting


def plot(histories: list[str]) -> Figure:
    """Draw the histories (``history.csv``) of several networks."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(plotting.PAGE, 2.6))
    styles = plotting.styles([plotting.network(path) for path in histories])
    highest = 0.7
    for path in histories:
        name = plotting.network(path)
        look, history = styles[name], pd.read_csv(path)
        epoch = history["epoch"] + 1
        best = history["val_loss"].idxmin()
        left.plot(epoch, history["loss"], lw=0.6, alpha=0.7, **look)
        left.plot(epoch, history["val_loss"], lw=1.3, **look)
        right.plot(
            epoch, history["val_auroc"], lw=1.3, label=plotting.trained(name, history), **look
        )
        dot = {"marker": "o", "ms": 3.5, "color": look["color"]}
        left.plot(epoch[best], history["val_loss"][best], **dot)
        right.plot(epoch[best], history["val_auroc"][best], **dot)
        highest = max(highest, history["loss"].max())
    left.set(ylim=(0, 1.1 * highest), xlabel="epoch", ylabel="loss")
    right.set(xlabel="epoch", ylabel="AUROC, validation")
    figure.get_layout_engine().set(wspace=0.06)
    handles, _ = right.get_legend_handles_labels()
    figure.legend(
        handles=[*handles, *plotting.history_marks()], loc="outside upper center", ncols=3
    )
    return figure
