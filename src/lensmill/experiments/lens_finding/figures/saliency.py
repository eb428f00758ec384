"""Where the network looks: at the systems it is surest of, right and wrong.

Each column is a system, its logit below; in its group the network is surest of the leftmost. First
row: the image. Second: modulus of the derivative of the logit by each pixel as the network sees it,
after the asinh stretch, in units of its 99.5th percentile; bright is where a little more or less
light would change the answer most. Third: Grad-CAM with the gradient taken at each place, of the
last layer that has a map to speak of, over the image: what speaks for the answer that the network
gives. Maps say where a network looks, not that it looks there for the right reason.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.lens_finding.figures import kind_name
from lensmill.pipeline import store
from lensmill.plotting.pictures import show

GROUPS = ("lenses found", "lenses lost", "non-lenses rejected", "false alarms")
EACH = 3  # systems of a group


def plot(saliency: str) -> Figure:
    """Draw the file ``saliency.h5``."""
    systems, maps = store.read(saliency, "systems"), store.read(saliency, "maps")
    columns = 2 * EACH
    size = plotting.PAGE / columns
    figure, axes = plt.subplots(6, columns, figsize=(plotting.PAGE, 6 * size * 0.92 + 0.6))
    for axis in axes.flat:
        axis.set_axis_off()
    for number, name in enumerate(GROUPS):
        rows = np.flatnonzero(systems["group"] == number)[:EACH]
        start = EACH * (number % 2)
        panels = axes[3 * (number // 2) : 3 * (number // 2) + 3, start : start + EACH]
        for row, (top, middle, bottom) in zip(rows, panels.T, strict=False):
            for axis in (top, middle, bottom):
                axis.set_axis_on()
            show(top, maps["pixels"][row])
            gradient, attention = (maps[name][row][::-1] for name in ("gradient", "attention"))
            white = max(np.percentile(gradient, 99.5), 1e-30)
            middle.imshow(gradient / white, cmap="inferno", vmin=0, vmax=1)
            middle.set(xticks=[], yticks=[])
            show(bottom, maps["pixels"][row].mean(axis=-1, keepdims=True), _text(systems, row))
            bottom.imshow(attention, cmap="inferno", vmin=0, vmax=1, alpha=0.55)
        if rows.size:
            panels[0, 0].set_title(name, loc="left", fontweight="bold")
    for row, text in enumerate(("image", "gradient", "Grad-CAM") * 2):
        axes[row, 0].set_ylabel(text)
    return figure


def _text(systems, row):
    """Say what a system is and what the network answered."""
    kind = kind_name(int(systems["kind"][row]))
    snr = systems["arc_snr"][row]
    about = f"S/N {snr:.0f}" if snr > 0 else kind
    return f"{about}, logit {systems['logit'][row]:+.1f}"
