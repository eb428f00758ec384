"""Luminosity and gas mass against M500: of simulated clusters, and of those on the sky.

Dots are simulated clusters, one per cluster whatever many images there are of it; luminosities are
those in 0.5-2 keV within the projected r500, of the cluster's own gas, with and without what lies
within 0.15 r500. Black: the power law that fits them best, with slope and scatter of ln L or ln M.
Colours: what others have found (data/scaling.ecsv), drawn over about the masses that they had, at
the redshift of the simulated ones; where there is a slope or a scatter alone it stands in the list.
Pratt 2009 a, b: fitted for L at given Y_X, and orthogonally.
Right: bars are the medians and central 68 % of the observed gas fractions (data/gas_masses.ecsv),
at redshifts of 0.4 to 0.8 and not moved to ours, and the gas fraction of the simulated clusters.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lensmill import plotting
from lensmill.experiments.cluster_mass import scaling
from lensmill.pipeline import store
from lensmill.plotting import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION

LABELS = {
    "l_x": r"$L_{\rm X}$ [erg/s]",
    "l_x_excised": r"$L_{\rm X}$ without core [erg/s]",
    "m_gas": r"$M_{\rm gas} / M_{500}$",
}
COLOURS = {
    "Pratt et al. 2009, L given Y_X": ORANGE,
    "Pratt et al. 2009, orthogonal": VERMILION,
    "Bulbul et al. 2019": PURPLE,
    "Chiu et al. 2018, regression": GREEN,
}
SEEN = {"Pratt": (1e14, 8e14), "Bulbul": (3e14, 1.8e15), "Chiu": (2.6e14, 1.3e15)}  # M500 [Msun]
RANGE = (3e13, 2e15)
SHOWN = 2000


def plot(dataset: str) -> Figure:
    """Draw the clusters of one simulated population."""
    systems = store.read(dataset, "systems")
    first = np.sort(np.unique(systems["group"].astype(str), return_index=True)[1])
    clusters = {name: systems[name][first] for name in ("ln_m500", "redshift", *scaling.COLUMNS)}
    mass, redshift = np.exp(clusters["ln_m500"]), float(np.median(clusters["redshift"]))
    figure, axes = plt.subplots(1, 3, figsize=(plotting.PAGE, 3.6))
    table = scaling.published()
    for axis, column in zip(axes, scaling.COLUMNS, strict=True):
        found = scaling.fit(clusters["ln_m500"], clusters[column], scaling.PIVOT)
        over = mass if column == "m_gas" else 1.0
        axis.plot(
            mass[:SHOWN],
            (clusters[column] / over)[:SHOWN],
            ".",
            ms=1.8,
            mew=0,
            color=BLUE,
            alpha=0.35,
            rasterized=True,
        )
        ends = np.array([mass.min(), mass.max()])
        line = found.amplitude * (ends / scaling.PIVOT) ** found.slope
        text = f"simulated: {found.slope:.2f} ({100 * found.scatter:.0f} %)"
        axis.plot(ends, line / (ends if column == "m_gas" else 1), color="black", lw=1, label=text)
        for row in table[table["column"] == column]:
            text = _text(row)
            if row["amplitude"] > 0:
                ends = np.array(SEEN[str(row["source"]).split()[0]])
                line = scaling.expected(row, ends, redshift)
                line = line / (ends if column == "m_gas" else 1)
                axis.plot(ends, line, color=COLOURS[str(row["source"])], lw=1.2, label=text)
            else:
                axis.plot([], [], ls="", label=text)
        axis.set(xscale="log", yscale="log", xlabel=r"$M_{500}$ [$M_\odot$]", xlim=RANGE)
        axis.set_title(LABELS[column])
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), handlelength=1.2)
    seen = scaling.gas_masses()
    share = np.asarray(seen["share"])
    bars = [share - np.asarray(seen["share_low"]), np.asarray(seen["share_high"]) - share]
    axes[2].errorbar(
        seen["m500"], share, yerr=bars, fmt="o", ms=3, color=GREY, capsize=1.5, zorder=3
    )
    axes[2].set_ylim(0.04, 0.25)
    axes[2].set_yticks([0.05, 0.1, 0.2], ["0.05", "0.1", "0.2"])
    axes[2].yaxis.set_minor_formatter(NullFormatter())
    return figure


def _text(row) -> str:
    """Name a relation, with its slope and its scatter as far as they are known."""
    slope = f"{row['slope']:.2f}" if row["slope"] > 0 else ""
    scatter = f"({100 * row['scatter']:.0f} %)" if row["scatter"] > 0 else ""
    name, _, rest = str(row["source"]).partition(",")
    how = {" L given Y_X": " a", " orthogonal": " b", " upper limit": " at most"}.get(rest, "")
    return f"{name.replace(' et al.', '')}{how}: {slope} {scatter}".replace(":  ", ": ")
