"""What networks answer, against the truth.

A block of two rows for each network: posterior medians of test systems against the truth, and in
bins of equal numbers their median with the central 68 % of the systems; the line is the truth.
Above each panel are bias (median of the errors), scatter (half of their central 68 %), that of one
who answers with the mean of what the network learned from, and how many truths lie in the central
68 % of their posteriors. A network that knows nothing draws a horizontal line. Answers beyond the
frame are drawn at its edge.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.lens_parameters import figures
from lensmill.learning import calibration

SHOWN = (
    *("theta_e", "slope", "ellipticity_1", "ellipticity_2"),
    *("gamma1", "gamma2", "source_x", "source_y"),
)
ACROSS = 4
BINS, FEWEST = 8, 5  # bins, and systems in each
POINTS = 2000  # that are drawn
FEW = 300  # points up to which they are drawn larger
FRAME = (0.5, 99.5)  # percentiles of the truth that the frame shows


def plot(predictions: list[str]) -> Figure:
    """Draw the ``predictions.h5`` of several networks."""
    down = -(-len(SHOWN) // ACROSS)
    figure = plt.figure(figsize=(plotting.PAGE, 1.95 * down * len(predictions) + 0.25))
    blocks = figure.subfigures(len(predictions), 1, squeeze=False)[:, 0]
    for block, path in zip(blocks, predictions, strict=True):
        network, population = plotting.network(path), plotting.population(path)
        block.suptitle(
            f"{plotting.label(network)} on {plotting.label(population)}", fontweight="bold"
        )
        axes = block.subplots(down, ACROSS)
        table, prior = figures.known(path), figures.prior(path)
        for axis, name in zip(axes.flat, SHOWN, strict=True):
            _panel(axis, name, table, prior[name], plotting.colour(network))
        block.supxlabel("truth", fontsize=8)
        block.supylabel("posterior median", fontsize=8)
    return figure


def _panel(axis, name, table, prior, colour):
    """Draw one parameter."""
    truth, median = table[f"true_{name}"], table[f"{name}_median"]
    axis.set_title(figures.label(name), fontsize=7)
    if not truth.size:
        return
    low, high = np.percentile(truth, FRAME)
    margin = 0.06 * (high - low) or 0.1
    low, high = low - margin, high + margin
    inside = np.clip(median, low, high)
    axis.plot([low, high], [low, high], color=plotting.BLACK, lw=0.6, zorder=1)
    axis.plot(
        truth[:POINTS],
        inside[:POINTS],
        ".",
        ms=1.5 if truth.size > FEW else 3,
        mew=0,
        color=colour,
        alpha=0.5,
        rasterized=True,
        zorder=2,
    )
    order = np.argsort(truth, kind="stable")
    bins = np.array_split(order, int(np.clip(truth.size // FEWEST, 1, BINS)))
    ends = np.array([np.percentile(median[b], calibration.ONE_SIGMA_PERCENTILES) for b in bins])
    middle = ends[:, 1]
    axis.errorbar(
        [np.median(truth[b]) for b in bins],
        np.clip(middle, low, high),
        [middle - ends[:, 0], ends[:, 2] - middle],
        fmt="o",
        ms=2.5,
        lw=0.8,
        color=plotting.BLACK,
        zorder=3,
    )
    axis.set(xlim=(low, high), ylim=(low, high))
    error = median - truth
    alone = calibration.robust_scatter(prior["mean"] - truth)
    inside68 = 100 * calibration.coverage(table[f"rank_{name}"], calibration.CLAIMED["68"])
    lines = [
        figures.label(name),
        f"bias {calibration.bias(error):+.2g}, in 68 %: {inside68:.0f} %",
        f"scatter {calibration.robust_scatter(error):.2g}, prior {alone:.2g}",
    ]
    axis.set_title("\n".join(lines), fontsize=6.5, linespacing=1.15)
