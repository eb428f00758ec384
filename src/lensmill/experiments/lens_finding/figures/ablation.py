"""From mocks to the real sky: what each step gained on real lenses.

Left: completeness of real lenses at the strict threshold (that of `unpainted` in configs/real_sky:
one in a hundred unpainted hosts and look-alikes passes), by step; open: lenses wider than 1.44
arcsec alone. Right: AUROC of real lenses against real non-lenses, of all, and open of pairs that
are matched in magnitude and colour. Dots are networks from different seeds, diamonds the committee
of all; bars are 68 % binomial intervals for the threshold as it stands. Steps that learned from
real hosts are judged in turns, each lens by networks that have seen nothing of its field.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting

COLOUR, OPEN = plotting.BLUE, plotting.VERMILION


def plot(table: str) -> Figure:
    """Draw ``scores/ablation.csv``."""
    found = pd.read_csv(table)
    found["wide"] /= found["n_wide"].where(found["n_wide"] > 0)
    steps = list(dict.fromkeys(found["step"]))
    figure, axes = plt.subplots(1, 2, figsize=(plotting.PAGE, 2.6))
    for axis, main, other in ((axes[0], "completeness", "wide"), (axes[1], "auroc", "matched")):
        for place, step in enumerate(steps):
            rows = found[found["step"] == step]
            together = rows["member"].str.startswith("ensemble") | (len(rows) == 1)
            for column, colour, shift in ((main, COLOUR, -0.12), (other, OPEN, 0.12)):
                fill = colour if column == main else "none"
                look = {"color": colour, "mfc": fill, "ls": "", "mew": 0.8}
                seeds = rows.loc[~together, column]
                x = place + shift + np.linspace(-0.06, 0.06, len(seeds))
                axis.plot(x, seeds, marker="o", ms=2.5, **look)
                committee = rows[together]
                bars = None
                if column == "completeness":
                    value = committee[column].to_numpy()
                    low, high = (committee[f"{column}_{e}"].to_numpy() for e in ("low", "high"))
                    bars = [value - low, high - value]
                x = np.full(len(committee), place + shift)
                axis.errorbar(
                    x, committee[column], bars, marker="D", ms=4.5, elinewidth=0.8, **look
                )
        axis.set_xticks(range(len(steps)), [step.replace(" ", "\n") for step in steps])
        axis.tick_params(axis="x", length=0)
    axes[0].set(ylabel="completeness", ylim=(-0.02, 1.02))
    axes[1].set(ylabel="AUROC", ylim=(min(0.4, axes[1].get_ylim()[0]), 1.01))
    axes[1].axhline(0.5, color=plotting.GREY, lw=0.6, ls=":")
    handles = [
        Line2D([], [], color=COLOUR, marker="o", ms=2.5, ls="", label="seeds"),
        Line2D([], [], color=COLOUR, marker="D", ms=4.5, ls="", label="committee"),
        Line2D([], [], color=OPEN, mfc="none", marker="D", ms=4.5, ls="", label="wide, matched"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure
