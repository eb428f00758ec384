"""How well a ring can be measured at best: the Cramer-Rao bound of its parameters."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.rings import light
from lensmill.experiments.rings.settings import FAMILIES
from lensmill.pipeline.priors import inverse_cdf

# What is free in a fit of a ring, by the step of its numerical derivative; beta is known.
STEPS = {
    "cone": {
        "x": 0.02,
        "y": 0.02,
        "radius": 0.02,
        "tilt_x": 0.01,
        "tilt_y": 0.01,
        "thickness": 0.05,
        "deformation": 0.02,
    },
    "a3net": {"x": 0.1, "y": 0.1, "radius": 0.1, "thickness": 0.02, "deformation": 0.02},
}
STEPS["cone_matched"] = STEPS["cone"]
BOUNDED = ("x", "y", "radius", "thickness", "deformation", "semi_major", "semi_minor")


def lowest_errors(
    rings: Mapping[str, NDArray], photons: NDArray, settings: Mapping[str, Any]
) -> dict[str, NDArray]:
    """Return the Cramer-Rao bounds of rings that are alone in their image (1 sigma).

    Free are the parameters in ``STEPS`` that the prior does not fix and, for cones, the brightness.
    What the prior says of them counts as a measurement with its standard deviation: a network knows
    the prior as well, and thickness and blur of one ring can hardly be told apart. The bound is
    that for perfect counting of photoelectrons (or of sensors hit); a finite resolution of the
    charge can only raise it.

    Parameters
    ----------
    rings : mapping of array, shape (n,)
        ``light.PARAMETERS``.
    photons : array, shape (n,)
        Of each ring, those that miss the sensors included, as in the table ``rings``.
    settings : mapping
        ``family``, ``prior`` and ``observation`` of the population.

    Returns
    -------
    dict of array, shape (n,)
        Error of each of ``BOUNDED`` [pixel].
    """
    family, observation = settings["family"], settings["observation"]
    band = next(iter(observation["bands"].values()))
    spread = _spread({**settings["prior"], **FAMILIES[family]})
    truth = {name: np.asarray(rings[name], float) for name in light.PARAMETERS}
    scale = (np.asarray(photons, float) * band["efficiency"])[:, None, None]

    def image(moved: Mapping[str, NDArray]) -> NDArray:
        return scale * light.expected(moved, family, observation["size"])

    here = image(truth)
    slopes, axes, before = [], [], []
    for name, step in STEPS[family].items():
        if spread[name] == 0:
            continue
        ends = [_moved(truth, name, sign * step) for sign in (1, -1)]
        slopes.append((image(ends[0]) - image(ends[1])) / (2 * step))
        seen = [_seen(end, family) for end in ends]
        axes.append([(seen[0][b] - seen[1][b]) / (2 * step) for b in BOUNDED])
        before.append(spread[name] ** -2)
    if family != "a3net":  # nobody tells how bright the ring is: the log of it is free as well
        slopes.append(here)
        axes.append([np.zeros(len(here))] * len(BOUNDED))
        before.append(1e-6)
    slope, jacobian = np.stack(slopes, axis=1), np.array(axes).transpose(2, 1, 0)
    expected = here + band["dark"]
    # of a Poisson number 1 / mean; of whether it is above 0, 1 / (e^mean - 1)
    count = expected if band["reads"] == "charge" else np.expm1(np.minimum(expected, 700.0))
    weight = np.where(expected > 1e-12, 1 / np.maximum(count, 1e-12), 0.0)
    information = np.einsum("nihw,njhw,nhw->nij", slope, slope, weight) + np.diag(before)
    covariance = np.linalg.inv(information)
    variance = np.einsum("nfi,nij,nfj->nf", jacobian, covariance, jacobian)
    return dict(zip(BOUNDED, np.sqrt(variance).T, strict=True))


def _spread(prior: Mapping[str, list]) -> dict[str, float]:
    """Return the standard deviation of the prior of every parameter that may be free."""
    middles = (np.arange(1000) + 0.5) / 1000
    values = {name: inverse_cdf(prior[name], middles) for name in light.PARAMETERS}
    spread = {name: float(value.std()) for name, value in values.items()}
    tilt = float(np.sqrt((values["tilt"] ** 2).mean() / 2))  # in any direction
    return spread | {"tilt_x": tilt, "tilt_y": tilt}


def _moved(rings: Mapping[str, NDArray], name: str, by: float) -> dict[str, NDArray]:
    """Return rings of which one parameter is another; the tilt is moved along x or y."""
    if not name.startswith("tilt"):
        return {**rings, name: rings[name] + by}
    x, y = (rings["tilt"] * f(rings["direction"]) for f in (np.cos, np.sin))
    x, y = (x + by, y) if name == "tilt_x" else (x, y + by)
    return {**rings, "tilt": np.hypot(x, y), "direction": np.arctan2(y, x)}


def _seen(rings: Mapping[str, NDArray], family: str) -> dict[str, NDArray]:
    """Return the parameters of rings and the semi-axes that follow from them."""
    if family == "a3net":
        return {**rings, "semi_major": rings["radius"], "semi_minor": rings["radius"]}
    found = light.cone(rings)
    return {**rings, "semi_major": found.semi_major, "semi_minor": found.semi_minor}
