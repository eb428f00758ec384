"""What an image says of a lens, laid over draws of the posterior of positions and delays.

A network gives a posterior of the mass from an image, under the prior of the lenses that it learned
from. Divided by that prior it is the likelihood of the image, up to a constant, and draws from any
other posterior of the same lens count in proportion to it. An image shows no sheet of mass: of a
lens behind a sheet kappa it shows that with 1 - kappa divided out (Falco, Gorenstein & Shapiro
1985), so the draws are compared after that.

ASSUME: the images' places are in both, the image and the measured positions. They are known to
milliarcseconds from the latter, so what the image adds of them is next to nothing.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.learning import posteriors
from lensmill.learning.posteriors import Mixture
from lensmill.pipeline.priors import log_density

# columns of `shapes`, as a network's targets: ln theta_e, ellipticity, slope, shear
SHAPES = ("ln_theta_e", "ellipticity_1", "ellipticity_2", "slope", "gamma1", "gamma2")
TINY = 1e-300


def shapes(draws: Mapping[str, NDArray]) -> NDArray:
    """Return `SHAPES` of lenses as an image shows them, (n, 6).

    Parameters
    ----------
    draws : mapping of array, shape (n,)
        ``theta_e`` [arcsec], ``ellipticity_1``, ``ellipticity_2``, ``slope``, ``gamma1``,
        ``gamma2``, ``kappa_ext``.
    """
    sheet = 1 - draws["kappa_ext"]
    ln_theta_e = np.log(draws["theta_e"]) - np.log(sheet) / (draws["slope"] - 1)
    shear = (draws["gamma1"] / sheet, draws["gamma2"] / sheet)
    ellipticity = draws["ellipticity_1"], draws["ellipticity_2"]
    return np.column_stack([ln_theta_e, *ellipticity, draws["slope"], *shear])


def log_prior(shape: NDArray, prior: Mapping[str, Any]) -> NDArray:
    """Logarithm of the prior density of `SHAPES` that the network learned from, (n, 6) to (n,).

    ``prior`` has ``einstein_radius`` (theta_E), ``one_minus_q``, ``slope`` and ``shear``; the
    directions are all alike. What is fixed is left out.
    """
    ln_theta_e, e1, e2, slope, g1, g2 = shape.T
    ln = log_density(prior["einstein_radius"], np.exp(ln_theta_e)) + ln_theta_e
    for size, name in ((np.hypot(e1, e2), "one_minus_q"), (np.hypot(g1, g2), "shear")):
        if prior[name][0] != "fixed":
            ln = ln + log_density(prior[name], size) - np.log(2 * np.pi * np.maximum(size, TINY))
    if prior["slope"][0] != "fixed":
        ln = ln + log_density(prior["slope"], slope)
    return ln


def log_likelihood(
    draws: Mapping[str, NDArray], image: Mixture, prior: Mapping[str, Any]
) -> NDArray:
    """Logarithm of the likelihood of an image, but for a constant, of each draw.

    Parameters
    ----------
    draws : mapping of array, shape (n,)
        As for `shapes`.
    image : Mixture
        The posterior of `SHAPES` by the image, of one system.
    prior : mapping
        As for `log_prior`.

    Returns
    -------
    array, shape (n,)
        -inf outside the prior of the network, where it says nothing.
    """
    shape = shapes(draws)
    one = Mixture(*(np.broadcast_to(part, (len(shape), *part.shape[1:])) for part in image))
    ln_prior = log_prior(shape, prior)
    with np.errstate(invalid="ignore"):
        ln = posteriors.log_density(one, shape) - ln_prior
    return np.where(np.isfinite(ln_prior), ln, -np.inf)
