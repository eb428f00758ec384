"""Photon and read noise of an exposure, from a random stream of each system's own.

Electrons are counted: a pixel expects ``(model + sky) * exposure`` of them, and each of the
``exposures`` that share the exposure time adds read noise. Where fewer than `FEW` are expected the
count is a Poisson number, elsewhere a Gaussian one of the same mean and variance. The noise of a
pixel is a function of the system's key and of the pixel's place: not of other systems, of the
order or of the number of threads.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensmill.imaging.approximations import F
from lensmill.imaging.compiling import exact, fast
from lensmill.imaging.streams import COUNTS, NOISE, draw, normals, pairs, uniform, words

FEW = 50.0  # expected electrons, below which counts are Poisson numbers

EXPOSURE, SKY, READ = range(3)  # columns of `_setup`

_MOST = 400  # electrons; never reached
_INVERSE = 1.0 / np.maximum(np.arange(_MOST + 1.0), 1.0)
_LOG_FACTORIAL = -np.cumsum(np.log(_INVERSE))


def sigma(
    model: NDArray,
    exposure: ArrayLike,
    sky: ArrayLike,
    read_noise: ArrayLike,
    exposures: ArrayLike = 1,
) -> NDArray:
    """Return the standard deviation of the noise of each pixel [electron / s].

    Arguments as for `observe`. Light below zero (in a model made of real, noisy images) adds no
    noise.
    """
    setup = _setup(model, exposure, sky, read_noise, exposures)
    exposure, sky, read = (column[:, None, None, :] for column in np.moveaxis(setup, 2, 0))
    variance = np.maximum((model + sky) * exposure, F(0)) + read
    return np.sqrt(variance) / exposure


def observe(
    pixels: NDArray,
    exposure: ArrayLike,
    sky: ArrayLike,
    read_noise: ArrayLike,
    exposures: ArrayLike,
    keys: NDArray,
) -> NDArray:
    """Return noisy images with the sky subtracted.

    Parameters
    ----------
    pixels : array, shape (n, height, width, bands)
        Noise-free images [electron / s].
    exposure : scalar, (bands,) or (n, bands)
        Total exposure time [s].
    sky : likewise
        Brightness of the sky [electron / s / pixel].
    read_noise : likewise
        Of one exposure [electron].
    exposures : likewise
        Number of exposures that share the exposure time.
    keys : array of uint64, shape (n,) or (n, 2)
        The key of each system's stream.

    Returns
    -------
    array, same shape, float32
        Electrons per second.
    """
    setup = _setup(pixels, exposure, sky, read_noise, exposures)
    keys = pairs(keys, len(pixels))
    out = np.array(pixels, dtype=np.float32, order="C")
    _observe(out.reshape(len(out), -1), setup, keys)
    return out


def correlate(pixels: NDArray, model: NDArray, sigma: NDArray, correlation: ArrayLike) -> NDArray:
    """Return images whose noise is correlated between neighbours, as resampling leaves it.

    Each pixel's noise, in units of its sigma, takes part of its neighbours' along rows and then
    along columns; its variance stays. The frame closes on itself: what is at one edge has its
    neighbours at the other.

    Parameters
    ----------
    pixels, model, sigma : array, shape (n, height, width, bands)
        With independent noise; without any; its standard deviation.
    correlation : array, shape (bands,)
        Of the noise of two pixels side by side, from 0 to 0.7.
    """
    rho = np.asarray(correlation, np.float32)
    # (z[-1] + z + z[+1]) with a part `part` of each neighbour: rho = 2 part / (1 + 2 part^2)
    part = rho / (1 + np.sqrt(1 - 2 * rho**2))
    z = (pixels - model) / sigma
    for axis in (1, 2):
        z = z + part * (np.roll(z, 1, axis) + np.roll(z, -1, axis))
    return (model + sigma * (z / (1 + 2 * part**2))).astype(np.float32)


@fast
def _observe(images, setup, keys):
    n, size = images.shape
    bands = setup.shape[1]
    blocks = (size + 3) // 4
    bits = np.empty((4, blocks), np.uint32)
    noise = np.empty((4, blocks), np.float32)
    z = noise.ravel()
    expected = np.empty(size, np.float32)
    # one value per pixel and band, so that the loops below run through memory without jumps
    exposure, sky = np.empty(size, np.float32), np.empty(size, np.float32)
    read, per_second = np.empty(size, np.float32), np.empty(size, np.float32)
    for i in range(n):
        image = images[i]
        if i == 0 or np.any(setup[i] != setup[i - 1]):
            for band in range(bands):
                exposure[band::bands] = setup[i, band, EXPOSURE]
                sky[band::bands] = setup[i, band, SKY]
                read[band::bands] = setup[i, band, READ]
                per_second[band::bands] = F(1) / setup[i, band, EXPOSURE]
        words(keys[i], NOISE, bits)
        normals(bits, noise)
        least = F(FEW)
        for p in range(size):
            counts = max((image[p] + sky[p]) * exposure[p], F(0))
            expected[p] = counts
            least = min(least, counts)
        for p in range(size):
            image[p] += z[p] * np.sqrt(expected[p] + read[p]) * per_second[p]
        if least < F(FEW):
            _count(expected, z, read, per_second, keys[i], image)


@exact
def _count(expected, z, read, per_second, key, image):
    """Take back the Gaussian noise of pixels with few electrons, count them instead."""
    for p in range(image.size):
        mean = float(expected[p])
        if mean < FEW:
            first, second, _, _ = draw(key, COUNTS, np.uint64(p))
            excess = poisson(mean, uniform(first, second)) - mean
            gaussian = np.sqrt(expected[p] + read[p]) - np.sqrt(read[p])
            image[p] += (excess - gaussian * z[p]) * per_second[p]


@exact
def poisson(mean, u):
    """Poisson number of ``mean`` below 100 for the uniform number ``u``.

    The possible outcomes take their share of ``u`` in the order of their distance from the mode.
    """
    if mean <= 0.0:
        return 0
    k = int(mean)
    p = np.exp(k * np.log(mean) - mean - _LOG_FACTORIAL[k])
    u -= p
    low, high, p_low, p_high = k, k, p, p
    while u > 0.0:
        high += 1
        p_high *= mean * _INVERSE[high]
        u -= p_high
        if u <= 0.0:
            return high
        if high == _MOST:  # the last bits of u were left over
            return k
        if low > 0:
            p_low *= low / mean
            low -= 1
            u -= p_low
            if u <= 0.0:
                return low
    return k


def _setup(
    pixels: NDArray,
    exposure: ArrayLike,
    sky: ArrayLike,
    read_noise: ArrayLike,
    exposures: ArrayLike,
) -> NDArray:
    """Exposure time, sky and variance of the read noise: shape (n, bands, 3), float32."""
    n, bands = len(pixels), pixels.shape[-1]
    columns = []
    for name, value, least in (
        ("exposure", exposure, 1e-6),
        ("sky", sky, 0.0),
        ("read_noise", read_noise, 0.0),
        ("exposures", exposures, 1.0),
    ):
        value = np.asarray(value, dtype=np.float64)
        if value.shape not in ((), (bands,), (n, bands)):
            raise ValueError(
                f"{name} has shape {value.shape}; give a number, one per band ({bands}) or one per "
                f"system and band ({n}, {bands})"
            )
        wrong = ~np.isfinite(value) | (value < least)
        if wrong.any():
            raise ValueError(f"{name} = {value[wrong][0]:g} must be finite and at least {least:g}")
        columns.append(np.broadcast_to(value, (n, bands)))
    exposure, sky, read_noise, exposures = columns
    return np.stack([exposure, sky, exposures * read_noise**2], axis=2).astype(np.float32)
