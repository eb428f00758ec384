"""A cluster may fail in all these ways, and nothing is lost, doubled or changed.

Each test looks at files, digests and the states in SLURM's accounting, not at what Snakemake says.
"""

import json
import os
import re
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from astropy.io import fits
from slurm_runs import Run

from lensmill.cluster import queue

DATA = "results/toy/data/numbers/split.h5"
MODEL = "results/toy/networks/mean/model.keras"
LONG = 300  # [s] a shard works unless it is released


def data(digests):
    """Keep the digests of the data."""
    return {name: digest for name, digest in digests.items() if "/data/" in name}


def states(run, cluster, *wanted):
    """Return the states that jobs of a run went through, or what is wanted if nobody recorded."""
    if not cluster.folder:
        return set(wanted)
    return {state.split()[0] for state, _ in cluster.history(run, "state", "jobid")}


def of(run, cluster, rule, *columns):
    """Return columns of the accounting for the jobs of one rule."""
    rows = cluster.history(run, "comment", *columns)
    return [row[1:] for row in rows if row[0].startswith(f"rule_{rule}")]


def running(run, number):
    """Return a condition: so many jobs of the run are running."""
    return lambda: len(run.queue("RUNNING")) >= number


def ask_queue(run, verb, seconds=120):
    """Call the command behind `make status` and `make resume`."""
    return subprocess.run(
        [sys.executable, "-m", "lensmill.cluster.queue", verb],
        cwd=run.folder,
        env=os.environ | {"PYTHONPATH": str(run.checkout / "src")},
        capture_output=True,
        text=True,
        timeout=seconds,
    )


def kill_as_told(run, process):
    """End Snakemake as `make status` tells its user to."""
    assert process.poll() is None
    told = ask_queue(run, "status").stdout
    assert "make resume" in told
    command, number = re.search(r"(kill -9) (\d+)", told).groups()
    assert int(number) == process.pid
    subprocess.run([*command.split(), number], check=True)
    process.wait()


def resume(run):
    """Do what `make resume` does."""
    for verb in ("wait", "unlock"):
        done = ask_queue(run, verb, 400)
        assert done.returncode == 0, done.stderr
    run.succeed(DATA)


# ---- refused before the first job ---------------------------------------------------------------


def refused(run, *words):
    assert run() == 1
    for word in words:
        assert word in run.text()
    assert not run.queue("all")
    assert not run.starts("shard")


def test_a_partition_that_does_not_exist_is_refused_by_the_line_of_the_profile(run):
    resources = {"slurm_partition": "mian", "mem_mb": 700, "runtime": 2}
    run.profile(default_resources=resources)
    refused(run, "default-resources: slurm_partition: 'mian' is not a partition", "mean 'main'?")


def test_a_partition_of_one_rule_is_refused_by_the_line_of_that_rule(run):
    run.profile(set_resources={"train_network": {"slurm_partition": "gpus", "gpu": 1}})
    refused(run, "set-resources: train_network: slurm_partition: 'gpus'", "did you mean 'gpu'?")


def test_an_account_that_does_not_exist_is_refused_by_the_line_of_the_profile(run, cluster):
    if not cluster.folder:
        pytest.skip("whether this SLURM keeps accounts is not ours to say")
    resources = {"slurm_account": "nobody", "slurm_partition": "main", "runtime": 2}
    run.profile(default_resources=resources)
    refused(run, "default-resources: slurm_account: 'nobody' is not an account", "testacct")


def test_more_time_than_the_partition_gives_is_refused_with_the_setting(run, cluster):
    if not cluster.folder:
        pytest.skip("the limits of this SLURM's partitions are not known to the test")
    run.toy(resources={"train_network": {"mem_mb": 700, "runtime": 100}})
    refused(run, "train_network asks for 100 minutes", "resources.train_network.runtime")


def test_partitions_are_chosen_by_a_file_that_says_what_is_read(run, cluster, straight):
    file = run.folder / "partitions.yaml"
    file.write_text("partitions:\n  main: {max_runtime: 1:30:00}\n")
    run.toy()
    run.profile(
        drop=["set-resources"],
        default_resources={"mem_mb": 1000, "runtime": 30},
        slurm_partition_config=str(file),
    )
    assert run(DATA) == 1
    assert "1:30:00 is read as 5400 minutes" in run.text()
    assert cluster.history(run, "partition") == []
    file.write_text(
        "partitions:\n  gpu: {max_gpu: 1}\n"
        "  main: {max_runtime: 600, max_mem_mb: 64000, max_threads: 16}\n"
    )
    run.succeed(DATA)
    assert "main: max_runtime [minutes] 600" in run.text()
    assert run.digests() == data(straight)
    assert {row[0] for row in cluster.history(run, "partition")} == {"main"}


# ---- jobs that end badly ------------------------------------------------------------------------


def test_cancelled_jobs_are_done_again(run, cluster, straight):
    run.toy(seconds=LONG)
    process = run.start(DATA)
    run.wait_until(lambda: len(run.starts("shard")) == 4, "four shards at work")
    victims = run.queue("RUNNING")[:2]
    subprocess.run(["scancel", *victims], check=True)
    run.wait_until(lambda: not {*victims} & {*run.queue("RUNNING,COMPLETING")}, "end of the two")
    run.release()
    assert run.finish(process) == 0, run.tail()
    assert run.digests() == data(straight)
    assert states(run, cluster, "CANCELLED") == {"CANCELLED", "COMPLETED"}
    assert len(run.starts("shard")) == 6


def test_a_job_over_its_memory_gets_more_at_the_next_attempt(run, cluster, straight):
    needs = {"mem_mb": 450, "runtime": 2}
    run.toy(seconds=5, memory_mb=300, resources={"simulate_shard": needs})
    run.succeed(DATA)
    assert run.digests() == data(straight)
    if cluster.folder:
        asked = of(run, cluster, "simulate_shard", "reqmem", "state")
        assert ["900M", "COMPLETED"] in asked
        assert {state.split()[0] for memory, state in asked if memory == "450M"} <= {
            "FAILED",
            "OUT_OF_MEMORY",
        }


@pytest.mark.slow
def test_a_job_over_its_time_gets_more_at_the_next_attempt(run, cluster):
    needs = {"mem_mb": 700, "runtime": 1}
    run.toy(systems=10, seconds=LONG, resources={"simulate_shard": needs})
    process = run.start("results/toy/data/numbers/dataset.h5")
    run.wait_until(lambda: len(run.starts("shard")) == 2, "second attempt", 400)
    run.release()
    assert run.finish(process) == 0, run.tail()
    assert len(run.starts("shard")) == 2
    if cluster.folder:
        asked = of(run, cluster, "simulate_shard", "timelimit", "state")
        assert asked == [["00:01:00", "TIMEOUT"], ["00:02:00", "COMPLETED"]]


def test_a_full_disk_leaves_no_broken_file_and_the_run_goes_on_when_there_is_room(
    run, checkout, tmp_path
):
    results = run.folder / "results"
    results.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "lensmill-test", str(results)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        sizes = {"toy": {"shard_size": 40000, "populations": {"numbers": {"systems": 80000}}}}
        run.settings(experiments=sizes)
        run.profile(retries=0)
        assert run(DATA) == 1
        assert "No space left on device" in run.text()
        assert not list(results.rglob("dataset.h5*"))
        remount = ["mount", "-o", "remount,size=100m", str(results)]
        subprocess.run(remount, check=True, capture_output=True)
        run.succeed(DATA)
        local = Run(checkout, tmp_path / "local")
        local.settings(experiments=sizes)
        local.succeed(DATA, executor="local")
        assert run.digests() == local.digests() != {}
    finally:
        run.close()
        subprocess.run(["umount", "-l", str(results)], check=True)


# ---- Snakemake killed ---------------------------------------------------------------------------


def test_after_a_kill_a_second_start_is_refused_and_resuming_does_nothing_twice(
    run, straight, cluster
):
    run.toy(seconds=LONG)
    process = run.start(DATA)
    run.wait_until(running(run, 4), "four running jobs")
    process.kill()
    process.wait()
    assert len(run.queue()) == 4

    kept = ask_queue(run, "unlock")
    assert kept.returncode == 1 and "4 jobs of an earlier run" in kept.stderr
    assert run("--unlock") == 0
    assert run(DATA) == 1  # beside the jobs that are still at work
    assert "4 jobs of an earlier run" in run.text() and "make resume" in run.text()
    shown = ask_queue(run, "status").stdout
    assert "simulate_shard" in shown and "make resume" in shown
    run.wait_until(lambda: len(run.starts("shard")) == 4, "four shards at work")

    run.release()
    resume(run)
    assert run.digests() == data(straight)
    assert run.starts("shard") == ["00000", "00010", "00020", "00030"]


# ---- nodes, preemption, controller ---------------------------------------------------------------


@pytest.mark.alone
def test_a_preempted_training_goes_on_from_its_last_epoch(run, cluster, checkout, tmp_path):
    if not cluster.folder:
        pytest.skip("which partition preempts which on this SLURM is not known to the test")
    on_c1 = {"slurm_partition": "main", "gpu": 0, "slurm_extra": "'--nodelist=c1'"}
    run.profile(set_resources={"train_network": on_c1})
    run.toy(epochs=12, seconds=2)
    run.succeed(DATA, executor="local")  # so that the training comes at once
    process = run.start(MODEL)
    state = run.folder / "results/toy/networks/mean/checkpoints/state.json"
    run.wait_until(lambda: state.exists() and state.read_text().count("[") > 3, "epoch 3", 180)
    run.preempt(tmp_path)
    assert run.finish(process, 400) == 0, run.tail()

    local = Run(checkout, tmp_path / "local")
    local.toy(epochs=12)
    local.succeed(MODEL, executor="local")
    assert (run.folder / MODEL).read_bytes() == (local.folder / MODEL).read_bytes()
    began = run.starts("train")
    assert len(began) == 2 and int(began[0]) == 0 and int(began[1]) >= 3
    assert ["PREEMPTED"] in of(run, cluster, "train_network", "state")


@pytest.mark.slow
@pytest.mark.alone
def test_without_an_accounting_database_the_run_is_the_same(run, cluster, straight):
    cluster.start(SLURM_LOCAL_ACCT="0")
    try:
        run.toy(seconds=1)
        run.succeed(DATA)
        assert run.digests() == data(straight)
    finally:
        run.close()
        cluster.start(SLURM_LOCAL_ACCT="1")


@pytest.mark.slow
@pytest.mark.alone
def test_jobs_of_a_node_that_dies_start_again_when_it_is_back(run, cluster, straight):
    run.profile(set_resources={"simulate_shard": {"slurm_extra": "'--nodelist=g1'"}})
    run.toy(seconds=LONG)
    process = run.start(DATA)
    run.wait_until(running(run, 4), "four running jobs")
    cluster.local("node-down", "g1")
    try:
        run.wait_until(lambda: "NODE_FAIL" in states(run, cluster), "failed node", 120)
        run.release()
    finally:
        cluster.local("node-up", "g1")
    assert run.finish(process, 900) == 0, run.tail()
    assert run.digests() == data(straight)


def write_survey(folder, images):
    """Write images and their table; the last of them is none."""
    folder.mkdir()
    for i in range(images - 1):
        sky = np.random.default_rng(i).normal(0, 1, (64, 64))
        sky[28:36, 28:36] += 20
        fits.PrimaryHDU(sky.astype(np.float32)).writeto(folder / f"{i}.fits")
    (folder / f"{images - 1}.fits").write_text("no image")
    rows = [f"o{i},{i}.fits" for i in range(images)]
    (folder / "images.csv").write_text("\n".join(["name,VIS", *rows, ""]))
    return folder / "images.csv"


@pytest.mark.slow
@pytest.mark.alone
def test_a_survey_loses_no_image_when_a_node_dies_while_its_shards_are_read(
    run, cluster, checkout, tmp_path
):
    shards, images = 40, 120
    source = write_survey(tmp_path / "survey", images)
    local = Run(checkout, tmp_path / "local")
    for each, size in ((local, images), (run, images // shards)):
        survey = {"ingest": str(source), "format": "table", "observation": "euclid_vis"}
        survey |= {"pixel_scale": 0.1, "images_per_job": size}
        needs = {"ingest": {"mem_mb": 1000, "runtime": 10}}
        mine = {"lens_finding": {"populations": {"mine": survey}, "resources": needs}}
        each.settings(run=["lens_finding"], experiments=mine)
    run.profile(set_resources={"ingest_shard": {"slurm_extra": "'--nodelist=g1'"}})
    folder = "results/lens_finding/data/mine"
    targets = [f"{folder}/dataset.h5", f"{folder}/index.json"]
    local.succeed(*targets, executor="local")
    process = run.start(*targets)
    run.wait_until(lambda: list(run.folder.glob(f"{folder}/shards/*.h5")), "first shard", 240)
    run.wait_until(running(run, 4), "four running jobs")
    cluster.local("node-down", "g1")
    try:
        run.wait_until(lambda: "NODE_FAIL" in states(run, cluster), "failed node", 120)
        done = len([*run.folder.glob(f"{folder}/shards/[0-9]*.h5")])
        assert 0 < done < shards
    finally:
        cluster.local("node-up", "g1")
    assert run.finish(process, 900) == 0, run.tail()
    assert run.digests() == local.digests() != {}
    index = json.loads((run.folder / targets[1]).read_text())
    assert (index["candidates"], index["used"], index["refused"]) == (images, images - 1, 1)
    assert (len(index["shards"]), index["copies"]) == (shards, 0)
    assert of(run, cluster, "ingest_shard", "state").count(["COMPLETED"]) == shards


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("daemons", [["slurmctld"], ["slurmctld", "slurmdbd"]], ids="+".join)
def test_the_run_goes_on_when_the_controller_was_away_for_two_minutes(
    run, cluster, straight, daemons
):
    run.toy(seconds=LONG)
    process = run.start(DATA)
    run.wait_until(running(run, 4), "four running jobs")
    with cluster.without(*daemons):
        told = ask_queue(run, "status")
        assert "go on running" in told.stdout + told.stderr
        run.release()
        time.sleep(120)
        assert process.poll() is None
    assert run.finish(process, 900) == 0, run.tail()
    assert run.digests() == data(straight)
    # A job that begins or ends meanwhile cannot tell the controller, and may be done again.
    assert len(set(run.starts("shard"))) == 4 <= len(run.starts("shard")) <= 8


@pytest.mark.slow
@pytest.mark.alone
def test_who_cannot_wait_for_the_controller_is_told_what_to_do_and_loses_nothing(
    run, cluster, straight
):
    run.toy(seconds=LONG)
    process = run.start(DATA)
    run.wait_until(running(run, 4), "four running jobs")
    with cluster.without("slurmctld", "slurmdbd"):
        run.release()
        time.sleep(120)
        assert process.poll() is None  # it waits, and would for ever
        kill_as_told(run, process)
    resume(run)
    assert run.digests() == data(straight)
    assert set(run.starts("shard")) == {"00000", "00010", "00020", "00030"}


@pytest.mark.slow
@pytest.mark.alone
def test_a_snakemake_that_lost_sight_of_its_jobs_is_named_and_nothing_is_done_twice(
    run, cluster, straight
):
    run.profile(slurm_status_attempts=1)  # gives its jobs up at the first look that fails
    run.toy(seconds=LONG)
    process = run.start(DATA)
    run.wait_until(lambda: len(run.starts("shard")) == 4, "four shards at work")
    with cluster.without("slurmctld", "slurmdbd"):
        run.wait_until(lambda: "Falling back to" in run.text(), "look at the queue")
        time.sleep(10)
    run.release()
    run.wait_until(lambda: not run.queue(), "end of the jobs")
    time.sleep(60)
    (log,) = run.folder.glob(".snakemake/log/*.log")
    os.utime(log, (0, log.stat().st_mtime - queue.SILENCE))  # as if it had been so for long
    kill_as_told(run, process)
    resume(run)
    assert run.digests() == data(straight)
    assert run.starts("shard") == ["00000", "00010", "00020", "00030"]


# ---- many jobs ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.alone
def test_of_two_hundred_jobs_none_is_lost(run, cluster, checkout, tmp_path):
    jobs = int(os.environ.get("TEST_SLURM_JOBS", "200"))
    local = Run(checkout, tmp_path / "local")
    # so much memory that a test machine has a queue of them, and not all of them at work at once
    needs = {"mem_mb": 16000 if cluster.folder else 700, "runtime": 10}
    for each in (local, run):
        each.toy(systems=10 * jobs, seconds=0, resources={"simulate_shard": needs})
    begun = time.monotonic()
    run.succeed("results/toy/data/numbers/dataset.h5", seconds=20 * jobs)
    overhead = (time.monotonic() - begun) / jobs
    sys.stderr.write(f"\n{jobs} jobs: {overhead:.2f} s each, nearly all of it overhead\n")
    one = yaml.safe_load((local.folder / "settings.yaml").read_text())["experiments"]
    one["toy"]["shard_size"] = 10 * jobs  # in one piece
    local.settings(experiments=one)
    local.succeed("results/toy/data/numbers/dataset.h5", executor="local")
    assert run.digests() == local.digests() != {}
    assert len(run.starts("shard")) == jobs
    if cluster.folder:
        assert of(run, cluster, "simulate_shard", "state") == [["COMPLETED"]] * jobs
