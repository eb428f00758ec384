"""A toy population in which every step of the hierarchy is known in closed form.

A lens has a slope g, seen by its images with a Gaussian error; its delay is D (g - 1), measured to
a fraction. So a draw of g asks for the distance (delay / (g - 1)), and integrals are over g alone.
"""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import binom, norm

from lensmill.inference import population
from lensmill.lensing.distances import distances
from lensmill.pipeline.priors import inverse_cdf

INTERIM = {"slope": ["normal", 2.08, 0.16]}
HYPERPRIORS = {
    "slope_mean": ["normal", 2.0, 0.08],
    "slope_scatter": ["truncated_lognormal", 0.08, 0.1, 0.03, 0.16],
    "h0": ["uniform", 50.0, 100.0],
    "omega_m": ["fixed", 0.3],
}
FIXED = HYPERPRIORS | {"slope_mean": ["fixed", 2.0], "slope_scatter": ["fixed", 0.1]}
SEEN, TIMED = 0.08, 0.05  # error of a slope by its images, fractional error of a delay
FARTHEST = 20000.0  # [Mpc] end of the interim prior of the distance, flat from 0
GRID = np.linspace(1.2, 3.0, 3001)


def lenses(n, rng, slope=(2.0, 0.1), h0=70.0, sheet=(1.0, 0.0), keep=None):
    """Draw true lenses and what is observed of them; ``keep`` selects by what is observed."""
    drawn = n if keep is None else 40 * n
    z_lens = rng.uniform(0.3, 0.8, drawn)
    z_source = z_lens + rng.uniform(0.5, 2.0, drawn)
    d = distances(z_lens, z_source, h0, 0.3)[3]
    g = rng.normal(*slope, drawn)
    seen = rng.normal(g, SEEN)
    delay = d * rng.normal(*sheet, drawn) * (g - 1)
    delay = rng.normal(delay, TIMED * delay)
    rows = np.arange(n) if keep is None else np.flatnonzero(keep(seen))[:n]
    assert len(rows) == n
    return {
        "z_lens": z_lens[rows],
        "z_source": z_source[rows],
        "seen": seen[rows],
        "delay": delay[rows],
    }


def draw(observed, count, rng, interim=INTERIM):
    """Draw from the posteriors of the slopes, images only; the delays come in as weights."""
    _, mean, sd = interim["slope"]
    variance = 1 / (sd**-2 + SEEN**-2)
    centre = variance * (mean / sd**2 + observed["seen"] / SEEN**2)
    g = rng.normal(centre[:, None], np.sqrt(variance), (len(centre), count)).ravel()
    delay = np.repeat(observed["delay"], count)
    d, error = delay / (g - 1), TIMED * delay / (g - 1)
    ln_marginal = np.log(error * np.sqrt(2 * np.pi) / FARTHEST)
    return population.Systems(
        np.arange(len(centre) + 1) * count,
        {"slope": g},
        d,
        error,
        ln_marginal,
        observed["z_lens"],
        observed["z_source"],
        ln_marginal,
    )


def expected_ln_p(observed, mean, scatter, h0, sheet=1.0):
    """Marginal likelihood of each system by quadrature over the slope, but for a constant."""
    d = sheet * distances(observed["z_lens"], observed["z_source"], h0, 0.3)[3]
    ln = norm.logpdf(GRID, mean, scatter) + norm.logpdf(observed["seen"][:, None], GRID, SEEN)
    miss = (d[:, None] * (GRID - 1) / observed["delay"][:, None] - 1) / TIMED
    return logsumexp(ln - 0.5 * miss**2, axis=1)


def hyperparameters(mean, scatter, h0, sheet=1.0, sheet_scatter=0.0):
    names = ("slope_mean", "slope_scatter", "h0", "omega_m", "lambda_mean", "lambda_scatter")
    columns = np.broadcast_arrays(mean, scatter, h0, 0.3, sheet, sheet_scatter)
    return {name: np.atleast_1d(c).astype(float) for name, c in zip(names, columns, strict=True)}


def test_the_marginal_likelihoods_are_those_of_quadrature_over_the_slope():
    rng = np.random.default_rng(1)
    observed = lenses(5, rng)
    model = population.prepare(draw(observed, 50_000, rng), INTERIM, HYPERPRIORS)
    points = [(2.08, 0.16, 70.0), (2.0, 0.1, 70.0), (2.03, 0.08, 64.0), (1.95, 0.12, 76.0)]
    values = hyperparameters(*np.transpose(points))
    ln_p, effective, ln_alpha, _ = population.log_likelihood(model, values)
    exact = np.array([expected_ln_p(observed, *point) for point in points])
    error = np.sqrt(1 / effective + 1 / effective[0])
    assert (np.abs((ln_p - ln_p[0]) - (exact - exact[0])) < 4 * error + 1e-6).all()
    assert error.max() < 0.05
    assert (ln_alpha == 0).all()


def test_single_precision_in_blocks_is_the_sum_in_double_precision():
    rng = np.random.default_rng(2)
    systems = draw(lenses(3, rng), 2 * population.BLOCK + 17, rng)
    model = population.prepare(systems, INTERIM, HYPERPRIORS)
    ln_p, effective, *_ = population.log_likelihood(
        model, hyperparameters(2.0, 0.1, 72.0, 0.95, 0.03)
    )
    g = systems.parameters["slope"]
    d = np.repeat(distances(systems.z_lens, systems.z_source, 72.0, 0.3)[3], len(g) // 3)
    spread = np.hypot(systems.d_dt_error, 0.03 * d)
    term = norm.logpdf(g, 2.0, 0.1) - norm.logpdf(g, 2.08, 0.16)
    term += np.log(systems.d_dt_error / spread) - 0.5 * ((0.95 * d - systems.d_dt) / spread) ** 2
    weight = systems.ln_weight.reshape(3, -1)
    term = (term - systems.ln_marginal + systems.ln_weight).reshape(3, -1)
    assert ln_p[0] == pytest.approx(logsumexp(term, axis=1) - logsumexp(weight, axis=1), abs=1e-5)
    share = np.exp(term - logsumexp(term, axis=1)[:, None])
    assert effective[0] == pytest.approx(1 / (share**2).sum(axis=1), rel=1e-4)


def test_the_posterior_of_h0_is_that_of_a_grid():
    rng = np.random.default_rng(3)
    observed = lenses(12, rng)
    model = population.prepare(draw(observed, 8000, rng), INTERIM, FIXED)
    answer = population.infer(model, np.random.default_rng(1))
    h0 = np.linspace(50, 100, 2001)
    ln = np.array([expected_ln_p(observed, 2.0, 0.1, h).sum() for h in h0])
    low, middle, high = population.weighted_quantile(h0, np.exp(ln - ln.max()), [0.16, 0.5, 0.84])
    found = population.quantile(answer, "h0", [0.16, 0.5, 0.84])
    assert found == pytest.approx([low, middle, high], abs=0.06 * (high - low))
    assert answer.k < 0.5


def test_a_population_that_moved_is_found_and_h0_with_it():
    rng = np.random.default_rng(4)
    systems = draw(lenses(100, rng, (1.88, 0.1)), 600, rng)
    answer = population.infer(
        population.prepare(systems, INTERIM, HYPERPRIORS), np.random.default_rng(1)
    )
    for name, truth in (("slope_mean", 1.88), ("slope_scatter", 0.1), ("h0", 70.0)):
        low, middle, high = population.quantile(answer, name, [0.16, 0.5, 0.84])
        assert abs(middle - truth) < 3 * (high - low) / 2, name
    assert (high - low) / 2 < 1.2
    as_interim = HYPERPRIORS | {"slope_mean": ["fixed", 2.08], "slope_scatter": ["fixed", 0.16]}
    wrong = population.infer(
        population.prepare(systems, INTERIM, as_interim), np.random.default_rng(1)
    )
    low, middle, high = population.quantile(wrong, "h0", [0.16, 0.5, 0.84])
    assert middle - 70 > 3 * (high - low) / 2


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(5)
    sets, hits = 40, {"slope_mean": 0, "slope_scatter": 0, "h0": 0}
    for _ in range(sets):
        truth = {name: float(inverse_cdf(HYPERPRIORS[name], rng.random())) for name in hits}
        slope = truth["slope_mean"], truth["slope_scatter"]
        observed = lenses(10, rng, slope, truth["h0"])
        model = population.prepare(draw(observed, 800, rng), INTERIM, HYPERPRIORS)
        answer = population.sample(model, rng)  # refused sets would be missing
        for name in hits:
            low, high = population.quantile(answer, name, [0.16, 0.84])
            hits[name] += low < truth[name] < high
    fewest, most = binom.ppf([0.002, 0.998], sets, 0.68)
    for name, count in hits.items():
        assert fewest <= count <= most, (name, count)


def test_a_selection_that_prefers_steep_lenses_is_undone():
    rng = np.random.default_rng(6)
    observed = lenses(100, rng, keep=lambda seen: seen > 2.0)
    systems = draw(observed, 1000, rng)
    g = rng.normal(*INTERIM["slope"][1:], 50_000)
    found = g[rng.normal(g, SEEN) > 2.0]
    selection = population.Selection({"slope": found}, len(g))
    alike = {}
    for name, chosen in (("with", selection), ("without", None)):
        model = population.prepare(systems, INTERIM, HYPERPRIORS, [chosen] if chosen else ())
        answer = population.infer(model, np.random.default_rng(1))
        low, middle, high = population.quantile(answer, "slope_mean", [0.16, 0.5, 0.84])
        alike[name] = (middle - 2.0) / ((high - low) / 2)
    assert abs(alike["with"]) < 3
    assert alike["without"] > 4
    values = hyperparameters(2.0, 0.1, 70.0)
    _, _, ln_alpha, _ = population.log_likelihood(
        population.prepare(systems, INTERIM, HYPERPRIORS, [selection]), values
    )
    assert np.exp(ln_alpha[0]) == pytest.approx(0.5, rel=0.03)


def test_a_sheet_below_one_lowers_h0_by_as_much():
    rng = np.random.default_rng(7)
    systems = draw(lenses(30, rng, sheet=(0.9, 0.0)), 5000, rng)
    median = {}
    for sheet in (1.0, 0.9):
        priors = FIXED | {"lambda_mean": ["fixed", sheet]}
        answer = population.infer(
            population.prepare(systems, INTERIM, priors), np.random.default_rng(1)
        )
        low, median[sheet], high = population.quantile(answer, "h0", [0.16, 0.5, 0.84])
    assert median[0.9] == pytest.approx(0.9 * median[1.0], rel=2e-3)
    assert abs(median[0.9] - 70) < 3 * (high - low) / 2


def test_a_scatter_of_the_sheet_is_integrated_over():
    rng = np.random.default_rng(8)
    systems = draw(lenses(4, rng), 3000, rng)
    model = population.prepare(systems, INTERIM, HYPERPRIORS)
    ln_p, *_ = population.log_likelihood(model, hyperparameters(2.0, 0.1, 70.0, 0.97, 0.04))
    sheets, step = np.linspace(0.77, 1.17, 801, retstep=True)
    each, *_ = population.log_likelihood(model, hyperparameters(2.0, 0.1, 70.0, sheets))
    summed = logsumexp(each + norm.logpdf(sheets, 0.97, 0.04)[:, None], axis=0) + np.log(step)
    assert ln_p[0] == pytest.approx(summed, abs=1e-4)


def test_a_lens_without_delay_tells_of_its_slope_and_not_of_h0():
    rng = np.random.default_rng(9)
    nothing = np.zeros(4000)
    systems = draw(lenses(2, rng), 2000, rng)._replace(
        d_dt=nothing, d_dt_error=nothing + np.inf, ln_marginal=nothing, ln_weight=None
    )
    model = population.prepare(systems, INTERIM, HYPERPRIORS)
    ln_p, *_ = population.log_likelihood(
        model, hyperparameters([2.0, 2.0, 2.1], 0.1, [60.0, 80.0, 60.0], 1.0, 0.03)
    )
    assert ln_p[0].tolist() == ln_p[1].tolist()
    assert (np.abs(ln_p[0] - ln_p[2]) > 0.01).all()


def test_one_lens_takes_the_population_of_the_others_as_its_prior():
    rng = np.random.default_rng(10)
    observed = lenses(10, rng)
    systems = draw(observed, 20_000, rng)
    model = population.prepare(systems, INTERIM, FIXED)
    answer = population.infer(model, np.random.default_rng(1))
    weight = population.reweight(model, systems, answer, 7, np.random.default_rng(1))
    # The hyperparameters are fixed: slope and distance (prior flat) by quadrature, where the
    # delays say nothing of the slope but by the volume that they leave to the distance.
    ln = norm.logpdf(GRID, 2.0, 0.1) + norm.logpdf(observed["seen"][7], GRID, SEEN)
    exact = np.exp(ln) / (GRID - 1)
    slope = systems.parameters["slope"][7 * 20_000 : 8 * 20_000]
    quantiles = [0.16, 0.5, 0.84]
    assert population.weighted_quantile(slope, weight, quantiles) == pytest.approx(
        population.weighted_quantile(GRID, exact, quantiles), abs=0.004
    )
    d = np.linspace(0, 3, 3001)[1:] * observed["delay"][7]
    density = [np.sum(np.exp(ln - 0.5 * ((x * (GRID - 1) / observed["delay"][7] - 1) / TIMED) ** 2))
               for x in d]  # fmt: skip
    # of every draw a Gaussian in the distance, of which its weight says how much there is
    own = slice(7 * 20_000, 8 * 20_000)
    z = (d[:, None] - systems.d_dt[own]) / systems.d_dt_error[own]
    blurred = np.exp(-0.5 * z**2) @ (weight * np.exp(-systems.ln_marginal[own]))
    found = population.weighted_quantile(d, blurred, quantiles)
    assert found == pytest.approx(
        population.weighted_quantile(d, np.array(density), quantiles), rel=0.004
    )


def test_leaving_a_lens_out_is_never_having_seen_it():
    rng = np.random.default_rng(11)
    observed = lenses(8, rng)
    systems = draw(observed, 8000, rng)
    model = population.prepare(systems, INTERIM, FIXED)
    answer = population.infer(model, np.random.default_rng(1))
    weight, k = population.leave_out(model, answer, 7)
    rest = population.Systems(
        systems.first[:-1],
        {"slope": systems.parameters["slope"][:-8000]},
        *(column[:-8000] for column in systems[2:5]),
        systems.z_lens[:-1],
        systems.z_source[:-1],
        systems.ln_weight[:-8000],
    )
    again = population.infer(population.prepare(rest, INTERIM, FIXED), np.random.default_rng(2))
    low, middle, high = population.quantile(again, "h0", [0.16, 0.5, 0.84])
    assert population.quantile(answer, "h0", [0.16, 0.5, 0.84], weight) == pytest.approx(
        [low, middle, high], abs=0.06 * (high - low)
    )
    assert k < 0.7


def test_the_stated_shift_is_how_far_other_draws_move_the_answer():
    rng = np.random.default_rng(12)
    observed = lenses(40, rng)
    medians, stated = [], []
    for _ in range(16):
        model = population.prepare(draw(observed, 250, rng), INTERIM, HYPERPRIORS)
        answer = population.infer(model, np.random.default_rng(1))
        medians.append(population.quantile(answer, "h0", [0.16, 0.5, 0.84]))
        stated.append(answer.shift["h0"])
    low, middle, high = np.transpose(medians)
    measured = middle.std() / np.mean((high - low) / 2)
    # 16 draws know a standard deviation to 18 %
    assert 0.55 < measured / np.mean(stated) < 1.6


def test_systems_whose_weights_collapse_are_named():
    rng = np.random.default_rng(13)
    steep = {"slope": ["normal", 2.3, 0.06]}
    systems = draw(lenses(20, rng, (1.9, 0.03)), 300, rng, steep)
    priors = FIXED | {"slope_mean": ["fixed", 1.9], "slope_scatter": ["fixed", 0.03]}
    with pytest.raises(ValueError, match=r"of 20 systems rest on fewer than 5 effective draws: \d"):
        population.infer(population.prepare(systems, steep, priors), np.random.default_rng(1))


def test_draws_too_few_for_the_precision_are_refused():
    rng = np.random.default_rng(1)
    systems = draw(lenses(12, rng, (2.05, 0.14)), 20, rng)
    model = population.prepare(systems, INTERIM, HYPERPRIORS)
    with pytest.raises(ValueError, match=r"finite draws move \w+ by .* at most 0.25 is permitted"):
        population.infer(model, np.random.default_rng(1))


def test_a_selection_of_too_few_draws_is_refused():
    rng = np.random.default_rng(14)
    systems = draw(lenses(60, rng), 1000, rng)
    few = population.Selection({"slope": rng.normal(*INTERIM["slope"][1:], 200)}, 400)
    model = population.prepare(systems, INTERIM, HYPERPRIORS, [few])
    with pytest.raises(ValueError, match=r"selection 0 rests on .* 60 systems need 240"):
        population.infer(model, np.random.default_rng(1))


def test_a_hyperparameter_that_is_missing_or_unknown_is_named():
    systems = draw(lenses(1, np.random.default_rng(15)), 10, np.random.default_rng(15))
    wrong = {name: p for name, p in HYPERPRIORS.items() if name != "h0"} | {"slop_mean": ["x"]}
    with pytest.raises(ValueError, match="without a prior h0; not one of them slop_mean"):
        population.prepare(systems, INTERIM, wrong)


def test_a_draw_that_its_prior_does_not_allow_is_named():
    systems = draw(lenses(1, np.random.default_rng(16)), 10, np.random.default_rng(16))
    narrow = {"slope": ["truncated_normal", 2.5, 0.1, 2.4, 2.6]}
    with pytest.raises(ValueError, match=r"slope = .* cannot come from its interim prior"):
        population.prepare(systems, narrow, HYPERPRIORS)
    with pytest.raises(ValueError, match=r"of system 0.* d_dt_error = -1 Mpc above 0"):
        population.prepare(systems._replace(d_dt_error=np.full(10, -1.0)), INTERIM, HYPERPRIORS)
