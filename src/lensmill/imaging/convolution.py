"""Convolution with point-spread functions, and stars.

A kernel is a sum of products of a column and a row. One product is enough for a Gaussian, a few for
most others; where that is less work than Fourier transforms (with the kernel's kept) it is done so.
The frame is continued beyond its edge by its first and last rows and columns.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from lensmill.imaging.approximations import ONE, F, exp2, log2
from lensmill.imaging.compiling import fast
from lensmill.imaging.psf import GAUSSIAN, PIXELS, Psf

TOLERANCE = 1e-5  # of the kernel's sum: what the products may leave out, summed over its pixels
_GAUSS = F(-0.5 / np.log(2.0))
FOURIER_COST = 14.0  # of one butterfly of a transform, in steps of a sum over rows (measured)
STRIDE = 8  # rows are a multiple of this, so that vectors leave no rest


class Kernel(NamedTuple):
    """A point-spread function made ready for frames of one size."""

    columns: NDArray  # shape (products, taps), float32; no products: by Fourier transform
    rows: NDArray
    transform: NDArray  # shape (length, length // 2 + 1), complex64; empty with products
    length: int
    half: int  # kernel pixels beyond the central one


def prepare(psf: Psf, size: int) -> Kernel:
    """Choose how to convolve frames of ``size`` with a kernel."""
    half = psf.kernel.shape[0] // 2
    left, values, right = np.linalg.svd(psf.kernel)
    remainders = [
        np.abs(psf.kernel - (left[:, :k] * values[:k]) @ right[:k]).sum()
        for k in range(1, min(half, 12) + 1)
    ]
    enough = np.flatnonzero(np.array(remainders) < TOLERANCE)
    length = fft.next_fast_len(size + 2 * half, real=True)
    transforms = FOURIER_COST * length**2 * np.log2(length)
    products = int(enough[0]) + 1 if enough.size else 0
    if products and products * (2 * half + 1) * (2 * size + 2 * half) * size < transforms:
        columns, rows = left[:, :products] * values[:products], right[:products]
        columns /= (columns.sum(axis=0) * rows.sum(axis=1)).sum()
        taps = -(-(2 * half + 1) // 4) * 4
        return Kernel(
            *(_taps(columns.T, taps), _taps(rows, taps), np.zeros((0, 0), np.complex64), 0, half)
        )
    wide = np.zeros((length, length), np.float32)
    wide[: 2 * half + 1, : 2 * half + 1] = psf.kernel
    none = np.zeros((0, 0), np.float32)
    transform = fft.rfft2(np.roll(wide, (-half, -half), (0, 1)))
    return Kernel(none, none, transform, length, half)


def convolve(images: NDArray, size: int, kernel: Kernel) -> NDArray:
    """Return ``images`` of shape (n, side, side), side >= size, convolved: (n, size, size).

    What a side has more than ``size``, half of it at each end, is light outside the frame.
    """
    if kernel.columns.size:
        return _products(images, size, kernel.columns, kernel.rows, kernel.half)
    out = np.empty((len(images), size, size), np.float32)
    begin = slice(kernel.half, kernel.half + size)
    # one frame at a time: the bits of a transform might depend on how many it goes with
    for image, result in zip(_continue(images, size, kernel.length, kernel.half), out, strict=True):
        spectrum = fft.rfft2(image)
        spectrum *= kernel.transform
        result[:] = fft.irfft2(spectrum, image.shape, overwrite_x=True)[begin, begin]
    return out


def _taps(vectors: NDArray, taps: int) -> NDArray:
    # correlation instead of convolution, so turned; zeros up to a multiple of four
    out = np.zeros((len(vectors), taps), np.float32)
    out[:, : vectors.shape[1]] = vectors[:, ::-1]
    return out


@fast
def _lay(image, size, half, target):
    """Put a frame into the corner of ``target``, continued by ``half`` pixels on each side."""
    side, reach = image.shape[0], size + 2 * half
    before = half - (side - size) // 2
    for j in range(reach):
        source, row = image[min(max(j - before, 0), side - 1)], target[j]
        for i in range(reach):
            row[i] = source[min(max(i - before, 0), side - 1)]


@fast
def _continue(images, size, length, half):
    out = np.zeros((images.shape[0], length, length), np.float32)
    for k in range(images.shape[0]):
        _lay(images[k], size, half, out[k])
    return out


@fast
def _products(images, size, columns, rows, half):
    n, taps = images.shape[0], columns.shape[1]
    wide = (size + STRIDE - 1) // STRIDE * STRIDE  # of the result
    broad = (wide + taps + STRIDE - 1) // STRIDE * STRIDE  # of what goes into it
    source = np.zeros((size + taps, broad), np.float32)
    middle, total = np.empty(broad, np.float32), np.empty(wide, np.float32)
    out = np.empty((n, size, size), np.float32)
    for k in range(n):
        _lay(images[k], size, half, source)
        for j in range(size):
            total[:] = F(0)
            for product in range(columns.shape[0]):
                middle[:] = F(0)
                for t in range(0, taps, 4):
                    a, b = columns[product, t], columns[product, t + 1]
                    c, d = columns[product, t + 2], columns[product, t + 3]
                    first, second = source[j + t], source[j + t + 1]
                    third, fourth = source[j + t + 2], source[j + t + 3]
                    for i in range(broad):
                        middle[i] += (a * first[i] + b * second[i]) + (c * third[i] + d * fourth[i])
                for t in range(0, taps, 4):
                    a, b = rows[product, t], rows[product, t + 1]
                    c, d = rows[product, t + 2], rows[product, t + 3]
                    for i in range(wide):
                        total[i] += (a * middle[i + t] + b * middle[i + t + 1]) + (
                            c * middle[i + t + 2] + d * middle[i + t + 3]
                        )
            for i in range(size):
                out[k, j, i] = total[i]
    return out


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
