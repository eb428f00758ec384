"""Whether the chain from a lens to the Hubble constant holds on Bayes' own terms."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.table import Table

from lensmill import experiments
from lensmill.experiments.time_delay import simulate, universes, verdicts
from lensmill.lensing.distances import distances, time_delay
from lensmill.lensing.solver import solve
from lensmill.pipeline import store
from lensmill.pipeline.streams import uniforms

ROOT = Path(__file__).parents[5]
DEFAULTS = experiments.choices("time_delay")
PRIOR = {"h0": ["uniform", 50.0, 100.0], "omega_m": ["uniform", 0.2, 0.4]}
POPULATION = {"family": "epl_shear", "prior": DEFAULTS["priors"]["survey"]}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    path = tmp_path_factory.mktemp("universes") / "dataset.h5"
    universes.draw(str(path), 50, 16, [2, 4], POPULATION, PRIOR, 1)
    return store.read(path, "systems"), store.read(path, "images")


def test_the_systems_of_a_universe_share_its_cosmology_and_those_of_another_do_not(drawn):
    systems, _ = drawn
    for name, (_, low, high) in PRIOR.items():
        values = systems[name].reshape(50, 16)
        assert np.ptp(values, axis=1).max() == 0
        assert len(np.unique(values[:, 0])) == 50
        assert low < values.min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < values.max() < high


def test_delays_are_those_of_the_universe(drawn):
    systems, images = drawn
    assert set(np.unique(systems["n_images"])) == {2, 4}
    assert len(images["x"]) == systems["n_images"].sum()
    last = systems["first_image"] + systems["n_images"] - 1
    fermat = images["fermat"][last] - images["fermat"][systems["first_image"]]
    ratio = images["delay"][last] / fermat / systems["d_dt"]
    assert np.ptp(ratio) < 1e-9 * ratio.mean()
    assert images["system"][last].tolist() == list(range(800))


def test_the_lenses_are_those_that_the_networks_learn_from(drawn):
    systems, _ = drawn
    u = uniforms(2, "time_delay", "other", 0, 5000, simulate.WIDTH)
    other = simulate.draw(0, u, POPULATION)["systems"]
    for name in ("slope", "theta_e", "z_source"):
        error = other[name].std() / np.sqrt(len(systems[name]))
        assert abs(systems[name].mean() - other[name].mean()) < 4 * error


FACTORS = {"right": 1.0, "tenth": 0.1, "hundredth": 0.01, "double": 2.0, "tenfold": 10.0}


def doubles() -> str:
    """Return a table of one double, H0 = 70, whose delay is wrong by a factor but for the first."""
    lens = {"theta_e": 1.1, "q": 0.75, "phi": 0.4, "slope": 2.08, "gamma1": 0.03, "gamma2": 0.02}
    images = solve(
        **{name: np.array([value]) for name, value in lens.items()},
        kappa_ext=np.zeros(1),
        source_x=[0.25],
        source_y=[0.3],
    )
    bright = np.abs(images.magnification) > 0.1
    assert bright.sum() == 2
    x, y, fermat = images.x[bright], images.y[bright], images.fermat[bright]
    days = time_delay(distances(0.5, 2.0, 70.0, 0.3)[3], fermat[1] - fermat[0])
    lines = ["name,z_lens,z_source,lens_x,lens_y,lens_error,x,y,position_error,delay,delay_error"]
    for name, factor in FACTORS.items():
        lines.append(f"{name},0.5,2.0,0,0,0.01,{x[0]},{y[0]},0.003,,")
        lines.append(f"{name},,,,,,{x[1]},{y[1]},0.003,{factor * days},{0.01 * factor * days}")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Run the default networks on 400 universes and on doubles with wrong delays: some minutes."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "doubles.csv").write_text(doubles())
    settings = {
        "populations": {"doubles": {"ingest": "doubles.csv"}},
        "hubble": {"populations": ["doubles"]},
    }
    mine = folder / "mine.yaml"
    mine.write_text(yaml.safe_dump({"experiments": {"time_delay": settings}}))
    targets = ["results/time_delay/hubble/universes.json"]
    targets += ["results/time_delay/hubble/doubles/systems.ecsv"]
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    command += ["--configfile", mine, "--directory", folder, "--cores", "2", "--", *targets]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "results/time_delay/hubble"


@pytest.mark.slow
def test_intervals_of_hubble_hold_the_truth_as_often_as_they_claim(results):
    found = json.loads((results / "universes.json").read_text())
    assert len(found["universes"]) == 400
    for name in ("all", "usable"):
        scores = found[name]
        assert scores["coverage68"] == pytest.approx(0.6827, abs=3 * 0.0233)
        assert scores["coverage95"] == pytest.approx(0.9545, abs=3 * 0.0104)
        assert abs(scores["bias_in_errors"]) < 0.3
    shift = [
        2 * (one["usable"]["h0"] - one["all"]["h0"]) / (one["all"]["high68"] - one["all"]["low68"])
        for one in found["universes"]
    ]
    assert abs(np.mean(shift)) < 0.05  # systems left out by their answer truncate nothing
    assert np.sqrt(np.mean(np.square(shift))) < 0.3


@pytest.mark.slow
def test_a_double_with_a_delay_that_is_wrong_by_a_factor_is_in_no_combined_value(results):
    table = Table.read(results / "doubles/systems.ecsv")
    found = dict(zip(table["name"], table["verdict"], strict=True))
    assert found.pop("right") == verdicts.UNTESTABLE
    assert set(found.values()) == {verdicts.CONFLICT}
    right = table[0]
    assert right["h0_low68"] < 70 < right["h0_high68"]
    combined = json.loads((results / "doubles/hubble.json").read_text())["combined"]
    assert combined["usable"]["systems"] == ["right"]
    assert combined["usable"]["h0"] == pytest.approx(right["h0"], rel=1e-4)
