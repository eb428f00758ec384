"""Painted lenses among real ones, not said which.

Real lenses, and for each a lens painted on a real galaxy that is most like it in magnitude and
colour, arcs included, in an order that says nothing. Who cannot tell them apart by eye has good
mocks. Which pictures are real is written upside down below. The stretch is asinh, by the noise of
each image.
"""

import hashlib
import json

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lensmill import plotting
from lensmill.pipeline import store
from lensmill.plotting.pictures import scale_bar, show

ACROSS, DOWN = 8, 4
SYSTEMS = 5000  # looked at, from the start of a file
ALIKE = ("host_magnitude", "host_colour")
COLOUR = 2.0  # how much more a difference in colour counts than one in magnitude


def plot(painted: str, real: list[str]) -> Figure:
    """Draw lenses of the population ``painted`` and of the populations ``real``."""
    of_mocks, mocks = _lenses(painted)
    groups = [_lenses(path) for path in real]
    of_real, reals = (list(sum((tuple(group[k]) for group in groups), ())) for k in (0, 1))
    wanted = ACROSS * DOWN // 2
    chosen = sorted(range(len(reals)), key=lambda i: _order(f"real {i}"))[:wanted]
    pictures = [(reals[i], True) for i in chosen]
    free = np.ones(len(mocks), bool)
    for i in chosen:
        if free.any():
            apart = [_apart(one, of_real[i]) for one in of_mocks]
            nearest = int(np.where(free, apart, np.inf).argmin())
            free[nearest] = False
            pictures.append((mocks[nearest], False))
    pictures = [pictures[k] for k in sorted(range(len(pictures)), key=lambda k: _order(str(k)))]
    size = plotting.PAGE / ACROSS
    figure, axes = plt.subplots(
        DOWN, ACROSS, figsize=(plotting.PAGE, DOWN * (size + 0.12) + 0.2), squeeze=False
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for number, (axis, (image, _)) in enumerate(zip(axes.flat, pictures, strict=False), start=1):
        axis.set_axis_on()
        show(axis, image, str(number))
    if pictures:
        scale = json.loads(store.attributes(painted)["settings"])["observation"]["pixel_scale"]
        scale_bar(axes[0, 0], len(pictures[0][0]), scale)
    answer = ", ".join(str(k) for k, (_, true) in enumerate(pictures, start=1) if true)
    figure.supxlabel(f"real: {answer or 'none'}", fontsize=5, color=plotting.GREY, rotation=180)
    return figure


def _lenses(path: str) -> tuple[list[NDArray], list[NDArray]]:
    """Return magnitude and colour, and the image, of every lens of a data set."""
    systems = store.read(path, "systems", count=SYSTEMS)
    rows = np.flatnonzero((systems["is_lens"] == 1) & (systems["label_known"] == 1))
    none = np.zeros(len(systems["is_lens"]))  # of images that are not calibrated
    columns = np.stack([systems.get(name, none)[rows] for name in ALIKE], axis=1)
    pixels = store.memmap(path, "cutouts", "pixels")
    return list(columns), [pixels[row] for row in rows]


def _apart(one: NDArray, other: NDArray) -> float:
    return float(np.hypot(one[0] - other[0], COLOUR * (one[1] - other[1])))


def _order(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
