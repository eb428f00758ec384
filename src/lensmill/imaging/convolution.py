"""Convolution with point-spread functions, and stars.

A kernel is a sum of products of a column and a row. One product is enough for a Gaussian, a few for
most others; where that is less work than Fourier transforms (with the kernel's kept) it is done so.
The frame is continued beyond its edge by its first and last rows and columns.
"""

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from lensmill.imaging.approximations import ONE, F, exp2, log2
from lensmill.imaging.compiling import fast
from lensmill.imaging.psf import GAUSSIAN, PIXELS, Psf

TOLERANCE = 1e-5  # of the kernel's sum: what the products may leave out, summed over its pixels
_GAUSS = F(-0.5 / np.log(2.0))
FOURIER_COST = 18.0  # of one butterfly of a transform, in steps of a sum over rows (measured)
BLOCK = 16  # rows at a time: what is worked on stays in the nearest cache


class Kernel(NamedTuple):
    """A point-spread function made ready for frames of one size."""

    columns: NDArray  # shape (products, taps), float32; no products: by Fourier transform
    rows: NDArray
    transform: NDArray  # shape (length, length // 2 + 1), complex64; empty with products
    length: int
    half: int  # kernel pixels beyond the central one


def prepare(psf: Psf, size: int) -> Kernel:
    """Choose how to convolve frames of ``size`` with a kernel."""
    return _prepare(psf.kernel.tobytes(), len(psf.kernel), size)


# Whoever renders one scene after the other would spend most of the time here.
@functools.lru_cache(maxsize=16)
def _prepare(content: bytes, side: int, size: int) -> Kernel:
    """Prepare the kernel, ``side`` float64 numbers square, that has these bytes."""
    kernel = np.frombuffer(content).reshape(side, side)
    half = side // 2
    left, values, right = np.linalg.svd(kernel)
    remainders = [
        np.abs(kernel - (left[:, :k] * values[:k]) @ right[:k]).sum()
        for k in range(1, min(half, 12) + 1)
    ]
    enough = np.flatnonzero(np.array(remainders) < TOLERANCE)
    length = fft.next_fast_len(size + 2 * half, real=True)
    transforms = FOURIER_COST * length**2 * np.log2(length)
    products = int(enough[0]) + 1 if enough.size else 0
    taps = -(-(2 * half + 1) // 4) * 4
    if products and products * taps * 2 * (size + taps) * size < transforms:
        columns, rows = left[:, :products] * values[:products], right[:products]
        columns /= (columns.sum(axis=0) * rows.sum(axis=1)).sum()
        return Kernel(
            *(_taps(columns.T, taps), _taps(rows, taps), np.zeros((0, 0), np.complex64), 0, half)
        )
    wide = np.zeros((length, length), np.float32)
    wide[: 2 * half + 1, : 2 * half + 1] = kernel
    none = np.zeros((0, 0), np.float32)
    transform = fft.rfft2(np.roll(wide, (-half, -half), (0, 1)))
    return Kernel(none, none, transform, length, half)


def convolve(frames: NDArray, wanted: NDArray, size: int, kernel: Kernel, out: NDArray) -> None:
    """Convolve the ``wanted`` ones of ``frames``; the others hold no light and give none.

    Parameters
    ----------
    frames : float32 array, shape (n, side, side)
        What a side has more than ``size``, half of it at each end, is light outside the frame.
    wanted : bool array, shape (n,)
        Frames with light.
    size : int
        Pixels on a side of the results.
    kernel : Kernel
        From `prepare`, for this size.
    out : float32 array, shape (n, size, size)
        The result.
    """
    if kernel.columns.size:
        _products(frames, wanted, size, kernel.columns, kernel.rows, kernel.half, out)
        return
    begin = slice(kernel.half, kernel.half + size)
    wide = np.zeros((kernel.length, kernel.length), np.float32)
    # one frame at a time: the bits of a transform might depend on how many it goes with
    for frame, light, result in zip(frames, wanted, out, strict=True):
        if not light:
            result[:] = 0
            continue
        lay(frame, size, kernel.half, wide)
        spectrum = fft.rfft2(wide)
        spectrum *= kernel.transform
        result[:] = fft.irfft2(spectrum, wide.shape, overwrite_x=True)[begin, begin]


@fast
def coarsen(fine, coarse):
    """Bin the cells of ``fine`` (n, fine side, fine side) into those of ``coarse``."""
    n, side = coarse.shape[0], coarse.shape[1]
    factor = fine.shape[1] // side
    for k in range(n):
        coarse[k] = F(0)
        for j in range(side):
            row = coarse[k, j]
            for b in range(factor):
                source = fine[k, factor * j + b]
                for i in range(side):
                    for a in range(factor):
                        row[i] += source[factor * i + a]


def _taps(vectors: NDArray, taps: int) -> NDArray:
    # correlation instead of convolution, so turned; zeros up to a multiple of four
    out = np.zeros((len(vectors), taps), np.float32)
    out[:, : vectors.shape[1]] = vectors[:, ::-1]
    return out


@fast
def lay(image, size, half, target):
    """Put a frame into the corner of ``target``, continued by ``half`` pixels on each side."""
    side, reach = image.shape[0], size + 2 * half
    before = half - (side - size) // 2
    begin, end = max(before, 0), min(before + side, reach)
    for j in range(reach):
        source, row = image[min(max(j - before, 0), side - 1)], target[j]
        row[:begin] = source[0]
        inside, middle = source[begin - before :], row[begin:]
        for i in range(end - begin):  # an assignment of arrays would take seconds to compile
            middle[i] = inside[i]
        row[end:reach] = source[side - 1]


@fast
def _products(frames, wanted, size, columns, rows, half, out):
    n, taps = frames.shape[0], columns.shape[1]
    # rows lie one after the other with room for the kernel, so that a block of them is one loop
    wide = size + taps
    source = np.zeros((size + taps + 1, wide), np.float32)
    middle = np.zeros(BLOCK * wide + taps, np.float32)
    total = np.empty(BLOCK * wide, np.float32)
    for k in range(n):
        if not wanted[k]:
            out[k] = F(0)
            continue
        lay(frames[k], size, half, source)
        for start in range(0, size, BLOCK):
            height = min(BLOCK, size - start)
            block = source.ravel()[start * wide :]
            total[:] = F(0)
            for product in range(columns.shape[0]):
                middle[:] = F(0)
                _correlate(block, wide, columns[product], middle, height * wide)
                _correlate(middle, 1, rows[product], total, height * wide)
            for j in range(height):
                row = total[j * wide :]
                for i in range(size):
                    out[k, start + j, i] = row[i]


@fast
def _correlate(source, stride, taps, target, n):
    """Add to ``target`` the sum of the ``taps`` times what lies ``stride`` places apart."""
    for t in range(0, taps.size, 4):
        a, b, c, d = taps[t], taps[t + 1], taps[t + 2], taps[t + 3]
        # views, not sums of indices, which might be negative and would keep the loop scalar
        first, second = source[t * stride :], source[(t + 1) * stride :]
        third, fourth = source[(t + 2) * stride :], source[(t + 3) * stride :]
        for i in range(n):
            target[i] += (a * first[i] + b * second[i]) + (c * third[i] + d * fourth[i])


@fast
def add_star(image, x, y, flux, kernel, kind, width, beta):
    """Add a star at the pixel coordinates ``x, y`` (kernel pixels; the first centre is 0).

    Gaussian and Moffat stars are sampled at the pixels and brought to their flux; a star of pixels
    is the kernel, shifted by less than a pixel by linear interpolation. What lies outside the
    image is lost.
    """
    size, taps = image.shape[0], kernel.shape[0]
    half = taps // 2
    if not (-half - 1 < x < size + half and -half - 1 < y < size + half):
        return
    column, row = int(np.floor(x)), int(np.floor(y))
    fx, fy = F(x - column), F(y - row)
    stamp = np.zeros((taps + 1, taps + 1), np.float32)
    if kind == PIXELS:
        for j in range(taps):
            for i in range(taps):
                value = kernel[j, i]
                stamp[j, i] += (ONE - fy) * (ONE - fx) * value
                stamp[j, i + 1] += (ONE - fy) * fx * value
                stamp[j + 1, i] += fy * (ONE - fx) * value
                stamp[j + 1, i + 1] += fy * fx * value
        scale = flux
    else:
        per_width, power = F(1.0 / width), F(-beta)
        total = F(0)
        for j in range(taps + 1):
            v = (F(j - half) - fy) * per_width
            for i in range(taps + 1):
                u = (F(i - half) - fx) * per_width
                r2 = u * u + v * v
                if kind == GAUSSIAN:
                    stamp[j, i] = exp2(_GAUSS * r2)
                else:
                    stamp[j, i] = exp2(power * log2(ONE + r2))
                total += stamp[j, i]
        scale = flux / total
    for j in range(max(0, row - half), min(size, row + half + 2)):
        for i in range(max(0, column - half), min(size, column + half + 2)):
            image[j, i] += scale * stamp[j - row + half, i - column + half]
