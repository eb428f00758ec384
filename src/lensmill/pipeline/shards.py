"""Shards: ranges of systems, one job and one file each, and their merging.

How the systems are cut into shards changes no number of the merged data.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lensmill.pipeline import logs, provenance, store
from lensmill.pipeline.intact import BROKEN
from lensmill.pipeline.streams import of_objects, uniforms

log = logging.getLogger(__name__)

BATCH = 1 << 16  # systems drawn at a time: bounds the memory of the steps in between

# What must be equal in all shards of a population, and how a refusal names it.
IDENTITY = {
    "experiment": "experiment",
    "population": "population",
    "seed": "seed",
    "settings": "settings",
    "code": "digest of the code",
}


def simulate(
    path: str,
    simulator: Any,
    experiment: str,
    population: str,
    seed: int,
    first: int,
    count: int,
    settings: Mapping[str, Any],
    code: str,
) -> None:
    """Draw systems ``first ... first + count - 1`` and write them to one shard.

    Parameters
    ----------
    path : str
        The shard's file.
    simulator : module
        ``simulate.py`` of the experiment: ``draw``, ``UNITS``, ``WIDTH`` and ``ROWS_OF`` (columns
        that hold row numbers of another table); ``BATCH``, if it cannot draw 65,536 systems at
        a time; ``OPTIONAL``, columns that not all populations have; ``objects(settings)``, if
        systems share an object, which is then their ``group``; ``attributes(settings)``, if the
        file shall say more of itself.
    experiment, population, seed
        Key the random numbers.
    first, count : int
        Range of system indices.
    settings : mapping
        The population's settings.
    code : str
        Digest of the simulator's code, kept for the merging.
    """
    parts = []
    batch = getattr(simulator, "BATCH", BATCH)
    for start in logs.progress(range(first, first + count, batch), f"{population} from {first}"):
        size = min(batch, first + count - start)
        drawn = numbers(simulator, seed, experiment, population, start, size, settings)
        parts.append(simulator.draw(start, drawn, settings))
        if hasattr(simulator, "objects"):
            each, _ = simulator.objects(settings)
            owner = np.arange(start, start + size) // each
            parts[-1]["systems"]["group"] = np.array([f"{population}/{i}" for i in owner])
        where = f"{experiment}/{population}"
        optional = {"group", *getattr(simulator, "OPTIONAL", ())}
        _check_part(parts[-1], simulator.UNITS, start, size, where, optional)
    rows = _link(parts, simulator.ROWS_OF)
    if rows["systems"] != count:
        raise ValueError(
            f"{experiment}/{population}: {count} systems were asked for and {rows['systems']} made"
        )
    facts = provenance.attributes(
        settings, experiment=experiment, population=population, seed=seed, code=code
    )
    if hasattr(simulator, "attributes"):
        facts |= simulator.attributes(settings)
    facts |= {"first": first, "last": first + count - 1, "rows_of": json.dumps(simulator.ROWS_OF)}
    store.write_parts(path, parts, simulator.UNITS, facts)
    log.info("%s: %s", path, rows)


def numbers(
    simulator: Any,
    seed: int,
    experiment: str,
    population: str,
    first: int,
    count: int,
    settings: Mapping[str, Any],
) -> NDArray:
    """Return the uniform numbers that systems are drawn from, (count, ``simulator.WIDTH``).

    Where the simulator says by ``objects(settings)`` that several systems in a row show one object,
    these share those of its numbers that it says.
    """
    stream = seed, experiment, population, first, count, simulator.WIDTH
    if not hasattr(simulator, "objects"):
        return uniforms(*stream)
    return of_objects(*stream, *simulator.objects(settings))


def _check_part(
    part: store.Tables, units: Mapping, first: int, count: int, where: str, optional: set[str]
) -> None:
    """Raise if a simulator gives other columns than it names, or other systems than asked for."""
    for table, columns in part.items():
        # `group` stands there only for systems that have one, others only in some populations
        if odd := (columns.keys() ^ units.get(table, {}).keys()) - optional:
            raise ValueError(
                f"{where}: columns of {table!r} and its UNITS differ: {', '.join(sorted(odd))}"
            )
        if len(lengths := {len(column) for column in columns.values()}) != 1:
            raise ValueError(f"{where}: columns of {table!r} have {sorted(lengths)} rows")
    if not np.array_equal(part["systems"]["index"], np.arange(first, first + count)):
        raise ValueError(f"{where}: systems/index is not {first} ... {first + count - 1}")


def _link(parts: Sequence[store.Tables], rows_of: Mapping[str, str]) -> dict[str, int]:
    """Offset the row numbers of each part by the rows before it; return the rows of each table."""
    rows = dict.fromkeys(parts[0], 0)
    for part in parts:
        for column, target in rows_of.items():
            table, name = column.split("/")
            part[table][name] += rows[target]
        for table in rows:
            rows[table] += len(next(iter(part[table].values())))
    return rows


def merge(paths: Sequence[str], output: str, systems: int, **identity: Any) -> None:
    """Join the shards of one population into one file, a piece at a time.

    Parameters
    ----------
    paths : sequence of str
        The shards, in order of index.
    output : str
        The merged file; its ``content_digest`` does not depend on the shards.
    systems : int
        Number of systems of the population.
    **identity
        What every shard must say of itself: ``experiment``, ``population``, ``seed``,
        ``settings`` (a mapping) and ``code``.

    Raises
    ------
    ValueError
        If a shard is missing, unreadable, truncated, damaged, foreign, repeated or out of order;
        the message names the file and the remedy.
    """
    identity["settings"] = json.dumps(identity["settings"], sort_keys=True)
    rows = _check(paths, systems, identity)
    with store.create(output) as merged:
        with h5py.File(paths[0]) as shard:
            for table, group in shard.items():
                for name, column in group.items():
                    shape = (rows[table], *column.shape[1:])
                    merged.require_group(table).create_dataset(name, shape, column.dtype)
                    merged[table][name].attrs["unit"] = column.attrs["unit"]
            merged.attrs.update(shard.attrs)
            rows_of = json.loads(shard.attrs["rows_of"])
        filled = dict.fromkeys(rows, 0)
        for path in logs.progress(paths, f"merge {identity['population']}"):
            append(merged, path, filled, rows_of)
        merged.attrs["first"], merged.attrs["last"] = 0, systems - 1
        merged.attrs["content_digest"] = store.content_digest(merged)
    log.info("%s: %d shards, %s rows", output, len(paths), rows)


def append(
    merged: h5py.File, path: str, filled: dict[str, int], rows_of: Mapping[str, str]
) -> None:
    """Copy the columns of one shard behind those that are there.

    ``filled``: the rows that each table of ``merged`` has so far; other tables are left out. Row
    numbers (``rows_of``: a column, and the table whose rows it counts) are counted on.
    """
    with h5py.File(path) as shard:
        groups = {table: group for table, group in shard.items() if table in filled}
        length = {table: len(next(iter(group.values()))) for table, group in groups.items()}
        for table, group in groups.items():
            for name, column in group.items():
                offset = filled[rows_of[f"{table}/{name}"]] if f"{table}/{name}" in rows_of else 0
                rows = store.rows_at_a_time(column)
                for start in range(0, length[table], rows):
                    values = column[start : start + rows]
                    if offset:
                        values += offset
                    to = filled[table] + start
                    merged[table][name][to : to + len(values)] = values
        for table in length:
            filled[table] += length[table]


def _check(paths: Sequence[str], systems: int, identity: Mapping[str, Any]) -> dict[str, int]:
    """Refuse any shard that is not the next piece of this population; return rows by table."""
    remedy = "delete it and run again: only that shard is made anew"
    total: dict[str, int] = {}
    expected_first = 0
    for path in paths:
        if not Path(path).is_file():
            raise ValueError(f"shard {path} is missing; run again to make it")
        try:
            with h5py.File(path) as shard:
                facts = dict(shard.attrs)
                intact = store.content_digest(shard) == facts.get("content_digest")
                lengths = {t: {len(c) for c in group.values()} for t, group in shard.items()}
        except BROKEN as error:
            raise ValueError(f"shard {path} cannot be read ({error}); {remedy}") from error
        if not intact:
            raise ValueError(f"shard {path} is damaged: its digest does not match; {remedy}")
        for key, name in IDENTITY.items():
            if facts.get(key) != identity[key]:
                raise ValueError(
                    f"shard {path} belongs elsewhere: its {name} is {facts.get(key)!r}, "
                    f"not {identity[key]!r}; {remedy}"
                )
        first, last = int(facts["first"]), int(facts["last"])
        if first != expected_first:
            raise ValueError(
                f"shard {path} holds systems {first} to {last} where {expected_first} comes next: "
                f"a shard is missing, repeated or out of order"
            )
        if lengths["systems"] != {last - first + 1}:
            raise ValueError(
                f"shard {path} holds {lengths['systems']} rows for systems {first} to {last}; "
                f"{remedy}"
            )
        expected_first = last + 1
        for table, length in lengths.items():
            total[table] = total.get(table, 0) + max(length)
    if expected_first != systems:
        raise ValueError(
            f"the {len(paths)} shards hold {expected_first} of {systems} systems: the last shard "
            f"is missing or too many are given"
        )
    return total
