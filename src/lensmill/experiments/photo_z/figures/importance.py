"""What the methods need: sets of features, and bands.

Left: sigma NMAD of methods by what they are given (magnitudes; also all colours; also errors and
every other column; or the fluxes themselves), with bootstrap errors. Right: how much larger sigma
NMAD becomes when a band (flux, error and mask together, and all that is made of them) is taken
from another galaxy, as a fraction of the NMAD, on 1,000 test galaxies; bars: scatter of the
shuffles. Bands that say nearly the same cover for each other, so that small bars do not say that
a band could be left out, and a method never trained without a band does worse without it than one
that was.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.pipeline import store

SETS = {"bands": "magnitudes", "colours": "+ colours", "all": "all", "fluxes": "fluxes"}


def plot(predictions: list[str], scores: list[str]) -> Figure:
    """Draw ``scores.json`` by features, and the table ``importance`` of ``predictions.h5``."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(plotting.PAGE, 3.0), width_ratios=[1, 2])
    found = [json.loads(Path(path).read_text()) for path in scores]
    there = [name for name in SETS if any(one["features"] == name for one in found)]
    kinds = list(dict.fromkeys(one["architecture"] for one in found))
    for k, kind in enumerate(kinds):
        mine = [one for one in found if one["architecture"] == kind]
        mine.sort(key=lambda one: there.index(one["features"]))
        x = np.array([there.index(one["features"]) for one in mine], float)
        x += 0.12 * (k - (len(kinds) - 1) / 2)
        look = {"color": plotting.colour(kind), "marker": "osD^vP"[k % 6], "ms": 4, "capsize": 2}
        y, bar = (np.array([one[key] for one in mine]) for key in ("nmad", "nmad_error"))
        left.errorbar(x, y, bar, ls=":", lw=0.7, label=plotting.label(kind), **look)
    left.set_xticks(range(len(there)), [SETS[name] for name in there])
    left.set(xlim=(-0.5, len(there) - 0.5), ylabel=r"$\sigma_\mathrm{NMAD}$")
    left.set_ylim(bottom=0)

    tables = [store.read(path, "importance") for path in predictions]
    names = list(dict.fromkeys(str(name) for table in tables for name in table["name"]))
    wide = 0.8 / len(tables)
    for k, (path, table) in enumerate(zip(predictions, tables, strict=True)):
        network = plotting.network(path)
        scale = next(one["nmad"] for one in found if one["network"] == network)
        y = np.array([names.index(str(name)) for name in table["name"]])
        y = y + wide * (k - (len(tables) - 1) / 2)
        value, bar = table["increase"] / scale, table["scatter"] / scale
        colour = plotting.colour(network)
        error = {"error_kw": {"lw": 0.6}}
        right.barh(y, value, wide, xerr=bar, color=colour, label=plotting.label(network), **error)
    right.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    right.invert_yaxis()
    right.set_xscale("symlog", linthresh=0.1)
    right.axvline(0, color=plotting.BLACK, lw=0.5)
    right.set_xlabel("increase of the NMAD, as a fraction of it")
    # colours are the same on both sides, but a method may be on one alone
    plotting.add_legend(figure, [left, right])
    return figure
