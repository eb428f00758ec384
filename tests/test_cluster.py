"""The SLURM profile, what is looked at before a start, and the status: without a SLURM."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from lensmill.pipeline import plan, queue

ROOT = Path(__file__).parents[1]
PROFILE = ROOT / "profiles/slurm/config.yaml"
RULES = sorted(ROOT.glob("workflow/rules/*.smk"))
RULES += sorted(ROOT.glob("src/lensmill/experiments/*/rules.smk"))

SINFO = """main|1-00:00:00|64|256000|(null)
mem|7-00:00:00|64+|2000000+|(null)
gpu|10:00|32|128000|gpu:a100:4"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Put a SLURM on the PATH that answers what it is told to."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def answer(command, text, status=0):
        script = folder / command
        script.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        script.chmod(0o755)

    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    answer("sinfo", SINFO)
    answer("scontrol", "MinJobAge               = 300 sec")
    answer("sacctmgr", "lensing\nphysics\n")
    return answer


def request(**changes):
    usual = {"step": "simulate_shard", "local": False, "threads": 1, "mem_mb": 2000, "runtime": 20}
    return plan.Request(**usual | {"partition": "main"} | changes)


# ---- the profile --------------------------------------------------------------------------------


def test_the_literal_command_finds_the_profile_in_the_clone():
    assert (ROOT / "slurm").is_symlink()
    assert (ROOT / "slurm/config.yaml").samefile(PROFILE)
    assert [path.name for path in PROFILE.parent.iterdir()] == ["config.yaml"]


def test_the_profile_asks_for_what_was_seen_to_work():
    profile = yaml.safe_load(PROFILE.read_text())
    assert profile["executor"] == "slurm"
    assert profile["slurm-status-command"] == "squeue"
    assert profile["slurm-requeue"] is True
    assert profile["retries"] == 2
    assert "slurm-array-jobs" not in profile and "group-components" not in profile
    for step in ("train_network", "search_worker"):
        assert profile["set-resources"][step]["gpu"] == 1
    assert profile["slurm-status-attempts"] > 1000  # else it forgets its jobs while SLURM is away
    pause = profile["slurm-init-seconds-before-status-checks"]
    assert 3 * pause <= 300  # SLURM's own MinJobAge; else the plugin falls back to sacct


def test_the_neutral_profile_does_not_choose_where_jobs_run():
    neutral = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    assert not neutral.keys() & {"executor", "cores", "jobs", "retries", "default-resources"}


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.name)
def test_no_rule_names_a_partition_or_retries_by_itself(rules):
    text = rules.read_text()
    assert not re.search(r"^ +retries:", text, re.MULTILINE)
    if rules.name != "cluster.smk":
        assert "slurm" not in text


# ---- before the first job -----------------------------------------------------------------------


def test_a_misspelt_partition_is_refused_by_its_line_in_the_profile(slurm):
    wrong = request(partition="gpus", gpu=1, step="train_network", set_keys=frozenset({"gpu"}))
    with pytest.raises(RuntimeError, match=r"default-resources: slurm_partition: 'gpus'.*'gpu'"):
        plan.refuse_impossible([request(), wrong])


def test_what_no_node_of_a_partition_has_is_refused_with_the_setting(slurm):
    for wrong, words in [
        (request(mem_mb=300000), "asks for 300000 MB.*has 256000.*smaller shards"),
        (request(runtime=2000), "asks for 2000 minutes.*at most 1440"),
        (request(threads=65), "asks for 65 cores.*set-threads: simulate_shard"),
        (request(gpu=1), "partition 'main' has no GPUs"),
        (request(account="art"), "slurm_account: 'art'.*lensing, physics"),
    ]:
        with pytest.raises(RuntimeError, match=words):
            plan.refuse_impossible([wrong])


def test_what_fits_and_what_stays_here_is_not_refused(slurm):
    plan.refuse_impossible(
        [
            request(account="lensing"),
            request(partition="mem", mem_mb=1900000, runtime=10000),
            request(partition="gpu", gpu=4, runtime=10),
            request(partition="nowhere", local=True),
            request(partition=""),
        ]
    )


def test_a_slurm_that_forgets_jobs_too_soon_is_named(slurm):
    assert plan.warnings() == []
    slurm("scontrol", "MinJobAge               = 60 sec")
    assert "MinJobAge" in plan.warnings()[0]


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        ("infinite", float("inf")),
        ("2-12:00:00", 3600),
        ("10:00", 10),
        ("1:00:00", 60),
        ("30", 0.5),
    ],
)
def test_time_limits_are_read_as_slurm_writes_them(limit, minutes):
    assert plan.minutes(limit) == minutes


def test_the_plan_counts_shards_jobs_and_core_hours():
    toy = {"shard_size": 1000000, "bytes_per_system": 400, "populations": {}}
    toy["populations"] = {"sie": {"systems": 2500000}, "published": {"ingest": "x.ecsv"}}
    (line,) = plan.populations({"toy": toy}, ["toy"])
    assert line == "  toy/sie: 2500000 systems in 3 shards of 1000000, 1 GB"
    jobs = [request()] * 3 + [request(step="plot_figure", local=True)] * 2
    told = plan.requests(jobs)
    assert told[0].startswith("  simulate_shard: 3 x 1 cores, 2000 MB, 20 min")
    assert "3 jobs in the queue, 2 small ones here" in told[1]
    assert "at most 1.0 core-hours" in told[2]


# ---- the queue ----------------------------------------------------------------------------------


def in_queue(folder, number=7, comment="rule_simulate_shard_wildcards_toy_00001", state="RUNNING"):
    return f"{number}|{state}|1:23|18:37|None|c1|{comment}|{folder}"


def test_a_start_beside_running_jobs_of_the_same_folder_is_refused(slurm, tmp_path):
    slurm("squeue", in_queue(tmp_path) + "\n" + in_queue(tmp_path, 8))
    with pytest.raises(RuntimeError, match=r"2 jobs of an earlier run(.|\n)*scancel 7 8"):
        queue.refuse_second_start(tmp_path)


def test_other_jobs_do_not_stop_a_start(slurm, tmp_path):
    elsewhere = in_queue("/somewhere/else")
    driver = in_queue(tmp_path, 9, comment="snakemake in a job")
    slurm("squeue", f"{elsewhere}\n{driver}")
    queue.refuse_second_start(tmp_path)


def test_a_controller_that_is_away_is_named_with_what_to_do(slurm, tmp_path, monkeypatch):
    monkeypatch.setattr(queue, "PATIENCE", 0.5)
    slurm("squeue", "")
    (tmp_path / "bin/squeue").write_text("#!/bin/sh\nsleep 20\n")
    with pytest.raises(RuntimeError, match=r"controller is away.*go on running.*make resume"):
        queue.jobs_of(tmp_path)
    refusal = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    (tmp_path / "bin/squeue").write_text(f"#!/bin/sh\necho '{refusal}' >&2\nexit 1\n")
    with pytest.raises(RuntimeError, match=r"connect failure.*controller is away.*make resume"):
        queue.jobs_of(tmp_path)


LOG = """host: x
Job stats:
job               count
--------------  -------
merge_shards          1
simulate_shard        4
total                 5

Select jobs to execute...
[Sat Nov 21 10:00:00 2026]
Finished jobid: 3 (Rule: simulate_shard)
1 of 5 steps (20%) done
[Sat Nov 21 10:00:10 2026]
Error in rule simulate_shard:
    jobid: 4
Finished jobid: 2 (Rule: simulate_shard)
"""


def test_the_status_counts_what_is_done_running_and_failed(slurm, tmp_path):
    logs = tmp_path / ".snakemake/log"
    logs.mkdir(parents=True)
    log = logs / "2026-11-21T100000.000000.snakemake.log"
    log.write_text(LOG)
    begun = time.mktime((2026, 11, 21, 10, 0, 0, 0, 0, -1))
    os.utime(log, (begun + 240, begun + 240))  # two of five jobs in four minutes
    slurm("squeue", in_queue(tmp_path) + "\n" + in_queue(tmp_path, 8, state="PENDING"))
    told = queue.status(tmp_path)
    assert re.search(r"simulate_shard +2 +4 +1 +1 +1\n", told)
    assert "2 of 5 jobs; about 6 min left" in told
    assert "simulate_shard toy_00001  on c1, 18:37 left" in told
    assert "make resume" in told  # no Snakemake is at work there


def test_a_snakemake_that_lost_sight_of_its_jobs_is_told_from_one_at_work(slurm, tmp_path):
    logs = tmp_path / ".snakemake/log"
    logs.mkdir(parents=True)
    log = logs / "2026-11-21T100000.000000.snakemake.log"
    log.write_text(f"SLURM run ID: 1\n{LOG}")
    program = tmp_path / "bin/snakemake"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    program.chmod(0o755)
    driver = subprocess.Popen([program], cwd=tmp_path)
    try:
        slurm("squeue", "")
        assert queue.look(tmp_path) == ([], "")  # a moment ago it still said something
        os.utime(log, (0, time.time() - 2 * queue.SILENCE))
        _, trouble = queue.look(tmp_path)
        assert f"kill -9 {driver.pid}, then make resume" in trouble
        assert trouble in queue.status(tmp_path)
        slurm("squeue", in_queue(tmp_path))
        assert queue.look(tmp_path)[1] == ""  # a long job is no trouble
        slurm("squeue", "")
        log.write_text(LOG)
        os.utime(log, (0, time.time() - 2 * queue.SILENCE))
        assert queue.look(tmp_path)[1] == ""  # and neither is a run without SLURM
    finally:
        driver.kill()
        driver.wait()
