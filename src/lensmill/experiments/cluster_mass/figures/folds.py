"""Is one architecture better than another? Scatter of ln M in every fold, by both.

Each cluster is tested in one fold, by networks that never saw it; a line joins the two trainings
that are judged on the same clusters. Left: standard deviation; right: half of the central 68 %. The
spread over folds is what one training by itself cannot be told from; the paired test of
`scores/comparison.md` asks cluster by cluster.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting

KEYS = {"scatter": "scatter (std) [%]", "half_range": "half of 16–84 % [%]"}


def plot(one: list[str], other: list[str]) -> Figure:
    """Draw ``scores.json`` of the trainings of two networks, fold by fold."""
    read = [[json.loads(Path(path).read_text()) for path in paths] for paths in (one, other)]
    figure, axes = plt.subplots(1, 2, figsize=(plotting.COLUMN * 1.4, 2.6))
    names = [several[0]["network"].split("_turn")[0] for several in read]
    for axis, (key, text) in zip(axes, KEYS.items(), strict=True):
        values = [np.array([100 * found[key] for found in several]) for several in read]
        axis.plot([0, 1], values, color=plotting.GREY, lw=0.6, zorder=0)
        for place, (name, of) in enumerate(zip(names, values, strict=True)):
            axis.plot(np.full(len(of), place), of, "o", ms=3, color=plotting.colour(name))
            axis.errorbar(
                place + (0.15 if place else -0.15),
                of.mean(),
                of.std(ddof=1) if len(of) > 1 else 0.0,
                marker="s",
                ms=4,
                capsize=2,
                color=plotting.colour(name),
            )
        axis.set_xticks([0, 1], [plotting.label(name) for name in names])
        axis.set(xlim=(-0.5, 1.5), ylim=(0, None), ylabel=text)
        axis.tick_params(axis="x", which="both", length=0)
    return figure
