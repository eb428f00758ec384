"""Trained on one family of lenses, tested on four: the gap between families is the real error.

All networks are trained on SIS + shear alone. Columns 1 and 2: share of images whose error of
potential or deflection is larger than the value on the axis, for noise-free data, by population.
Column 3: errors of ln D_dt of the networks trained with measurement errors and a free Hubble
constant; triangles are medians, and what lies beyond the axis is in its first and last bin. Top:
doubles. Bottom: quads. Dotted: the dense network of the study we follow, on its own population.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lensmill import plotting
from lensmill.pipeline import store

ROWS = ("doubles", "quads")
RANGE = (1e-6, 3.0)  # of errors shown [arcsec or arcsec^2]
BINS = np.linspace(-0.5, 1.0, 61)  # of ln D_dt; errors beyond are in the last bin


def plot(
    doubles: list[str],
    quads: list[str],
    dense_doubles: str,
    dense_quads: str,
    doubles_distance: list[str],
    quads_distance: list[str],
) -> Figure:
    """Draw the errors in the ``predictions.h5`` of one network on several populations."""
    figure, axes = plt.subplots(2, 3, figsize=(plotting.PAGE, 4.2), sharex="col")
    images = zip(axes, ROWS, (doubles, quads), (dense_doubles, dense_quads), strict=True)
    for row, name, paths, dense in images:
        for path in paths:
            for axis, errors in zip(row, _image_errors(path), strict=False):
                _tail(axis, errors, color=plotting.colour(plotting.population(path)))
        for axis, errors in zip(row, _image_errors(dense), strict=False):
            _tail(axis, errors, color=plotting.BLACK, ls=":")
        row[0].set_ylabel(f"{name}: share with larger error")
        for axis in row[:2]:
            axis.set(xscale="log", xlim=RANGE, ylim=(0, 1))
    for axis, paths in zip(axes[:, 2], (doubles_distance, quads_distance), strict=True):
        for path in paths:
            _distance(axis, path)
        axis.axvline(0, color=plotting.BLACK, lw=0.5, zorder=0)
        axis.set(xlim=(BINS[0], BINS[-1]), ylim=(0, None), yticks=[], ylabel="density")
        axis.set_xticks([-0.5, 0.0, 0.5, 1.0], [r"$\leq\!-0.5$", "0", "0.5", r"$\geq\!1$"])
        for first in (BINS[0], BINS[-2]):  # bins of what lies beyond
            axis.axvspan(first, first + BINS[1] - BINS[0], color=plotting.LIGHT, lw=0, zorder=-1)
    axes[1, 0].set_xlabel(r"error of $\psi$ [arcsec$^2$]")
    axes[1, 1].set_xlabel(r"error of $\alpha$ [arcsec]")
    axes[1, 2].set_xlabel(r"error of $\ln D_{\Delta t}$")
    names = list(dict.fromkeys(map(plotting.population, (*doubles, *quads))))
    names += [n for n in map(plotting.population, quads_distance) if n not in names]
    handles = [Line2D([], [], color=plotting.colour(n), label=plotting.label(n)) for n in names]
    handles.append(Line2D([], [], color="k", ls=":", label="dense network, SIS + shear"))
    median = {"marker": "^", "ls": "", "color": "k", "ms": 4, "mec": "w", "mew": 0.4}
    handles.append(Line2D([], [], label="median", **median))
    handles.append(Patch(color=plotting.LIGHT, lw=0, label="beyond the axis"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4, columnspacing=1.2)
    return figure


def _image_errors(path):
    """Return the errors of potential and deflection (its length) at all images."""
    names = ("potential", "deflection_x", "deflection_y")
    table = store.read(path, "images", [*names, *(f"{name}_predicted" for name in names)])
    potential, x, y = (table[f"{name}_predicted"] - table[name] for name in names)
    return np.abs(potential), np.hypot(x, y)


def _tail(axis, errors, **style):
    ordered = np.sort(errors)
    step = max(1, ordered.size // 2000)
    share = 1.0 - np.arange(ordered.size) / max(1, ordered.size)
    axis.plot(np.maximum(ordered[::step], 1e-12), share[::step], **style)


def _distance(axis, path):
    table = store.read(path, "systems", ("d_dt", "d_dt_median"))
    error = np.log(table["d_dt_median"] / table["d_dt"])
    if not error.size:
        return  # a small run has no such systems to test on
    density, _ = np.histogram(np.clip(error, BINS[0], BINS[-1]), BINS)
    colour = plotting.colour(plotting.population(path))
    axis.stairs(density / error.size, BINS, color=colour)
    place = {"transform": axis.get_xaxis_transform()}
    axis.plot(np.median(error), 0.03, "^", color=colour, ms=4, mec="w", mew=0.4, **place)
