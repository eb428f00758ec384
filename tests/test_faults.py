"""What goes wrong in a real run is loud, harms nothing that is there, and can be mended."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from lensmill.pipeline import store

ROOT = Path(__file__).parents[1]
DATA = Path("results/time_delay/data/sis_shear")
LOGS = Path("results/time_delay/logs")
TINY = {
    "experiments": {
        "time_delay": {
            "shard_size": 100,
            "populations": {"sis_shear": {"systems": 400}},
        }
    }
}
TARGET = (DATA / "dataset.h5").as_posix()


def command(folder, *arguments, settings=None):
    """Return the command line of a run with tiny settings, and those of the test."""
    config = Path(folder) / "tiny.yaml"
    config.write_text(yaml.safe_dump(settings or TINY))
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(config), "--cores", "1"),
        *arguments,
    ]


def run(folder, *arguments, settings=None):
    """Run the workflow in a folder; return the exit status and all it said."""
    done = subprocess.run(
        command(folder, *arguments, settings=settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout


def digest(folder):
    return store.attributes(folder / DATA / "dataset.h5")["content_digest"]


def changed(**time_delay):
    """Return the tiny settings with some keys of the experiment replaced."""
    return {"experiments": {"time_delay": TINY["experiments"]["time_delay"] | time_delay}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return the folder of a run that went well; it is copied, not touched."""
    folder = tmp_path_factory.mktemp("finished")
    status, said = run(folder, TARGET)
    assert status == 0, said
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    """Return a copy of the finished run, with Snakemake's memory of it."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def only_shards(folder):
    """Return a run that has made its shards and not merged them yet."""
    (folder / DATA / "dataset.h5").unlink()
    return folder


# --- the job dies


WRITER = """
import sys, time, numpy as np
from lensmill.pipeline import store
with store.create(sys.argv[1]) as file:
    store.add_column(file, "systems", "index", [np.arange(100_000)], "")
    file.flush()
    print("half way", flush=True)
    time.sleep(60)
"""


def python(program, *arguments, **options):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def test_a_job_killed_while_it_writes_leaves_what_was_there(tmp_path):
    path = tmp_path / "shard.h5"
    path.write_bytes(b"the good one")
    writer = python(WRITER, path)
    assert writer.stdout.readline() == "half way\n"
    writer.kill()
    writer.communicate()
    assert path.read_bytes() == b"the good one"


FULL = """
import resource, sys, numpy as np
from lensmill.pipeline import export, store
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # as a full disk: no byte beyond
source, target = sys.argv[1:]
if source:
    export.export(source, target)
else:
    table = {"systems": {"index": np.arange(100_000)}}
    store.write(target, table, {"systems": {"index": ""}}, {})
"""


@pytest.mark.parametrize("name", ["dataset.h5", "systems.csv", "systems.parquet", "systems.fits"])
def test_a_full_disk_is_an_error_and_leaves_what_was_there(tmp_path, name):
    source = ""
    if name != "dataset.h5":
        source = tmp_path / "source.h5"
        table = {"systems": {"x": np.random.default_rng(1).random(100_000)}}
        store.write(source, table, {"systems": {"x": ""}}, {})
    path = tmp_path / "out" / name
    path.parent.mkdir()
    path.write_bytes(b"the good one")
    writer = python(FULL, source, path)
    said = writer.communicate(timeout=60)[0]
    assert writer.returncode != 0
    assert "Error" in said
    assert path.read_bytes() == b"the good one"
    assert list(path.parent.iterdir()) == [path]


# --- the run dies, and two runs at once


@pytest.fixture(scope="module")
def interrupted(finished, tmp_path_factory):
    """Kill a run after its first shard while a second one knocks; what each has said."""
    folder = tmp_path_factory.mktemp("interrupted")
    first = subprocess.Popen(
        command(folder, TARGET),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    shards = folder / DATA / "shards"
    deadline = time.monotonic() + 120
    while not list(shards.glob("[0-9]*.h5")):
        assert first.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGSTOP)  # so that the second one surely meets it
    said = {"second": run(folder, TARGET)}
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    said["complete"] = (folder / DATA / "dataset.h5").exists()
    said["without unlocking"] = run(folder, TARGET)
    said["unlocking"] = run(folder, "--unlock", TARGET)
    said["resumed"] = run(folder, TARGET, "--rerun-incomplete")
    return folder, said


def test_a_second_run_in_the_same_folder_is_refused(interrupted):
    status, said = interrupted[1]["second"]
    assert status != 0
    assert "lock" in said.lower()


def test_a_killed_run_has_no_data_set_and_says_how_to_go_on(interrupted):
    assert not interrupted[1]["complete"]
    status, said = interrupted[1]["without unlocking"]
    assert status != 0
    assert "--unlock" in said


def test_a_killed_run_ends_with_the_same_data_when_it_is_resumed(interrupted, finished):
    folder, said = interrupted
    assert said["resumed"][0] == 0, said["resumed"][1]
    assert digest(folder) == digest(finished)
    left = [path.name for path in (folder / DATA / "shards").glob("*.h5")]
    assert sorted(left) == [f"{i:05d}.h5" for i in range(4)]


def test_a_slurm_that_is_away_does_not_stop_a_run_on_this_machine(
    only_shards, tmp_path, monkeypatch
):
    away = tmp_path / "bin" / "squeue"
    away.parent.mkdir()
    away.write_text("#!/bin/sh\necho Unable to contact slurm controller >&2\nexit 1\n")
    away.chmod(0o755)
    monkeypatch.setenv("PATH", f"{away.parent}:{os.environ['PATH']}")
    status, said = run(only_shards, TARGET)
    assert status == 0, said
    assert "Unable to contact slurm controller" in said


def test_a_home_that_cannot_be_written_does_not_stop_a_run_and_is_named(
    only_shards, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()  # below a file nothing can be made, not even by root
    monkeypatch.setenv("HOME", str(tmp_path / "file/me"))
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
        monkeypatch.delenv(name, raising=False)
    status, said = run(only_shards, TARGET)
    assert status == 0, said
    assert f"{tmp_path}/file/me/.cache and {tmp_path}/file/me/.config cannot be written" in said


def test_results_of_an_earlier_layout_are_named_with_what_to_do(only_shards):
    (only_shards / LOGS / "evaluate_network").mkdir()
    status, said = run(only_shards, TARGET)
    assert status == 0, said
    assert "results/time_delay was made by an earlier version" in said
    assert "`make figures` draws what is there" in said


# --- a file is not what it was


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5000])


def flip_a_byte(path):
    with h5py.File(path) as shard:
        place = shard["systems/theta_e"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[place + 3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("harm", "word"), [(truncate, "cannot be read"), (flip_a_byte, "is damaged")]
)
def test_a_bad_shard_stops_the_merge_by_name_and_is_mended_as_the_message_says(
    only_shards, finished, harm, word
):
    shard = DATA / "shards/00002.h5"
    harm(only_shards / shard)
    status, said = run(only_shards, TARGET)
    assert status != 0
    log = (only_shards / LOGS / "merge_shards/sis_shear.log").read_text()
    assert f"shard {shard} {word}" in log
    assert "delete it and run again" in log
    assert not (only_shards / DATA / "dataset.h5").exists()

    (only_shards / shard).unlink()
    status, said = run(only_shards, TARGET)
    assert status == 0, said
    assert digest(only_shards) == digest(finished)
    assert said.count("rule simulate_shard:") == 1


def test_nan_in_a_data_set_stops_the_run_with_the_number_of_rows(folder):
    with h5py.File(folder / DATA / "dataset.h5", "r+") as file:
        rows = len(file["images/delay"])
        file["images/delay"][7] = np.nan
        file.attrs["content_digest"] = store.content_digest(file)  # as if it had been made so
    status, _ = run(folder, (DATA / "split.h5").as_posix())
    assert status != 0
    log = (folder / LOGS / "check_dataset/sis_shear.log").read_text()
    assert f"data set 'sis_shear' refused: 1 of {rows} rows of 'delay' are not finite" in log
    assert "(first: row 7)" in log
    assert not (folder / DATA / "checks.json").exists()
    assert not (folder / DATA / "split.h5").exists()


def test_a_data_set_that_was_edited_is_refused_with_what_to_do(folder):
    with h5py.File(folder / DATA / "dataset.h5", "r+") as file:
        file["images/delay"][7] = np.nan
    status, _ = run(folder, (DATA / "split.h5").as_posix())
    assert status != 0
    log = (folder / LOGS / "check_dataset/sis_shear.log").read_text()
    assert "dataset.h5 is damaged: its digest does not match; delete it and run again" in log
    (folder / DATA / "dataset.h5").unlink()
    status, said = run(folder, (DATA / "split.h5").as_posix())
    assert status == 0, said


# --- the settings are not what they were


NEARER = {"sis_shear": {"systems": 400, "override": {"z_lens": ["uniform", 0.2, 0.4]}}}


def test_an_edited_prior_makes_all_shards_anew(folder):
    status, said = run(folder, "--dry-run", TARGET, settings=changed(populations=NEARER))
    assert status == 0, said
    assert said.count("rule simulate_shard:") == 4
    assert "Params have changed" in said


def test_shards_of_two_settings_are_never_merged(only_shards):
    # a user who tells Snakemake to look at times only, and has lost a shard
    (only_shards / DATA / "shards/00003.h5").unlink()
    settings = changed(populations=NEARER)
    status, _ = run(only_shards, "--rerun-triggers", "mtime", "--", TARGET, settings=settings)
    assert status != 0
    log = (only_shards / LOGS / "merge_shards/sis_shear.log").read_text()
    assert "shards/00000.h5 belongs elsewhere: its settings is" in log
    assert not (only_shards / DATA / "dataset.h5").exists()


def test_more_systems_leave_the_shards_that_there_are(folder):
    more = changed(populations={"sis_shear": {"systems": 500}})
    status, said = run(folder, "--dry-run", TARGET, settings=more)
    assert status == 0, said
    assert said.count("rule simulate_shard:") == 1
    assert "shards/00004.h5" in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            changed(shard_sise=100),
            "experiments.time_delay.shard_sise is not a setting; did you mean 'shard_size'?",
        ),
        (
            changed(priors={"gravlensing": {"shear": ["lognormal", 0.5, 0.2]}}),
            "beyond the permitted",
        ),
        (
            changed(priors={"gravlensing": {"h0": ["uniform", float("nan"), 100.0]}}),
            "experiments.time_delay.priors.gravlensing.h0",
        ),
        ({"run": ["time_dlay"]}, "'time_dlay', which is not an experiment"),
    ],
    ids=["a mistyped key", "a prior beyond its range", "not a number", "an unknown experiment"],
)
def test_settings_are_refused_before_the_first_job(tmp_path, settings, message):
    status, said = run(tmp_path, TARGET, settings=settings)
    assert status != 0
    assert message in said
    assert not (tmp_path / "results").exists()
