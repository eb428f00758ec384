"""Detectability: signal to noise of images, and signal to noise and length of arcs.

All functions take many images at once, shape (n, height, width, bands), sky-subtracted.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

APERTURE = 4.0  # side of the central square whose flux is measured [arcsec]
ARC_LEVEL = 2.0  # sigma above which a pixel belongs to an arc
MAD_TO_SIGMA = 1.482602218505602  # of a Gaussian: 1 / Phi^-1(3/4)


def border(height: int, width: int) -> NDArray:
    """Return which pixels are border: a tenth of the shorter side on each side, 3 at least."""
    wide = max(3, min(height, width) // 10)
    inside = np.zeros((height, width), bool)
    inside[wide : height - wide, wide : width - wide] = True
    return ~inside


def sky_sigma(pixels: NDArray) -> NDArray:
    """Return the noise of a pixel, from the median absolute deviation of the border.

    Parameters
    ----------
    pixels : array, shape (n, height, width, bands)
        Sky-subtracted images, any unit.

    Returns
    -------
    array, shape (n, bands)
        Standard deviation of the sky in the same unit. It holds where less than half of the
        border is light of galaxies, and is 0 where more than half of it has one value.
    """
    # a median is found twice as fast where its values lie side by side
    values = np.ascontiguousarray(np.moveaxis(pixels[:, border(*pixels.shape[1:3])], 1, -1))
    centre = np.median(values, axis=-1, keepdims=True)
    return MAD_TO_SIGMA * np.median(np.abs(values - centre), axis=-1).astype(np.float64)


def band_snr(pixels: NDArray, pixel_scale: float, sigma: NDArray | None = None) -> NDArray:
    """Return the signal to noise of every band of every image.

    The flux in the central square of `APERTURE` (less where the image is smaller) over the noise
    of as many sky pixels: ``sum(pixels) / (sigma sqrt(n_pixels))``. The photon noise of the
    galaxy itself is left out, so bright ones are given a higher number than a photometrist's.

    Parameters
    ----------
    pixels : array, shape (n, height, width, bands)
        Sky-subtracted images, any unit.
    pixel_scale : float
        [arcsec]
    sigma : array, shape (n, bands), optional
        Noise of a pixel; measured on the border if not given.

    Returns
    -------
    array, shape (n, bands)
        0 where the noise is 0, which is an image without noise and so without this number.
    """
    _, height, width, _ = pixels.shape
    if sigma is None:
        sigma = sky_sigma(pixels)
    rows, columns = (_central(n, pixel_scale) for n in (height, width))
    flux = pixels[:, rows, columns].sum(axis=(1, 2), dtype=np.float64)
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    noise = np.asarray(sigma, np.float64) * np.sqrt(area)
    return np.divide(flux, noise, out=np.zeros_like(flux), where=noise > 0)


def snr_of_one(pixels: NDArray, pixel_scale: float, sigma: float) -> float:
    """Return the signal to noise of one band of one image (height, width), as `band_snr`."""
    rows, columns = (_central(n, pixel_scale) for n in pixels.shape)
    centre = pixels[rows, columns]
    noise = sigma * math.sqrt(centre.size)
    return float(centre.sum(dtype=np.float64)) / noise if noise > 0 else 0.0


def snr(pixels: NDArray, pixel_scale: float, sigma: NDArray | None = None) -> NDArray:
    """Return the signal to noise of every image, shape (n,): its bands added in quadrature.

    That of the best weighted sum of the bands. Bands with negative flux count as 0. Arguments
    as `band_snr`.
    """
    each = np.maximum(band_snr(pixels, pixel_scale, sigma), 0)
    return np.sqrt((each**2).sum(axis=1))


def _central(n: int, pixel_scale: float) -> slice:
    """Return the central pixels of a side, as many as fit into the aperture, centred exactly."""
    count = min(n, max(1, round(APERTURE / pixel_scale)))
    count -= (n - count) % 2
    first = (n - count) // 2
    return slice(first, n - first)


def arc_snr(lensed: NDArray, sigma: ArrayLike) -> NDArray:
    """Return the matched-filter signal to noise of lensed light.

    Of the matched filter, the most that any method can have: ``sqrt(sum((lensed / sigma)^2))``.

    Parameters
    ----------
    lensed : array, shape (n, height, width, bands)
        Lensed light alone, noise-free.
    sigma : array, broadcast against ``lensed``
        Noise of every pixel in the same unit.

    Returns
    -------
    array, shape (n,)
    """
    return np.sqrt((_significance(lensed, sigma) ** 2).sum(axis=(1, 2, 3)))


def arc_length(lensed: NDArray, sigma: ArrayLike, pixel_scale: float) -> NDArray:
    """Return the length of the longest connected part of the lensed light that can be seen.

    A part is what hangs together, corners included, above `ARC_LEVEL` sigma with the bands added
    in quadrature. Its length is that of the bent stadium (a band of constant width with round
    ends) of the same area ``A`` and perimeter ``P``: of width ``w = (P - sqrt(P^2 - 4 pi A)) /
    pi``, ``P / 2 + w (1 - pi / 2)`` from end to end along the middle. For a disc this is the
    diameter, for a full ring the circumference and one width. ``P`` comes from Crofton's formula
    with four directions, which a pixel grid does not bias.

    Parameters
    ----------
    lensed : array, shape (n, height, width, bands)
        Lensed light alone, noise-free.
    sigma : array, broadcast against ``lensed``
        Noise of every pixel in the same unit.
    pixel_scale : float
        [arcsec]

    Returns
    -------
    array, shape (n,)
        [arcsec]; 0 where nothing is seen.
    """
    from scipy import ndimage  # takes a while, and images of surveys have no need of it

    seen = (_significance(lensed, sigma) ** 2).sum(axis=3) > ARC_LEVEL**2
    within = np.zeros((3, 3, 3))
    within[1] = 1  # parts do not reach from one image into the next
    labels, count = ndimage.label(seen, within)
    if count == 0:
        return np.zeros(len(lensed))
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    padded = np.pad(labels, ((0, 0), (1, 1), (1, 1)))
    crossings = np.zeros(count)
    for down, right, spacing in ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 0.5**0.5), (1, -1, 0.5**0.5)):
        leaves = (padded != np.roll(padded, (-down, -right), (1, 2)))[:, 1:-1, 1:-1] & seen
        # a line leaves a part as often as it enters it
        crossings += 2 * spacing * np.bincount(labels[leaves], minlength=count + 1)[1:]
    perimeter = np.pi / 8 * crossings
    width = (perimeter - np.sqrt(np.maximum(perimeter**2 - 4 * np.pi * area, 0))) / np.pi
    length = perimeter / 2 + width * (1 - np.pi / 2)
    longest = np.zeros(len(lensed))
    owner = np.zeros(count + 1, np.int64)
    image = np.broadcast_to(np.arange(len(lensed))[:, None, None], labels.shape)
    owner[labels[seen]] = image[seen]
    np.maximum.at(longest, owner[1:], length)
    return longest * pixel_scale


def _significance(lensed: NDArray, sigma: ArrayLike) -> NDArray:
    return lensed / np.asarray(sigma, np.float64)
