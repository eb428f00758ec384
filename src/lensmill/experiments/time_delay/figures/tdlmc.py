"""Where the truth is known: Hubble constants recovered from the lens modelling challenge.

Rungs 0 and 1 of the Time Delay Lens Modelling Challenge (Ding et al. 2021): simulated lenses whose
truth was opened after the challenge. Medians and 68 % intervals of the networks trained on the
survey population, in units of the true value; open and red: outside the family or the prior by our
test, and not in the square, which is all others together. The lenses of the challenge are not like
those of the prior: shallower on average (slope 2.01, not 2.08), which alone raises the Hubble
constant by 7 %, and rounder (axis ratio 0.85, not 0.7), for which mocks of the survey show another
4 %. What positions and delays cannot tell, the prior does. Positions and delays are without noise,
so the errors are overstated.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting


def plot(systems: str, summary: str) -> Figure:
    """Draw ``systems.ecsv`` and the combined value and scores in ``hubble.json``."""
    table = Table.read(systems)
    table = table[np.lexsort((table["name"], -table["n_images"]))]
    found = json.loads(Path(summary).read_text())
    n = len(table)
    figure, axis = plt.subplots(figsize=(plotting.COLUMN * 1.25, 1.25 + 0.15 * n))
    axis.axvline(1.0, color=plotting.BLACK, lw=0.6)
    for row, system in enumerate(table):
        truth = float(system["h0_true"])
        outside = str(system["verdict"]).startswith("outside")
        colour = plotting.VERMILION if outside else plotting.BLUE
        ends = [float(system[name]) / truth for name in ("h0_low68", "h0_high68")]
        axis.plot(ends, [row, row], color=colour, lw=1.0)
        fill = "none" if outside else "full"
        axis.plot(
            float(system["h0"]) / truth, row, "o", color=colour, ms=4, fillstyle=fill, mew=0.8
        )
    together = found["combined"]["usable"]
    ends = [together["h0_low68_over_truth"], together["h0_high68_over_truth"]]
    value = together["h0_over_truth"]
    axis.plot(ends, [n + 0.3] * 2, color=plotting.BLACK, lw=2.0)
    axis.plot(value, n + 0.3, "s", color=plotting.BLACK, ms=4)
    text = f"{value:.3f}$^{{+{ends[1] - value:.3f}}}_{{-{value - ends[0]:.3f}}}$"
    axis.text(1.68, n + 0.3, text, ha="right", va="center")
    axis.axhline(n - 0.4, color=plotting.BLACK, lw=0.6)
    axis.axhline(np.count_nonzero(table["n_images"] > 2) - 0.5, color=plotting.GREY, lw=0.5)
    names = [str(name).replace("_", " ").replace("seed", "system ") for name in table["name"]]
    axis.set_yticks([*range(n), n + 0.3], [*names, f"usable ({len(together['systems'])})"])
    axis.tick_params(axis="y", length=0)
    axis.set(xlabel=r"$H_0$ / true $H_0$", xlim=(0.5, 1.7), ylim=(n + 1.0, -0.8))
    scores = found["accuracy"]["all"]
    axis.set_title(
        f"bias {scores['bias']:+.3f}, scatter {scores['robust_scatter']:.3f} in $\\ln H_0$; "
        f"the 68 % intervals hold {100 * scores['coverage68']:.0f} %",
        fontsize=6.5,
    )
    circle = {"marker": "o", "ms": 4, "mew": 0.8, "lw": 1.0}
    outside = {"color": plotting.VERMILION, "fillstyle": "none"}
    figure.legend(
        handles=[
            Line2D([], [], color=plotting.BLUE, label="median, 68 %", **circle),
            Line2D([], [], label="outside: do not use", **circle, **outside),
            Line2D([], [], color=plotting.BLACK, marker="s", ms=4, lw=2.0, label="all together"),
        ],
        loc="outside upper center",
        ncols=3,
        columnspacing=1.2,
    )
    return figure
