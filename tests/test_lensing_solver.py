"""The point-image solver: exact lenses, edge cases, precision against independent functions."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lensmill.lensing import profiles, solver
from lensmill.lensing.distances import time_delay
from lensmill.lensing.solver import DEGENERATE, MAXIMUM, MINIMUM, OK, ON_CAUSTIC, SADDLE, solve

SOURCE = Path(__file__).parents[1] / "src"


def draw(n, slopes, seed, *, reach=1.2, kappa=0.05):
    """Random systems with the source in a disc of ``reach`` Einstein radii."""
    rng = np.random.default_rng(seed)
    theta_e = rng.uniform(0.5, 2.0, n)
    shear, turn = rng.uniform(0, 0.2, n), rng.uniform(0, np.pi, n)
    r, p = reach * theta_e * np.sqrt(rng.random(n)), rng.uniform(0, 2 * np.pi, n)
    return [
        *(theta_e, rng.uniform(0.2, 1.0, n), rng.uniform(0, np.pi, n), rng.uniform(*slopes, n)),
        *(shear * np.cos(2 * turn), shear * np.sin(2 * turn), rng.normal(0, kappa, n)),
        *(r * np.cos(p), r * np.sin(p)),
    ]


def per_image(images, column):
    return np.repeat(column, images.n_images)


def one(*system, **options):
    return solve(*(np.array([float(v)]) for v in system), **options)


# --- lenses that can be solved by hand ---


def test_a_round_lens_has_images_at_beta_plus_and_minus_theta_e():
    images = one(1.0, 1.0, 0.0, 2.0, 0, 0, 0, 0.3, 0.0)
    assert images.x == pytest.approx([1.3, -0.7])
    assert images.magnification == pytest.approx([1 + 1 / 0.3, 1 - 1 / 0.3])
    assert images.image_type.tolist() == [MINIMUM, SADDLE]
    assert images.fermat[1] - images.fermat[0] == pytest.approx(2 * 1.0 * 0.3)


def test_a_round_lens_with_the_source_outside_its_ring_has_one_image():
    images = one(1.0, 1.0, 0.0, 2.0, 0, 0, 0, 0.0, 1.7)
    assert images.n_images.tolist() == [1]
    assert images.y == pytest.approx([2.7])


def test_a_round_shallow_lens_has_the_images_of_its_radial_equation():
    # kappa ~ r^-1/2 (slope 1.5): theta - sqrt(theta) = beta on the near side, a quadratic
    beta = 0.1
    images = one(1.0, 1.0, 0.0, 1.5, 0, 0, 0, beta, 0.0)
    near = ((1 + np.sqrt(1 + 4 * beta)) / 2) ** 2
    far = ((1 + np.sqrt(1 - 4 * beta)) / 2) ** 2
    central = ((1 - np.sqrt(1 - 4 * beta)) / 2) ** 2
    assert images.x == pytest.approx([near, -far, -central], rel=1e-12)
    assert images.image_type.tolist() == [MINIMUM, SADDLE, MAXIMUM]


def test_a_sheet_scales_the_lens_it_lies_on():
    # (1 - k) theta - alpha = beta is the lens of source beta / (1 - k), theta_E / (1 - k)
    k = 0.2
    with_sheet = one(1.0, 0.7, 0.3, 2.0, 0.05, 0.02, k, 0.1, 0.05)
    scaled = one(1 / (1 - k), 0.7, 0.3, 2.0, 0.05 / (1 - k), 0.02 / (1 - k), 0, 0.125, 0.0625)
    assert with_sheet.x == pytest.approx(scaled.x)
    assert with_sheet.magnification == pytest.approx(scaled.magnification / (1 - k) ** 2)
    assert np.diff(with_sheet.fermat) == pytest.approx(np.diff(scaled.fermat) * (1 - k))


@pytest.mark.parametrize("slope", [1.7, 2.0, 2.3])
def test_turning_the_system_turns_the_images(slope):
    turn = 0.7
    c, s = np.cos(turn), np.sin(turn)
    c2, s2 = np.cos(2 * turn), np.sin(2 * turn)
    upright = one(1.2, 0.6, 0.3, slope, 0.08, 0.03, 0.02, 0.1, 0.05)
    turned = one(
        *(1.2, 0.6, 0.3 + turn, slope, 0.08 * c2 - 0.03 * s2, 0.08 * s2 + 0.03 * c2, 0.02),
        *(0.1 * c - 0.05 * s, 0.1 * s + 0.05 * c),
    )
    assert turned.x == pytest.approx(c * upright.x - s * upright.y, abs=1e-12)
    assert turned.y == pytest.approx(s * upright.x + c * upright.y, abs=1e-12)
    assert turned.fermat == pytest.approx(upright.fermat, abs=1e-12)


# --- the columns ---


@pytest.mark.parametrize("slopes", [(2.0, 2.0), (2.0, 2.5), (1.5, 2.0), (1.999, 2.001)])
def test_every_column_agrees_with_the_lensing_functions(slopes):
    system = draw(20_000, slopes, 5)
    images = solve(*system, min_magnification=0.0)
    theta_e, _, _, _, _, _, _, source_x, source_y = (per_image(images, c) for c in system)
    lens = [per_image(images, c) for c in system[:7]]
    alpha_x, alpha_y = profiles.deflection(images.x, images.y, *lens)
    residual = np.hypot(images.x - alpha_x - source_x, images.y - alpha_y - source_y)
    lit = images.magnification != 0  # at r < 1e-100 arcsec there is no light and no direction
    assert (residual / theta_e)[lit].max() < 1e-12
    assert np.abs(images.x - images.deflection_x - source_x)[lit].max() < 1e-12
    assert np.abs(images.y - images.deflection_y - source_y)[lit].max() < 1e-12
    psi = profiles.potential(images.x, images.y, *lens)
    assert np.abs(images.potential - psi)[lit].max() < 1e-11
    assert images.fermat == pytest.approx(
        ((images.x - source_x) ** 2 + (images.y - source_y) ** 2) / 2 - psi, abs=1e-11
    )
    bright = np.abs(images.magnification) > 1e-3
    xx, yy, xy = (h[bright] for h in profiles.hessian(images.x, images.y, *lens))
    det_j = (1 - xx) * (1 - yy) - xy**2
    mu = images.magnification[bright]
    normal = np.abs(mu) < 1e3
    assert (mu * det_j)[normal] == pytest.approx(np.ones(normal.sum()), rel=1e-6)
    kind = np.where(det_j < 0, SADDLE, np.where(xx + yy < 2, MINIMUM, MAXIMUM))
    assert (images.image_type[bright] == kind).all()


@pytest.mark.parametrize("slopes", [(2.0, 2.0), (1.5, 2.5)])
def test_images_are_in_order_of_arrival_and_the_first_is_a_minimum(slopes):
    images = solve(*draw(20_000, slopes, 6))
    system = np.repeat(np.arange(20_000), images.n_images)
    inside = system[1:] == system[:-1]
    assert (np.diff(images.fermat)[inside] >= 0).all()
    assert (images.image_type[images.first_image] == MINIMUM).all()
    assert (images.first_image == np.cumsum(images.n_images) - images.n_images).all()


def test_a_system_does_not_depend_on_its_batch():
    system = draw(3000, (1.5, 2.5), 7)
    system[3][::2] = 2.0
    whole = solve(*system)
    for cuts in ([1, 2, 5, 1000], [1500]):
        parts = [solve(*(np.split(c, cuts)[k] for c in system)) for k in range(len(cuts) + 1)]
        for name in ("x", "y", "magnification", "potential", "fermat", "n_images", "status"):
            joined = np.concatenate([getattr(p, name) for p in parts])
            assert joined.tobytes() == getattr(whole, name).tobytes()


def test_faint_images_are_counted_and_left_out():
    system = draw(5000, (2.05, 2.5), 8)
    cut, all_images = solve(*system, min_magnification=1e-2), solve(*system, min_magnification=0)
    assert (cut.n_images + cut.n_faint == all_images.n_images).all()
    assert np.abs(cut.magnification).min() >= 1e-2
    assert cut.n_faint.sum() == (np.abs(all_images.magnification) < 1e-2).sum() > 0


def test_more_images_than_expected_are_all_kept():
    # five or more rows per system exceed the first table
    system = [np.full(2000, v) for v in (1.0, 0.7, 0.2, 1.7, 0.03, 0.0, 0.0, 0.02, 0.03)]
    images = solve(*system, min_magnification=0.0)
    assert (images.n_images == 5).all()
    assert (images.x.reshape(-1, 5) == images.x[:5]).all()


# --- edge cases ---


@pytest.mark.parametrize("slope", [1.7, 2.0, 2.3])
def test_a_ring_is_degenerate_and_has_no_images(slope):
    images = one(1.0, 1.0, 0.3, slope, 0, 0, 0, 0, 0)
    assert images.status.tolist() == [DEGENERATE]
    assert images.n_images.tolist() == [0]


@pytest.mark.parametrize("slope", [1.7, 2.0, 2.3])
@pytest.mark.parametrize("lens", [(1.0, 0.1), (0.6, 0.0), (1 - 1e-10, 0.1), (0.05, 0.0)])
def test_a_source_at_the_origin_of_a_lens_that_is_not_round_has_four_bright_images(slope, lens):
    q, shear = lens
    images = one(1.0, q, 0.0, slope, shear, 0, 0, 0, 0)
    assert images.status.tolist() == [OK]
    bright = images.image_type != MAXIMUM
    if slope > 2:  # and the saddles of the centre, which a symmetric source makes dark
        bright &= np.hypot(images.x, images.y) > 1e-6
    assert bright.sum() == 4
    # arrivals tie in pairs: the order must come from the angle, not from rounding
    assert images.image_type[bright].tolist() == [MINIMUM, MINIMUM, SADDLE, SADDLE]
    assert images.fermat[0] == pytest.approx(images.fermat[1], abs=1e-14)


def test_nearly_round_lenses_are_solved():
    for q in (1 - 1e-6, 1 - 1e-10, 1 - 1e-14, 1.0):
        images = one(1.0, q, 0.4, 2.0, 0, 0, 0, 0.2, 0.1)
        assert images.n_images.tolist() == [2]
        assert np.hypot(images.x, images.y) == pytest.approx(
            1 + np.hypot(0.2, 0.1) * np.array([1, -1])
        )


@pytest.mark.parametrize("slope", [1.8, 2.0, 2.2])
def test_crossing_a_fold_makes_or_destroys_two_images(slope):
    from lensmill.lensing import caustics

    lens = (1.0, 0.6, 0.2, slope, 0.05, 0.03, 0.0)
    curve = caustics.curves(*lens, points=401)
    inwards = np.array([-curve.caustic_x[47], -curve.caustic_y[47]])
    fold = np.array([curve.caustic_x[47], curve.caustic_y[47]])
    count = []
    for step in (1e-12, -1e-12, 1e-9, -1e-9, 1e-5, -1e-5):
        images = one(*lens, *(fold + step * inwards), min_magnification=1e-3)
        count.append(int(images.n_images[0]))
    assert count[2] == count[4] == count[3] + 2 == count[5] + 2
    images = one(*lens, *fold)
    assert images.status.tolist() == [ON_CAUSTIC]


@pytest.mark.parametrize("slope", [1.8, 2.0, 2.2])
def test_a_source_on_a_cusp_or_on_the_cut_is_solved(slope):
    from lensmill.lensing import caustics

    lens = (1.0, 0.6, 0.0, slope, 0.05, 0.0, 0.0)
    curve = caustics.curves(*lens, points=401)
    for x, y in (
        (curve.caustic_x[0], 0.0),
        (0.0, curve.caustic_y[100]),
        (curve.cut_x[30], curve.cut_y[30]),
    ):
        images = one(*lens, x, y)
        assert images.status[0] in (OK, ON_CAUSTIC)
        assert 1 <= images.n_images[0] <= 5


@pytest.mark.parametrize("slope", [1.5, 2.0, 2.5])
def test_extreme_systems_are_solved(slope):
    rng = np.random.default_rng(2)
    for q, shear, reach in (
        (0.05, 0.0, 1),
        (0.05, 0.9, 1),
        (0.3, 0.99, 1),
        (0.01, 0.3, 1),
        (0.7, 0.1, 300),
    ):
        x, y = rng.normal(0, reach, (2, 300))
        images = solve(1.0, q, 0.5, slope, shear, 0, 0, x, y)
        assert np.isin(images.status, (OK, solver.REFINED, ON_CAUSTIC)).all()
        assert np.isfinite(images.fermat).all()


def test_isothermal_lenses_with_strong_shear_have_six_and_eight_images():
    rng = np.random.default_rng(4)
    n = 200_000
    x, y = rng.normal(0, 0.3, (2, n))
    images = solve(1.0, 0.35, 0.0, 2.0, 0.3, 0.0, 0.0, x, y)
    assert images.n_images.max() >= 6
    assert (images.status != DEGENERATE).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: 0.0}, r"system 1 cannot be solved: theta_e = 0 must be positive"),
        ({1: 0.0}, r"q = 0 must be above 0 and at most 1"),
        ({1: 1.2}, r"q = 1.2 must be .*swap the axes"),
        ({3: 2.9}, r"slope = 2.9 must be between 1.5 and 2.5"),
        ({4: 0.8, 5: -0.7}, r"shear = 1.06\d* must be below 1 - kappa_ext = 1"),
        ({4: 0.5, 6: 0.6}, r"shear = 0.5 must be below 1 - kappa_ext = 0.4"),
        ({6: 1.0}, r"kappa_ext = 1 must be below 1"),
        ({7: np.nan}, r"source_x = nan must be finite"),
    ],
)
def test_impossible_systems_are_refused_by_name_and_number(change, message):
    system = [np.full(3, v) for v in (1.0, 0.7, 0.0, 2.0, 0.0, 0.0, 0.0, 0.1, 0.1)]
    for column, value in change.items():
        system[column][1] = value
    with pytest.raises(ValueError, match=message):
        solve(*system)


def test_no_systems_give_no_images():
    images = solve(*([np.empty(0)] * 9))
    assert images.n_images.size == images.x.size == 0


def test_the_solver_does_not_import_what_a_catalogue_worker_must_not_load():
    code = (
        "import sys; from lensmill.lensing import caustics, distances, profiles, solver;"
        "print([m for m in ('astropy', 'lenstronomy', 'shapely', 'pandas', 'tensorflow')"
        " if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == "[]", run.stderr


# --- against an independent code and against many digits ---


@pytest.mark.parametrize("slopes", [(2.0, 2.0), (1.7, 2.3)])
def test_images_agree_with_the_functions_of_lenstronomy(slopes):
    from astropy.cosmology import FlatLambdaCDM
    from lenstronomy.LensModel.lens_model import LensModel

    from lensmill.lensing.distances import distances

    cosmology = FlatLambdaCDM(H0=70, Om0=0.3, Tcmb0=0)
    reference = LensModel(
        ["EPL", "SHEAR", "CONVERGENCE"], z_lens=0.5, z_source=1.5, cosmo=cosmology
    )
    *_, d_dt = distances(0.5, 1.5, 70.0, 0.3)
    system = draw(200, slopes, 9)
    images = solve(*system, min_magnification=1e-3)
    for i, (theta_e, q, phi, slope, gamma1, gamma2, kappa, x, y) in enumerate(
        zip(*system, strict=True)
    ):
        e = (1 - q) / (1 + q)
        shape = {"e1": e * np.cos(2 * phi), "e2": e * np.sin(2 * phi)}
        lens = [
            {"theta_E": theta_e, "gamma": slope, "center_x": 0, "center_y": 0, **shape},
            {"gamma1": gamma1, "gamma2": gamma2},
            {"kappa": kappa},
        ]
        rows = slice(images.first_image[i], images.first_image[i] + images.n_images[i])
        at = images.x[rows], images.y[rows]
        source = reference.ray_shooting(*at, lens)
        assert np.hypot(source[0] - x, source[1] - y).max() < 1e-9
        mu = reference.magnification(*at, lens)
        normal = np.abs(mu) < 1e3
        assert images.magnification[rows][normal] == pytest.approx(mu[normal], rel=1e-6)
        fermat = reference.fermat_potential(*at, lens, x, y)
        ours = images.fermat[rows]
        assert ours - ours[0] == pytest.approx(fermat - fermat[0], abs=1e-9)
        delay = reference.arrival_time(*at, lens, x_source=x, y_source=y)
        assert time_delay(d_dt, ours - ours[0]) == pytest.approx(
            delay - delay[0], rel=1e-8, abs=1e-6
        )


@pytest.mark.parametrize("slopes", [(2.0, 2.0), (2.01, 2.3), (1.7, 1.99)])
def test_no_image_that_lenstronomy_finds_is_missing(slopes):
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LensModel.Solver.lens_equation_solver import LensEquationSolver

    numerical = LensEquationSolver(LensModel(["EPL", "SHEAR"]))
    system = draw(40, slopes, 10, kappa=0.0)
    images = solve(*system, min_magnification=0)
    for i, (theta_e, q, phi, slope, gamma1, gamma2, _, x, y) in enumerate(
        zip(*system, strict=True)
    ):
        e = (1 - q) / (1 + q)
        shape = {"e1": e * np.cos(2 * phi), "e2": e * np.sin(2 * phi)}
        lens = [
            {"theta_E": theta_e, "gamma": slope, "center_x": 0, "center_y": 0, **shape},
            {"gamma1": gamma1, "gamma2": gamma2},
        ]
        found = numerical.image_position_from_source(
            x, y, lens, search_window=6 * theta_e, min_distance=0.05, precision_limit=1e-12
        )
        rows = slice(images.first_image[i], images.first_image[i] + images.n_images[i])
        for at_x, at_y in zip(*found, strict=True):
            assert np.hypot(images.x[rows] - at_x, images.y[rows] - at_y).min() < 1e-6


@pytest.mark.parametrize("slope", [1.6, 2.0, 2.2])
def test_positions_and_magnifications_are_those_of_fifty_digits(slope):
    import mpmath

    mpmath.mp.dps = 50
    q, gamma1, gamma2 = mpmath.mpf("0.55"), mpmath.mpf("0.07"), mpmath.mpf("-0.04")
    t = mpmath.mpf(slope) - 1
    b = mpmath.sqrt(q)

    def equation(x, y):
        z = mpmath.mpc(q * x, y)
        radius, factor = abs(z), (1 - q) / (1 + q)
        unit = z / radius
        series = mpmath.hyp2f1(1, t / 2, 2 - t / 2, -factor * unit**2)
        alpha = 2 * b / (1 + q) * (b / radius) ** (t - 1) * unit * series
        return (
            x * (1 - gamma1) - gamma2 * y - alpha.real - mpmath.mpf(0.11),
            y * (1 + gamma1) - gamma2 * x - alpha.imag - mpmath.mpf(0.06),
        )

    images = one(1.0, 0.55, 0.0, slope, 0.07, -0.04, 0.0, 0.11, 0.06, min_magnification=1e-3)
    assert images.n_images[0] >= 4
    for x, y, mu in zip(images.x, images.y, images.magnification, strict=True):
        exact = mpmath.findroot(equation, (mpmath.mpf(x), mpmath.mpf(y)))
        assert abs(exact[0] - x) < 1e-13 and abs(exact[1] - y) < 1e-13
        h = mpmath.mpf(10) ** -20
        right = [
            (u - v) / (2 * h)
            for u, v in zip(
                equation(exact[0] + h, exact[1]), equation(exact[0] - h, exact[1]), strict=True
            )
        ]
        up = [
            (u - v) / (2 * h)
            for u, v in zip(
                equation(exact[0], exact[1] + h), equation(exact[0], exact[1] - h), strict=True
            )
        ]
        assert mu == pytest.approx(float(1 / (right[0] * up[1] - right[1] * up[0])), rel=1e-10)


# --- the populations of the study this pipeline follows ---

FRACTIONS = {
    "sis_shear": {1: 0.2981, 2: 0.6486, 4: 0.0534},
    "sie": {1: 0.1194, 2: 0.6705, 4: 0.2099},
    "sie_shear": {1: 0.1231, 2: 0.6510, 3: 0.0003, 4: 0.2255},
}


@pytest.mark.parametrize("family", FRACTIONS)
def test_image_fractions_of_the_study_are_those_of_a_complete_solver(family):
    n = 1_000_000
    rng = np.random.default_rng(20)
    b = rng.uniform(1.0, 1.5, n)
    shear, turn = 0.05 * 10 ** (0.2 * rng.normal(size=n)), rng.uniform(0, np.pi, n)
    e = rng.normal(0.3, 0.16, 2 * n)
    e = e[(e >= 0) & (e < 0.9)][:n]
    if family == "sis_shear":
        e = np.zeros(n)
    if family == "sie":
        shear = np.zeros(n)
    q, phi = 1 - e, rng.uniform(0, np.pi, n)
    lens = [b / np.sqrt(q), q, phi, np.full(n, 2.0)]
    lens += [shear * np.cos(2 * turn), shear * np.sin(2 * turn), np.zeros(n)]
    r, p = 3 * np.sqrt(rng.random(n)), rng.uniform(0, 2 * np.pi, n)
    x, y = r * np.cos(p), r * np.sin(p)
    alpha_x, alpha_y = profiles.deflection(x, y, *lens)
    images = solve(*lens, x - alpha_x, y - alpha_y)
    fraction = np.bincount(images.n_images, minlength=10) / n
    for number, expected in FRACTIONS[family].items():
        assert fraction[number] == pytest.approx(expected, abs=0.001)
    assert (images.status != DEGENERATE).all()
