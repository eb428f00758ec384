"""The SLURM profile, what is looked at before a start, and the status: without a SLURM."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from lensmill.cluster import doctor, plan, queue, slurm_files

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


# ---- times and sizes are what they say ----------------------------------------------------------


@pytest.fixture
def partition_file(tmp_path):
    """Return how to write a partition file with the limits of one partition."""

    def write(limits):
        path = tmp_path / "partitions.yaml"
        path.write_text(f"partitions:\n  main: {limits}\n")
        return path

    return write


@pytest.mark.parametrize(
    ("limit", "read", "right"),
    [
        ("1:30:00", 5400, 90),  # YAML 1.1 counts in sixties, and the plugin takes minutes
        ("10:00", 600, 10),
        ("0-12", 12, 720),
        ('"60:30"', 3630, 60.5),
        ("010", 8, 10),
    ],
)
def test_a_time_that_the_plugin_reads_otherwise_than_slurm_is_refused(
    partition_file, limit, read, right
):
    path = partition_file(f"{{max_runtime: {limit}}}")
    (seen,) = slurm_files.read_partition_file(path)  # by the plugin itself
    assert seen.limits.max_runtime == read
    with pytest.raises(RuntimeError, match=rf"read as {read} minutes.*write max_runtime: {right}"):
        slurm_files.look([], path)


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        ("90", 90),
        ('"1:30:00"', 90),
        ("1h30m", 90),
        ("1-00:00:00", 1440),
        ("0-12:30", 750),
        ("2d", 2880),
        (".inf", float("inf")),
    ],
)
def test_a_time_that_all_read_alike_is_printed_in_minutes(partition_file, limit, minutes):
    path = partition_file(f"{{max_runtime: {limit}, max_mem_mb: 9}}")
    assert slurm_files.partition_faults(path) == []
    (told,) = slurm_files.look([], path)
    assert (f"max_runtime [minutes] {minutes:g}" in told) == (minutes < float("inf"))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ("{max_mem_mb: 64G}", "max_mem_mb: 64G is not a number"),
        ("{max_threads: 1:30}", "max_threads: 1:30 is not a number"),
        ("{max_runtime: 1h30}", "read as 60 minutes"),
        ("{max_runtime: 2 months}", "read as 2 minutes"),
        ("{max_runtime: infinite}", "no time for the plugin"),
        ("{max_runtime: inf}", "no time for the plugin: write minutes .* or .inf"),
        ("{max_runtime: -1}", "max_runtime: -1 lets no job in"),
        ("{<<: {max_runtime: 1:30:00}}", "read as 5400 minutes"),
        ("{max_memory: 5}", "max_memory is no limit.*max_mem_mb"),
        ("", "has no limits"),
    ],
)
def test_what_the_plugin_would_stop_at_is_named(partition_file, limits, words):
    with pytest.raises(RuntimeError, match=f"partition main: .*{words}"):
        slurm_files.look([], partition_file(limits))


class Asks:
    """A job as the plugin sees it."""

    name = "job"

    def __init__(self, threads=1, **resources):
        self.threads, self.resources = threads, resources


def chosen(path, **resources):
    return slurm_files.partition_of(Asks(**resources), slurm_files.read_partition_file(path))


def test_a_gpu_partition_that_attracts_other_jobs_and_one_without_limits_are_named(partition_file):
    path = partition_file("{max_runtime: 1440, max_mem_mb: 128000}")
    text = path.read_text()
    path.write_text(f"{text}  gpu: {{max_runtime: 600, max_gpu: 4}}\n  long: {{}}\n")
    assert chosen(path, mem_mb=1000, runtime=30) == "gpu"  # the tightest, though it needs no GPU
    assert chosen(path, mem_mb=1000, runtime=9999) == ""  # and not `long`
    told = "\n".join(slurm_files.look([], path))
    assert "partition gpu can get jobs that need no GPU" in told and "max_runtime" in told
    assert "partition long is never chosen" in told
    path.write_text(f"{text}  gpu: {{max_gpu: 4}}\n  long: {{max_runtime: 99999}}\n")
    assert chosen(path, mem_mb=1000, runtime=30) == "main"
    assert chosen(path, mem_mb=1000, runtime=30, gpu=1) == "gpu"
    assert chosen(path, mem_mb=1000, runtime=9999) == "long"
    assert slurm_files.CAREFUL not in "\n".join(slurm_files.look([], path))


def test_the_partition_file_of_the_manual_sends_jobs_where_they_belong(tmp_path):
    manual = (ROOT / "docs/cluster.md").read_text()
    (example,) = re.findall(r"^```yaml\n(partitions:\n.*?)^```", manual, re.MULTILINE | re.DOTALL)
    path = tmp_path / "partitions.yaml"
    path.write_text(example)
    assert not [note for note in slurm_files.look([], path) if slurm_files.CAREFUL in note]
    assert chosen(path, mem_mb=2000, runtime=20) == "main"
    assert chosen(path, mem_mb=2000, runtime=5000) == "mem"
    assert chosen(path, mem_mb=500000, runtime=20, threads=8) == "mem"
    assert chosen(path, mem_mb=16000, runtime=240, gpu=1, threads=4) == "gpu"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ('runtime: "90s"', "read as 1 minutes.*write runtime: 2"),
        ("runtime: 1.5", "read as 1 minutes.*write runtime: 2"),
        ("runtime: 1:30:00", "read as 5400 minutes.*write runtime: 90"),
        ("runtime: 0-12", "read as -12 minutes.*write runtime: 720"),
        ("runtime: 2-12:30", "no time for Snakemake: write 3630"),
        ("runtime: 010", "read as 8 minutes.*write runtime: 10"),
        ("<<: {runtime: 119s}", "read as 1 minutes.*write runtime: 2"),
    ],
)
def test_a_time_in_the_profile_that_snakemake_misreads_is_refused(tmp_path, written, words):
    profile = tmp_path / "config.yaml"
    for text in (f"default-resources: {{{written}}}", f"set-resources: {{split: {{{written}}}}}"):
        profile.write_text(text)
        with pytest.raises(RuntimeError, match=words):
            slurm_files.look([profile], None)


def test_a_time_in_a_list_of_resources_is_read_likewise(tmp_path):
    profile = tmp_path / "config.yaml"
    for text in ("default-resources: [runtime=90s]", "set-resources: ['split:runtime=90s']"):
        profile.write_text(text)
        with pytest.raises(RuntimeError, match="runtime: 90s is read as 1 minutes"):
            slurm_files.look([profile], None)


def test_binary_units_are_named_since_slurm_would_count_them_twice(tmp_path):
    profile = tmp_path / "config.yaml"
    profile.write_text('default-resources: {mem: "1.5 GiB"}')
    (told,) = slurm_files.look([profile], None)
    assert "is read as 1611" in told and "write mem_mb: 1536" in told
    profile.write_text("default-resources: {mem: 16Gi}")
    (told,) = slurm_files.look([profile], None)
    assert "is read as 16000" in told and "write mem_mb: 16384" in told
    profile.write_text("default-resources: {mem: 2G, disk: 5 GB, mem_mb: 2000, runtime: 1h}")
    assert slurm_files.look([profile], None) == []


def test_the_profile_of_a_run_is_known_by_its_command_line():
    assert plan.profiles(["snakemake", "--profile", "slurm", "-n"], {}) == ["slurm"]
    assert plan.profiles(["snakemake", "--profile=a", "--workflow-profile", "b"], {}) == ["a", "b"]
    assert plan.profiles(["snakemake", "all"], {"SNAKEMAKE_PROFILE": "c"}) == ["c"]


def test_a_negative_time_and_memory_without_its_unit_are_refused(slurm):
    for wrong, words in [
        (request(runtime=-12), "asks for -12 minutes.*subtraction"),
        (request(mem_mb=2, partition=""), "asks for 2 MB.*a number without a unit is MB"),
    ]:
        with pytest.raises(RuntimeError, match=words):
            plan.refuse_impossible([wrong])


def test_the_partition_file_is_found_as_snakemake_finds_it(tmp_path, monkeypatch):
    profile = tmp_path / "slurm/config.yaml"
    profile.parent.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for written, found in [
        ("~/partitions.yaml", tmp_path / "home/partitions.yaml"),
        ("$HOME/partitions.yaml", tmp_path / "home/partitions.yaml"),
        ("partitions.yaml", tmp_path / "slurm/partitions.yaml"),
        ("elsewhere.yaml", Path("elsewhere.yaml")),
    ]:
        profile.write_text(f"slurm-partition-config: {written}\n")
        (tmp_path / "slurm/partitions.yaml").touch()
        assert slurm_files.partition_file_of(profile, {}) == found
    profile.write_text("executor: slurm\n")
    environment = {"SNAKEMAKE_SLURM_PARTITIONS": "mine.yaml"}
    assert slurm_files.partition_file_of(profile, environment) == Path("mine.yaml")


def test_the_doctor_reads_the_partition_file_as_the_plugin_does(partition_file, monkeypatch):
    path = partition_file("{max_runtime: 1:30:00}")
    monkeypatch.setenv("SNAKEMAKE_SLURM_PARTITIONS", str(path))
    ((kind, _, text),) = doctor.slurm_files()
    assert kind == doctor.BAD and "5400 minutes" in text
    partition_file("{max_runtime: 90}")
    ((kind, _, text),) = doctor.slurm_files()
    assert kind == doctor.GOOD and "main: max_runtime [minutes] 90" in text
    partition_file("{}")
    assert doctor.CARE in {kind for kind, _, _ in doctor.slurm_files()}


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


# ---- a run that was killed ----------------------------------------------------------------------

KILLED = """
rule all:
    input: "end"

rule first:
    output: "first"
    script: "nap.py"

rule a_rule_whose_name_is_longer_than_the_column_of_names_in_the_table_of_the_status:
    input: "first"
    output: "end"
    shell: "cp {input} {output}"
"""
NAP = """
import pathlib, time
pathlib.Path(snakemake.output[0]).write_text("half")
time.sleep(float(pathlib.Path("nap").read_text()))
pathlib.Path(snakemake.output[0]).write_text("whole")
"""


@pytest.fixture
def clone(tmp_path):
    """Return a folder with this one's Makefile and library, and a workflow of two steps."""
    for name in ("Makefile", "cluster.mk", "src", "profiles", "slurm", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "Snakefile").write_text(KILLED)
    (tmp_path / "nap.py").write_text(NAP)
    (tmp_path / "nap").write_text("0")
    return tmp_path


def make(folder, target):
    """Call a target of the Makefile where no SLURM is on the PATH, whatever this machine has."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("make", "sh", "bash", "env", "cp", "nproc", "which", "rm", "cat", "touch"):
        if not (programs / name).exists():
            (programs / name).symlink_to(shutil.which(name))
    stamps = [word for stamp in ("run.stamp", "bin/python") for word in ("-o", f".venv/{stamp}")]
    # As from a prompt: below `make test` it would be a sub-make, which names its directory.
    prompt = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", *stamps, "CORES=1", target],
        cwd=folder,
        env=prompt | {"PATH": str(programs)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout


def kill_a_run(folder, *command, nap="60", jobs_too=True):
    """Start a run, kill -9 it in its first job, and return what make status said before that."""
    (folder / "nap").write_text(nap)
    process = subprocess.Popen(
        [*(command or (ROOT / ".venv/bin/snakemake",)), "--cores", "1"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (folder / "first").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    assert queue.drivers_of(folder) == [process.pid]
    assert len(queue.leftovers_of(folder)) == 1
    said = make(folder, "status")[1], make(folder, "run")
    if jobs_too:
        os.killpg(process.pid, 9)
    else:
        process.kill()
    process.wait()
    (folder / "nap").write_text("0")
    return said


def test_the_same_command_goes_on_after_kill_9(clone):
    status, second = kill_a_run(clone)
    assert re.search(r"^first +0 +1 +1 +0 +0$", status, re.MULTILINE)  # at work, without a SLURM
    cut = re.search(r"^a_rule_whose[a-z_]*…[a-z_]*the_status +0 +1 +0 +1 +0$", status, re.M)
    assert cut and len(cut[0]) == len(status.splitlines()[0]) == 80
    assert second[0] != 0 and "Snakemake is at work" in second[1]  # two at once are still refused

    status = make(clone, "status")[1]
    assert "squeue" not in status and "0 of 3 jobs" in status and "make run" in status
    code, said = make(clone, "run")
    assert code == 0, said
    assert "unlocked" in said
    assert (clone / "end").read_text() == "whole"
    assert "unlocked" not in make(clone, "run")[1]


def test_make_resume_needs_no_slurm(clone):
    kill_a_run(clone, sys.executable, "-u", "-m", "snakemake")
    code, said = make(clone, "resume")
    assert code == 0, said
    assert (clone / "end").read_text() == "whole"


def test_a_job_that_outlives_its_snakemake_is_waited_for(clone):
    kill_a_run(clone, nap="6", jobs_too=False)
    code, said = make(clone, "run")
    assert code == 0, said
    assert "waiting for 1 jobs of a Snakemake that was killed" in said
    assert (clone / "end").read_text() == "whole"


HERE = f"  Host: {os.uname().nodename}\n"


@pytest.fixture
def locked(tmp_path):
    """Lock a folder as a Snakemake of this machine that is gone; return how to say otherwise."""
    logs, locks = tmp_path / ".snakemake/log", tmp_path / ".snakemake/locks"
    logs.mkdir(parents=True)
    locks.mkdir()
    lock = locks / "0.output.lock"
    lock.touch()

    def by(said=HERE):
        stamp = time.strftime("%Y-%m-%dT%H%M%S.000000", time.localtime(time.time() - 2))
        (logs / f"{stamp}.snakemake.log").write_text(said)
        return lock

    return by


def test_the_lock_of_another_machine_or_user_is_not_broken(locked, tmp_path, monkeypatch):
    lock = locked("  Host: some-other-node\n")
    with pytest.raises(RuntimeError, match=r"done on some-other-node.*--unlock"):
        queue.unlock(tmp_path)
    locked()
    monkeypatch.setattr(queue.os, "getuid", lambda: lock.stat().st_uid + 1)
    with pytest.raises(RuntimeError, match="belongs to user"):
        queue.unlock(tmp_path)
    assert lock.exists()
    monkeypatch.undo()
    queue.unlock(tmp_path)
    assert not lock.exists()


def test_a_lock_that_nothing_is_known_of_is_not_broken(locked, tmp_path):
    lock = locked()
    next(tmp_path.glob(".snakemake/log/*")).unlink()
    with pytest.raises(RuntimeError, match=r"no log.*on which machine.*--unlock"):
        queue.unlock(tmp_path)
    assert lock.exists()


def test_a_folder_with_jobs_in_the_queue_stays_locked(slurm, locked, tmp_path):
    lock = locked(f"{HERE}{queue.SUBMITS}: 1\n")
    slurm("squeue", in_queue(tmp_path))
    with pytest.raises(RuntimeError, match=r"1 jobs of an earlier run.*make resume"):
        queue.unlock(tmp_path)
    slurm("squeue", "Unable to contact slurm controller", status=1)
    with pytest.raises(RuntimeError, match="cannot be asked"):
        queue.unlock(tmp_path)
    assert lock.exists()
    slurm("squeue", "")
    queue.unlock(tmp_path)
    assert not lock.exists()


def test_who_reads_a_log_is_no_snakemake(locked, tmp_path):
    locked()
    log = next(tmp_path.glob(".snakemake/log/*"))
    reader = subprocess.Popen(["tail", "-f", log], cwd=tmp_path, stdout=subprocess.DEVNULL)
    code = f"import time; log = open({str(log)!r}, 'a'); print(flush=True); time.sleep(60)"
    program = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE
    )  # as one that calls Snakemake's API does
    try:
        program.stdout.readline()
        assert queue.drivers_of(tmp_path) == [program.pid]
    finally:
        for process in (reader, program):
            process.kill()
            process.wait()
