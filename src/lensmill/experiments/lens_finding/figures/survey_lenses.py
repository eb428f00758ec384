"""Mock-trained, and then the real sky: how networks score real images.

For each network, first the mock test systems that it was not trained on, lenses (blue) and non-
lenses (grey). Below them, by set of real images: known lenses (blue), images known to show none
(grey) and images that nobody has labelled (open). The line is the threshold that lets 1 % of the
mock non-lenses through; written are the completeness there, or the rate of false positives, with 68
% intervals, the scatter of the threshold included. This is no measurement of a survey's
completeness: real lens galaxies, arcs, noise and defects differ from the mocks, known lenses are
the ones that were easy to find, sets come with their own pixels and point-spread functions, and a
score far from both mock classes means an image unlike all that the network has seen.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.experiments.lens_finding.figures import labelled
from lensmill.learning import classification
from lensmill.pipeline import store

BINS = np.linspace(-12, 12, 49)  # of the logit; what is beyond is in the last bin
LENS, OTHER = plotting.BLUE, plotting.GREY
FPR = 0.01


def plot(mocks: list[str], real: list[str]) -> Figure:
    """Draw the ``predictions.h5`` of networks on their mocks, and of the same on real images."""
    paths, limits = [], []
    for own in mocks:
        judged = [own] + [path for path in real if plotting.network(path) == plotting.network(own)]
        paths += judged
        limits += [_limit(own)] * len(judged)
    if missing := set(real) - set(paths):
        raise ValueError(
            f"{', '.join(sorted(missing))}: without predictions of the same network on mocks there "
            "is no threshold; add them to 'mocks' of this figure"
        )
    figure, axes = plt.subplots(
        len(paths), 1, figsize=(plotting.COLUMN * 1.5, 0.7 + 0.72 * len(paths)), sharex=True,
        squeeze=False,
    )  # fmt: skip
    unlabelled = False
    for axis, path, (limit, possible) in zip(axes[:, 0], paths, limits, strict=True):
        table = store.read(path, "systems")
        logit, known = table["logit"], table["label_known"] == 1
        lens = known & (table["is_lens"] == 1)
        other = known & ~lens
        texts = []
        for of, colour, name in ((other, OTHER, "FPR"), (lens, LENS, "TPR")):
            if of.any():
                _step(axis, logit[of], color=colour, fill=True, alpha=0.45)
                set_by_these = path in mocks and name == "FPR"
                texts.append(_rate(name, logit[of], limit, None if set_by_these else possible))
        if (~known).any():
            _step(axis, logit[~known], color=plotting.BLACK, lw=0.8)
            texts.append(_rate("above", logit[~known], limit, possible))
            unlabelled = True
        name = plotting.label(plotting.population(path))
        numbers = [f"{of.sum():,}" for of in (lens, other, ~known) if of.any()]
        axis.text(0.01, 0.94, f"{name} ({' + '.join(numbers)})", transform=axis.transAxes, va="top")
        place = {"transform": axis.transAxes, "va": "top", "ha": "right"}
        axis.text(0.99, 0.94, "\n".join(filter(None, texts)), **place)
        if np.isfinite(limit):
            axis.axvline(limit, color=plotting.VERMILION, lw=0.8)
        axis.set(yticks=[], ylim=(0, axis.get_ylim()[1] * 1.35))
    axes[-1, 0].set(xlabel="logit", xlim=(BINS[0], BINS[-1]))
    figure.supylabel("density", fontsize=8)
    marks = [("lenses", LENS, 0.45), ("non-lenses", OTHER, 0.45)]
    handles = [Line2D([], [], color=c, lw=5, alpha=a, label=t) for t, c, a in marks]
    if unlabelled:
        handles.append(Line2D([], [], color=plotting.BLACK, lw=0.8, label="not labelled"))
    handles.append(Line2D([], [], color=plotting.VERMILION, lw=0.8, label="FPR = 1 % of the mocks"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure


def _step(axis, logit, **look):
    counts, _ = np.histogram(np.clip(logit, BINS[0], BINS[-1]), BINS)
    axis.stairs(counts / counts.sum(), BINS, **look)


def _limit(mocks):
    """Return the threshold that mocks have set, and what else it might be."""
    facts, table = store.attributes(mocks), labelled(mocks)
    possible = None
    if facts["threshold_from"] == "own":
        ours = table["is_lens"], table["logit"]
        possible = classification.thresholds(*ours, classification.allowed(ours[0], FPR))
    return float(facts["threshold"]), possible


def _rate(name, logit, limit, possible):
    """Write the share above the threshold with its interval."""
    if not np.isfinite(limit):
        return ""
    rate = classification.above(logit, limit, possible)
    return f"{name} {rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"
