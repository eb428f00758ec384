"""The same sky at every angle: scatter of the mass when photons are drawn anew, and of pictures.

Clusters that no network has seen, turned from 0 to 360 degrees. Left: the sky is turned and photons
are drawn from it. Right: the pixels of the sky as it was are interpolated and the corners filled
with zeros, as pictures are often turned; that costs what those found who did so. Top: mean squared
error of ln M over that at angle 0. Below: rms change of ln M from angle 0. Dotted: quarter turns,
at which the photons turn with the sky: there the p4m network says the same, to rounding, by
construction. In between the answers change by the noise of other photons too. What is below 1e-5 is
drawn there.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting

FLOOR = 1e-5  # changes below are drawn there
WAYS = {"sky": "sky turned, photons drawn anew", "pixels": "pixels interpolated, corners empty"}


def plot(rotation: list[str]) -> Figure:
    """Draw the files ``rotation.json`` of several networks."""
    figure, axes = plt.subplots(2, 2, figsize=(plotting.PAGE, 3.6), sharex=True, sharey="row")
    looks = plotting.styles([plotting.network(path) for path in rotation])
    for path in rotation:
        found, name = json.loads(Path(path).read_text()), plotting.network(path)
        for (top, bottom), way in zip(axes.T, WAYS, strict=True):
            mse, change = (np.array(found[way][key]) for key in ("mse", "change"))
            mark = {"marker": "o", "ms": 2, **looks[name]}
            top.plot(found["angle"], mse / mse[0], label=plotting.label(name), **mark)
            bottom.plot(found["angle"], np.maximum(change, FLOOR), **mark)
    for (top, bottom), text in zip(axes.T, WAYS.values(), strict=True):
        top.set(title=text, yscale="log")
        bottom.set(yscale="log", xlabel="angle [deg]", xlim=(0, 360))
        bottom.set_xticks(range(0, 361, 90))
        for axis in (top, bottom):
            for quarter in (90, 180, 270):
                axis.axvline(quarter, color=plotting.GREY, lw=0.5, ls=":", zorder=0)
    axes[0, 0].set_ylabel("MSE / MSE at 0")
    axes[1, 0].set_ylabel(r"rms change of $\ln M$")
    handles, texts = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside upper center", ncols=4)
    return figure
