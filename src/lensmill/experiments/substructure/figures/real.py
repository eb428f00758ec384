"""Anomaly scores of real lenses, which say nothing yet.

Top: the distribution of the anomaly score, the rms of what an autoencoder did not draw, of
simulated test images by class, and of real lenses (marks). Below: the real lenses with the highest
scores, the score under each. These scores are no sign of substructure: the autoencoder has seen
neither the light of lens galaxies nor quasars, neighbours, real sources or real point-spread
functions, each of which is stranger to it than any subhalo. They show what a search in real images
has to learn first.
"""

import json

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.substructure.figures import CLASSES
from lensmill.pipeline import store
from lensmill.plotting.pictures import scale_bar, show

SHOWN = 10  # pictures
MARKS = "xo^sD"


def plot(simulated: str, predictions: list[str], datasets: list[str]) -> Figure:
    """Draw ``predictions.h5`` of an autoencoder on mocks and on real lenses with their images."""
    figure = plt.figure(figsize=(plotting.PAGE, 3.6))
    top, bottom = figure.subfigures(2, 1, height_ratios=(2.4, 1.2))
    axis = top.subplots()
    table = store.read(simulated, "systems")
    every = [np.log10(table["anomaly"])]
    every += [np.log10(store.read(path, "systems")["anomaly"]) for path in predictions]
    edges = 10 ** np.linspace(np.min(np.concatenate(every)), np.max(np.concatenate(every)), 50)
    for c, (text, colour) in enumerate(CLASSES.values()):
        mine = table["anomaly"][table["label"] == c]
        if mine.size:
            axis.hist(mine, edges, histtype="step", color=colour, label=f"simulated, {text}")
    pictures = []
    for k, (path, dataset) in enumerate(zip(predictions, datasets, strict=True)):
        real = store.read(path, "systems")
        name = plotting.population(path)
        height = np.full(len(real["index"]), (0.06 + 0.06 * k))
        look = {"ls": "", "color": plotting.colour(name), "ms": 4, "mfc": "none"}
        place = axis.get_xaxis_transform()
        label = f"{plotting.label(name)} ({len(height)})"
        axis.plot(real["anomaly"], height, MARKS[k % 5], transform=place, label=label, **look)
        pixels = store.memmap(dataset, "cutouts", "pixels")
        rows = np.searchsorted(store.read(dataset, "systems", ["index"])["index"], real["index"])
        pictures += [(s, pixels[r]) for s, r in zip(real["anomaly"], rows, strict=True)]
    axis.set(xscale="log", xlabel="anomaly score", ylabel="simulated images")
    axis.legend(loc="upper right")
    pictures.sort(key=lambda pair: -pair[0])
    axes = bottom.subplots(1, SHOWN)
    for axis in axes:
        axis.set_axis_off()
    for axis, (score, image) in zip(axes, pictures, strict=False):
        axis.set_axis_on()
        show(axis, image, f"{score:.2f}")
    about = json.loads(store.attributes(datasets[0])["settings"])
    scale_bar(axes[0], image.shape[0], about["observation"]["pixel_scale"])
    return figure
