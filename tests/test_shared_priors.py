"""Presets of priors that are taken from those which experiments share."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lensmill import experiments
from lensmill.pipeline import settings as checked

ROOT = Path(__file__).parents[1]
SCHEMA = {
    "$defs": {
        "prior_preset": {
            "properties": {"from": {"type": "string"}, "shear": {}, "slope": {}, "flux": {}}
        }
    }
}
SHARED = {
    "lenses": {
        "slope": ["fixed", 2.0],
        "shear": ["uniform", 0.0, 0.1],
        "h0": ["uniform", 50.0, 100.0],
    }
}
# What time delays were drawn from when these numbers stood in its own defaults.
SURVEY = {
    "einstein_radius": ["truncated_lognormal", 0.8, 0.25, 0.2, 4.0],
    "einstein_radius_is": "theta_e",
    "one_minus_q": ["truncated_normal", 0.3, 0.16, 0.0, 0.9],
    "phi": ["uniform", 0.0, 3.141592653589793],
    "shear": ["lognormal", 0.05, 0.2],
    "shear_angle": ["uniform", 0.0, 3.141592653589793],
    "slope": ["truncated_normal", 2.08, 0.16, 1.6, 2.5],
    "kappa_ext": ["truncated_normal", 0.0, 0.03, -0.2, 0.2],
    "source": ["disc", 0.6],
    "min_magnification": 0.1,
    "z_lens": ["truncated_lognormal", 0.72, 0.27, 0.04, 3.0],
    "z_source": ["truncated_lognormal", 2.4, 0.17, 0.3, 6.0],
    "redshift_gap": 0.2,
    "h0": ["truncated_lognormal", 70.7, 0.15, 20.0, 200.0],
    "omega_m": ["uniform", 0.2, 0.4],
}


def resolve(priors, **others):
    given = {"priors": priors, **others}
    before = copy.deepcopy(given)
    found = checked.with_shared_priors(given, SHARED, SCHEMA, "experiments.e")
    assert given == before
    return found["priors"]


def test_a_preset_has_the_shared_numbers_that_its_experiment_knows_and_its_own_over_them():
    found = resolve({"a": {"from": "lenses", "flux": ["fixed", 1], "slope": ["fixed", 2.1]}})
    assert found == {
        "a": {"shear": ["uniform", 0.0, 0.1], "slope": ["fixed", 2.1], "flux": ["fixed", 1]}
    }
    # the order is that of the schema: equal settings are equal text
    assert [*found["a"]] == ["shear", "slope", "flux"]


def test_presets_of_their_own_and_mistakes_stay_for_the_checks():
    for priors in ({"a": {"slpoe": [1]}}, {"a": {"slope": ["fixed", 2]}}, {"a": 3}, {}, 7):
        assert resolve(priors) == priors
    assert resolve({"a": {"from": "lenses", "slpoe": [1]}})["a"]["slpoe"] == [1]


def test_an_edit_of_what_was_taken_in_changes_no_shared_number():
    resolve({"a": {"from": "lenses"}})["a"]["shear"].append(5)
    assert SHARED["lenses"]["shear"] == ["uniform", 0.0, 0.1]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (
            "lenes",
            r"experiments\.e\.priors\.a\.from: 'lenes' does not exist; did you mean 'lenses'",
        ),
        ("other", r"'other' does not exist; there are: lenses"),
        (["lenses"], "does not exist"),
    ],
)
def test_priors_that_nobody_shares_are_refused(named, said):
    with pytest.raises(ValueError, match=said):
        resolve({"a": {"from": named}})


def test_a_population_cannot_be_from_elsewhere_by_its_override():
    with pytest.raises(ValueError, match=r"populations\.p\.override\.from: only a preset"):
        resolve({}, populations={"p": {"override": {"from": "lenses"}}})


def test_time_delays_are_drawn_from_the_same_numbers_as_before():
    found = experiments.choices("time_delay")["priors"]["survey"]
    assert found == SURVEY
    assert [*found] == [*SURVEY]
    population = checked.population(experiments.defaults("time_delay"), "survey")
    assert population == {"family": "epl_shear", "prior": SURVEY}


def test_every_shared_number_is_one_that_some_experiment_knows():
    keys = {
        key
        for name in experiments.NAMES
        for key in experiments.schema(name)["$defs"]["prior_preset"]["properties"]
    }
    for name, shared in experiments.shared_priors().items():
        assert shared.keys() <= keys - {"from"}, name


def test_images_of_lenses_can_have_them_too():
    settings = experiments.choices("lens_finding")
    (preset,) = [*settings["priors"]][:1]
    own = settings["priors"][preset]
    # its shears are smaller than the tail of the shared ones
    rest = {key: value for key, value in own.items() if key not in SURVEY or key == "shear"}
    settings["priors"][preset] = {"from": "lensed_quasars", **rest}
    found = experiments.check("lens_finding", experiments.with_priors("lens_finding", settings))
    taken = found["priors"][preset]
    assert taken.keys() == own.keys()
    assert taken["source"] == SURVEY["source"] != own["source"]
    assert taken["shear"] == own["shear"]


def kept(folder, *files):
    """Plan the data of a population, and read the configuration that was kept."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    command += ["--directory", folder, "--cores", "1", "--configfile", *files]
    target = "results/time_delay/data/mine/split.h5"
    done = subprocess.run([*command, "--", target], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = (folder / "results").glob("**/configurations/*.yaml")
    return file, yaml.safe_load(file.read_text())["experiments"]["time_delay"]["priors"]


def test_a_users_preset_is_kept_with_its_numbers_and_can_be_given_again(tmp_path):
    mine = tmp_path / "mine.yaml"
    own = {"from": "lensed_quasars", "min_magnification": 0.2, "slope": ["fixed", 2.0]}
    settings = {
        "priors": {"mine": own, "survey": {"shear": ["fixed", 0.0]}},
        "populations": {"mine": {"family": "epl_shear", "prior": "mine", "systems": 2000}},
    }
    mine.write_text(yaml.safe_dump({"experiments": {"time_delay": settings}}))
    file, priors = kept(tmp_path, mine)
    assert priors["mine"] == SURVEY | {"min_magnification": 0.2, "slope": ["fixed", 2.0]}
    assert priors["survey"] == SURVEY | {"shear": ["fixed", 0.0]}
    again = tmp_path / "again.yaml"
    again.write_text(file.read_text())
    _, twice = kept(tmp_path, again)  # the same file under the same name, so there is one
    assert twice == priors


def test_a_name_that_nobody_shares_stops_the_run_with_those_there_are(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("experiments: {time_delay: {priors: {mine: {from: lensed_galaxies}}}}")
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--dry-run"]
    command += ["--directory", tmp_path, "--cores", "1", "--configfile", mine]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "experiments.time_delay.priors.mine.from: 'lensed_galaxies' does not exist" in said
