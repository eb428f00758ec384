"""Where the truth is known: Hubble constants recovered from the lens modelling challenge.

Rungs 0 and 1 of the Time Delay Lens Modelling Challenge (Ding et al. 2021): simulated lenses whose
truth was opened after the challenge; H0 over the true one, medians and 68 % intervals. Circles:
exact posteriors under the prior of the family; open and red: outside the family or the prior by our
test. Diamonds: the same quads with the population of the others as prior. Squares: all together,
under the prior of the family, and answering for their population. The lenses of the challenge are
rounder, less sheared and shallower than the prior, which alone raises H0; its sources lie nearer to
the middle. Positions and delays are without noise, so the errors are overstated.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.time_delay import verdicts

ROWS = {"quads": "quads, their population", "quads_and_doubles": "all, their population"}


def plot(systems: str, summary: str, population: str) -> Figure:
    """Draw ``systems.ecsv`` with the values in ``hubble.json`` and ``population.json``."""
    table = Table.read(systems)
    table = table[np.lexsort((table["name"], -table["n_images"]))]
    found = json.loads(Path(summary).read_text())
    sets = json.loads(Path(population).read_text())["combined"]
    n = len(table)
    figure, axis = plt.subplots(figsize=(plotting.COLUMN * 1.25, 1.5 + 0.17 * n))
    axis.axvline(1.0, color=plotting.BLACK, lw=0.6)
    each = sets["quads"].get("h0_of_each", {})
    for row, system in enumerate(table):
        truth = float(system["h0_true"])
        outside = str(system["verdict"]) in verdicts.UNUSABLE
        colour = plotting.VERMILION if outside else plotting.BLUE
        style = {"color": colour, "fillstyle": "none" if outside else "full", "mew": 0.8}
        values = [float(system[name]) / truth for name in ("h0_low68", "h0", "h0_high68")]
        _draw(axis, row - 0.15, values, "o", ms=4, **style)
        if system["name"] in each:
            _draw(axis, row + 0.2, _over_truth(each[system["name"]]), "D", ms=3, **POPULATION)
    rows = {f"all ({len(found['combined']['usable']['systems'])})": found["combined"]["usable"]}
    rows |= {f"{text} ({len(sets[name]['systems'])})": sets[name] for name, text in ROWS.items()}
    places = [n + 0.4 + 1.1 * i for i in range(len(rows))]
    for place, values in zip(places, rows.values(), strict=True):
        if values.get("h0_over_truth") is None:
            continue
        low, middle, high = _over_truth(values)
        _draw(axis, place, (low, middle, high), "s", ms=4, color=plotting.BLACK, lw=2.0)
        text = f"{middle:.3f}$^{{+{high - middle:.3f}}}_{{-{middle - low:.3f}}}$"
        axis.text(1.68, place, text, ha="right", va="center")
    axis.axhline(n - 0.4, color=plotting.BLACK, lw=0.6)
    axis.axhline(np.count_nonzero(table["n_images"] > 2) - 0.5, color=plotting.GREY, lw=0.5)
    names = [str(name).replace("_", " ").replace("seed", "system ") for name in table["name"]]
    axis.set_yticks([*range(n), *places], [*names, *rows])
    axis.tick_params(axis="y", length=0)
    axis.set(xlabel=r"$H_0$ / true $H_0$", xlim=(0.5, 1.7), ylim=(places[-1] + 0.8, -0.8))
    axis.set_title(_scores(found["accuracy"]["all"], sets["quads"]), fontsize=6.5)
    figure.legend(handles=_legend(), loc="outside upper center", ncols=2, columnspacing=1.2)
    return figure


POPULATION = {"color": plotting.GREEN, "mew": 0.8}


def _draw(axis, row, values, marker, color, lw=1.0, **style):
    low, middle, high = values
    axis.plot([low, high], [row, row], color=color, lw=lw)
    axis.plot(middle, row, marker, color=color, **style)


def _over_truth(values):
    return [values[f"h0{end}_over_truth"] for end in ("_low68", "", "_high68")]


def _scores(prior, quads):
    """Say how single systems do under both priors."""
    text = "single systems: mean error {A:+.3f}, 68 % intervals hold {held:.0f} %"
    lines = ["family's prior, " + text.format(A=prior["A"], held=100 * prior["coverage68"])]
    if "accuracy" in quads:
        score = quads["accuracy"]["all"]
        held = 100 * score["coverage68"]
        lines.append("quads, their population, " + text.format(A=score["A"], held=held))
    return "\n".join(lines)


def _legend():
    circle = {"marker": "o", "ms": 4, "mew": 0.8, "lw": 1.0}
    outside = {"color": plotting.VERMILION, "fillstyle": "none"}
    return [
        Line2D([], [], color=plotting.BLUE, label="prior of the family", **circle),
        Line2D([], [], label="do not use", **circle, **outside),
        Line2D([], [], marker="D", ms=3, lw=1.0, label="population of the others", **POPULATION),
        Line2D([], [], color=plotting.BLACK, marker="s", ms=4, lw=2.0, label="together"),
    ]
