"""Every check of every population, against its limit.

Top left: largest numerical error found, in units of what is allowed, against our own formulas and
independent codes (astropy, lenstronomy); an arrow stands for an error that is smaller, zero mostly.
Middle left: probability that drawn parameters come from their prior (Kolmogorov-Smirnov), and that
no pair of them is correlated by more than chance; below the dotted line (3 sigma) a population is
looked at, below the solid line it is refused. Bottom left: fractions of systems by number of images
against those of a complete solver, in standard deviations. Right: rules that know no exception;
filled square: no row breaks the rule, cross: one does, empty square: there was nothing to compare.
Arrows: values beyond the axis.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting

SMALLEST, LARGEST = 1e-9, 1e2  # errors beyond these shares of their limit are drawn there
FLAG, REFUSE = 0.0027, 1e-6  # p-values of 3 sigma and of a refusal
SYMBOLS = {
    "einstein_radius": "Einstein radius",
    "one_minus_q": "$1 - q$",
    "phi": r"$\phi$",
    "shear": r"$\gamma$",
    "shear_angle": r"$\phi_\gamma$",
    "slope": "slope",
    "kappa_ext": r"$\kappa_\mathrm{ext}$",
    "z_lens": r"$z_\mathrm{l}$",
    "z_source": r"$z_\mathrm{s}$",
    "h0": "$H_0$",
    "omega_m": r"$\Omega_\mathrm{m}$",
    "pairs": "correlations",
}


def plot(checks: list[str]) -> Figure:
    """Draw the checks of the populations whose ``checks.json`` are given."""
    found = {plotting.population(path): json.loads(Path(path).read_text()) for path in checks}
    panels = {"error": {}, "prior": {}, "fraction": {}, "rule": {}}
    for name, report in found.items():
        systems = next(c["value"] for c in report["checks"] if c["name"].startswith("systems in"))
        for check in report["checks"]:
            kind, value = _kind(check, systems)
            panels[kind].setdefault(check["name"], {})[name] = value

    heights = [max(len(panels[kind]), 2) + 1.2 for kind in ("error", "prior", "fraction")]
    height = 0.7 + 0.15 * max(sum(heights) + 2, len(panels["rule"]))
    figure = plt.figure(figsize=(plotting.PAGE, height))
    grid = figure.add_gridspec(3, 2, height_ratios=heights)
    errors, priors, fractions = (figure.add_subplot(grid[i, 0]) for i in range(3))
    rules = figure.add_subplot(grid[:, 1])
    offsets = dict(zip(found, np.linspace(-0.3, 0.3, len(found)), strict=True))
    _errors(errors, panels["error"], offsets)
    _priors(priors, panels["prior"], offsets)
    _fractions(fractions, panels["fraction"], offsets)
    _rules(rules, panels["rule"], list(found))
    figure.legend(
        handles=[
            Line2D([], [], color=plotting.colour(n), marker="o", ls="", label=plotting.label(n))
            for n in found
        ],
        loc="outside upper center",
        ncols=8,
        columnspacing=1.2,
        handletextpad=0.2,
    )
    black = {"color": plotting.BLACK}
    square = {"marker": "s", "ls": "", "ms": 4.5, **black}
    figure.legend(
        handles=[
            Line2D([], [], lw=0.8, label="limit: refused beyond", **black),
            Line2D([], [], lw=0.8, ls=":", label=r"3 $\sigma$: look at it", **black),
            Line2D([], [], marker="<", ls="", ms=2.6, label="beyond the axis", **black),
            Line2D([], [], label="no row breaks the rule", **square),
            Line2D([], [], mfc="none", label="nothing to compare", **square),
            Line2D([], [], label="broken", **(square | {"marker": "x", "mew": 1.8})),
        ],
        loc="outside lower center",
        ncols=6,
        columnspacing=1.2,
    )
    return figure


def _kind(check, systems):
    """Say in which panel a check belongs, and what is drawn of it."""
    name, value, limit = check["name"], check["value"], check["limit"]
    if value is None or check["passed"] is None:
        return "rule", check["passed"]
    if name.startswith("prior of") and limit == REFUSE:
        return "prior", value
    if name.startswith("fraction with"):
        return "fraction", (value - limit) / np.sqrt(limit * (1.0 - limit) / systems)
    if isinstance(limit, float) and 0.0 < limit < 1e-3:
        return "error", value / limit
    return "rule", check["passed"]


def _rows(axis, names):
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    for row in range(1, len(names)):
        axis.axhline(row - 0.5, color=plotting.LIGHT, lw=0.4, zorder=0)


def _errors(axis, rows, offsets):
    for row, values in enumerate(rows.values()):
        for name, value in values.items():
            marker = "<" if value < SMALLEST else ">" if value > LARGEST else "o"
            place = np.clip(value, SMALLEST, LARGEST)
            axis.plot(place, row + offsets[name], marker, color=plotting.colour(name), ms=2.6)
    axis.axvline(1.0, color=plotting.BLACK, lw=0.8)
    axis.set(xscale="log", xlim=(SMALLEST / 3, 3 * LARGEST), xlabel="largest error / limit")
    _rows(axis, list(rows))


def _priors(axis, rows, offsets):
    for row, values in enumerate(rows.values()):
        for name, value in values.items():
            place = max(value, REFUSE / 3)
            marker = "<" if place > value else "o"
            axis.plot(place, row + offsets[name], marker, color=plotting.colour(name), ms=2.6)
    axis.axvline(REFUSE, color=plotting.BLACK, lw=0.8)
    axis.axvline(FLAG, color=plotting.BLACK, lw=0.8, ls=":")
    axis.set(xscale="log", xlim=(REFUSE / 5, 2.0), xlabel="probability under the prior")
    _rows(axis, [_parameter(name) for name in rows])


def _fractions(axis, rows, offsets):
    rows = dict(sorted(rows.items()))
    for row, values in enumerate(rows.values()):
        for name, value in values.items():
            place = np.clip(value, -5.5, 5.5)
            marker = "<" if value < place else ">" if value > place else "o"
            axis.plot(place, row + offsets[name], marker, color=plotting.colour(name), ms=3.2)
    axis.axvline(0.0, color=plotting.GREY, lw=0.5)
    for sigma in (-3.0, 3.0):
        axis.axvline(sigma, color=plotting.BLACK, lw=0.8, ls=":")
    axis.set(xlim=(-6, 6), xlabel=r"(measured $-$ expected) / $\sigma$")
    texts = [name.removeprefix("fraction with ").replace("1 images", "1 image") for name in rows]
    _rows(axis, texts)


def _rules(axis, rows, names):
    for row, values in enumerate(rows.values()):
        for name, passed in values.items():
            colour = plotting.colour(name)
            look = {
                True: {"marker": "s", "mfc": colour},
                None: {"marker": "s", "mfc": "none"},
                False: {"marker": "x", "mew": 1.8},
            }[passed]
            axis.plot(names.index(name), row, ls="", mec=colour, ms=4.5, **({"mew": 0.8} | look))
    axis.set(xlim=(-0.8, len(names) - 0.2), xticks=[])
    _rows(axis, [f"prior: {_parameter(n)}" if n.startswith("prior of") else n for n in rows])


def _parameter(name):
    name = name.removeprefix("prior of ")
    return SYMBOLS.get(name, name.replace("_", " "))
