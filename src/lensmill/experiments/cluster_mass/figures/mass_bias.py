"""Bias and scatter of ln M against mass, by networks and by simple methods on the same images.

Rows: what the images are of. Left: bias (mean error) with its error. Middle: standard deviation of
the error. Right: half of its central 68 %. In bins of true mass that hold at least 10 clusters. A
network that is asked for the mean mass at what it sees draws both ends of its training sample
towards the middle; so does every regression, the simple ones too. They were fitted to what the
network learned from that is named first.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.cluster_mass.figures import CALLED, LN_10, MARKS

SHOWN = ("counts", "counts_excised", "gas_mass")
PANELS = {
    "bias": "bias [%]",
    "scatter": "scatter (std) [%]",
    "half_range": "half of 16–84 % [%]",
}


def plot(scores: list[str]) -> Figure:
    """Draw ``scores.json`` of networks, several populations in rows."""
    read = [json.loads(Path(path).read_text()) for path in scores]
    populations = list(dict.fromkeys(one["population"] for one in read))
    figure, axes = plt.subplots(
        len(populations),
        len(PANELS),
        figsize=(plotting.PAGE, 0.6 + 1.75 * len(populations)),
        sharex=True,
        squeeze=False,
    )
    looks = plotting.styles([one["network"] for one in read])
    for population, row in zip(populations, axes, strict=True):
        mine = [one for one in read if one["population"] == population]
        for name in SHOWN:
            text, colour = CALLED[name]
            look = {"color": colour, "ls": "--", "lw": 0.8, "marker": MARKS[name], "ms": 2.8}
            _draw(row, mine[0]["answers"][name]["by_mass"], {"label": text, **look})
        for one in mine:
            look = {"marker": "o", "ms": 3, "label": plotting.label(one["network"])}
            _draw(row, one["answers"]["network"]["by_mass"], look | looks[one["network"]])
        row[0].axhline(0, color=plotting.GREY, lw=0.6, zorder=0)
        row[0].set_ylabel(f"{plotting.label(population)}\n{PANELS['bias']}")
        for axis, text in zip(row[1:], list(PANELS.values())[1:], strict=True):
            axis.set(ylabel=text, ylim=(0, None))
    figure.supxlabel(r"$\log_{10} M_{500}/M_\odot$", fontsize=8)
    plotting.add_legend(figure, axes[:, 1])
    return figure


def _draw(row, binned, look):
    """Draw one estimator into the three panels of a row."""
    x = np.array(binned["ln_m500"]) / LN_10
    for axis, key in zip(row, PANELS, strict=True):
        y = np.array([np.nan if value is None else 100 * value for value in binned[key]])
        if key == "bias":
            error = [np.nan if value is None else 100 * value for value in binned["bias_error"]]
            axis.errorbar(x, y, error, capsize=1.5, elinewidth=0.6, **look)
        else:
            axis.plot(x, y, **look)
