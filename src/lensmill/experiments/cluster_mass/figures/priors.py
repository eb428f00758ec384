"""What a network has learned from decides whom it is unfair to: bias against mass.

Left and right: images of the two populations, weighed by networks of one architecture that learned
from a sample flat in ln M, from the mass function as it is, and from the mass function with weights
by which all masses count alike (where it was trained). The slope is that of the error on the true
ln M over all images: regression to the mean. Bins with at least 10 clusters.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.cluster_mass.figures import LN_10

KINDS = {
    ("flat", "none"): ("flat in ln M", plotting.BLUE, "o"),
    ("mass_function", "none"): ("mass function", plotting.VERMILION, "s"),
    ("mass_function", "flat"): ("mass function, weighted", plotting.PURPLE, "D"),
}


def plot(scores: list[str]) -> Figure:
    """Draw ``scores.json`` of networks that learned from different samples."""
    read = [json.loads(Path(path).read_text()) for path in scores]
    populations = list(dict.fromkeys(one["population"] for one in read))
    figure, axes = plt.subplots(
        1,
        len(populations),
        figsize=(plotting.PAGE * 0.8, 3.0),
        sharey=True,
        squeeze=False,
    )
    for population, axis in zip(populations, axes[0], strict=True):
        for one in (one for one in read if one["population"] == population):
            text, colour, mark = KINDS[one["train_on"], one["weights"]]
            binned = one["answers"]["network"]["by_mass"]
            y, error = (
                [np.nan if value is None else 100 * value for value in binned[key]]
                for key in ("bias", "bias_error")
            )
            axis.errorbar(
                np.array(binned["ln_m500"]) / LN_10,
                y,
                error,
                color=colour,
                marker=mark,
                ms=3,
                capsize=1.5,
                label=f"{text}: slope {one['slope']:+.3f} ± {one['slope_error']:.3f}",
            )
        axis.axhline(0, color=plotting.GREY, lw=0.6, zorder=0)
        axis.set_xlabel(r"$\log_{10} M_{500}/M_\odot$")
        title = f"images: {plotting.label(population)}; learned from"
        look = {"title_fontsize": 8, "alignment": "left"}
        axis.legend(title=title, loc="lower left", bbox_to_anchor=(0.0, 1.01), **look)
    axes[0, 0].set_ylabel(r"bias of $\ln M$ [%]")
    return figure
