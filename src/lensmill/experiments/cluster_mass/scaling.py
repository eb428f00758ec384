"""How luminosity and gas mass go with M500: of simulated clusters, and of those on the sky."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from lensmill.clusters import mass_function

FOLDER = Path(__file__).parent / "data"
PIVOT = 4.8e14  # Msun, of our own fits
COLUMNS = ("l_x", "l_x_excised", "m_gas")
UNIT = {"l_x": 1e44, "l_x_excised": 1e44, "m_gas": 1e13}  # of the amplitudes in the table


class Relation(NamedTuple):
    """A power law of M500 with lognormal scatter."""

    amplitude: float  # at the pivot
    slope: float
    slope_error: float
    scatter: float  # natural logarithm
    half_range: float  # half of the range of the middle 68 %


def fit(ln_m500: NDArray, values: NDArray, pivot: float) -> Relation:
    """Fit a power law of M500 [Msun] to clusters of known mass by least squares of ln values."""
    x, y = ln_m500 - np.log(pivot), np.log(values)
    slope, level = np.polyfit(x, y, 1)
    rest = y - level - slope * x
    scatter = float(np.sqrt((rest**2).sum() / (len(x) - 2)))
    error = scatter / np.sqrt(((x - x.mean()) ** 2).sum())
    low, high = np.percentile(rest, [16, 84])
    half = float(high - low) / 2
    return Relation(float(np.exp(level)), float(slope), float(error), scatter, half)


def published() -> Table:
    """Return the relations of others, `data/scaling.ecsv`."""
    return Table.read(FOLDER / "scaling.ecsv")


def gas_masses() -> Table:
    """Return gas masses of observed clusters in bins of M500, `data/gas_masses.ecsv`."""
    return Table.read(FOLDER / "gas_masses.ecsv")


def expected(row: Mapping, mass: NDArray, redshift: float) -> NDArray:
    """Return what a row of `published` says of clusters of a mass [Msun] at a redshift.

    Their evolution is E(z) to the power that they give; further factors of 1 + z are left out.
    """
    evolved = mass_function.hubble(redshift) / mass_function.hubble(row["redshift"])
    scale = row["amplitude"] * UNIT[str(row["column"])] * evolved ** row["hubble"]
    return scale * (mass / row["pivot"]) ** row["slope"]


def spans(column: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return what slopes and what scatters others have found, twice their errors included."""
    rows = [row for row in published() if row["column"] == column]
    slopes = [
        row["slope"] + 2 * sign * row["slope_error"]
        for row in rows
        for sign in (-1, 1)
        if row["slope"] > 0
    ]
    scatters = [row["scatter"] for row in rows if row["scatter"] > 0]
    return (min(slopes), max(slopes)), (min(scatters), max(scatters))
