"""Which photons a mass hangs on, and whether a network leaves the core out by itself.

Top: images of the test set, growing in mass, and below each the derivative of ln M by the counts of
every pixel (red: a photon more makes the cluster heavier; blue: lighter); circles: 0.15 and 1 r500.
Bottom, by ring: the share of the cluster's photons in it (bars), and how much of itself the mass
grows when the counts in the ring do (symbols, mean over images, with its error), for clusters with
a cool core and others. One who counts all photons alike would follow the bars; one who takes the
mean of the pixels after the asinh stretch, whatever they show, the dashes (scaled to the sum of the
symbols): the stretch by itself takes most of the core's weight.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch

from lensmill import plotting
from lensmill.experiments.cluster_mass.figures import LN_10
from lensmill.pipeline import store

KINDS = {"cool": ("cool core", plotting.VERMILION), "other": ("others", plotting.BLUE)}


def plot(photons: list[str]) -> Figure:
    """Draw ``photons.h5``: maps of the first network, rings of all."""
    maps = store.read(photons[0], "maps")
    n = len(maps["ln_m500"])
    figure = plt.figure(figsize=(plotting.PAGE, 2 * plotting.PAGE / max(n, 4) + 2.3))
    upper, lower = figure.subfigures(2, 1, height_ratios=[2 * plotting.PAGE / max(n, 4), 2.3])
    axes = upper.subplots(2, n, squeeze=False)
    for i, (top, middle) in enumerate(axes.T):
        top.imshow(np.log1p(maps["pixels"][i]), cmap="cividis", origin="lower")
        most = np.percentile(np.abs(maps["gradient"][i]), 99.8)
        middle.imshow(maps["gradient"][i], cmap="RdBu_r", vmin=-most, vmax=most, origin="lower")
        kind = "cool core" if maps["cool_core"][i] else "no cool core"
        top.set_title(f"{maps['ln_m500'][i] / LN_10:.2f}, {kind}")
        for axis in (top, middle):
            axis.set(xticks=[], yticks=[])
            for r in (0.15, 1.0):
                centre = (maps["x"][i], maps["y"][i])
                colour = "white" if axis is top else "black"
                axis.add_patch(
                    Circle(centre, r * maps["r500"][i], fill=False, color=colour, lw=0.6)
                )
    axes[0, 0].set_ylabel("counts")
    axes[1, 0].set_ylabel(r"$\partial \ln M/\partial$ counts")
    below = lower.subplots(1, len(photons), squeeze=False, sharey=True)[0]
    for axis, path in zip(below, photons, strict=True):
        rings = store.read(path, "rings")
        place = np.arange(len(rings["inner"]))
        for shift, (kind, (_, colour)) in zip((-0.2, 0.2), KINDS.items(), strict=True):
            if not rings[f"images_{kind}"][0]:
                continue
            axis.bar(place + shift, rings[f"photons_{kind}"], 0.36, color=colour, alpha=0.25)
            stretched = rings[f"stretched_{kind}"] * rings[f"elasticity_{kind}"].sum()
            axis.hlines(
                *(stretched, place + shift - 0.17, place + shift + 0.17),
                color=colour,
                lw=0.9,
                ls=(0, (3, 1)),
            )
            axis.errorbar(
                place + shift,
                rings[f"elasticity_{kind}"],
                rings[f"error_{kind}"],
                color=colour,
                marker="o" if kind == "cool" else "s",
                ms=3,
                capsize=1.5,
                ls="",
            )
        edges = [f"{a:g}–{b:g}" for a, b in zip(rings["inner"], rings["outer"], strict=True)]
        axis.set_xticks(place, edges, rotation=45 if len(photons) > 2 else 0)
        axis.axhline(0, color=plotting.GREY, lw=0.6)
        axis.set(title=plotting.label(plotting.network(path)), xlabel=r"ring [$r_{500}$]")
        axis.tick_params(axis="x", which="both", length=0)
    below[0].set_ylabel(r"share, $\partial \ln M/\partial \ln$ counts")
    handles = [
        handle
        for kind, (text, colour) in KINDS.items()
        for handle in (
            Patch(color=colour, alpha=0.25, label=f"photons, {text}"),
            Line2D(
                [],
                [],
                ls="",
                marker="o" if kind == "cool" else "s",
                ms=3,
                color=colour,
                label=f"mass, {text}",
            ),
        )
    ]
    dashes = {"color": plotting.BLACK, "lw": 0.9, "ls": (0, (3, 1))}
    handles.append(Line2D([], [], label="mean of stretched pixels", **dashes))
    lower.legend(handles=handles, loc="outside upper center", ncols=5)
    return figure
