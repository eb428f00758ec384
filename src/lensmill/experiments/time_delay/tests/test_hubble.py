"""From distances to Hubble constants."""

import json

import numpy as np
import pandas as pd
import pytest
from astropy.cosmology import FlatLambdaCDM
from astropy.table import Table
from scipy.special import ndtri

from lensmill.experiments.time_delay import exact, hubble, predictions, simulate, verdicts
from lensmill.experiments.time_delay.ingest import ingest
from lensmill.inference.point_images import distance_prior, draw_distance, log_marginal
from lensmill.lensing.distances import distances
from lensmill.pipeline import store
from lensmill.pipeline.priors import inverse_cdf

FIXED = {"h0": ["uniform", 50.0, 100.0], "omega_m": ["fixed", 0.3]}
PRIOR = {"h0": ["uniform", 50.0, 100.0], "omega_m": ["uniform", 0.2, 0.4]}
TRAINED = {
    "h0": ["truncated_lognormal", 70.7, 0.15, 20.0, 200.0],
    "omega_m": ["uniform", 0.2, 0.4],
}
REDSHIFTS = [(0.3, 1.2), (0.6, 2.0), (0.5, 1.5), (0.7, 2.5)]
EVEN = (np.arange(1000) + 0.5) / 1000


def d_dt(z_lens: float, z_source: float, h0: float = 73.0) -> float:
    """Time-delay distance [Mpc] by astropy."""
    cosmology = FlatLambdaCDM(H0=h0, Om0=0.3, Tcmb0=0)
    d_l, d_s = (cosmology.angular_diameter_distance(z) for z in (z_lens, z_source))
    d_ls = cosmology.angular_diameter_distance_z1z2(z_lens, z_source)
    return float(((1 + z_lens) * d_l * d_s / d_ls).to_value("Mpc"))


def posteriors(width: float, h0: float = 73.0) -> list[np.ndarray]:
    """Return samples of ln D_dt about the truth, as quantiles of a normal distribution."""
    return [np.log(d_dt(*z, h0)) + width * ndtri(EVEN) for z in REDSHIFTS]


def systems(z=REDSHIFTS, **known) -> dict[str, np.ndarray]:
    n = len(z)
    z_lens, z_source = np.array(z).T
    names = ("h0", "h0_known", "d_dt", "d_dt_known", "d_dt_minus", "d_dt_plus")
    empty = {name: np.zeros(n) for name in names}
    return {"z_lens": z_lens, "z_source": z_source, **empty, "n_images": np.full(n, 4), **known}


def mocks(h0: float = 73.0) -> dict[str, np.ndarray]:
    truth = np.array([d_dt(*z, h0) for z in REDSHIFTS])
    return systems(h0=np.full(4, h0), h0_known=np.ones(4), d_dt=truth, d_dt_known=np.ones(4))


def density_of_ln_h0(h0: np.ndarray, prior: list) -> np.ndarray:
    kind, middle, width, *ends = prior if len(prior) > 3 else [prior[0], 0, 0, *prior[1:]]
    inside = (h0 > ends[0]) & (h0 < ends[1])
    if kind == "uniform":
        return inside * h0
    return inside * np.exp(-0.5 * (np.log10(h0 / middle) / width) ** 2)


def draw_posterior(
    z: tuple, h0: float, omega_m: float, width: float, trained: dict, rng, noise: float
) -> np.ndarray:
    """Measure ln D_dt with an error and draw from its posterior by Bayes' theorem."""
    nodes = np.linspace(0.2, 0.4, 21)
    reference = np.log(distances(*z, 1.0, nodes)[3])
    measured = np.interp(omega_m, nodes, reference) - np.log(h0)
    measured += noise * width * rng.standard_normal()
    ln_d_dt = measured + width * np.linspace(-7, 7, 1401)
    prior = density_of_ln_h0(np.exp(reference[:, None] - ln_d_dt), trained["h0"]).sum(axis=0)
    below = np.cumsum(prior * np.exp(-0.5 * ((ln_d_dt - measured) / width) ** 2))
    return np.interp(rng.random(2000) * below[-1], below, ln_d_dt)


def universe(
    n: int, h0: float, omega_m: float, trained: dict, rng, noise: float = 1.0
) -> tuple[list, dict]:
    """Return posteriors of ``n`` systems, 4 to 20 % wide, and their table."""
    z_lens = rng.uniform(0.2, 1.0, n)
    z = list(zip(z_lens, z_lens + rng.uniform(0.4, 2.0, n), strict=True))
    widths = np.exp(rng.uniform(*np.log([0.04, 0.2]), n))
    samples = [
        draw_posterior(one, h0, omega_m, width, trained, rng, noise)
        for one, width in zip(z, widths, strict=True)
    ]
    return samples, systems(z)


@pytest.mark.parametrize("trained", [TRAINED, PRIOR], ids=["wide and smooth", "that of the answer"])
@pytest.mark.parametrize(("n", "universes"), [(1, 200), (16, 50), (100, 12)])
def test_combined_values_are_unbiased_and_their_intervals_hold(n, universes, trained):
    rng = np.random.default_rng(n)
    pull, rank = [], []
    for _ in range(universes):
        h0, omega_m = rng.uniform(50, 100), rng.uniform(0.2, 0.4)
        samples, table = universe(n, h0, omega_m, trained, rng)
        grid, below = hubble.hubble_posterior(samples, table, trained, PRIOR)
        low, middle, high = np.interp([0.1587, 0.5, 0.8413], below, grid)
        pull.append((middle - h0) / ((high - low) / 2))
        rank.append(np.interp(h0, grid, below))
    error = 3 / np.sqrt(universes)
    assert abs(np.mean(pull)) < error
    assert abs(np.mean(rank) - 0.5) < error / np.sqrt(12)
    covered = np.mean(np.abs(np.array(rank) - 0.5) < 0.3413)
    assert abs(covered - 0.6827) < error * np.sqrt(0.6827 * 0.3173)


def test_a_thousand_systems_do_not_drag_hubble_from_the_truth():
    # a factor D_dt(Omega_m) that is missing in every system drags Omega_m to its edge
    samples, table = universe(1000, 70.0, 0.3, TRAINED, np.random.default_rng(1), noise=0.0)
    found = hubble.combine(samples, table, TRAINED, PRIOR)
    assert found["h0_high68"] - found["h0_low68"] < 1.0
    assert found["h0"] == pytest.approx(70, abs=0.2)


def test_quantiles_do_not_sit_half_a_step_low():
    wide = [np.log(d_dt(*REDSHIFTS[0])) + ndtri(EVEN) * 5]  # says nothing: the prior remains
    found = hubble.combine(wide, systems(REDSHIFTS[:1]), TRAINED, FIXED)
    flat = np.log(inverse_cdf(TRAINED["h0"], EVEN))
    reference = np.log(d_dt(*REDSHIFTS[0], 1.0))
    prior_back = hubble.combine(
        [reference - flat], systems(REDSHIFTS[:1]), TRAINED | {"omega_m": ["fixed", 0.3]}, FIXED
    )
    assert prior_back["h0"] == pytest.approx(75, abs=0.5)
    assert prior_back["h0_low68"] == pytest.approx(50 + 50 * 0.15865, abs=0.5)
    assert found["h0_high68"] <= 100
    grid, below = hubble.hubble_posterior([], systems([(0.5, 1.5)]), TRAINED, FIXED)
    assert np.interp([0.1, 0.5, 0.9], below, grid) == pytest.approx([55, 75, 95], abs=1e-6)


def test_a_system_alone_is_the_combination_of_one_and_within_the_prior():
    low = [np.log(d_dt(*REDSHIFTS[0], 118.0)) + 0.1 * ndtri(EVEN)]
    found = hubble.combine(low, systems(REDSHIFTS[:1]), TRAINED, FIXED)
    assert 85 < found["h0_low68"] < found["h0"] < found["h0_high68"] < 100


def test_a_larger_universe_expands_more_slowly():
    near, far = (
        hubble.combine([np.log(x) + 1e-3 * ndtri(EVEN)], systems([(0.5, 1.5)]), TRAINED, FIXED)[
            "h0"
        ]
        for x in (d_dt(0.5, 1.5, 90.0), d_dt(0.5, 1.5, 60.0))
    )
    assert near == pytest.approx(90, abs=0.1)
    assert far == pytest.approx(60, abs=0.1)


def test_an_unknown_matter_density_widens_hubble_a_little():
    exact = [np.log(d_dt(0.5, 1.5)) + 1e-3 * ndtri(EVEN)]
    found = hubble.combine(exact, systems([(0.5, 1.5)]), TRAINED, PRIOR)
    assert found["h0"] == pytest.approx(73.0, rel=0.01)
    assert 0.002 < (found["h0_high68"] - found["h0_low68"]) / 2 / found["h0"] < 0.03


def test_four_systems_halve_the_error_and_keep_the_truth():
    samples = posteriors(0.05)
    one = hubble.combine(samples[:1], systems(REDSHIFTS[:1]), FIXED, FIXED)
    four = hubble.combine(samples, systems(), FIXED, FIXED)
    assert four["h0"] == pytest.approx(73.0, abs=1.0)
    width = [r["h0_high68"] - r["h0_low68"] for r in (one, four)]
    assert width[0] / width[1] == pytest.approx(2, abs=0.3)


def test_where_the_truth_is_known_the_ratio_is_reported():
    combined = hubble.combine(posteriors(0.05), mocks(), TRAINED, PRIOR)
    assert combined["h0_over_truth"] == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    "known", [{"h0_known": np.ones(4), "h0": np.full(4, 60.0)}, {"d_dt_minus": np.full(4, 50.0)}]
)
def test_a_published_hubble_constant_is_not_the_truth_of_a_mock(known):
    table = (mocks() if "d_dt_minus" in known else systems()) | known
    combined = hubble.combine(posteriors(0.05), table, TRAINED, PRIOR)
    assert not hubble.is_mock(table).any()
    assert combined["h0"] == pytest.approx(73.0, abs=1.5)


def exact_draws(z: tuple, lens: tuple, error: float, n: int, rng) -> hubble.Draws:
    """Draw lenses whose delays ask for a distance ``lens`` (ln mean, width), under ``TRAINED``."""
    prior = distance_prior(*z, TRAINED["h0"], TRAINED["omega_m"])
    d = np.exp(rng.normal(*lens, 20 * n))
    sigma = error * d
    marginal = np.array([log_marginal(*one, *prior) for one in zip(d, sigma, strict=True)])
    weight = np.exp(marginal - marginal.max())
    rows = rng.choice(len(d), n, p=weight / weight.sum())
    return hubble.Draws(d[rows], sigma[rows], marginal[rows])


def distances_of(draws: hubble.Draws, z: tuple, rng) -> np.ndarray:
    """Draw ln D_dt of the posterior under ``TRAINED``, as a network does."""
    prior = distance_prior(*z, TRAINED["h0"], TRAINED["omega_m"])
    ln_d_dt = np.empty(len(draws.d_dt))
    draw_distance(draws.d_dt, draws.d_dt_error, rng.random(len(ln_d_dt)), *prior, ln_d_dt)
    return ln_d_dt


@pytest.mark.parametrize(("width", "error"), [(0.1, 0.05), (0.02, 0.15), (0.2, 0.03)])
def test_draws_of_lenses_and_of_distances_are_one_likelihood(width, error):
    rng = np.random.default_rng(4)
    z = (0.5, 1.5)
    draws = exact_draws(z, (np.log(d_dt(*z, 60.0)), width), error, 4000, rng)
    samples = distances_of(draws, z, rng)
    by_lenses, by_distances = (
        hubble.combine([one], systems([z]), TRAINED, PRIOR) for one in (draws, samples)
    )
    sigma = (by_lenses["h0_high68"] - by_lenses["h0_low68"]) / 2
    for name, value in by_lenses.items():
        # finite draws of both, and the kernel that widens the one
        assert by_distances[name] == pytest.approx(value, abs=0.12 * sigma), name


def test_the_likelihood_of_draws_is_free_of_the_prior_of_the_distance():
    # lenses 10 % wide, delays 5 %: ln D of the data is Gaussian but for what 5 % of D are not
    z, rng = (0.5, 1.5), np.random.default_rng(5)
    draws = exact_draws(z, (np.log(d_dt(*z)), 0.1), 0.05, 20_000, rng)
    grid, ln = hubble.exact_log_likelihood(draws)
    at = np.log(d_dt(*z)) + np.linspace(-0.2, 0.2, 9)
    lens = np.log(d_dt(*z)) + 0.1 * np.linspace(-6, 6, 4001)
    miss = (np.exp(at[:, None] - lens) - 1) / 0.05
    expected = np.log((np.exp(-(miss**2) / 2) * np.exp(-((lens - lens[2000]) ** 2) / 0.02)).sum(1))
    found = np.interp(at, grid, ln)
    assert found - found[4] == pytest.approx(expected - expected[4], abs=0.15)


def test_a_weight_moves_a_likelihood_as_drawing_from_it_does():
    z, rng = (0.5, 1.5), np.random.default_rng(6)
    draws = exact_draws(z, (np.log(d_dt(*z)), 0.15), 0.03, 20_000, rng)
    tilt = draws.d_dt**2
    weighted = draws._replace(weight=tilt)
    rows = rng.choice(len(tilt), 20_000, p=tilt / tilt.sum())
    drawn = hubble.Draws(*(column[rows] for column in draws[:3]))
    before, one, other = (
        hubble.combine([some], systems([z]), TRAINED, PRIOR) for some in (draws, weighted, drawn)
    )
    sigma = (one["h0_high68"] - one["h0_low68"]) / 2
    assert before["h0"] - one["h0"] > 0.2 * sigma
    for name, value in one.items():
        assert other[name] == pytest.approx(value, abs=0.1 * sigma), name


def test_without_a_delay_draws_leave_the_prior_as_it_is():
    nothing = hubble.Draws(np.zeros(10), np.full(10, np.inf), np.zeros(10))
    found = hubble.combine([nothing], systems([(0.5, 1.5)]), TRAINED, FIXED)
    ends = [found[f"h0{end}"] for end in ("_low68", "", "_high68")]
    assert ends == pytest.approx([57.93, 75.0, 92.07], abs=0.05)


def miss(h0: float, width: float = 0.1) -> float:
    ln_d_dt = np.log(d_dt(0.5, 1.5, h0)) + width * np.array([-1, 0, 1])
    return hubble.prior_miss(ln_d_dt[:, None], np.array([0.5]), np.array([1.5]), FIXED)[0]


def test_how_far_hubble_is_outside_its_prior_is_told_in_its_own_errors():
    assert miss(75) < 0
    assert miss(50) == pytest.approx(0, abs=0.01)
    assert miss(100 * np.exp(0.2)) == pytest.approx(2, abs=0.01)
    assert miss(50 * np.exp(-0.3)) == pytest.approx(3, abs=0.01)


def predicted_mocks(folder, n: int, n_images: int = 2) -> tuple[str, str]:
    """Write mocks with H0 of the training prior and calibrated predictions of them, 10 % wide."""
    rng = np.random.default_rng(3)
    h0 = inverse_cdf(TRAINED["h0"], rng.random(n))
    middle = np.log([d_dt(0.5, 1.5)]) - np.log(h0 / 73) + 0.1 * rng.standard_normal(n)
    truth, found = str(folder / "mocks.h5"), str(folder / f"mocks_{n_images}.h5")
    store.write(truth, {"systems": {"index": np.arange(n), "h0": h0}}, simulate.UNITS, {})
    columns = {
        "index": np.arange(n),
        "n_images": np.full(n, n_images),
        "z_lens": np.full(n, 0.5),
        "z_source": np.full(n, 1.5),
        "d_dt_low68": np.exp(middle - 0.1),
        "d_dt_median": np.exp(middle),
        "d_dt_high68": np.exp(middle + 0.1),
    }
    store.write(found, {"systems": columns}, predictions.UNITS, {})
    return truth, found


def test_false_alarms_about_the_prior_are_as_rare_as_they_are_set(tmp_path):
    truth, found = predicted_mocks(tmp_path, 20_000)
    limits = hubble.prior_limits(truth, [found], PRIOR, 0.01)[2]
    assert limits.at_edge == pytest.approx(0.01, abs=0.004)  # of some 6,800
    assert limits.beyond < limits.at_edge / 2
    assert 0.3 < limits.edge < 1.5
    assert limits.prior_power > 0.9  # 10 % errors, and H0 a quarter or more outside
    with pytest.raises(ValueError, match=r"a false-alarm rate of 1e-07 takes 20000000"):
        hubble.prior_limits(truth, [found], PRIOR, 1e-7)


def test_nothing_to_combine_is_said_and_not_hidden():
    nothing = {c: v[:0] for c, v in systems().items()}
    assert set(hubble.combine([], nothing, FIXED, FIXED).values()) == {None}


def test_distances_too_large_are_a_hubble_constant_too_small():
    samples = [s + 0.1 for s in posteriors(0.05)]
    result = hubble.accuracy(samples, mocks(), TRAINED, PRIOR)
    assert result["all"]["bias"] == pytest.approx(-0.1, abs=5e-3)
    assert result["4_images"]["coverage68"] == 0


HEADER = """name,z_lens,z_source,x,y,position_error,delay,delay_error,d_dt,d_dt_minus,d_dt_plus,h0,\
complex
"""
TABLE = (
    HEADER
    + """near,0.3,1.2,1.0,0.1,0.003,0,,{near},100,100,60,
near,,,-0.7,0.1,0.003,30,1,,,,,
far,0.6,2.0,1.0,0.1,0.003,0,,,,,,in a cluster
far,,,-0.7,0.1,0.003,60,1,,,,,
foreign,0.6,2.0,1.0,0.1,0.003,0,,,,,,
foreign,,,-0.7,0.1,0.003,60,1,,,,,
slow,0.6,2.0,1.0,0.1,0.003,0,,,,,,
slow,,,-0.7,0.1,0.003,600,1,,,,,
"""
)


SIZE = 2000  # draws of a posterior


def write_posteriors(path, truth: np.ndarray, p_value: list, ess: list) -> None:
    """Write exact posteriors of doubles whose lenses put them 10 % too far, 5 % wide."""
    n, size = len(truth), SIZE
    rng = np.random.default_rng(2)
    d = truth[:, None] * np.exp(rng.normal(0.1, 0.05, (n, size)))
    error = 1e-3 * d  # delays far better known than the lens
    # a prior flat in D_dt
    draws = {name: np.ones(n * size) for name in exact.UNITS["draws"]}
    draws |= {"d_dt": d.ravel(), "d_dt_error": error.ravel(), "ln_marginal": np.log(error.ravel())}
    draws |= {"ln_d_dt": np.log(d.ravel()), "mode": np.zeros(n * size)}
    draws |= {"ellipticity_1": np.full(n * size, 0.3), "ellipticity_2": np.full(n * size, 0.4)}
    quantiles = np.percentile(d, list(exact.QUANTILES.values()), axis=1)
    facts = {name: np.ones(n) for name in exact.UNITS["systems"] if name != "name"}
    facts |= {f"d_dt_{name}": q for name, q in zip(exact.QUANTILES, quantiles, strict=True)}
    facts |= {"index": np.arange(n), "n_images": np.full(n, 2), "p_value": np.array(p_value)}
    facts |= {"pareto_k": np.full(n, 0.1), "ess": np.array(ess)}
    facts |= {"first_draw": size * np.arange(n), "n_draws": np.full(n, size)}
    modes = {name: np.ones(2) for name in exact.UNITS["modes"]}  # two of the second system
    modes |= {"mode": np.array([0, 1]), "weight": np.array([0.7, 0.3]), "d_dt": np.array([9, 8])}
    tables = {"systems": facts, "modes": modes, "draws": draws}
    store.write(path, tables, exact.UNITS, {"draws": size})


CALIBRATION = verdicts.Calibration(
    mocks=100,
    threshold=0.01,
    false_alarms=0.01,
    power=0.05,
    edge=0.5,
    outside=1.0,
    at_edge=0.01,
    beyond=0.0,
    prior_power=0.9,
    errors={
        "position_error": [0.001, 0.01],
        "delay_error": [0.5, 5.0],
        "delay_error_fraction": [0.01, 0.1],
        "lens_error": [0.001, 0.03],
    },
)


@pytest.fixture
def inferred(tmp_path):
    """H0 of a table whose four doubles have known posteriors: table and summary."""
    return infer(tmp_path, [SIZE] * 4)


def infer(tmp_path, ess: list) -> tuple[Table, dict]:
    """Infer H0 from posteriors with so many effective draws."""
    names = ("data.h5", "exact.h5", "family", "pred.h5", "table", "summary")
    paths = {n: str(tmp_path / n) for n in names}
    (tmp_path / "mine.csv").write_text(TABLE.format(near=d_dt(0.3, 1.2)))
    ingest(tmp_path / "mine.csv", paths["data.h5"], "mine", "time_delay")
    far = d_dt(0.6, 2.0)
    truth = np.array([d_dt(0.3, 1.2), far, far, 10 * far])
    write_posteriors(paths["exact.h5"], truth, [0.5, 0.5, 0.001, 0.5], ess)
    (tmp_path / "family").write_text(json.dumps({"images": {"2": CALIBRATION._asdict()}}))
    rng = np.random.default_rng(3)
    columns = {
        "ln_d_dt": np.log(truth)[:, None] + rng.normal(0.15, 0.05, (4, 2000)),
        **{c: rng.normal(1, 0.1, (8, 2000)) for c in ("potential", "deflection_x", "deflection_y")},
    }
    tables = {"systems": {"index": np.arange(4), "n_images": np.full(4, 2)}}
    with store.create(paths["pred.h5"]) as file:
        for table, values in {**tables, "samples": columns}.items():
            for name, column in values.items():
                store.add_column(file, table, name, [column], predictions.UNITS[table][name])
    hubble.infer_hubble(
        paths["data.h5"],
        paths["exact.h5"],
        [paths["pred.h5"]],
        paths["family"],
        paths["table"],
        paths["summary"],
        TRAINED,
        FIXED,
    )
    table = Table.read(paths["table"], format="ascii.ecsv")
    return table, json.loads((tmp_path / "summary").read_text())


def test_the_table_sets_exact_posteriors_beside_publications_and_networks(inferred):
    table, _ = inferred
    assert table["name"].tolist() == ["near", "far", "foreign", "slow"]
    assert table["d_dt"].unit == "Mpc"
    assert table["h0"][0] == pytest.approx(73 * np.exp(-0.1), rel=0.01)
    expected = 0.1 / np.hypot(0.05, 100 / d_dt(0.3, 1.2))
    assert table["difference_sigma"][0] == pytest.approx(expected, rel=0.05)
    assert table["difference_sigma"].mask.tolist() == [False, True, True, True]
    assert table["h0_true"].mask.all()  # what a publication says is not the truth
    assert table["network_shift"] == pytest.approx(np.ones(4), abs=0.15)  # 5 % farther, 5 % wide
    assert table["one_minus_q"] == pytest.approx(np.full(4, 0.5))
    assert table["modes"][1] == "70 % at 9 Mpc, slope 1.00; 30 % at 8 Mpc, slope 1.00"
    assert table["power"].tolist() == [0.05] * 4


def test_errors_beyond_those_of_the_mocks_stand_in_the_table(inferred):
    table, _ = inferred
    # 1 day of 600
    assert table["beyond"][3].startswith("delay_error_fraction 0.00167, of the mocks 0.01 to 0.1")
    assert table["beyond"].mask[:3].all() or not any(table["beyond"][:3])


def test_what_must_not_be_used_is_in_no_combined_value(inferred):
    table, summary = inferred
    assert table["verdict"].tolist() == [
        verdicts.UNTESTABLE,
        verdicts.UNTESTABLE,
        verdicts.OUTSIDE,
        verdicts.CONFLICT,  # a delay ten times too long
    ]
    for kind in ("combined", "combined_by_network"):
        assert summary[kind]["usable"]["systems"] == ["near", "far"]
        assert summary[kind]["usable_without_complex"]["systems"] == ["near"]
    assert summary["not_to_be_used"] == {"foreign": verdicts.OUTSIDE, "slow": verdicts.CONFLICT}
    near = summary["combined"]["usable_without_complex"]  # one definition: the row of the table
    assert [near[f"h0{end}"] for end in ("_low68", "", "_high68")] == pytest.approx(
        [table[f"h0{end}"][0] for end in ("_low68", "", "_high68")], rel=1e-4
    )
    by_network = summary["combined_by_network"]["usable_without_complex"]
    assert near["h0"] / by_network["h0"] == pytest.approx(np.exp(0.05), rel=0.015)


def test_a_posterior_of_too_few_draws_is_in_no_combined_value(tmp_path):
    table, summary = infer(tmp_path, [SIZE, 50, SIZE, 50])
    assert table["verdict"][[1, 3]].tolist() == [verdicts.UNSURE] * 2
    assert summary["combined"]["usable"]["systems"] == ["near"]
    assert summary["not_to_be_used"]["far"] == verdicts.UNSURE


def test_predictions_for_other_systems_are_refused(tmp_path):
    (tmp_path / "mine.csv").write_text(TABLE.format(near=2000))
    ingest(tmp_path / "mine.csv", tmp_path / "data.h5", "mine", "time_delay")
    tables = {
        "systems": {"index": np.array([0, 5]), "n_images": np.array([2, 2])},
        "samples": {"ln_d_dt": np.zeros((2, 3))},
    }
    store.write(tmp_path / "pred.h5", tables, predictions.UNITS, {})
    with pytest.raises(ValueError, match="is not about the systems of"):
        hubble.read_networks(str(tmp_path / "pred.h5"), str(tmp_path / "data.h5"))


def test_what_a_table_does_not_know_is_masked_for_astropy_and_missing_for_pandas(tmp_path):
    columns = {
        "name": np.array(["000120", "b"]),
        "complex": np.array(["", "a cluster"]),
        "h0": np.array([np.nan, 73.0]),
        "n_images": np.array([2, 4]),
    }
    path = tmp_path / "systems.ecsv"
    verdicts.write_table(path, columns, {"h0": "km / (Mpc s)"}, {"includes": "noise"})
    table = Table.read(path, format="ascii.ecsv")
    assert table["name"].tolist() == ["000120", "b"]
    assert np.ma.is_masked(table["h0"][0])
    assert table["h0"][1] == 73.0
    assert table["n_images"].tolist() == [2, 4]
    assert pd.read_csv(path, comment="#")["h0"].isna().tolist() == [True, False]
