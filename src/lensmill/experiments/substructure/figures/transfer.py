"""Networks that learned from one population, asked about others.

Left: macro AUROC, the mean over the three classes of each against all others, by population that
the network learned from (rows) and population that the test images are of (columns), with its
standard error (bootstrap); a guess has 0.5. Where a population lacks a class, the mean is of the
others. Empty: not asked. Right, likewise: AUROC of any substructure against none by the one-class
score, which is the distance of an image, in what the network sees before its answer, from training
images without substructure.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting


def plot(scores: list[str]) -> Figure:
    """Draw the AUROCs in ``scores.json`` of networks that name classes."""
    found = [json.loads(Path(path).read_text()) for path in scores]
    rows, columns = (
        list(dict.fromkeys(one[key] for one in found)) for key in ("train_on", "population")
    )
    width = min(plotting.PAGE, 1.4 + 2 * 0.75 * len(columns))
    figure, axes = plt.subplots(1, 2, figsize=(width + 0.8, 1.2 + 0.5 * len(rows)), sharey=True)
    texts = ("three classes", "one-class score")
    for axis, key, text in zip(axes, ("auroc", "one_class_auroc"), texts, strict=True):
        image = np.full((len(rows), len(columns)), np.nan)
        for one in found:
            value = one.get(key)
            if value is None:
                continue
            place = rows.index(one["train_on"]), columns.index(one["population"])
            image[place] = value
            colour = "w" if value > 0.85 else "k"
            label = f"{value:.3f}\n± {one[f'{key}_error']:.3f}"
            axis.text(*place[::-1], label, ha="center", va="center", fontsize=6, color=colour)
        axis.imshow(image, cmap="cividis_r", vmin=0.5, vmax=1.0, aspect="auto")
        names = [plotting.label(n).replace(" ", "\n") for n in columns]
        axis.set_xticks(range(len(columns)), names)
        axis.set_title(f"AUROC, {text}")
        axis.set_xlabel("test images")
        axis.tick_params(length=0)
    axes[0].set_yticks(range(len(rows)), [plotting.label(n).replace(" ", "\n") for n in rows])
    axes[0].set_ylabel("learned from")
    return figure
