"""Whether the class that is named is right as often as claimed.

Test images in bins of the probability that a network gives to the class it names, five images or
more in each: the fraction for which it is the true class, with the central 68 % interval (Jeffreys'
prior), against the mean claimed. On the dashed line claims are true; below it the network is too
sure. Left: images of the population that each network learned from; right: images of others, for
which no network is made. The expected calibration error is given in brackets.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting

FEWEST = 5  # images of a bin


def plot(scores: list[str]) -> Figure:
    """Draw the reliability in ``scores.json`` of networks that name classes."""
    found = [json.loads(Path(path).read_text()) for path in scores]
    figure, axes = plt.subplots(1, 2, figsize=(plotting.PAGE, 3.2), sharey=True)
    for axis, own in zip(axes, (True, False), strict=True):
        axis.plot([0, 1], [0, 1], "--", color=plotting.BLACK, lw=0.8)
        mine = [one for one in found if (one["train_on"] == one["population"]) == own]
        for k, one in enumerate(mine):
            bins = {name: np.array(x) for name, x in one["reliability"].items()}
            bins = {name: x[bins["count"] >= FEWEST] for name, x in bins.items()}
            text = plotting.label(one["train_on"])
            text += "" if own else f" on {plotting.label(one['population'])}"
            axis.errorbar(
                bins["claimed"],
                bins["fraction"],
                [bins["fraction"] - bins["low"], bins["high"] - bins["fraction"]],
                marker="os^Dv<"[k % 6],
                ms=3.5,
                capsize=2,
                color=plotting.colour(one["train_on"]),
                label=f"{text} ({one['calibration_error']:.2f})",
            )
        axis.set(xlim=(0.3, 1.02), ylim=(0, 1.02), xlabel="claimed probability")
        title = "own population" if own else "other populations"
        axis.legend(title=title, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes[0].set_ylabel("fraction that is right")
    return figure
