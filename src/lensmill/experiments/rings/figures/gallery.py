"""Rings as the sensors see them, with the outlines that are asked for.

One block per population: images with each number of rings, the first in the data set, not chosen.
The shade is the charge of a sensor, from white to the highest of the image (its square root, so
that faint light shows; sensors of the A3Net images are hit or not). In the lower row of each block
the same images with the outlines of their rings: the ellipse that the middle of the particle's
track lights, or a circle; where only the number of rings is known, there are none. Axes are in
sensors, y up.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from lensmill import plotting
from lensmill.pipeline import store

ACROSS = 8
LOOKED_AT = 1000  # systems, from the start of the file


def plot(datasets: list[str]) -> Figure:
    """Draw examples of every population."""
    size = plotting.PAGE / ACROSS
    figure, axes = plt.subplots(
        2 * len(datasets), ACROSS, figsize=(plotting.PAGE, 2 * len(datasets) * size + 0.4)
    )
    for block, dataset in zip(np.split(axes, len(datasets)), datasets, strict=True):
        systems = store.read(dataset, "systems", count=LOOKED_AT)
        pixels = store.memmap(dataset, "cutouts", "pixels")
        rings = store.read(dataset, "rings")
        counts = np.unique(systems["n_rings"])
        each = [np.flatnonzero(systems["n_rings"] == k)[: ACROSS // len(counts)] for k in counts]
        rows = np.concatenate(each)
        name = plotting.label(plotting.population(dataset))
        block[0, 0].set_title(name, loc="left", fontweight="bold")
        for axis in block.flat:
            axis.set_axis_off()
        for column, row in enumerate(rows):
            for axis in block[:, column]:
                _image(axis, pixels[row, ..., 0])
            if systems["rings_known"][row]:
                start = systems["first_ring"][row]
                for ring in range(start, start + systems["n_rings"][row]):
                    _outline(block[1, column], {k: v[ring] for k, v in rings.items()})
    return figure


def _image(axis, image):
    axis.set_axis_on()
    size = len(image)
    axis.imshow(np.sqrt(np.maximum(image, 0)), "Greys", origin="lower", extent=(0, size, 0, size))
    axis.set_xticks([])
    axis.set_yticks([])


def _outline(axis, ring):
    width, height = 2 * ring["semi_major"], 2 * ring["semi_minor"]
    angle = np.rad2deg(ring["angle"])
    place = ring["x"], ring["y"]
    axis.add_patch(
        Ellipse(place, width, height, angle=angle, fill=False, ec=plotting.VERMILION, lw=0.8)
    )
