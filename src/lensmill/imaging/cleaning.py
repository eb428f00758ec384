"""Cleaning of one band of a survey's image: mask, sky subtraction, interpolation, resampling.

In order: `masked` -> `sky` -> `fill` -> `to_frame`. Images are (height, width), float64, in
the survey's unit; pixels are flux per pixel. The frame's centre is the image's centre. Parts of
scipy are loaded where they are used: they take a third of the time in which a job begins, and most
surveys need none of them.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.imaging import quality

SAME_SCALE = 0.01  # pixel scales that differ by less are taken as one: 1 pixel in 100
CLIP = 3.0  # sigma beyond which a border pixel is light and not sky
CLIPS = 5  # rounds of clipping at most
REACH = 5  # side of the square from which the median of good neighbours is taken [pixel]
GAP_ABOVE, GAP_BELOW = 1e3, 10.0  # times the next value, beyond which a value stands alone
SAME_MARK = 0.01  # relative difference up to which values that stand alone are named as one
BESIDE = 8  # different values on each side of one that say how often a value occurs there
CHANCE = 1e-12  # of a value to occur so often by chance: 1e6 images of 1e4 values each
FEWEST_TIES = 0.05  # expected of a value in an image whose values are all different
SIX_DIGITS = 2.0**-20  # to which numbers are rounded where interpolation may have blurred a mark
# Bins of two steps hold two values each where steps were not dithered; a mark that was spread over
# one step lies whole in a bin of one of four offsets.
LOSSY_BIN, LOSSY_OFFSETS = 2, 4
FLAT = 7  # side of a square that has one value only [pixel]
# ASSUME: a star that saturates has wings: somewhere at the rim of what has its highest value is a
# pixel of a quarter of it, and most of the rim is above the sky. A mark has none, unless it lies
# in the middle of something as bright.
WINGS = 0.25
IN_SKY = 10.0  # sigma
BRIGHT = 5.0  # sigma above the sky from which a value may be that of a saturated star


class Sky(NamedTuple):
    """The sky of one band: its level and the noise of a pixel."""

    level: float
    sigma: float


class Mark(NamedTuple):
    """A flag value: one that is no measurement."""

    value: float
    count: int  # pixels that have it
    usual: float  # pixels that have a value beside it


def masked(
    pixels: NDArray, values: Sequence[float] = (), step: float = 0.0, exact_zero: bool = True
) -> NDArray:
    """Return the mask of pixels without a measurement: NaN, infinite, or one of ``values``.

    Exactly, or to half a ``step`` where the file holds whole numbers of steps: a mark is then
    stored as the nearest, or anywhere within half of one if the steps were dithered. Where zeros
    are exact, as one compression keeps them, only these are meant.
    """
    # 1e8 in an image of float32 is the float32 nearest to it
    kind = pixels.dtype if pixels.dtype.kind == "f" else np.dtype(np.float64)
    mask = ~np.isfinite(pixels)
    if len(values):
        mask |= np.isin(pixels, np.asarray(values, kind))
    if step > 0 and pixels.dtype.kind == "f":
        for value in values:
            if value == 0 and exact_zero:
                continue
            rounding = 4 * np.finfo(kind).eps * abs(value)
            mask |= np.abs(pixels - kind.type(value)) <= 0.5 * step + rounding
    return mask


def alike(ordered: NDArray, fewest: int) -> bool:
    """Say whether so many values may be one, exactly or to six digits: what `repeated` looks for.

    Parameters
    ----------
    ordered : array, shape (n,)
        The good pixels in order of value. That none are alike, as in most images of real numbers,
        is seen in a tenth of the time that looking for them takes.
    fewest : int
        As for `repeated`.
    """
    if fewest > FLAT**2:  # even fewer, side by side, are found
        return True
    values = ordered if ordered.dtype.kind == "f" else ordered.astype(np.float64)
    low, high = values[: len(values) - fewest + 1], values[fewest - 1 :]
    # rounded to the same six digits, they are no further apart than one step of the largest; twice
    # that, since 32 bits round the difference
    step = values.dtype.type(4 * SIX_DIGITS)
    with np.errstate(over="ignore"):  # what is too far apart for its type is not alike
        apart = high - low
        if apart.size and apart.min() > step * max(-values[0], values[-1]):
            return False
        return bool((apart <= step * np.maximum(-low, high)).any())


def alone(values: NDArray, sky: Sky, above: float, below: float) -> list[Mark]:
    """Return the outliers: values too far from the sky, and from every other, to be light.

    Parameters
    ----------
    values : array
        Of the good pixels.
    sky : Sky
        Of the image.
    above, below : float
        How many times the noise a value must lie above the sky, or below it.
    """
    marks = []
    offset = values.astype(np.float64) - sky.level
    for size, limit, gap in ((offset, above, GAP_ABOVE), (-offset, below, GAP_BELOW)):
        if size.max() < limit * sky.sigma:
            continue
        ordered = np.sort(size)
        next_one = np.maximum(np.concatenate([[0.0], ordered[:-1]]), sky.sigma)
        apart = (ordered >= limit * sky.sigma) & (ordered > gap * next_one)
        if apart.any():
            far = np.sort(values[size >= ordered[apart.argmax()]].astype(np.float64))
            for part in np.split(
                far, np.flatnonzero(np.diff(far) > SAME_MARK * np.abs(far[1:])) + 1
            ):
                marks.append(Mark(float(np.median(part)), len(part), 0))
    return sorted(marks, key=lambda mark: -mark.count)


def repeated(
    pixels: NDArray,
    mask: NDArray,
    sky: Sky,
    fewest: int,
    fraction: float,
    ratio: float,
    lossy: float = 0.0,
    exact_zero: bool = True,
) -> list[Mark]:
    """Return the values that occur too often to be measured, the most frequent first.

    A value is compared with those beside it in value: in an image of real numbers each occurs
    once, in one of whole numbers, rounded or enlarged each occurs often, and its neighbours do as
    well. It is found wherever it stands, in the level of the sky too. What saturates, and has
    wings, is left out. To six digits, values are one: interpolation has blurred them.

    Parameters
    ----------
    pixels : array, shape (height, width)
    mask : array of bool, same shape
        Pixels that are known to be none.
    sky : Sky
        Of the image.
    fewest : int
        Pixels of a value below which it is let pass.
    fraction : float
        Of all pixels, below which a value within `IN_SKY` sigma of the sky is let pass: it changes
        nothing, and surveys fill holes of a few pixels with one value.
    ratio : float
        How many times as many pixels as a value beside it one must have.
    lossy : float
        Step of a lossy compression that has spread every value over up to one step.
    exact_zero : bool
        Whether it has not spread the zeros. If it has, and without dithering, zero is the one value
        that steps of different lengths share.
    """
    good = ~mask
    values = pixels[good].astype(np.float64)
    candidates = []
    # six digits of a bright sky would round away its noise
    digits = pixels.dtype.kind == "f" and abs(sky.level) * SIX_DIGITS < 0.01 * sky.sigma
    exact = not lossy or exact_zero
    for keys in _keys(values, exact, exact and digits, lossy):
        for key, usual in _frequent(keys, fewest, ratio):
            same = keys == key
            candidates.append((int(same.sum()), usual, same))
    if not candidates:
        candidates = _flat(pixels, good, ratio)
    near, far = [], []
    seen, gone = np.zeros((2, len(values)), bool)
    # where the steps of a compression are as wide as the noise, most of the sky has one of them
    itself = LOSSY_BIN * lossy if LOSSY_BIN * lossy > sky.sigma else 0.0
    for count, usual, same in sorted(candidates, key=lambda one: -one[0]):
        if (same & seen).any() or _has_wings(pixels, good, same, sky):
            continue
        seen |= same
        value = float(np.median(values[same]))
        off = abs(value - sky.level)
        if off > IN_SKY * sky.sigma:
            far.append(Mark(value, count, usual))
            gone |= same
        elif count >= fraction * pixels.size and off >= itself:
            near.append(Mark(value, count, usual))
    if far and near:  # the far ones widen the histogram: whether the near ones are any shows then
        rest = mask.copy()
        rest[good] = gone
        near = repeated(pixels, rest, sky, fewest, fraction, ratio, lossy, exact_zero)
    return sorted(far + near, key=lambda mark: -mark.count)


def _keys(values: NDArray, exact: bool, digits: bool, lossy: float) -> Iterator[NDArray]:
    """Yield numbers that are equal where values count as equal: exactly, to six digits, ..."""
    if exact:
        yield values
    if digits:
        part, exponent = np.frexp(values)
        yield np.ldexp(np.round(part / SIX_DIGITS), exponent)
    if lossy:
        for k in range(LOSSY_OFFSETS):
            yield np.floor(values / (LOSSY_BIN * lossy) + k / LOSSY_OFFSETS)


def _frequent(keys: NDArray, fewest: int, ratio: float) -> list[tuple[float, float]]:
    """Return the keys that occur too often beside their neighbours, and how often those do."""
    key, count = np.unique(keys, return_counts=True)
    row = np.flatnonzero(count >= fewest)
    if row.size == 0 or len(key) < 2:
        return []
    low, high = key[np.searchsorted(np.cumsum(count), [0.16 * len(keys), 0.84 * len(keys)])]
    spread = max((high - low) / 2, np.diff(key).min())
    beside = np.concatenate([np.arange(-BESIDE, 0), np.arange(1, BESIDE + 1)])
    at = row[:, None] + beside
    there = np.clip(at, 0, len(key) - 1)
    apart = np.abs(key[there] - key[row, None])
    # the next one may be a coarse step away, the others must be of the same part of the histogram
    near = (at == there) & (apart <= spread * np.where(np.abs(beside) == 1, 3, 0.5))
    rank = np.sort(np.where(near, count[there], np.inf), axis=1)
    n = near.sum(axis=1)
    each = np.arange(len(row))
    middle = (rank[each, np.maximum(n - 1, 0) // 2] + rank[each, n // 2]) / 2
    # even the rarest values of an enlarged image occur several times
    usual = np.maximum(np.where(n > 0, middle, 1.0), _rare(count))
    # of the values that occur at all; in an image of real numbers these are all different
    often = count[row] > ratio * usual
    row, usual = row[often], usual[often]
    if row.size == 0:
        return []
    from scipy import special

    block = np.gcd.reduce(count)  # of pixels of one value, in an enlarged image
    rate = np.maximum((usual - 1 / usual) / block, FEWEST_TIES)
    sure = special.pdtrc(count[row] / block - 1, rate) < CHANCE
    return [(float(k), float(u)) for k, u in zip(key[row[sure]], usual[sure], strict=True)]


def _rare(count: NDArray) -> int:
    """Return how often the rarest tenth of the values occur."""
    return int(np.partition(count, len(count) // 10)[len(count) // 10])


def _flat(pixels: NDArray, good: NDArray, ratio: float) -> list[tuple[int, float, NDArray]]:
    """Return padding: values that fill squares, as beyond the edge of an image of few photons."""
    n = FLAT
    across, down = pixels[:, 1:] == pixels[:, :-1], pixels[1:] == pixels[:-1]
    height, width = (max(0, side - n + 1) for side in pixels.shape)
    corner = np.ones((height, width), bool)  # from which a square goes down and to the right
    for k in range(n - 1):
        corner &= down[k : k + height, :width]
    if not corner.any():
        return []
    row = np.ones((len(pixels), width), bool)
    for k in range(n - 1):
        row &= across[:, k : k + width]
    for k in range(n):
        corner &= row[k : k + height]
    flat = np.zeros_like(good)
    for i, j in np.ndindex(n, n):
        flat[i : i + height, j : j + width] |= corner
    flat &= good
    if not flat.any():
        return []
    count = np.unique(pixels[good], return_counts=True)[1]
    usual, block = _rare(count), np.gcd.reduce(count)
    flat_values = []
    for value in np.unique(pixels[flat]):
        same = pixels[good] == value
        elsewhere = good & ~flat
        share = (pixels[elsewhere] == value).mean() if elsewhere.any() else 0.0
        often = same.sum() > ratio * usual
        if often and share ** (FLAT**2 / block) * pixels.size < CHANCE:
            flat_values.append((int(same.sum()), share * same.size, same))
    return flat_values


def _has_wings(pixels: NDArray, good: NDArray, same: NDArray, sky: Sky) -> bool:
    """Return whether what lies around pixels of one value is bright, as it is around a star."""
    from scipy import ndimage

    there = np.zeros(pixels.shape, bool)
    there[good] = same
    height = float(np.median(pixels[there])) - sky.level
    around = ndimage.binary_dilation(there, np.ones((3, 3))) & good & ~there
    if height < BRIGHT * sky.sigma or not around.any():
        return False
    rim = pixels[around].astype(np.float64) - sky.level
    return bool(rim.max() >= WINGS * height and np.median(rim) > sky.sigma)


def photons(values: NDArray) -> bool:
    """Return whether values are photon counts, of so few that most pixels have none.

    All are the lowest and whole steps above it, and those of one step are more than those of two.
    """
    value, count = np.unique(values, return_counts=True)
    if len(value) < 3:
        return False
    steps = (value - value[0]) / np.diff(value).min()
    whole = (np.abs(steps - np.round(steps)) < 1e-3).all()
    return bool(whole and round(steps[2]) == 2 and count[0] > count[1] > count[2])


def sky(pixels: NDArray, mask: NDArray) -> Sky:
    """Return the sigma-clipped median of the good border pixels, and the scatter of all by MAD.

    Without a good border pixel, of all good pixels. Where more than half of them have one value
    the scatter is 0.
    """
    border = _border(pixels.shape)
    values = pixels.ravel().take(border, mode="wrap")  # none is outside: it is the fastest
    if mask.any():
        kept = values[~mask.ravel().take(border)]
        values = kept if kept.size else pixels[~mask]
    values = np.sort(values).astype(np.float64)
    level, sigma = _middle(values)
    noise = sigma
    for _ in range(CLIPS):
        first, last = _within(values, level, CLIP * sigma)
        if last - first == len(values):
            break
        values = values[first:last]
        level, sigma = _middle(values)
    return Sky(level, noise)


@functools.lru_cache(maxsize=64)
def _border(shape: tuple[int, int]) -> NDArray:
    """Return where the border lies among all pixels, row by row."""
    return np.flatnonzero(quality.border(*shape))


def _middle(values: NDArray) -> tuple[float, float]:
    """Return the median and the scatter by MAD of values in order.

    In order, they are two lists of distances from the median in order, of which the middle is
    found by bisection: to the bit that of `np.median`, in a tenth of the time.
    """
    n = len(values)
    if n == 0:
        return np.nan, np.nan
    at = values.item
    half = n // 2
    level = at(half) if n % 2 else (at(half - 1) + at(half)) / 2
    # of the nearest `half` values, so many lie below the median and the others above it
    split = int(values.searchsorted(level, "right"))
    low, high = max(0, half - (n - split)), min(half, split)
    while low < high:
        below = (low + high) // 2
        above = half - below
        if above > 0 and level - at(split - 1 - below) < at(split + above - 1) - level:
            low = below + 1
        else:
            high = below
    below, above = low, half - low
    further = min(
        level - at(split - 1 - below) if below < split else np.inf,
        at(split + above) - level if split + above < n else np.inf,
    )
    if n % 2:
        return level, quality.MAD_TO_SIGMA * further
    nearer = max(
        level - at(split - below) if below else -np.inf,
        at(split + above - 1) - level if above else -np.inf,
    )
    return level, quality.MAD_TO_SIGMA * ((nearer + further) / 2)


def _within(values: NDArray, level: float, limit: float) -> tuple[int, int]:
    """Return the first and behind the last of values in order that lie so near to a level."""
    if not limit >= 0:
        return 0, 0
    n, at = len(values), values.item
    first = int(values.searchsorted(level - limit))
    last = int(values.searchsorted(level + limit, "right"))
    # the sums above are rounded, what counts is the difference
    while first > 0 and abs(at(first - 1) - level) <= limit:
        first -= 1
    while first < n and level - at(first) > limit:
        first += 1
    while last < n and abs(at(last) - level) <= limit:
        last += 1
    while last > first and at(last - 1) - level > limit:
        last -= 1
    return first, last


def fill(pixels: NDArray, mask: NDArray, how: str = "median") -> NDArray:
    """Return sky-subtracted pixels with the masked ones replaced.

    ``median``: by the median of the good pixels in the surrounding square of `REACH`; where there
    are none, and everywhere with ``sky``, by 0, the level of the sky.
    """
    if not mask.any():
        return pixels.copy()
    filled = np.where(mask, 0.0, pixels)
    if how == "sky":
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
    if abs(ratio - 1) < SAME_SCALE and pixels.shape == (size, size) and not mask.any():
        return pixels, _nothing(size)
    good = (~mask).astype(np.float64)
    if abs(ratio - 1) < SAME_SCALE:
        return _crop(pixels, size), 1 - _crop(good, size)
    order = 1 if ratio > 1 else 3
    rows, columns = (_weights(n, ratio, size, order) for n in pixels.shape)
    frame = rows @ pixels @ columns.T
    rows, columns = (_weights(n, ratio, size, 1) for n in pixels.shape)
    return frame, np.clip(1 - rows @ good @ columns.T / ratio**2, 0, 1)


@functools.lru_cache(maxsize=16)
def _nothing(size: int) -> NDArray:
    """Return the mask of a frame of which no pixel is masked."""
    masked = np.zeros((size, size))
    masked.flags.writeable = False
    return masked


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
    from scipy.interpolate import make_interp_spline

    edges = np.arange(n + 1) - n / 2
    cumulative = np.vstack([np.zeros(n), np.cumsum(np.eye(n), axis=0)])
    order = min(order, n)
    spline = make_interp_spline(edges, cumulative, order)
    wanted = (np.arange(size + 1) - size / 2) * ratio
    return np.diff(spline(np.clip(wanted, edges[0], edges[-1])), axis=0)
