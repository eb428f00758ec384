"""X-ray images of clusters: the light that is expected in every pixel, and the photons counted.

Bodies are drawn on the grid of the image, points as what the point-spread function (a Gaussian)
makes of them; photons are counted last, so that nothing that is counted was ever interpolated.
x runs to the right, y up, both from the centre of the image.
"""

import numpy as np
from numpy.typing import NDArray

from lensmill.clusters.compiling import kernel
from lensmill.clusters.gas import STEEP, _tabulate
from lensmill.imaging.noise import poisson
from lensmill.imaging.streams import COUNTS, RAYS, draw, pairs, uniform, words

# Columns of a body: where it lies [length], its ellipse, counts per pixel where the column of
# `gas.columns` is 1; how bright and at which radius gas that sloshes is, its phase and its sense.
X, Y, Q_XX, Q_XY, Q_YY, COUNTS_PER_COLUMN, SLOSH, SLOSH_RADIUS, SLOSH_PHASE = range(9)
COLUMNS = 9

_POINTS = 64  # at which a profile is integrated, from ...
_INNER, _OUTER = 1e-3, 4.0  # ... to; where the gas ends, in units of the steepening radius
_CELLS = 1024  # of the table that is made of them, alike in the square root of the radius
_WAVES = 4.5  # of the radius of sloshing: the waves end
_FINE, _NEAR = 5, 4  # sub-pixels across, in pixels so near to the centre of a body
_LARGEST = 80.0  # counts that one Poisson number is drawn of
_SIGMAS = 4.0  # of the point-spread function that are drawn
_TO_UNIT = 2.0**-32
_FURTHER = np.uint64(1000)  # purposes of the streams of further Poisson numbers


@kernel
def _table(shape, table):
    """Fill in the columns of a profile, alike spaced in the square root of the radius."""
    start, end = np.log(_INNER * shape[STEEP]), np.log(_OUTER * shape[STEEP])
    radii = start + (end - start) / (_POINTS - 1) * np.arange(_POINTS)
    columns = np.empty(_POINTS)
    _tabulate(shape, radii, columns)
    root = np.sqrt(_OUTER * shape[STEEP]) / (_CELLS - 1)
    for k in range(_CELLS):
        place = (2.0 * np.log(max(k, 1e-3) * root) - start) / (radii[1] - radii[0])
        place = min(max(place, 0.0), _POINTS - 1.000001)
        i = int(place)
        table[k] = np.exp(columns[i] + (place - i) * (columns[i + 1] - columns[i]))


@kernel
def _light(x, y, body, table, per_root):
    """Brightness of a body at a place, counts per pixel."""
    x -= body[X]
    y -= body[Y]
    square = body[Q_XX] * x * x + 2.0 * body[Q_XY] * x * y + body[Q_YY] * y * y
    place = np.sqrt(np.sqrt(square)) * per_root
    if place >= _CELLS - 1:
        return 0.0
    k = int(place)
    value = (table[k] + (place - k) * (table[k + 1] - table[k])) * body[COUNTS_PER_COLUMN]
    far2 = square / (body[SLOSH_RADIUS] * body[SLOSH_RADIUS])
    if body[SLOSH] != 0.0 and far2 < _WAVES * _WAVES:
        # ASSUME: cold gas that sloshes is a spiral of brightness whose mean around is nothing
        # (Ascasibar & Markevitch 2006 show such); the profile is left as it is.
        turns = body[SLOSH_PHASE] + np.log(far2 + 1e-12) * np.sign(body[SLOSH_RADIUS])
        wave = (y * np.cos(turns) - x * np.sin(turns)) / np.sqrt(x * x + y * y + 1e-12)
        value *= 1.0 + body[SLOSH] * wave * np.sqrt(far2) * np.exp(0.5 - 0.5 * far2)
    return value


@kernel
def _add(image, pixel, body, shape):
    """Add a body to the image, finer where its centre is near."""
    size = image.shape[0]
    table = np.empty(_CELLS)
    _table(shape, table)
    per_root = (_CELLS - 1) / np.sqrt(_OUTER * shape[STEEP])
    middle = 0.5 * (size - 1)
    column, row = body[X] / pixel + middle, body[Y] / pixel + middle
    # R^2 >= q (x^2 + y^2) with the smaller eigenvalue q of the ellipse
    half, off = 0.5 * (body[Q_XX] + body[Q_YY]), 0.5 * (body[Q_XX] - body[Q_YY])
    least = half - np.sqrt(off * off + body[Q_XY] * body[Q_XY])
    reach = _OUTER * shape[STEEP] / np.sqrt(least) / pixel
    for j in range(max(0, int(row - reach)), min(size, int(row + reach) + 2)):
        for i in range(max(0, int(column - reach)), min(size, int(column + reach) + 2)):
            x, y = (i - middle) * pixel, (j - middle) * pixel
            if abs(i - column) < _NEAR and abs(j - row) < _NEAR:
                total = 0.0
                for v in range(_FINE):
                    for u in range(_FINE):
                        dx = ((u + 0.5) / _FINE - 0.5) * pixel
                        dy = ((v + 0.5) / _FINE - 0.5) * pixel
                        total += _light(x + dx, y + dy, body, table, per_root)
                image[j, i] += total / _FINE**2
            else:
                image[j, i] += _light(x, y, body, table, per_root)


@kernel
def _error_function(x):
    """Error function by Abramowitz & Stegun 7.1.26, good to 1.5e-7."""
    t = 1.0 / (1.0 + 0.3275911 * abs(x))
    tail = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    return np.sign(x) * (1.0 - tail * np.exp(-x * x))


@kernel
def _share(offset, sigma, out):
    """Fill in the shares of a point that fall into pixels around it; return the first pixel."""
    half = len(out) // 2
    base = np.floor(offset + 0.5)
    scale = 1.0 / (sigma * np.sqrt(2.0))
    below = _error_function((base - half - 0.5 - offset) * scale)
    for k in range(len(out)):
        above = _error_function((base - half + k + 0.5 - offset) * scale)
        out[k] = 0.5 * (above - below)
        below = above
    return int(base) - half


@kernel
def _blur(image, sigma, rim, out):
    """Convolve with a Gaussian that is integrated over pixels; the rim is cut off."""
    weights = np.empty(2 * rim + 1)
    _share(0.0, sigma, weights)
    weights /= weights.sum()
    size = out.shape[0]
    rows = np.zeros((size, image.shape[1]))
    for k in range(2 * rim + 1):
        for j in range(size):
            for i in range(image.shape[1]):
                rows[j, i] += weights[k] * image[j + k, i]
    out[:] = 0.0
    for j in range(size):
        for k in range(2 * rim + 1):
            for i in range(size):
                out[j, i] += weights[k] * rows[j, i + k]


@kernel
def number_above(flux, knee, steep, flat):
    """Points above a flux over those above the knee of a broken power law without an end."""
    if flux >= knee:
        return (flux / knee) ** -steep
    return 1.0 + steep / flat * ((flux / knee) ** -flat - 1.0)


@kernel
def _draw_points(image, key, number, law, exposure, turn, sigma):
    """Add points of a broken power law, alike likely anywhere in a disc around the image."""
    size = image.shape[0]
    middle = 0.5 * (size - 1)
    radius = size * np.sqrt(0.5) + _SIGMAS * sigma
    least, knee, most, steep, flat = law[0], law[1], law[2], law[3], law[4]
    faint = number_above(least, knee, steep, flat)
    bright = number_above(most, knee, steep, flat)
    half = int(np.ceil(_SIGMAS * sigma))
    across, up = np.empty(2 * half + 1), np.empty(2 * half + 1)
    for n in range(number):
        a, b, c, _ = draw(key, RAYS, np.uint64(n))
        f = bright + (faint - bright) * (float(a) + 0.5) * _TO_UNIT
        if f < 1.0:
            flux = knee * f ** (-1.0 / steep)
        else:
            flux = knee * (1.0 + (f - 1.0) * flat / steep) ** (-1.0 / flat)
        r = radius * np.sqrt((float(b) + 0.5) * _TO_UNIT)
        angle = 2.0 * np.pi * (float(c) + 0.5) * _TO_UNIT + turn
        i0 = _share(r * np.cos(angle) + middle, sigma, across)
        j0 = _share(r * np.sin(angle) + middle, sigma, up)
        counts = flux * exposure
        for j in range(max(0, -j0), min(len(up), size - j0)):
            for i in range(max(0, -i0), min(len(across), size - i0)):
                image[j0 + j, i0 + i] += counts * up[j] * across[i]


@kernel
def _count(expected, key, out):
    """Fill ``out`` with Poisson numbers."""
    size = expected.shape[0]
    bits = np.empty((4, (expected.size + 1) // 2), np.uint32)
    words(key, COUNTS, bits)
    blocks = bits.shape[1]
    for j in range(size):
        for i in range(size):
            p = j * size + i
            mean = expected[j, i]
            half = 2 * (p // blocks)
            high, low = bits[half, p % blocks], bits[half + 1, p % blocks]
            u = uniform(np.uint64(high), np.uint64(low))
            if mean < 6.0:
                # the sum of the law from nothing up
                k, chance = 0, np.exp(-mean)
                u -= chance
                while u > 0.0 and k < 60:
                    k += 1
                    chance *= mean / k
                    u -= chance
                out[j, i] = k
            elif mean < _LARGEST:
                out[j, i] = poisson(mean, u)
            else:
                # a sum of Poisson numbers is one: as many as keep each small
                number = int(mean / _LARGEST) + 1
                total = poisson(mean / number, u)
                for n in range(1, number):
                    a, b, _, _ = draw(key, _FURTHER + np.uint64(n), np.uint64(p))
                    total += poisson(mean / number, uniform(a, b))
                out[j, i] = total


@kernel
def _render(size, pixel, sigma, first, bodies, shapes, keys, points, law, exposure, sky, turn, out):
    rim = int(np.ceil(_SIGMAS * sigma))
    wide, sharp = np.empty((size + 2 * rim, size + 2 * rim)), np.empty((size, size))
    for n in range(len(out)):
        wide[:] = 0.0
        for b in range(first[n], first[n + 1]):
            _add(wide, pixel[n], bodies[b], shapes[b])
        _blur(wide, sigma, rim, sharp)
        _draw_points(sharp, keys[n], points[n], law, exposure[n], turn[n], sigma)
        sharp += sky[n]
        out[n] = sharp


@kernel
def _count_all(expected, keys, out):
    for n in range(len(out)):
        _count(expected[n], keys[n], out[n])


def expected(
    size: int,
    pixel: NDArray,
    sigma: float,
    first: NDArray,
    bodies: NDArray,
    shapes: NDArray,
    points: NDArray,
    law: NDArray,
    keys: NDArray,
    exposure: NDArray,
    sky: NDArray,
    turn: NDArray,
) -> NDArray:
    """Return the counts that are expected in every pixel.

    Parameters
    ----------
    size : int
        Pixels across.
    pixel : array, shape (n,)
        Length of a pixel, in the unit of the bodies.
    sigma : float
        Of the point-spread function [pixel].
    first : array of int, shape (n + 1,)
        Bodies ``first[i] ... first[i + 1] - 1`` are those of image i.
    bodies : array, shape (b, COLUMNS)
        Place, ellipse, brightness and sloshing: the columns are named above.
    shapes : array, shape (b, 5)
        Of their profiles, see `gas`.
    points : array of int, shape (n,)
        Points of light in the disc around each image.
    law : array, shape (5,)
        Least flux, knee and largest flux of the points, slopes of their number above and below.
    keys : array of uint64, shape (n, 2)
        Of the stream that points are drawn from.
    exposure : array, shape (n,)
        Counts of a point of flux 1.
    sky : array, shape (n,)
        Counts in a pixel that come from everywhere.
    turn : array, shape (n,)
        The points are turned by it, counter-clockwise [rad].

    Returns
    -------
    array, shape (n, size, size)
    """
    out = np.empty((len(pixel), size, size))
    keys = pairs(keys, len(out))
    bodies, shapes = np.ascontiguousarray(bodies), np.ascontiguousarray(shapes)
    _render(size, pixel, sigma, first, bodies, shapes, keys, points, law, exposure, sky, turn, out)
    return out


def photons(expected: NDArray, keys: NDArray) -> NDArray:
    """Count photons: Poisson numbers of what is expected, whole numbers as float32.

    A pixel's count is a function of its key, its place and what is expected there.

    Parameters
    ----------
    expected : array, shape (n, size, size)
    keys : array of uint64, shape (n, 2)
    """
    out = np.empty(expected.shape, np.float32)
    _count_all(np.ascontiguousarray(expected, float), pairs(keys, len(out)), out)
    return out


@kernel
def _in_ring(images, x, y, low, high, sums, area):
    for n in range(len(images)):
        for j in range(images.shape[1]):
            for i in range(images.shape[2]):
                far2 = (i - x[n]) ** 2 + (j - y[n]) ** 2
                if low[n] * low[n] <= far2 < high[n] * high[n]:
                    sums[n] += images[n, j, i]
                    area[n] += 1.0


def in_ring(
    images: NDArray, x: NDArray, y: NDArray, low: NDArray, high: NDArray
) -> tuple[NDArray, NDArray]:
    """Return what is counted between two radii around a place, and the pixels that lie there.

    Parameters
    ----------
    images : array, shape (n, size, size)
    x, y : array, shape (n,)
        Place, 0 at the centre of the first pixel [pixel].
    low, high : array, shape (n,)
        Radii [pixel]; pixels count whose centre lies between.
    """
    sums, area = np.zeros((2, len(images)))
    _in_ring(images, x, y, low, high, sums, area)
    return sums, area
