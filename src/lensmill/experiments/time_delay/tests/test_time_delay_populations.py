"""Lenses that are found are unlike all lenses, and the population is that of all."""

import numpy as np
import pytest

from lensmill import experiments
from lensmill.experiments.time_delay import hubble, populations, simulate
from lensmill.lensing.distances import distances
from lensmill.pipeline.priors import log_density
from lensmill.pipeline.streams import uniforms

STUDY = experiments.defaults("time_delay")
POPULATION = STUDY["hubble"]["population"]
WIDE = STUDY["priors"]["survey"] | POPULATION["interim"]
NOISE = 0.1  # of a slope that is measured
DELAY_NOISE = 0.05  # of a delay, relative


ROUND = STUDY["priors"]["survey"] | {  # no naked cusps, no images that are lost for faintness
    "slope": ["truncated_normal", 2.0, 0.05, 1.9, 2.1],
    "one_minus_q": ["truncated_normal", 0.2, 0.1, 0.0, 0.4],
}


def test_lenses_have_four_images_as_often_as_the_areas_of_their_caustics_say():
    found = populations.select(ROUND, 1, 60_000)[4]
    u = uniforms(2, "time_delay", "other", 0, 40_000, simulate.WIDTH)
    lenses = simulate.draw(0, u, {"family": "epl_shear", "prior": ROUND})["systems"]
    part = lenses["area_caustic"] / (np.pi * (ROUND["source"][1] * lenses["theta_e"]) ** 2)
    share = len(found.parameters["slope"]) / found.drawn
    assert abs(share - part.mean()) < 3 * np.sqrt(share / found.drawn + part.var() / len(part))
    shape = 1 - lenses["q"]
    expected = part @ shape / part.sum()
    error = shape.std() / np.sqrt(share * found.drawn)
    assert expected > shape.mean() + 10 * error
    assert abs(found.parameters["one_minus_q"].mean() - expected) < 3 * error


def quads(n, prior):
    """Lenses with four images whose slope is measured with noise, and shape exactly."""
    u = uniforms(3, "time_delay", "quads", 0, 30 * n, simulate.WIDTH)
    lenses = simulate.draw(0, u, {"family": "epl_shear", "prior": prior})["systems"]
    four = np.flatnonzero(lenses["n_images"] == 4)[:n]
    assert len(four) == n
    systems = {name: column[four] for name, column in lenses.items()}
    *_, systems["d_dt"] = distances(systems["z_lens"], systems["z_source"], 70.0, 0.3)
    systems["h0"] = np.full(n, 70.0)
    systems |= {name: np.ones(n, int) for name in ("h0_known", "d_dt_known")}
    systems["name"] = systems["index"].astype(str)
    systems |= {name: np.zeros(n) for name in ("d_dt_minus", "d_dt_plus")}
    return systems


def draw_posteriors(systems, rng, size=1500):
    """Draw slopes without the delays, and the distances that these give: as 1 / (slope - 1)."""
    draws = []
    grid = np.linspace(1.551, 2.489, 2000)
    prior = log_density(WIDE["slope"], grid)
    for i, slope in enumerate(systems["slope"]):
        seen = slope + NOISE * rng.standard_normal()
        p = np.exp(prior - 0.5 * ((grid - seen) / NOISE) ** 2)
        own = rng.choice(grid, size, p=p / p.sum())
        d_dt = systems["d_dt"][i] * (slope - 1) / (own - 1)
        delay = 1 + DELAY_NOISE * rng.standard_normal()
        shape = {
            "one_minus_q": 1 - systems["q"][i],
            "shear": np.hypot(systems["gamma1"][i], systems["gamma2"][i]),
            "kappa_ext": systems["kappa_ext"][i],
        }
        draws.append(
            {name: np.full(size, value) for name, value in shape.items()}
            | {"slope": own, "d_dt": delay * d_dt, "d_dt_error": DELAY_NOISE * d_dt}
            | {"ln_marginal": np.zeros(size)}
        )
    return draws


def test_a_population_unlike_the_prior_is_found_and_h0_with_it():
    moved = STUDY["priors"]["survey"] | {
        "slope": ["truncated_normal", 1.95, 0.1, 1.55, 2.49],
        "one_minus_q": ["truncated_normal", 0.2, 0.1, 0.0, 0.9],
        "shear": ["truncated_lognormal", 0.05, 0.2, 0.001, 0.5],
    }
    systems = quads(60, moved)
    rng = np.random.default_rng(1)
    answer = {"h0": ["uniform", 50.0, 100.0], "omega_m": ["fixed", 0.3]}
    fixed = {f"kappa_ext_{name}": ["fixed", x] for name, x in (("mean", 0.0), ("scatter", 0.03))}
    found = populations.infer(
        draw_posteriors(systems, rng),
        *(
            systems,
            populations.select(WIDE, 1, 120_000),
            WIDE,
            answer,
            POPULATION["hyperpriors"] | fixed,
            rng,
        ),
    )
    values = {
        "slope_mean": (moved["slope"][1], 0.02),
        "one_minus_q_mean": (moved["one_minus_q"][1], 0.03),
        "shear_median": (0.05, 0.005),
        "h0": (70.0, 1.2),
    }
    for name, (truth, most) in values.items():
        low, high = (found["hyperparameters"][name][end] for end in ("low68", "high68"))
        middle, error = (low + high) / 2, (high - low) / 2
        assert error < most
        assert abs(middle - truth) < 2.5 * error, name


def test_draws_that_ask_for_a_negative_distance_count_as_much_as_their_delays_allow():
    rng = np.random.default_rng(1)
    error = rng.uniform(1500.0, 2500.0, 1000)
    d = rng.normal(3000.0, 2500.0, 1000)
    assert (d < 0).any()
    grid, found = hubble.exact_log_likelihood(hubble.Draws(d, error, np.zeros(1000)))
    distance = np.array([1000.0, 3000.0, 6000.0])
    expected = np.log(np.exp(-0.5 * ((distance[:, None] - d) / error) ** 2).mean(axis=1))
    values = np.interp(np.log(distance), grid, found)
    assert values - values[1] == pytest.approx(expected - expected[1], abs=0.02)
