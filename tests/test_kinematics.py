"""The velocity dispersion of a lens, in closed form, by other integrals and by lenstronomy."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gamma, i0e
from scipy.stats import ncx2

from lensmill.lensing.distances import ARCSEC, SPEED_OF_LIGHT
from lensmill.lensing.kinematics import HERNQUIST, jeans_factor, velocity_dispersion
from lensmill.lensing.profiles import deflection

ISOTROPIC = np.inf


def circular(slope):
    """``v_c**2 / (c**2 theta_e D_s / D_ls)`` at ``r = theta_e``; 1 / (2 pi) for the isothermal."""
    return gamma(slope / 2) / gamma((slope - 1) / 2) / (2 * np.sqrt(np.pi))


def light(radius):
    """Part of the light of Hernquist's galaxy within a cylinder, its scale radius 1."""

    def beyond(w):  # of each shell, w = ln(r / radius), what the cylinder holds
        r, off_axis = radius * np.exp(w), np.exp(-2 * w)
        return 2 * r**2 / (1 + r) ** 3 * off_axis / (1 + np.sqrt(1 - off_axis))

    return (radius / (1 + radius)) ** 2 + quad(beyond, 0, 60, limit=200)[0]


@pytest.mark.parametrize("anisotropy", [ISOTROPIC, 1.0, 0.2])
@pytest.mark.parametrize("slope", [1.9, 2.0, 2.3, 2.8])
def test_a_whole_galaxy_obeys_the_virial_theorem(slope, anisotropy):
    # sigma**2 = <v_c**2> / 3, whatever the orbits; <(r / a)**p> = Gamma(2 + p) Gamma(1 - p)
    mean = gamma(4 - slope) * gamma(slope - 1) * HERNQUIST ** (2 - slope)
    whole = jeans_factor(1.0, slope, 1.0, 1e6, 0.5, anisotropy)
    assert whole == pytest.approx(circular(slope) * mean / 3, rel=2e-5)


@pytest.mark.parametrize("slope", [1.7, 2.0, 2.4])
def test_stars_of_density_r_to_the_minus_2_move_as_in_closed_form(slope):
    # Hernquist's galaxies of all sizes a, as many per da, add up to a density r**-2. Isotropic, its
    # dispersion is v_c**2 / slope along the radius, and on the sky that of the last line; the
    # isothermal sphere has theta_e / (4 pi) everywhere.
    node, weight = np.polynomial.legendre.leggauss(200)
    ln_a = 24 * node  # in units of the aperture
    held = np.array([light(1 / a) for a in np.exp(ln_a)]) * np.exp(ln_a) * weight
    seen = [jeans_factor(1.0, slope, a / HERNQUIST, 1.0, 0.0) for a in np.exp(ln_a)]
    expected = 1 / (2 * np.pi * slope * (3 - slope))
    assert held @ seen / held.sum() == pytest.approx(expected, rel=1e-4)


def test_an_isothermal_sphere_of_one_arcsecond_has_its_textbook_dispersion():
    # theta_e = 4 pi (sigma / c)**2 D_ls / D_s: 1 arcsec and D_s = 2 D_ls are 263.3 km/s; all the
    # stars of Hernquist's galaxy together have sqrt(2 / 3) of it
    sphere = SPEED_OF_LIGHT * np.sqrt(2 * ARCSEC / (4 * np.pi))
    assert sphere == pytest.approx(263.3, abs=0.1)
    whole = velocity_dispersion(1.0, 2.0, 2.0, 1.5, 1e5, 0.0)
    assert whole == pytest.approx(np.sqrt(2 / 3) * sphere, rel=1e-4)


def by_radial_dispersion(slope, aperture, r_ani):
    """`jeans_factor` of a sharp circle by way of sigma_r, shell by shell; a = theta_e = 1."""

    def pull(s, r):
        return (1 + s * s / r_ani**2) / (s * (1 + s) ** 3) * s ** (1 - slope)

    def sigma_r2(r):
        above = quad(lambda w: pull(r * np.exp(w), r) * r * np.exp(w), 0, 60, limit=200)[0]
        return above * r * (1 + r) ** 3 / (1 + r * r / r_ani**2)

    def shell(r):
        """Light of a shell within the cylinder, and of it R**2 / r**2."""
        mu = np.sqrt(max(1 - (aperture / r) ** 2, 0.0))
        return 1 - mu, 2 / 3 - mu + mu**3 / 3

    def motion(w):
        r = np.exp(w)
        held, off_axis = shell(r)
        radial = r * r / (r * r + r_ani**2)
        return r**2 / (1 + r) ** 3 * sigma_r2(r) * (held - radial * off_axis)

    def brightness(w):
        r = np.exp(w)
        return r**2 / (1 + r) ** 3 * shell(r)[0]

    edges = [-16, np.log(aperture), 16]
    both = [
        sum(quad(f, *ends, limit=200)[0] for ends in pairwise(edges)) for f in (motion, brightness)
    ]
    return circular(slope) * both[0] / both[1]


@pytest.mark.parametrize("aperture", [0.3, 2.5])
@pytest.mark.parametrize("r_ani", [1e8, 2.0, 0.5])
@pytest.mark.parametrize("slope", [1.53, 2.0, 2.47])
def test_the_line_of_sight_integral_is_that_of_shells_with_their_radial_dispersion(
    slope, r_ani, aperture
):
    r_eff = 1 / HERNQUIST
    anisotropy = r_ani / r_eff if r_ani < 1e8 else ISOTROPIC
    ours = jeans_factor(1.0, slope, r_eff, aperture, 0.0, anisotropy)
    assert ours == pytest.approx(by_radial_dispersion(slope, aperture, r_ani), rel=1e-6)


def in_circle(radius, aperture, sigma):
    return ncx2.cdf((aperture / sigma) ** 2, 2, (radius / sigma) ** 2)


def in_slit(radius, aperture, sigma):
    """Light of a blurred ring, summed over the area of the slit."""
    node, weight = np.polynomial.legendre.leggauss(80)
    x, y = (side / 2 * node for side in aperture)
    at = np.hypot(x[:, None], y)[..., None]
    ring = np.exp(-0.5 * ((at - radius) / sigma) ** 2) * i0e(at * radius / sigma**2)
    area = np.outer(*(side / 2 * weight for side in aperture))
    return np.tensordot(area, ring, 2) / (2 * np.pi * sigma**2)


@pytest.mark.parametrize("anisotropy", [ISOTROPIC, 0.8])
@pytest.mark.parametrize(
    ("aperture", "within"), [(0.8, in_circle), ((0.7, 1.9), in_slit), ((1.9, 0.7), in_slit)]
)
def test_an_aperture_in_the_seeing_is_a_mean_of_sharp_circles(aperture, within, anisotropy):
    # parts of the light by radius, seen or not, summed by parts
    slope, r_eff, fwhm = 2.15, 1.4, 0.75
    radius = np.geomspace(1e-3, 6, 300)
    seen = within(radius, aperture, fwhm / np.sqrt(8 * np.log(2)))
    middle = np.sqrt(radius[1:] * radius[:-1])
    ring = -np.diff(seen) * np.array([light(r / (HERNQUIST * r_eff)) for r in middle])
    sharp = [jeans_factor(1.2, slope, r_eff, r, 0.0, anisotropy) for r in middle]
    blurred = jeans_factor(1.2, slope, r_eff, aperture, fwhm, anisotropy)
    assert blurred == pytest.approx(ring @ sharp / ring.sum(), rel=1e-4)


@pytest.mark.parametrize("aperture", [0.8, (0.7, 1.9), (0.2, 50.0)])
def test_little_seeing_is_as_none(aperture):
    slopes = np.linspace(1.5, 2.5, 5)
    sharp = velocity_dispersion(1.0, slopes, 1.5, 1.2, aperture, 0.0, 1.0)
    assert velocity_dispersion(1.0, slopes, 1.5, 1.2, aperture, 0.01, 1.0) == pytest.approx(
        sharp, rel=1e-3
    )


def test_only_ratios_of_lengths_matter():
    near = jeans_factor([0.8, 1.6], [1.8, 2.2], 1.3, (0.5, 1.2), 0.6, 0.7)
    far = jeans_factor([0.4, 0.8], [1.8, 2.2], 0.65, (0.25, 0.6), 0.3, 0.7)
    assert far == pytest.approx(near, rel=1e-12)


def test_a_sheet_that_was_fitted_as_galaxy_is_taken_out_of_its_mass():
    # kappa -> (1 - sheet) kappa + sheet leaves the images where they are: a galaxy of theta_e
    # fitted without the sheet is one of less with it
    theta_e, slope, sheet = 1.3, 2.2, 0.08
    own = theta_e * (1 - sheet) ** (1 / (slope - 1))
    fitted = deflection(0.9, 0.4, theta_e, 0.8, 0.3, slope)
    true = deflection(0.9, 0.4, own, 0.8, 0.3, slope, 0, 0, sheet)
    for axis, position in enumerate((0.9, 0.4)):
        assert true[axis] == pytest.approx((1 - sheet) * fitted[axis] + sheet * position)
    seen = 1.5, 1.2, 0.8, 0.7
    assert velocity_dispersion(own, slope, *seen) == pytest.approx(
        np.sqrt(1 - sheet) * velocity_dispersion(theta_e, slope, *seen), rel=1e-12
    )


D_S_OVER_D_LS = 1.5


def galkin(aperture, fwhm, orbits="OM", *, analytic=False, **numerics):
    module = pytest.importorskip("lenstronomy.GalKin.galkin")
    return module.Galkin(
        {
            "mass_profile_list": ["SPP"],
            "light_profile_list": ["HERNQUIST"],
            "anisotropy_model": orbits,
        },
        aperture,
        {"psf_type": "GAUSSIAN", "fwhm": fwhm},
        {"d_d": 1000.0, "d_s": 1800.0, "d_ds": 1800.0 / D_S_OVER_D_LS},
        {"interpol_grid_num": 300, "log_integration": True}
        | {"max_integrate": 300, "min_integrate": 1e-4}
        | numerics,
        analytic_kinematics=analytic,
    )


def galaxy(theta_e, slope, r_eff, r_ani, *, analytic=False):
    """Return mass, light and orbits, as the analytic or the numerical class wants them."""
    mass, orbits = {"theta_E": theta_e, "gamma": slope}, {"r_ani": r_ani}
    if analytic:
        return mass, {"r_eff": r_eff}, orbits
    centre = {"center_x": 0, "center_y": 0}
    return [mass | centre], [{"Rs": HERNQUIST * r_eff, "amp": 1.0} | centre], orbits


@pytest.mark.parametrize("anisotropy", [ISOTROPIC, 1.0, 0.4])
@pytest.mark.parametrize("slope", [1.6, 2.0, 2.4])
def test_circles_agree_with_the_numerical_integrals_of_lenstronomy(slope, anisotropy):
    theta_e, r_eff = 1.2, 1.5
    every = galaxy(theta_e, slope, r_eff, anisotropy * r_eff)
    isotropic = np.isinf(anisotropy)
    kin = galkin({"aperture_type": "shell", "r_in": 0, "r_out": 1}, 1.0, interpol_grid_num=600)
    if isotropic:
        every = (*every[:2], {})
        kin = galkin(
            {"aperture_type": "shell", "r_in": 0, "r_out": 1},
            1.0,
            "isotropic",
            interpol_grid_num=600,
        )
    radius = np.geomspace(1e-3, 20, 3000)
    motion, brightness = kin.numerics.I_R_sigma2_and_IR(radius, *every)
    for aperture, fwhm in [(0.5, 0.05), (0.8, 0.7), (2.0, 1.2)]:
        seen = in_circle(radius, aperture, fwhm / np.sqrt(8 * np.log(2))) * radius**2
        theirs = np.sqrt(seen @ motion / (seen @ brightness)) / 1000  # m / s
        ours = velocity_dispersion(theta_e, slope, D_S_OVER_D_LS, r_eff, aperture, fwhm, anisotropy)
        assert ours == pytest.approx(theirs, rel=1e-3), (aperture, fwhm)


@pytest.mark.parametrize("analytic", [True, False])
@pytest.mark.parametrize(
    # noise: their scatter in sigma with 2,000 stars, the standard deviation of 16 seeds
    ("slope", "anisotropy", "aperture", "fwhm", "noise"),
    [
        (2.0, 1.0, 0.8, 0.7, 0.0021),
        (1.6, 3.0, 2.0, 0.4, 0.0039),
        (2.4, 0.5, 0.5, 1.2, 0.0052),
        (2.1, 1.5, (0.75, 1.0), 0.8, 0.0020),
        (1.8, 0.4, (1.0, 3.0), 0.3, 0.0036),
    ],
)
def test_apertures_in_the_seeing_agree_with_the_stars_that_lenstronomy_draws(
    slope, anisotropy, aperture, fwhm, noise, analytic
):
    theta_e, r_eff = 1.1, 1.3
    if isinstance(aperture, tuple):
        shape = {"aperture_type": "slit", "width": aperture[0], "length": aperture[1]}
    else:
        shape = {"aperture_type": "shell", "r_in": 0, "r_out": aperture}
    kin = galkin(shape, fwhm, analytic=analytic)
    np.random.seed(11)  # noqa: NPY002  (lenstronomy draws from numpy's global stream)
    theirs = kin.dispersion(
        *galaxy(theta_e, slope, r_eff, anisotropy * r_eff, analytic=analytic),
        sampling_number=2000,
    )
    ours = velocity_dispersion(theta_e, slope, D_S_OVER_D_LS, r_eff, aperture, fwhm, anisotropy)
    assert ours == pytest.approx(theirs, rel=3 * noise)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slope": [2.0, 3.0]}, "slope = 3: it must be between 1.1 and 2.9"),
        ({"slope": np.nan}, "slope = nan"),
        ({"r_eff": 0.0}, "r_eff = 0 arcsec must be above 0"),
        ({"aperture": (1.0, -2.0)}, "aperture = -2 arcsec must be above 0"),
        ({"aperture": np.nan}, "aperture = nan arcsec"),
        ({"aperture": (1.0, np.inf)}, "aperture = inf arcsec must be above 0 and finite"),
        ({"seeing": -0.1}, "seeing = -0.1 arcsec"),
        ({"anisotropy": 0.0}, "r_ani / r_eff = 0 must be above 0; isotropic orbits have an inf"),
    ],
)
def test_what_is_no_galaxy_is_refused_by_name(change, said):
    arguments = {"theta_e": 1.0, "slope": 2.0, "r_eff": 1.0, "aperture": 0.5, "seeing": 0.7}
    with pytest.raises(ValueError, match="no velocity dispersion") as error:
        jeans_factor(**(arguments | change))
    assert said in str(error.value)
