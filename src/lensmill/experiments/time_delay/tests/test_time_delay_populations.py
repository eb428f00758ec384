"""Real systems answer for their population: from posteriors of each to H0 of all.

The lenses are a toy (tests/test_inference_population.py): the images see a slope g with a Gaussian
error, and the delays ask for the distance delay / (g - 1). All else of a lens is held.
"""

import json

import numpy as np
import pytest

from lensmill.experiments.time_delay import exact, hubble, populations, verdicts
from lensmill.experiments.time_delay.ingest import ingest
from lensmill.lensing.distances import distances
from lensmill.pipeline import store

INTERIM = {
    "slope": ["normal", 2.08, 0.16],
    "one_minus_q": ["fixed", 0.3],
    "shear": ["fixed", 0.05],
    "kappa_ext": ["fixed", 0.0],
    "source": ["disc", 0.6],
    "h0": ["uniform", 20.0, 200.0],
    "omega_m": ["fixed", 0.3],
}
ANSWER = {"h0": ["uniform", 50.0, 100.0], "omega_m": ["fixed", 0.3]}
HYPERPRIORS = {
    "slope_mean": ["normal", 2.08, 0.1],
    "slope_scatter": ["truncated_lognormal", 0.1, 0.1, 0.03, 0.2],
}
SEEN, TIMED = 0.1, 0.05  # error of a slope by its images, fractional error of a delay
MOVED = (1.95, 0.08)  # slopes of the population


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
        marginal = np.log(TIMED * d)  # of a prior flat in D_dt, which is not part of the draws
        one = {"slope": slope, "d_dt": d, "d_dt_error": TIMED * d, "ln_marginal": marginal}
        one |= {name: np.full(count, INTERIM[name][1]) for name in populations.SHAPES[1:]}
        draws.append(one | {"ln_weight": marginal})
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
    return populations.infer(draws, systems, INTERIM, ANSWER, HYPERPRIORS, rng)


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
    flat = hubble.combine(
        [one._replace(weight=np.exp(d["ln_weight"])) for one, d in zip(own, draws, strict=True)],
        systems,
        INTERIM,
        ANSWER,
    )
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


def lenses(n, theta_e, shear, rng):
    """Columns of ``n`` draws of SIS with shear in any direction."""
    draws = {name: np.zeros(n) for name in exact.UNITS["draws"]}
    angle = rng.uniform(0, 2 * np.pi, n)
    draws |= {"theta_e": theta_e, "slope": np.full(n, 2.0)}
    draws |= {"gamma1": shear * np.cos(angle), "gamma2": shear * np.sin(angle)}
    return draws | {"d_dt": np.full(n, 3e3), "d_dt_error": np.full(n, 100.0)}


def write(path, draws, n_images):
    """Write posteriors of systems with the draws given, system by system."""
    count = [len(one["slope"]) for one in draws]
    systems = {name: np.zeros(len(draws)) for name in exact.UNITS["systems"] if name != "name"}
    systems |= {"index": np.arange(len(draws)), "n_images": np.array(n_images)}
    systems |= {"n_draws": np.array(count), "first_draw": np.cumsum(count) - count}
    columns = {name: np.concatenate([one[name] for one in draws]) for name in exact.UNITS["draws"]}
    store.write(path, {"systems": systems, "draws": columns}, exact.UNITS, {"draws": max(count)})


def test_a_draw_counts_by_the_inverse_of_the_area_its_source_may_come_from(tmp_path):
    rng = np.random.default_rng(3)
    theta_e, shear = rng.uniform(0.5, 2.0, 50), rng.uniform(0.01, 0.1, 50)
    nothing = {name: np.zeros(0) for name in exact.UNITS["draws"]}
    draws = [lenses(50, theta_e, shear, rng) for _ in range(2)]
    write(tmp_path / "posteriors.h5", [*draws, nothing], [4, 2, 4])
    found = populations.read(str(tmp_path / "posteriors.h5"), 0.6)
    assert list(found) == [0, 1]  # a system without draws is left out
    # the astroid of SIS and shear, within the disc; two images: the disc without it
    astroid = 1.5 * np.pi * shear**2 / (1 - shear**2)
    assert np.exp(-found[0]["ln_weight"]) == pytest.approx(astroid, rel=0.01)
    assert np.exp(-found[1]["ln_weight"]) == pytest.approx(np.pi * 0.36 - astroid, rel=0.01)
    assert found[0]["shear"] == pytest.approx(shear)


def test_sources_from_another_area_are_refused():
    assert populations.disc(INTERIM) == 0.6
    with pytest.raises(ValueError, match=r"give hubble\.family such a prior"):
        populations.disc(INTERIM | {"source": ["image_in_disc", 3.0]})


@pytest.fixture
def table(tmp_path):
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
            own |= {name: one[name] for name in ("slope", "ln_marginal")}
            whole.append(own | {name: one[name] * f for name in ("d_dt", "d_dt_error")})
        write(paths[1], whole, k)
        said = [verdicts.INSIDE] * 3 + [verdicts.UNTESTABLE, verdicts.OUTSIDE]
        columns = {"name": np.array(names), "verdict": np.array(said)}
        verdicts.write_table(paths[2], columns, {}, {})
        populations.infer_population(*paths, INTERIM, ANSWER, HYPERPRIORS, seed=1)
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


def test_a_set_with_too_few_draws_is_named_and_has_no_value(table):
    content, _ = table(12)
    quads = content["combined"]["quads"]
    assert quads["systems"] == ["quad 0", "quad 1", "quad 2"]
    assert "draw more" in quads["refused"] or "too few draws" in quads["refused"]
    assert "h0" not in quads
