"""Masses without a network: from what is counted in the same images, and from the true gas mass."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST = 1.0  # photons: fewer above the background are taken as one
# What each is made of; the last one nobody can measure so well: it is the limit of the physics.
ESTIMATORS = ("counts", "counts_excised", "gas_mass")


def proxies(systems: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Return the logarithms of what masses are read from, by the name of the estimator, (n,) each.

    Photons less the background that is expected among them, in a second of exposure: in the whole
    image, and in a ring of fixed size that leaves the core out; and the true gas mass [Msun].
    """
    found = {}
    for name, area in (("counts", "area"), ("counts_excised", "area_excised")):
        photons = np.asarray(systems[name], float) - systems["background"] * systems[area]
        found[name] = np.log(np.maximum(photons, FEWEST) / systems["exposure"])
    # of a real cluster it is not known, and 0
    return {**found, "gas_mass": np.log(np.maximum(systems["m_gas"], 1.0))}


def terms(proxy: NDArray, redshift: NDArray, centre: tuple[float, float]) -> NDArray:
    """Return the terms of a parabola in the proxy whose zero point goes with redshift, (n, 5)."""
    x, z = proxy - centre[0], redshift - centre[1]
    return np.column_stack([np.ones_like(x), x, x**2, z, x * z])


def fit(
    systems: Mapping[str, NDArray], weights: NDArray | None = None
) -> dict[str, dict[str, list[float]]]:
    """Fit ``ln_m500`` by least squares to each proxy: the mean mass at what is seen.

    Parameters
    ----------
    systems : mapping
        Columns of those that networks learn from, too.
    weights : array, shape (n,), optional
        Those of the network's loss.

    Returns
    -------
    dict
        By estimator ``centre`` (of proxy and redshift) and ``coefficients`` of `terms`.
    """
    root = np.sqrt(np.ones(len(systems["ln_m500"])) if weights is None else weights)
    found = {}
    for name, proxy in proxies(systems).items():
        centre = float(proxy.mean()), float(systems["redshift"].mean())
        x = terms(proxy, systems["redshift"], centre)
        # of a redshift that is fixed the least squares are the smallest: 0
        found[name] = {
            "centre": list(centre),
            "coefficients": np.linalg.lstsq(
                x * root[:, None], systems["ln_m500"] * root, rcond=1e-10
            )[0].tolist(),
        }
    return found


def answer(
    fits: Mapping[str, Mapping[str, Any]], systems: Mapping[str, NDArray]
) -> dict[str, NDArray]:
    """Return ``ln_m500`` by each estimator that `fit` has found."""
    return {
        name: terms(proxy, systems["redshift"], tuple(fits[name]["centre"]))
        @ np.array(fits[name]["coefficients"])
        for name, proxy in proxies(systems).items()
    }
