"""What an architecture learns for its cost: AUROC against the processor time of its training.

Test systems of the population that each was trained on. Large points: mean of the seeds, with their
standard deviation in both directions; small points: single seeds. The legend gives the number of
seeds and of weights. Time is that of the processor, all cores together, imports included.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from lensmill import plotting

WIDE = 3.0  # ratio of times from which the axis is logarithmic


def plot(networks: str) -> Figure:
    """Draw the table of networks, ``networks.csv``."""
    table = pd.read_csv(networks).query("own").dropna(subset="auroc")
    figure, axis = plt.subplots(figsize=(plotting.COLUMN * 1.4, 2.6))
    styles = plotting.styles(list(table["family"].unique()))
    for name, members in table.groupby("family", sort=False):
        seconds, area = members["train_cpu_seconds"], members["auroc"]
        weights = _short(members["parameters"].iloc[0])
        colour = {"color": styles[name]["color"]}
        spread = [x.std() if len(x) > 1 else 0.0 for x in (area, seconds)]
        axis.plot(seconds, area, "o", ms=2.5, alpha=0.5, mew=0, **colour)
        mark = {"marker": "o", "ms": 5, "ls": "", "elinewidth": 0.9}
        mark["label"] = f"{plotting.label(name)} ({len(members)}; {weights})"
        axis.errorbar(seconds.mean(), area.mean(), spread[0], spread[1], **mark, **colour)
    times = table["train_cpu_seconds"]
    if len(times) and times.max() > WIDE * times.min():
        axis.set_xscale("log")
    axis.set(xlabel="processor time of the training [s]", ylabel="AUROC")
    if len(table):
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
