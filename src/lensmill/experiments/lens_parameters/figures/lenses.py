"""Lenses as each telescope sees them.

A row for each telescope, in order of the Einstein radius: the lens of a column has the same rank in
every row. Below each picture are its Einstein radius and the slope of its density (2: isothermal).
The stretch is asinh, by the noise of each image; the bar is 1 arcsec long.
"""

import json

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.pipeline import store
from lensmill.plotting.pictures import scale_bar, show

ACROSS = 8  # pictures in a row
SYSTEMS = 200  # from the start of the file, among which they are chosen


def plot(datasets: list[str]) -> Figure:
    """Draw examples of several data sets."""
    size = plotting.PAGE / ACROSS
    height = len(datasets) * (size + 0.32)
    figure, axes = plt.subplots(
        len(datasets), ACROSS, figsize=(plotting.PAGE, height), squeeze=False
    )
    for row, path in zip(axes, datasets, strict=True):
        systems = store.read(path, "systems", ("theta_e", "slope"), count=SYSTEMS)
        pixels = store.memmap(path, "cutouts", "pixels")
        about = json.loads(store.attributes(path)["settings"])["observation"]
        order = np.argsort(systems["theta_e"], kind="stable")
        # the smallest and the largest are rare
        places = np.linspace(0.02, 0.98, ACROSS) * (order.size - 1)
        chosen = order[places.round().astype(int)]
        for axis, system in zip(row, chosen, strict=True):
            radius, slope = systems["theta_e"][system], systems["slope"][system]
            show(axis, pixels[system], f'{radius:.2f}", $\\gamma$ = {slope:.2f}')
        scale_bar(row[0], pixels.shape[1], about["pixel_scale"])
        name = plotting.label(plotting.population(path))
        row[0].set_title(name, loc="left", fontweight="bold")
    return figure
