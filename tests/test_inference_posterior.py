"""Exact posteriors of point images: in closed form, by brute force and by symmetry."""

from itertools import permutations

import numpy as np
import pytest
from scipy.special import logsumexp

from lensmill.inference import posterior
from lensmill.inference.importance import pareto_k, resample
from lensmill.inference.modes import LN_D_DT, PASS, SLOPE, N, _merge, factors, find_modes
from lensmill.inference.point_images import (
    DAYS,
    PARAMETERS,
    PointImages,
    Posterior,
    draw_distance,
)
from lensmill.learning.posteriors import Mixture as Gaussians
from lensmill.lensing.profiles import deflection
from lensmill.lensing.solver import solve
from lensmill.pipeline.priors import inverse_cdf

SHEAR_ONLY = {
    "einstein_radius": ["uniform", 0.5, 2.0],
    "einstein_radius_is": "theta_e",
    "one_minus_q": ["fixed", 0.0],
    "phi": ["uniform", 0.0, np.pi],
    "shear": ["lognormal", 0.06, 0.2],
    "shear_angle": ["uniform", 0.0, np.pi],
    "slope": ["fixed", 2.0],
    "kappa_ext": ["fixed", 0.0],
    "source": ["disc", 0.6],
    "min_magnification": 0.05,
    "h0": ["truncated_lognormal", 70.0, 0.15, 20.0, 200.0],
    "omega_m": ["uniform", 0.2, 0.4],
}
POWER_LAW = SHEAR_ONLY | {
    "one_minus_q": ["truncated_normal", 0.3, 0.16, 0.0, 0.9],
    "slope": ["truncated_normal", 2.08, 0.16, 1.6, 2.5],
    "kappa_ext": ["truncated_normal", 0.0, 0.03, -0.2, 0.2],
}
REDSHIFTS = 0.5, 1.8
D_DT = 2500.0  # [Mpc]
QUAD = {"theta_e": 1.2, "q": 1.0, "phi": 0.0, "slope": 2.0, "gamma1": 0.06, "gamma2": 0.03}
QUAD |= {"kappa_ext": 0.0, "source_x": 0.05, "source_y": 0.03}
BENT = QUAD | {"q": 0.75, "phi": 0.7, "slope": 2.1, "source_x": 0.04, "source_y": 0.02}
# where chance hits the data: narrow in what the data know well
NARROW = {"einstein_radius": ["uniform", 1.0, 1.4], "source": ["disc", 0.2]}
DOUBLE = BENT | {"source_x": 0.35, "source_y": 0.2}


def observe(lens, error, delay_error, lens_error, seed=None):
    """Measure a lens at the origin: its images by arrival, with noise if there is a seed."""
    images = solve(**{name: np.array([v]) for name, v in lens.items()}, min_magnification=0.05)
    position = np.column_stack([images.x, images.y])
    k = len(position)
    noise = np.zeros((3 * k + 2,))
    if seed is not None:
        noise = np.random.default_rng(seed).standard_normal(3 * k + 2)
    delay = DAYS * D_DT * (images.fermat - images.fermat[0])
    delay[1:] += delay_error * noise[1:k]
    return PointImages(
        position=position + error * noise[k : 3 * k].reshape(k, 2),
        position_error=np.full(k, error),
        delay=delay,
        delay_error=np.where(np.arange(k), delay_error, 0.0),
        delay_measured=np.ones(k, bool),
        lens_position=lens_error * noise[3 * k :],
        lens_error=lens_error,
        lens_known=True,
        flux=np.zeros(k),
        flux_error=np.zeros(k),
    )


def sample(data, prior, seed=1, ess=800.0, n=2000):
    """Return equally probable draws of all parameters and of ln D_dt, and what was sampled."""
    target = Posterior(data, prior, *REDSHIFTS)
    rng = np.random.default_rng(seed)
    found = posterior.sample(target, rng, ess)
    rows = resample(found.ln_weight, n, rng)
    ln_d_dt = np.empty(n)
    centre, error = found.d_dt[rows], found.d_dt_error[rows]
    draw_distance(centre, error, rng.random(n), *target.distance, ln_d_dt)
    return np.column_stack([found.parameters[rows], ln_d_dt]), found


def normal_equations(data):
    """Mean and covariance of theta_e, shear, centre, source and ln D_dt for small errors.

    The lens equation of SIS and shear is linear in all but the centre; an image that misses its
    place by d makes the equation miss by A d, A the inverse magnification. Delays change by what
    the Fermat potential does at a place held fixed (Fermat's principle).
    """
    p = np.array([1.2, 0.06, 0.03, *data.lens_position, 0.05, 0.03, np.log(D_DT)])
    for _ in range(20):
        theta_e, g1, g2, *_, ln_d = p
        shear = np.array([[g1, g2], [g2, -g1]])
        d_dt = DAYS * np.exp(ln_d)
        misses, rows, taus, of_tau = [], [], [], []
        for x in data.position:
            r = x - p[3:5]
            radius = np.hypot(*r)
            unit = r / radius
            hessian = theta_e / radius * (np.eye(2) - np.outer(unit, unit)) + shear
            inverse = np.linalg.inv(np.eye(2) - hessian)
            by_shear = np.array([[r[0], r[1]], [-r[1], r[0]]])
            of_equation = np.column_stack([-unit, -by_shear, hessian, -np.eye(2), np.zeros(2)])
            miss = x - p[5:7] - theta_e * unit - shear @ r
            misses.append(inverse @ miss / data.position_error[0])
            rows.append(inverse @ of_equation / data.position_error[0])
            psi = theta_e * radius + r @ shear @ r / 2
            taus.append(((x - p[5:7]) ** 2).sum() / 2 - psi)
            of_psi = [radius, (r[0] ** 2 - r[1] ** 2) / 2, r[0] * r[1]]
            pull = theta_e * unit + shear @ r
            of_tau.append([*np.negative(of_psi), *pull, *(p[5:7] - x), 0.0])
        taus, of_tau = np.array(taus), np.array(of_tau)
        late, of_late = taus[1:] - taus[0], of_tau[1:] - of_tau[0]
        of_late[:, 7] = late
        misses.append((d_dt * late - data.delay[1:]) / data.delay_error[1:])
        rows.append(d_dt * of_late / data.delay_error[1:, None])
        misses.append((p[3:5] - data.lens_position) / data.lens_error)
        rows.append(np.eye(8)[3:5] / data.lens_error)
        jacobian, miss = np.concatenate(rows), np.concatenate(misses)
        covariance = np.linalg.inv(jacobian.T @ jacobian)
        p = p - covariance @ jacobian.T @ miss
    return p, covariance


def test_small_errors_give_the_generalised_least_squares_of_sis_and_shear():
    data = observe(QUAD, 2e-4, 0.1, 3e-4, seed=5)
    mean, covariance = normal_equations(data)
    draws, found = sample(data, SHEAR_ONLY, ess=2000.0, n=4000)
    names = ("theta_e", "gamma1", "gamma2", "lens_x", "lens_y", "source_x", "source_y")
    draws = draws[:, [*map(PARAMETERS.index, names), 11]]
    sigma = np.sqrt(np.diag(covariance))
    # 5 standard errors of the mean, and of the covariance in units of both errors
    assert np.abs((draws.mean(axis=0) - mean) / sigma).max() < 5 / np.sqrt(found.ess)
    spread = np.cov(draws.T) / np.outer(sigma, sigma)
    expected = covariance / np.outer(sigma, sigma)
    assert np.abs(spread - expected).max() < 5 * np.sqrt(2 / found.ess)


def draw_prior(prior, n, data, rng):
    """Draw lenses from a prior, (n, 11); the source by itself or by way of an image."""
    u = rng.random((n, 8))
    e, shear = (inverse_cdf(prior[name], u[:, i]) for i, name in ((0, "one_minus_q"), (1, "shear")))
    theta_e = inverse_cdf(prior["einstein_radius"], u[:, 2])
    if prior["einstein_radius_is"] == "b":
        theta_e = theta_e / np.sqrt(1 - e)
    phi, angle = np.pi * u[:, 3], 2 * np.pi * u[:, 4]
    slope, kappa = (inverse_cdf(prior[n], u[:, i]) for i, n in ((5, "slope"), (6, "kappa_ext")))
    centre = data.lens_position + data.lens_error * rng.standard_normal((n, 2))
    kind, size = prior["source"]
    way = 2 * np.pi * rng.random(n)
    offset = size * np.sqrt(u[:, 7])[:, None] * np.column_stack([np.cos(way), np.sin(way)])
    g1, g2 = shear * np.cos(angle), shear * np.sin(angle)
    if kind == "disc":
        offset *= theta_e[:, None]
    else:
        offset -= np.column_stack(deflection(*offset.T, theta_e, 1 - e, phi, slope, g1, g2, kappa))
    shape = [theta_e, e * np.cos(2 * phi), e * np.sin(2 * phi), slope, g1, g2, kappa]
    return np.column_stack([*shape, centre, centre + offset])


@pytest.mark.parametrize(
    ("lens", "prior", "error", "n"),
    [
        (DOUBLE, POWER_LAW, 0.15, 80_000),
        (DOUBLE, SHEAR_ONLY | {"source": ["image_in_disc", 3.0]}, 0.15, 300_000),
        (DOUBLE, POWER_LAW | {"einstein_radius_is": "b"}, 0.15, 80_000),
        (QUAD, SHEAR_ONLY | NARROW, 0.15, 300_000),
        (BENT, POWER_LAW | NARROW | {"slope": ["fixed", 2.0]}, 0.15, 200_000),
    ],
    ids=["double", "image in disc", "b", "quad", "quad with ellipticity"],
)
def test_evidence_and_means_are_those_of_draws_of_the_prior(lens, prior, error, n):
    data = observe(lens, error, 4.0, 0.03)
    target = Posterior(data, prior, *REDSHIFTS)
    p = draw_prior(prior, n, data, np.random.default_rng(2))
    p = p[np.isfinite(target.log_prior(p))]
    likelihood = target.log_likelihood(p)
    ln = likelihood.ln
    if prior["source"][0] == "image_in_disc":  # the density that they were drawn with
        density = likelihood.magnification / (np.pi * prior["source"][1] ** 2)
        ln = np.where(np.isfinite(ln), ln - np.log(np.maximum(density, 1e-300)), -np.inf)
    weight = np.exp(ln - ln.max())
    effective = weight.sum() ** 2 / (weight**2).sum()
    assert effective > 80
    draws, found = sample(data, prior)
    evidence = logsumexp(ln) - np.log(n)
    assert found.log_evidence == pytest.approx(
        evidence, abs=4 * np.sqrt(1 / effective + 1 / found.ess)
    )
    for name in ("theta_e", "slope", "gamma1", "source_x"):
        j = PARAMETERS.index(name)
        mean, spread = draws[:, j].mean(), draws[:, j].std()
        brute = np.average(p[:, j], weights=weight)
        limit = 4.5 * spread * np.sqrt(1 / effective + 1 / found.ess)
        assert mean == pytest.approx(brute, abs=limit + 1e-12)


def test_the_likelihood_of_a_quad_is_the_sum_over_who_is_who():
    data = observe(BENT, 0.05, 1.5, 0.02, seed=3)
    target = Posterior(data, POWER_LAW, *REDSHIFTS)
    lens = {**BENT, "source_x": 0.05, "source_y": 0.01, "theta_e": 1.21}
    e = 1 - lens["q"]
    p = [1.21, e * np.cos(2 * lens["phi"]), e * np.sin(2 * lens["phi"]), lens["slope"], 0.06, 0.03]
    p = np.array([[*p, 0.0, 0.01, -0.01, 0.06, 0.0]])
    images = solve(**{name: np.array([v]) for name, v in lens.items()}, min_magnification=0.05)
    place = np.column_stack([images.x, images.y]) + p[0, 7:9]
    y, density = target.distance
    total = 0.0
    for order in map(list, permutations(range(4))):
        miss = ((place[order] - data.position) ** 2).sum() / 0.05**2
        rate = DAYS * (images.fermat[order] - images.fermat[order[0]])
        late = (np.exp(y)[:, None] * rate[1:] - data.delay[1:]) / 1.5
        over_d = np.trapezoid(np.exp(-(late**2).sum(axis=1) / 2) * density, y)
        total += np.exp(-miss / 2) * over_d / (2 * np.pi * 0.05**2) ** 4
    total /= np.sqrt(2 * np.pi * 1.5**2) ** 3
    assert target.log_likelihood(p).ln[0] == pytest.approx(np.log(total), abs=2e-3)


def test_the_order_of_the_rows_plays_no_part():
    data = observe(BENT, 0.01, 1.0, 0.01, seed=4)
    draws, _ = sample(data, POWER_LAW, ess=100.0, n=50)
    order = [0, 3, 1, 2]
    per_image = ("position", "position_error", "delay", "delay_error")
    other = data._replace(**{name: getattr(data, name)[order] for name in per_image})
    one, two = (
        Posterior(d, POWER_LAW, *REDSHIFTS).log_likelihood(draws[:, :11]) for d in (data, other)
    )
    assert np.isfinite(one.ln).all()
    assert two.ln == pytest.approx(one.ln, abs=1e-9)
    assert two.d_dt == pytest.approx(one.d_dt, rel=1e-9)


@pytest.mark.parametrize("lens", [DOUBLE, BENT], ids=["double", "quad"])
def test_every_draw_makes_the_images_seen(lens):
    data = observe(lens, 0.005, 1.0, 0.01, seed=6)
    target = Posterior(data, POWER_LAW, *REDSHIFTS)
    found = posterior.sample(target, np.random.default_rng(1), 300.0)
    likely = found.ln_weight > found.ln_weight.max() - 15
    again = target.log_likelihood(found.parameters[likely])
    assert np.isfinite(target.log_prior(found.parameters[likely])).all()
    assert np.isfinite(again.ln).all()
    assert found.chi2[likely] == pytest.approx(again.chi2, abs=1e-4)
    assert found.d_dt[likely] == pytest.approx(again.d_dt, rel=1e-4)
    assert found.ln_marginal[likely] == pytest.approx(again.ln_marginal, abs=1e-3)


def turned(data, matrix, shift=(0.0, 0.0), scale=1.0):
    """Turn or mirror a sky, shift it and scale it, delays as angles squared."""
    return data._replace(
        position=scale * data.position @ matrix.T + shift,
        position_error=scale * data.position_error,
        delay=scale**2 * data.delay,
        delay_error=scale**2 * data.delay_error,
        lens_position=scale * matrix @ data.lens_position + shift,
        lens_error=scale * data.lens_error,
    )


@pytest.mark.parametrize("lens", [DOUBLE, BENT], ids=["double", "quad"])
def test_a_lens_turned_mirrored_shifted_or_scaled_is_as_far_away(lens):
    data = observe(lens, 0.005, 1.0, 0.01, seed=7)
    c, s = np.cos(1.1), np.sin(1.1)
    turn = np.array([[c, -s], [s, c]])
    scale = 1.7
    larger = POWER_LAW | {"einstein_radius": ["uniform", 0.5 * scale, 2.0 * scale]}
    skies = {
        "itself": (data, POWER_LAW),
        "turned": (turned(data, turn), POWER_LAW),
        "mirrored": (turned(data, np.diag([1.0, -1.0])), POWER_LAW),
        "shifted": (turned(data, np.eye(2), (3.0, -2.0)), POWER_LAW),
        "scaled": (turned(data, np.eye(2), scale=scale), larger),
    }
    quantiles, size, n = {}, [], 4000
    for i, (name, sky) in enumerate(skies.items()):
        draws, found = sample(*sky, seed=i, n=n)
        quantiles[name] = np.percentile(draws[:, 11], [16, 50, 84])
        size.append(found.ess)
    width = (quantiles["itself"][2] - quantiles["itself"][0]) / 2
    # standard error of these quantiles of a Gaussian: 1.25 to 1.52 sigma / sqrt(size), of either
    limit = 4.5 * 1.52 * width * np.sqrt(2 / min(size) + 2 / n)
    for name, found in quantiles.items():
        assert found == pytest.approx(quantiles["itself"], abs=limit), name


def test_three_images_and_what_is_not_a_number_are_refused():
    data = observe(BENT, 0.005, 1.0, 0.01)
    fields = ("position", "position_error", "delay", "delay_error", "delay_measured")
    fields += ("flux", "flux_error")
    three = data._replace(**{name: getattr(data, name)[:3] for name in fields})
    target = Posterior(three, POWER_LAW, *REDSHIFTS)
    with pytest.raises(ValueError, match="the posterior of 3 images is not known here"):
        posterior.sample(target, np.random.default_rng(1))
    position = data.position.copy()
    position[2, 0] = np.nan
    with pytest.raises(ValueError, match="position of row 2"):
        Posterior(data._replace(position=position), POWER_LAW, *REDSHIFTS)
    with pytest.raises(ValueError, match=r"the lens is at .* \+- 0 arcsec"):
        Posterior(data._replace(lens_error=0.0), POWER_LAW, *REDSHIFTS)
    exact = data._replace(position_error=np.zeros(4))
    with pytest.raises(ValueError, match="position_error of row 0 is 0"):
        Posterior(exact, POWER_LAW, *REDSHIFTS)


def test_a_lens_with_one_image_far_out_and_one_at_the_galaxy_is_found():
    lens = {"theta_e": 1.496, "q": 0.425, "phi": 1.984, "slope": 1.895, "gamma1": 0.0345}
    lens |= {"gamma2": 0.045, "kappa_ext": -0.046, "source_x": -0.3646, "source_y": 0.6826}
    data = observe(lens, error=0.0033, delay_error=0.5, lens_error=0.0033)
    distance = np.hypot(*data.position.T)
    assert len(distance) == 4
    assert distance.max() > 15 * distance.min()
    assert find_modes(Posterior(data, POWER_LAW, *REDSHIFTS)).chi2.min() < 20


def test_the_ridge_of_a_quad_is_followed_to_an_ellipticity_that_few_lenses_have():
    # mock quad of q = 0.33 whose galaxy was not seen; the best fit has q = 0.53 and more shear
    p = np.array([-0.273, -0.66, 0.131, 2.122, 0.027, -0.021, 0.0, 0.0, -0.059, -0.366])
    position = np.array(
        [[-0.73142, -0.61677], [0.53101, -0.7951], [-0.07037, -0.92078], [0.0346, 0.28964]]
    )
    data = observe(BENT, 6e-4, 1.0, 0.01)._replace(
        position=position,
        delay=np.array([0.0, -0.56, 1.09, 22.54]),
        lens_known=False,
        lens_position=np.zeros(2),
        lens_error=0.0,
    )
    found = find_modes(Posterior(data, POWER_LAW, 0.2434, 1.9602))
    miss = (p - found.mean[:, :LN_D_DT])[..., None]
    z = np.linalg.solve(found.factor[:, :LN_D_DT, :LN_D_DT], miss)[..., 0]
    assert (z**2).sum(axis=1).min() < 30  # squared, in 10 dimensions


@pytest.mark.parametrize(
    ("height", "modes"), [(PASS - 1, [0, 0, 0, 0, 0, 1]), (PASS + 1, [0, 0, 0, 1, 1, 2])]
)
def test_modes_with_no_more_than_a_low_pass_between_them_are_one(height, modes):
    # paths along the slope, 10 errors from fit to fit; the third, far off, touches neither
    mean = np.zeros((6, N))
    mean[:, SLOPE] = [0.0, 10.0, 20.0, 21.0, 31.0, 80.0]
    chi2 = np.array([5.0, 5.0, 6.0 + height, 6.0 + height, 6.0, 7.0])
    curvature = np.tile(np.eye(N), (6, 1, 1))
    found = _merge(np.array([0, 0, 0, 1, 1, 2]), chi2, mean, curvature)
    assert found.tolist() == modes


def test_a_double_most_of_whose_lenses_make_further_images_has_all_draws_asked_for():
    # near the tip of the caustic: a little more ellipticity or shear, and there are four images
    data = observe(BENT | {"source_x": 0.086, "source_y": 0.027}, 0.005, 1.0, 0.01)
    target = Posterior(data, POWER_LAW, *REDSHIFTS)
    found = posterior.sample(target, np.random.default_rng(1), 500.0)
    assert found.ess >= 500
    assert len(found.ln_weight) >= 500


def test_a_double_is_sampled_where_all_the_weight_lies_on_lenses_that_make_further_images():
    # as an image of something else may ask for
    data = observe(BENT | {"source_x": 0.086, "source_y": 0.027}, 0.005, 1.0, 0.01)
    plain = Posterior(data, POWER_LAW, *REDSHIFTS)

    def more(p, images):
        return np.where(plain.count_images(p) == 2, 0.0, 300.0)

    target = Posterior(data, POWER_LAW, *REDSHIFTS, more=more)
    found = posterior.sample(target, np.random.default_rng(1), 200.0)
    assert (plain.count_images(found.parameters) == 2).all()
    expected = posterior.sample(plain, np.random.default_rng(2), 2000.0)
    assert found.ess >= 200
    assert np.ptp(found.ln_weight) == 0
    for name in ("slope", "ellipticity_1", "gamma1"):
        i = PARAMETERS.index(name)
        mine, theirs = found.parameters[:, i], expected.parameters[:, i]
        assert np.median(mine) == pytest.approx(np.median(theirs), abs=0.2 * theirs.std())
    assert found.log_evidence == pytest.approx(expected.log_evidence, abs=0.2)


def test_a_double_of_which_much_else_is_known_is_sampled_well_and_as_its_draws_weighed_by_it():
    data = observe(DOUBLE, 0.005, 1.0, 0.01)
    plain = Posterior(data, POWER_LAW, *REDSHIFTS)
    drawn = posterior.sample(plain, np.random.default_rng(1), 20_000.0)
    known = [PARAMETERS.index(n) for n in ("theta_e", "ellipticity_1", "slope", "gamma1")]
    middle = np.median(drawn.parameters[:, known], axis=0) + np.array([0.01, 0.05, 0.05, 0.01])
    width = np.array([0.03, 0.08, 0.08, 0.02])

    told = []

    def more(p, images):
        if images is not None:
            told.append((p[:200], images[:200]))
        return -(((p[:, known] - middle) / width) ** 2).sum(axis=1) / 2

    ln = more(drawn.parameters, None)
    weight = np.exp(ln) / np.exp(ln).sum()
    left = 1 / (weight**2).sum()
    assert 500 < left < 0.2 * len(ln)
    shapes = Gaussians(
        *(np.ones((1, 1)), np.array([[[middle[1], 0.0, middle[2]]]])),
        np.diag([1 / 0.1, 1 / 0.3, 1 / 0.1])[None, None],
    )
    for guide in (None, shapes):
        target = Posterior(data, POWER_LAW, *REDSHIFTS, more=more, shapes=guide)
        found = posterior.sample(target, np.random.default_rng(2), 2000.0)
        assert found.ess >= 2000
        assert found.pareto_k < 0.7
        for i in known:
            mine, theirs = found.parameters[:, i], drawn.parameters[:, i]
            mean = weight @ theirs
            error = np.sqrt(weight @ (theirs - mean) ** 2)
            assert mine.mean() == pytest.approx(mean, abs=5 * error / np.sqrt(min(left, 2000)))
            assert mine.std() == pytest.approx(error, rel=0.15)
        evidence = drawn.log_evidence + np.log(np.exp(ln).mean())
        assert found.log_evidence == pytest.approx(evidence, abs=0.15)
    p, images = told[0]  # those that the lenses of the cells make
    theta_e, e1, e2, slope, g1, g2, sheet, x, y, *source = p.T
    at = images - np.column_stack([x, y])[:, None]
    for i in range(2):
        mass = theta_e, 1 - np.hypot(e1, e2), np.arctan2(e2, e1) / 2, slope, g1, g2, sheet
        ax, ay = deflection(*at[:, i].T, *mass)
        assert images[:, i, 0] - ax == pytest.approx(source[0], abs=1e-9)
        assert images[:, i, 1] - ay == pytest.approx(source[1], abs=1e-9)


def test_pareto_k_is_a_number_however_small_the_other_weights():
    rng = np.random.default_rng(9)
    ln_w = np.concatenate([np.full(3000, -1e4), -707 - rng.random(1000), -rng.random(3)])
    with np.errstate(over="raise", invalid="raise"):
        assert pareto_k(ln_w) == np.inf  # of three weights
    # the tail of 1 / u^0.6 has shape 0.6
    k = pareto_k(-0.6 * np.log(rng.random(100_000)))
    assert k == pytest.approx(0.6, abs=0.15)


def test_factors_are_those_of_the_inverse_even_where_that_is_lost_in_rounding():
    rng = np.random.default_rng(8)
    wide = rng.normal(size=(3, 6, 12))
    curvature = wide @ wide.transpose(0, 2, 1)
    covariance = np.linalg.inv(curvature)
    assert factors(curvature) == pytest.approx(np.linalg.cholesky(covariance), abs=1e-12)
    assert factors(curvature)[:, :4, :4] == pytest.approx(
        np.linalg.cholesky(covariance[:, :4, :4]), abs=1e-12
    )
    # a ridge: turned, 1e7 times longer than wide
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    ridge = turn @ np.diag(np.geomspace(1, 1e14, 6)) @ turn.T
    factor = factors((ridge + ridge.T)[None] / 2)[0]
    longest = turn[:, 0]
    assert longest @ factor @ factor.T @ longest == pytest.approx(1.0, rel=0.2)
