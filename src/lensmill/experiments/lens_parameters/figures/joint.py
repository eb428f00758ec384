"""Time-delay distances by positions and delays, with and without what a network sees in the image.

Mocks whose truth is known. Left: the distance over the true one, median and central 68 %, of every
system: by positions and delays under the prior, and with the image. Right: half the central 68 % of
the slope of the mass, with the image against without; below the line the image says something.
Written in: scatter of ln D_dt, coverage of the central 68 %, and the ratio of the scatters.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.pipeline import store

NAMES = {"delays": "positions and delays", "joint": "and the image"}
SHOWN = 40  # systems


def plot(systems: str, summary: str) -> Figure:
    """Draw what rule ``join_mocks`` has written."""
    table = {name: column[:SHOWN] for name, column in store.read(systems, "systems").items()}
    found = json.loads(Path(summary).read_text())
    figure, (left, right) = plt.subplots(1, 2, figsize=(plotting.PAGE, 2.9), width_ratios=(2, 1))
    order = np.argsort(table["delays_median"] / table["d_dt"])
    colours = plotting.BLUE, plotting.ORANGE
    for (kind, name), colour, shift in zip(NAMES.items(), colours, (-0.15, 0.15), strict=True):
        low, median, high = (
            (table[f"{kind}_{end}"] / table["d_dt"])[order] for end in ("low", "median", "high")
        )
        numbers = found[kind]
        label = (
            f"{name}: scatter {100 * numbers['scatter']:.1f} %, "
            f"68 % hold {100 * numbers['coverage68']:.0f} %"
        )
        left.errorbar(
            *(np.arange(len(order)) + shift, median, [median - low, high - median]),
            **{"fmt": "o", "ms": 2.5, "lw": 0.8, "color": colour, "label": label},
        )
    left.axhline(1, color=plotting.GREY, lw=0.8, zorder=0)
    left.set(xlabel="system, in order", ylabel=r"$D_{\Delta t}$ over truth")
    left.set_title(f"ratio of the scatters {found['scatter_ratio']:.2f}", loc="left")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    without, joined = (table[f"{kind}_slope_error"] for kind in NAMES)
    right.plot(without, joined, "o", ms=2.5, color=plotting.BLACK)
    most = 1.05 * max(without.max(), joined.max())
    right.plot([0, most], [0, most], color=plotting.GREY, lw=0.8)
    right.set(xlim=(0, most), ylim=(0, most), xlabel="error of slope, no image")
    right.set_ylabel("error of slope, with image")
    return figure
