"""Subhalos and vortices: deflections against an independent code, by hand, and by calculus."""

import numpy as np
import pytest
from lenstronomy.LensModel.Profiles.point_mass import PointMass
from lenstronomy.LensModel.Profiles.tnfw import TNFW
from scipy.integrate import quad

from lensmill.lensing import subhalos, vortex
from lensmill.lensing.subhalos import Subhalos

SIDE = (np.arange(48) - 23.5) * 0.1
X, Y = np.meshgrid(SIDE, SIDE)


def halos(n, seed=0):
    """Draw halos of all sizes that occur, and some that do not, within and beyond the frame."""
    rng = np.random.default_rng(seed)
    return Subhalos(
        *rng.uniform(-3, 3, (2, n)),
        10 ** rng.uniform(-6, -2, n),
        10 ** rng.uniform(-2.5, 0, n),
        10 ** rng.uniform(-1.4, 2.4, n),
        np.arange(n + 1),
    )


def of_lenstronomy(x, y, strength, scale, tau):
    # strength = 4 pi rho r_s^3 / (pi Sigma), alpha_Rs = 4 rho r_s^2 (1 + ln 1/2) with rho / Sigma
    alpha = strength / scale * (1 + np.log(0.5))
    return np.array(TNFW().derivatives(X, Y, scale, alpha, tau * scale, x, y))


def test_truncated_halos_deflect_as_those_of_lenstronomy():
    drawn = halos(150)
    ours = subhalos.deflection(drawn, SIDE, SIDE)
    for k, found in enumerate(ours):
        wanted = of_lenstronomy(*(column[k] for column in drawn[:5]))
        off = np.hypot(*(found - wanted)) / np.hypot(*wanted)
        assert off.max() < subhalos.TOLERANCE, [column[k] for column in drawn[:5]]


def test_the_deflections_of_a_system_add_up_and_stay_its_own():
    drawn = halos(40, seed=1)
    each = subhalos.deflection(drawn, SIDE, SIDE).astype(float)
    grouped = subhalos.deflection(drawn._replace(first=np.array([0, 15, 15, 40])), SIDE, SIDE)
    assert grouped[0] == pytest.approx(each[:15].sum(axis=0), abs=1e-7)
    assert not grouped[1].any()
    assert grouped[2] == pytest.approx(each[15:].sum(axis=0), abs=1e-7)


def test_point_masses_deflect_as_those_of_lenstronomy():
    x, y, strength = np.array([0.33, -1.0]), np.array([-0.21, 0.4]), np.array([0.01, 2e-5])
    ours = subhalos.points_deflection(x, y, strength, np.arange(3), SIDE, SIDE)
    for k, found in enumerate(ours):
        wanted = np.array(PointMass().derivatives(X, Y, strength[k] ** 0.5, x[k], y[k]))
        assert (np.hypot(*(found - wanted)) / np.hypot(*wanted)).max() < subhalos.TOLERANCE


def test_the_projected_mass_is_that_of_the_density():
    for x, tau in ((0.1, 0.5), (1.0, 3.0), (8.0, 1.0)):

        def surface(r, tau=tau):
            def density(z):
                s = np.hypot(r, z)
                return tau**2 / (s * (1 + s) ** 2 * (s**2 + tau**2))

            return 2 * quad(density, 0, np.inf, limit=200)[0]

        # 4 pi rho_s r_s^3 is the unit: the integral of r^2 rho over a sphere is 1 / (4 pi) of it
        mass = quad(lambda r: 2 * np.pi * r * surface(r), 0, x, limit=200)[0] / (4 * np.pi)
        assert subhalos.projected_mass(x, tau) == pytest.approx(mass, rel=1e-5)
    assert subhalos.projected_mass(1e6, 2.0) == pytest.approx(subhalos.bound_share(2.0), rel=1e-4)


def test_units_are_those_of_the_sky():
    # a point mass of 1e12 Msun at z = 0.5 before a source at z = 1.5, and astropy's constants:
    # D_l, D_s, D_ls = 1259.08, 1745.50, 990.06 Mpc
    theta = np.sqrt(subhalos.strength(1e12, subhalos.critical_mass(0.5, 1.5)))
    radian = np.sqrt(4 * 4.30091e-9 * 1e12 / 299792.458**2 * 990.06 / (1259.08 * 1745.50))
    assert theta == pytest.approx(radian * 206264.806, rel=1e-4)
    assert subhalos.critical_density(0.0) == pytest.approx(135.99, rel=1e-3)  # Msun / kpc^3


def test_masses_follow_their_power_law():
    u = (np.arange(100000) + 0.5) / 100000
    for index in (-1.9, -0.9, -1.0):
        m = subhalos.masses(u, 1e7, 1e10, index)
        edges = np.geomspace(1e7, 1e10, 7)
        share = np.histogram(m, edges)[0] / len(m)
        power = index + 1
        cumulative = np.log(edges) if power == 0 else (edges / 1e7) ** power
        wanted = np.diff(cumulative)
        assert share == pytest.approx(np.array(wanted) / np.sum(wanted), abs=2e-5)
    # per kpc^2 and unit of Sigma_sub: 1 / 0.9 (0.1^-0.9 - 100^-0.9)
    assert subhalos.abundance(1e7, 1e10, -1.9) == pytest.approx((10**0.9 - 10**-1.8) / 0.9)


def test_concentrations_are_those_of_diemer_and_joyce():
    # colossus 1.4.0: concentration(m h, "200c", z, model="diemer19"), the cosmology of the text
    m = np.array([1e6, 1e7, 1e8, 1e9, 1e10])
    wanted = [18.62758565, 16.37847773, 14.19784389, 12.07049302, 10.05513288]
    assert subhalos.concentration(m, 0.5) == pytest.approx(wanted, rel=0.01)
    assert subhalos.concentration(1e8, 0.1) == pytest.approx(17.38987228, rel=0.01)
    assert subhalos.concentration(1e8, 1.0) == pytest.approx(11.04576983, rel=0.01)


def test_warm_dark_matter_has_fewer_and_softer_light_halos():
    m = np.array([1e7, 1e8, 1e9, 1e12])
    left = subhalos.warm(m, 1e8)
    assert left[1] == pytest.approx((1 + 4.2**2.5) ** -0.2)
    assert (np.diff(left) > 0).all() and left[3] == pytest.approx(1.0, abs=1e-3)
    assert subhalos.warm(m, 0.0).tolist() == [1.0] * 4
    softer = subhalos.concentration(m, 0.5, 1e8) / subhalos.concentration(m, 0.5)
    assert softer[1] == pytest.approx(61**-0.17 * 1.5 ** (0.026 * 0.5 - 0.04))
    assert (np.diff(softer) > 0).all()


STRING = vortex.Vortices(*(np.array([v]) for v in (0.3, -0.2, 0.7, 1.4, 0.05, 0.04)))


def test_a_string_deflects_as_the_points_it_is_made_of():
    n = 4000
    along = (np.arange(n) + 0.5) / n * 1.4 - 0.7
    ax, ay = np.zeros_like(X), np.zeros_like(Y)
    for s in along:
        dx, dy = X - 0.3 - s * np.cos(0.7), Y + 0.2 - s * np.sin(0.7)
        r2 = dx**2 + dy**2 + 0.05**2
        ax += 0.04 / n * dx / r2
        ay += 0.04 / n * dy / r2
    found = vortex.deflection(STRING, SIDE, SIDE)[0]
    scale = np.hypot(ax, ay).max()
    assert np.abs(found - np.array([ax, ay])).max() < 1e-4 * scale


@pytest.mark.parametrize("radius", [0.15, 0.5, 0.9, 2.0])
def test_a_balanced_string_adds_no_mass_within_any_circle(radius):
    thin = STRING._replace(softening=np.array([1e-3]))
    angle = (np.arange(3600) + 0.5) * 2 * np.pi / 3600
    places = radius * np.stack([np.cos(angle), np.sin(angle)])

    def within(balance):
        # the mass in a circle is the mean of the deflection away from its centre, times the radius
        away = [
            vortex.deflection(thin, place[:1], place[1:], balance)[0, :, 0, 0] @ place / radius
            for place in places.T
        ]
        return radius * np.mean(away)

    share = vortex.share_within(thin, np.array([radius]))[0]
    assert within(False) == pytest.approx(0.04 * share, abs=2e-4)
    assert within(True) == pytest.approx(0.0, abs=2e-4)
    assert vortex.share_within(thin, np.array([5.0])) == pytest.approx(1.0)


def test_no_string_no_deflection():
    none = STRING._replace(strength=np.zeros(1))
    assert not vortex.deflection(none, SIDE, SIDE, balance=True).any()
