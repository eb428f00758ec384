"""Ingest a survey in shards: a job and a file for every so many images.

`plan` -> `ingest` (many jobs) -> `index`, where the shards are kept, or `merge`, where one file is
wanted: to the bit what `lensmill.cutouts.ingest.ingest` makes of the same images at once. A job
holds the table of one shard in memory, however large the survey is.
"""

import csv
import io
import itertools
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lensmill.cutouts import ingest as images
from lensmill.cutouts import layouts
from lensmill.cutouts.files import Source
from lensmill.cutouts.layouts import Candidate
from lensmill.pipeline import logs, provenance, store
from lensmill.pipeline.intact import BROKEN
from lensmill.pipeline.shards import append

log = logging.getLogger(__name__)

REMEDY = "delete it and run again: only that shard is made anew"
# What must be equal in all shards of a population
IDENTITY = ("experiment", "population", "settings", "code", "units")
ROWS_OF = {"systems/index": "systems", "cutouts/system": "systems", "masses/system": "systems"}
COPIES = ("shard", "index", "name", "file", "copy of shard", "index", "name", "file")


def plan(
    source: str | Path, output: str | Path, settings: Mapping[str, Any], size: int, shards: int
) -> None:
    """Divide the candidates of a population among shards, in their order.

    Parameters
    ----------
    source : path
        A folder, or the table.
    output : path
        Folder, written: ``00000.json`` and so on, the candidates of each shard and all files that
        they name. What comes behind them in a table, or by name, changes none that is full.
    settings : mapping
        As for `lensmill.cutouts.ingest.ingest`.
    size, shards : int
        Candidates of a shard, and how many shards; the last has all the rest, and may be empty.

    Raises
    ------
    ValueError
        If a setting or the table as a whole is wrong, or there is no candidate.
    """
    path = Path(source)
    images.check(settings)
    candidates, units = layouts.stream(path, settings)
    count = 0
    for shard in logs.progress(range(shards), "plan"):
        part = [*itertools.islice(candidates, size if shard < shards - 1 else None)]
        count += len(part)
        if not count:
            said = f"nothing is there to be read as format {settings['format']!r}"
            raise ValueError(f"{path}: {said}")
        files = sorted({str(source.path) for c in part for source in c.sources})
        text = {"files": files, "units": units, "candidates": [_as_list(c) for c in part]}
        with store.whole(Path(output) / f"{shard:05d}.json") as file:
            file.write(json.dumps(text).encode())
    log.info("%s: %d candidates in %d shards of %d", path, count, shards, size)


def _as_list(candidate: Candidate) -> list:
    sources = [[str(path), *rest] for path, *rest in candidate.sources]
    return [*candidate._replace(sources=sources, metadata=dict(candidate.metadata))]


def _candidate(values: list) -> Candidate:
    candidate = Candidate(*values)
    sources = tuple(
        Source(Path(path), plane, planes, extension and tuple(extension), member)
        for path, plane, planes, extension, member in candidate.sources
    )
    return candidate._replace(sources=sources)


def ingest(
    candidates: str | Path,
    output: str | Path,
    population: str,
    experiment: str,
    settings: Mapping[str, Any],
    code: str,
    columns: Mapping[str, str] | None = None,
) -> None:
    """Read the images of one shard; what cannot be used is named with its reason.

    Parameters
    ----------
    candidates : path
        As `plan` wrote them.
    output : path
        HDF5 with the tables of a data set, indices counted from 0; what comes from the table of
        the user is text in ``metadata``. A shard of which no image can be used has no ``systems``.
    population, experiment, settings, columns
        As for `lensmill.cutouts.ingest.ingest`.
    code : str
        Digest of the code, kept for the merging.
    """
    path, columns = Path(candidates), columns or {}
    if not path.is_file():
        raise ValueError(f"{path} is missing: make the plan of this population anew")
    read = json.loads(path.read_text())
    images.check_units(path, read["units"], columns)
    found = images.expand([_candidate(c) for c in read["candidates"]], settings, columns)
    with images.read_all(found, settings, Path(output), f"{population} {path.stem}") as outcome:
        systems, tables = images.columns_of(outcome, settings, columns)
        unit = images.units_of(systems, columns)
        cells = [c.metadata for c in outcome.used]
        names = [*dict.fromkeys(key for row in cells for key in row)]
        tables += [
            ("metadata", str(i), np.array([row.get(name, "") for row in cells], dtype=str))
            for i, name in enumerate(names)
        ]
        facts = provenance.attributes(
            settings,
            population=population,
            experiment=experiment,
            code=code,
            candidates=len(found),
            used=len(outcome.used),
            refused=len(outcome.refused),
            bands=json.dumps([*settings["observation"]["bands"]]),
            units=json.dumps(read["units"], sort_keys=True),
            metadata=json.dumps(names),
            sizes=json.dumps(outcome.sizes),
        )
        if systems:
            facts["psf"] = images.psf(images.scales_of(systems, settings), settings)
        with store.create(output) as file:
            for name, values in systems.items():
                store.add_column(file, "systems", name, [values], unit[name])
            for table, name, values in tables:
                given = images.unit_in(table, name, settings)
                store.add_column(file, table, name, [values], given)
            file.attrs.update(facts)
            file.attrs["content_digest"] = store.content_digest(file)
    images.warn("used, but", outcome.notes)
    images.warn("refused:", outcome.refused)
    log.info("%s: %d of %d used", output, len(outcome.used), len(found))


def merge(
    shards: Sequence[str],
    output: str | Path,
    source: str | Path,
    population: str,
    experiment: str,
    settings: Mapping[str, Any],
    code: str,
    columns: Mapping[str, str] | None = None,
) -> None:
    """Join the shards of a population into the data set that one job would have made.

    Parameters
    ----------
    shards : sequence of path
        In their order.
    output : path
        The data set; its ``content_digest`` does not depend on the shards.
    source, population, experiment, settings, code, columns
        As for `ingest`.

    Raises
    ------
    ValueError
        If a shard is missing, damaged or foreign, or if no image can be used.
    """
    about = check(shards, population, experiment, settings, code)
    columns = columns or {}
    refused = [
        (str(file), str(reason))
        for path in shards
        for file, reason in zip(
            _texts(path, "refused", "file"), _texts(path, "refused", "reason"), strict=True
        )
    ]
    n, used = (sum(int(facts[key]) for facts in about) for key in ("candidates", "used"))
    sizes = [size for facts in about for size in json.loads(facts["sizes"])]
    images.report(Path(source), refused, n, used, images.advice(sizes, settings))
    full = [path for path, facts in zip(shards, about, strict=True) if facts["used"]]
    with store.create(output) as merged:
        filled = _make_columns(merged, shards)
        for path in logs.progress(shards, f"merge {population}"):
            append(merged, path, filled, ROWS_OF)
        systems = set(merged["systems"])
        scales = [f"native_pixel_scale_{band}" for band in settings["observation"]["bands"]]
        scale = {name: merged["systems"][name][:] for name in scales}
        names = dict.fromkeys(name for facts in about for name in json.loads(facts["metadata"]))
        units = json.loads(about[0]["units"])
        extra, unit = layouts.metadata_columns(
            names, lambda name: _cells(full, name), systems | {"group"}, units
        )
        for name, values in extra.items():
            store.add_column(merged, "systems", name, [values], {**unit, **columns}[name])
        merged.attrs.update(images.facts_of(Path(source), population, experiment, settings))
        merged.attrs.update({"candidates": n, "used": used, "refused": len(refused)})
        merged.attrs["psf"] = images.psf(images.scales_of(scale, settings), settings)
        reasons = Counter(images.kind_of(reason) for _, reason in refused)
        merged.attrs["reasons"] = json.dumps(reasons)
        merged.attrs["content_digest"] = store.content_digest(merged)
    log.info("%s: %d of %d used, %d refused", output, used, n, len(refused))


def check(
    shards: Sequence[str],
    population: str,
    experiment: str,
    settings: Mapping[str, Any],
    code: str,
) -> list[dict[str, Any]]:
    """Return what each shard says of itself; refuse any that is damaged or foreign."""
    wanted = {"population": population, "experiment": experiment, "code": code}
    wanted["settings"] = json.dumps(settings, sort_keys=True)
    about = []
    for path in logs.progress(shards, "check shards"):
        if not Path(path).is_file():
            raise ValueError(f"shard {path} is missing; run again to make it")
        try:
            with h5py.File(path) as shard:
                facts = dict(shard.attrs)
                intact = store.content_digest(shard) == facts.get("content_digest")
        except BROKEN as error:
            raise ValueError(f"shard {path} cannot be read ({error}); {REMEDY}") from error
        if not intact:
            raise ValueError(f"shard {path} is damaged: its digest does not match; {REMEDY}")
        wanted.setdefault("units", facts.get("units"))
        for key in IDENTITY:
            if facts.get(key) != wanted[key]:
                raise ValueError(
                    f"shard {path} belongs elsewhere: its {key} is {facts.get(key)!r}, not "
                    f"{wanted[key]!r}; {REMEDY}"
                )
        if facts["candidates"] != facts["used"] + facts["refused"]:
            raise ValueError(
                f"shard {path}: {facts['candidates']} candidates are not {facts['used']} used + "
                f"{facts['refused']} refused; {REMEDY}"
            )
        about.append(facts)
    return about


def _make_columns(merged: h5py.File, shards: Sequence[str]) -> dict[str, int]:
    """Make the columns of all shards, as long as they will be; return tables, none of them filled.

    A shard of which no image is used does not know the columns of the others.
    """
    rows: Counter[str] = Counter()
    kinds: dict[tuple[str, str], tuple] = {}
    for path in shards:
        with h5py.File(path) as shard:
            for table, group in shard.items():
                rows[table] += len(next(iter(group.values())))
                for name, column in group.items():
                    found = column.shape[1:], column.dtype, column.attrs["unit"]
                    kinds.setdefault((table, name), found)
    for (table, name), (shape, kind, unit) in kinds.items():
        if table != "metadata":
            group = merged.require_group(table)
            column = group.create_dataset(name, (rows[table], *shape), kind)
            column.attrs["unit"] = unit
    return dict.fromkeys(merged, 0)


def _texts(path: str, table: str, name: str) -> NDArray:
    return store.read(path, table, [name])[name]


def _cells(shards: Iterable[str], name: str) -> list[str]:
    """Return the cells of a column of the user's table in all shards."""
    cells: list[str] = []
    for path in shards:
        facts = store.attributes(path)
        names = json.loads(facts["metadata"])
        if name in names:
            cells += _texts(path, "metadata", str(names.index(name))).tolist()
        else:
            cells += [""] * int(facts["used"])
    return cells


def index(
    shards: Sequence[str],
    output: str | Path,
    copies: str | Path,
    population: str,
    experiment: str,
    settings: Mapping[str, Any],
    code: str,
) -> None:
    """Check shards that are kept and say what is in them, and which images occur twice.

    Parameters
    ----------
    shards : sequence of path
        In their order.
    output : path
        Written (JSON): ``candidates``, ``used``, ``refused``, ``reasons``, ``copies``, and for
        each of the ``shards`` its ``file``, these three numbers and the index of its ``first``
        image among all.
    copies : path
        Written (CSV): images whose native pixels are those of an image before them. They take 24
        bytes an image in memory.
    population, experiment, settings, code
        As for `ingest`.

    Raises
    ------
    ValueError
        As `merge`.
    """
    about = check(shards, population, experiment, settings, code)
    counts = {
        key: np.array([int(facts[key]) for facts in about])
        for key in ("candidates", "used", "refused")
    }
    first = np.concatenate([[0], np.cumsum(counts["used"])])
    reasons: Counter[str] = Counter()
    for path in shards:
        reasons.update(map(images.kind_of, _texts(path, "refused", "reason")))
    if not first[-1]:
        raise ValueError(f"none of {counts['candidates'].sum()} candidates can be used: {reasons}")
    twins = _copies(shards, first)
    rows = [
        [*_describe(shards, first, one), *_describe(shards, first, other)] for one, other in twins
    ]
    table = io.StringIO()
    csv.writer(table).writerows([COPIES, *rows])
    with store.whole(Path(copies)) as file:
        file.write(table.getvalue().encode())
    text = {key: int(values.sum()) for key, values in counts.items()}
    text |= {"population": population, "reasons": dict(reasons), "copies": len(twins)}
    text["shards"] = [
        {"file": Path(path).name, "first": int(first[i])}
        | {key: int(values[i]) for key, values in counts.items()}
        for i, path in enumerate(shards)
    ]
    with store.whole(Path(output)) as file:
        file.write(json.dumps(text, indent=1).encode())
    if twins:
        log.warning("%d images are copies of others: %s names them", len(twins), copies)
    log.info("%s: %d shards, %d of %d used", output, len(shards), text["used"], text["candidates"])


def _copies(shards: Sequence[str], first: NDArray) -> list[tuple[int, int]]:
    """Return images whose hash is that of one before them, and that one."""
    short = np.zeros(first[-1], np.uint64)  # of 256 bits, the first 64: an index of what to look at
    for path, start, stop in zip(shards, first[:-1], first[1:], strict=True):
        if stop > start:
            hashes = _texts(path, "systems", "content_hash")
            short[start:stop] = [int(text[:16], 16) for text in hashes]
    order = np.argsort(short, kind="stable")
    ordered = short[order]
    again = np.flatnonzero(ordered[1:] == ordered[:-1])
    alike = np.unique(order[np.union1d(again, again + 1)])
    seen: dict[str, int] = {}
    twins = []
    for row in alike.tolist():
        other = seen.setdefault(_row(shards, first, row, "content_hash"), row)
        if other != row:
            twins.append((row, other))
    return twins


def _row(shards: Sequence[str], first: NDArray, row: int, name: str) -> str:
    shard = int(np.searchsorted(first, row, "right")) - 1
    with h5py.File(shards[shard]) as file:
        return file["systems"][name].asstr()[row - int(first[shard])]


def _describe(shards: Sequence[str], first: NDArray, row: int) -> list[Any]:
    shard = int(np.searchsorted(first, row, "right")) - 1
    names = (_row(shards, first, row, name) for name in ("name", "file"))
    return [Path(shards[shard]).name, row, *names]
