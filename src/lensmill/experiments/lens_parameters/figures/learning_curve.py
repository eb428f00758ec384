"""What more systems to learn from are worth, and what an ensemble is.

Against the number of training systems, from left to right: scatter of the Einstein radius and of
the slope (half of the central 68 % of the relative errors), the continuous ranked probability score
over that of the prior, mean over all parameters, and the width of the posteriors over that of the
prior, likewise. Dots: networks of one seed, the line goes through their mean; open squares: the
ensembles of several seeds. Dashed: one who answers with the mean of the prior. Where curves still
fall, data are what is lacking.
"""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.lens_parameters.parameters import PARAMETERS

PANELS = (
    r"scatter of $\theta_\mathrm{E}$ [%]",
    "scatter of the slope [%]",
    "CRPS / prior",
    "width / prior",
)
OF = re.compile(r"_of_\d+$")  # how a network with fewer systems is called


def plot(scores: list[str]) -> Figure:
    """Draw the ``scores.json`` of networks on the populations that they learned from."""
    figure, axes = plt.subplots(1, 4, figsize=(plotting.PAGE, 2.4))
    curves = {}
    for path in scores:
        name = OF.sub("", plotting.family(plotting.network(path)))
        ensemble = "_ensemble" in plotting.network(path)
        found = json.loads(Path(path).read_text())
        curves.setdefault(name, {True: [], False: []})[ensemble].append(found)
    looks = plotting.styles([*curves])
    for name, kinds in curves.items():
        for ensemble, several in kinds.items():
            x = np.array([found["train_systems"] for found in several])
            y = np.array([_numbers(found) for found in several]).reshape(len(several), len(PANELS))
            for axis, values in zip(axes, y.T, strict=True):
                _curve(axis, x, values, looks[name], ensemble)
        alone = next(found for several in kinds.values() for found in several)
        for axis, value in zip(axes, _prior(alone), strict=True):
            axis.axhline(value, **{**looks[name], "ls": "--"}, lw=0.7, zorder=0)
    sizes = [
        found["train_systems"]
        for kinds in curves.values()
        for several in kinds.values()
        for found in several
    ]
    for axis, text in zip(axes, PANELS, strict=True):
        # of a panel too in which nothing is known
        axis.set(xscale="log", xlim=(0.7 * min(sizes), 1.4 * max(sizes)))
        axis.set(ylim=(0, 1.05 * axis.get_ylim()[1]), ylabel=text)
    figure.supxlabel("training systems", fontsize=8)
    figure.get_layout_engine().set(wspace=0.04)
    figure.legend(handles=_keys(looks), loc="outside upper center", ncols=5)
    return figure


def _curve(axis, x, y, look, ensemble):
    """Draw one network at several numbers of systems."""
    style = {"marker": "s", "ms": 5, "mfc": "none"} if ensemble else {"marker": "o", "ms": 2.5}
    axis.plot(x, y, **{**look, "ls": ""}, **style)
    if not ensemble and x.size:
        sizes = np.unique(x)
        axis.plot(sizes, [y[x == size].mean() for size in sizes], lw=0.9, **look)


def _numbers(found):
    """Return the number of each panel; nan where it is not known."""
    targets, judged = found["targets"], found["calibration"].get("targets", {})
    relative = [
        100 * targets[name]["relative_scatter"] if targets[name] else np.nan
        for name in ("theta_e", "slope")
    ]
    crps = [judged[name]["crps_over_prior"] for name in PARAMETERS if name in judged]
    width = [targets[name]["width_over_prior"] for name in PARAMETERS if targets[name]]
    return [*relative, _mean(crps), _mean(width)]


def _prior(found):
    """Return the number of each panel for one who answers with the prior."""
    targets = found["targets"]
    return [
        *(
            100 * targets[name]["relative_prior_scatter"] if targets[name] else np.nan
            for name in ("theta_e", "slope")
        ),
        *(1.0, 1.0),
    ]


def _mean(values):
    known = [value for value in values if value is not None]
    return np.mean(known) if known else np.nan


def _keys(looks):
    black = {"color": plotting.BLACK}
    return [
        *(Line2D([], [], label=plotting.label(name), **look) for name, look in looks.items()),
        Line2D([], [], marker="o", ms=2.5, ls="", label="one seed", **black),
        Line2D([], [], marker="s", ms=5, ls="", mfc="none", label="ensemble", **black),
        Line2D([], [], ls="--", lw=0.7, label="prior alone", **black),
    ]
