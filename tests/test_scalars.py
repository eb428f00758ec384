"""What YAML 1.1 makes of the characters in a configuration file is said before anything runs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lensmill import experiments
from lensmill.pipeline import scalars

ROOT = Path(__file__).parents[1]
SCHEMA = experiments.whole_schema()


def refused(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    try:
        scalars.refuse_misread(path, SCHEMA)
    except ValueError as error:
        return str(error)
    return ""


def network(setting):
    return f"experiments: {{time_delay: {{networks: {{a: {{{setting}}}}}}}}}\n"


def images(setting):
    return f"experiments: {{lens_finding: {{populations: {{a: {{{setting}}}}}}}}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            network("learning_rate: 1e-3"),
            "'1e-3' is text in YAML 1.1; write 1.0e-3",
        ),
        (network("learning_rate: 2.5e4"), "'2.5e4' is text in YAML 1.1; write 25000"),
        (network("learning_rate: 1.5E7"), "write 1.5e+7"),
        (network("learning_rate: 5e-7"), "a.learning_rate: '5e-7' is text"),
        (network("epochs: 1e3"), "'1e3' is text in YAML 1.1; write 1000"),
        (network("epochs: 1.0e+3"), "1.0e+3 is not a whole number; write 1000"),
        (network("epochs: 12:30"), "12:30 is the number 750, counted in sixties in YAML 1.1"),
        (network("epochs: 010"), "010 is the number 8, octal in YAML 1.1; write 10 or 8"),
        (network("epochs: 08"), "'08' is text in YAML 1.1; write 8"),
        (network("epochs: on"), "on is the boolean true in YAML 1.1; write a number"),
        (network("observation: no"), "no is the boolean false in YAML 1.1; write 'no' in quotes"),
        (network("observation: true"), "true is the boolean true in YAML 1.1; write 'true'"),
        (network("train_on: 2024_1"), "the number 20241 in YAML 1.1; write '2024_1' in quotes"),
        (network("train_on: 1.5"), "1.5 is the number 1.5 in YAML 1.1; write '1.5' in quotes"),
        (network("train_on: 2024-05-01"), "2024-05-01 is a date in YAML 1.1; write '2024-05-01'"),
        (network("test_on: [a, off]"), "test_on[1]: off is the boolean false"),
        (images("mask_values: [-99, 1e30]"), "mask_values[1]: '1e30' is text"),
        (images("labels: {yes: 1, no: 0}"), "labels.yes: yes is the boolean true"),
        (images("labels: {012: 1}"), "labels.012: 012 is the number 10, octal"),
        (images("labels: {12:30: 1}"), "12:30 is the number 750, counted in sixties"),
        (images("labels: {null: 1}"), "null is no value at all in YAML 1.1"),
        (
            "experiments: {time_delay: {priors: {p: {shear: [uniform, 1e-3, 0.1]}}}}",
            "priors.p.shear[1]: '1e-3' is text in YAML 1.1; write 1.0e-3",
        ),
        ("seed: 1\nrun: [time_delay]\nseed: 2\n", "line 3: seed: stands in line 1 already"),
        ("{seed: 1, seed: 2}\n", "line 1: seed: stands in line 1 already"),
        ('{"seed": 1e3}', "seed: 1000 must be a whole number; write it without point and"),
        ("x: &x {a: 010}\nexperiments: {<<: *x}\n", "experiments.a: 010 is the number 8"),
    ],
)
def test_what_is_not_read_as_it_looks_is_named_with_what_to_write(tmp_path, text, said):
    assert said in refused(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        network("learning_rate: 1.0e-3, tensorboard: off, max_systems: 1_000, epochs: 3"),
        network("observation: 'no', train_on: '2024', test_on: ['12:30', '1e-3', 1e-3]"),
        images("labels: {0: 0, 1: 1}"),
        images("label: null, name: 1e0"),
        "experiments: {time_delay: {networks: {a: &a {use_delays: yes}, b: {<<: [*a]}}}}",
        '{"seed": 3, "experiments": {"time_delay": {"networks": {"a": {"clip_norm": 1e-3}}}}}',
    ],
)
def test_what_is_read_as_it_looks_passes(tmp_path, text):
    assert refused(tmp_path, text) == ""


def test_what_is_said_to_be_written_is_read_as_that():
    for raw in ("1e-3", "1.5E7", ".5e-2", "-.5", "08", "3e+4"):
        written = scalars._number(raw, {"number"})
        assert yaml.safe_load(written) == float(raw)


def test_every_place_is_named_with_its_line(tmp_path):
    message = refused(tmp_path, "seed: 010\n\n" + network("epochs: 1e1, learning_rate: 1e-3"))
    assert [line.split(": ")[0].split(", ")[1] for line in message.splitlines()] == [
        *("line 1", "line 3", "line 3")
    ]


def test_all_configurations_of_the_project_are_read_as_they_look():
    files = [ROOT / "config.yaml", *ROOT.glob("configs/*.yaml")]
    files += ROOT.glob("src/lensmill/experiments/*/*.yaml")
    for path in files:
        scalars.refuse_misread(path, SCHEMA)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"experiments": {"time_delay": {"shard_size": "100"}}}, "shard_size: '100' is text"),
        ({"seed": 1000.0}, "seed: 1000 must be a whole number; .*: 1000"),
        ({"seed": 0.5}, "seed: 0.5 must be a whole number"),
    ],
)
def test_text_from_the_command_line_is_not_taken_for_a_number(given, said):
    with pytest.raises(ValueError, match=said):
        scalars.refuse_text(given, SCHEMA)
    scalars.refuse_text({"seed": 3, "run": ["time_delay"]}, SCHEMA)


def test_a_misread_value_stops_the_run_before_the_first_job(tmp_path):
    (tmp_path / "mine.yaml").write_text(network("epochs: 12:30"))
    snakemake = Path(sys.executable).with_name("snakemake")
    assert shutil.which(snakemake)
    done = subprocess.run(
        [snakemake, "-n", "-s", ROOT / "Snakefile", "-d", tmp_path, "--configfile", "mine.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode
    assert (
        "mine.yaml, line 1: experiments.time_delay.networks.a.epochs: 12:30"
        in done.stdout + done.stderr
    )
