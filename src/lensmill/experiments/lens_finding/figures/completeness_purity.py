"""How high to set the threshold: completeness and purity, and what is left of it in a survey.

Left: share of the lenses found (solid, TPR) and share of the non-lenses rejected (dashed, TNR)
against the threshold on the score, whose axis is that of its logit. Right: purity against
completeness if one image in 1000 (solid) or in 10,000 (dashed) shows a lens, from the same rates:
the non-lenses are counted as often as a survey has them; dotted: every second candidate is a lens.
Lines end where fewer than three false positives are left, beyond which the purity of such a survey
cannot be told from these test images. The purity supposes that the survey's non-lenses are of the
kinds, and in the shares, of the test population. By default each network is trained from one seed,
for a time of its own (see `finder_history`).
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import special

from lensmill import plotting
from lensmill.experiments.lens_finding.figures import both_kinds, labelled
from lensmill.learning import classification

PREVALENCES = {1e-3: "-", 1e-4: "--"}
FEWEST = 3  # false positives that a rate is read from
SCORES = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
TEXTS = ("$10^{-3}$", "0.01", "0.1", "0.5", "0.9", "0.99", "0.999")
LOGITS = 9.0  # of the axis


def plot(predictions: list[str]) -> Figure:
    """Draw the ``predictions.h5`` of several networks on one population."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(plotting.PAGE, 2.7))
    names = []
    for path in predictions:
        table = labelled(path)
        if not both_kinds(table):
            continue  # a small run has no such systems to test on
        names.append(plotting.network(path))
        colour = plotting.colour(names[-1])
        is_lens = table["is_lens"]
        curves = classification.curves(is_lens, table["logit"])
        place = np.maximum(curves.threshold, -100.0)
        left.plot(place, curves.tpr, color=colour)
        left.plot(place, 1 - curves.fpr, color=colour, ls="--")
        enough = np.rint(curves.fpr * (is_lens != 1).sum()) >= FEWEST
        for prevalence, line in PREVALENCES.items():
            purity = classification.purity(curves.tpr[enough], curves.fpr[enough], prevalence)
            right.plot(curves.tpr[enough], purity, color=colour, ls=line)
    left.set(
        xlim=(-LOGITS, LOGITS),
        ylim=(0, 1.02),
        xlabel="threshold on the score",
        ylabel="share of lenses found, of non-lenses rejected",
    )
    left.set_xticks(special.logit(SCORES), TEXTS)
    right.set(
        yscale="log",
        ylim=(5e-5, 1.2),
        xlim=(0, 1),
        xlabel="completeness",
        ylabel="purity in a survey",
    )
    right.axhline(0.5, color=plotting.GREY, lw=0.5, ls=":")
    lines = {"color": plotting.BLACK}
    rates = [("TPR", "-"), ("TNR", "--")]
    left.legend(
        handles=[Line2D([], [], label=t, ls=ls, **lines) for t, ls in rates], loc="center left"
    )
    shares = [(f"1 in {1 / p:,.0f}", ls) for p, ls in PREVALENCES.items()]
    half = Line2D([], [], color=plotting.GREY, lw=0.5, ls=":", label="every second is a lens")
    right.legend(handles=[*(Line2D([], [], label=t, ls=ls, **lines) for t, ls in shares), half])
    figure.get_layout_engine().set(wspace=0.06)
    figure.legend(
        handles=[
            Line2D([], [], color=plotting.colour(n), label=plotting.label(n))
            for n in dict.fromkeys(names)
        ],
        loc="outside upper center",
        ncols=7,
    )
    return figure
