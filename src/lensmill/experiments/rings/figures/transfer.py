"""Networks that learned from one population, tested on others.

Accuracy of counting on test images of every population, for each network (columns) that has learned
from the population named below it; bars are central intervals of the counts (68.3 %, Jeffreys'
prior). Networks see each image divided by its norm. The dashed lines are what total charge alone
would give on each population: the highest accuracy of a single threshold, set on these very images.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting


def plot(scores: list[str]) -> Figure:
    """Draw the accuracies in ``scores.json`` of several networks on several populations."""
    found = [json.loads(Path(path).read_text()) for path in scores]
    networks = list(dict.fromkeys(one["network"] for one in found))
    populations = list(dict.fromkeys(one["population"] for one in found))
    figure, axis = plt.subplots(figsize=(min(plotting.PAGE, 2.0 + 0.9 * len(networks)), 2.6))
    width = 0.8 / len(populations)
    for k, population in enumerate(populations):
        mine = [one for one in found if one["population"] == population]
        place = np.array([networks.index(one["network"]) for one in mine], float)
        place += width * (k - (len(populations) - 1) / 2)
        value, low, high = (
            np.array([one[key] for one in mine])
            for key in ("accuracy", "accuracy_low", "accuracy_high")
        )
        colour = plotting.colour(population)
        ends = [value - low, high - value]
        look = {"color": colour, "marker": "osD^v"[k % 5], "ls": "", "capsize": 2}
        axis.errorbar(place, value, ends, label=plotting.label(population), **look)
        brightness = np.array([one.get("accuracy_of_charge") or np.nan for one in mine])
        axis.hlines(brightness, place - width / 2, place + width / 2, colour, ls="--", lw=0.9)
    learned = {one["network"]: one["train_on"] for one in found}
    names = [f"{plotting.label(n)}\n({plotting.label(learned[n])})" for n in networks]
    axis.set_xticks(range(len(networks)), names)
    axis.set(xlabel="network (learned from)", ylabel="accuracy")
    axis.set_ylim(min(0.45, axis.get_ylim()[0]), 1.01)
    axis.set_xlim(-0.5, len(networks) - 0.5)
    axis.tick_params(axis="x", length=0)
    axis.plot([], [], color=plotting.BLACK, ls="--", lw=0.9, label="total charge alone")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 1.3), ncols=2)
    return figure
