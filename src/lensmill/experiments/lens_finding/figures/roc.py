"""Completeness against the rate of false positives, by network.

Share of the lenses found against the share of non-lenses taken for lenses, on the test systems of
one population, as the threshold falls. The false-positive rate is on a logarithmic scale, because
lenses are rare: a survey is searched at the left edge. Circles: TPR0, before the first false
positive, drawn at half of the smallest rate that these non-lenses can show. Diamonds: TPR10, with
fewer than ten. Both depend on how many non-lenses there are (written below the axis). The legend
gives the AUROC. Dotted: a network that guesses. By default each network is trained from one seed,
for a time of its own (see `finder_history`): the lines compare these trainings, not architectures.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.lens_finding.figures import both_kinds, labelled
from lensmill.learning import classification


def plot(predictions: list[str]) -> Figure:
    """Draw the ``predictions.h5`` of several networks on one population."""
    figure, axis = plt.subplots(figsize=(plotting.COLUMN * 1.35, 2.9))
    styles = plotting.styles([plotting.network(path) for path in predictions])
    numbers = set()
    for path in predictions:
        table = labelled(path)
        if not both_kinds(table):
            continue  # a small run has no such systems to test on
        is_lens, logit = table["is_lens"], table["logit"]
        others = int((is_lens != 1).sum())
        numbers.add(others)
        name = plotting.network(path)
        curves = classification.curves(is_lens, logit)
        left = 0.5 / others
        text = f"{plotting.label(name)}  {classification.auroc(is_lens, logit):.3f}"
        some = np.count_nonzero(curves.fpr == 0) - 1  # from the last point without a false positive
        fpr = np.maximum(curves.fpr[some:], left)
        axis.plot(fpr, curves.tpr[some:], drawstyle="steps-post", label=text, **styles[name])
        mark = {"color": styles[name]["color"], "ls": "", "mec": "w", "mew": 0.4, "clip_on": False}
        axis.plot(left, classification.tpr0(is_lens, logit).value, "o", ms=4.5, zorder=4, **mark)
        if others > 9:
            place = 9 / others
            axis.plot(
                place, classification.tpr10(is_lens, logit).value, "D", ms=4, zorder=4, **mark
            )
    lowest = 0.5 / max(numbers, default=100)
    grid = np.geomspace(lowest, 1, 100)
    axis.plot(grid, grid, color=plotting.BLACK, lw=0.6, ls=":")
    axis.set(
        xscale="log",
        xlim=(lowest, 1),
        ylim=(0, 1),
        xlabel="false-positive rate",
        ylabel="true-positive rate (completeness)",
    )
    if numbers:
        text = " / ".join(f"{n:,}" for n in sorted(numbers))
        axis.set_xlabel(f"false-positive rate ({text} non-lenses)")
        handles, _ = axis.get_legend_handles_labels()
        mark = {"ls": "", "color": plotting.BLACK, "ms": 4}
        handles += [
            Line2D([], [], marker="o", label="TPR0", **mark),
            Line2D([], [], marker="D", label="TPR10", **mark),
            Line2D([], [], color=plotting.BLACK, lw=0.6, ls=":", label="a guess"),
        ]
        figure.legend(handles=handles, loc="outside right upper", title="AUROC", title_fontsize=7)
    return figure
