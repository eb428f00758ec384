"""Calibration of p(z): where the true redshifts lie in it.

Histograms of the probability integral transform, the probability that p(z) gives to redshifts
below the true one, of methods that answer with p(z), for the test galaxies. It is uniform (line)
if p(z) is right; a heap in the middle says that p(z) is too wide, heaps at the ends that it is
too narrow, a slope that it is biased. Grey: 95 % of what one bin of a perfect p(z) holds by
chance. The last bins end at 0 and 1 and hold the galaxies outside p(z) altogether. Uniform ranks
do not make p(z) sharp: the CDE loss in each panel (smaller is better) judges both.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom

from lensmill import plotting
from lensmill.pipeline import store

BINS = 20


def plot(predictions: list[str], scores: list[str]) -> Figure:
    """Draw ``densities`` of ``predictions.h5``, with ``scores.json`` in the same order."""
    across = min(len(predictions), 3)
    down = -(-len(predictions) // across)
    size = (plotting.PAGE, 1.75 * down + 0.2)
    figure, axes = plt.subplots(down, across, figsize=size, sharex=True, squeeze=False)
    for axis in axes.flat[len(predictions) :]:
        axis.set_axis_off()
    for axis, path, file in zip(axes.flat, predictions, scores, strict=False):
        _panel(axis, path, json.loads(Path(file).read_text()))
    for axis in axes[:, 0]:
        axis.set_ylabel("galaxies / expected")
    for axis in axes[-1]:
        axis.set_xlabel("PIT")
    return figure


def _panel(axis, path, score):
    """Draw one method on one population."""
    pit = store.read(path, "densities")["pit"]
    network, population = plotting.network(path), plotting.population(path)
    axis.set_title(f"{plotting.label(network)}, {plotting.label(population)}", fontsize=7)
    if not len(pit):
        return
    counts, edges = np.histogram(pit, BINS, (0, 1))
    expected = len(pit) / BINS
    low, high = binom.ppf([0.025, 0.975], len(pit), 1 / BINS) / expected
    axis.axhspan(low, high, color=plotting.LIGHT, lw=0)
    axis.axhline(1, color=plotting.BLACK, lw=0.6)
    axis.stairs(counts / expected, edges, color=plotting.colour(network), lw=1.3)
    axis.set(xlim=(0, 1), ylim=(0, max(2.0, 1.25 * (counts / expected).max())))
    text = f"CDE loss {score['cde_loss']:.2f} $\\pm$ {score['cde_loss_error']:.2f}"
    axis.text(0.5, 0.95, text, transform=axis.transAxes, ha="center", va="top", fontsize=6)
