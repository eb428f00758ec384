"""Scenes to pixels: ray-tracing, light profiles, convolution.

The frame is a window on a larger sky: light goes on beyond its edge, as if each row and column
were continued by its last pixel. Pixel (row j, column i) of a frame of ``size`` is centred on
``x = (i - (size - 1) / 2) * pixel_scale``, ``y`` alike with j.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from lensmill.imaging import scenes as sky
from lensmill.imaging.psf import Psf, star
from lensmill.imaging.scenes import Light, Scenes
from lensmill.lensing.profiles import deflection


def render(
    scenes: Scenes,
    size: int,
    pixel_scale: float,
    psfs: Sequence[Psf],
    supersampling: int = 1,
    lensed: bool = True,
    refine: bool = True,
) -> tuple[NDArray, NDArray | None]:
    """Return the scenes as a telescope without noise would see them.

    Parameters
    ----------
    scenes : Scenes
        n systems.
    size : int
        Pixels on a side.
    pixel_scale : float
        Size of a pixel [arcsec].
    psfs : sequence of Psf
        One per band.
    supersampling : int
        Each pixel is the mean of ``supersampling**2`` rays.
    lensed : bool
        Whether the lensed light alone is wanted, too.
    refine : bool
        Whether pixels near the centre of a component get more rays than the others.

    Returns
    -------
    pixels : array, shape (n, size, size, bands), float32
        Flux in each pixel [electron / s], convolved with the point-spread function.
    lensed : array, same shape, float32, or None
        That of the components marked ``lensed`` alone.
    """
    sky.check(scenes)
    n, bands = scenes.lenses.theta_e.size, scenes.light.flux.shape[1]
    if len(psfs) != bands:
        raise ValueError(f"{len(psfs)} PSFs were given for {bands} bands; give one per band")
    pixels = np.zeros((n, size, size, bands), dtype=np.float32)
    arcs = np.zeros_like(pixels) if lensed else None
    central = sky.central_brightness(scenes.light)
    b = sky.sersic_b(scenes.light.index)
    place = (np.arange(size * supersampling) - (size * supersampling - 1) / 2) * (
        pixel_scale / supersampling
    )
    x, y = np.meshgrid(place, place)
    for i in range(n):
        theta_e, q, phi, slope, gamma1, gamma2, x0, y0 = (c[i] for c in scenes.lenses)
        ax, ay = deflection(x - x0, y - y0, theta_e, q, phi, slope, gamma1, gamma2)
        for c in range(scenes.first[i], scenes.first[i + 1]):
            part = Light(*(column[c] for column in scenes.light))
            for band, psf in enumerate(psfs):
                if part.kind == sky.POINT:
                    image = _point(part, psf, size, pixel_scale)
                else:
                    back = part.lensed * np.array([ax, ay])
                    shape = central[c] * brightness(part, b[c], x - back[0], y - back[1])
                    shape = _bin(shape, supersampling) * pixel_scale**2
                    image = _convolve(shape, psf)
                pixels[i, :, :, band] += part.flux[band] * image
                if lensed and part.lensed:
                    arcs[i, :, :, band] += part.flux[band] * image
    return pixels, arcs


def brightness(part: Light, b: float, x: NDArray, y: NDArray) -> NDArray:
    """Profile of one component at ``x, y`` [arcsec], in units of its `central_brightness`."""
    dx, dy = x - part.x, y - part.y
    c, s, root = np.cos(part.phi), np.sin(part.phi), np.sqrt(part.q)
    u, v = root * (c * dx + s * dy), (c * dy - s * dx) / root
    r = np.hypot(u, v)
    if part.kind == sky.RING:
        return np.exp(-((r - part.radius) ** 2) / (2 * part.width**2))
    light = np.exp(-b * (r / part.radius) ** (1 / part.index))
    if part.kind == sky.SPIRAL:
        turn = part.arms * (
            np.arctan2(v, u) - np.log(np.maximum(r, 1e-30) / part.radius) / np.tan(part.pitch)
        )
        contrast = part.contrast * r**2 / (r**2 + part.radius**2 / 16)
        light = light * (1 + contrast * np.cos(turn - part.phase))
    return light


def _bin(image: NDArray, factor: int) -> NDArray:
    size = image.shape[0] // factor
    return image.reshape(size, factor, size, factor).mean(axis=(1, 3))


def _convolve(image: NDArray, psf: Psf) -> NDArray:
    half = psf.kernel.shape[0] // 2
    return fftconvolve(np.pad(image, half, mode="edge"), psf.kernel, mode="valid")


def _point(part: Light, psf: Psf, size: int, pixel_scale: float) -> NDArray:
    image = np.zeros((size, size))
    half = (size - 1) / 2
    x, y = part.x / pixel_scale + half, part.y / pixel_scale + half
    i, j = int(np.rint(x)), int(np.rint(y))
    stamp = star(psf, x - i, y - j)
    reach = stamp.shape[0] // 2
    rows = slice(max(0, j - reach), max(0, min(size, j + reach + 1)))
    columns = slice(max(0, i - reach), max(0, min(size, i + reach + 1)))
    if rows.start < rows.stop and columns.start < columns.stop:
        image[rows, columns] = stamp[
            rows.start - j + reach : rows.stop - j + reach,
            columns.start - i + reach : columns.stop - i + reach,
        ]
    return image
