"""Point-spread functions: the image of a star in pixels.

A kernel is a square array with an odd number of pixels on a side and the star in the middle of the
central one; its values sum to 1, so convolution keeps the flux. It says how much light each pixel
receives, the response of the pixel included: a ``fwhm`` is that of stars as measured in the
survey's images, and the analytic profiles are sampled at the centres of pixels (not averaged over
them a second time). Kernels end where the Gaussian is at 5 standard deviations and where 99.5 % of
the light of the Moffat profile is inside, or at 100 pixels; the normalisation puts the rest back.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

GAUSSIAN, MOFFAT, PIXELS = range(3)
LARGEST_RADIUS = 100  # pixels


class Psf(NamedTuple):
    """A point-spread function at one pixel scale."""

    kernel: NDArray  # shape (k, k), k odd, sum 1
    supersampling: int  # kernel pixels per image pixel along an axis
    kind: int  # GAUSSIAN, MOFFAT or PIXELS
    width: float  # standard deviation, or scale radius of Moffat [kernel pixels]
    beta: float  # exponent of Moffat


def gaussian(fwhm: float, pixel_scale: float, supersampling: int = 1) -> Psf:
    """Return the circular Gaussian with full width at half maximum ``fwhm`` [arcsec]."""
    _positive("fwhm", fwhm)
    sigma = fwhm / (2.0 * np.sqrt(2.0 * np.log(2.0))) / pixel_scale * supersampling
    return _analytic(GAUSSIAN, sigma, 0.0, 5.0 * sigma, supersampling)


def moffat(fwhm: float, beta: float, pixel_scale: float, supersampling: int = 1) -> Psf:
    """Return the profile ``(1 + (r / alpha)**2)**-beta`` of given ``fwhm`` [arcsec]."""
    _positive("fwhm", fwhm)
    if not beta > 1:
        raise ValueError(f"beta = {beta:g} of a Moffat profile must be > 1: its light is infinite")
    alpha = fwhm / (2.0 * np.sqrt(2.0 ** (1.0 / beta) - 1.0)) / pixel_scale * supersampling
    reach = alpha * np.sqrt(0.005 ** (1.0 / (1.0 - beta)) - 1.0)
    return _analytic(MOFFAT, alpha, beta, reach, supersampling)


def pixels(kernel: ArrayLike, supersampling: int = 1) -> Psf:
    """Return the point-spread function of an image of a star, brought to sum 1.

    Parameters
    ----------
    kernel : array, shape (k, k), k odd
        The star, background subtracted, its centre in the middle of the array.
    supersampling : int
        Pixels of ``kernel`` per pixel of the images.
    """
    kernel = np.array(kernel, dtype=np.float64)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.shape[0] % 2 == 0:
        raise ValueError(
            f"a PSF must be a square image with an odd number of pixels on a side, not of shape "
            f"{kernel.shape}; pad or crop it so that the star is in the middle"
        )
    if not np.isfinite(kernel).all():
        bad = np.argwhere(~np.isfinite(kernel))
        raise ValueError(
            f"{len(bad)} pixels of the PSF are not finite (first: row {bad[0][0]}, column "
            f"{bad[0][1]}); replace them before use"
        )
    total = kernel.sum()
    if total <= 0:
        raise ValueError(f"the pixels of the PSF sum to {total:g}; a star must have positive flux")
    middle = kernel.shape[0] // 2
    row, column = np.unravel_index(kernel.argmax(), kernel.shape)
    if max(abs(row - middle), abs(column - middle)) > max(1, supersampling // 2):
        raise ValueError(
            f"the PSF is brightest in row {row}, column {column}, but its centre is row {middle}, "
            f"column {middle}; shift it there, or all images would be displaced"
        )
    return Psf(kernel / total, supersampling, PIXELS, 0.0, 0.0)


def from_settings(settings: Mapping | ArrayLike, pixel_scale: float, supersampling: int = 1) -> Psf:
    """Return the kernel that the settings of a survey describe.

    Parameters
    ----------
    settings : mapping or array
        ``{gaussian: fwhm}``, ``{moffat: fwhm, beta: ...}`` (fwhm in arcsec), or the pixels.
    pixel_scale : float
        Size of an image pixel [arcsec].
    supersampling : int
        Kernel pixels per image pixel along an axis.
    """
    if not isinstance(settings, Mapping):
        return pixels(settings, supersampling)
    if set(settings) == {"gaussian"}:
        return gaussian(settings["gaussian"], pixel_scale, supersampling)
    if set(settings) == {"moffat", "beta"}:
        return moffat(settings["moffat"], settings["beta"], pixel_scale, supersampling)
    raise ValueError(
        f"a PSF with the keys {sorted(settings)} is not known; give {{gaussian: fwhm}} or "
        f"{{moffat: fwhm, beta: exponent}}"
    )


def _profile(kind: int, width: float, beta: float, x: NDArray, y: NDArray) -> NDArray:
    r2 = (x * x + y * y) / width**2
    return np.exp(-0.5 * r2) if kind == GAUSSIAN else (1.0 + r2) ** -beta


def _analytic(kind: int, width: float, beta: float, reach: float, supersampling: int) -> Psf:
    radius = max(1, int(np.ceil(reach)))
    if radius > LARGEST_RADIUS * supersampling:
        radius = LARGEST_RADIUS * supersampling
    place = np.arange(-radius, radius + 1.0)
    kernel = _profile(kind, width, beta, place, place[:, None])
    return Psf(kernel / kernel.sum(), supersampling, kind, float(width), float(beta))


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} = {value:g} arcsec of a PSF must be > 0")
