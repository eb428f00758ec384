"""Defects of the detector."""

import numpy as np
import pytest

from lensmill.imaging.defects import add


def keys(n):
    return np.random.default_rng(3).integers(2**64, size=(n, 2), dtype=np.uint64)


def images(n=60, size=50, bands=2):
    return np.random.default_rng(0).normal(size=(n, size, size, bands)).astype(np.float32)


def test_no_rates_leave_the_images_alone():
    pixels, mask = add(images(), keys(60))
    assert np.array_equal(pixels, images())
    assert not mask.any()


def test_what_is_not_masked_is_untouched_and_the_input_is_kept():
    before = images()
    pixels, mask = add(before, keys(60), 3.0, 0.01, 0.02, 0.005, bad_value=100.0)
    assert np.array_equal(before, images())
    assert np.array_equal(pixels[~mask], before[~mask])
    assert (pixels[mask] != before[mask]).all()


def test_rates_come_out_as_asked():
    _, mask = add(images(), keys(60), bad_pixels=0.02)
    assert mask.mean() == pytest.approx(0.02, abs=0.001)
    pixels, mask = add(images(), keys(60), nan_pixels=0.01)
    assert np.array_equal(np.isnan(pixels), mask)
    assert mask.mean() == pytest.approx(0.01, abs=0.001)
    pixels, mask = add(images(), keys(60), bad_columns=0.03, bad_value=-7.0)
    columns = mask.all(axis=1)
    assert np.array_equal(mask, np.broadcast_to(columns[:, None], mask.shape))
    assert columns.mean() == pytest.approx(0.03, abs=0.008)
    assert (pixels[mask] == -7.0).all()


def test_a_cosmic_ray_is_a_short_bright_line():
    blank = np.zeros((400, 80, 80, 1), np.float32)
    pixels, mask = add(blank, keys(400), cosmic_rays=0.05, ray_brightness=10.0, ray_length=6.0)
    hit = np.flatnonzero(mask.any((1, 2, 3)))
    # 1 - exp(-0.05) of 400
    assert 8 <= hit.size <= 35
    lengths, lights = [], []
    for i in hit:
        rows, columns = np.nonzero(mask[i, :, :, 0])
        light = pixels[i, rows, columns, 0]
        if np.ptp(light) > 0:  # two in one image
            continue
        lights.append(light[0])
        lengths.append(max(np.ptp(rows), np.ptp(columns)) + 1)
        # connected: as many steps as the longer side is long, at least
        assert lengths[-1] <= rows.size <= 2 * lengths[-1]
    assert (np.array(lights) > 0).all()
    assert 3 < np.mean(lights) < 25
    assert 2 < np.mean(lengths) < 12


def test_defects_are_the_systems_own_and_each_band_has_its_own():
    rates = {"cosmic_rays": 2.0, "bad_pixels": 0.01, "bad_columns": 0.05, "nan_pixels": 0.01}
    pixels, mask = add(images(), keys(60), **rates)
    for rows in ([5], [59, 2]):
        alone, alone_mask = add(images()[rows], keys(60)[rows], **rates)
        assert np.array_equal(alone, pixels[rows], equal_nan=True)
        assert np.array_equal(alone_mask, mask[rows])
    assert (mask[0] & ~mask[1]).any()
    assert (mask[..., 0] & ~mask[..., 1]).any()


def test_impossible_rates_are_refused():
    with pytest.raises(ValueError, match=r"bad_pixels = 1.5 is a probability"):
        add(images(), keys(60), bad_pixels=1.5)
    with pytest.raises(ValueError, match="cosmic_rays = 200 per image must lie between 0 and 99"):
        add(images(), keys(60), cosmic_rays=200)
