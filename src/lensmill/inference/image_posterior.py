"""What an image says of a lens, laid over draws of the posterior of positions and delays.

A network gives a posterior of mass and source from an image, under the prior that it learned from.
Divided by that prior it is the likelihood of the image, up to a constant, and draws from any other
posterior of the same lens count in proportion to it. An image shows no sheet of mass: of a lens
behind a sheet kappa it shows that with 1 - kappa divided out (Falco, Gorenstein & Shapiro 1985), so
the draws are compared after that.

The place of the source is among what is compared: of lenses that fit the image alike, each has a
place of its own, and where the images lie exactly says which. It is taken from the lens, so that
image and positions need not lie in one frame but for its turn.

Measured positions cut a posterior of strength, shear and source far from its middle along narrow
ridges, where a mixture of Gaussians is too sure of what is left. One in the coordinates of
`image_places` is cut where it has learned to be right.

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

from . import image_places

# columns of `seen`, as a network's targets; the source from the lens
SEEN = (
    *("ln_theta_e", "ellipticity_1", "ellipticity_2", "slope", "gamma1", "gamma2"),
    *("source_x", "source_y"),
)
SHAPE = tuple(SEEN.index(name) for name in ("ellipticity_1", "ellipticity_2", "slope"))
TINY = 1e-300


def seen(draws: Mapping[str, NDArray]) -> NDArray:
    """Return `SEEN` of lenses as an image shows them, (n, 8).

    Parameters
    ----------
    draws : mapping of array, shape (n,)
        ``theta_e`` [arcsec], ``ellipticity_1``, ``ellipticity_2``, ``slope``, ``gamma1``,
        ``gamma2``, ``kappa_ext``; ``lens_x``, ``lens_y``, ``source_x``, ``source_y`` [arcsec].
    """
    sheet = 1 - draws["kappa_ext"]
    ln_theta_e = np.log(draws["theta_e"]) - np.log(sheet) / (draws["slope"] - 1)
    shear = (draws["gamma1"] / sheet, draws["gamma2"] / sheet)
    ellipticity = draws["ellipticity_1"], draws["ellipticity_2"]
    source = [(draws[f"source_{axis}"] - draws[f"lens_{axis}"]) / sheet for axis in "xy"]
    return np.column_stack([ln_theta_e, *ellipticity, draws["slope"], *shear, *source])


def log_prior(lens: NDArray, prior: Mapping[str, Any]) -> NDArray:
    """Logarithm of the prior density of `SEEN` that the network learned from, (n, 8) to (n,).

    ``prior`` has ``einstein_radius`` (theta_E), ``one_minus_q``, ``slope``, ``shear`` and
    ``source`` (a disc in units of theta_E); the directions are all alike. What is fixed is left
    out.
    """
    ln_theta_e, e1, e2, slope, g1, g2, x, y = lens.T
    ln = log_density(prior["einstein_radius"], np.exp(ln_theta_e)) + ln_theta_e
    for size, name in ((np.hypot(e1, e2), "one_minus_q"), (np.hypot(g1, g2), "shear")):
        if prior[name][0] != "fixed":
            ln = ln + log_density(prior[name], size) - np.log(2 * np.pi * np.maximum(size, TINY))
    if prior["slope"][0] != "fixed":
        ln = ln + log_density(prior["slope"], slope)
    radius = prior["source"][1] * np.exp(ln_theta_e)
    return ln + np.where(np.hypot(x, y) < radius, -np.log(np.pi * radius**2), -np.inf)


def log_likelihood(
    draws: Mapping[str, NDArray],
    image: Mixture,
    prior: Mapping[str, Any],
    targets: str = "lens",
    images: NDArray | None = None,
) -> NDArray:
    """Logarithm of the likelihood of an image, but for a constant, of each draw.

    Parameters
    ----------
    draws : mapping of array, shape (n,)
        As for `seen`.
    image : Mixture
        The posterior by the image, of one system: of `SEEN`, or of `image_places.NAMES`.
    prior : mapping
        As for `log_prior`.
    targets : str
        Which of the two: ``lens`` or ``images``.
    images : array, shape (n, k, 2), optional
        Images of each draw, the first two to arrive first [arcsec]; without them the solver finds
        these. Only for ``images``.

    Returns
    -------
    array, shape (n,)
        -inf outside the prior of the network, where it says nothing.
    """
    lens = seen(draws)
    ln = np.full(len(lens), -np.inf)
    ln_prior = log_prior(lens, prior)
    rows = np.flatnonzero(np.isfinite(ln_prior))
    if targets == "images":
        if images is None:
            places = image_places.find(lens[rows])
            two = np.isfinite(places).all(axis=(1, 2))
            rows, places = rows[two], places[two]
        else:
            centre = np.column_stack([draws["lens_x"], draws["lens_y"]])[rows]
            places = images[rows, :2] - centre[:, None]
        known, ln_jacobian = image_places.from_lens(lens[rows], places)
        ln_prior[rows] += ln_jacobian
    else:
        known = lens[rows]
    ln[rows] = posteriors.log_densities(image, known[None])[0] - ln_prior[rows]
    return ln


def shapes(image: Mixture, targets: str, places: NDArray) -> Mixture:
    """Return where an image puts both components of the ellipticity and the slope.

    Parameters
    ----------
    image, targets
        As for `log_likelihood`.
    places : array, shape (2, 2)
        Of the first two images from the lens [arcsec]; only ``images`` asks for them.
    """
    if targets == "lens":
        return posteriors.marginal(image, SHAPE)
    image = posteriors.conditional(image, image_places.PLACES, np.ravel(places)[None])
    return posteriors.marginal(image, image_places.SHAPE)
