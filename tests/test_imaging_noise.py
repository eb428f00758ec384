"""Noise: its size, its shape, its streams."""

import numpy as np
import pytest
from scipy import stats

from lensmill.imaging.noise import FEW, correlate, observe, poisson, sigma
from lensmill.imaging.streams import NOISE, normals, pairs, philox, words

CAMERA = {"exposure": 500.0, "sky": 0.4, "read_noise": 5.0, "exposures": 4}


def keys(n, seed=0):
    return np.random.default_rng(seed).integers(2**64, size=(n, 2), dtype=np.uint64)


def scene(n=40, bands=2):
    """Images from nothing to bright, electrons per second."""
    light = np.random.default_rng(1).gamma(0.5, 2.0, (n, 24, 24, bands))
    return light.astype(np.float32)


def test_the_cipher_gives_the_published_words():
    # known answers of Random123, philox4x32-10
    for word, answer in (
        (0x00000000, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (0xFFFFFFFF, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ):
        assert list(philox(*(np.uint64(word),) * 6)) == answer


def test_the_words_of_an_image_are_those_of_the_cipher():
    key = np.array([0x0123456789ABCDEF, 0xFEDCBA9876543210], np.uint64)
    out = np.empty((4, 1000), np.uint32)
    words(key, NOISE, out)
    low, high = key & np.uint64(0xFFFFFFFF), key >> np.uint64(32)
    for j in (0, 1, 999):
        assert list(out[:, j]) == list(
            philox(np.uint64(j), NOISE, low[1], high[1], low[0], high[0])
        )


def test_normal_numbers_are_normal_and_independent():
    bits = np.empty((4, 250_000), np.uint32)
    z = np.empty(bits.shape, np.float32)
    words(keys(1)[0], NOISE, bits)
    normals(bits, z)
    assert stats.kstest(z.ravel().astype(float), "norm").pvalue > 1e-3
    assert np.abs(z).max() > 4.5
    assert abs(np.mean(z)) < 5e-3
    assert np.mean(z.astype(float) ** 2) == pytest.approx(1, abs=7e-3)
    assert np.mean(z.astype(float) ** 4) == pytest.approx(3, abs=0.06)
    for power in (1, 2):
        table = np.corrcoef(z.astype(float) ** power)
        assert np.abs(table - np.eye(4)).max() < 0.01
        values = z.ravel().astype(float) ** power
        assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 5e-3


def test_bright_pixels_have_the_stated_mean_and_variance():
    model = np.full((300, 16, 16, 2), [0.5, 20.0], np.float32)
    noisy = observe(model, **CAMERA, keys=keys(300))
    expected = sigma(model, **CAMERA)
    # electrons: (model + sky) * exposure + exposures * read_noise**2
    variance = (0.5 + 0.4) * 500 + 4 * 25
    assert expected[0, 0, 0, 0] == pytest.approx(np.sqrt(variance) / 500, rel=1e-6)
    pull = (noisy - model) / expected
    assert np.abs(pull.mean((0, 1, 2))).max() < 0.015
    assert pull.std((0, 1, 2)) == pytest.approx([1, 1], abs=0.01)
    assert stats.kstest(pull.ravel().astype(float), "norm").pvalue > 1e-3


@pytest.mark.parametrize("electrons", [0.02, 0.7, 5.0, 20.0, 49.0])
def test_few_electrons_are_poisson_numbers(electrons):
    model = np.full((100, 40, 40, 1), 0.25 * electrons / 100, np.float32)
    dark = {"exposure": 100.0, "read_noise": 0.0, "exposures": 1}
    noisy = observe(model, sky=0.75 * electrons / 100, **dark, keys=keys(100))
    counts = noisy * 100 + 0.75 * electrons
    assert np.abs(counts - np.rint(counts)).max() < 1e-4
    found = np.bincount(np.rint(counts).astype(int).ravel(), minlength=200)
    expected = stats.poisson.pmf(np.arange(found.size), electrons) * counts.size
    often = expected > 20
    chi2 = ((found - expected)[often] ** 2 / expected[often]).sum()
    assert stats.chi2.sf(chi2, often.sum()) > 1e-4
    assert found[~often].sum() < 20 * 30


def test_the_variance_does_not_jump_where_counts_become_gaussian():
    for electrons in (0.98 * FEW, 1.02 * FEW):
        model = np.full((100, 40, 40, 1), electrons / 100, np.float32)
        noisy = observe(model, 100.0, 0.0, 3.0, 1, keys(100))
        assert noisy.std() * 100 == pytest.approx(np.sqrt(electrons + 9), rel=0.01)
        assert noisy.mean() * 100 == pytest.approx(electrons, abs=0.1)


def test_read_noise_and_poisson_noise_add_in_a_faint_pixel():
    model = np.full((200, 20, 20, 1), 0.004, np.float32)
    noisy = observe(model, 100.0, 0.01, 2.0, 3, keys(200))
    assert noisy.std() == pytest.approx(
        float(sigma(model, 100.0, 0.01, 2.0, 3)[0, 0, 0, 0]), rel=0.01
    )
    assert noisy.mean() == pytest.approx(0.004, abs=3e-4)


def test_outcomes_take_their_share_of_the_unit_interval():
    u = (np.arange(20000) + 0.5) / 20000
    for mean in (1e-9, 0.3, 7.5, 49.9):
        counts = np.bincount([poisson(mean, x) for x in u], minlength=150)
        expected = stats.poisson.pmf(np.arange(counts.size), mean) * u.size
        assert np.abs(counts - expected).max() <= 1.0
    assert poisson(0.0, 0.7) == 0
    # the last bits of the interval belong to somebody, too
    assert 0 <= poisson(30.0, 1.0 - 2.0**-53) < 150


def test_the_noise_of_a_system_is_its_own_whatever_it_is_observed_with():
    model, key = scene(), keys(40)
    together = observe(model, **CAMERA, keys=key)
    for rows in ([3], [39, 0, 17]):
        assert np.array_equal(observe(model[rows], **CAMERA, keys=key[rows]), together[rows])
    dim = observe(model * 1e-3, 20.0, 0.1, 1.0, 1, key)
    assert np.array_equal(observe(model[5:6] * 1e-3, 20.0, 0.1, 1.0, 1, key[5:6])[0], dim[5])


def test_each_bit_of_a_key_makes_another_noise():
    model = scene(1)
    first = np.zeros((1, 2), np.uint64)
    seen = [observe(model, **CAMERA, keys=first)]
    for word in range(2):
        for bit in (0, 31, 32, 63):
            key = first.copy()
            key[0, word] = np.uint64(1) << np.uint64(bit)
            noisy = observe(model, **CAMERA, keys=key)
            for other in seen:
                pulls = [((a - model) / sigma(model, **CAMERA)).ravel() for a in (noisy, other)]
                assert abs(np.corrcoef(pulls)[0, 1]) < 0.15
            seen.append(noisy)


def test_one_word_is_a_key_as_well():
    model = scene(3)
    one = keys(3)[:, 0]
    two = np.stack([one, np.zeros(3, np.uint64)], axis=1)
    assert np.array_equal(observe(model, **CAMERA, keys=one), observe(model, **CAMERA, keys=two))


def test_conditions_may_differ_by_band_and_by_system():
    model = scene(3)
    by_band = observe(model, [100.0, 900.0], [0.1, 2.0], 5.0, [1, 3], keys(3))
    each = np.array([[100.0, 900.0]] * 3)
    by_system = observe(model, each, [[0.1, 2.0]] * 3, 5.0, 1 + (each > 500) * 2, keys(3))
    assert np.array_equal(by_band, by_system)
    alone = observe(model[:1], each[:1], [[0.1, 2.0]], 5.0, [[1, 3]], keys(3)[:1])
    assert np.array_equal(alone[0], by_band[0])


def test_light_below_zero_adds_no_noise_and_stays():
    model = np.full((50, 20, 20, 1), -3.0, np.float32)
    assert np.array_equal(observe(model, 100.0, 1.0, 0.0, 1, keys(50)), model)
    noisy = observe(model, 100.0, 1.0, 2.0, 1, keys(50))
    assert noisy.mean() == pytest.approx(-3.0, abs=1e-3)
    assert noisy.std() == pytest.approx(0.02, rel=0.02)


def test_what_no_camera_has_is_refused():
    model = scene(2)
    with pytest.raises(ValueError, match="read_noise = -1 must be finite and at least 0"):
        observe(model, 100.0, 1.0, -1.0, 1, keys(2))
    with pytest.raises(
        ValueError, match=r"sky has shape \(3,\); give a number, one per band \(2\)"
    ):
        sigma(model, 100.0, [1.0, 1.0, 1.0], 1.0)
    with pytest.raises(ValueError, match=r"keys of type int64 and shape \(2,\) do not fit"):
        pairs(np.arange(2), 2)
    with pytest.raises(ValueError, match="do not fit 2 systems"):
        observe(model, **CAMERA, keys=keys(3))


@pytest.mark.parametrize("rho", [0.0, 0.25, 0.7])
def test_correlated_noise_keeps_its_variance(rho):
    rng = np.random.default_rng(4)
    model = scene(200, 1)
    width = 1 + model
    pixels = model + width * rng.standard_normal(model.shape)
    z = (correlate(pixels, model, width, [rho]) - model) / width
    assert z.std() == pytest.approx(1, abs=0.01)
    for axis in (1, 2):
        assert (z * np.roll(z, 1, axis)).mean() == pytest.approx(rho, abs=0.01)
    # what is next but one has the square of a neighbour's part
    part = rho / (1 + np.sqrt(1 - 2 * rho**2))
    expected = part**2 / (1 + 2 * part**2)
    assert (z * np.roll(z, 2, 1)).mean() == pytest.approx(expected, abs=0.01)
    if not rho:
        assert correlate(pixels, model, width, [0.0]) == pytest.approx(pixels, abs=1e-5)
