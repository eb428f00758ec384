"""Lenses and what looks like them, as the survey sees them.

Top: lenses in order of the signal to noise of the lensed light, which is written below, from the
brightest arcs to arcs that no one could see. Below: five of each kind of non-lens, the first in the
data set, not chosen. Unlit: the lens galaxy without its source; satellites are blue and some are
stretched, companions red. The stretch is asinh, by the noise of each image. Where there are three
bands or more they are shown in their colours, else in grey.
"""

import json

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.lens_finding.figures import kind_name
from lensmill.pipeline import store
from lensmill.plotting.pictures import scale_bar, show

ACROSS = 10  # pictures in a row
OF_A_KIND = ACROSS // 2
SYSTEMS = 5000  # looked at, from the start of the file


def plot(dataset: str) -> Figure:
    """Draw examples of every kind in ``dataset``."""
    names = ("is_lens", "kind", "arc_snr")
    systems = store.read(dataset, "systems", names, count=SYSTEMS)
    pixels = store.memmap(dataset, "cutouts", "pixels")
    scale = json.loads(store.attributes(dataset)["settings"])["observation"]["pixel_scale"]
    lenses = np.flatnonzero(systems["is_lens"] == 1)
    lenses = lenses[np.argsort(-systems["arc_snr"][lenses], kind="stable")]
    shown = min(2 * ACROSS, lenses.size)
    lenses = lenses[np.linspace(0, lenses.size - 1, shown).round().astype(int)]
    others = [
        np.flatnonzero((systems["is_lens"] == 0) & (systems["kind"] == kind))[:OF_A_KIND]
        for kind in np.unique(systems["kind"][systems["is_lens"] == 0])
    ]
    of_lenses = -(-shown // ACROSS)
    n_rows = of_lenses + -(-len(others) // 2)
    size = plotting.PAGE / ACROSS
    figure, axes = plt.subplots(
        n_rows, ACROSS, figsize=(plotting.PAGE, n_rows * (size + 0.2)), squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    places = [axes[i // ACROSS, i % ACROSS] for i in range(shown)]
    texts = [f"{systems['arc_snr'][row]:.0f}" for row in lenses]
    _draw(places, pixels[lenses], "lenses, by S/N of the arcs", texts)
    for i, rows in enumerate(others):
        start = OF_A_KIND * (i % 2)
        places = axes[of_lenses + i // 2, start : start + rows.size]
        _draw(places, pixels[rows], kind_name(int(systems["kind"][rows[0]])), [""] * rows.size)
    scale_bar(axes[0, 0], pixels.shape[1], scale)
    return figure


def _draw(axes, images, name, texts):
    """Draw a group of pictures with its name above the first."""
    for axis, image, text in zip(axes, images, texts, strict=True):
        axis.set_axis_on()
        show(axis, image, text)
    if len(axes):
        axes[0].set_title(name, loc="left", fontweight="bold")
