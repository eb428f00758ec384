"""Real systems against the training family: the fit, the membership test, the check of answers."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import Table

from lensmill.experiments.time_delay import fit, observe, predictive, simulate
from lensmill.experiments.time_delay.ingest import ingest
from lensmill.lensing.profiles import fields
from lensmill.lensing.solver import solve
from lensmill.pipeline import store
from lensmill.pipeline.streams import uniforms

ROOT = Path(__file__).parents[5]
SETTINGS = {"mocks": 120, "starts": 12, "false_alarm_rate": 0.05}
CENTRE = {"theta_e": 1.1, "q": 0.7, "phi": 0.4, "slope": 2.08, "gamma1": 0.04, "gamma2": 0.03}
CENTRE["kappa_ext"] = 0.0


DEFAULTS = yaml.safe_load((ROOT / "src/lensmill/experiments/time_delay/defaults.yaml").read_text())[
    "experiments"
]["time_delay"]
H0 = DEFAULTS["hubble"]["h0"]
OBSERVATION = DEFAULTS["observations"]["survey"]


@pytest.fixture(scope="module")
def prior() -> dict:
    return DEFAULTS["priors"]["survey"]


@pytest.fixture(scope="module")
def survey(prior, tmp_path_factory) -> str:
    """Write a small population of the training family."""
    settings = {"family": "epl_shear", "prior": prior}
    tables = simulate.draw(
        0, uniforms(7, "time_delay", "survey", 0, 6000, simulate.WIDTH), settings
    )
    path = tmp_path_factory.mktemp("survey") / "dataset.h5"
    store.write(path, tables, simulate.UNITS, {})
    return str(path)


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("published") / "dataset.h5"
    ingest(ROOT / "data/lensed_quasars.ecsv", path, "published", "time_delay")
    return str(path)


@pytest.fixture(scope="module")
def verdicts(survey, published, prior, tmp_path_factory) -> tuple[dict, dict]:
    folder = tmp_path_factory.mktemp("family")
    table, calibration = str(folder / "family.ecsv"), str(folder / "family.json")
    predictive.calibrate_family(survey, calibration, prior, H0, OBSERVATION, SETTINGS, seed=3)
    predictive.judge_family(published, calibration, table, prior, H0, SETTINGS["starts"])
    rows = {row["name"]: row for row in Table.read(table)}
    return rows, json.loads((folder / "family.json").read_text())["images"]


def quad(d_dt: float = 3000.0, turn: float = 0.0, mirror: bool = False) -> observe.Observed:
    """Observe, almost exactly, the quad of a lens in the middle of the prior."""
    images = solve(
        **{k: np.array([v]) for k, v in CENTRE.items()}, source_x=[0.04], source_y=[0.02]
    )
    assert images.n_images[0] == 4
    position = np.stack([images.x, images.y], axis=-1)
    if mirror:
        position[:, 0] *= -1
    c, s = np.cos(turn), np.sin(turn)
    position = position @ np.array([[c, s], [-s, c]])
    delay = fit.DAYS * d_dt * (images.fermat - images.fermat[0])
    return observe.Observed(
        index=np.array([0]),
        position=position[None],
        position_error=np.full((1, 4), 1e-4),
        delay=delay[None],
        delay_error=np.array([[0, 0.05, 0.05, 0.05]]),
        delay_measured=np.ones((1, 4), bool),
        z_lens=np.array([0.5]),
        z_source=np.array([1.5]),
        lens_position=np.zeros((1, 2)),
        lens_error=np.array([1e-3]),
        lens_known=np.array([True]),
    )


def test_the_fit_finds_the_lens_that_made_the_images(prior):
    result = fit.fit(quad(), prior, starts=12)
    found = dict(zip(fit.PARAMETERS, result.parameters[0], strict=True))
    assert result.chi2[0] < 0.01
    assert np.exp(found["ln_d_dt"]) == pytest.approx(3000, rel=0.01)
    assert np.exp(found["ln_theta_e"]) == pytest.approx(CENTRE["theta_e"], rel=0.005)
    assert found["gamma1"] == pytest.approx(CENTRE["gamma1"], abs=0.002)


def test_twice_the_delays_are_twice_the_distance(prior):
    once, twice = (fit.fit(quad(d), prior, 12).parameters[0, -1] for d in (2000.0, 4000.0))
    assert twice - once == pytest.approx(np.log(2), abs=0.01)


@pytest.mark.parametrize("change", [{"turn": np.pi / 2}, {"turn": np.pi}, {"mirror": True}])
def test_a_turned_or_mirrored_lens_fits_as_well(prior, change):
    noisy = {"position_error": np.full((1, 4), 0.003), "lens_error": np.array([0.02])}
    results = [fit.fit(quad(**c)._replace(**noisy), prior, 12) for c in ({}, change)]
    assert results[0].chi2 == pytest.approx(results[1].chi2, abs=1e-3)
    assert results[0].parameters[0, -1] == pytest.approx(results[1].parameters[0, -1], abs=1e-3)


def test_each_missing_datum_costs_a_degree_of_freedom():
    data = quad()  # 8 coordinates + 2 + 3 delays + 3 priors - 11 parameters
    missing = data._replace(delay_measured=np.array([[True, True, False, False]]))
    unknown = data._replace(lens_known=np.array([False]))
    assert fit.degrees_of_freedom(data) == 5
    assert fit.degrees_of_freedom(missing) == 3
    assert fit.degrees_of_freedom(unknown) == 3


def test_without_a_measured_delay_the_distance_has_no_error_bar(prior):
    data = quad()._replace(delay_measured=np.array([[True, False, False, False]]))
    assert np.isinf(fit.fit(data, prior, 4).ln_d_dt_error[0])


def test_a_double_without_its_galaxy_fits_but_says_nothing(prior):
    four = quad()
    two = four._replace(
        **{c: getattr(four, c)[:, :2] for c in ("position", "position_error", "delay")},
        **{c: getattr(four, c)[:, :2] for c in ("delay_error", "delay_measured")},
        lens_known=np.array([False]),
    )
    result = fit.fit(two, prior, 12)
    assert result.chi2[0] < 0.01
    assert result.dof[0] == -3
    assert np.isfinite(result.ln_d_dt_error[0])


def test_chi2_of_mocks_is_that_of_their_degrees_of_freedom(survey, prior):
    exact, _ = observe.from_simulated(survey, None, None, 4)
    some = np.arange(150)
    u = observe.noise_uniforms(5, "time_delay", "test", exact.index[some], 4)
    data = observe.perturb(observe.select(exact, some), OBSERVATION, u)
    p = predictive.p_value(fit.fit(data, prior, 12))
    assert np.mean(p) == pytest.approx(0.5, abs=0.12)


def test_a_verdict_does_not_depend_on_the_other_systems_of_the_table(verdicts, tmp_path, prior):
    rows, calibration = verdicts
    whole = Table.read(ROOT / "data/lensed_quasars.ecsv")
    double = whole[whole["name"] == "HE2149-2745"]
    double.write(tmp_path / "one.ecsv", format="ascii.ecsv", delimiter=",")
    ingest(tmp_path / "one.ecsv", tmp_path / "one.h5", "one", "time_delay")
    (tmp_path / "family.json").write_text(json.dumps({"images": calibration}))
    paths = (str(tmp_path / name) for name in ("one.h5", "family.json", "alone.ecsv"))
    predictive.judge_family(*paths, prior, H0, SETTINGS["starts"])
    alone, among = Table.read(tmp_path / "alone.ecsv")[0], rows["HE2149-2745"]
    for column in ("verdict", "power", "p_value", "theta_e"):
        assert alone[column] == among[column]


def test_b1608_with_its_two_lens_galaxies_is_outside(verdicts):
    rows, _ = verdicts
    assert rows["B1608+656"]["verdict"] == predictive.OUTSIDE
    assert rows["SDSSJ1004+4112"]["verdict"] == predictive.OUTSIDE


def test_b1422_needs_a_hubble_constant_that_no_network_has_seen(verdicts):
    rows, _ = verdicts
    assert rows["B1422+231"]["verdict"] in predictive.UNUSABLE
    assert rows["B1422+231"]["fit_h0"] < 30


def test_a_double_cannot_be_tested_and_the_table_says_so(verdicts):
    rows, calibration = verdicts
    doubles = [row for row in rows.values() if row["n_images"] == 2]
    assert {row["verdict"] for row in doubles} == {predictive.UNTESTABLE}
    assert calibration["2"]["power"] < predictive.LEAST_POWER < calibration["4"]["power"]


def test_false_alarms_are_as_rare_as_they_are_set(verdicts):
    _, calibration = verdicts
    # 120 mocks at 5 %: 6 +- 2.4, and the threshold has the same scatter
    assert calibration["4"]["false_alarms"] < 0.16


def test_every_system_with_a_delay_gets_a_verdict(verdicts, published):
    rows, _ = verdicts
    assert list(rows) == store.read(published, "systems", ["name"])["name"].tolist()


def test_too_few_mocks_are_refused_with_the_number(survey, prior):
    with pytest.raises(ValueError, match="systems with 4 images, but the test of the family needs"):
        predictive.calibrate(survey, 4, prior, H0, OBSERVATION, {**SETTINGS, "mocks": 10**6}, 1)


def answer_for(data: observe.Observed, shift: float) -> predictive.Predictive:
    """Check an answer with the true lens, one deflection of which is wrong by ``shift``."""
    rng = np.random.default_rng(1)
    psi, ax, ay, *_ = fields(*np.moveaxis(data.position[0], 1, 0), **CENTRE)
    deflection = np.stack([ax, ay], axis=1)[None, ..., None] + rng.normal(0, 0.005, (1, 4, 2, 500))
    deflection[0, 2, 0] += shift
    ln_d_dt = np.log(3000) + rng.normal(0, 0.05, (1, 500))
    potential = psi[None, :, None] + rng.normal(0, 0.005, (1, 4, 500))
    return predictive.posterior_predictive(data, ln_d_dt, potential, deflection)


def test_a_right_answer_gives_back_the_data():
    check = answer_for(quad(), 0.0)
    assert check.p_value[0] > 0.1
    assert check.source_scatter[0] < 0.003


def test_a_wrong_deflection_does_not_give_back_the_positions():
    check = answer_for(quad(), 0.05)
    assert check.p_value[0] < 1e-6
    assert check.source_scatter[0] > 0.01


def test_a_wrong_distance_does_not_give_back_the_delays():
    check = answer_for(quad(d_dt=4500.0), 0.0)
    assert check.p_value[0] < 1e-3
    assert check.delay_misfit[0] > 3
