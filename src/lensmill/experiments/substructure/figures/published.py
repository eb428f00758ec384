"""Our networks beside published ones on the benchmark's classes.

AUROC of each class against all others, their mean, and accuracy, of a network on test images made
after the settings of the public benchmark (filled, with standard errors), and as published (open).
The images are not the same: telescope, noise and pixels of ours were fixed before training, and the
published networks learned from about 30,000 images of each class.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.substructure.published import NAMES, rows

MARKS = "sD^v"


def plot(scores: str) -> Figure:
    """Draw ``scores.json`` of a network beside the table of published numbers."""
    found = json.loads(Path(scores).read_text())
    listed = rows(found)
    figure, axis = plt.subplots(figsize=(plotting.COLUMN * 1.5, 2.4))
    places = {name: i for i, name in enumerate(reversed(NAMES))}
    first = {row["quantity"]: row for row in listed if row["ours"] is not None}
    axis.errorbar(
        [row["ours"] for row in first.values()],
        [places[name] for name in first],
        xerr=[row["error"] for row in first.values()],
        fmt="o",
        ms=4,
        capsize=2,
        color=plotting.colour(found["network"]),
        label=f"ours, {found['train_systems']:,} images",
    )
    beside = dict.fromkeys(NAMES, 0)  # marks of a quantity lie above each other
    texts = dict.fromkeys((row["network"], row["reference"]) for row in listed)
    for k, (network, reference) in enumerate(texts):
        mine = [r for r in listed if (r["network"], r["reference"]) == (network, reference)]
        for row in mine:
            beside[row["quantity"]] += 1
        axis.plot(
            [row["value"] for row in mine],
            [places[row["quantity"]] + 0.16 * beside[row["quantity"]] for row in mine],
            MARKS[k % len(MARKS)],
            mfc="none",
            ms=4,
            color=plotting.BLACK,
            label=f"{network} ({reference.split(',')[0]})",
        )
    axis.set_yticks(list(places.values()), [NAMES[name] for name in places])
    axis.set(xlabel="score", ylim=(-0.5, len(places) - 0.2))
    axis.set_xlim(right=1.005)
    figure.legend(loc="outside lower center", ncols=1)
    return figure
