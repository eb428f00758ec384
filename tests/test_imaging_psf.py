"""Kernels of point-spread functions."""

import numpy as np
import pytest

from lensmill.imaging import psf
from lensmill.imaging.convolution import convolve, prepare


def width(kernel):
    """Full width at half maximum along the middle row, by interpolation [pixel]."""
    row = kernel[kernel.shape[0] // 2]
    middle = row.size // 2
    fall = row[middle:] / row[middle]
    return 2 * np.interp(-0.5, -fall, np.arange(fall.size))


@pytest.mark.parametrize(
    "make",
    [
        lambda scale, s: psf.gaussian(0.7, scale, s),
        lambda scale, s: psf.moffat(0.7, 3.0, scale, s),
        lambda scale, s: psf.from_settings({"gaussian": 0.7}, scale, s),
        lambda scale, s: psf.from_settings({"moffat": 0.7, "beta": 2.5}, scale, s),
    ],
)
@pytest.mark.parametrize(("scale", "supersampling"), [(0.05, 1), (0.1, 3)])
def test_kernels_sum_to_one_are_centred_and_as_wide_as_stated(make, scale, supersampling):
    made = make(scale, supersampling)
    kernel = made.kernel
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert kernel.sum() == pytest.approx(1)
    assert np.array_equal(kernel, kernel[::-1, ::-1])
    assert width(kernel) == pytest.approx(0.7 / scale * supersampling, rel=0.01)


def test_pixels_are_brought_to_sum_one():
    star = np.outer([1, 3, 1], [1, 4, 1])
    made = psf.from_settings(star, 0.1)
    assert np.allclose(made.kernel, star / star.sum())
    assert made.kind == psf.PIXELS


@pytest.mark.parametrize(
    ("star", "message"),
    [
        (np.ones((4, 4)), r"odd number of pixels on a side, not of shape \(4, 4\)"),
        (np.ones((5, 3)), r"not of shape \(5, 3\)"),
        (np.ones(5), r"not of shape \(5,\)"),
        (np.diag([1.0, np.nan, 1.0]), "1 pixels of the PSF are not finite .first: row 1, column 1"),
        (-np.ones((3, 3)), "sum to -9; a star must have positive flux"),
        (np.eye(7)[::-1] * np.arange(7), "brightest in row 0, column 6, but its centre is row 3"),
    ],
)
def test_what_is_no_centred_star_is_refused(star, message):
    with pytest.raises(ValueError, match=message):
        psf.pixels(star)


def test_unknown_profiles_and_impossible_widths_are_refused():
    with pytest.raises(ValueError, match=r"keys \['airy'\] is not known; give"):
        psf.from_settings({"airy": 0.7}, 0.1)
    with pytest.raises(ValueError, match=r"fwhm = -0.1 arcsec of a PSF must be > 0"):
        psf.gaussian(-0.1, 0.1)
    with pytest.raises(ValueError, match="beta = 1 of a Moffat profile must be > 1"):
        psf.moffat(0.7, 1.0, 0.1)


@pytest.mark.parametrize(
    ("make", "products"),
    [
        (lambda y, x: np.exp(-(x**2 + y**2) / 5), 1),
        (lambda y, x: np.exp(-(x**2) / 9) / (1 + y**2), 1),
        # two Gaussians: two products
        (lambda y, x: np.exp(-(x**2 + y**2) / 4) + 0.1 * np.exp(-(x**2 + y**2) / 12), 2),
        # a turned star with wings: by Fourier transform
        (lambda y, x: (1 + (x + 0.4 * y) ** 2 + (0.8 * y) ** 2) ** -1.5, 0),
    ],
)
@pytest.mark.parametrize("extra", [0, 4])
def test_convolution_is_the_sum_over_the_kernel(make, products, extra):
    y, x = np.mgrid[-8:9, -8:9]
    kernel = psf.pixels(make(y, x))
    size = 37
    made = prepare(kernel, size)
    assert len(made.columns) == products
    frames = np.random.default_rng(2).random((3, size + extra, size + extra)).astype(np.float32)
    out = np.full((3, size, size), np.nan, np.float32)
    convolve(frames, np.array([True, False, True]), size, made, out)
    assert not out[1].any()
    for k in (0, 2):
        wide = np.pad(frames[k].astype(float), 8 - extra // 2, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(wide, kernel.kernel.shape)
        exact = (windows * kernel.kernel[::-1, ::-1]).sum((2, 3))
        assert out[k] == pytest.approx(exact, abs=3e-5)


def test_convolution_keeps_an_even_sky():
    for kernel in (psf.gaussian(0.3, 0.1), psf.moffat(0.3, 2.0, 0.1), psf.moffat(0.3, 6.0, 0.1)):
        out = np.empty((1, 33, 33), np.float32)
        convolve(np.ones((1, 35, 35), np.float32), np.ones(1, bool), 33, prepare(kernel, 33), out)
        assert out == pytest.approx(1, abs=1e-5)
