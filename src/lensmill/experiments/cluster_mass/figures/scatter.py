"""How well masses are known, against what others have found, and what a core does to them.

Left: scatter of ln M over all test images: standard deviation (filled) and half of the central 68 %
(open), with errors by drawing clusters anew. Grey: published scatter, of other clusters and other
telescopes. Right: how much heavier clusters with a cool core are taken to be than others; a method
that leaves the core out has none. "Core replaced": the network's answer for the same image, with
what lies within 0.15 r500 drawn anew at the level of the ring around it, which it never saw in
training.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.cluster_mass.figures import CALLED, MARKS, PUBLISHED

SIMPLE = ("counts", "counts_excised", "gas_mass")


def plot(scores: list[str]) -> Figure:
    """Draw ``scores.json`` of several networks on one population."""
    read = [json.loads(Path(path).read_text()) for path in scores]
    rows = [(CALLED[name][0], read[0]["answers"][name], CALLED[name][1], name) for name in SIMPLE]
    for one in read:
        text, colour = plotting.label(one["network"]), plotting.colour(one["network"])
        rows.append((text, one["answers"]["network"], colour, "network"))
        rows.append(
            ("… core replaced", one["answers"]["network_excised"], colour, "network_excised")
        )
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(plotting.PAGE, 0.9 + 0.2 * len(rows)), sharey=True, width_ratios=[1.5, 1]
    )
    for place, (_, found, colour, name) in enumerate(rows):
        for key, fill, shift in (("scatter", colour, 0.0), ("half_range", "white", 0.28)):
            left.errorbar(
                100 * found[key],
                place + shift,
                xerr=100 * found[f"{key}_error"],
                marker=MARKS[name],
                ms=3.5,
                color=colour,
                mfc=fill,
                capsize=1.5,
                lw=0.8,
            )
        if found["cool_core"]:
            right.errorbar(
                100 * found["cool_core"]["offset"],
                place,
                xerr=100 * found["cool_core"]["error"],
                marker=MARKS[name],
                ms=3.5,
                color=colour,
                capsize=1.5,
                lw=0.8,
            )
    styles = ("-", ":", "--")
    for ((low, high), colour), ls in zip(PUBLISHED.values(), styles, strict=True):
        if low == high:
            left.axvline(low, color=colour, lw=0.8, ls=ls, zorder=0)
        else:
            left.axvspan(low, high, color=colour, alpha=0.25, lw=0, zorder=0)
    right.axvline(0, color=plotting.GREY, lw=0.6, zorder=0)
    left.set_yticks(np.arange(len(rows)), [row[0] for row in rows])
    left.set(xlabel=r"scatter of $\ln M$ [%]", xlim=(0, None), ylim=(len(rows) - 0.3, -0.5))
    left.tick_params(axis="y", which="both", length=0)
    right.set_xlabel(r"$\ln M$ of cool cores less that of others [%]")
    handles = [
        Line2D([], [], ls="", marker="o", ms=3.5, color=plotting.BLACK, label="standard deviation"),
        Line2D(
            *([], []),
            ls="",
            marker="o",
            ms=3.5,
            color=plotting.BLACK,
            mfc="white",
            label="half of 16–84 %",
        ),
    ]
    for (text, ((low, high), colour)), ls in zip(PUBLISHED.items(), styles, strict=True):
        wide = {"lw": 5, "alpha": 0.25} if low != high else {"lw": 0.8, "ls": ls}
        handles.append(Line2D([], [], color=colour, label=text, **wide))
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure
