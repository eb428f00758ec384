"""Trained on one population, tested on another.

Sigma NMAD (left) and bias (right) of each method on the test galaxies of each population
(markers), by the population that it learned from (below its name); bars are bootstrap errors.
What lies between the markers of one method is the gap between populations: of mocks to real
galaxies where it learned from mocks. A gap mixes all that differs, the spectra, the noise, the
selection and how far the samples reach; the template fit also takes zero points and prior from
the population that it learned from.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting


def plot(scores: list[str]) -> Figure:
    """Draw ``scores.json`` of several methods on several populations."""
    found = [json.loads(Path(path).read_text()) for path in scores]
    found = [one for one in found if "nmad" in one]
    networks = list(dict.fromkeys(one["network"] for one in found))
    populations = list(dict.fromkeys(one["population"] for one in found))
    learned = {one["network"]: one["train_on"] for one in found}
    names = [f"{plotting.label(n)}\n({plotting.label(learned[n])})" for n in networks]
    figure, axes = plt.subplots(
        1, 2, figsize=(plotting.PAGE, 0.5 * len(networks) + 1.2), sharey=True
    )
    for axis, number in zip(axes, ("nmad", "bias"), strict=True):
        for k, population in enumerate(populations):
            mine = [one for one in found if one["population"] == population]
            y = np.array([networks.index(one["network"]) for one in mine], float)
            x, bar = (np.array([one[n] for one in mine]) for n in (number, f"{number}_error"))
            look = {"color": plotting.colour(population), "marker": "osD^v"[k % 5]}
            label = plotting.label(population)
            axis.errorbar(x, y, xerr=bar, ls="", ms=4.5, capsize=2, label=label, **look)
        for y in range(len(networks)):
            axis.axhline(y, color=plotting.LIGHT, lw=0.5, zorder=0)
    axes[0].set_yticks(range(len(networks)), names)
    axes[0].set(ylim=(len(networks) - 0.5, -0.5), xlabel=r"$\sigma_\mathrm{NMAD}$")
    axes[0].set_xlim(left=0)
    axes[1].axvline(0, color=plotting.BLACK, lw=0.5)
    axes[1].set_xlabel(r"bias, median of $(z_\mathrm{phot} - z_\mathrm{spec}) / (1 + z)$")
    axes[1].locator_params(axis="x", nbins=5)
    axes[0].tick_params(axis="y", length=0)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5)
    return figure
