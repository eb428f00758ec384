"""Whether the chain from a lens to the Hubble constant holds on Bayes' own terms."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from lensmill.experiments.time_delay import simulate, universes
from lensmill.pipeline import store
from lensmill.pipeline.streams import uniforms

ROOT = Path(__file__).parents[1]
DEFAULTS = yaml.safe_load((ROOT / "src/lensmill/experiments/time_delay/defaults.yaml").read_text())[
    "experiments"
]["time_delay"]
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


@pytest.mark.slow
def test_intervals_of_hubble_hold_the_truth_as_often_as_they_claim(tmp_path):
    # 400 universes of 16 systems each, through the default networks: some four minutes
    target = "results/time_delay/hubble/universes.json"
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    command += ["--directory", tmp_path, "--cores", "2", "--", target]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / target).read_text())
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
