"""The worst mistakes of a network: the surest false alarms and the lenses it is surest to be none.

Top: non-lenses with the highest scores; below each what it is and its score. Bottom: lenses with
the lowest scores; below each the signal to noise of the lensed light, the Einstein radius and the
score. A lens whose arc has a signal to noise of a few could be found by nobody; the others are the
network's fault. Asinh stretch by the noise of each image.
"""

import json

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.lens_finding.figures import kind_name, labelled
from lensmill.pipeline import store
from lensmill.plotting.pictures import scale_bar, show

ACROSS, DEEP = 7, 2


def plot(dataset: str, predictions: str) -> Figure:
    """Draw systems of ``dataset`` that the network of ``predictions`` gets most wrong."""
    table = labelled(predictions)
    index = store.read(dataset, "systems", ["index"])["index"]
    pixels = store.memmap(dataset, "cutouts", "pixels")
    scale = json.loads(store.attributes(dataset)["settings"])["observation"]["pixel_scale"]
    order = np.argsort(table["logit"], kind="stable")
    lens = table["is_lens"][order] == 1
    groups = {
        "non-lenses with the highest scores": order[~lens][::-1],
        "lenses with the lowest scores": order[lens],
    }
    size = plotting.PAGE / ACROSS
    figure, axes = plt.subplots(
        2 * DEEP, ACROSS, figsize=(plotting.PAGE, 2 * DEEP * (size + 0.28)), squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (name, rows) in enumerate(groups.items()):
        panels = axes[number * DEEP : (number + 1) * DEEP].ravel()
        for axis, row in zip(panels, rows, strict=False):
            axis.set_axis_on()
            one = {key: values[row] for key, values in table.items()}
            show(axis, pixels[np.flatnonzero(index == one["index"])[0]], _text(one))
        panels[0].set_title(name, loc="left", fontweight="bold")
        if rows.size:
            scale_bar(panels[0], pixels.shape[1], scale)
    return figure


def _text(one):
    """Say what a system is and how it scored."""
    score = (
        f"{one['score']:.3f}" if 0.001 <= one["score"] <= 0.999 else f"logit {one['logit']:+.1f}"
    )
    if one["is_lens"] != 1:
        return f"{kind_name(int(one['kind']))}\n{score}"
    if not one["arc_snr"]:
        return f"lens\n{score}"
    return (
        f"S/N {one['arc_snr']:.0f}, "
        + rf"$\theta_\mathrm{{E}}$ {one['theta_e']:.2f}"
        + f'"\n{score}'
    )
