"""A real SLURM for these tests, a checkout to run in, and Snakemake started and ended cleanly.

They run by `make test-slurm` (tests/slurm/run): on the SLURM that is there when `sinfo` answers,
else on one that slurm-local brings up and takes down again, else they are skipped with the reason.
"""

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from slurm_runs import ROOT, SLURM_LOCAL, Cluster, Run, answers


def pytest_configure(config):
    """Name the marker of tests that others cannot run beside."""
    config.addinivalue_line("markers", "alone: breaks the cluster, or leaves no room on it")


def pytest_collection_modifyitems(items):
    """Skip all of this unless it was asked for: it takes minutes and needs a SLURM."""
    if os.environ.get("LENSMILL_TEST_SLURM") != "1":
        for item in items:
            if Path(item.fspath).is_relative_to(Path(__file__).parent):
                item.add_marker(pytest.mark.skip(reason="needs a SLURM; run by make test-slurm"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Return a SLURM that answers, or skip."""
    if ours := os.environ.get("LENSMILL_SLURM_FOLDER"):  # brought up by tests/slurm/run
        yield Cluster(Path(ours))
        return
    if answers("sinfo") and answers("squeue"):
        yield Cluster(None)
        return
    pytest.skip(f"no SLURM answers here, and none could be made with {SLURM_LOCAL} (needs root)")


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """Copy the working tree, as git sees it, and add the toy experiment to it."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_symlink() or source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    shutil.copytree(Path(__file__).parent / "toy", folder / "src/lensmill/experiments/toy")
    return folder


@pytest.fixture
def run(cluster, checkout, tmp_path):
    """Return a folder to run the workflow in; what is left of it ends with the test."""
    ours = Run(checkout, tmp_path / "run")
    try:
        yield ours
    finally:
        ours.close()


@pytest.fixture(scope="session")
def straight(checkout, tmp_path_factory):
    """Return what the toy experiment gives on this machine without a cluster, undisturbed.

    Made once for all workers: the first to come makes it, the others wait.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"alone-{os.getpid()}")
    known = tmp_path_factory.getbasetemp().parent / f"straight-{run}.json"
    with known.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists():
            local = Run(checkout, tmp_path_factory.mktemp("straight") / "run")
            local.toy(epochs=3)
            local.succeed(executor="local")
            known.write_text(json.dumps(local.digests()))
        return json.loads(known.read_text())
