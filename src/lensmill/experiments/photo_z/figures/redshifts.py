"""Redshifts that the methods answer, against spectroscopic ones.

Each dot is a test galaxy of known redshift (of more than 4,000 every so many-th), shaded by how
many lie beside it; the dashed lines are |dz| = 0.15 (1 + z), beyond which a redshift counts as an
outlier. Numbers: sigma NMAD and the fraction of outliers. A sample of bright galaxies at low
redshift has few outliers because it has few redshifts to confuse: the fraction says nothing of
fainter samples.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.photo_z import judging
from lensmill.pipeline import store

MOST = 4000


def plot(predictions: list[str]) -> Figure:
    """Draw ``predictions.h5`` of methods and populations, a panel each."""
    across = min(len(predictions), 4)
    down = -(-len(predictions) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(plotting.PAGE, 2.0 * down + 0.3), squeeze=False
    )
    for axis in axes.flat[len(predictions) :]:
        axis.set_axis_off()
    for axis, path in zip(axes.flat, predictions, strict=False):
        _panel(axis, path)
    for axis in axes[:, 0]:
        axis.set_ylabel("photometric redshift")
    for axis in axes[-1]:
        axis.set_xlabel("spectroscopic redshift")
    return figure


def _panel(axis, path):
    """Draw one method on one population."""
    table = store.read(path, "systems", ["redshift", "redshift_known", "answer"])
    known = table["redshift_known"] == 1
    truth, answer = table["redshift"][known], table["answer"][known]
    end = 1.05 * np.quantile(truth, 0.998) if len(truth) else 1.0
    line = np.array([0, end])
    axis.plot(line, line, color=plotting.VERMILION, lw=0.7)
    for sign in (-1, 1):
        away = line + sign * judging.CATASTROPHIC * (1 + line)
        axis.plot(line, away, color=plotting.VERMILION, lw=0.7, ls="--")
    if len(truth):
        some = slice(None, None, -(-len(truth) // MOST))
        x, y = truth[some], answer[some]
        counts, *edges = np.histogram2d(x, y, 60, [[0, end], [0, end]])
        place = [
            np.clip(np.searchsorted(e, v) - 1, 0, 59) for e, v in zip(edges, (x, y), strict=True)
        ]
        shade = np.log1p(counts[place[0], place[1]])
        order = np.argsort(shade, kind="stable")
        axis.scatter(x[order], y[order], c=shade[order], s=1.5, cmap="cividis_r", rasterized=True)
        error = judging.relative_error(answer, truth)
        numbers = judging.numbers(error)
        text = f"NMAD {numbers['nmad']:.4f}\nout {100 * numbers['outliers']:.2f} %"
        axis.text(0.04, 0.96, text, transform=axis.transAxes, va="top", fontsize=6)
    axis.set(xlim=(0, end), ylim=(0, end), aspect="equal")
    network, population = plotting.network(path), plotting.population(path)
    learned = plotting.label(str(store.attributes(path)["train_on"]))
    text = f"{plotting.label(network)}, from {learned},\non {plotting.label(population)}"
    axis.set_title(text, fontsize=6)
