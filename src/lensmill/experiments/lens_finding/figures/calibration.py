"""Is a score a probability? In the test set, and re-calibrated to a survey.

Left: share of lenses among test systems of a claimed probability, in bins of equal width, with
binomial errors (68 %); on the diagonal the claims come true. The legend gives the expected
calibration error. Middle: how the scores are distributed, lenses solid and non-lenses dashed.
Right: the same for a survey in which one image in 1000 shows a lens: logits are shifted by the
change of the prior odds (from that of the training set), and test systems weighted to the survey.
Bins are drawn where there are at least five lenses and five non-lenses. By default each network is
trained from one seed, for a time of its own (see `finder_history`).
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import special

from lensmill import plotting
from lensmill.experiments.lens_finding.figures import both_kinds, labelled
from lensmill.learning import classification
from lensmill.pipeline import store

BINS = 10
PREVALENCE = 1e-3
SURVEY_BINS = np.geomspace(1e-6, 1.0, 13)
FEWEST = 5


def plot(predictions: list[str]) -> Figure:
    """Draw the ``predictions.h5`` of several networks on one population."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(plotting.PAGE, 2.5))
    names = [plotting.network(path) for path in predictions]
    styles = plotting.styles(names)
    for path, name in zip(predictions, names, strict=True):
        table = labelled(path)
        if not both_kinds(table):
            continue  # a small run has no such systems to test on
        is_lens, score, look = table["is_lens"], table["score"], styles[name]
        found = classification.reliability(is_lens, score, BINS)
        error = classification.expected_calibration_error(is_lens, score, BINS)
        bars = [found.fraction - found.low, found.high - found.fraction]
        text = f"{plotting.label(name)}  {error:.3f}"
        left.errorbar(found.claimed, found.fraction, bars, marker="o", ms=2.5, label=text, **look)
        for kind, line in ((1, "-"), (0, "--")):
            density, edges = np.histogram(score[is_lens == kind], 20, (0, 1))
            middle.stairs(density / max(density.sum(), 1), edges, color=look["color"], ls=line)
        trained_at = float(store.attributes(path)["train_prevalence"])
        logit = classification.shift_logit(table["logit"], PREVALENCE, trained_at)
        right.plot(*_survey(is_lens == 1, logit), "o", ms=3, **{**look, "ls": "-"})
    for axis, low in ((left, 0.0), (right, SURVEY_BINS[0])):
        axis.plot([low, 1], [low, 1], color=plotting.BLACK, lw=0.5, zorder=0)
    left.set(xlim=(0, 1), ylim=(0, 1), xlabel="claimed probability", ylabel="share of lenses")
    middle.set(xlim=(0, 1), yscale="log", ylim=(1e-3, 1.2))
    middle.set(xlabel="score", ylabel="share of systems")
    black = {"color": plotting.BLACK, "lw": 0.8}
    kinds = (("lenses", "-"), ("non-lenses", "--"))
    middle.legend(
        handles=[Line2D([], [], label=text, ls=line, **black) for text, line in kinds],
        loc="upper center",
    )
    limits = (SURVEY_BINS[0], 1)
    right.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
    right.set(xlabel="claimed probability, survey", ylabel="share of lenses, survey")
    if left.get_legend_handles_labels()[0]:
        handles, _ = left.get_legend_handles_labels()
        handles.append(Line2D([], [], color=plotting.BLACK, lw=0.5, label="calibrated"))
        title = {"title": "expected calibration error", "title_fontsize": 7}
        figure.legend(handles=handles, loc="outside upper center", ncols=5, **title)
    return figure


def _survey(lens, logit):
    """Return claimed probabilities and shares of lenses where lenses are rare."""
    claimed = special.expit(logit)
    weight = np.where(lens, PREVALENCE / lens.sum(), (1 - PREVALENCE) / (~lens).sum())
    bins = {"x": claimed, "bins": SURVEY_BINS}
    lenses, others = (np.histogram(claimed[of], SURVEY_BINS)[0] for of in (lens, ~lens))
    enough = (lenses >= FEWEST) & (others >= FEWEST)
    total = _sum(weight, **bins)[enough]
    return _sum(weight * claimed, **bins)[enough] / total, _sum(weight * lens, **bins)[
        enough
    ] / total


def _sum(values, x, bins):
    return np.histogram(x, bins, weights=values)[0]
