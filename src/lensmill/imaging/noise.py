"""The noise of an exposure, from a stream of each system's own.

Electrons are counted: a pixel expects ``(model + sky) * exposure`` of them and each of the
``exposures`` adds read noise. Where fewer than `FEW` are expected the count is a Poisson number,
elsewhere a Gaussian one of the same mean and variance.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEW = 50.0  # electrons, below which counts are Poisson numbers


def sigma(
    model: NDArray,
    exposure: ArrayLike,
    sky: ArrayLike,
    read_noise: ArrayLike,
    exposures: ArrayLike = 1,
) -> NDArray:
    """Return the standard deviation of each pixel's noise [electron / s]; arguments as `observe`.

    Light below zero (in a model made of real, noisy images) adds no noise.
    """
    exposure, sky, read = _per_system(model, exposure, sky, read_noise, exposures)
    variance = np.maximum((model + sky) * exposure, 0) + read
    return (np.sqrt(variance) / exposure).astype(np.float32)


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
        Key of each system's stream: the noise is a function of it and of nothing else.

    Returns
    -------
    array, same shape, float32
        Electrons per second.
    """
    exposure, sky, read = _per_system(pixels, exposure, sky, read_noise, exposures)
    keys = np.asarray(keys, dtype=np.uint64).reshape(len(pixels), -1)
    out = np.empty(pixels.shape, dtype=np.float32)
    for i, model in enumerate(pixels):
        rng = np.random.Generator(np.random.Philox(key=np.resize(np.append(keys[i], 0), 2)))
        expected = np.maximum((model + sky[i]) * exposure[i], 0)
        counts = expected + np.sqrt(expected) * rng.standard_normal(model.shape)
        few = expected < FEW
        counts[few] = rng.poisson(expected[few])
        counts = counts + np.sqrt(read[i]) * rng.standard_normal(model.shape)
        out[i] = counts / exposure[i] - sky[i]
    return out


def _per_system(
    pixels: NDArray,
    exposure: ArrayLike,
    sky: ArrayLike,
    read_noise: ArrayLike,
    exposures: ArrayLike,
) -> tuple[NDArray, NDArray, NDArray]:
    """Exposure time, sky and variance of the read noise, each of shape (n, 1, 1, bands)."""
    n, bands = len(pixels), pixels.shape[-1]
    columns = []
    for name, value, least in (
        ("exposure", exposure, np.nextafter(0, 1)),
        ("sky", sky, 0.0),
        ("read_noise", read_noise, 0.0),
        ("exposures", exposures, 1.0),
    ):
        value = np.asarray(value, dtype=np.float64)
        if value.ndim > 2 or not np.isfinite(value).all() or (value < least).any():
            raise ValueError(f"{name} must be a number, (bands,) or (n, bands) of at least {least}")
        columns.append(np.broadcast_to(value, (n, bands))[:, None, None, :])
    exposure, sky, read_noise, exposures = columns
    return exposure, sky, exposures * read_noise**2
