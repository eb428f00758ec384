"""Scatter of the redshifts against magnitude and redshift.

Sigma NMAD (upper row) and bias, the median of dz = (photometric - spectroscopic) / (1 + z),
below, of the test galaxies of the population that each method learned from, in bins of equally
many galaxies; bars are bootstrap errors. Left: AB magnitude; middle: the redshift that the method
answers, by which a user can choose galaxies; right: the true one. In bins of the truth every
method that minimises its error draws the ends towards the middle; that is no fault of its
calibration. All sets are spectroscopic: of galaxies fainter than these nothing is said.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting

KEYS = ("by_magnitude", "by_answer", "by_redshift")


def plot(scores: list[str]) -> Figure:
    """Draw the bins in ``scores.json`` of several methods on one population."""
    found = [json.loads(Path(path).read_text()) for path in scores]
    figure, axes = plt.subplots(2, 3, figsize=(plotting.PAGE, 3.6), sharey="row", sharex="col")
    looks = plotting.styles([one["network"] for one in found])
    for k, one in enumerate(found):
        look = {**looks[one["network"]], "marker": "osD^vP"[k % 6], "ms": 3, "capsize": 1.5}
        for column, key in enumerate(KEYS):
            bins = one.get(key, [])
            x = np.array([b["middle"] for b in bins])
            for row, number in enumerate(("nmad", "bias")):
                y, bar = (np.array([b[n] for b in bins]) for n in (number, f"{number}_error"))
                label = plotting.label(one["network"])
                axes[row, column].errorbar(x, y, bar, label=label, **look)
    reference = found[0]["reference"].replace("_", " ")
    axes[1, 0].set_xlabel(f"{reference} [AB mag]")
    axes[1, 1].set_xlabel("photometric redshift")
    axes[1, 2].set_xlabel("spectroscopic redshift")
    axes[0, 0].set(ylabel=r"$\sigma_\mathrm{NMAD}$")
    axes[0, 0].set_ylim(bottom=0)
    axes[1, 0].set_ylabel("bias")
    for axis in axes[1]:
        axis.axhline(0, color=plotting.BLACK, lw=0.4)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    return figure
