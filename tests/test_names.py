"""Names of the user's choice are taken as they are meant, or refused before the first job."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lensmill import experiments
from lensmill.pipeline import names, scalars

ROOT = Path(__file__).parents[1]


def dry_run(folder, settings, *targets):
    (folder / "mine.yaml").write_text(settings)
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "1"]
    command += ["--configfile", "mine.yaml", "--dry-run", "--", *targets]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_populations_called_2024_and_des_plus_kids_are_planned(tmp_path):
    settings = """\
experiments:
  lens_finding:
    populations:
      2024: {family: epl_shear, prior: galaxies, observation: euclid_vis, systems: 100}
      des+kids: {family: epl_shear, prior: galaxies, observation: euclid_vis, systems: 100}
    networks:
      one+two: {train_on: 2024, test_on: [2024, des+kids]}
"""
    target = "results/lens_finding/scores/one+two/des+kids/scores.json"
    done = dry_run(tmp_path, settings, target, "results/lens_finding/export/2024/systems.ecsv")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "data/2024/shards/00000.h5" in done.stdout + done.stderr


def test_a_population_that_yaml_reads_as_false_stops_the_run_with_its_line(tmp_path):
    settings = "experiments:\n  time_delay:\n    populations:\n      no: {ingest: mine.csv}\n"
    done = dry_run(tmp_path, settings, "all")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert (
        "mine.yaml, line 4: experiments.time_delay.populations.no: no is the boolean false" in said
    )
    assert "write 'no' in quotes for a name" in said


def test_whole_numbers_are_names_at_any_depth():
    settings = {"populations": {2024: {"labels": {0: 0, 1: 1, "old": None}}}}
    assert names.text_keys(settings, "config") == {
        "populations": {"2024": {"labels": {"0": 0, "1": 1, "old": None}}}
    }


@pytest.mark.parametrize(
    ("text", "made_of_it"),
    [
        ("{true: 1}", "the truth value true"),
        ("{off: 1}", "the truth value false"),
        ("{~: 1}", "null"),
        ("{2024-01-01: 1}", "the date 2024-01-01"),
        ("{1.5: 1}", "the number 1.5"),
    ],
)
def test_other_keys_are_refused_naming_what_yaml_made_of_them(text, made_of_it):
    with pytest.raises(ValueError, match=rf"mine\.labels: a key is {made_of_it}.*quotation"):
        names.text_keys({"labels": yaml.safe_load(text)}, "mine")


def test_a_key_as_a_number_and_as_text_is_refused_unless_they_say_the_same():
    with pytest.raises(ValueError, match=r"mine\.0 stands there as a number and as text"):
        names.text_keys({0: 1, "0": 2}, "mine")
    assert names.text_keys({0: {1: 2}, "0": {"1": 2}}, "mine") == {"0": {"1": 2}}


@pytest.mark.parametrize(
    ("key", "made_of_it"),
    [
        ("010", "the number 8"),
        ("12:30", "the number 750"),
        ("1_000", "the number 1000"),
        ("0x1F", "the number 31"),
        ("yes", "the boolean true"),
        ("null", "no value at all"),
        ("2024-01-01", "a date"),
        ("1.50", "the number 1.5"),
    ],
)
def test_a_key_that_yaml_reads_as_something_else_is_named_with_its_line(tmp_path, key, made_of_it):
    (tmp_path / "mine.yaml").write_text(f"a:\n  {key}: 1\n")
    with pytest.raises(ValueError, match=rf"line 2: .*{key} is {made_of_it}"):
        scalars.refuse_misread(tmp_path / "mine.yaml", {})
    (tmp_path / "mine.yaml").write_text(f'a:\n  "{key}": 1\n  2024: 1\n')
    scalars.refuse_misread(tmp_path / "mine.yaml", {})


def test_a_key_that_stands_twice_is_refused_since_only_one_would_count(tmp_path):
    (tmp_path / "mine.yaml").write_text("a: {b: 1}\nc: 1\na: {d: 1}\n")
    with pytest.raises(ValueError, match="line 3: a: stands in line 1 already"):
        scalars.refuse_misread(tmp_path / "mine.yaml", {})


def test_a_number_is_text_where_a_name_is_meant_and_only_there():
    settings = {"networks": {"a": {"train_on": 2024, "test_on": [2024, "b"], "width": 8}}}
    network = names.text_values(settings, experiments.schema("lens_finding"))["networks"]["a"]
    assert network == {"train_on": "2024", "test_on": ["2024", "b"], "width": 8}


def an_experiment(**sections):
    empty = {"populations": {}, "networks": {}, "observations": {}, "priors": {}, "figures": {}}
    return empty | sections


@pytest.mark.parametrize(
    "name", ["a/b", "a b", "{a}", ".a", "-a", "", "a\n", "a*", "a|b", "(a)", "é", "a" * 101]
)
def test_a_name_that_no_file_can_have_is_refused_with_what_is_permitted(name):
    with pytest.raises(ValueError, match=r"e\.populations: .* cannot be a name.*permitted are"):
        names.check(an_experiment(populations={name: {}}), "e")


@pytest.mark.parametrize("name", ["des+kids", "v1.2", "2024", "a-b_c", "_a"])
def test_a_name_that_a_file_can_have_passes(name):
    names.check(an_experiment(populations={name: {}}, networks={name: {}}), "e")


@pytest.mark.parametrize("end", ["_seed3", "_fold1of5", "_ensemble5"])
def test_a_network_that_is_called_as_one_of_several_trainings_is_refused(end):
    with pytest.raises(ValueError, match=f"'mine{end}' ends in '{end}', which stands for one of"):
        names.check(an_experiment(networks={f"mine{end}": {}}), "e")
    names.check(an_experiment(populations={f"mine{end}": {}}), "e")


def test_a_band_that_columns_cannot_be_called_by_is_refused():
    observations = {"mine": {"bands": {"HST/F814W": {}}}}
    with pytest.raises(ValueError, match="'HST/F814W' cannot be the name of a band"):
        names.check(an_experiment(observations=observations), "e")
