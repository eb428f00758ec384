"""The pipeline on a real SLURM gives what it gives on one machine."""

import shutil
import subprocess

import pytest
import yaml
from slurm_runs import BIN, ROOT, Run

# Everything small: all simulated populations, one network of each kind, no real data.
TINY = {
    "shard_size": 100,
    "populations": {"sis_shear": {"systems": 300}, "sie": {"systems": 200}},
}
TARGETS = [
    "results/time_delay/data/sis_shear/split.h5",
    "results/time_delay/data/sie/split.h5",
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
            "rule_evaluate_network",
            "rule_merge_shards",
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
    assert len(local.digests()) >= 5
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
