"""Whether the interval of the combined Hubble constant holds the truth as often as it claims.

Many universes, each with a Hubble constant from the prior of the answer and its own systems from
the population that the networks were trained on, observed like it: they go through networks and
combination as real ones do. Left: what is found against the truth, with 68 % intervals. Middle: how
often the truth lies inside a central interval less the probability that it claims; above zero the
errors are too large. Right: where the truth falls in its posterior. Grey: where calibrated answers
would lie with a probability of 95 % at every point. So the chain is right about its own population;
whether real lenses are that population is another question, which figure tdlmc answers.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom

from lensmill import plotting
from lensmill.pipeline.priors import ends

LEVELS = np.linspace(0.02, 0.98, 49)
BINS = np.linspace(0.0, 1.0, 11)
BAND = [0.025, 0.975]


def plot(universes: str) -> Figure:
    """Draw ``universes.json``."""
    found = json.loads(Path(universes).read_text())
    each = found["universes"]
    n = len(each)
    truth = np.array([one["h0"] for one in each])
    middle, low, high, rank = (
        np.array([one["usable"][name] for one in each])
        for name in ("h0", "low68", "high68", "rank")
    )
    figure, (left, zoom, ranks) = plt.subplots(1, 3, figsize=(plotting.PAGE, 2.5))
    limits = ends(found["prior"]["h0"])
    left.errorbar(
        truth, middle, [middle - low, high - middle], fmt="o", ms=1.5, lw=0.4, color=plotting.BLUE
    )
    left.plot(limits, limits, color=plotting.BLACK, lw=0.5, zorder=3)
    left.set(
        xlim=limits,
        ylim=limits,
        xlabel=r"true $H_0$ [km s$^{-1}$ Mpc$^{-1}$]",
        ylabel=r"recovered $H_0$ [km s$^{-1}$ Mpc$^{-1}$]",
    )
    covered = np.searchsorted(np.sort(np.abs(2 * rank - 1)), LEVELS) / n
    band = [binom.ppf(q, n, LEVELS) / n - LEVELS for q in BAND]
    zoom.fill_between(LEVELS, *band, color=plotting.LIGHT, lw=0)
    zoom.axhline(0, color=plotting.BLACK, lw=0.5)
    zoom.plot(LEVELS, covered - LEVELS, color=plotting.BLUE)
    scores = found["usable"]
    text = f"{n} universes, {found['systems']} systems each\n" + "\n".join(
        f"{level} % interval: {100 * scores[f'coverage{level}']:.0f} %" for level in (68, 95)
    )
    zoom.text(0.04, 0.96, text, transform=zoom.transAxes, va="top", fontsize=6.5)
    limit = max(0.15, 1.1 * np.abs(covered - LEVELS).max())
    zoom.set(
        xlim=(0, 1),
        ylim=(-limit, limit),
        xlabel="claimed probability",
        ylabel=r"coverage $-$ claimed",
    )
    counts, _ = np.histogram(rank, BINS)
    share = np.diff(BINS)[0]
    ranks.fill_between([0, 1], *(binom.ppf(q, n, share) for q in BAND), color=plotting.LIGHT, lw=0)
    ranks.axhline(n * share, color=plotting.BLACK, lw=0.5)
    ranks.stairs(counts, BINS, color=plotting.BLUE)
    ranks.set(xlim=(0, 1), ylim=(0, None), xlabel="rank of the truth", ylabel="universes")
    return figure
