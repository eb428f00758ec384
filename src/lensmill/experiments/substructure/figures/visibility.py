"""How much substructure an ideal observer sees, by how much there is.

Significance of subhalos of cold dark matter (left, by their number density Sigma_sub) and of a
vortex (right, by its mass) in images at the depth of one orbit of Hubble: where the smooth lens and
its source are known (open), and after all their parameters were fitted (filled), which a real
observer must do. Points are medians, bars hold the central 68 % of the lenses. The dotted line is
5, from which a detection would be claimed; the fraction of lenses above it is written below.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.learning.calibration import ONE_SIGMA_PERCENTILES
from lensmill.pipeline import store

CLAIMED = 5.0
LOWEST = 0.1


def plot(visibility: str) -> Figure:
    """Draw ``visibility.h5``."""
    table = store.read(visibility, "systems")
    figure, axes = plt.subplots(1, 2, figsize=(plotting.PAGE, 2.7), sharey=True)
    texts = (
        (1, r"$\Sigma_\mathrm{sub}$ [kpc$^{-2}$]", plotting.BLUE),
        (2, r"vortex mass [$M(<\theta_\mathrm{E})$]", plotting.VERMILION),
    )
    for axis, (label, text, colour) in zip(axes, texts, strict=True):
        mine = table["label"] == label
        for key, face, shift, name in (
            ("raw_chi", "none", 0.97, "smooth lens known"),
            ("sub_chi", colour, 1.03, "smooth lens fitted"),
        ):
            amounts = np.unique(table["amount"][mine])
            groups = [table[key][mine & (table["amount"] == a)] for a in amounts]
            ends = np.array([np.percentile(g, ONE_SIGMA_PERCENTILES) for g in groups])
            ends = np.maximum(ends, LOWEST)
            bars = [ends[:, 1] - ends[:, 0], ends[:, 2] - ends[:, 1]]
            look = {"fmt": "o", "mfc": face, "color": colour, "ms": 4, "capsize": 2}
            axis.errorbar(amounts * shift, ends[:, 1], bars, label=name, **look)
        for amount, group in zip(amounts, groups, strict=True):
            share = f"{100 * (group > CLAIMED).mean():.0f} %"
            axis.text(amount, 1.25 * LOWEST, share, ha="center", fontsize=6)
        axis.axhline(CLAIMED, color=plotting.BLACK, lw=0.6, ls=":")
        axis.set(xscale="log", yscale="log", xlabel=text)
        axis.set_xticks(amounts, [f"{a:g}" for a in amounts])
        axis.minorticks_off()
        axis.margins(x=0.15)
        axis.legend(loc="upper left")
    axes[0].set_ylim(LOWEST, 5 * table["raw_chi"].max())
    axes[0].set_ylabel(r"significance $\chi$")
    return figure
