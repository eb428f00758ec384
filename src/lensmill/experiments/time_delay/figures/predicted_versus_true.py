"""Predicted against true lensing potential, deflection and time-delay distance.

Test systems of the population that each network was trained on, doubles and quads together.
Columns: potential and deflection (both components) at the images, noise-free; time-delay distance
from noisy positions and delays, where the Hubble constant is drawn between 50 and 100 km/s/Mpc.
Top: the baseline, that is the dense networks of the study we follow, and for the distance a network
that is not shown the delays. Middle: networks in a canonical frame, tied by the time-delay
equation. Bottom: half the width of the interval that holds 68 % of the errors, against the truth.
Dots beyond the axes (the outermost 0.2 % of the truths on either side) are not drawn, but counted
in the numbers. Each network is trained from one seed, for a time of its own (see
`training_history`).
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lensmill import plotting
from lensmill.learning.calibration import CLAIMED_PERCENTILES
from lensmill.pipeline import store

BASELINE, CANONICAL = plotting.VERMILION, plotting.BLUE
DOTS = 6000  # drawn per panel
BINS = 12  # of the true value, each with the same number of predictions,
FEWEST = 20  # and at least so many


def plot(dense: list[str], canonical: list[str], control: list[str], distance: list[str]) -> Figure:
    """Draw the ``predictions.h5`` of the baselines and of ours."""
    columns = {
        r"$\psi$ [arcsec$^2$]": (_images, ("potential",), dense, canonical),
        r"$\alpha$ [arcsec]": (_images, ("deflection_x", "deflection_y"), dense, canonical),
        r"$\ln (D_{\Delta t}$ / Mpc)": (_distance, (), control, distance),
    }
    figure, axes = plt.subplots(
        3, 3, figsize=(plotting.PAGE, 6.2), height_ratios=[3, 3, 2], sharex="col"
    )
    for column, (text, (read, names, baseline, ours)) in enumerate(columns.items()):
        top, middle, bottom = axes[:, column]
        values = [read(paths, names) for paths in (baseline, ours)]
        if not all(true.size for true, _ in values):
            continue  # a small run has no such systems to test on
        low, high = np.percentile(values[1][0], [0.2, 99.8])
        pad = 0.06 * (high - low)
        limits = (low - pad, high + pad)
        for axis, (true, predicted), colour in zip(
            (top, middle), values, (BASELINE, CANONICAL), strict=True
        ):
            step = true.size // DOTS | 1  # odd, so that all images of a system have their turn
            axis.plot(limits, limits, color=plotting.BLACK, lw=0.5)
            axis.plot(
                true[::step],
                predicted[::step],
                ".",
                ms=1.6 if true.size > 2000 else 3.0,
                mew=0,
                alpha=0.35 if true.size > 2000 else 0.7,
                color=colour,
                rasterized=True,
            )
            axis.set(xlim=limits, ylim=limits, ylabel=f"predicted {text}")
            _scatter(bottom, true, predicted - true, colour)
            sigma = _half_width(predicted - true)
            axis.text(
                0.05,
                0.94,
                rf"$\sigma_{{68}} = {_number(sigma)}$" + f"\n{true.size:,} values",
                transform=axis.transAxes,
                va="top",
            )
        bottom.set(xlabel=f"true {text}", ylabel=r"$\sigma_{68}$ of the error", yscale="log")
    figure.legend(
        handles=[
            Line2D([], [], marker="o", ms=2.5, color=BASELINE, label="baseline"),
            Line2D([], [], marker="o", ms=2.5, color=CANONICAL, label="canonical frame"),
            Line2D([], [], color=plotting.BLACK, lw=0.5, label="predicted = true"),
        ],
        loc="outside upper center",
        ncols=3,
    )
    for axis, name in zip(axes[:2, 0], ("dense", "canonical"), strict=True):
        axis.text(0.95, 0.06, name, transform=axis.transAxes, ha="right", fontweight="bold")
    for axis, name in zip(axes[:2, 2], ("no delays", "with delays"), strict=True):
        axis.text(0.95, 0.06, name, transform=axis.transAxes, ha="right", fontweight="bold")
    return figure


def _images(paths, names):
    """Return true and predicted values of all images."""
    wanted = [*names, *(f"{name}_predicted" for name in names)]
    tables = [store.read(path, "images", wanted) for path in paths]
    true = [table[name] for table in tables for name in names]
    predicted = [table[f"{name}_predicted"] for table in tables for name in names]
    return np.concatenate(true), np.concatenate(predicted)


def _distance(paths, _):
    """Return the logarithms of true and predicted distances."""
    tables = [store.read(path, "systems", ("d_dt", "d_dt_median")) for path in paths]
    return tuple(
        np.log(np.concatenate([t[name] for t in tables])) for name in ("d_dt", "d_dt_median")
    )


def _scatter(axis, true, error, colour):
    """Draw the width of the errors in bins of equal numbers of predictions."""
    bins = np.array_split(np.argsort(true), np.clip(true.size // FEWEST, 1, BINS))
    centres = [np.median(true[rows]) for rows in bins]
    axis.plot(centres, [_half_width(error[rows]) for rows in bins], "o-", ms=2.5, color=colour)


def _half_width(error):
    low, high = np.percentile(error, CLAIMED_PERCENTILES)
    return (high - low) / 2


def _number(value):
    """Write a number with two digits, in powers of ten if it is small."""
    exponent = int(np.floor(np.log10(value)))
    if exponent >= -2:
        return f"{value:.{1 - exponent}f}"
    return rf"{value / 10.0**exponent:.1f} \times 10^{{{exponent}}}"
