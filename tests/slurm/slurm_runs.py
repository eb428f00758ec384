"""What the tests on a SLURM use: the cluster, and Snakemake started and ended cleanly."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SLURM_LOCAL = Path(
    os.environ.get("LENSMILL_SLURM_LOCAL", ROOT.parent / "shared" / "slurm" / "slurm-local")
)
# Of a network in its scores: what no two runs have in common.
COSTS = ("seconds", "images_per_second", "train_seconds", "train_cpu_seconds")


def answers(*command: str) -> bool:
    """Say whether a command is there, answers in time and succeeds."""
    try:
        return subprocess.run(command, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Cluster:
    """The SLURM that these tests use; ``folder`` is its own state if slurm-local made it."""

    def __init__(self, folder: Path | None):
        self.folder = folder

    def local(self, *verbs: str, **environment: str) -> None:
        """Run a verb of slurm-local on this cluster, which may break it."""
        if not self.folder:
            pytest.skip("this SLURM is not ours to break; the test needs one by slurm-local")
        command = [str(SLURM_LOCAL), *verbs, str(self.folder)]
        # Daemons started here must outlive this call and hold none of its pipes.
        with (self.folder.parent / "slurm-local.log").open("ab") as log:
            subprocess.run(
                command,
                check=True,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=300,
            )

    def start(self, **environment: str) -> None:
        """Start, or start again with other settings."""
        self.local("start", **environment)

    def stop(self) -> None:
        """Take it down."""
        self.local("stop")

    @contextlib.contextmanager
    def without(self, *daemons: str) -> Iterator[None]:
        """End daemons of the head node, slurmctld or slurmdbd, and start them again at the end."""
        if not self.folder:
            pytest.skip("this SLURM is not ours to break; the test needs one by slurm-local")
        for daemon in daemons:
            number = int((self.folder / f"run/{daemon}.pid").read_text())
            os.kill(number, signal.SIGTERM)
            while _alive(number):
                time.sleep(0.2)
        try:
            yield
        finally:
            for daemon in reversed(daemons):  # the accounting first
                self._begin(daemon)

    def _begin(self, daemon: str) -> None:
        conf = str(self.folder / "etc/slurm.conf")
        environment = os.environ | {"SLURM_CONF": conf}
        environment |= {"MYSQL_UNIX_PORT": str(self.folder / "run/db.socket")}
        # by the names that slurm-local finds and ends them by
        names = {"slurmctld": [daemon, "-f", conf], "slurmdbd": [f"slurmdbd {self.folder}/", "-D"]}
        with (self.folder / f"log/{daemon}.again.log").open("ab") as log:
            subprocess.Popen(
                names[daemon],
                executable=shutil.which(daemon, path=f"{os.environ['PATH']}:/usr/sbin"),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        asked = {"slurmctld": ["sinfo"], "slurmdbd": ["sacctmgr", "-n", "list", "cluster"]}[daemon]
        end = time.monotonic() + 60
        while not answers(*asked):
            assert time.monotonic() < end, f"{daemon} did not come back"
            time.sleep(0.2)

    def history(self, run: "Run", *columns: str) -> list[list[str]]:
        """Return what the accounting has on the jobs of a run, requeued ones several times."""
        command = ["sacct", "-D", "-X", "-n", "-P", f"--starttime={run.since}"]
        command.append(f"--format=workdir,{','.join(columns)}")
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        rows = (line.split("|") for line in answer.stdout.splitlines())
        return [row[1:] for row in rows if row[0] == str(run.folder)]


class Run:
    """A folder in which a workflow runs, with a profile and settings of its own."""

    def __init__(self, checkout: Path, folder: Path):
        self.checkout, self.folder = checkout, folder
        folder.mkdir(parents=True)
        self.since = time.strftime("%Y-%m-%dT%H:%M:%S")
        self.log = folder / "snakemake.out"
        self.processes: list[subprocess.Popen] = []
        self.profile()
        self.settings()

    def settings(self, run=("toy",), experiments=None, seed=5) -> None:
        """Write the configuration, over the defaults."""
        chosen = {"run": list(run), "seed": seed, "experiments": experiments or {}}
        (self.folder / "settings.yaml").write_text(yaml.safe_dump(chosen))

    def toy(self, systems=40, seconds=0.2, memory_mb=0, resources=None, **network) -> None:
        """Choose the toy experiment's sizes."""
        toy = {
            "priors": {"dull": {"seconds": ["fixed", seconds], "memory_mb": ["fixed", memory_mb]}},
            "populations": {"numbers": {"systems": systems}},
            "networks": {"mean": network},
            "resources": resources or {},
        }
        self.settings(experiments={"toy": toy})

    def profile(self, drop=(), **changes) -> None:
        """Write the project's profile with changes; underscores stand for hyphens."""
        profile = yaml.safe_load((self.checkout / "profiles/slurm/config.yaml").read_text())
        # Every look at the queue that finds nothing new delays the next one by 10 s more.
        profile |= {"slurm-init-seconds-before-status-checks": 1, "latency-wait": 10}
        profile |= {"max-status-checks-per-second": 1}
        profile |= {key.replace("_", "-"): value for key, value in changes.items()}
        for key in drop:
            profile.pop(key)
        folder = self.folder / "profile"
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(profile))

    def command(self, *arguments: str, executor="slurm") -> list[str]:
        """Return the command line of Snakemake for this folder."""
        where = ["--profile", str(self.folder / "profile")]
        if executor == "local":
            where = ["--cores", "2"]
        return [
            str(BIN / "snakemake"),
            *("--snakefile", str(self.checkout / "Snakefile")),
            *("--directory", str(self.folder)),
            *("--configfile", str(self.folder / "settings.yaml")),
            *where,
            *arguments,
        ]

    def start(self, *arguments: str, executor="slurm") -> subprocess.Popen:
        """Start Snakemake."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command(*arguments, executor=executor),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def finish(self, process: subprocess.Popen, seconds: float = 480) -> int:
        """Wait for Snakemake and return its exit status."""
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"Snakemake did not end in {seconds} s:\n{self.tail()}")

    def __call__(self, *arguments: str, executor="slurm", seconds: float = 480) -> int:
        """Run Snakemake to its end and return its exit status."""
        return self.finish(self.start(*arguments, executor=executor), seconds)

    def succeed(self, *arguments: str, executor="slurm", seconds: float = 480) -> None:
        """Run Snakemake to its end; fail the test with its log if it fails."""
        status = self(*arguments, executor=executor, seconds=seconds)
        assert status == 0, self.tail()

    def text(self) -> str:
        """Return what Snakemake has said so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, characters: int = 6000) -> str:
        """Return the end of what Snakemake has said."""
        return self.text()[-characters:]

    def queue(self, states: str = "PENDING,RUNNING") -> list[str]:
        """Return the numbers of this folder's jobs in the queue."""
        command = ["squeue", "--noheader", f"--states={states}", "--format=%i|%Z"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
        pairs = (line.split("|") for line in answer.splitlines() if "|" in line)
        return [number for number, folder in pairs if folder == str(self.folder)]

    def wait_until(self, condition, what: str, seconds: float = 180) -> None:
        """Wait until a condition holds, for so long at most."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                pytest.fail(f"no {what} in {seconds} s:\n{self.tail()}")
            time.sleep(0.3)

    def preempt(self, elsewhere: Path) -> None:
        """Push the run's job off node c1, as an owner of the node may, and let it start again."""
        owner = ["sbatch", "--parsable", "-p", "nonpre", "-w", "c1", "--exclusive"]
        owner += ["--output=/dev/null", "--wrap", "sleep 3"]
        subprocess.run(owner, cwd=elsewhere, check=True, capture_output=True)
        self.wait_until(lambda: self.queue("PENDING"), "requeued job")
        # SLURM holds a requeued job for two minutes; its user may let it start at once.
        start = ["scontrol", "update", f"jobid={self.queue('PENDING')[0]}", "starttime=now"]
        self.wait_until(
            lambda: subprocess.run(start, capture_output=True).returncode == 0, "job that may start"
        )

    def release(self) -> None:
        """Let the shards of the toy experiment end, those at work and those to come."""
        (self.folder / "go").touch()

    def starts(self, kind: str) -> list[str]:
        """Return which shards or epochs of the toy experiment were begun, in order."""
        return sorted(file.name.split(".")[1] for file in self.folder.glob(f"starts/{kind}.*"))

    def digests(self) -> dict[str, str]:
        """Return the content digests of the data, and the text of networks and scores."""
        results = self.folder / "results"
        found = {}
        for file in sorted(results.rglob("*")):
            name = str(file.relative_to(results))
            if file.suffix == ".h5" and "shards" not in file.parts:
                with h5py.File(file) as opened:
                    found[name] = opened.attrs["content_digest"]
            elif file.name == "scores.json":
                scores = json.loads(file.read_text())
                for cost in COSTS:
                    scores.pop(cost, None)
                found[name] = json.dumps(scores, sort_keys=True)
            elif file.name in ("model.keras", "history.csv") and "toy" in file.parts:
                found[name] = file.read_bytes().hex()
        return found

    def close(self) -> None:
        """End what this run has started: Snakemake, then its jobs."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        if left := self.queue():
            subprocess.run(["scancel", *left], capture_output=True, timeout=60)
        # Where SLURM follows processes by their parents, part of a cancelled job may outlive it.
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if f"{self.folder}/" in (process / "cmdline").read_text(errors="replace"):
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:  # it has ended
                continue
