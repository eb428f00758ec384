"""Resource requests of a run, checked and listed before the first job is submitted.

Imports only the standard library, since every start of a workflow reads it.
"""

import getpass
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from lensmill.cluster.queue import ask

PROFILE = "the SLURM profile (profiles/slurm/config.yaml)"
LEAST_MEMORY = 100  # [MB] of a Python that has begun
LONGEST_PAUSE = 180  # [s] longest pause between two looks at the queue (slurm plugin)


@dataclass(frozen=True)
class Request:
    """Resource request of one job; ``set_keys`` are those that set-resources gives its rule."""

    step: str
    local: bool
    threads: int
    mem_mb: int
    runtime: int  # [minutes]
    gpu: int = 0
    partition: str = ""
    account: str = ""
    set_keys: frozenset[str] = frozenset()

    def key(self, resource: str) -> str:
        """Name the line of the profile that this job's resource comes from."""
        if resource in self.set_keys:
            return f"set-resources: {self.step}: {resource}"
        return f"default-resources: {resource}"


@dataclass(frozen=True)
class Partition:
    """Limits of a partition for one job."""

    minutes: float
    cpus: int
    mem_mb: int
    gpus: bool


def profiles(words: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """List the profiles that a command line of Snakemake names, or else the environment."""
    names = []
    for i, word in enumerate(words):
        option, _, value = word.partition("=")
        if option in ("--profile", "--workflow-profile"):
            names += [value] if value else list(words[i + 1 : i + 2])
    if not any(word.startswith("--profile") for word in words):
        names += [name] if (name := environment.get("SNAKEMAKE_PROFILE")) else []
    return names


def populations(experiments: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Describe the simulated populations: systems, shards and their size on disk."""
    lines = []
    for name in names:
        settings = experiments[name]
        size, each = settings["shard_size"], settings.get("bytes_per_system", 0)
        for population, chosen in settings["populations"].items():
            if "systems" not in chosen:
                continue
            systems = chosen["systems"]
            shards = -(-systems // size)
            disk = f", {systems * each / 1e9:.3g} GB" if each else ""
            lines.append(
                f"  {name}/{population}: {systems} systems in {shards} "
                f"{'shard' if shards == 1 else 'shards'} of {min(size, systems)}{disk}"
            )
    return lines


def requests(requested: Iterable[Request]) -> list[str]:
    """Describe the jobs: how many of each kind, what each asks for, the whole at most."""
    kinds: dict[Request, int] = {}
    for request in requested:
        kinds[request] = kinds.get(request, 0) + 1
    lines, hours = [], 0.0
    for kind, number in sorted(kinds.items(), key=lambda item: item[0].step):
        if kind.local:
            continue
        hours += number * kind.threads * kind.runtime / 60
        gpu = f", {kind.gpu} GPU" if kind.gpu else ""
        lines.append(
            f"  {kind.step}: {number} x {kind.threads} cores, {kind.mem_mb} MB, "
            f"{kind.runtime} min{gpu}, partition {kind.partition or 'of the site'}"
        )
    here = sum(number for kind, number in kinds.items() if kind.local)
    lines.append(f"  {sum(kinds.values()) - here} jobs in the queue, {here} small ones here")
    lines.append(f"  at most {hours:.1f} core-hours if every first attempt used all its time")
    return lines


def refuse_impossible(requested: Iterable[Request]) -> None:
    """Raise if a job could never run on this cluster; SLURM may keep such a job waiting for ever.

    Raises
    ------
    RuntimeError
        With every fault found, each named by the line of the profile it comes from.
    """
    there = partitions()
    kinds = sorted({r for r in requested if not r.local}, key=lambda r: r.step)
    faults = [fault for kind in kinds for fault in _faults(kind, there)]
    faults += _bad_accounts(kinds)
    if faults:
        raise RuntimeError(
            f"this cluster cannot run what {PROFILE} asks for; nothing was submitted:\n  "
            + "\n  ".join(dict.fromkeys(faults))
        )


def _faults(request: Request, there: Mapping[str, Partition]) -> list[str]:
    if request.runtime < 0:
        return [
            f"{request.step} asks for {request.runtime} minutes ({request.key('runtime')}): "
            "Snakemake takes `0-12` for a subtraction; write minutes"
        ]
    if 0 < request.mem_mb < LEAST_MEMORY:
        return [
            f"{request.step} asks for {request.mem_mb} MB ({request.key('mem_mb')}), and Python "
            f"alone takes {LEAST_MEMORY}: a number without a unit is MB"
        ]
    if not request.partition:
        return []
    if request.partition not in there:
        near = get_close_matches(request.partition, there, n=1)
        hint = f"did you mean {near[0]!r}? There are" if near else "there are"
        return [
            f"{request.key('slurm_partition')}: {request.partition!r} is not a partition here; "
            f"{hint}: {', '.join(there)}"
        ]
    limit, name = there[request.partition], request.partition
    faults = []
    if request.runtime > limit.minutes:
        faults.append(
            f"{request.step} asks for {request.runtime} minutes, but partition {name!r} gives at "
            f"most {limit.minutes:.0f}: lower resources.{request.step}.runtime in the settings, or "
            f"choose another partition in {request.key('slurm_partition')}"
        )
    if request.mem_mb > limit.mem_mb:
        faults.append(
            f"{request.step} asks for {request.mem_mb} MB, but a node of partition {name!r} has "
            f"{limit.mem_mb}: lower resources.{request.step}.mem_mb (smaller shards need less), or "
            f"choose another partition in {request.key('slurm_partition')}"
        )
    if request.threads > limit.cpus:
        faults.append(
            f"{request.step} asks for {request.threads} cores, but a node of partition {name!r} "
            f"has {limit.cpus}: lower set-threads: {request.step}"
        )
    if request.gpu and not limit.gpus:
        faults.append(
            f"{request.key('gpu')}: {request.gpu}, but partition {name!r} has no GPUs: name "
            f"another in {request.key('slurm_partition')}, or set gpu: 0 to train on CPUs"
        )
    return faults


def _bad_accounts(kinds: Iterable[Request]) -> list[str]:
    """Name the accounts that the user may not charge; silent where SLURM keeps no accounts."""
    named = {kind.account: kind for kind in kinds if kind.account}
    if not named:
        return []
    try:
        answer = ask(
            "sacctmgr", "-nP", "show", "assoc", f"user={getpass.getuser()}", "format=account"
        )
    except RuntimeError:
        return []
    mine = sorted(set(answer.split()))
    return [
        f"{kind.key('slurm_account')}: {account!r} is not an account of {getpass.getuser()}; "
        f"there are: {', '.join(mine)}"
        for account, kind in named.items()
        if mine and account not in mine
    ]


def partitions() -> dict[str, Partition]:
    """Ask SLURM for its partitions and the largest node of each."""
    table: dict[str, Partition] = {}
    for line in ask("sinfo", "--noheader", "--Node", "--format=%R|%l|%c|%m|%G").split("\n"):
        if line.count("|") != 4:
            continue
        name, limit, cpus, memory, gres = line.split("|")
        old = table.get(name, Partition(0, 0, 0, False))
        table[name] = Partition(
            max(old.minutes, minutes(limit)),
            max(old.cpus, int(cpus.rstrip("+"))),
            max(old.mem_mb, int(memory.rstrip("+"))),
            old.gpus or "gpu" in gres,
        )
    return table


def minutes(limit: str) -> float:
    """Read a time limit as SLURM writes it: ``infinite``, ``D-HH:MM:SS``, ``HH:MM:SS``, ``MM:SS``.

    Returns
    -------
    float
        Minutes.
    """
    if limit in ("infinite", "UNLIMITED", "n/a"):
        return float("inf")
    days, _, clock = limit.rpartition("-")
    parts = [0.0] * 3 + [float(part) for part in clock.split(":")]
    hours, mins, seconds = parts[-3:]
    return (float(days or 0) * 24 + hours) * 60 + mins + seconds / 60


def warnings() -> list[str]:
    """Warn if SLURM forgets finished jobs sooner than Snakemake looks for them.

    Such a job is never seen to end, and the run waits for ever.
    """
    age = re.search(r"^MinJobAge *= *(\d+)", ask("scontrol", "show", "config"), re.MULTILINE)
    if not age or int(age[1]) > LONGEST_PAUSE:
        return []
    return [
        f"  Careful: SLURM forgets finished jobs after {age[1]} s (MinJobAge), and Snakemake may "
        f"look for them only every {LONGEST_PAUSE} s. In {PROFILE} set "
        "slurm-init-seconds-before-status-checks: 100, which makes it ask the accounting instead."
    ]
