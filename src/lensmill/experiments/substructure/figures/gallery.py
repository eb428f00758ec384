"""What is to be told apart: images without substructure, with subhalos, with a vortex.

A row for each population: images as they are observed, in grey by an asinh stretch. Below them is
chi (sub_chi), the significance of the substructure that is left after all parameters of the smooth
lens and its source were fitted. Systems of each class are the first in the data set, not chosen.
"""

import json

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.substructure.figures import CLASSES
from lensmill.pipeline import store
from lensmill.plotting.pictures import scale_bar, show

OF_A_CLASS = 4
SYSTEMS = 300  # looked at, from the start of the file


def plot(datasets: list[str]) -> Figure:
    """Draw examples of every class in each data set."""
    across = OF_A_CLASS * len(CLASSES)
    size = plotting.PAGE / across
    figure, axes = plt.subplots(
        len(datasets), across, figsize=(plotting.PAGE, len(datasets) * (size + 0.42)), squeeze=False
    )
    for row, path in zip(axes, datasets, strict=True):
        table = store.read(path, "systems", ["label", "sub_chi"], count=SYSTEMS)
        pixels = store.memmap(path, "cutouts", "pixels")
        for c, (name, (text, _)) in enumerate(CLASSES.items()):
            mine = np.flatnonzero(table["label"] == c)[:OF_A_CLASS]
            places = row[c * OF_A_CLASS : (c + 1) * OF_A_CLASS]
            for axis in places:
                axis.set_axis_off()
            for axis, system in zip(places, mine, strict=False):
                axis.set_axis_on()
                chi = "" if name == "none" else rf"$\chi$ = {table['sub_chi'][system]:.1f}"
                show(axis, pixels[system], chi)
            if mine.size:
                places[0].set_title(text, loc="left")
        about = store.attributes(path)
        scale = json.loads(about["settings"])["observation"]["pixel_scale"]
        scale_bar(row[0], pixels.shape[1], scale)
        row[0].set_ylabel(plotting.label(str(about["population"])), fontsize=7)
    return figure
