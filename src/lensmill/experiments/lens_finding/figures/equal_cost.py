"""What an architecture learns for its cost: AUROC against the processor time of its training.

Test systems of the population that all were trained on. Large points: mean of the seeds, with their
standard deviation in both directions; small points: single seeds. The legend gives the number of
seeds and of weights. Time is that of the processor, all cores together, imports included.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting

WIDE = 3.0  # ratio of times from which the axis is logarithmic


def plot(scores: list[str]) -> Figure:
    """Draw the ``scores.json`` of several seeds of several networks on one population."""
    families: dict[str, list[dict]] = {}
    for path in scores:
        found = json.loads(Path(path).read_text())
        if found["auroc"] is not None:
            families.setdefault(plotting.family(plotting.network(path)), []).append(found)
    figure, axis = plt.subplots(figsize=(plotting.COLUMN * 1.4, 2.6))
    styles = plotting.styles(list(families))
    times = []
    for name, members in families.items():
        seconds = np.array([one["train_cpu_seconds"] for one in members])
        area = np.array([one["auroc"] for one in members])
        times += seconds.tolist()
        weights = members[0]["parameters"]
        text = f"{plotting.label(name)} ({len(members)}; {_short(weights)})"
        colour = {"color": styles[name]["color"]}
        spread = [float(x.std(ddof=1)) if x.size > 1 else 0.0 for x in (area, seconds)]
        axis.plot(seconds, area, "o", ms=2.5, alpha=0.5, mew=0, **colour)
        mark = {"marker": "o", "ms": 5, "ls": "", "elinewidth": 0.9, "label": text}
        axis.errorbar(seconds.mean(), area.mean(), spread[0], spread[1], **mark, **colour)
    if times and max(times) > WIDE * min(times):
        axis.set_xscale("log")
    axis.set(xlabel="processor time of the training [s]", ylabel="AUROC")
    if families:
        figure.legend(loc="outside right upper", title="seeds; weights", title_fontsize=7)
    return figure


def _short(number):
    """Write a number of weights with two digits."""
    for unit, text in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return (
                f"{number / unit:.2g} {text}"
                if number < 100 * unit
                else f"{number / unit:.0f} {text}"
            )
    return str(number)
