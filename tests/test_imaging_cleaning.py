"""Steps from a survey's image to the grid of an observation, and what measures its quality."""

import numpy as np
import pytest
from astropy.stats import sigma_clipped_stats

from lensmill.imaging import cleaning, quality


def blob(n, sigma, x=0.0, y=0.0, flux=1000.0):
    """Return a Gaussian of given flux, offset from the centre of the frame [pixel]."""
    axis = np.arange(n) - (n - 1) / 2
    one = np.exp(-((axis - x) ** 2) / (2 * sigma**2)), np.exp(-((axis - y) ** 2) / (2 * sigma**2))
    return flux * one[1][:, None] * one[0] / (2 * np.pi * sigma**2)


def centroid(image):
    axis_y, axis_x = (np.arange(n) - (n - 1) / 2 for n in image.shape)
    return (image.sum(0) @ axis_x) / image.sum(), (image.sum(1) @ axis_y) / image.sum()


def test_what_is_not_finite_or_marked_is_masked():
    pixels = np.ones((9, 9), np.float32)
    pixels[0, 0], pixels[1, 1], pixels[2, 2], pixels[3, 3] = np.nan, np.inf, -np.inf, 100
    assert cleaning.masked(pixels).sum() == 3
    assert cleaning.masked(pixels, [100.0]).sum() == 4


def test_a_mark_is_found_in_the_precision_of_the_file():
    pixels = np.full((9, 9), -1.0e30, np.float32)
    pixels[0, 0] = 0.1
    assert cleaning.masked(pixels, [0.1, -1e30]).all()
    assert cleaning.masked(np.full((9, 9), -9999, np.int16), [-9999.0]).all()


def test_the_sky_is_that_of_the_border_whatever_lies_inside():
    rng = np.random.default_rng(1)
    pixels = rng.normal(7.0, 2.0, (101, 101)) + blob(101, 8, flux=1e6)
    found = cleaning.sky(pixels, np.zeros_like(pixels, bool))
    assert found.level == pytest.approx(7.0, abs=0.15)
    assert found.sigma == pytest.approx(2.0, rel=0.05)


def test_a_star_at_the_edge_and_masked_pixels_leave_the_sky_alone():
    rng = np.random.default_rng(2)
    pixels = rng.normal(7.0, 2.0, (101, 101)) + blob(101, 3, x=48, flux=1e6)
    mask = np.zeros_like(pixels, bool)
    mask[:, :4] = True
    pixels[mask] = np.nan
    assert cleaning.sky(pixels, mask).level == pytest.approx(7.0, abs=0.2)


def test_the_clipped_median_is_that_of_astropy():
    rng = np.random.default_rng(3)
    pixels = rng.normal(0, 1, (60, 60)) + np.where(rng.random((60, 60)) < 0.05, 30, 0)
    _, expected, _ = sigma_clipped_stats(
        pixels[quality.border(60, 60)], sigma=3, maxiters=5, stdfunc="mad_std"
    )
    found = cleaning.sky(pixels, np.zeros_like(pixels, bool))
    assert found.level == pytest.approx(expected, abs=1e-12)


def test_a_hole_is_filled_with_the_median_of_its_good_neighbours():
    pixels = np.add.outer(np.arange(20.0), np.zeros(20))
    mask = np.zeros_like(pixels, bool)
    mask[10, 10] = True
    pixels[10, 10] = np.nan
    assert cleaning.fill(pixels, mask)[10, 10] == 10
    assert cleaning.fill(pixels, mask, "sky")[10, 10] == 0
    mask[:9] = True  # row 2 has no good neighbour
    filled = cleaning.fill(pixels, mask)
    assert (filled[2] == 0).all()
    assert (filled[8, 5:8] == 9.5).all()  # rows 9 and 10 are known
    assert (filled[12:] == pixels[12:]).all()


@pytest.mark.parametrize("ratio", [0.4, 0.73, 1.0, 1.3, 2.0, 3.37])
@pytest.mark.parametrize("n", [100, 101])
def test_resampling_keeps_flux_and_place(ratio, n):
    image = blob(n, 4, x=3.0, y=-5.0)
    size = int(np.ceil(n / ratio)) + 1
    frame, masked = cleaning.to_frame(image, np.zeros_like(image, bool), ratio, size)
    assert frame.sum() == pytest.approx(image.sum(), rel=1e-9)
    # A frame of the other parity is half a pixel off centre; the margin is for rounding.
    half = 0.501 if ratio == 1 else 0.01
    assert np.array(centroid(frame)) * ratio == pytest.approx([3.0, -5.0], abs=half)
    assert masked[size // 2, size // 2] == pytest.approx(0, abs=1e-12)


def test_smaller_pixels_follow_the_light():
    coarse = blob(60, 4.0)
    fine, _ = cleaning.to_frame(coarse, np.zeros_like(coarse, bool), 0.5, 120)
    expected = blob(120, 8.0)
    assert np.abs(fine - expected).max() < 0.01 * expected.max()


def test_larger_pixels_are_the_sums_of_smaller_ones():
    pixels = np.random.default_rng(0).normal(size=(64, 64))
    frame, _ = cleaning.to_frame(pixels, np.zeros_like(pixels, bool), 2.0, 32)
    assert frame == pytest.approx(pixels.reshape(32, 2, 32, 2).sum(axis=(1, 3)))


def test_a_difference_of_a_hundredth_in_scale_changes_no_pixel():
    pixels = np.random.default_rng(0).normal(size=(64, 64))
    frame, _ = cleaning.to_frame(pixels, np.zeros_like(pixels, bool), 1.009, 64)
    assert (frame == pixels).all()


@pytest.mark.parametrize("ratio", [1.0, 2.0, 0.5])
def test_what_is_masked_or_beyond_the_edge_is_counted(ratio):
    pixels = np.ones((40, 40))
    mask = np.zeros_like(pixels, bool)
    mask[10:20, 10:20] = True
    size = int(80 / ratio)  # four times the area of the image
    frame, part = cleaning.to_frame(pixels, mask, ratio, size)
    assert part.mean() == pytest.approx(1 - (1600 - 100) / 6400)
    assert frame[0, 0] == 0


def test_a_crop_keeps_the_centre():
    pixels = np.zeros((121, 81))
    pixels[60, 40] = 1.0
    frame, _ = cleaning.to_frame(pixels, np.zeros_like(pixels, bool), 1.0, 101)
    assert frame[50, 50] == 1.0


def test_signal_to_noise_of_a_known_source():
    # the aperture of 4 arcsec is 39 x 39 pixels of noise 2, as 40 cannot be centred on 101
    rng = np.random.default_rng(4)
    images = rng.normal(0, 2.0, (200, 101, 101, 1)) + blob(101, 2.0)[None, :, :, None]
    assert quality.snr(images, 0.1).mean() == pytest.approx(1000 / (2 * 39), rel=0.02)
    assert quality.band_snr(images, 0.1).std() == pytest.approx(1.0, rel=0.2)


def test_bands_add_in_quadrature():
    images = np.random.default_rng(4).normal(0, 2.0, (3, 101, 101, 2))
    images[..., 0] += blob(101, 2.0, flux=60 * 2 * 39)
    images[..., 1] += blob(101, 2.0, flux=80 * 2 * 39)
    each = quality.band_snr(images, 0.1)
    assert quality.snr(images, 0.1) == pytest.approx(np.hypot(*each.T))
    assert quality.snr(images, 0.1, np.full((3, 2), 2.0)).mean() == pytest.approx(100, rel=0.02)


def test_an_image_without_noise_has_no_signal_to_noise():
    assert quality.snr(np.zeros((2, 30, 30, 1), np.float32), 0.1).tolist() == [0, 0]


def test_signal_to_noise_of_arcs_is_that_of_the_matched_filter():
    arcs = np.zeros((2, 20, 20, 2))
    arcs[0, 3, 4, 0], arcs[0, 8, 8, 1] = 3.0, 8.0
    assert quality.arc_snr(arcs, [1.0, 2.0]) == pytest.approx([5.0, 0.0])


def test_length_of_arcs():
    axis = np.arange(101) - 50.0
    x, y = np.meshgrid(axis, axis)
    r = np.hypot(x, y)
    ring = np.abs(r - 20) < 1.5
    shapes = {
        "nothing": (r < 0, 0),
        "ring": (ring, 2 * np.pi * 20 + 3),
        "half ring": (ring & (y > 0), np.pi * 20),
        "disc": (r < 10, 20),
        "bar": ((np.abs(y) < 1.1) & (np.abs(x) < 20.1), 41),
        "two bars": ((np.abs(y) < 1.1) & (np.abs(x) < 20.1) & (np.abs(x - 5) > 1), 24),
        "diagonal": ((np.abs(x - y) < 2.1) & (np.abs(x + y) < 40.1), 40 * 2**0.5),
    }
    images = np.stack([5.0 * shape for shape, _ in shapes.values()])[..., None]
    found = quality.arc_length(images, 1.0, 0.1)
    assert found == pytest.approx([0.1 * expected for _, expected in shapes.values()], rel=0.09)


def test_arcs_do_not_reach_from_one_image_into_the_next():
    images = np.full((3, 12, 12, 1), 5.0)
    one = quality.arc_length(images[:1], 1.0, 1.0)
    assert quality.arc_length(images, 1.0, 1.0) == pytest.approx(np.repeat(one, 3))


def test_light_below_two_sigma_has_no_length():
    image = np.full((1, 30, 30, 1), 1.9)
    assert quality.arc_length(image, 1.0, 1.0) == 0
    # three bands of 1.9 sigma are 3.3 sigma together
    assert quality.arc_length(np.repeat(image, 3, axis=3), 1.0, 1.0) > 30
