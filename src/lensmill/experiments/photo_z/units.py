"""What surveys write down of a flux, turned into AB maggies: a source of 3631 Jy is one maggy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

POGSON = 2.5 / np.log(10)
ZERO_CGS = 10 ** (-0.4 * 48.6)  # of AB (Oke & Gunn 1983, ApJ 266, 713) [erg / s / cm^2 / Hz]

# Of units in which a flux is linear: maggies in one unit. `counts`: see `zero_point`.
FLUXES = {
    "maggy": 1.0,
    "nanomaggy": 1e-9,
    "microjansky": 1e-29 / ZERO_CGS,
    "cgs": 1.0 / ZERO_CGS,
    "counts": None,
}
MAGNITUDES = ("ab", "vega", "asinh")


def to_maggies(value: NDArray, error: NDArray, band: Mapping[str, Any]) -> tuple[NDArray, NDArray]:
    """Turn what a column holds, and its error (1 sigma), into AB maggies.

    Parameters
    ----------
    value, error : array, shape (n,)
        In the unit of the band; of magnitudes the error is a magnitude too, to first order.
    band : mapping
        ``unit`` and what goes with it: ``zero_point`` [AB magnitude of one count per second],
        ``softening`` [maggies] of asinh magnitudes (Lupton, Gritsman & Szalay 1999, AJ 118, 1406,
        eq. 3), and ``offset`` [mag], what is added to a magnitude to bring it to true AB.

    Returns
    -------
    flux, error : array, shape (n,)
        [maggies]
    """
    unit, scale = band["unit"], 10 ** (-0.4 * band["offset"])
    if unit in FLUXES:
        scale *= FLUXES[unit] or 10 ** (-0.4 * band["zero_point"])
        return value * scale, error * scale
    if unit == "asinh":
        softening = band["softening"]
        flux = 2 * softening * np.sinh(-value / POGSON - np.log(softening))
        error = error / POGSON * np.hypot(flux, 2 * softening)
    else:
        flux = 10 ** (-0.4 * value)
        error = error / POGSON * flux
    return flux * scale, error * scale
