"""Gas, X-rays, numbers and images of clusters against formulas, integrals and other codes."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import gamma
from scipy.stats import poisson

from lensmill.clusters import emission, gas, images, mass_function
from lensmill.pipeline import checks

COOL = np.array([[1.2, 0.66, 2.5, 0.12, 1.2]])  # alpha, beta, epsilon, r_c, r_s
KEYS = np.arange(1, 401, dtype=np.uint64)


def test_a_beta_model_projects_to_its_closed_form():
    # rho^2 ~ (1 + r^2)^(-3 beta): column sqrt(pi) Gamma(3 beta - 1/2) / Gamma(3 beta) (1 + R^2)^...
    beta, radii = 0.7, np.array([0.01, 0.1, 1.0, 5.0])
    shape = np.array([[0.0, beta, 0.0, 1.0, 100.0]])
    constant = np.sqrt(np.pi) * gamma(3 * beta - 0.5) / gamma(3 * beta)
    expected = constant * (1 + radii**2) ** (0.5 - 3 * beta)
    assert gas.columns(shape, radii)[0] == pytest.approx(expected, rel=1e-4)


def test_the_density_is_that_of_vikhlinin_et_al():
    alpha, beta, epsilon, core, steep = COOL[0]
    for r in (0.01, 0.3, 2.0):
        x, y = r / core, r / steep
        direct = x**-alpha / (1 + x**2) ** (3 * beta - alpha / 2) / (1 + y**3) ** (epsilon / 3)
        assert gas.density_squared(r, COOL[0]) == pytest.approx(direct, rel=1e-12)


@pytest.mark.parametrize("radius", [0.003, 0.05, 0.4, 1.5])
def test_columns_masses_and_light_are_their_integrals(radius):
    def along(depth):
        return gas.density_squared(np.hypot(radius, depth), COOL[0])

    pieces = [(0, radius), (radius, 10 * radius), (10 * radius, 60)]
    column = 2 * sum(quad(along, *piece, epsrel=1e-9)[0] for piece in pieces)
    assert gas.columns(COOL, [radius])[0, 0] == pytest.approx(column, rel=1e-4)
    mass = quad(lambda r: 4 * np.pi * r**2 * gas.density_squared(r, COOL[0]) ** 0.5, 0, radius)[0]
    assert gas.mass_integral(COOL, radius)[0] == pytest.approx(mass, rel=1e-4)
    seen = quad(lambda r: 2 * np.pi * r * gas.columns(COOL, [r])[0, 0], 1e-4, radius)[0]
    assert gas.aperture_integral(COOL, 1e-4, radius)[0] == pytest.approx(seen, rel=2e-3)


def test_an_ellipsoid_is_seen_as_the_integral_through_it():
    rng = np.random.default_rng(3)
    matrix = np.diag([0.6, 1.1, 1 / 0.66])
    away = rng.normal(size=3)
    away /= np.linalg.norm(away)
    across = np.cross(away, [0.0, 0.0, 1.0])
    across /= np.linalg.norm(across)
    axes = np.stack([across, np.cross(away, across), away])
    ellipse, boost = gas.project(matrix[None], axes[None])
    for x, y in ((0.2, 0.1), (-0.3, 0.5)):
        on_sky = x * axes[0] + y * axes[1]

        def along(depth, on_sky=on_sky):
            place = on_sky + depth * away
            return gas.density_squared(np.sqrt(place @ matrix @ place), COOL[0])

        direct = quad(along, -40, 40, points=[-1, 0, 1], limit=400, epsrel=1e-8)[0]
        q = ellipse[0]
        seen = np.sqrt(q[0] * x**2 + 2 * q[1] * x * y + q[2] * y**2)
        assert boost[0] * gas.columns(COOL, [seen])[0, 0] == pytest.approx(direct, rel=1e-3)


def test_hot_gas_shines_by_bremsstrahlung():
    # H + He of the table, which also recombine, over Born's approximation, which knows no table
    ratio = emission.power(np.array([4.5, 6.0, 9.0, 13.0]), 0.0)
    ratio /= emission.bremsstrahlung(np.array([4.5, 6.0, 9.0, 13.0]))
    assert ((ratio > 1.0) & (ratio < 1.08)).all()
    # 5 keV and 0.3 solar: nearly the same from 2 to 10 keV, twice as much at 0.7 keV
    bright = emission.power(np.array([0.7, 2.0, 5.0, 10.0]), 0.3)
    assert bright[1:].max() / bright[1:].min() < 1.2
    assert bright[0] / bright[2] == pytest.approx(1.87, abs=0.1)
    # photons of about 1 keV
    assert emission.power(5.0, 0.3) / emission.photons(5.0, 0.3) / emission.KEV == pytest.approx(
        1.0, abs=0.03
    )


def test_a_temperature_beyond_the_table_is_refused():
    with pytest.raises(ValueError, match=r"kT = 0\.2 keV .* between 0\.3 and 17 keV"):
        emission.power([5.0, 0.2], 0.3)


def test_the_mass_function_is_that_of_colossus():
    # colossus 1.4.0 (Diemer 2018), the same cosmology, mdef 500c, tinker08, eisenstein98
    mass = 10 ** np.array([13.6, 14.0, 14.5, 15.0])
    theirs = {
        0.05: [3.19854e-05, 9.68002e-06, 1.36172e-06, 6.19509e-08],
        0.3: [2.78327e-05, 7.53305e-06, 8.33995e-07, 2.44222e-08],
    }
    # they interpolate its parameters otherwise in the overdensity
    for (redshift, numbers), within in zip(theirs.items(), (0.02, 0.05), strict=True):
        assert mass_function.number(mass, redshift) == pytest.approx(numbers, rel=within)


def test_structure_grows_and_r500_holds_500_times_the_critical_density():
    assert mass_function.growth(0.0) == pytest.approx(1.0)
    # Carroll, Press & Turner (1992) give 0.4998 / 0.7789 at redshift 1 to a few 1e-3
    assert mass_function.growth(1.0) == pytest.approx(0.6118, abs=0.002)
    # rho_c = 1.36e11 Msun / Mpc^3 at h = 0.7: 4 pi / 3 500 rho_c (1 Mpc)^3
    assert mass_function.radius(2.848e14, 0.0) == pytest.approx(1.0, rel=1e-3)


def test_masses_that_are_drawn_follow_the_mass_function():
    u = (np.arange(2000) + 0.5) / 2000
    redshift = np.full(2000, 0.05)
    drawn = mass_function.draw(u, redshift, 3.7e13, 1.15e15)
    share = mass_function.share_below(drawn, redshift, 3.7e13, 1.15e15)
    assert np.abs(share - u).max() < 1e-3
    # alone as in company, whatever the other redshifts are
    many = np.linspace(0.05, 0.1, 2000)
    alone = mass_function.draw(u[7:8], many[7:8], 3.7e13, 1.15e15)
    assert alone[0] == mass_function.draw(u, many, 3.7e13, 1.15e15)[7]
    counts, _ = np.histogram(drawn, np.log([1e14, 2e14, 4e14]))
    wanted = []
    for ends in ((1e14, 2e14), (2e14, 4e14)):
        log = np.linspace(*np.log(ends), 50)
        wanted.append(np.trapezoid(mass_function.number(np.exp(log), 0.05), log))
    assert counts[0] / counts[1] == pytest.approx(wanted[0] / wanted[1], rel=0.02)


def body(**columns):
    one = np.zeros((1, images.COLUMNS))
    one[0, [images.Q_XX, images.Q_YY, images.SLOSH_RADIUS]] = 1.0
    for name, value in columns.items():
        one[0, getattr(images, name)] = value
    return one


def expected(bodies, size=64, pixel=0.05, points=0, turn=0.0, sky=0.0, key=1):
    shapes = np.repeat(COOL, len(bodies), axis=0)
    law = np.array([1e-2, 1e-1, 1e1, 1.5, 0.6])
    return images.expected(
        size,
        np.array([pixel]),
        0.7,
        np.array([0, len(bodies)]),
        bodies,
        shapes,
        np.array([points]),
        law,
        np.array([key], np.uint64),
        np.ones(1),
        np.array([sky]),
        np.array([turn]),
    )[0]


def test_an_image_holds_the_light_of_the_cluster():
    seen = expected(body(COUNTS_PER_COLUMN=0.05**2), size=128).sum()
    inside = gas.aperture_integral(COOL, 1e-4, 4.8)[0]  # the gas ends at 4 r_s
    assert seen == pytest.approx(inside, rel=0.01)


def test_gas_that_sloshes_is_moved_about_and_not_made():
    still = expected(body(COUNTS_PER_COLUMN=1.0))
    moved = expected(body(COUNTS_PER_COLUMN=1.0, SLOSH=0.3, SLOSH_RADIUS=0.2))
    assert np.abs(moved / still - 1).max() == pytest.approx(0.3, abs=0.05)
    assert moved.sum() == pytest.approx(still.sum(), rel=2e-3)


def test_the_whole_scene_turns():
    # a quarter turn of an ellipse that sloshes off the middle, with points: the turned image
    one = body(X=0.3, Y=-0.2, Q_XX=1.3, Q_XY=0.2, Q_YY=0.8, COUNTS_PER_COLUMN=1.0)
    one[0, [images.SLOSH, images.SLOSH_RADIUS, images.SLOSH_PHASE]] = 0.3, -0.2, 0.4
    turned = one.copy()
    turned[0, [images.X, images.Y]] = 0.2, 0.3
    turned[0, [images.Q_XX, images.Q_XY, images.Q_YY]] = 0.8, -0.2, 1.3
    turned[0, images.SLOSH_PHASE] += np.pi / 2
    before = expected(one, points=40, sky=0.1)
    after = expected(turned, points=40, sky=0.1, turn=np.pi / 2)
    assert after == pytest.approx(np.rot90(before, -1), rel=1e-9)


def test_points_have_the_law_of_their_fluxes_and_keep_their_photons():
    light = np.array([expected(body()[:0], points=300, key=int(k)).sum() for k in KEYS[:100]])
    # of the broken power law: number above a flux ~ S^-1.5 above 0.1, ~ S^-0.6 below
    share = 64**2 / (np.pi * (64 * np.sqrt(0.5) + 2.8) ** 2)
    law = [
        quad(lambda s, p=p: s * 1.5 / 0.1 * (s / 0.1) ** p, *ends)[0]
        for p, ends in ((-1.6, (0.01, 0.1)), (-2.5, (0.1, 10.0)))
    ]
    number = images.number_above(0.01, 0.1, 1.5, 0.6) - images.number_above(10.0, 0.1, 1.5, 0.6)
    mean = 300 * share * sum(law) / number
    assert light.mean() == pytest.approx(mean, abs=4 * light.std() / 10)


def test_photons_are_poisson_numbers_of_any_mean():
    means = np.array([0.0, 0.3, 2.5, 20.0, 79.9, 81.0, 3000.0])
    grid = np.repeat(means, 7).reshape(7, 7)
    many = images.photons(np.broadcast_to(grid, (400, 7, 7)), KEYS)
    assert (many % 1 == 0).all() and many.dtype == np.float32
    for mean in means:
        found = many[:, grid == mean].ravel()
        n = len(found)
        assert abs(found.mean() - mean) < 5 * np.sqrt(mean / n) + 1e-9
        if mean:
            assert found.var() == pytest.approx(mean, rel=5 * np.sqrt((2 + 1 / mean) / n))
    # the whole distribution: a randomised Poisson number is uniform
    for mean in (2.5, 20.0, 81.0):
        found = many[:, grid == mean].ravel()
        u = np.random.default_rng(0).random(len(found))
        test = checks.Uniform("photons", "law")
        test.add(poisson.cdf(found - 1, mean) + u * poisson.pmf(found, mean))
        assert test.outcome()["passed"] and test.outcome()["value"] > 1e-4


def test_photons_hang_on_the_key_and_the_pixel_alone():
    mean = np.full((3, 8, 8), 150.0)
    together = images.photons(mean, KEYS[:3])
    assert (images.photons(mean[1:2], KEYS[1:2])[0] == together[1]).all()
    assert (together[0] != together[1]).mean() > 0.8


def test_what_lies_in_a_ring_is_counted():
    image = np.random.default_rng(1).poisson(3.0, (2, 20, 20)).astype(float)
    y, x = np.indices((20, 20))
    sums, area = images.in_ring(
        image, *(np.array(v) for v in ([9.5, 4.0], [9.5, 7.0], [2.0, 0.0], [6.0, 5.0]))
    )
    for n, (cx, cy, low, high) in enumerate([(9.5, 9.5, 2.0, 6.0), (4.0, 7.0, 0.0, 5.0)]):
        far = np.hypot(x - cx, y - cy)
        inside = (far >= low) & (far < high)
        assert sums[n] == image[n][inside].sum() and area[n] == inside.sum()
