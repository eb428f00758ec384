"""The steps that bring one band of a survey's image to the frame of an observation.

In order: `masked` -> `sky` -> `fill` -> `to_frame`. Images are (height, width), float64, in
the survey's unit; pixels are flux per pixel. The frame's centre is the image's centre.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

from lensmill.imaging import quality

SAME_SCALE = 0.01  # pixel scales that differ by less are taken as one: 1 pixel in 100
CLIP = 3.0  # sigma beyond which a border pixel is light and not sky
CLIPS = 5  # rounds of clipping at most
REACH = 5  # side of the square from which the median of good neighbours is taken [pixel]


class Sky(NamedTuple):
    """The sky of one band: its level and the noise of a pixel."""

    level: float
    sigma: float


def masked(pixels: NDArray, values: Sequence[float] = ()) -> NDArray:
    """Return which pixels carry no measurement: NaN, infinite, or exactly one of ``values``."""
    # 1e8 in an image of float32 is the float32 nearest to it
    values = np.asarray(values, pixels.dtype if pixels.dtype.kind == "f" else np.float64)
    return ~np.isfinite(pixels) | np.isin(pixels, values)


def sky(pixels: NDArray, mask: NDArray) -> Sky:
    """Return the sigma-clipped median of the good border pixels, and the scatter of all by MAD.

    Without a good border pixel, of all good pixels. Where more than half of them have one value
    the scatter is 0.
    """
    good = ~mask & quality.border(*pixels.shape)
    values = pixels[good if good.any() else ~mask].astype(np.float64)
    level, sigma = _middle(values)
    noise = sigma
    for _ in range(CLIPS):
        kept = values[np.abs(values - level) <= CLIP * sigma]
        if len(kept) == len(values):
            break
        values = kept
        level, sigma = _middle(values)
    return Sky(level, noise)


def _middle(values: NDArray) -> tuple[float, float]:
    """Return the median and the scatter by MAD."""
    level = np.median(values)
    return float(level), float(quality.MAD_TO_SIGMA * np.median(np.abs(values - level)))


def fill(pixels: NDArray, mask: NDArray, how: str = "median") -> NDArray:
    """Return sky-subtracted pixels with the masked ones replaced.

    ``median``: by the median of the good pixels in the surrounding square of `REACH`; where there
    are none, and everywhere with ``sky``, by 0, the level of the sky.
    """
    filled = np.where(mask, 0.0, pixels)
    if how == "sky" or not mask.any():
        return filled
    half = REACH // 2
    holes = np.pad(np.where(mask, np.nan, pixels), half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(holes, (REACH, REACH))[mask]
    windows = windows.reshape(len(windows), -1)
    known = np.isfinite(windows).any(axis=1)
    values = np.zeros(len(windows))
    values[known] = np.nanmedian(windows[known], axis=1)
    filled[mask] = values
    return filled


def to_frame(pixels: NDArray, mask: NDArray, ratio: float, size: int) -> tuple[NDArray, NDArray]:
    """Resample, and crop or pad with 0, an image to ``size`` pixels a side about its centre.

    Pixels hold the flux that falls into them, and the flux is conserved. With ``ratio`` within
    `SAME_SCALE` of 1 no pixel is changed; the frame's centre then lies half a pixel off the
    image's if one side is even and the other odd. To larger pixels, each receives the flux of the
    area it covers. To smaller ones, the cumulative flux along each axis is interpolated by a
    cubic spline and differenced: smooth, but noise becomes correlated and point sources ring at
    the level of some per cent.

    Parameters
    ----------
    pixels : array, shape (height, width)
        Sky-subtracted and filled.
    mask : array of bool, same shape
        Pixels that were filled.
    ratio : float
        Side of a pixel of the frame in pixels of the image.
    size : int
        Side of the frame [pixel].

    Returns
    -------
    frame : array, shape (size, size)
    masked : array, shape (size, size)
        Part of each pixel, 0 to 1, that was masked or lies beyond the image.
    """
    good = (~mask).astype(np.float64)
    if abs(ratio - 1) < SAME_SCALE:
        return _crop(pixels, size), 1 - _crop(good, size)
    order = 1 if ratio > 1 else 3
    rows, columns = (_weights(n, ratio, size, order) for n in pixels.shape)
    frame = rows @ pixels @ columns.T
    rows, columns = (_weights(n, ratio, size, 1) for n in pixels.shape)
    return frame, np.clip(1 - rows @ good @ columns.T / ratio**2, 0, 1)


def _crop(pixels: NDArray, size: int) -> NDArray:
    frame = np.zeros((size, size))
    source, target = zip(*(_overlap(n, size) for n in pixels.shape), strict=True)
    frame[target] = pixels[source]
    return frame


def _overlap(n: int, size: int) -> tuple[slice, slice]:
    """Return which part of an axis of length ``n`` goes to which part of the frame's."""
    count = min(n, size)
    first, to = (n - count) // 2, (size - count) // 2
    return slice(first, first + count), slice(to, to + count)


@functools.lru_cache(maxsize=64)
def _weights(n: int, ratio: float, size: int, order: int) -> NDArray:
    """Return the part of the flux of each of ``n`` pixels that goes to each of the frame's.

    By interpolation of the cumulative flux: linear, it is the overlap of the pixels.
    """
    edges = np.arange(n + 1) - n / 2
    cumulative = np.vstack([np.zeros(n), np.cumsum(np.eye(n), axis=0)])
    order = min(order, n)
    spline = make_interp_spline(edges, cumulative, order)
    wanted = (np.arange(size + 1) - size / 2) * ratio
    return np.diff(spline(np.clip(wanted, edges[0], edges[-1])), axis=0)
