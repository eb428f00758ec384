"""What the populations hold: parameters, numbers of images, separations, delays and distances.

Densities are normalised to one; a parameter that a population does not vary is left out. The
Einstein radius is that of the intermediate axis; the separation is the largest between two images
of a system and the delay that between its first and last image (systems with two images or more).
With a fixed cosmology the time-delay distance is a function of the two redshifts; where the Hubble
constant is drawn too, the distance spreads by its prior.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.pipeline import store

SYSTEMS = 100_000  # read from the start of each file: as smooth as the page can show
PANELS = {  # column: label, bins
    "theta_e": (r"$\theta_\mathrm{E}$ [arcsec]", np.linspace(0.0, 2.5, 51)),
    "q": ("axis ratio $q$", np.linspace(0.1, 1.0, 46)),
    "shear": (r"shear $\gamma$", np.linspace(0.0, 0.2, 51)),
    "z": (r"redshift $z_\mathrm{l}$ (thick), $z_\mathrm{s}$ (thin)", np.linspace(0.0, 5.0, 101)),
    "separation": ("image separation [arcsec]", np.linspace(0.0, 5.0, 51)),
    "delay": (r"longest delay [d]", np.geomspace(0.3, 1000.0, 51)),
    "d_dt": (r"$D_{\Delta t}$ [Gpc]", np.linspace(0.0, 8.0, 65)),
}


def plot(datasets: list[str]) -> Figure:
    """Overlay the distributions of the populations in ``datasets``."""
    figure, grid = plt.subplots(2, 4, figsize=(plotting.PAGE, 3.5))
    axes = dict(zip([*PANELS, "n_images"], grid.flat, strict=True))
    for i, dataset in enumerate(datasets):
        name = plotting.population(dataset)
        colour = plotting.colour(name)
        columns = _read(dataset)
        for panel, (_, bins) in PANELS.items():
            widths = {"z_lens": 1.3, "z_source": 0.7} if panel == "z" else {panel: 1.0}
            for column, width in widths.items():
                values = columns[column]
                if values.size and np.ptp(values) > 0:
                    _step(axes[panel], values, bins, colour, width)
        counts = np.bincount(np.minimum(columns["n_images"], 5), minlength=6)[1:]
        bar = 0.8 / len(datasets)
        place = np.arange(1, 6) + (i - (len(datasets) - 1) / 2) * bar
        axes["n_images"].bar(place, counts / counts.sum(), bar, color=colour)

    for panel, (text, bins) in PANELS.items():
        axes[panel].set(xlabel=text, xlim=(bins[0], bins[-1]), yticks=[], ylim=(0, None))
    axes["delay"].set_xscale("log")
    axes["n_images"].set(
        xlabel="images per system",
        ylabel="fraction of systems",
        yscale="log",
        ylim=(1e-5, 1.0),
        xticks=range(1, 6),
        xticklabels=["1", "2", "3", "4", r"$\geq$5"],
    )
    axes["n_images"].tick_params(axis="x", which="both", length=0)
    for axis in grid[:, 0]:
        axis.set_ylabel("density")
    names = [plotting.population(dataset) for dataset in datasets]
    figure.legend(
        handles=[Line2D([], [], color=plotting.colour(n), label=plotting.label(n)) for n in names],
        loc="outside upper center",
        ncols=6,
    )
    return figure


def _read(dataset):
    """Return the columns to show, one value per system; those of image pairs where there are."""
    names = ("theta_e", "q", "gamma1", "gamma2", "z_lens", "z_source", "d_dt")
    columns = store.read(dataset, "systems", (*names, "n_images", "first_image"), count=SYSTEMS)
    n, first = columns["n_images"], columns["first_image"]
    images = store.read(dataset, "images", ("x", "y", "delay"), count=int(first[-1] + n[-1]))
    columns["shear"] = np.hypot(columns["gamma1"], columns["gamma2"])
    columns["d_dt"] = columns["d_dt"] / 1000.0
    columns["delay"] = images["delay"][(first + n - 1)[n > 1]]
    place = images["x"] + 1j * images["y"]
    separation = np.zeros(n.size)
    for i in range(1, n.max()):
        for j in range(i):
            has = n > i
            apart = np.abs(place[first[has] + i] - place[first[has] + j])
            separation[has] = np.maximum(separation[has], apart)
    columns["separation"] = separation[n > 1]
    return columns


def _step(axis, values, bins, colour, width):
    """Draw a density; on a logarithmic axis it is that of the logarithm."""
    counts, _ = np.histogram(values, bins)
    density = counts / values.size
    axis.stairs(density, bins, color=colour, lw=width, alpha=0.9)
