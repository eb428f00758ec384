"""What a SLURM profile and a partition file say, as Snakemake and its SLURM plugin will read it.

YAML, Snakemake and the plugin each read times and sizes in a way of their own, and not as SLURM
does: `1:30:00` without quotes is 5400 minutes. What is read otherwise than it is written is found
here, by the code that will read it.
"""

import dataclasses
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import humanfriendly
import yaml
from snakemake.exceptions import WorkflowError
from snakemake.resources import Resource
from snakemake_executor_plugin_slurm.partitions import (
    Partition,
    PartitionLimits,
    get_best_partition,
    parse_time_to_minutes,
    read_partition_file,
)

LIMITS = {field.name: field.default for field in dataclasses.fields(PartitionLimits)}
WORDS = {"supports_mpi", "available_gpu_models", "available_constraints"}  # limits without number
CLUSTER = {"slurm_cluster", "cluster", "clusters"}
SCORED = ("max_runtime", "max_mem_mb", "max_threads", "max_cpus_per_task")  # by what our jobs ask
CAREFUL = "Careful: "
QUIET = logging.Logger("partitions", logging.CRITICAL)  # the plugin would write a line a job


def minutes_meant(text: str) -> float | None:
    """Read a time as SLURM does (minutes, ``MM:SS``, ``HH:MM:SS``, ``D-HH[:MM[:SS]]``), or units.

    Returns
    -------
    float or None
        Minutes; None if it is no such time.
    """
    clock = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if clock:
        days, *parts = clock.groups()
        numbers = [int(part) for part in parts if part is not None]
        if days is None and len(numbers) < 3:
            numbers = [0, *numbers]  # it begins with minutes
        hours, minutes, seconds = [*numbers, 0, 0][:3]
        return (int(days or 0) * 24 + hours) * 60 + minutes + seconds / 60
    try:
        return float(text)
    except ValueError:
        pass
    units = re.findall(r"(\d+(?:\.\d+)?)\s*([dhms])", text)
    if not re.fullmatch(r"(?:\d+(?:\.\d+)?\s*[dhms]\s*)+", text):
        return None
    return sum(float(n) * {"d": 1440, "h": 60, "m": 1, "s": 1 / 60}[unit] for n, unit in units)


# ---- the partition file -------------------------------------------------------------------------


def partition_faults(path: Path) -> list[str]:
    """List what the plugin would stop at, or read otherwise than it is written.

    Returns
    -------
    list of str
        Each names the partition, its key, what is written, what is read and what to write.
    """
    try:
        root = yaml.compose(path.read_text(), yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return [f"cannot be read: {error}"]
    table = dict(_entries(root)).get("partitions")
    if not isinstance(table, yaml.MappingNode) or not table.value:
        return ["has no section `partitions:` with a name and limits for each partition"]
    faults = []
    for key, node in table.value:
        name = key.value
        if not key.tag.endswith(":str") or not name.strip():
            faults.append(f'partition {name}: YAML reads this name as no text: write "{name}":')
        elif not isinstance(node, yaml.MappingNode):
            faults.append(f"partition {name}: has no limits; write max_runtime and the like below")
        else:
            faults += [f"partition {name}: {fault}" for fault in _limit_faults(node)]
    return faults


def _limit_faults(node: yaml.MappingNode) -> Iterator[str]:
    for key, value in _entries(node):
        written = getattr(value, "value", "")
        if key in WORDS | CLUSTER:
            continue
        if key not in LIMITS:
            yield f"{key} is no limit that the plugin knows; there are: {', '.join(LIMITS)}"
        elif key == "max_runtime":
            if fault := _time_fault(value):
                yield f"max_runtime: {written} {fault}"
        elif not value.tag.endswith((":int", ":float")) or ":" in written:
            yield f"{key}: {written} is not a number: write one without a unit (memory in MB)"


def _time_fault(value: yaml.Node) -> str:
    """Say how a time is read by the plugin if that is not what it says; else nothing."""
    loaded = yaml.SafeLoader("").construct_object(value, deep=True)
    if isinstance(loaded, float) and loaded == float("inf"):
        return ""
    try:
        read = parse_time_to_minutes(loaded)
    except (WorkflowError, OverflowError):  # of `inf`, which YAML reads as text
        return "is no time for the plugin: write minutes (5400) or .inf"
    if read <= 0:
        return "lets no job in: write minutes, or .inf for no limit"
    meant = minutes_meant(value.value.lower().strip())
    if meant is None:
        return f"is read as {read} minutes: write minutes"
    if abs(read - meant) <= 0.5:  # it rounds
        return ""
    return f"is read as {read} minutes, and SLURM reads {meant:g}: write max_runtime: {meant:g}"


def describe(path: Path) -> list[str]:
    """Return one line for each partition of a file without faults: its limits as they are read."""
    lines = []
    for partition in read_partition_file(path):
        limits = dataclasses.asdict(partition.limits)
        finite = [f"{k} {v:g}" for k, v in limits.items() if k not in WORDS and v != LIMITS[k]]
        unit = ", ".join(finite).replace("max_runtime", "max_runtime [minutes]")
        lines.append(f"{partition.name}: {unit or 'no limits'}")
    return lines


def partition_warnings(path: Path) -> list[str]:
    """List the partitions of a file without faults that get jobs not meant for them, or none.

    The plugin adds up what a job asks for over what a partition allows and takes the largest sum;
    what has no limit adds nothing, and a partition whose sum is nothing is not taken.
    """
    partitions = read_partition_file(path)
    some_without = any(not p.limits.max_gpu for p in partitions)
    lines = []
    for partition in partitions:
        limits = dataclasses.asdict(partition.limits)
        tight = [key for key in SCORED if limits[key] != float("inf")]
        if not partition.limits.max_gpu and not tight:
            lines.append(
                f"partition {partition.name} is never chosen, since it has none of "
                f"{', '.join(SCORED)}: write a limit that is larger than what any job asks for"
            )
        elif partition.limits.max_gpu and tight and some_without:
            lines.append(
                f"partition {partition.name} can get jobs that need no GPU, since the tightest "
                f"limits win: leave out its {', '.join(tight)}, and only jobs with `gpu` go there"
            )
    return lines


def partition_of(job: Any, partitions: Iterable[Partition]) -> str:
    """Return the partition that the plugin will choose for a job; empty if none fits."""
    return get_best_partition(list(partitions), job, QUIET) or ""


# ---- the profile --------------------------------------------------------------------------------


def profile_faults(text: str, *names: str) -> list[str]:
    """List the resources of these names that Snakemake reads otherwise than they are written."""
    faults = []
    for where, name, value in _resources(text):
        if name in names and (fault := _resource_fault(name, value)):
            faults.append(f"{where}: {name}: {value.value} {fault}")
    return faults


def _resources(text: str) -> Iterator[tuple[str, str, yaml.ScalarNode]]:
    """Yield every resource in a profile: where it stands, its name, its value as YAML sees it."""
    sections = dict(_entries(yaml.compose(text, yaml.SafeLoader)))
    places = {key: sections.get(key) for key in ("default-resources", "set-resources")}
    rules = _entries(places["set-resources"])
    places |= {f"set-resources: {rule}": node for rule, node in rules}
    for where, node in places.items():
        if isinstance(node, yaml.SequenceNode):  # as on a command line: "runtime=90s", "RULE:..."
            for item in node.value:
                name, _, value = item.value.partition("=")
                rule, _, name = name.rpartition(":")
                place = f"{where}: {rule}" if rule else where
                yield place, name, yaml.ScalarNode("tag:yaml.org,2002:str", value)
        for name, value in _entries(node):
            if isinstance(value, yaml.ScalarNode):
                yield where, name, value


def _resource_fault(name: str, value: yaml.ScalarNode) -> str:
    written = value.value.strip()
    if name == "runtime":
        return _runtime_fault(value, written)
    if not re.search(r"\d\s*[kmgtp]i", written.lower()):  # GiB, Gi
        return ""
    read = _snakemake_reading(name, written)
    try:
        meant = humanfriendly.parse_size(written, binary=True) / 2**20
    except humanfriendly.InvalidSize:  # an expression
        return ""
    if read != meant:
        return (
            f"is read as {read} (of 10^6 bytes), which SLURM takes for {read} of 2^20: "
            f"write {name}_mb: {meant:.0f}"
        )
    return ""


def _runtime_fault(value: yaml.ScalarNode, written: str) -> str:
    if value.tag.endswith(":int"):  # 1:30:00 is 5400, 010 is 8
        read, meant = int(yaml.safe_load(written)), minutes_meant(written)
    elif re.fullmatch(r"\d+-[\d:]+", written):
        meant = minutes_meant(written)
        if ":" in written:
            return f"is no time for Snakemake: write {meant:g}"
        days, hours = written.split("-")
        read = int(days) - int(hours)  # an expression, Snakemake thinks
    else:
        read = _snakemake_reading("runtime", written)
        try:
            meant = humanfriendly.parse_timespan(written) / 60
        except humanfriendly.InvalidTimespan:  # an expression, or what Snakemake stops at
            return ""
        if written.replace(".", "").isdigit():
            read, meant = int(float(written)), float(written)
    if read is None or meant is None or meant <= read < meant + 1:
        return ""
    return f"is read as {read} minutes, and means {meant:g}: write runtime: {-(-meant // 1):g}"


def _snakemake_reading(name: str, written: str) -> Any:
    try:
        return Resource.parse_human_friendly(name, written)
    except WorkflowError:  # an expression, or what Snakemake stops at
        return None


def _entries(node: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    """Return the keys and values of a mapping, merged ones too; none if it is something else."""
    if not isinstance(node, yaml.MappingNode):
        return []
    yaml.SafeLoader("").flatten_mapping(node)
    return [(key.value, value) for key, value in node.value]


def partition_file_of(profile: Path, environment: Mapping[str, str]) -> Path | None:
    """Return the partition file that a profile names, else the one of the environment.

    As Snakemake finds it: with ``~`` and variables of the shell, and beside the profile first.
    """
    text = profile.read_text()
    named = dict(_entries(yaml.compose(text, yaml.SafeLoader))).get("slurm-partition-config")
    if named:
        chosen = os.path.expanduser(os.path.expandvars(named.value))  # noqa: PTH111
        beside = profile.parent / chosen
        return beside if beside.exists() else Path(chosen)
    chosen = environment.get("SNAKEMAKE_SLURM_PARTITIONS")
    return Path(chosen) if chosen else None


def look(profiles: Iterable[Path], partition_file: Path | None) -> list[str]:
    """Return what the plugin reads in the files of a run, and after ``CAREFUL`` what to look at.

    Raises
    ------
    RuntimeError
        With every time that would be read otherwise than it is written, and whatever the plugin
        would stop at.
    """
    faults, notes = [], []
    for profile in profiles:
        text = profile.read_text()
        faults += [f"{profile}: {fault}" for fault in profile_faults(text, "runtime")]
        notes += [f"{CAREFUL}{profile}: {f}" for f in profile_faults(text, "mem", "disk")]
    if partition_file:
        wrong = partition_faults(partition_file)
        faults += [f"{partition_file}: {fault}" for fault in wrong]
        if not wrong:
            notes += [f"{partition_file}: {line}" for line in describe(partition_file)]
            warnings = partition_warnings(partition_file)
            notes += [f"{CAREFUL}{partition_file}: {warning}" for warning in warnings]
    if faults:
        raise RuntimeError(
            "what these files say is not what would be read; nothing was submitted "
            "(docs/cluster.md shows how to write them):\n  " + "\n  ".join(faults)
        )
    return notes
