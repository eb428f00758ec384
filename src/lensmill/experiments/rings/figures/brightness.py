"""Whether brightness gives the number of rings away.

Total charge of the images (or sensors hit) by number of rings, each histogram of unit area, for
every population. The number in each panel is the area under the ROC curve of a classifier that
knows nothing but the total charge, for the smallest number of rings against the next: one half is
chance. Cones of equal light are made so that it is; in the A3Net images two rings light twice as
many sensors.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

from lensmill import plotting
from lensmill.pipeline import store


def plot(datasets: list[str]) -> Figure:
    """Draw the charges in several data sets."""
    n = len(datasets)
    width = min(plotting.PAGE, plotting.COLUMN * n)
    figure, axes = plt.subplots(1, n, figsize=(width, 2.5), squeeze=False)
    colours = (plotting.BLUE, plotting.VERMILION, plotting.GREEN, plotting.PURPLE, plotting.ORANGE)
    for axis, dataset in zip(axes[0], datasets, strict=True):
        table = store.read(dataset, "systems", ["n_rings", "charge"])
        edges = np.linspace(*np.quantile(table["charge"], [0.0, 0.999]), 41)
        counts = np.unique(table["n_rings"])
        for k, count in enumerate(counts):
            mine = table["charge"][table["n_rings"] == count]
            style = {"color": colours[k % 5], "ls": ("-", "--", ":")[k % 3]}
            name = f"{count} ring" + "s" * (count != 1)
            axis.hist(mine, edges, density=True, histtype="step", label=name, **style)
        if len(counts) > 1:
            pair = np.isin(table["n_rings"], counts[:2])
            many = table["n_rings"][pair] == counts[1]
            auroc = roc_auc_score(many, table["charge"][pair])
            text = f"AUROC {auroc:.3f}"
            axis.text(0.96, 0.6, text, transform=axis.transAxes, ha="right")
        name = plotting.population(dataset)
        axis.set_title(plotting.label(name))
        bits = np.all(table["charge"] % 1 == 0)
        label, unit = ("sensors hit", "sensor") if bits else ("total charge", "photoelectron")
        axis.set(xlabel=f"{label} [{unit}s]", ylabel=f"density [1 / {unit}]")
        axis.legend(loc="upper right")
    return figure
