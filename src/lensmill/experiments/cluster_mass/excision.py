"""Images whose core is replaced by what a smooth ring around it shines like."""

import numpy as np
from numpy.typing import NDArray

CORE = 0.15  # of r500: where cool cores hide the mass (Maughan 2007, ApJ 668, 772)
RING = 0.25  # outer radius of the ring whose mean replaces the core


def radii(shape: tuple[int, int], x: NDArray, y: NDArray) -> NDArray:
    """Return the distance of every pixel from centres (n,), in pixels: (n, height, width)."""
    rows, columns = np.indices(shape)
    return np.hypot(columns - np.reshape(x, (-1, 1, 1)), rows - np.reshape(y, (-1, 1, 1)))


def without_core(
    pixels: NDArray, x: NDArray, y: NDArray, r500: NDArray, rng: np.random.Generator
) -> NDArray:
    """Return images in whose core there are photons as in a ring around it.

    Counts stay counts: they are drawn anew, about the mean of the ring between ``CORE`` and
    ``RING`` of r500.

    Parameters
    ----------
    pixels : array, shape (n, height, width, bands)
        Photon counts.
    x, y, r500 : array, shape (n,)
        Centre, from that of the first pixel, and radius [pix].
    rng : Generator
    """
    found = np.array(pixels)
    for image, distance, size in zip(found, radii(pixels.shape[1:3], x, y), r500, strict=True):
        core = distance < CORE * size
        ring = (distance >= CORE * size) & (distance < max(RING * size, CORE * size + 2.0))
        for band in range(image.shape[-1]):
            image[core, band] = rng.poisson(image[ring, band].mean(), core.sum())
    return found
