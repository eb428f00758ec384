"""The whole chain of every experiment, tiny, in a fresh folder: from its data to its scores."""

import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from astropy.table import Table
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


def test_jobs_leave_logs_and_run_times(run):
    for kind, suffix in (("logs", "log"), ("benchmarks", "tsv")):
        folder = run / RESULTS / kind
        assert (folder / "train_network" / f"canonical_quad.{suffix}").is_file()
        assert (folder / "simulate_shard" / f"sie.00000.{suffix}").is_file()
