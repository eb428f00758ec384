"""Masses against true ones: by simple methods and by a network, of the same images.

Every dot is an image of the test set; the line is where both are equal. The number is the scatter
of ln M: standard deviation, and in brackets half of the central 68 %. Darker: clusters with a cool
core, which all counts take to be too heavy. The true gas mass within r500, which no image shows, is
what remains if all but the gas fraction were known.
"""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.cluster_mass.figures import CALLED, LN_10
from lensmill.learning import calibration
from lensmill.pipeline import store

SHOWN = ("counts", "counts_excised", "network", "gas_mass")


def plot(predictions: str) -> Figure:
    """Draw ``predictions.h5`` of one network."""
    systems = store.read(predictions, "systems")
    systems = {name: values[systems["known"] == 1] for name, values in systems.items()}
    truth = systems["ln_m500"] / LN_10
    cool = systems["cool_core"] == 1
    size = plotting.PAGE / len(SHOWN)
    figure, axes = plt.subplots(
        1, len(SHOWN), figsize=(plotting.PAGE, size + 0.5), sharex=True, sharey=True
    )
    ends = [truth.min() - 0.1, truth.max() + 0.1]
    for axis, name in zip(axes, SHOWN, strict=True):
        answer = systems[f"ln_m500_{name}"] / LN_10
        error = systems[f"ln_m500_{name}"] - systems["ln_m500"]
        text, colour = CALLED[name]
        if name == "network":
            text = plotting.label(plotting.network(predictions))
        for of, alpha in ((~cool, 0.35), (cool, 0.9)):
            axis.plot(
                truth[of],
                answer[of],
                ".",
                ms=1.6,
                color=colour,
                alpha=alpha,
                mew=0,
                rasterized=True,
            )
        axis.plot(ends, ends, color=plotting.GREY, lw=0.7)
        axis.set(xlim=ends, ylim=ends, title=text, aspect="equal")
        axis.text(
            0.04,
            0.95,
            f"{100 * error.std():.0f} % ({100 * calibration.robust_scatter(error):.0f} %)",
            transform=axis.transAxes,
            va="top",
        )
    axes[0].set_ylabel(r"$\log_{10} M_{500}/M_\odot$, answered")
    figure.supxlabel(r"$\log_{10} M_{500}/M_\odot$, true", fontsize=8)
    figure.legend(
        handles=[
            Line2D([], [], ls="", marker="o", ms=3, color=plotting.GREY, alpha=alpha, label=text)
            for text, alpha in (("cool core", 1.0), ("others", 0.4))
        ],
        loc="outside upper center",
        ncols=2,
    )
    return figure
