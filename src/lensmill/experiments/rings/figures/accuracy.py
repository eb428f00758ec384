"""How often the number of rings is right, against the largest number that there may be.

Every point is a network tested on images of the population that it learned from, with one ring up
to the number below, all equally frequent; so is chance (dashed). Bars are central intervals of the
counts (68.3 %, Jeffreys' prior). With more rings the light of each is less, since all images have
equal light, and rings hide each other. Points of one column are moved apart sideways.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting


def plot(scores: list[str]) -> Figure:
    """Draw the accuracies in ``scores.json`` of several networks."""
    found = [json.loads(Path(path).read_text()) for path in scores]
    figure, axis = plt.subplots()
    families = list(dict.fromkeys(_family(one["network"]) for one in found))
    for k, family in enumerate(families):
        mine = [one for one in found if _family(one["network"]) == family]
        mine.sort(key=lambda one: one["counts"][-1])
        most = np.array([one["counts"][-1] for one in mine])
        value, low, high = (
            np.array([one[key] for one in mine])
            for key in ("accuracy", "accuracy_low", "accuracy_high")
        )
        axis.errorbar(
            most + 0.08 * (k - (len(families) - 1) / 2),
            value,
            [value - low, high - value],
            marker="os^Dv"[k % 5],
            capsize=2,
            color=plotting.colour(family),
            label=plotting.label(family),
        )
    chance = {one["counts"][-1]: 1 / len(one["counts"]) for one in found}
    every = sorted(chance)
    axis.plot(every, [chance[k] for k in every], "k--", marker="_", lw=0.8, label="chance")
    axis.set_xticks(every)
    axis.set(xlabel="largest number of rings", ylabel="accuracy", ylim=(0, 1.02))
    axis.set_xlim(every[0] - 0.5, every[-1] + 0.5)
    axis.legend(loc="lower left")
    return figure


def _family(network: str) -> str:
    """Return the network that stands for several numbers of rings: cnn for cnn_of_4."""
    return network.split("_of_")[0]
