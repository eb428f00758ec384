"""Surface brightness of a real cluster in rings, against the gas profile that fits it best.

Dots: photons per second and square arcminute in rings, less what is not of the sky, with Poisson
errors; the line is a gas profile of the form that is simulated, without a cusp, and a sky alike
everywhere, fitted to the photons. Dotted: the sky. Below: photons in each ring less those that are
fitted, in units of the Poisson error. "Deviance": -2 ln of the likelihood over that of a perfect
fit, and the degrees of freedom, which it should be about.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lensmill import plotting
from lensmill.experiments.cluster_mass import surface_brightness
from lensmill.pipeline import store


def plot(dataset: str) -> Figure:
    """Draw the first cluster of an ingested population."""
    systems = store.read(dataset, "systems")
    profile = store.read(dataset, "profile")
    profile = {name: values[profile["system"] == 0] for name, values in profile.items()}
    r500 = float(systems["r500"][0])
    found = surface_brightness.fit(profile, r500)
    counts, exposure = profile["counts"], profile["exposure"]
    radius = np.sqrt((profile["inner"] ** 2 + profile["outer"] ** 2) / 2)
    rate = (counts - profile["background"]) / exposure
    error = np.sqrt(np.maximum(counts, 1)) / exposure
    fitted = (found.expected - profile["background"]) / exposure
    figure, (axis, below) = plt.subplots(
        2, 1, figsize=(plotting.COLUMN, 3.6), sharex=True, height_ratios=[3, 1]
    )
    axis.errorbar(radius, rate, yerr=error, fmt="o", ms=3, color=plotting.BLUE, capsize=1.5)
    axis.plot(radius, fitted, color=plotting.VERMILION, lw=1.2)
    axis.axhline(found.sky, color=plotting.GREY, ls=":", lw=0.8)
    for one in (axis, below):
        one.axvline(r500, color=plotting.GREY, lw=0.6)
    text = (
        rf"{systems['group'][0]}: $\beta$ = {found.beta:.2f}, $r_c$ = {found.core:.2f} "
        rf"$r_{{500}}$, deviance {found.deviance:.0f} of {found.rings - 4}"
    )
    axis.set(xscale="log", yscale="log", ylabel=r"brightness [s$^{-1}$ arcmin$^{-2}$]")
    axis.set_title(text)
    axis.text(r500, axis.get_ylim()[1] / 2, r" $r_{500}$", color=plotting.GREY)
    below.axhline(0, color=plotting.GREY, lw=0.6)
    below.plot(radius, (counts - found.expected) / np.sqrt(found.expected), "o", ms=3)
    below.set(xlabel="radius [arcmin]", ylabel=r"residual [$\sigma$]", ylim=(-4, 4))
    return figure
