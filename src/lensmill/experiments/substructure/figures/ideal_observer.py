"""How well networks find substructure, against what an ideal observer could see of it.

Left: AUROC of test systems with substructure in bins of sub_chi against all test systems without,
by network, each on images of the population that it learned from; sub_chi is the significance of
the perturbation in that very image after a fit of all smooth parameters. Bars are standard errors
(bootstrap). The grey line is the observer who knows the perturbation of each system, and has only
to say whether it is there. Who does not know the smooth lens cannot be better; where all images
have one lens, as with DeepLense's settings, a network has learned it, and points above the line are
found by that knowledge, which no real image offers. Right: the fraction of systems with
substructure above a significance, in every population, subhalos by full and vortices by broken
lines; the dotted line marks 5, from which a detection would be claimed.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import norm

from lensmill import plotting
from lensmill.pipeline import store

LOWEST, HIGHEST = 0.1, 300.0  # of the axis of significance
CLAIMED = 5.0


def plot(scores: list[str], datasets: list[str]) -> Figure:
    """Draw ``scores.json`` of networks that name classes, and ``sub_chi`` of data sets."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(plotting.PAGE, 3.2))
    grid = np.geomspace(LOWEST, HIGHEST, 200)
    left.plot(grid, norm.cdf(grid / np.sqrt(2)), color=plotting.GREY, label="ideal observer")
    for k, path in enumerate(scores):
        found = json.loads(Path(path).read_text())
        bins = found.get("by_chi", {}).get("all", [])
        if not bins:
            continue  # a small run has too few systems in every bin
        name = found["train_on"]
        left.errorbar(
            [max(b["median"], LOWEST) * 1.03**k for b in bins],
            [b["auroc"] for b in bins],
            [b["error"] for b in bins],
            marker="os^Dv<"[k % 6],
            ms=3.5,
            capsize=2,
            color=plotting.colour(name),
            label=plotting.label(name),
        )
    left.axhline(0.5, color=plotting.BLACK, lw=0.6, ls=":")
    left.set(xscale="log", ylim=(min(0.35, left.get_ylim()[0]), 1.02))
    left.set_xlim(LOWEST, max(HIGHEST, left.get_xlim()[1]))
    left.set(xlabel=r"significance after the smooth fit, $\chi$", ylabel="AUROC against none")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    _distributions(right, datasets)
    return figure


def _distributions(axis, datasets):
    """Draw the fraction of systems above a significance."""
    for path in datasets:
        table = store.read(path, "systems", ["label", "sub_chi"])
        name = str(store.attributes(path)["population"])
        for label, ls in ((1, "-"), (2, "--")):
            chi = np.sort(table["sub_chi"][table["label"] == label])
            if chi.size:
                above = 1 - np.arange(chi.size) / chi.size
                axis.plot(np.maximum(chi, LOWEST), above, color=plotting.colour(name), ls=ls)
    axis.axvline(CLAIMED, color=plotting.BLACK, lw=0.6, ls=":")
    axis.set(xscale="log", xlim=(LOWEST, HIGHEST), ylim=(0, 1.02))
    axis.set(xlabel=r"significance after the smooth fit, $\chi$", ylabel="fraction above it")
    names = dict.fromkeys(str(store.attributes(path)["population"]) for path in datasets)
    keys = [Line2D([], [], color=plotting.colour(n), label=plotting.label(n)) for n in names]
    for text, ls in (("subhalos", "-"), ("vortex", "--")):
        keys.append(Line2D([], [], color=plotting.BLACK, ls=ls, label=text))
    axis.legend(handles=keys, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
