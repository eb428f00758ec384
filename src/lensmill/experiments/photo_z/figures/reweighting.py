"""A bright spectroscopic sample, weighted to a fainter photometric one.

Left: magnitudes of the spectroscopic test galaxies, as they are and weighted by nearest
neighbours (Lima et al. 2008), and of the photometric sample. Middle: redshifts of both, weighted
likewise: here the truth of the photometric sample is known, so the weights can be judged. Right:
sigma NMAD of the method on the spectroscopic sample, what the weighted sample promises for the
photometric one, and what is found there; bars are bootstrap errors. The effective sample size
says for how many galaxies the weighted ones count; photometric galaxies that no spectroscopic one
represents have no part in what is promised, whatever their weights.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.pipeline import store

BINS = 24


def plot(predictions: list[str], scores: list[str]) -> Figure:
    """Draw ``predictions.h5`` and ``scores.json`` of one method: spectroscopic, photometric."""
    bright, faint = (store.read(path, "systems") for path in predictions)
    ours, theirs = (json.loads(Path(path).read_text()) for path in scores)
    figure, axes = plt.subplots(1, 3, figsize=(plotting.PAGE, 2.6), width_ratios=[1.2, 1.2, 1])
    names = [plotting.population(path) for path in predictions]
    for axis, key in zip(axes, ("magnitude", "redshift"), strict=False):
        seen = [t[key][(t["redshift_known"] == 1) & (t["magnitude"] < 99)] for t in (bright, faint)]
        low, high = np.quantile(np.concatenate(seen), [0.002, 0.998])
        edges = np.linspace(low, high, BINS + 1)
        chosen = (bright["redshift_known"] == 1) & (bright["magnitude"] < 99)
        weight = bright["weight"][chosen]
        black, blue = plotting.colour(names[0]), plotting.colour(names[1])
        parts = (
            (seen[0], None, {"color": black, "ls": ":", "label": plotting.label(names[0])}),
            (seen[0], weight, {"color": black, "label": "the same, weighted"}),
            (seen[1], None, {"color": blue, "label": plotting.label(names[1])}),
        )
        for values, by, look in parts:
            counts, _ = np.histogram(values, edges, weights=by, density=True)
            axis.stairs(counts, edges, lw=1.2, **look)
    axes[0].set(xlabel=f"{ours['reference'].replace('_', ' ')} [AB mag]", ylabel="density")
    axes[1].set_xlabel("redshift")
    weighted = ours["reweighted"]
    marks = (
        ("as it is", ours, plotting.colour(names[0]), "o"),
        ("weighted:\npromised", weighted, plotting.colour(names[0]), "s"),
        ("found", theirs, plotting.colour(names[1]), "D"),
    )
    for x, (_, numbers, colour, marker) in enumerate(marks):
        look = {"color": colour, "marker": marker, "ms": 5, "capsize": 2}
        axes[2].errorbar(x, numbers["nmad"], numbers["nmad_error"], **look)
    axes[2].set_xticks(range(3), [mark[0] for mark in marks])
    axes[2].set(xlim=(-0.5, 2.5), ylabel=r"$\sigma_\mathrm{NMAD}$")
    axes[2].set_ylim(bottom=0)
    text = (
        f"{ours['known']:,} galaxies count for {weighted['effective_systems']:,.0f};\n"
        f"{100 * weighted['unrepresented']:.0f} % not represented"
    )
    axes[2].text(0.5, 0.05, text, transform=axes[2].transAxes, ha="center", fontsize=6)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    return figure
