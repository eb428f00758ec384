"""How much substructure there is, as networks measure it.

Each panel: medians of posteriors with their central 68 %, against the truth, of test systems that
have the quantity; the full line is the truth. Grey: the mean and the standard deviation of what the
network learned from, with which anybody could answer. Above: rms error of the medians over that of
this answer (1: nothing was learned), both in dex, and how often the central 68 % hold the truth.
"""

import json

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.learning import calibration
from lensmill.pipeline import store

ACROSS = 3
SHOWN = 250  # systems drawn
NAMES = {
    "sigma_sub": r"$\Sigma_\mathrm{sub}$ [kpc$^{-2}$]",
    "f_sub": r"$f_\mathrm{sub}$",
    "m_sub": r"$M_\mathrm{sub}$ [$M_\odot$]",
    "m_hm": r"$M_\mathrm{hm}$ [$M_\odot$]",
    "vortex_mass": r"vortex mass [$M(<\theta_\mathrm{E})$]",
    "vortex_length": r"vortex length [$\theta_\mathrm{E}$]",
}


def plot(predictions: list[str]) -> Figure:
    """Draw the ``predictions.h5`` of networks that measure."""
    panels = [(p, name) for p in predictions for name in json.loads(store.attributes(p)["targets"])]
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    size = (max(plotting.COLUMN, across * plotting.PAGE / ACROSS), 2.6 * down)
    figure, axes = plt.subplots(down, across, figsize=size, squeeze=False)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, (path, name) in zip(axes.flat, panels, strict=False):
        _panel(axis, path, name)
    return figure


def _panel(axis, path, name):
    """Draw one quantity of one network on one population."""
    about, table = store.attributes(path), store.read(path, "systems")
    prior = json.loads(about["prior"])[name]
    rank = store.read(path, "calibration")[f"rank_{name}"]
    truth, median = table[f"true_{name}"], table[f"{name}_median"]
    some = slice(0, SHOWN)
    low, high = table[f"{name}_low68"], table[f"{name}_high68"]
    every = np.concatenate([truth[some], low[some], high[some]])
    ends = np.array([every.min(), every.max()])
    mean, sd = prior["mean"], prior["sd"]
    axis.fill_between(ends, mean - sd, mean + sd, color=plotting.LIGHT, lw=0)
    axis.plot(ends, [mean, mean], color=plotting.GREY, lw=0.8)
    axis.plot(ends, ends, color=plotting.BLACK, lw=0.8, zorder=3)
    axis.errorbar(
        truth[some],
        median[some],
        [np.maximum(median - low, 0)[some], np.maximum(high - median, 0)[some]],
        fmt="o",
        ms=1.8,
        mew=0,
        lw=0.4,
        alpha=0.6,
        color=plotting.colour(str(about["population"])),
        rasterized=True,
    )
    alone = np.sqrt(((truth - mean) ** 2).mean())
    ratio = np.sqrt(((median - truth) ** 2).mean()) / alone if alone > 0 else np.nan
    inside = 100 * calibration.coverage(rank, calibration.CLAIMED["68"])
    axis.set_title(
        f"{plotting.label(str(about['population']))}\n"
        f"rms over prior {ratio:.2f}, in 68 %: {inside:.0f} %"
    )
    axis.set(xlim=ends, ylim=ends)
    text = f"log {NAMES[name]}"
    axis.set(xlabel=f"{text}, true", ylabel=f"{text}, measured")
