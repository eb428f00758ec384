"""Distances against astropy, delays by hand."""

import numpy as np
import pytest

from lensmill.lensing.distances import distances, time_delay


@pytest.mark.parametrize(("h0", "omega_m"), [(70.0, 0.3), (50.0, 0.05), (100.0, 0.99)])
def test_distances_agree_with_astropy(h0, omega_m):
    from astropy.cosmology import FlatLambdaCDM

    cosmology = FlatLambdaCDM(H0=h0, Om0=omega_m, Tcmb0=0)
    z_lens = np.linspace(0.01, 4, 60)
    z_source = z_lens + np.geomspace(0.01, 15, 60)
    d_l, d_s, d_ls, d_dt = distances(z_lens, z_source, h0, omega_m)
    assert d_l == pytest.approx(cosmology.angular_diameter_distance(z_lens).value, rel=1e-10)
    assert d_s == pytest.approx(cosmology.angular_diameter_distance(z_source).value, rel=1e-10)
    expected = cosmology.angular_diameter_distance_z1z2(z_lens, z_source).value
    assert d_ls == pytest.approx(expected, rel=1e-10)
    assert d_dt == pytest.approx((1 + z_lens) * d_l * d_s / d_ls, rel=1e-14)


def test_an_empty_universe_of_matter_has_the_einstein_de_sitter_distance():
    # 2 c / H0 (1 - 1 / sqrt(1 + z)) / (1 + z)
    d_l, *_ = distances(0.5, 2.0, 70.0, 1.0)
    assert d_l == pytest.approx(2 * 299792.458 / 70 * (1 - 1.5**-0.5) / 1.5, rel=1e-13)


def test_time_delay_of_a_typical_double():
    # D_dt = 2000 Mpc, 0.6 arcsec^2 -> 33.6 days
    assert time_delay(2000.0, 0.6) == pytest.approx(33.6, abs=0.05)


def test_time_delays_agree_with_astropy_units():
    from astropy import constants, units

    delay = (units.Mpc * units.arcsec**2 / constants.c).to(
        units.day, equivalencies=units.dimensionless_angles()
    )
    assert time_delay(1.0, 1.0) == pytest.approx(delay.value, rel=1e-13)


def test_distances_scale_with_the_hubble_constant():
    near, far = distances(0.5, 1.5, 80.0, 0.3), distances(0.5, 1.5, 40.0, 0.3)
    assert far == pytest.approx(2 * np.array(near))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ([0.5, 0.5], [1.0, 0.4], 70, 0.3),
            r"system 1 .* z_source = 0.4 .* above that of its lens",
        ),
        ((0.0, 1.0, 70, 0.3), r"z_lens = 0 must be above 0"),
        ((0.5, 30.0, 70, 0.3), r"z_source = 30 must be at most 20"),
        ((0.5, 1.0, -70, 0.3), r"h0 = -70 must be positive"),
        ((0.5, 1.0, 70, 1.3), r"omega_m = 1.3 must be between 0 and 1"),
        ((np.nan, 1.0, 70, 0.3), r"z_lens = nan"),
    ],
)
def test_impossible_redshifts_and_cosmologies_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        distances(*arguments)
