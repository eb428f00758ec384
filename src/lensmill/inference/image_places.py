"""A lens told by where its first two images lie, in place of its strength, shear and source.

Given ellipticity, slope and two images, the difference of their lens equations is linear in the
strength B = theta_E^(slope - 1) and in the shear (see `pairs`): with the shear's component along
the line through both images everything else follows. Where images lie is what an image shows best
and what is measured besides, so a posterior in these coordinates, cut at the measured places, says
of slope and shape what the rest of the image knows of them.
"""

import numpy as np
from numpy.typing import NDArray

from lensmill.lensing import profiles
from lensmill.lensing.solver import SLOPES, solve

# columns of `from_lens`; places from the lens
NAMES = (
    *("shear_along", "ellipticity_1", "ellipticity_2", "slope"),
    *("first_x", "first_y", "second_x", "second_y"),
)
SHAPE, PLACES = (1, 2, 3), (4, 5, 6, 7)
# What is beyond any lens, a draw in the tail of a Gaussian, is taken for the last one that is not.
LARGEST_ELLIPTICITY, LARGEST_SHEAR = 0.95, 0.95
STRENGTHS = (1e-3, 1e3)


def find(lens: NDArray) -> NDArray:
    """Return where the first two images to arrive lie from the lens, (n, 2, 2) [arcsec].

    Parameters
    ----------
    lens : array, shape (n, 8)
        `image_posterior.SEEN`.

    Returns
    -------
    array
        NaN where there is only one image, or the solver takes no such lens.
    """
    ln_theta_e, e1, e2, slope, g1, g2, x, y = lens.T
    places = np.full((len(lens), 2, 2), np.nan)
    possible = (np.hypot(e1, e2) < 1) & (np.hypot(g1, g2) < 1) & np.isfinite(lens).all(axis=1)
    rows = np.flatnonzero(possible & (slope >= SLOPES[0]) & (slope <= SLOPES[1]))
    if not len(rows):
        return places
    images = solve(
        np.exp(ln_theta_e[rows]),
        1 - np.hypot(e1, e2)[rows],
        np.arctan2(e2, e1)[rows] / 2,
        *(slope[rows], g1[rows], g2[rows], 0.0, x[rows], y[rows]),
    )
    two = images.n_images > 1
    first = images.first_image[two]
    for i in range(2):
        places[rows[two], i] = np.column_stack([images.x[first + i], images.y[first + i]])
    return places


def from_lens(lens: NDArray, places: NDArray) -> tuple[NDArray, NDArray]:
    """Return `NAMES` of lenses with these images, and how much denser they lie in `SEEN`.

    Parameters
    ----------
    lens : array, shape (n, 8)
        `image_posterior.SEEN`.
    places : array, shape (n, 2, 2)
        Of two of its images, from the lens [arcsec].

    Returns
    -------
    coordinates : array, shape (n, 8)
    ln_jacobian : array, shape (n,)
        Logarithm of the volume in `SEEN` over that in the coordinates.
    """
    ln_theta_e, e1, e2, slope, g1, g2, *_ = lens.T
    square, c, s = _axis(places)
    along = g1 * c + g2 * s
    ln = -np.log(slope - 1) - np.log(square) - np.log(1 - along)
    mass = np.exp(ln_theta_e), 1 - np.hypot(e1, e2), np.arctan2(e2, e1) / 2, slope, g1, g2
    for x, y in places.transpose(1, 2, 0):
        xx, yy, xy = profiles.hessian(x, y, *mass)
        ln = ln + np.log(np.abs((1 - xx) * (1 - yy) - xy**2))
    return np.column_stack([along, e1, e2, slope, places.reshape(-1, 4)]), ln


def to_lens(coordinates: NDArray) -> NDArray:
    """Return `image_posterior.SEEN` of lenses told by `NAMES`, (n, 8) to (n, 8)."""
    along, e1, e2, slope = coordinates[:, :4].T
    places = coordinates[:, 4:].reshape(-1, 2, 2)
    e = np.hypot(e1, e2)
    q, phi = 1 - np.minimum(e, LARGEST_ELLIPTICITY), np.arctan2(e2, e1) / 2
    power = np.clip(slope, *SLOPES)
    a = np.array(
        [profiles.deflection(x, y, 1.0, q, phi, power) for x, y in places.transpose(1, 2, 0)]
    )
    square, c, s = _axis(places)
    dx, dy = (places[:, 0] - places[:, 1]).T
    ax, ay = a[0] - a[1]
    by_strength = (dx * ax + dy * ay) / square, (dx * ay - dy * ax) / square
    left = 1 - np.clip(along, -LARGEST_SHEAR, LARGEST_SHEAR)
    with np.errstate(divide="ignore"):
        strength = np.clip(left / np.maximum(by_strength[0], 0.0), *STRENGTHS)
    across = -strength * by_strength[1]
    g1, g2 = along * c - across * s, along * s + across * c
    x, y = places[:, 0].T
    source_x = x - strength * a[0, 0] - g1 * x - g2 * y
    source_y = y - strength * a[0, 1] - g2 * x + g1 * y
    ln_theta_e = np.log(strength) / (power - 1)
    return np.column_stack([ln_theta_e, e1, e2, slope, g1, g2, source_x, source_y])


def _axis(places: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Squared distance of the two images, and cosine and sine of twice their line's angle."""
    dx, dy = (places[:, 0] - places[:, 1]).T
    square = np.maximum(dx**2 + dy**2, 1e-12)
    return square, (dx**2 - dy**2) / square, 2 * dx * dy / square
