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


# Marks that nobody named


def observed(n=64, sigma=1.0, level=0.0, seed=5, flux=1200.0):
    rng = np.random.default_rng(seed)
    return rng.normal(level, sigma, (n, n)) + sigma * blob(n, 3.0, flux=flux)


def marks(pixels, lossy=0.0):
    mask = ~np.isfinite(pixels)
    sky = cleaning.sky(pixels, mask)
    assert sky.sigma > 0
    found = cleaning.alone(pixels[~mask], sky, 1e6, 1e3)
    return found + cleaning.repeated(pixels, mask, sky, 9, 0.0015, 3.0, lossy)


def star(n=101, seed=3):
    """Return a field with a star that saturates at 60000 and bleeds along its column."""
    pixels = np.random.default_rng(seed).normal(1000, 30, (n, n)) + blob(n, 2.0, 10, -8, flux=4e6)
    pixels[30:55, n // 2 + 10] = 1e5
    return np.minimum(pixels, 60000.0)


def undersampled(n=101):
    pixels = np.random.default_rng(3).normal(1000, 30, (n, n)) + blob(n, 0.8, 10, -8, flux=1e6)
    return np.minimum(pixels, 60000.0)


ORDINARY = {
    "real numbers": observed(),
    "32 bits": observed(level=1e4).astype(np.float32),
    "32 bits, noise near their rounding": observed(level=1e6).astype(np.float32),
    "32 bits, noise at their rounding": observed(level=1e7, sigma=0.8, n=200).astype(np.float32),
    "16 bits": observed(n=101, sigma=20).astype(np.float16),
    "16 bits, faint": observed(n=101, sigma=1e-5).astype(np.float16),
    "three digits": np.array([float(f"{v:.3g}") for v in observed(n=101).ravel()]).reshape(101, -1),
    "two decimals": np.round(observed(n=128), 2),
    "counts": np.random.default_rng(1).poisson(9 + blob(101, 5, flux=5000)),
    "few counts": np.random.default_rng(1).poisson(1.0 + blob(101, 5, flux=800)),
    "counts of 0.75": np.random.default_rng(2).poisson(0.75 + blob(101, 5, flux=800)),
    "coarse whole numbers": np.round(observed(n=128, sigma=0.8)).astype(np.int16),
    "whole numbers": np.round(observed(n=128, sigma=6, level=300)).astype(np.int32),
    "wide whole numbers": np.round(observed(n=256, sigma=900, level=9000)).astype(np.int32),
    "counts times a gain": np.round(3.3 * np.random.default_rng(1).poisson(30, (101, 101))),
    "counts over a gain": np.round(0.6 * np.random.default_rng(1).poisson(90, (101, 101))),
    "a part in 256 of the range": np.round(observed(n=101) * 2.5 + 99).astype(np.uint8),
    "enlarged twice": np.kron(observed(n=50), np.ones((2, 2))),
    "enlarged four times": np.kron(observed(n=40), np.ones((4, 4))),
    "enlarged eight times": np.kron(observed(n=20, flux=200), np.ones((8, 8))),
    "counts enlarged four times": np.kron(
        np.random.default_rng(5).poisson(20 + blob(25, 2, flux=3000)), np.ones((4, 4))
    ),
    "mirrored at the edges": np.pad(observed(n=80), 12, mode="reflect"),
    "small hole filled with one value": np.where(
        np.add.outer(np.abs(np.arange(120) - 9), np.abs(np.arange(120) - 7)) < 3, 1.1, observed(120)
    ),
    "saturated star": star(),
    "saturated star in whole numbers": star().astype(np.int32),
    "saturated star without much of a wing": undersampled(),
    "clipped core": np.minimum(observed(), 9.0),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_no_value_of_an_ordinary_image_is_a_mark(name):
    assert marks(ORDINARY[name]) == []


def marked(value, where, pixels=None):
    pixels = (observed() if pixels is None else pixels).copy()
    pixels[where] = value
    return pixels


HOLE, EDGE, STRIPE = np.s_[5:9, 30:34], np.s_[:, -13:], np.s_[:, :27]
COUNTS = ORDINARY["whole numbers"]
FOOTPRINT = np.subtract.outer(np.arange(64), np.arange(64)) > 30  # a turned edge


@pytest.mark.parametrize("value", [0.0, -99.0, -9999.0, 99.0, 0.37, -1e30, 1e30, 1e8])
@pytest.mark.parametrize("where", [HOLE, EDGE, STRIPE, FOOTPRINT], ids=["hole", "edge", "42%", "/"])
@pytest.mark.parametrize("kind", [np.float32, np.float64, ">f4"])
def test_one_value_in_many_pixels_is_found_wherever_it_stands(value, where, kind):
    found = marks(marked(value, where).astype(kind))
    assert {mark.value for mark in found} == {np.dtype(kind).type(value)}
    assert found[0].count == np.ones((64, 64))[where].size


@pytest.mark.parametrize("value", [0, -99, 300, 30000])
def test_a_mark_is_found_between_whole_numbers(value):
    pixels = marked(value, np.s_[:, :26], COUNTS)
    assert [mark.value for mark in marks(pixels)] == [value]


def test_a_mark_between_the_brightness_of_sky_and_of_stars_is_found_beside_a_star():
    pixels = observed(n=101) + blob(101, 2.5, 10, -8, flux=4000)
    found = marks(marked(99.0, np.s_[50:, :51], pixels).astype(np.float32))
    assert [mark.value for mark in found] == [99.0]
    counts = np.random.default_rng(1).poisson(300, (101, 101)) - 300  # noise of 17
    assert [mark.value for mark in marks(marked(99, np.s_[70:78, 20:28], counts))] == [99]


def test_zeros_beyond_the_edge_of_counts_of_few_photons_are_found():
    counts = np.random.default_rng(1).poisson(2.0, (101, 101))
    assert [mark.value for mark in marks(marked(0, np.s_[:, :20], counts))] == [0]


@pytest.mark.parametrize("pair", [(-99.0, -999.0), (1e30, -1e30), (0.0, -9999.0), (-99.0, 99.0)])
def test_two_marks_are_both_found(pair):
    pixels = marked(pair[1], HOLE, marked(pair[0], EDGE)).astype(np.float32)
    assert {mark.value for mark in marks(pixels)} == {*np.float32(pair)}


def test_single_pixels_of_opposite_sign_are_found():
    pixels = marked(-1e30, np.s_[3, 3], marked(1e30, np.s_[50, 9])).astype(np.float32)
    assert {mark.value for mark in marks(pixels)} == {*np.float32([1e30, -1e30])}
    assert [mark.value for mark in marks(marked(-9999, np.s_[3, 3]))] == [-9999]


def test_the_sky_between_marks_is_none():
    steps = np.round(observed(n=96) / 0.25) * 0.25
    assert [mark.value for mark in marks(marked(-99.0, np.s_[:, :20], steps), 0.25)] == [-99.0]
    both = marked(0.0, HOLE, marked(-99.0, np.s_[:, :20], observed(n=96)))
    assert [mark.value for mark in marks(both)] == [-99.0, 0.0]


@pytest.mark.parametrize("step", [0.5, 1.0, 2.0])
def test_steps_as_wide_as_the_noise_hide_no_mark_and_are_none(step):
    blur = step * np.random.default_rng(0).uniform(-0.5, 0.5, (96, 96))
    pixels = step * np.round((observed(n=96) - blur) / step) + blur
    assert marks(pixels, lossy=step) == []
    assert [round(mark.value) for mark in marks(marked(-99.0, EDGE, pixels), step)] == [-99]


@pytest.mark.parametrize("value", [-99.0, -9999.0])
def test_a_mark_that_interpolation_or_compression_has_blurred_is_found(value):
    blur = np.random.default_rng(0).uniform(-0.5, 0.5, (64, 64))
    rounded = marked(value, EDGE) * (1 + 3e-7 * blur)
    assert [mark.value for mark in marks(rounded)[:1]] == [pytest.approx(value, rel=1e-6)]
    found = marks(marked(value, EDGE) + 0.25 * blur, 0.25)
    assert found[0].value == pytest.approx(value, abs=0.25)
    assert found[0].count == 13 * 64
    assert marks(observed() + 0.25 * blur, lossy=0.25) == []


def test_a_blurred_mark_is_masked_to_half_a_step():
    pixels = observed().astype(np.float32)
    pixels[:4] = -9999 + np.random.default_rng(0).uniform(-0.12, 0.12, (4, 64))
    assert cleaning.masked(pixels, [-9999]).sum() < 10
    assert cleaning.masked(pixels, [-9999], step=0.25).sum() == 4 * 64
    pixels[5] = 0  # exact zeros are kept by some compressions: sky of 0.1 is none of them
    assert cleaning.masked(pixels, [0.0], step=0.25).sum() == 64
    assert cleaning.masked(pixels, [0.0], step=0.25, exact_zero=False).sum() > 300


def test_counts_of_single_photons_are_told_from_zeros_beyond_the_edge():
    rng = np.random.default_rng(1)
    assert cleaning.photons(rng.poisson(0.3, 10_000))
    assert cleaning.photons(rng.poisson(0.3, 10_000) / 1400.0)
    assert not cleaning.photons(np.where(np.arange(9000) < 5000, 0, rng.poisson(90, 9000)))
    assert not cleaning.photons(np.where(np.arange(9000) < 5000, 0, rng.normal(size=9000)))
