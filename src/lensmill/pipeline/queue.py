"""What SLURM holds of this folder's jobs: the guard before a start, and the status of a run.

    python -m lensmill.pipeline.queue status      # by rule: done, running, pending, time left
    python -m lensmill.pipeline.queue wait        # until no job of this folder is left

Imports only the standard library, since a login node may have nothing else.
"""

import getpass
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

PATIENCE = 30  # [s] for SLURM's answer
SILENCE = 600  # [s] without a word and without a job: Snakemake looks every three minutes or sooner
AWAY = (
    "SLURM's controller is away. Jobs that run go on running, and Snakemake goes on when "
    "`scontrol ping` says UP. If it does not, or you cannot wait: kill -9 it, then make resume"
)
COLUMNS = "%i|%T|%M|%L|%r|%N|%k|%Z"


@dataclass(frozen=True)
class Job:
    """One SLURM job of a run: what `squeue` says of it."""

    number: str
    state: str
    elapsed: str
    left: str
    reason: str
    nodes: str
    rule: str
    wildcards: str


class Unreachable(RuntimeError):
    """SLURM cannot be asked."""


def ask(*command: str) -> str:
    """Run one of SLURM's commands and return its output.

    Raises
    ------
    Unreachable
        If the command is missing, fails or does not answer; the message says what to do.
    """
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except FileNotFoundError:
        raise Unreachable(
            f"{command[0]} is not on the PATH: is this a login node of the cluster?"
        ) from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{command[0]} did not answer in {PATIENCE} s: {AWAY}") from None
    if answer.returncode:
        said = answer.stderr.strip()
        away = f". {AWAY}" if "ontact" in said else ""  # "Unable to contact slurm controller"
        raise Unreachable(f"{' '.join(command)} failed: {said}{away}")
    return answer.stdout


def jobs_of(folder: Path) -> list[Job]:
    """Return the jobs that a workflow in ``folder`` has in the queue, running or waiting."""
    user = getpass.getuser()
    return [
        job
        for line in ask("squeue", "--noheader", f"--user={user}", f"--format={COLUMNS}").split("\n")
        if (job := _parse(line, folder))
    ]


def _parse(line: str, folder: Path) -> Job | None:
    """Read one line of squeue; None unless it is a workflow's job in this folder."""
    parts = line.split("|", 7)
    if len(parts) < 8 or Path(parts[7]).resolve() != folder.resolve():
        return None
    comment = re.fullmatch(r"rule_(.+?)(?:_wildcards_(.*))?", parts[6])
    if not comment:  # another job of the user, perhaps the one that Snakemake itself runs in
        return None
    return Job(*parts[:6], rule=comment[1], wildcards=comment[2] or "")


def refuse_second_start(folder: Path) -> None:
    """Raise if jobs of an earlier run in ``folder`` are still in the queue.

    Snakemake does not find the jobs of a run that was killed: it would submit every one again,
    beside the first.

    Raises
    ------
    RuntimeError
        With the jobs and the ways out.
    """
    if not shutil.which("squeue"):
        return
    left = jobs_of(folder)
    if left:
        numbers = " ".join(job.number for job in left)
        rules = ", ".join(f"{n} {rule}" for rule, n in Counter(job.rule for job in left).items())
        raise RuntimeError(
            f"{len(left)} jobs of an earlier run in {folder} are still in the queue ({rules}); a "
            "second start would do their work again beside them. Nothing was submitted.\n"
            "  To keep their work:  make resume      (waits for them, then goes on)\n"
            f"  To drop it:          scancel {numbers}      and start again"
        )


def drivers_of(folder: Path) -> list[int]:
    """Return the ids of Snakemake processes on this machine that run a workflow in ``folder``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            here = (process / "cwd").readlink() == folder.resolve()
        except OSError:  # it has ended, or it is somebody else's
            continue
        driver = any(Path(word).name == "snakemake" for word in words[:3])
        if here and driver and "remote" not in words and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


def wait(folder: Path, every: float = 10.0) -> None:
    """Return when no job of this folder is in the queue any more.

    Raises
    ------
    RuntimeError
        If a Snakemake is at work in the folder: then there is nothing to resume.
    """
    if alive := drivers_of(folder):
        raise RuntimeError(
            f"Snakemake is at work in {folder} (process {alive[0]}): nothing to resume; "
            "`make status` shows how far it is"
        )
    shown = 0
    while left := (jobs_of(folder) if shutil.which("squeue") else []):
        if len(left) != shown:
            sys.stdout.write(f"waiting for {len(left)} jobs of the earlier run\n")
            shown = len(left)
        time.sleep(every)


@dataclass(frozen=True)
class Progress:
    """How far a run is, by its log: jobs by rule."""

    total: dict[str, int]
    done: Counter
    failed: Counter
    started: datetime | None


def progress(log: Path) -> Progress:
    """Read Snakemake's log of a run."""
    text = log.read_text(errors="replace")
    table = re.search(r"^Job stats:\n.*?\n[-\s]+\n(.*?)\n\s*\n", text, re.MULTILINE | re.DOTALL)
    total = dict(re.findall(r"^(\w+) +(\d+)$", table[1], re.MULTILINE)) if table else {}
    total.pop("total", None)
    done = Counter(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", text, re.MULTILINE))
    failed = Counter(re.findall(r"^Error in rule (\w+)", text, re.MULTILINE))
    stamp = re.search(r"^\[(\w+ \w+ +\d+ [\d:]+ \d+)\]", text, re.MULTILINE)
    started = datetime.strptime(stamp[1], "%a %b %d %H:%M:%S %Y") if stamp else None
    return Progress({rule: int(n) for rule, n in total.items()}, done, failed, started)


def runs_in(folder: Path) -> list[Path]:
    """Return Snakemake's logs of the runs in ``folder``, the last one at the end."""
    logs = sorted((folder / ".snakemake" / "log").glob("*.snakemake.log"))
    return [log for log in logs if "Job stats:" in log.read_text(errors="replace")]


def look(folder: Path) -> tuple[list[Job], str]:
    """Return the jobs of the run in ``folder``, and what keeps it from going on by itself.

    Snakemake waits in silence while SLURM does not answer, and for ever if it has lost sight of
    its jobs.

    Returns
    -------
    jobs : list of Job
        Those in the queue.
    trouble : str
        What is wrong and what to do; empty if nothing is known to be.
    """
    driver = next(iter(drivers_of(folder)), None)
    try:
        queue = jobs_of(folder)
    except Unreachable as error:
        return [], f"{error} (kill -9 {driver})" if driver else str(error)
    logs = runs_in(folder)
    if queue or not driver or not logs or "SLURM run ID" not in logs[-1].read_text():
        return queue, ""
    silent = time.time() - logs[-1].stat().st_mtime > SILENCE
    if not silent or _has_children(driver):  # what it makes here itself: figures, tables
        return queue, ""
    return queue, (
        f"Snakemake (process {driver}) waits, but none of its jobs is in the queue, and for "
        f"{SILENCE // 60} minutes nothing has happened: it has lost sight of them. "
        f"kill -9 {driver}, then make resume"
    )


def _has_children(process: int) -> bool:
    for other in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = other.read_text().rpartition(")")[2].split()[1]
        except OSError:  # it has ended
            continue
        if int(parent) == process:
            return True
    return False


def status(folder: Path) -> str:
    """Describe the run in ``folder``: done of total by rule, jobs in the queue, time left."""
    logs = runs_in(folder)
    queue, trouble = look(folder)
    lines = [trouble] if trouble else []
    if not logs:
        return "\n".join([*lines, f"no run in {folder} yet"])
    run = progress(logs[-1])
    running = Counter(job.rule for job in queue if job.state == "RUNNING")
    waiting = Counter(job.rule for job in queue if job.state != "RUNNING")
    lines.append(f"{'rule':<20}{'done':>7}{'of':>7}{'running':>9}{'waiting':>9}{'failed':>8}")
    for rule, total in run.total.items():
        lines.append(
            f"{rule:<20}{run.done[rule]:>7}{total:>7}{running[rule]:>9}{waiting[rule]:>9}"
            f"{run.failed[rule]:>8}"
        )
    done, total = sum(run.done.values()), sum(run.total.values())
    lines.append(f"{done} of {total} jobs{_time_left(run, logs[-1], done, total)}")
    lines += [
        f"  {job.number:>9} {job.state:<10} {job.elapsed:>10}  {job.rule} {job.wildcards}"
        + (f"  ({job.reason})" if job.state != "RUNNING" else f"  on {job.nodes}, {job.left} left")
        for job in queue
    ]
    if done < total and not drivers_of(folder):
        lines.append(
            "no Snakemake is at work in this folder on this machine; if it was killed: make resume"
        )
    return "\n".join(lines)


def _time_left(run: Progress, log: Path, done: int, total: int) -> str:
    """Say when the run ends if it goes on as fast as it went."""
    if not run.started or not 0 < done < total:
        return ""
    passed = log.stat().st_mtime - run.started.timestamp()
    minutes = passed / done * (total - done) / 60
    return (
        f"; about {minutes:.0f} min left at the rate so far" if minutes >= 1 else "; < 1 min left"
    )


def main() -> int:
    """Do what the command line says; the working directory is the run's."""
    if len(sys.argv) != 2 or sys.argv[1] not in ("status", "wait"):
        sys.stderr.write(__doc__)
        return 2
    try:
        if sys.argv[1] == "wait":
            wait(Path.cwd())
        else:
            sys.stdout.write(status(Path.cwd()) + "\n")
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
