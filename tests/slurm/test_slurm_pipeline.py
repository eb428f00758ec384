"""The pipeline on a real SLURM gives what it gives on one machine."""

import csv
import shutil
import subprocess

import pytest
import yaml
from slurm_runs import BIN, ROOT, Run

# A simulated population in three shards, and real systems.
TINY = {
    "shard_size": 100,
    "populations": {"sis_shear": {"systems": 250}},
}
TINY_FINDER = ROOT / "src/lensmill/experiments/lens_finding/tiny.yaml"
TARGETS = [
    "results/time_delay/data/sis_shear/split.h5",
    "results/time_delay/data/published/checks.json",
]


def test_every_step_of_the_toy_runs_as_a_job_with_the_results_of_one_machine(
    run, straight, cluster
):
    run.toy(epochs=3)
    run.succeed()
    assert run.digests() == straight
    if cluster.folder:  # elsewhere other jobs may be in the accounting
        jobs = cluster.history(run, "comment", "state", "partition")
        jobs = {comment: (state, partition) for comment, state, partition in jobs}
        rules = [comment.split("_wildcards_")[0] for comment in jobs]
        assert sorted(set(rules)) == [
            "rule_check_dataset",
            "rule_merge_shards",
            "rule_predict_network",
            "rule_simulate_shard",
            "rule_split_dataset",
            "rule_train_network",
        ]
        assert rules.count("rule_simulate_shard") == 4
        assert {state for state, _ in jobs.values()} == {"COMPLETED"}
        training = next(job for comment, job in jobs.items() if "train_network" in comment)
        assert training[1] == "gpu"
    assert "What this run asks for:" in run.text()
    assert "toy/numbers: 40 systems in 4 shards of 10" in run.text()


def test_lenses_are_the_same_on_a_cluster_and_on_one_machine(run, checkout, tmp_path):
    local = Run(checkout, tmp_path / "local")
    for each in (local, run):
        each.settings(run=["time_delay"], experiments={"time_delay": TINY})
    local.succeed(*TARGETS, executor="local")
    run.succeed(*TARGETS)
    assert len(local.digests()) == 3  # data and split of one population, data of the other
    assert run.digests() == local.digests()


@pytest.mark.slow
def test_the_literal_command_works_in_a_fresh_clone(run, tmp_path, straight):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    shutil.copytree(ROOT / "tests/slurm/toy", clone / "src/lensmill/experiments/toy")
    run.toy(epochs=3)
    chosen = yaml.safe_load((run.folder / "settings.yaml").read_text())
    (clone / "config.yaml").write_text(yaml.safe_dump(chosen))
    run.folder = clone
    answer = subprocess.run(
        [str(BIN / "snakemake"), "--profile", "slurm"], cwd=clone, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr[-4000:]
    assert run.digests() == straight


# One small network of the real experiment, and what it needs.
SCORES = "results/time_delay/scores/canonical_double/sie/scores.json"
HISTORY = "results/time_delay/networks/canonical_double/history.csv"


def network(**settings):
    """Return the settings of a run with one small network."""
    sizes = {"sis_shear": {"systems": 3000}, "sie": {"systems": 2000}}
    chosen = {"epochs": 2, "tensorboard": False, "test_on": ["sis_shear", "sie"]} | settings
    return {
        "shard_size": 2000,
        "populations": sizes,
        "networks": {"canonical_double": chosen},
        "evaluation": {"samples": 100, "stored_samples": 100},
    }


def losses(run):
    """Return the history of a training without the seconds that its epochs took."""
    with (run.folder / HISTORY).open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_network_is_the_same_on_a_cluster_and_says_that_there_is_no_gpu(
    run, checkout, tmp_path, cluster
):
    local = Run(checkout, tmp_path / "local")
    for each in (local, run):
        each.settings(run=["time_delay"], experiments={"time_delay": network()})
    local.succeed(SCORES, executor="local", seconds=600)
    run.succeed(SCORES, seconds=900)
    assert losses(run) == losses(local) != []
    assert run.digests() == local.digests()
    if cluster.folder:  # its GPUs are made of nothing
        log = run.folder / "results/time_delay/logs/train_network/canonical_double.log"
        assert "FALLING BACK TO THE CPU: this job was given GPU 0" in log.read_text()


@pytest.mark.slow
def test_images_a_network_and_figures_are_the_same_on_a_cluster(run, checkout, tmp_path):
    tiny = yaml.safe_load((ROOT / "src/lensmill/experiments/lens_finding/tiny.yaml").read_text())[
        "experiments"
    ]["lens_finding"]
    tiny["networks"]["p4m"]["test_on"] = ["euclid", "hst"]
    tiny["resources"] = {"train_network": {"mem_mb": 3000, "runtime": 30}}  # of slurm-local
    folder = "results/lens_finding"
    targets = [
        f"{folder}/scores/p4m/hst/scores.json",
        f"{folder}/scores/p4m/euclid/ranked.html",
        f"{folder}/figures/worst_mistakes.png",
    ]
    local = Run(checkout, tmp_path / "local")
    for each in (local, run):
        each.settings(run=["lens_finding"], experiments={"lens_finding": tiny})
    local.succeed(*targets, executor="local", seconds=900)
    run.succeed(*targets, seconds=1200)
    assert len(local.digests()) == 7  # data of two populations, a split, predictions and scores
    assert run.digests() == local.digests()
    assert all((run.folder / target).stat().st_size > 0 for target in targets)


@pytest.mark.slow
@pytest.mark.alone
def test_a_network_whose_training_is_preempted_is_the_same(run, checkout, tmp_path, cluster):
    if not cluster.folder:
        pytest.skip("which partition preempts which on this SLURM is not known to the test")
    on_c1 = {"slurm_partition": "main", "gpu": 0, "slurm_extra": "'--nodelist=c1'"}
    run.profile(set_resources={"train_network": on_c1})
    local = Run(checkout, tmp_path / "local")
    for each, pause in ((local, 1000), (run, 0)):  # a checkpoint after every epoch, and none
        chosen = network(epochs=60, checkpoint_seconds=pause)
        each.settings(run=["time_delay"], experiments={"time_delay": chosen})
    local.succeed(SCORES, executor="local", seconds=600)
    process = run.start(SCORES)
    checkpoint = run.folder / HISTORY.replace("history.csv", "checkpoints")
    run.wait_until(lambda: list(checkpoint.glob("**/00000[3-9]")), "third epoch", 400)
    run.preempt(tmp_path)
    assert run.finish(process, 900) == 0, run.tail()
    assert losses(run) == losses(local) != []
    log = run.folder / "results/time_delay/logs/train_network/canonical_double.log"
    assert "resumed from" in log.read_text()
    same = {name: d for name, d in run.digests().items() if "/scores/" in name}
    assert same == {name: d for name, d in local.digests().items() if "/scores/" in name} != {}
