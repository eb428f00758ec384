"""The whole chain of every experiment, tiny, in a fresh folder: from its data to its scores."""

import functools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from astropy.table import Table
from snakemake.cli import parse_config
from snakemake.utils import update_config

from lensmill import experiments
from lensmill.pipeline import store

ROOT = Path(__file__).parents[1]
RESULTS = Path("results/time_delay")
FINDER = Path("results/lens_finding")


def targets(experiment):
    """List the checks of an experiment's data and the tables that its tiny run ends with."""
    tiny = yaml.safe_load((experiments.FOLDER / experiment / "tiny.yaml").read_text())
    chosen = experiments.choices(experiment)
    update_config(chosen, tiny["experiments"][experiment])
    folder = Path("results") / experiment
    return [folder / file for file in ("data/checks.json", *chosen["tables"])]


def snakemake(folder, experiment, *arguments, settings=()):
    """Run the workflow of one experiment in a folder, with its tiny settings."""
    tiny = experiments.FOLDER / experiment / "tiny.yaml"
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    command += ["--configfile", tiny, *settings, "--directory", folder, "--cores", "2"]
    return subprocess.run([*command, *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a function that runs an experiment from its data to its scores, once."""

    @functools.cache
    def run(experiment):
        folder = tmp_path_factory.mktemp(experiment)
        done = snakemake(folder, experiment, "--", *targets(experiment))
        assert done.returncode == 0, done.stderr[-6000:]
        return folder

    return run


@pytest.fixture(params=experiments.NAMES)
def experiment(request):
    return request.param


def test_an_experiment_runs_from_its_data_to_its_scores(runs, experiment):
    for target in targets(experiment):
        assert (runs(experiment) / target).stat().st_size > 0, target


def test_no_check_of_the_data_failed(runs, experiment):
    for path in (runs(experiment) / "results").glob("*/data/*/checks.json"):
        failed = [
            check for check in json.loads(path.read_text())["checks"] if check["passed"] is False
        ]
        assert failed == [], path


def test_a_second_call_has_nothing_to_do(runs, experiment):
    again = snakemake(runs(experiment), experiment, "--dry-run", "--", *targets(experiment))
    assert "Nothing to be done" in again.stdout + again.stderr


def test_scores_say_what_they_are_of(runs, experiment):
    for path in (runs(experiment) / "results" / experiment / "scores").glob("*/*/scores.json"):
        scores = json.loads(path.read_text())
        assert (scores["network"], scores["population"]) == (path.parts[-3], path.parts[-2])
        assert scores["systems"] >= 0


def test_a_card_lies_beside_every_model(runs):
    models = sorted((runs("lens_finding") / FINDER / "networks").glob("*/model.keras"))
    assert len(models) == 4
    for model in models:
        card = model.with_name("model_card.md").read_text()
        assert card.startswith(f"# {model.parent.name}: model card")
        assert "| `auroc` |" in card


def test_a_network_that_claims_errors_is_judged_on_real_systems_too(runs):
    for population in ("survey", "published"):
        folder = runs("time_delay") / RESULTS / "scores/survey_quad" / population
        scores = json.loads((folder / "scores.json").read_text())
        judged = scores["calibration"]
        assert judged["strangeness"]["own"] == (population == "survey")
        assert ("note" in judged) == (population == "published")
        assert scores["coverage_error"] == judged["worst"]["error"]


@pytest.fixture
def run(runs):
    """Return the folder in which time delays were run."""
    return runs("time_delay")


def test_the_number_of_shards_changes_no_number(run, tmp_path):
    dataset = RESULTS / "data/sie_shear/dataset.h5"
    smaller = tmp_path / "smaller.yaml"
    smaller.write_text("experiments: {time_delay: {shard_size: 300}}")
    done = snakemake(tmp_path, "time_delay", "--", dataset, settings=[smaller])
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list((tmp_path / RESULTS / "data/sie_shear/shards").iterdir())) == 7
    digests = {store.attributes(folder / dataset)["content_digest"] for folder in (run, tmp_path)}
    assert len(digests) == 1


def test_a_population_that_is_refused_costs_no_other_its_scores(runs, tmp_path):
    folder = shutil.copytree(runs("lens_finding"), tmp_path / "run")
    (folder / "empty").mkdir()
    (folder / "empty/note.txt").write_text("no image")
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "experiments: {lens_finding: {"
        "populations: {mine: {ingest: empty, format: classes, observation: euclid_vis}},"
        "networks: {p4m: {test_on: [euclid, mine, hst, lsst]}}}}"
    )
    scores = [FINDER / f"scores/p4m/{p}/scores.json" for p in ("euclid", "mine", "hst", "lsst")]
    for path in scores:
        (folder / path).unlink(missing_ok=True)
    done = snakemake(folder, "lens_finding", "--", *scores, settings=[mine])
    assert done.returncode == 1
    assert "none of 1 candidates can be used" in done.stdout + done.stderr
    assert [(folder / path).is_file() for path in scores] == [True, False, True, True]


def test_a_network_can_be_asked_about_any_other_population(run):
    target = RESULTS / "scores/canonical_quad/published/scores.json"
    plan = snakemake(run, "time_delay", "--dry-run", "--", target)
    jobs = [line for line in plan.stdout.splitlines() if line.startswith("rule ")]
    assert jobs == ["rule predict_population:", "rule score_network:"], plan.stderr[-3000:]
    assert "network=canonical_quad, population=published" in plan.stdout


def test_an_ensemble_that_an_experiment_cannot_judge_is_refused_before_the_first_job(run):
    plan = snakemake(
        run,
        "time_delay",
        "--dry-run",
        "--",
        RESULTS / "scores/canonical_quad_ensemble2/sie/scores.json",
    )
    assert plan.returncode != 0
    assert "time_delay does not combine networks" in plan.stdout + plan.stderr


def test_every_published_system_has_a_row_and_a_verdict(run):
    systems = Table.read(run / RESULTS / "hubble/published/systems.ecsv")
    published = store.read(run / RESULTS / "data/published/dataset.h5", "systems", ["name"])
    assert sorted(systems["name"]) == sorted(published["name"])
    assert all(systems["verdict"])


OWN = """\
name,z_lens,z_source,lens_x,lens_y,lens_error,x,y,position_error,delay,delay_error
J0001+0001,0.45,1.80,0.0,0.0,0.01,-0.526,1.004,0.003,,
J0001+0001,,,,,,1.010,-0.518,0.003,,
J0001+0001,,,,,,0.812,0.642,0.003,6.3,1.0
J0001+0001,,,,,,-0.621,-0.619,0.003,18.7,0.9
"""
DOUBLE = """\
a double,0.5,2.0,0.0,0.0,0.02,1.3,0.1,0.005,,
a double,,,,,,-0.7,0.05,0.005,40.0,2.0
"""


def own_lens(folder, table, *arguments):
    """Ask for the posteriors of the systems in a user's table, as `make lens` does."""
    chosen = f"experiments={{time_delay: {{lens: '{table}'}}}}"
    return snakemake(folder, "time_delay", "--config", chosen, *arguments, "--", "lens")


def jobs(done):
    return re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, re.MULTILINE)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Ask about a lens of one's own in an empty folder, as a newcomer does: folder and answer."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "my lens.csv").write_text(OWN)
    return folder, own_lens(folder, "my lens.csv")


def test_a_lens_of_ones_own_needs_mocks_and_no_network(own):
    folder, done = own
    assert done.returncode == 0, done.stderr[-3000:]
    assert not any("network" in job for job in jobs(done))
    assert {"simulate_shard", "sample_mocks", "calibrate_family"} < set(jobs(done))
    assert "J0001+0001, 4 images: " in done.stdout
    assert len(Table.read(folder / RESULTS / "lens/my_lens/lens.ecsv")) == 1


def test_a_further_lens_is_one_job(own):
    folder, _ = own
    (folder / "two.csv").write_text(OWN + DOUBLE)
    done = own_lens(folder, "two.csv")
    assert jobs(done) == ["infer_lens", "lens"], done.stderr[-3000:]
    for name in ("J0001+0001, 4", "a double, 2"):
        assert f"{name} images: " in done.stdout
    medians = []
    for name in ("my_lens", "two"):  # a system has the same draws whatever else its table holds
        systems = store.read(folder / RESULTS / "lens" / name / "posterior.h5", "systems")
        medians.append(systems["d_dt_median"][list(systems["name"]).index("J0001+0001")])
    assert medians[0] == medians[1]

    again = own_lens(folder, "my lens.csv")
    assert jobs(again) == ["lens"]
    assert "J0001+0001, 4 images: " in again.stdout


def test_a_table_with_mistakes_is_refused_before_the_first_job(tmp_path):
    bad = OWN.replace("0.45,1.80", "1.80,0.45").replace("6.3,", "nan,")
    (tmp_path / "bad.csv").write_text(bad)
    done = own_lens(tmp_path, "bad.csv")
    assert done.returncode != 0
    assert jobs(done) == []
    said = done.stdout + done.stderr
    assert "bad.csv refused, 2 problems" in said
    assert "are they swapped?" in said
    assert "'nothing.csv' cannot be read" in own_lens(tmp_path, "nothing.csv").stderr


def test_make_hands_on_any_name_of_a_table():
    command = ["make", "--dry-run", "lens", "CSV=it's a lens.csv"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    given = re.search(r'--config "(experiments=.*)" -- lens', said)[1]
    assert parse_config([given]) == {"experiments": {"time_delay": {"lens": "it's a lens.csv"}}}
    nothing = subprocess.run(
        ["make", "--dry-run", "lens"], cwd=ROOT, capture_output=True, text=True
    )
    assert 'test -n ""' in nothing.stdout


def test_jobs_leave_logs_and_run_times(run):
    for kind, suffix in (("logs", "log"), ("benchmarks", "tsv")):
        folder = run / RESULTS / kind
        assert (folder / "train_network" / f"canonical_quad.{suffix}").is_file()
        assert (folder / "simulate_shard" / f"sie.00000.{suffix}").is_file()
