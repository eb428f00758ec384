"""Light in magnitudes, and what a camera makes of it."""

import numpy as np
import pytest

from lensmill.imaging import camera, light, scenes

BAND = {
    "wavelength": 752.0,
    "zero_point": 25.0,
    "exposure": 100.0,
    "exposures": 4,
    "read_noise": 5.0,
    "sky": 20.0,
    "psf": {"gaussian": 0.3},
}
BLUE = BAND | {"wavelength": 481.0, "psf": {"moffat": 0.5, "beta": 3.0}}
OBSERVATION = {"pixel_scale": 0.1, "size": 32, "bands": {"g": BLUE, "i": BAND}}
NO_MASS = {
    "theta_e": np.zeros(2),
    "q": np.ones(2),
    "phi": np.zeros(2),
    "slope": np.full(2, 2.0),
    "gamma1": np.zeros(2),
    "gamma2": np.zeros(2),
}
LENS = NO_MASS | {
    "theta_e": np.array([0.8, 0.5]),
    "q": np.array([0.7, 0.9]),
    "phi": np.array([0.3, 1.0]),
    "gamma1": np.array([0.05, 0.0]),
    "gamma2": np.array([-0.02, 0.1]),
}
CENTRE = np.array([0.1, 0.0]), np.array([-0.05, 0.2])
KEYS = camera.keys(np.random.default_rng(1).random((2, 2)))
OTHER_KEYS = camera.keys(np.random.default_rng(2).random((2, 2)))


def components():
    """Put a galaxy into each of two systems, and a lensed one into the first."""
    parts = light.Light()
    rows = np.arange(2)
    parts.add(rows, scenes.SERSIC, radius=0.3, index=2.0, magnitude=20.0, colour=1.5)
    parts.add(
        rows[:1], scenes.SERSIC, lensed=True, x=0.1, y=0.2, radius=0.1, magnitude=22.0, colour=0.2
    )
    return light.shift(parts.joined(), CENTRE)


def test_components_are_joined_in_the_order_added_with_what_was_left_out():
    joined = components()
    assert joined["owner"].tolist() == [0, 1, 0]
    assert joined["index"].tolist() == [2.0, 2.0, 1.0]
    assert joined["q"].tolist() == [1.0, 1.0, 1.0]
    assert joined["lensed"].tolist() == [False, False, True]
    assert {*joined} == {*light.Light.COLUMNS}


def test_light_moves_with_its_own_system():
    joined = components()
    assert joined["x"] == pytest.approx([0.1, 0.0, 0.2])
    assert joined["y"] == pytest.approx([-0.05, 0.2, 0.15])


def test_four_quarter_turns_lead_back_and_one_turns_the_image():
    start = LENS, CENTRE, components()
    quarter = light.turn(*start, np.pi / 2)
    assert quarter[1][0] == pytest.approx(-CENTRE[1])
    assert quarter[0]["gamma1"] == pytest.approx(-LENS["gamma1"])
    assert quarter[0]["theta_e"] is LENS["theta_e"]
    upright = camera.noise_free(*start, OBSERVATION)[0]
    turned = camera.noise_free(*quarter, OBSERVATION)[0]
    assert np.abs(turned - np.rot90(upright, -1, axes=(1, 2))).max() < 1e-3 * upright.max()
    again = quarter
    for _ in range(3):
        again = light.turn(*again, np.pi / 2)
    for name in ("gamma1", "gamma2"):
        assert again[0][name] == pytest.approx(LENS[name], abs=1e-12)
    assert again[2]["x"] == pytest.approx(start[2]["x"], abs=1e-12)


def test_the_zero_point_is_the_magnitude_of_one_electron_per_second():
    assert camera.rate(25.0, BAND) == 1
    assert camera.rate(np.array([22.5]), BAND) == pytest.approx([10.0])


def test_a_colour_is_the_difference_of_the_magnitudes_in_g_and_i():
    faint = {"magnitude": np.array([21.0]), "colour": np.array([1.5])}
    assert camera.flux(faint, BAND) == pytest.approx(camera.rate(21.0, BAND))
    assert camera.flux(faint, BLUE) == pytest.approx(camera.rate(22.5, BLUE))


def test_galaxies_lose_most_of_their_light_bluewards_of_r():
    # medians of real galaxies, see SHARE_R: red ones 0.27 to 0.35, blue ones 0.31 to 0.36
    in_r = BAND | {"wavelength": 617}
    assert 0.27 < camera.redness(in_r) < 0.36
    wavelengths = [400, 480, 482, 616, 618, 700, 751, 753, 800, 849, 851, 1500]
    shares = [camera.redness(BAND | {"wavelength": w}) for w in wavelengths]
    assert (np.diff(shares) < 0).all()
    # without a step where the law changes
    for low, high in ((480, 482), (616, 618), (751, 753), (849, 851)):
        between = shares[wavelengths.index(low)] - shares[wavelengths.index(high)]
        assert between < 0.012


def test_noise_is_correlated_as_an_observation_says():
    bands = {name: band | {"noise_correlation": 0.3} for name, band in OBSERVATION["bands"].items()}
    model, _, sigma = camera.noise_free(NO_MASS, CENTRE, components(), OBSERVATION)
    white, _ = camera.observe(model, OBSERVATION, KEYS, KEYS)
    pixels, _ = camera.observe(model, OBSERVATION | {"bands": bands}, KEYS, KEYS)
    z, independent = (pixels - model) / sigma, (white - model) / sigma
    assert z.std() == pytest.approx(1, abs=0.05)
    for axis in (1, 2):
        assert (z * np.roll(z, 1, axis)).mean() == pytest.approx(0.3, abs=0.1)
        assert (independent * np.roll(independent, 1, axis)).mean() == pytest.approx(0, abs=0.1)


def test_an_image_without_noise_has_the_flux_of_its_components():
    large = OBSERVATION | {"size": 128}
    model, lensed, sigma = camera.noise_free(NO_MASS, CENTRE, components(), large)
    assert model.shape == sigma.shape == (2, 128, 128, 2)
    i_band = camera.rate(20.0, BAND), camera.rate(22.0, BAND)
    assert model[0, ..., 1].sum() == pytest.approx(sum(i_band), rel=0.01)
    assert model[1, ..., 1].sum() == pytest.approx(i_band[0], rel=0.01)
    assert lensed[0, ..., 1].sum() == pytest.approx(i_band[1], rel=0.01)
    assert not lensed[1].any()


def test_the_noise_is_that_of_sky_source_and_read_out():
    model, _, sigma = camera.noise_free(NO_MASS, CENTRE, components(), OBSERVATION)
    sky = camera.rate(20.0, BAND) * 0.1**2
    variance = (model + sky) * 100.0 + 4 * 5.0**2
    assert sigma == pytest.approx(np.sqrt(variance) / 100.0, rel=1e-5)


def test_what_a_lens_does_to_the_flux_is_the_magnification():
    large = OBSERVATION | {"size": 128}
    joined = components()
    for mass, low, high in ((NO_MASS, 0.99, 1.01), (LENS, 3.0, 30.0)):
        lensed = camera.noise_free(mass, CENTRE, joined, large)[1]
        found = camera.magnification(joined, lensed, large)
        assert low < found[0] < high
        assert found[1] == 0


def test_noise_is_of_the_keys_and_of_the_size_that_was_said():
    model, _, sigma = camera.noise_free(NO_MASS, CENTRE, components(), OBSERVATION)
    pixels, masked = camera.observe(model, OBSERVATION, KEYS, OTHER_KEYS)
    again, _ = camera.observe(model, OBSERVATION, KEYS, KEYS)
    other, _ = camera.observe(model, OBSERVATION, OTHER_KEYS, KEYS)
    assert (pixels == again).all() and (pixels != other).any()
    assert ((pixels - model) / sigma).std() == pytest.approx(1, abs=0.05)
    assert not masked.any()


def test_upon_real_sky_there_is_no_other_sky():
    model, _, _ = camera.noise_free(NO_MASS, CENTRE, components(), OBSERVATION)
    dark = np.zeros_like(model)
    none = camera.observe(dark, OBSERVATION, KEYS, OTHER_KEYS, background=np.ones_like(model))
    sky = camera.rate(20.0, BAND) * 0.1**2
    assert none[0] == pytest.approx(np.sqrt(sky * 100.0 + 4 * 5.0**2) / 100.0, rel=1e-5)


def test_bad_pixels_are_repaired_and_counted():
    model, _, _ = camera.noise_free(NO_MASS, CENTRE, components(), OBSERVATION)
    damaged = OBSERVATION | {"defects": {"nan_pixels": 0.05}}
    pixels, masked = camera.observe(model, damaged, KEYS, OTHER_KEYS)
    clean, _ = camera.observe(model, OBSERVATION, KEYS, OTHER_KEYS)
    assert np.isfinite(pixels).all()
    assert masked == pytest.approx(np.mean(pixels != clean, axis=(1, 2, 3)))
    assert (masked > 0.02).all()
