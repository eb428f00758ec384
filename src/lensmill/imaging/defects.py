"""Artefacts of a detector besides noise: cosmic rays, bad pixels and columns, NaN.

Every band has defects of its own. Like the noise they are a function of the system's key alone, and
with other purposes than the noise: the same key serves both.
"""

import numpy as np
from numpy.typing import NDArray

from lensmill.imaging.compiling import exact
from lensmill.imaging.noise import poisson
from lensmill.imaging.streams import COLUMNS, PIXELS, RAYS, draw, pairs, uniform

_PER_32_BITS = 2.0**-32
_MOST_RAYS = 99.0  # mean number, that of `noise.poisson`


def add(
    pixels: NDArray,
    keys: NDArray,
    cosmic_rays: float = 0.0,
    bad_pixels: float = 0.0,
    bad_columns: float = 0.0,
    nan_pixels: float = 0.0,
    ray_brightness: float = 1.0,
    ray_length: float = 5.0,
    bad_value: float = 0.0,
) -> tuple[NDArray, NDArray]:
    """Return images with defects, and where these are.

    Parameters
    ----------
    pixels : array, shape (n, height, width, bands)
        Images; left as they are.
    keys : array of uint64, shape (n,) or (n, 2)
        The key of each system's stream.
    cosmic_rays : float
        Mean number of cosmic rays in each image of one band, below 99.
    bad_pixels, nan_pixels : float
        Probability of a pixel to be bad, or not a number.
    bad_columns : float
        Probability of a column to be bad.
    ray_brightness : float
        Mean of what a cosmic ray leaves in each pixel it crosses, the unit that of the images;
        distributed exponentially from ray to ray.
    ray_length : float
        Mean length of the straight trails [pixel], distributed exponentially.
    bad_value : float
        What bad pixels and columns are set to.

    Returns
    -------
    pixels : array, same shape, float32
    mask : array, same shape, bool
        Pixels with any defect.
    """
    for name, value in (
        ("bad_pixels", bad_pixels),
        ("bad_columns", bad_columns),
        ("nan_pixels", nan_pixels),
    ):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} = {value:g} is a probability and must lie in [0, 1]")
    if not 0 <= cosmic_rays < _MOST_RAYS:
        raise ValueError(
            f"cosmic_rays = {cosmic_rays:g} per image must lie between 0 and {_MOST_RAYS:g}"
        )
    out = np.array(pixels, dtype=np.float32, order="C")
    mask = np.zeros(out.shape, dtype=bool)
    if cosmic_rays > 0:
        _rays(out, mask, pairs(keys, len(out)), cosmic_rays, ray_brightness, ray_length)
    if bad_pixels > 0 or nan_pixels > 0 or bad_columns > 0:
        rates = (bad_pixels, nan_pixels, bad_columns)
        _bad(out, mask, pairs(keys, len(out)), *rates, np.float32(bad_value))
    return out, mask


@exact
def _rays(images, mask, keys, mean, brightness, length):
    n, height, width, bands = images.shape
    for i in range(n):
        for band in range(bands):
            first, second, _, _ = draw(keys[i], RAYS, np.uint64(band))
            for ray in range(poisson(mean, uniform(first, second))):
                # the first `bands` places are the numbers of rays; two places for each ray
                place = bands + 2 * (ray * bands + band)
                a, b, c, d = draw(keys[i], RAYS, np.uint64(place))
                e, _, _, _ = draw(keys[i], RAYS, np.uint64(place + 1))
                light = np.float32(-brightness * np.log((a + 0.5) * _PER_32_BITS))
                reach = -length * np.log((b + 0.5) * _PER_32_BITS)
                angle = 2.0 * np.pi * c * _PER_32_BITS
                x, y = width * d * _PER_32_BITS, height * e * _PER_32_BITS
                # half a pixel at a time, so that the trail has no gaps
                last_row = last_column = -1
                for step in range(int(2.0 * reach) + 1):
                    column = int(np.floor(x + 0.5 * step * np.cos(angle)))
                    row = int(np.floor(y + 0.5 * step * np.sin(angle)))
                    if not (0 <= row < height and 0 <= column < width):
                        break
                    if row != last_row or column != last_column:
                        images[i, row, column, band] += light
                        mask[i, row, column, band] = True
                    last_row, last_column = row, column


@exact
def _bad(images, mask, keys, pixel_rate, nan_rate, column_rate, value):
    n, height, width, bands = images.shape
    for i in range(n):
        for band in range(bands):
            for column in range(width):
                word, _, _, _ = draw(keys[i], COLUMNS, np.uint64(column * bands + band))
                bad_column = word * _PER_32_BITS < column_rate
                for row in range(height):
                    place = (row * width + column) * bands + band
                    a, b, _, _ = draw(keys[i], PIXELS, np.uint64(place))
                    if bad_column or a * _PER_32_BITS < pixel_rate:
                        images[i, row, column, band] = value
                        mask[i, row, column, band] = True
                    if b * _PER_32_BITS < nan_rate:
                        images[i, row, column, band] = np.nan
                        mask[i, row, column, band] = True
