"""Real systems answer for their population: from posteriors of each to H0 of all.

The lenses are a toy (tests/test_inference_population.py): the images see a slope g with a Gaussian
error, and the delays ask for the distance delay / (g - 1). All else of a lens is held.
"""

import json

import numpy as np
import pytest

from lensmill import experiments
from lensmill.experiments.time_delay import exact, hubble, populations, simulate, verdicts
from lensmill.experiments.time_delay.ingest import ingest
from lensmill.inference import population
from lensmill.lensing.distances import distances
from lensmill.pipeline import store
from lensmill.pipeline.priors import log_density
from lensmill.pipeline.streams import uniforms

STUDY = experiments.defaults("time_delay")
INTERIM = STUDY["priors"]["survey"] | {
    "slope": ["normal", 2.08, 0.16],
    "one_minus_q": ["fixed", 0.3],
    "shear": ["fixed", 0.05],
    "kappa_ext": ["fixed", 0.0],
    "h0": ["uniform", 20.0, 200.0],
    "omega_m": ["fixed", 0.3],
}
ANSWER = {"h0": ["uniform", 50.0, 100.0], "omega_m": ["fixed", 0.3]}
HYPERPRIORS = {
    "slope_mean": ["normal", 2.08, 0.1],
    "slope_scatter": ["truncated_lognormal", 0.1, 0.1, 0.03, 0.2],
}
SOLVED = (1.55, 2.49)  # slopes
SEEN, TIMED = 0.1, 0.05  # error of a slope by its images, fractional error of a delay
MOVED = (1.95, 0.08)  # slopes of the population
POPULATION = STUDY["hubble"]["population"]
WIDE = STUDY["priors"]["survey"] | POPULATION["interim"]
ROUND = STUDY["priors"]["survey"] | {  # no naked cusps, no images that are lost for faintness
    "slope": ["truncated_normal", 2.0, 0.05, 1.9, 2.1],
    "one_minus_q": ["truncated_normal", 0.2, 0.1, 0.0, 0.4],
}


def toy(n, h0, rng, count=3000):
    """Draw lenses in a universe and from their posteriors: draws of each, table of all."""
    z_lens = rng.uniform(0.3, 0.8, n)
    z_source = z_lens + rng.uniform(0.5, 2.0, n)
    d_dt = distances(z_lens, z_source, h0, 0.3)[3]
    g = rng.normal(*MOVED, n)
    seen, delay = rng.normal(g, SEEN), d_dt * (g - 1) * rng.normal(1, TIMED, n)
    _, mean, sd = INTERIM["slope"]
    variance = 1 / (sd**-2 + SEEN**-2)
    draws = []
    for i in range(n):
        slope = rng.normal(variance * (mean / sd**2 + seen[i] / SEEN**2), variance**0.5, count)
        d = delay[i] / (slope - 1)
        # the marginal of the delays is not part of the draws, and need not be taken back
        one = {"slope": slope, "d_dt": d, "d_dt_error": TIMED * d, "ln_marginal": np.zeros(count)}
        one |= {name: np.full(count, INTERIM[name][1]) for name in populations.SHAPES[1:]}
        draws.append(one)
    systems = {"z_lens": z_lens, "z_source": z_source, "d_dt": d_dt, "h0": np.full(n, h0)}
    systems |= {name: np.ones(n) for name in ("h0_known", "d_dt_known")}
    systems |= {name: np.zeros(n) for name in ("d_dt_minus", "d_dt_plus")}
    systems |= {"n_images": np.full(n, 4), "name": np.array([f"lens {i}" for i in range(n)])}
    return draws, systems


def real(systems):
    """Return the same systems without their truth."""
    return systems | {"h0_known": np.zeros(len(systems["name"]))}


def infer(draws, systems, seed=1):
    rng = np.random.default_rng(seed)
    count = 20_000
    anything = {name: np.full(count, INTERIM[name][1]) for name in populations.SHAPES[1:]}
    anything["slope"] = rng.normal(*INTERIM["slope"][1:], count)
    everything = {4: population.Selection(anything, count)}  # each is found
    return populations.infer(draws, systems, everything, INTERIM, ANSWER, HYPERPRIORS, rng)


@pytest.fixture(scope="module")
def moved():
    """Infer a population whose slopes are not those of the prior."""
    draws, systems = toy(30, 70.0, np.random.default_rng(1))
    return draws, real(systems), infer(draws, real(systems))


def test_a_population_unlike_the_prior_is_found_and_h0_with_it(moved):
    draws, systems, found = moved
    slope = found["hyperparameters"]["slope_mean"]
    # 30 lenses of scatter 0.08, each seen to 0.1
    assert slope["high68"] - slope["low68"] == pytest.approx(2 * 0.128 / np.sqrt(30), rel=0.5)
    assert slope["low95"] < MOVED[0] < slope["high95"]
    assert slope["high95"] < INTERIM["slope"][1]
    assert "one_minus_q_mean" not in found["hyperparameters"]

    half = (found["h0_high68"] - found["h0_low68"]) / 2
    assert abs(found["h0"] - 70) < 2.5 * half
    own = [hubble.Draws(one["d_dt"], one["d_dt_error"], one["ln_marginal"]) for one in draws]
    flat = hubble.combine(own, systems, INTERIM, ANSWER)
    # under the prior of one the slopes are too steep, all of them together
    assert flat["h0"] - 70 > 2 * (flat["h0_high68"] - flat["h0_low68"]) / 2
    assert abs(found["h0"] - 70) < flat["h0"] - 70


def test_each_system_has_h0_with_the_population_of_all_as_its_prior(moved):
    _, systems, found = moved
    assert list(found["h0_of_each"]) == systems["name"].tolist()
    each = np.array([one["h0"] for one in found["h0_of_each"].values()])
    ends = [
        [one[f"h0{end}"] for end in ("_low68", "_high68")] for one in found["h0_of_each"].values()
    ]
    half = np.diff(ends, axis=1)[:, 0] / 2
    assert abs(np.mean((each - 70) / half)) < 3 / np.sqrt(len(each)) + 0.3
    assert np.median(half) > 2 * (found["h0_high68"] - found["h0_low68"]) / 2
    assert found["least_draws_used"] > 5


def test_mocks_of_different_universes_are_one_of_their_own_truth(moved):
    draws, systems, found = moved
    rng = np.random.default_rng(2)
    # every lens in a universe of its own: distances and delays in the ratio of the constants
    h0 = rng.uniform(55, 95, len(draws))
    factor = 70.0 / h0
    apart = [
        one | {name: one[name] * f for name in ("d_dt", "d_dt_error")}
        for one, f in zip(draws, factor, strict=True)
    ]
    known = np.ones(len(draws))
    table = systems | {"h0": h0, "d_dt": systems["d_dt"] * factor, "h0_known": known}
    one = infer(apart, table)
    for end in ("_low68", "", "_high68"):
        assert one[f"h0{end}_over_truth"] * 70 == pytest.approx(found[f"h0{end}"], rel=1e-6)
    assert one["hyperparameters"]["slope_mean"] == found["hyperparameters"]["slope_mean"]
    assert "h0" not in one
    scores = one["accuracy"]["all"]
    assert scores["systems"] == len(draws)
    assert abs(scores["A"]) < 3 * scores["A_error"]
    # 0.68 +- 0.085 of 30, and the slopes of all are known only together
    assert 0.4 < scores["coverage68"] < 0.95


def write(path, draws, n_images):
    """Write posteriors of systems with the draws given, system by system."""
    count = [len(one["slope"]) for one in draws]
    systems = {name: np.zeros(len(draws)) for name in exact.UNITS["systems"] if name != "name"}
    systems |= {"index": np.arange(len(draws)), "n_images": np.array(n_images)}
    systems |= {"n_draws": np.array(count), "first_draw": np.cumsum(count) - count}
    columns = {name: np.concatenate([one[name] for one in draws]) for name in exact.UNITS["draws"]}
    store.write(path, {"systems": systems, "draws": columns}, exact.UNITS, {"draws": max(count)})


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


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Return a function that writes a table of quads and doubles, their posteriors, verdicts."""

    def run(count):
        names = ["quad 0", "quad 1", "quad 2", "double", "foreign"]
        k = [4, 4, 4, 2, 4]
        lines = ["name,z_lens,z_source,x,y,position_error,delay,delay_error,complex"]
        for name, images in zip(names, k, strict=True):
            for j in range(images):
                facts = f"{name},0.5,1.5" if j == 0 else f"{name},,"
                place = f"{np.cos(1.5 * j):.3f},{np.sin(1.5 * j):.3f},0.003"
                timed = f"{10 * j},1" if j else ","
                galaxy = "in a cluster" if name == "quad 2" and j == 0 else ""
                lines.append(f"{facts},{place},{timed},{galaxy}")
        (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
        paths = [str(tmp_path / name) for name in ("data.h5", "exact.h5", "table", "out.json")]
        ingest(tmp_path / "mine.csv", paths[0], "mine", "time_delay")
        draws, systems = toy(5, 70.0, np.random.default_rng(4), count)
        d_dt = distances(0.5, 1.5, 70.0, 0.3)[3] / systems["d_dt"]
        whole = []
        for one, f in zip(draws, d_dt, strict=True):
            own = {name: np.zeros(count) for name in exact.UNITS["draws"]}
            own |= {"theta_e": np.ones(count), "ellipticity_1": np.full(count, 0.3)}
            own |= {"gamma1": np.full(count, 0.05)}
            own["slope"] = np.clip(one["slope"], *SOLVED)
            whole.append(own | {name: one[name] * f for name in ("d_dt", "d_dt_error")})
        write(paths[1], whole, k)
        said = [verdicts.INSIDE] * 3 + [verdicts.UNTESTABLE, verdicts.OUTSIDE]
        columns = {"name": np.array(names), "verdict": np.array(said)}
        verdicts.write_table(paths[2], columns, {}, {})
        monkeypatch.setattr(populations, "SELECTION", 40_000)
        bounded = INTERIM | {"slope": ["truncated_normal", *INTERIM["slope"][1:], *SOLVED]}
        populations.infer_population(*paths, bounded, ANSWER, HYPERPRIORS, seed=1)
        return json.loads((tmp_path / "out.json").read_text()), tmp_path

    return run


def test_the_sets_are_of_usable_systems_only(table):
    content, _ = table(3000)
    sets = content["combined"]
    assert sets["quads"]["systems"] == ["quad 0", "quad 1", "quad 2"]
    assert sets["quads_without_complex"]["systems"] == ["quad 0", "quad 1"]
    assert sets["quads_and_doubles"]["systems"] == ["quad 0", "quad 1", "quad 2", "double"]
    for found in sets.values():
        assert 50 < found["h0_low68"] < found["h0"] < found["h0_high68"] < 100
        assert list(found["h0_of_each"]) == found["systems"]
    assert content["hyperpriors"] == HYPERPRIORS


def test_a_set_with_too_few_draws_is_refused_by_its_name(table):
    content, _ = table(12)
    refused = content["combined"]["quads"]
    assert refused["systems"] == ["quad 0", "quad 1", "quad 2"]
    assert "draw" in refused["refused"]
    assert "h0" not in refused


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
        seen = slope + SEEN * rng.standard_normal()
        p = np.exp(prior - 0.5 * ((grid - seen) / SEEN) ** 2)
        own = rng.choice(grid, size, p=p / p.sum())
        d_dt = systems["d_dt"][i] * (slope - 1) / (own - 1)
        delay = 1 + TIMED * rng.standard_normal()
        shape = {
            "one_minus_q": 1 - systems["q"][i],
            "shear": np.hypot(systems["gamma1"][i], systems["gamma2"][i]),
            "kappa_ext": systems["kappa_ext"][i],
        }
        draws.append(
            {name: np.full(size, value) for name, value in shape.items()}
            | {"slope": own, "d_dt": delay * d_dt, "d_dt_error": TIMED * d_dt}
            | {"ln_marginal": np.zeros(size)}
        )
    return draws


def test_a_population_of_which_some_are_found_is_that_of_all():
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
