"""What more clusters to learn from are worth: scatter of ln M against their number.

Test images of the population that was learned from: standard deviation (filled) and half of the
central 68 % (open), with errors by drawing clusters anew. Lines: the simple estimators, fitted to
the largest sample: counts without the core, and the true gas mass.
"""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.cluster_mass.figures import CALLED

OF = re.compile(r"_of_\d+$")  # how a network that learned from fewer clusters is called
SIMPLE = ("counts_excised", "gas_mass")


def plot(scores: list[str]) -> Figure:
    """Draw ``scores.json`` of networks that learned from samples of different sizes."""
    read = [json.loads(Path(path).read_text()) for path in scores]
    curves: dict[str, list] = {}
    for one in read:
        curves.setdefault(OF.sub("", one["network"]), []).append(one)
    figure, axis = plt.subplots(figsize=(plotting.COLUMN * 1.2, 2.8))
    looks = plotting.styles([*curves])
    handles = []
    for name, several in curves.items():
        several.sort(key=lambda one: one["train_groups"])
        x = [one["train_groups"] for one in several]
        for key, look in (("scatter", {}), ("half_range", {"mfc": "white", "ls": ":"})):
            y, error = ([100 * one[k] for one in several] for k in (key, f"{key}_error"))
            axis.errorbar(
                x, y, error, marker="o", ms=3.5, capsize=1.5, **(looks[name] | look), lw=0.9
            )
        handles.append(
            Line2D([], [], marker="o", ms=3.5, label=plotting.label(name), **looks[name])
        )
    largest = max(read, key=lambda one: one["train_groups"])
    for name in SIMPLE:
        text, colour = CALLED[name]
        value = 100 * largest["answers"][name]["scatter"]
        axis.axhline(value, color=colour, ls="--", lw=0.8, zorder=0)
        handles.append(Line2D([], [], color=colour, ls="--", lw=0.8, label=text))
    axis.set(xscale="log", xlabel="clusters to learn from", ylabel=r"scatter of $\ln M$ [%]")
    shown = [one["scatter"] for one in read] + [largest["answers"]["counts_excised"]["scatter"]]
    axis.set_ylim(0, 108 * max(shown))
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure
