"""Photometry of the object in the middle of an image: magnitudes, colour, size and shape.

Images are in electrons per second of their observation, the sky subtracted. What is found is that
of the image as it is: blurred, and with all that lies on the object, arcs too.

- Flux in a circle of `APERTURE`, and in all: in a circle of `KRON` times the mean radius of the
  light (Kron 1980), pixels of other objects left out. A pixel counts by the part of it that is
  inside. Half of all is inside the half-light radius.
- Centre and shape by adaptive moments (Bernstein & Jarvis 2002): those of the light under a
  Gaussian of the same centre and moments, which is found by iteration. Axis ratio and position
  angle are those of moments less the moments of the point-spread function.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lensmill.imaging import camera, psf, quality
from lensmill.imaging.compiling import exact

APERTURE = 1.5  # radius of the aperture whose flux gives magnitude and colour [arcsec]
KRON = 2.5  # times the mean radius: nine tenths and more of the light of a galaxy are inside
NEAR = 1.5  # how far from the middle the object may lie [arcsec]
DETECTED = 1.5  # sigma above which a pixel of the smoothed image belongs to an object
BESIDE = 2.5  # how far from the object another one has its peak [arcsec]; what is nearer is its own
PEAK = 4.0  # of the peak of another object, in the noise of a pixel of the smoothed image
STEPS, CLOSE = 40, 1e-3  # of the iteration of moments, and when it ends [pixel]
LEAST_Q = 0.2
STAR_SNR = 20.0  # of the peak of a star that a width is taken from
STAR_ALONE = 2.0  # distance of a star from the middle, the edge and from other peaks [fwhm]
STAR_Q = 0.85
STAR_WIDTH = (0.6, 1.5)  # times the width that the observation has

UNITS = {
    "host_magnitude": "mag",
    "host_aperture_magnitude": "mag",
    "host_colour": "mag",
    "host_radius": "arcsec",
    "host_q": "",
    "host_phi": "rad",
    "host_x": "arcsec",
    "host_y": "arcsec",
}


class Moments(NamedTuple):
    """Adaptive moments of light, in pixels."""

    x: float  # from the middle of the image
    y: float
    xx: float
    yy: float
    xy: float


def measure(pixels: NDArray, observation: Mapping[str, Any]) -> dict[str, NDArray]:
    """Measure the objects in the middle of images.

    Parameters
    ----------
    pixels : array, shape (n, size, size, bands)
        [electron / s]
    observation : mapping
        ``pixel_scale`` and ``bands``, see `lensmill.imaging.camera`.

    Returns
    -------
    dict of array, shape (n,)
        ``host_magnitude`` (in all) and ``host_aperture_magnitude`` (AB, brought to i by the
        colour), ``host_colour`` (g - i in the aperture, by the two bands nearest to these; 0 if
        there is one band), ``host_radius`` (half-light radius), ``host_q``, ``host_phi``,
        ``host_x``, ``host_y`` (from the middle of the frame); units in `UNITS`. A flux counts as
        its noise at least, so that a magnitude is always a number.
    """
    bands = list(observation["bands"].values())
    wavelength = np.array([band["wavelength"] for band in bands], float)
    red = int(np.abs(wavelength - camera.WAVELENGTH_I).argmin())
    blue = int(np.abs(wavelength - camera.WAVELENGTH_G).argmin())
    redness = [camera.redness(band) for band in bands]
    zero = [band["zero_point"] for band in bands]
    scale = observation["pixel_scale"]
    widths = [moments_of_psf(band["psf"], scale) for band in bands]
    rows = []
    for image in pixels:
        total, aperture, radius, moments = _one(np.asarray(image, np.float64), scale, red)
        magnitudes = [z - 2.5 * np.log10(f) for z, f in zip(zero, aperture, strict=True)]
        colour = 0.0
        if redness[blue] != redness[red]:
            colour = (magnitudes[blue] - magnitudes[red]) / (redness[blue] - redness[red])
        to_i = colour * redness[red]
        q, phi = shape(moments, widths[red])
        rows.append(
            (
                zero[red] - 2.5 * np.log10(total) - to_i,
                magnitudes[red] - to_i,
                colour,
                radius * scale,
                q,
                phi,
                moments.x * scale,
                moments.y * scale,
            )
        )
    table = np.array(rows, np.float64).reshape(-1, len(UNITS))
    return dict(zip(UNITS, table.T, strict=True))


def moments_of_psf(settings: Any, pixel_scale: float) -> Moments:
    """Return the adaptive moments of a point-spread function as a survey gives it."""
    kernel = psf.from_settings(settings, pixel_scale).kernel
    return adaptive(kernel, 0.0, 0.0, 2.0)


def shape(moments: Moments, of_psf: Moments) -> tuple[float, float]:
    """Return axis ratio and position angle [rad] of light without its point-spread function."""
    xx, yy, xy = (getattr(moments, name) - getattr(of_psf, name) for name in ("xx", "yy", "xy"))
    least = 0.05 * (of_psf.xx + of_psf.yy) / 2  # a star has nothing left
    mean, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    mean = max(mean, least)
    q = np.sqrt(max(mean - half, 0.0) / (mean + half))
    return float(np.clip(q, LEAST_Q, 1.0)), float(0.5 * np.arctan2(2 * xy, xx - yy) % np.pi)


def adaptive(
    image: NDArray, x: float, y: float, variance: float, known: NDArray | None = None
) -> Moments:
    """Return the adaptive moments of what lies at a place.

    Parameters
    ----------
    image : array, shape (height, width)
    x, y : float
        Where to begin, from the middle of the image [pixel].
    variance : float
        Where to begin [pixel^2].
    known : array of bool, same shape, optional
        Pixels that count.
    """
    height, width = image.shape
    u = np.arange(width) - (width - 1) / 2
    v = (np.arange(height) - (height - 1) / 2)[:, None]
    light = image if known is None else np.where(known, image, 0.0)
    first = Moments(x, y, variance, variance, 0.0)
    now = first
    for _ in range(STEPS):
        du, dv = u - now.x, v - now.y
        det = now.xx * now.yy - now.xy**2
        r2 = (now.yy * du**2 - 2 * now.xy * du * dv + now.xx * dv**2) / det
        weight = np.exp(-0.5 * np.minimum(r2, 60.0)) * light
        norm = weight.sum()
        if not norm > 0:
            return first
        cx, cy = (weight * du).sum() / norm, (weight * dv).sum() / norm
        # the weight halves the moments of what is like it
        xx, yy, xy = (2 * (weight * a * b).sum() / norm for a, b in ((du, du), (dv, dv), (du, dv)))
        # noise may make an ellipse that is none
        trace, largest = xx + yy, min(height, width) ** 2 / 4.0
        if not (0.2 < trace < largest and xx * yy - xy**2 > 0.01 * trace**2):
            return now
        new = Moments(now.x + cx, now.y + cy, xx, yy, xy)
        if np.hypot(new.x - x, new.y - y) > max(3.0, np.sqrt(variance)) * 2:
            return first
        close = max(abs(a - b) for a, b in zip(new, now, strict=True)) < CLOSE
        now = new
        if close:
            break
    return now


def star_width(image: NDArray, sigma: float, settings: Any, pixel_scale: float) -> float | None:
    """Return the full width at half maximum of a star in an image [arcsec]; None without one.

    A peak of `STAR_SNR` that is round, alone, off the middle and about as wide as the observation
    says. Of several the narrowest: a galaxy is never narrower than a star. The width is that of
    the observation's profile, times the ratio of adaptive moments.
    """
    ours = moments_of_psf(settings, pixel_scale)
    fwhm = settings.get("gaussian") or settings.get("moffat")
    reach = STAR_ALONE * fwhm / pixel_scale
    smooth = ndimage.gaussian_filter(image, np.sqrt(ours.xx) / 2)
    peaks = smooth == ndimage.maximum_filter(smooth, size=5)
    rows, columns = np.nonzero(peaks & (smooth > 3 * sigma))
    height, width = image.shape
    found = []
    for row, column in zip(rows, columns, strict=True):
        x, y = column - (width - 1) / 2, row - (height - 1) / 2
        apart = np.hypot(rows - row, columns - column)
        apart[apart == 0] = np.inf
        edge = min(row, column, height - 1 - row, width - 1 - column)
        faint = image[row, column] < STAR_SNR * sigma
        if faint or edge < reach or np.hypot(x, y) < reach or apart.min(initial=np.inf) < reach:
            continue
        one = adaptive(image, x, y, ours.xx)
        mean, half = (one.xx + one.yy) / 2, np.hypot((one.xx - one.yy) / 2, one.xy)
        ratio = np.sqrt(mean / ours.xx)
        if (
            np.sqrt((mean - half) / (mean + half)) > STAR_Q
            and STAR_WIDTH[0] < ratio < STAR_WIDTH[1]
        ):
            found.append(fwhm * ratio)
    return min(found, default=None)


def _one(image: NDArray, scale: float, red: int) -> tuple[float, NDArray, float, Moments]:
    """Return total flux in one band, that in the aperture in all, radius and moments [pixel]."""
    size = image.shape[0]
    sigma = quality.sky_sigma(image[None])[0]
    sigma = np.where(sigma > 0, sigma, 1e-30)
    best = (image / sigma**2).sum(axis=2) / np.sqrt((1 / sigma**2).sum())  # in units of its noise
    smooth = ndimage.gaussian_filter(best, 1.0)
    seen = smooth > DETECTED * 2 / (2 * np.sqrt(np.pi))  # twice what noise is, smoothed so
    x, y = _peak(smooth, NEAR / scale)
    mine, known = _apart(smooth, seen, x, y, BESIDE / scale)
    moments = adaptive(best, x, y, 4.0, known)
    if np.hypot(moments.x - x, moments.y - y) > NEAR / scale:
        moments = moments._replace(x=x, y=y)
    r = _radii(size, moments.x, moments.y)
    aperture = _circle(r, APERTURE / scale)
    area = np.sqrt((aperture**2).sum())
    in_aperture = np.maximum((image * aperture[..., None]).sum(axis=(0, 1)), area * sigma)
    light = np.where(known, image[..., red], 0.0)
    largest = size / 2 - np.hypot(moments.x, moments.y)
    weight = np.where(mine & (r < largest), np.maximum(light, 0), 0.0)
    mean_radius = (weight * r).sum() / weight.sum() if weight.sum() > 0 else 1.5
    reach = float(np.clip(KRON * mean_radius, min(APERTURE / scale, largest), largest))
    radii = np.arange(0.5, reach + 0.5, 0.5)
    growth = np.array([(light * _circle(r, a)).sum() for a in radii])
    total = max(float(np.interp(reach, radii, growth)), float(sigma[red] * np.sqrt(np.pi) * reach))
    inside = np.maximum.accumulate(np.concatenate([[0.0], growth])) / total
    radius = float(np.interp(0.5, inside, np.concatenate([[0.0], radii])))
    return total, in_aperture, radius, moments


def _apart(
    smooth: NDArray, seen: NDArray, x: float, y: float, apart: float
) -> tuple[NDArray, NDArray]:
    """Return the pixels of the object at a place, and those that no other object has.

    Others have a peak of their own at least ``apart`` away; the valleys between part them.
    """
    size = smooth.shape[0]
    row, column = round(y + (size - 1) / 2), round(x + (size - 1) / 2)
    peaks = (smooth == ndimage.maximum_filter(smooth, size=7)) & (smooth > PEAK)
    peaks &= _radii(size, x, y) >= apart
    rows, columns = np.nonzero(peaks)
    owner = np.full((size + 2, size + 2), -1)  # with a rim of nobody's
    height = np.full(owner.shape, -np.inf)
    height[1:-1, 1:-1] = smooth
    at = np.stack([np.append(row, rows) + 1, np.append(column, columns) + 1])
    owner[at[0], at[1]] = np.arange(at.shape[1])
    if rows.size:
        there = np.argwhere(np.pad(seen, 1))
        downhill = np.argsort(-height[there[:, 0], there[:, 1]], kind="stable")
        _flood(np.ascontiguousarray(there[downhill]), at, height, owner)
    ours = seen & (owner[1:-1, 1:-1] <= 0)  # with nobody else there, what is seen is one's own
    labels, _ = ndimage.label(ours)
    mine = ours & (labels == labels[row, column])
    return mine, ~seen | mine


@exact
def _flood(there, at, height, owner):
    """Give pixels, from the highest down, to whom the highest beside each belongs.

    A peak that is nobody's goes to the nearest of the places ``at``.
    """
    for p in range(len(there)):
        j, i = there[p]
        if owner[j, i] >= 0:
            continue
        best, level = -1, -np.inf
        for b in range(j - 1, j + 2):
            for a in range(i - 1, i + 2):
                if owner[b, a] >= 0 and height[b, a] > level:
                    best, level = owner[b, a], height[b, a]
        if best < 0:
            nearest = np.inf
            for k in range(at.shape[1]):
                apart = (at[0, k] - j) ** 2 + (at[1, k] - i) ** 2
                if apart < nearest:
                    best, nearest = k, apart
        owner[j, i] = best


def _peak(smooth: NDArray, reach: float) -> tuple[float, float]:
    """Return the place of the brightest pixel near the middle."""
    size = smooth.shape[0]
    near = _radii(size, 0.0, 0.0) <= max(reach, 1.5)
    row, column = np.unravel_index(np.where(near, smooth, -np.inf).argmax(), smooth.shape)
    return column - (size - 1) / 2, row - (size - 1) / 2


def _radii(size: int, x: float, y: float) -> NDArray:
    place = np.arange(size) - (size - 1) / 2
    return np.hypot(place - x, place[:, None] - y)


def _circle(r: NDArray, radius: float) -> NDArray:
    """Return which part of each pixel lies within a circle, about."""
    return np.clip(radius + 0.5 - r, 0.0, 1.0)
