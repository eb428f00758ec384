"""What SLURM holds of this folder's jobs: the guard before a start, and the status of a run.

    python -m lensmill.cluster.queue status      # by rule: done, running, pending, time left
    python -m lensmill.cluster.queue wait        # until no job of this folder is left
    python -m lensmill.cluster.queue unlock      # if the Snakemake that locked it is gone

Imports only the standard library, since a login node may have nothing else.
"""

import getpass
import os
import platform
import pwd
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

PATIENCE = 30  # [s] for SLURM's answer
SILENCE = 600  # [s] without a word and without a job: Snakemake looks every three minutes or sooner
AWAY = (
    "SLURM's controller is away. Jobs that run go on running, and Snakemake goes on when "
    "`scontrol ping` says UP. If it does not, or you cannot wait: kill -9 it, then make resume"
)
SUBMITS = "SLURM run ID"  # in the log of a Snakemake that sends its jobs to SLURM
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
        complaint = answer.stderr.strip()
        away = f". {AWAY}" if "ontact" in complaint else ""  # "Unable to contact slurm controller"
        raise Unreachable(f"{' '.join(command)} failed: {complaint}{away}")
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
        raise RuntimeError(
            f"{_name_jobs(left)} in {folder}; a "
            "second start would do their work again beside them. Nothing was submitted.\n"
            "  To keep their work:  make resume      (waits for them, then goes on)\n"
            f"  To drop it:          scancel {numbers}      and start again"
        )


def _name_jobs(left: list[Job]) -> str:
    rules = ", ".join(f"{n} {rule}" for rule, n in Counter(job.rule for job in left).items())
    return f"{len(left)} jobs of an earlier run are still in the queue ({rules})"


def drivers_of(folder: Path) -> list[int]:
    """Return the ids of Snakemake processes on this machine that run a workflow in ``folder``.

    However Snakemake was started: by its command, by ``python -m``, or by a program of the
    user's, which keeps the log of the run open as the others do.
    """
    return [
        int(process.name)
        for process, words in _processes_in(folder)
        if not {"remote", "subprocess"} & set(words) and (_is_snakemake(words) or _logs(process))
    ]


def leftovers_of(folder: Path) -> list[int]:
    """Return the ids of jobs on this machine whose Snakemake may be gone: they go on writing."""
    scripts = "/.snakemake/scripts/"
    return [
        int(process.name)
        for process, words in _processes_in(folder)
        if any(scripts in word for word in words)
        or ("subprocess" in words and _is_snakemake(words))
    ]


def _processes_in(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield the other processes whose working directory is ``folder``, and their command lines."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            # the same folder, even if a container knows it by another path
            if int(process.name) != os.getpid() and (process / "cwd").samefile(folder):
                yield process, (process / "cmdline").read_text(errors="replace").split("\0")
        except OSError:  # it has ended, or it is somebody else's
            continue


def _is_snakemake(words: list[str]) -> bool:
    """Say whether a command line is Snakemake's: a script of that name, or ``-m snakemake``."""
    program = next((word for word in words[1:] if not word.startswith("-")), "")
    named = Path(program).name == "snakemake" or program.endswith("snakemake/__main__.py")
    return named and "python" in Path(words[0]).name


def _logs(process: Path) -> bool:
    """Say whether a process writes a log of Snakemake (not: reads one, as ``tail -f`` does)."""
    try:
        return any(
            file.lstat().st_mode & 0o200 and str(file.readlink()).endswith(".snakemake.log")
            for file in (process / "fd").iterdir()
        )
    except OSError:  # it has ended
        return False


def unlock(folder: Path, every: float = 2.0) -> None:
    """Remove the lock of a Snakemake that was killed, if it is known to be gone.

    First waits for its jobs on this machine, which live on and would write the same files as
    those of a new start.

    Raises
    ------
    RuntimeError
        If it is at work, or if that cannot be known from here; with what to do.
    """
    locks = sorted((folder / ".snakemake" / "locks").glob("*.lock"))
    if not locks:
        return
    if alive := drivers_of(folder):
        raise RuntimeError(
            f"Snakemake is at work in {folder} (process {alive[0]}), and two at once would write "
            "the same files: let it end (`make status` shows how far it is), or end it"
        )
    for lock in locks:
        if doubt := _doubt(lock, folder):
            raise RuntimeError(
                f"{folder} is locked, and {doubt}. If you are sure that no Snakemake is at work in "
                "it: .venv/bin/snakemake --unlock, then the same command again"
            )
    shown: list[int] = []
    while left := leftovers_of(folder):
        if left != shown:
            numbers = " ".join(map(str, left))
            sys.stdout.write(
                f"waiting for {len(left)} jobs of a Snakemake that was killed (to drop their "
                f"work: kill {numbers})\n"
            )
            sys.stdout.flush()
            shown = left
        time.sleep(every)
    for lock in locks:
        lock.unlink(missing_ok=True)
    sys.stdout.write(f"{folder} was locked by a Snakemake that is gone (killed?): unlocked\n")


def _doubt(lock: Path, folder: Path) -> str:
    """Say why it cannot be known that the Snakemake which wrote a lock is gone; else nothing.

    That it is no process of this machine is known already.
    """
    owner = lock.stat().st_uid
    if os.getuid() not in (0, owner):
        return f"the lock belongs to user {_name(owner)}, whose processes cannot be looked at"
    if not Path("/proc/self/cwd").exists():
        return "this system has no /proc to look for Snakemake in"
    log = _log_of(lock, folder)
    host = re.search(r"^ *Host: (.+)$", log, re.MULTILINE)
    if not host:
        return f"no log in {folder / '.snakemake/log'} says on which machine it was locked"
    if host[1] != platform.node():
        return f"that was done on {host[1]}, and this is {platform.node()}: look there first"
    if SUBMITS not in log:
        return ""
    try:
        left = jobs_of(folder)
    except Unreachable as error:
        return f"its jobs went to SLURM, which cannot be asked: {error}"
    return f"{_name_jobs(left)}; `make resume` waits for them" if left else ""


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:  # of another machine
        return str(user)


def _log_of(lock: Path, folder: Path) -> str:
    """Return the log of the Snakemake that wrote a lock: the last one begun before it."""
    taken = lock.stat().st_mtime
    logs = sorted((folder / ".snakemake" / "log").glob("*.snakemake.log"))
    before = [log for log in logs if _start_time(log) <= taken]
    return before[-1].read_text(errors="replace") if before else ""


def _start_time(log: Path) -> float:
    """Read the time that a log is named by [s since 1970]."""
    try:
        return datetime.strptime(log.name.split(".snake")[0], "%Y-%m-%dT%H%M%S.%f").timestamp()
    except ValueError:  # a file of the user's own
        return float("inf")


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
    if not shutil.which("squeue"):  # `unlock` refuses if there may be jobs all the same
        return
    shown = 0
    while left := _queue(folder):
        if len(left) != shown:
            sys.stdout.write(f"waiting for {len(left)} jobs of the earlier run\n")
            shown = len(left)
        time.sleep(every)


def _queue(folder: Path) -> list[Job]:
    """Return the jobs in the queue; none if SLURM is away and no run here has ever used it."""
    try:
        return jobs_of(folder)
    except Unreachable:
        if any(SUBMITS in log.read_text(errors="replace") for log in runs_in(folder)):
            raise
        return []


@dataclass(frozen=True)
class Progress:
    """Progress of a run by its log: jobs by rule."""

    total: dict[str, int]
    begun: Counter
    done: Counter
    failed: Counter
    started: datetime | None
    by_slurm: bool
    host: str
    ended: bool  # it came to its own end, good or bad; else it is at work or was killed

    def running(self, rule: str) -> int:
        """Count the jobs of a rule that have begun and not ended."""
        return max(0, self.begun[rule] - self.done[rule] - self.failed[rule])


def progress(log: Path) -> Progress:
    """Read Snakemake's log of a run."""
    text = log.read_text(errors="replace")

    def count(pattern: str) -> Counter:
        return Counter(re.findall(pattern, text, re.MULTILINE))

    table = re.search(r"^Job stats:\n.*?\n[-\s]+\n(.*?)\n\s*\n", text, re.MULTILINE | re.DOTALL)
    total = dict(re.findall(r"^(\S+) +(\d+)$", table[1], re.MULTILINE)) if table else {}
    total.pop("total", None)
    stamp = re.search(r"^\[(\w+ \w+ +\d+ [\d:]+ \d+)\]", text, re.MULTILINE)
    host = re.search(r"^ *Host: (.+)$", text, re.MULTILINE)
    return Progress(
        {rule: int(n) for rule, n in total.items()},
        begun=count(r"^(?:local)?(?:rule|checkpoint) (\S+):$"),
        done=count(r"^Finished jobid: \d+ \(Rule: (\S+)\)"),
        failed=count(r"^Error in (?:rule|checkpoint) (\S+?)[:,]?$"),
        started=datetime.strptime(stamp[1], "%a %b %d %H:%M:%S %Y") if stamp else None,
        by_slurm=SUBMITS in text,
        host=host[1] if host else platform.node(),
        ended="\nComplete log(s):" in text,
    )


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
    logs = runs_in(folder)
    by_slurm = bool(logs) and SUBMITS in logs[-1].read_text(errors="replace")
    try:
        queue = jobs_of(folder)
    except Unreachable as error:
        if not by_slurm:  # a laptop, or a run that asked SLURM for nothing
            return [], ""
        return [], f"{error} (kill -9 {driver})" if driver else str(error)
    if queue or not driver or not by_slurm:
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
    """Describe the run in ``folder``: done of total by rule, jobs at work, time left."""
    logs = runs_in(folder)
    queue, trouble = look(folder)
    lines = [trouble] if trouble else []
    if not logs:
        return "\n".join([*lines, f"no run in {folder} yet"])
    run = progress(logs[-1])
    alive = bool(drivers_of(folder))
    running = Counter(job.rule for job in queue if job.state == "RUNNING")
    waiting = Counter(job.rule for job in queue if job.state != "RUNNING")
    if alive and not run.by_slurm:
        running = Counter({rule: run.running(rule) for rule in run.total})
        waiting = Counter(
            {r: max(0, n - run.done[r] - running[r] - run.failed[r]) for r, n in run.total.items()}
        )
    room = shutil.get_terminal_size().columns - 40  # what the five numbers leave for the names
    width = max(20, min(room, max(map(len, run.total), default=0)))
    lines.append(f"{'rule':<{width}}{'done':>7}{'of':>7}{'running':>9}{'waiting':>9}{'failed':>8}")
    for rule, total in run.total.items():
        lines.append(
            f"{_cut(rule, width):<{width}}{run.done[rule]:>7}{total:>7}{running[rule]:>9}"
            f"{waiting[rule]:>9}{run.failed[rule]:>8}"
        )
    done, total = sum(run.done.values()), sum(run.total.values())
    lines.append(f"{done} of {total} jobs{_time_left(run, logs[-1], done, total)}")
    lines += [
        f"  {job.number:>9} {job.state:<10} {job.elapsed:>10}  {job.rule} {job.wildcards}"
        + (f"  ({job.reason})" if job.state != "RUNNING" else f"  on {job.nodes}, {job.left} left")
        for job in queue
    ]
    if done < total and not alive:
        lines.append(_advice(run, logs[-1]))
    return "\n".join(lines)


def _cut(name: str, width: int) -> str:
    """Shorten a name to ``width`` characters: its middle goes, since ends tell names apart."""
    if len(name) <= width:
        return name
    head = width // 2
    return f"{name[:head]}…{name[len(name) - (width - head - 1) :]}"


def _advice(run: Progress, log: Path) -> str:
    """Say what to do about a run that is not done and at which nobody works on this machine."""
    if run.host != platform.node():
        return f"the run was started on {run.host}, and this is {platform.node()}: look there"
    again = "make resume" if run.by_slurm else "make run, or make resume, goes on"
    if run.ended:
        return f"the run has ended, and {log} says why it did not finish: {again}, when mended"
    return f"no Snakemake is at work in this folder on this machine; if it was killed: {again}"


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
    if len(sys.argv) != 2 or sys.argv[1] not in ("status", "wait", "unlock"):
        sys.stderr.write(__doc__)
        return 2
    try:
        if sys.argv[1] == "wait":
            wait(Path.cwd())
        elif sys.argv[1] == "unlock":
            unlock(Path.cwd())
        else:
            sys.stdout.write(status(Path.cwd()) + "\n")
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
