"""Exact posteriors against the truth of mocks, and networks against exact posteriors."""

import json

import h5py
import numpy as np
import pytest
from astropy.table import Table

from lensmill.experiments.time_delay import exact, exact_checks, observe, predictions, simulate
from lensmill.experiments.time_delay.canonical import Answer
from lensmill.learning import calibration
from lensmill.pipeline import splits, store
from lensmill.pipeline.streams import uniforms

SEED = 3
SETTINGS = {
    "family": "sis_shear",
    "prior": {
        "einstein_radius": ["uniform", 1.0, 1.5],
        "einstein_radius_is": "theta_e",
        "one_minus_q": ["fixed", 0.0],
        "phi": ["uniform", 0.0, np.pi],
        "shear": ["lognormal", 0.05, 0.2],
        "shear_angle": ["uniform", 0.0, np.pi],
        "slope": ["fixed", 2.0],
        "kappa_ext": ["fixed", 0.0],
        "source": ["disc", 0.6],
        "min_magnification": 0.1,
        "z_lens": ["uniform", 0.3, 0.7],
        "z_source": ["uniform", 1.0, 3.0],
        "redshift_gap": 0.2,
        "h0": ["uniform", 50.0, 100.0],
        "omega_m": ["uniform", 0.2, 0.4],
    },
}
OBSERVATION = {
    "position_error": ["fixed", 0.005],
    "delay_error": ["fixed", 1.0],
    "lens_error": ["log_uniform", 0.003, 0.02],
    "lens_unknown": 0.1,
}
MOCKS = 40


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Simulate a population, sample its test doubles in two parts, and answer like a network."""
    folder = tmp_path_factory.mktemp("checks")
    paths = {name: str(folder / f"{name}.h5") for name in ("dataset", "split", "predictions")}
    u = uniforms(SEED, "time_delay", "toy", 0, 200, simulate.WIDTH)
    facts = {"experiment": "time_delay", "population": "toy", "settings": json.dumps(SETTINGS)}
    store.write(paths["dataset"], simulate.draw(0, u, SETTINGS), simulate.UNITS, facts)
    index = np.arange(200)
    labels = {"index": index, "split": np.full(200, splits.TEST, np.uint8)}
    store.write(paths["split"], {"systems": labels}, {"systems": {"index": "", "split": ""}}, {})
    prior = simulate.family_prior(SETTINGS)
    asked = {"ess": 300.0, "draws": 300, "part": MOCKS // 2, "displaced": 0}
    paths["posteriors"] = [str(folder / f"posterior{part}.h5") for part in (0, 1)]
    for part, path in enumerate(paths["posteriors"]):
        exact.sample_mocks(
            paths["dataset"], paths["split"], path, 2, part, prior, OBSERVATION, asked, SEED
        )
    observed, truth = exact.observed_mocks(paths["dataset"], paths["split"], 2, OBSERVATION, SEED)
    rows = np.arange(MOCKS)
    observed, truth = observe.select(observed, rows), observe.select(truth, rows)
    draws = [store.read(path, "draws", ["ln_d_dt"])["ln_d_dt"] for path in paths["posteriors"]]
    ln_d_dt = np.concatenate(draws).reshape(MOCKS, 300)
    middle = np.median(ln_d_dt, axis=1, keepdims=True)
    wide = middle + 2 * (ln_d_dt - middle)  # a network twice as unsure as it need be
    answer = Answer(wide, np.zeros((MOCKS, 2, 300)), np.zeros((MOCKS, 2, 2, 300)))
    tables = predictions.tables(observed, truth, predictions.summary(answer, truth))
    about = {"network": "unsure", "population": "toy", "images": 2}
    store.write(paths["predictions"], tables, predictions.UNITS, about)
    return paths


def check(run, folder, posteriors=None, asked=None, seed=SEED):
    """Compare, and return the report and the table."""
    output, table = str(folder / "report.json"), str(folder / "table.ecsv")
    exact_checks.check_posteriors(
        posteriors or run["posteriors"],
        run["dataset"],
        run["split"],
        [run["predictions"]] if asked is None else asked,
        OBSERVATION,
        seed,
        output,
        table,
    )
    return json.loads((folder / "report.json").read_text()), Table.read(table)


def test_the_truth_of_a_mock_lies_in_its_posterior_as_a_draw_does(run, tmp_path):
    report, table = check(run, tmp_path)
    found = report["2"]
    assert found["systems"] == len(table) == MOCKS
    assert found["ranks"]["p_value"] > 1e-3
    known = {"ln_d_dt", "theta_e", "shear", "shear_angle", "source_radius", "chi2"}
    assert found["ranks"]["quantities"].keys() == known  # the family fixes the others
    ranks = np.array([table[f"rank_{name}"] for name in known])
    assert ((ranks > 0) & (ranks < 1)).all()


def test_posteriors_that_lie_are_found_out(run, tmp_path):
    wrong = []
    for path in run["posteriors"]:
        wrong.append(str(tmp_path / f"wrong{len(wrong)}.h5"))
        moved = {"ln_d_dt": store.read(path, "draws")["ln_d_dt"] + 0.3}
        store.extend(path, wrong[-1], columns={"draws": moved}, units=exact.UNITS)
    report, _ = check(run, tmp_path, wrong)
    assert report["2"]["ranks"]["p_value"] < 1e-4
    assert not report["2"]["ranks"]["quantities"]["ln_d_dt"]["inside_band"]


def test_a_network_is_measured_by_the_exact_posterior(run, tmp_path):
    report, table = check(run, tmp_path)
    found = report["2"]["network_against_exact"]
    assert np.abs(table["difference"]).max() < 1e-4
    assert table["width_ratio"] == pytest.approx(2.0, rel=1e-3)
    assert found["near"] == 1 and found["median_width_ratio"] == pytest.approx(2.0, rel=1e-3)
    assert report["2"]["network_against_truth"]["coverage68"] > 0.85
    assert report["2"]["where_they_differ"]["lens_known"]["low"]["systems"] > 1


def test_without_a_network_the_ranks_alone_are_told(run, tmp_path):
    report, table = check(run, tmp_path, asked=[])
    assert "network" not in report["2"] and "difference" not in table.colnames


def test_a_network_that_saw_other_data_is_refused(run, tmp_path):
    other = str(tmp_path / "other.h5")
    with h5py.File(run["predictions"]) as file:
        x = file["images/x_observed"][:]
    x[6] += 0.01
    columns = {"images": {"x_observed": x}}
    store.extend(run["predictions"], other, columns=columns, units=predictions.UNITS)
    with pytest.raises(ValueError, match="saw other images of 1 of 40 mocks"):
        check(run, tmp_path, asked=[other])


@pytest.mark.parametrize("axis", [False, True], ids=["number", "axis"])
def test_ranks_of_draws_among_draws_are_uniform(axis):
    rng = np.random.default_rng(4)
    both = rng.normal(1.4, 0.3, (4000, 20))  # across the place where an axis begins anew
    if axis:
        both = both % np.pi
    ranks = [exact_checks.rank(one[1:], one[0], 19, rng, axis) for one in both]
    at, low, high = calibration.ecdf_band(4000, 50, 0.999)
    below = np.searchsorted(np.sort(ranks), at) / 4000
    assert ((below >= low) & (below <= high)).all()


def test_the_band_holds_as_many_sets_of_uniform_ranks_as_it_says():
    n, sets = 60, 3000
    at, low, high = calibration.ecdf_band(n, 20, 0.9)
    u = np.sort(np.random.default_rng(5).random((sets, n)), axis=1)
    below = np.array([np.searchsorted(one, at, side="right") for one in u]) / n
    inside = ((below > low - 1e-9) & (below < high + 1e-9)).all(axis=1).mean()
    # steps of 1 / n leave it a little too wide
    assert 0.9 - 4 * np.sqrt(0.09 / sets) < inside < 0.93
