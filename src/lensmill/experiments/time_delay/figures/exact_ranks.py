"""Are the exact posteriors exact? Where the truths of mocks lie in them.

Cumulative distribution of the rank of the truth in its posterior, less that of uniform ranks, for
every parameter of the lens, for the time-delay distance and for chi^2 of the data. Left: doubles.
Right: quads. Grey: where the whole of a curve lies with a probability of 95 % if the posterior is
exact. The external convergence is hardly known from the data: its ranks test the prior.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lensmill import plotting

LOOKS = {
    "ln_d_dt": (r"$\ln D_{\Delta t}$", plotting.BLACK, "-"),
    "theta_e": (r"$\theta_\mathrm{E}$", plotting.BLUE, "-"),
    "slope": (r"slope $\gamma^\prime$", plotting.VERMILION, "-"),
    "one_minus_q": ("$1 - q$", plotting.GREEN, "-"),
    "phi": (r"$\phi$", plotting.GREEN, "--"),
    "shear": (r"$\gamma$", plotting.PURPLE, "-"),
    "shear_angle": (r"$\phi_\gamma$", plotting.PURPLE, "--"),
    "kappa_ext": (r"$\kappa_\mathrm{ext}$", plotting.SKY, "-"),
    "source_radius": (r"$\beta / \theta_\mathrm{E}$", plotting.ORANGE, "-"),
    "chi2": (r"$\chi^2$ of the data", plotting.GREY, ":"),
}
KINDS = {"2": "doubles", "4": "quads"}


def plot(summary: str) -> Figure:
    """Draw the ranks in the report (JSON) of `exact_checks.check_posteriors`."""
    found = json.loads(Path(summary).read_text())
    kinds = [k for k in KINDS if k in found]
    figure, axes = plt.subplots(
        1, len(kinds), figsize=(plotting.PAGE, 2.7), sharey=True, squeeze=False
    )
    largest, shown = 0.0, {}
    for axis, k in zip(axes[0], kinds, strict=True):
        ranks = found[k]["ranks"]
        at = np.array(ranks["band"]["at"])
        low, high = (np.array(ranks["band"][name]) - at for name in ("low", "high"))
        axis.fill_between(at, low, high, color=plotting.LIGHT, lw=0)
        axis.axhline(0, color=plotting.BLACK, lw=0.5)
        largest = max(largest, high.max())
        for name, one in ranks["quantities"].items():
            label, colour, line = LOOKS[name]
            excess = np.array(one["below"]) - at
            shown[name] = Line2D([], [], color=colour, ls=line, label=label)
            axis.plot(at, excess, color=colour, ls=line, lw=0.9)
            largest = max(largest, np.abs(excess).max())
        axis.text(
            *(0.03, 0.96, f"{found[k]['systems'] - found[k]['no_lens_found']:,} {KINDS[k]}"),
            transform=axis.transAxes,
            va="top",
        )
        axis.set(xlim=(0, 1), xlabel="rank of the truth")
    axes[0, 0].set(ylim=(-1.15 * largest, 1.25 * largest), ylabel="cumulative fraction less rank")
    band = Patch(color=plotting.LIGHT, lw=0, label="95 % of exact ones")
    handles = [*(shown[name] for name in LOOKS if name in shown), band]
    figure.legend(handles=handles, loc="outside upper center", ncols=6)
    return figure
