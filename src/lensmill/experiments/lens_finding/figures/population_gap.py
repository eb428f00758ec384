"""Trained on one survey, tested on others: the gap between populations.

Rows are networks, columns populations. Left: AUROC. Right: completeness at the threshold that lets
1 % of the non-lenses of the network's own training population through, as one would use it in a
survey; the number in brackets is the rate of false positives that this threshold in truth has
there, in per cent. A dash: not defined for that population, for lack of lenses or of non-lenses.
Several seeds of a network are averaged; by
default there is one of each, trained for unequal times, so that rows compare these trainings and
not architectures.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting

LOWEST = 0.5  # AUROC of a guess: the darkest shade, also of what is below


def plot(scores: list[str]) -> Figure:
    """Draw the ``scores.json`` of networks on populations."""
    found = {path: json.loads(Path(path).read_text()) for path in scores}
    networks = list(dict.fromkeys(plotting.family(plotting.network(p)) for p in scores))
    populations = list(dict.fromkeys(plotting.population(p) for p in scores))
    cells = {(n, p): [] for n in networks for p in populations}
    for path, numbers in found.items():
        cells[plotting.family(plotting.network(path)), plotting.population(path)].append(numbers)
    height = 1.3 + 0.28 * len(networks)
    figure, (left, right) = plt.subplots(1, 2, figsize=(plotting.PAGE, height), sharey=True)
    areas = _matrix(cells, networks, populations, _auroc)
    rates = _matrix(cells, networks, populations, _completeness)
    alarms = _matrix(cells, networks, populations, _false_positives)
    texts = [[_number(x, 3) for x in row] for row in areas]
    _draw(left, areas, texts, LOWEST)
    texts = [
        [_number(x) + (f" ({100 * y:.1f})" if y == y else "") for x, y in zip(*rows, strict=True)]
        for rows in zip(rates, alarms, strict=True)
    ]
    _draw(right, rates, texts, 0.0)
    left.set_title("AUROC")
    right.set_title("completeness (false positives in %)")
    left.set_yticks(range(len(networks)), [plotting.label(name) for name in networks])
    for axis in (left, right):
        names = [plotting.label(name) for name in populations]
        axis.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
        axis.tick_params(length=0)
    return figure


def _matrix(cells, networks, populations, number):
    """Return the mean of a number for each network and population; nan where there is none."""
    matrix = np.full((len(networks), len(populations)), np.nan)
    for (network, population), several in cells.items():
        values = [x for x in map(number, several) if x is not None]
        if values:
            matrix[networks.index(network), populations.index(population)] = np.mean(values)
    return matrix


def _auroc(scores):
    return scores["auroc"]


def _completeness(scores):
    return _at_threshold(scores, "completeness")


def _false_positives(scores):
    return _at_threshold(scores, "false_positive_rate")


def _at_threshold(scores, name):
    """Return a rate at the threshold of the training population, if that could be set."""
    own = scores[name] if scores["threshold"] is not None else None
    return scores.get(f"{name}_reference", own)


def _number(value, digits=2):
    return f"{value:.{digits}f}" if value == value else "–"


def _draw(axis, matrix, texts, lowest):
    shades = axis.imshow(matrix, cmap="cividis", vmin=lowest, vmax=1.0, aspect="auto")
    below = "min" if np.nanmin(matrix, initial=lowest) < lowest else "neither"
    bar = axis.figure.colorbar(shades, ax=axis, extend=below, pad=0.02, aspect=12)
    bar.ax.tick_params(direction="out", length=2, right=True)
    for (i, j), value in np.ndenumerate(matrix):
        dark = value < lowest + 0.55 * (1 - lowest)
        axis.text(
            j, i, texts[i][j], ha="center", va="center", color="w" if dark else "k", fontsize=6.5
        )
