"""The Hubble constant from real lensed quasars: of each system, and of all together.

Medians and 68 % intervals of exact posteriors. Filled circles: systems that the family of lenses
reproduces; half filled: systems that the test could hardly have failed (doubles above all); green:
the distance alone lies at the edge of the prior; open and red: outside the family or the prior, do
not use. A dagger marks systems known to be more complex than one galaxy with shear. Below the line:
all but those not to be used, under the prior of the family, with and without the complex ones; and
quads that answer for their population. Grey: the prior, within which all values are. Bands, for
orientation: Planck Collaboration (2020) and Riess et al. (2022). This shows the chain at work on
real data, not a measurement to quote: on the challenge's mocks, whose truth is known, it does what
is written in the figure; the errors leave out the mass-sheet degeneracy, companions and lines of
sight.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from astropy.table import Table, vstack
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lensmill import plotting
from lensmill.experiments.time_delay import verdicts
from lensmill.pipeline.priors import ends

# by `verdicts.key`: how a circle is filled, and its colour
STYLE = {
    "inside": ("full", plotting.BLUE),
    "cannot": ("left", plotting.BLUE),
    "at": ("full", plotting.GREEN),
    "unusable": ("none", plotting.VERMILION),
}
REFERENCES = {  # name: value, error [km / (Mpc s)]
    "Planck": (67.4, 0.5, plotting.SKY),  # Planck Collaboration 2020, A&A 641, A6
    "Cepheids": (73.04, 1.04, plotting.ORANGE),  # Riess et al. 2022, ApJ 934, L7
}
COMBINED = {"usable": "usable", "usable_without_complex": r"usable, without $\dagger$"}
POPULATION = {
    "quads": "quads, their population",
    "quads_without_complex": r"quads, without $\dagger$, theirs",
}
MARGIN = 0.35  # beside the prior, in parts of its range


def plot(systems: list[str], summary: str, population: str, mocks: str) -> Figure:
    """Draw the tables ``systems.ecsv`` and the combined values.

    These are in ``summary`` (hubble.json) and ``population`` (population.json); ``mocks`` is the
    ``population.json`` of systems whose truth is known.
    """
    tables = [Table.read(path) for path in systems]
    table = vstack(tables, metadata_conflicts="silent") if len(tables) > 1 else tables[0]
    table = table[~np.ma.getmaskarray(np.ma.asarray(table["h0"]))]
    table = table[np.lexsort((table["name"], -table["n_images"]))]
    found = json.loads(Path(summary).read_text())
    n = len(table)
    low, high = ends(found["prior"]["h0"])
    left, right = low - MARGIN * (high - low), high + MARGIN * (high - low)
    figure, axis = plt.subplots(figsize=(plotting.COLUMN * 1.25, 1.6 + 0.155 * n))
    for name, (value, error, colour) in REFERENCES.items():
        axis.axvspan(value - error, value + error, color=colour, alpha=0.6, lw=0, zorder=0)
        side, shift = ("right", -1) if value < 70 else ("left", 1)
        place = value + shift * 2
        axis.text(place, -1.1, name, fontsize=6.5, color="k", ha=side, va="center")
    axis.axvspan(low, high, color=plotting.LIGHT, alpha=0.4, lw=0, zorder=-1)
    for row, system in enumerate(table):
        verdict = verdicts.key(str(system["verdict"]))
        fill, colour = STYLE.get(verdict, STYLE["inside"])
        axis.plot([system["h0_low68"], system["h0_high68"]], [row, row], color=colour, lw=1.0)
        style = {"fillstyle": fill, "markerfacecoloralt": "w"}
        axis.plot(system["h0"], row, "o", color=colour, ms=4.2, mew=0.8, **style)
    sets = json.loads(Path(population).read_text())["combined"]
    shown = {text: found["combined"][name] for name, text in COMBINED.items()}
    shown |= {text: sets[name] for name, text in POPULATION.items()}
    places = [n + 0.7 + 1.3 * i for i in range(len(shown))]
    for row, values in zip(places, shown.values(), strict=True):
        if "refused" in values:
            axis.text(
                right - 4, row, "contradict each other", ha="right", va="center", fontsize=6.5
            )
        if values.get("h0") is not None:
            interval = [values["h0_low68"], values["h0_high68"]]
            axis.plot(interval, [row, row], color=plotting.BLACK, lw=2.0)
            axis.plot(values["h0"], row, "s", color=plotting.BLACK, ms=4)
            up, down = interval[1] - values["h0"], values["h0"] - interval[0]
            text = f"{values['h0']:.1f}$^{{+{up:.1f}}}_{{-{down:.1f}}}$"
            axis.text(right - 4, row, text, ha="right", va="center")
    axis.axhline(n - 0.2, color=plotting.BLACK, lw=0.6)
    axis.axhline(np.count_nonzero(table["n_images"] > 2) - 0.5, color=plotting.GREY, lw=0.5)
    names = [str(s["name"]) + (r" $\dagger$" if s["complex"] else "") for s in table]
    texts = [f"{text} ({len(values['systems'])})" for text, values in shown.items()]
    axis.set_yticks([*range(n), *places], names + texts)
    axis.tick_params(axis="y", length=0)
    axis.set(
        xlabel=r"$H_0$ [km s$^{-1}$ Mpc$^{-1}$]",
        xlim=(left, right),
        ylim=(places[-1] + 0.9, -1.7),
    )
    axis.set_title(_truth(json.loads(Path(mocks).read_text())), fontsize=6.5)
    figure.legend(handles=_legend(), loc="outside upper center", ncols=2)
    return figure


def _truth(found: dict) -> str:
    """Say how the same does where the truth is known."""
    quads = found["combined"]["quads"]
    if "accuracy" not in quads:
        return "Known truth: too few quads to answer for their population"
    held = 100 * quads["accuracy"]["all"]["coverage68"]
    return (
        f"Known truth ({len(quads['systems'])} quads of the TDLMC, their population): together "
        f"{quads['h0_over_truth']:.2f} of it,\nthe 68 % intervals of single quads hold {held:.0f} %"
    )


def _legend():
    texts = {
        "inside": "family reproduces it",
        "cannot": "hardly testable",
        "at": "at the edge of the prior",
        "unusable": "do not use",
    }
    handles = []
    for verdict, text in texts.items():
        fill, colour = STYLE[verdict]
        style = {"fillstyle": fill, "markerfacecoloralt": "w", "mew": 0.8, "ms": 4.2}
        handles.append(Line2D([], [], marker="o", color=colour, lw=1.0, label=text, **style))
    square = {"marker": "s", "color": plotting.BLACK, "ms": 4}
    return [
        *handles,
        Line2D([], [], lw=2.0, label="all together", **square),
        Patch(color=plotting.LIGHT, alpha=0.4, lw=0, label="range of the prior"),
        Line2D(
            [],
            [],
            ls="",
            color=plotting.BLACK,
            marker=r"$\dagger$",
            ms=6,
            mew=0,
            label="complex lens",
        ),
    ]
