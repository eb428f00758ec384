"""Find the images of a sample in a folder or by a table, and join each to its label.

Every layout gives a list of candidates. Each will be used or refused; none is left out.
"""

import logging
import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.cutouts import archives
from lensmill.cutouts.files import FITS, Source
from lensmill.pipeline import freshness, names, text_tables
from lensmill.pipeline.text_tables import UNKNOWN

log = logging.getLogger(__name__)

BOLOGNA = re.compile(r"image[A-Za-z]+_(?P<band>[A-Za-z0-9]+)-(?P<id>\d+)\.fits(\.gz)?")
BOLOGNA_MASK = 100.0  # what the challenge writes into masked pixels; real ones are about 1e-10
# A file's name, then [extension, version] or [plane], then [plane] of an extension
IN_FILE = re.compile(r"(.*?)\s*\[([^][,]+)(?:,\s*(\d+)\s*)?\](?:\s*\[\s*(\d+)\s*\])?")


class Candidate(NamedTuple):
    """One system that may be used, or something that stood among them."""

    name: str
    file: str  # as the owner knows it
    sources: tuple[Source, ...] = ()  # in the order of the observation's bands
    label: int | None = None
    metadata: Mapping[str, str] = {}
    reason: str = ""  # why it cannot be used, if that is known already
    corner: int | None = None  # of the image that is meant; None: its centre
    group: str = ""  # what it belongs to, if anything
    numbers: Mapping[str, float] = {}  # what is known of the numbers that are asked for


class Rows(NamedTuple):
    """A table as text."""

    names: list[str]
    lines: list[int]  # where each row stands in the file
    cells: list[dict[str, str]]
    units: dict[str, str]


def find(path: Path, settings: Mapping[str, Any]) -> tuple[list[Candidate], dict[str, str]]:
    """Return the candidates of a sample, and the units of their metadata.

    ``settings`` are those of `lensmill.cutouts.ingest.ingest`, complete.
    """
    candidates, units = stream(path, settings)
    return [*candidates], units


def stream(path: Path, settings: Mapping[str, Any]) -> tuple[Iterator[Candidate], dict[str, str]]:
    """As `find`, one candidate after the other: those of a survey do not fit into memory.

    What is wrong with a setting or a table as a whole is said before the first of them.
    """
    settings = names.text_keys(settings, "the settings")
    layout = settings["format"]
    if layout == "table":
        return table(path, settings)
    archive = path.is_file() and path.name.casefold().endswith(archives.ENDINGS)
    if not path.is_dir() and not (archive and layout != "bologna"):
        raise ValueError(f"{path} is not a folder, which format {layout!r} reads")
    if layout == "bologna":
        return iter(bologna(path, settings)), {}
    suffixes = (".npy",) if layout == "npy" else FITS
    return classes(path, settings, suffixes), {}


def labelled(settings: Mapping[str, Any]) -> bool:
    """Say whether images have labels; of an experiment without that setting they have none."""
    return "labels" in settings


def numbered(candidates: list[Candidate], columns: Collection[str]) -> list[Candidate]:
    """Return candidates whose cells of some columns are numbers, no longer among their metadata.

    A cell that says nothing leaves its number unknown; a candidate with one that is no number
    cannot be used.
    """
    found = []
    for candidate in candidates:
        metadata, reasons = dict(candidate.metadata), [candidate.reason] * bool(candidate.reason)
        texts = {name: metadata.pop(name, "") for name in columns}
        texts = {name: text for name, text in texts.items() if text.casefold() not in UNKNOWN}
        wrong = [name for name, text in texts.items() if not _is_number(text)]
        reasons += [f"its {name} is no number: {_advised(texts[name])}" for name in wrong]
        numbers = {name: float(text) for name, text in texts.items() if name not in wrong}
        found.append(
            candidate._replace(metadata=metadata, numbers=numbers, reason="; ".join(reasons))
        )
    return found


def _advised(text: str) -> str:
    """Return a text that is no number, with what to do if it was meant as one."""
    advice = text_tables.mistaken(text)
    return f"{text!r}; {advice}" if advice else f"{text!r}"


def _is_number(text: str) -> bool:
    return text_tables.NUMBER.fullmatch(text) is not None and math.isfinite(float(text))


def files_of(path: Path, settings: Mapping[str, Any]) -> list[str]:
    """Return the files that a sample is made of: all in a folder, or those that a table names."""
    if settings["format"] != "table":
        return [str(file) for file in _files(path)] if path.is_dir() else [str(path)]
    candidates, _ = table(path, settings)
    return sorted({str(source.path) for c in candidates for source in c.sources})


def bologna(path: Path, settings: Mapping[str, Any]) -> list[Candidate]:
    """Find the images of the Lens Finding Challenge, labels joined by ID."""
    labels, table_path = settings.get("labels"), None
    rows: dict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)
    id_column = label_column = ""
    if isinstance(labels, str):
        table_path = path / labels
        if not table_path.is_file():
            raise ValueError(f"labels: there is no file {table_path} (a path within {path})")
        read = read_table(table_path)
        id_column = _column(read.names, ("id", "object_id"), table_path)
        label_column = _column(read.names, ("is_lens", "label"), table_path)
        _need_group(read.names, settings, table_path)
        for line, cells in zip(read.lines, read.cells, strict=True):
            rows[text_tables.identity(cells[id_column])].append((line, cells))
    files: dict[str, dict[str, list[Path]]] = {}
    stray = []
    for file in _files(path):
        match = BOLOGNA.fullmatch(file.name)
        if match:
            bands = files.setdefault(match["id"], defaultdict(list))
            bands[match["band"].casefold()].append(file)
        elif table_path is None or not file.samefile(table_path):
            why = "its name is not that of an image (image<survey>_<band>-<ID>.fits)"
            stray.append(_stray_file(path, file, why))
    wanted = [str(band).casefold() for band in survey_bands(settings)]
    candidates = []
    for name in sorted({*files, *rows}, key=lambda text: (len(text), text)):
        of_bands = files.get(name, {})
        chosen = [of_bands.get(band, []) for band in wanted]
        every = [file for paths in of_bands.values() for file in paths]
        shown = next((paths[0] for paths in chosen if paths), every[0] if every else None)
        candidate = Candidate(name, _relative(shown, path) if shown else f"ID {name}")
        reasons = [*_faults_of_files(path, of_bands, wanted, chosen)]
        label, metadata, group = settings.get("label"), {}, ""
        if table_path is not None:
            label, metadata, why = _label_of(rows.get(name, []), label_column, table_path.name)
            metadata.pop(id_column, None)
            group = _group(metadata, settings)
            metadata.pop(settings["group"], None)
            reasons += [why] if why else []
        elif labels:
            label, why = _label_of_folder(path, [f for paths in chosen for f in paths], labels)
            reasons += [why] if why else []
        sources = tuple(Source(paths[0]) for paths in chosen if paths)
        candidates.append(
            candidate._replace(
                sources=sources,
                label=label,
                metadata=metadata,
                reason="; ".join(reasons),
                group=group,
            )
        )
    return candidates + stray


def _faults_of_files(
    path: Path, of_bands: Mapping[str, list[Path]], wanted: list[str], chosen: list[list[Path]]
) -> Iterator[str]:
    if not of_bands:
        yield "no image file has this ID"
        return
    for band, paths in zip(wanted, chosen, strict=True):
        if not paths:
            yield f"there is no file of band {band!r}, but of: {', '.join(sorted(of_bands))}"
        elif len(paths) > 1:
            names = ", ".join(_relative(file, path) for file in paths)
            yield f"its ID occurs {len(paths)} times in band {band!r}: {names}"


def _label_of(
    rows: list[tuple[int, dict[str, str]]], column: str, where: str
) -> tuple[int | None, dict[str, str], str]:
    if not rows:
        return None, {}, f"its ID has no label in {where}"
    if len(rows) > 1:
        lines = ", ".join(str(line) for line, _ in rows)
        return None, {}, f"its ID occurs {len(rows)} times in {where} (lines {lines})"
    line, cells = rows[0]
    label, why = parse_label(cells[column])
    rest = {name: text for name, text in cells.items() if name != column}
    return label, rest, f"line {line} of {where}: {why}" if why else ""


def parse_label(text: str) -> tuple[int | None, str]:
    """Return a label, or why there is none; empty cells are unknown labels."""
    if text.casefold() in UNKNOWN:
        return None, ""
    if text_tables.NUMBER.fullmatch(text) and float(text) in (0, 1):
        return int(float(text)), ""
    return None, f"label {text!r} is neither 0 (no lens), 1 (lens) nor empty (unknown)"


def classes(
    path: Path, settings: Mapping[str, Any], suffixes: tuple[str, ...]
) -> Iterator[Candidate]:
    """Find the images in the sub-folders that ``labels`` names, or in all with a fixed label."""
    labels = settings.get("labels")
    if isinstance(labels, str):
        raise ValueError(
            f"labels: {labels!r} is a text; format {settings['format']!r} needs a folder for each "
            "label, as in labels: {lensed: 1, unlensed: 0}"
        )
    packed = path.is_file()  # an archive
    files = [path / name for name in archives.members(path)] if packed else _files(path)
    for folder in labels or {}:
        if not (path / folder).is_dir() and not packed:
            raise ValueError(
                f"labels names the folder {folder!r}, which is not in {path}; there are: "
                f"{', '.join(sorted(p.name for p in path.iterdir() if p.is_dir())) or 'none'}"
            )
    return _candidates_of_files(path, files, settings, suffixes)


def _candidates_of_files(
    path: Path, files: Iterable[Path], settings: Mapping[str, Any], suffixes: tuple[str, ...]
) -> Iterator[Candidate]:
    """Yield what each file in a folder or an archive is."""
    labels, packed, bands = settings.get("labels"), path.is_file(), survey_bands(settings)
    start = len((path / "x").as_posix()) - 1
    for file in files:
        relative = file.as_posix()[start:]
        label, why = settings.get("label"), ""
        if labels:
            label, why = _label_of_folder(path, [file], labels)
        if file.name.startswith(".") or not file.name.casefold().endswith(suffixes):
            why = f"its name does not end in {' or '.join(suffixes[:1] + suffixes[3:4])}"
        if why:
            yield _stray_file(path, file, why)
            continue
        whole = Source(path, member=relative) if packed else Source(file)
        sources = [whole]
        if any(isinstance(band, int) for band in bands):  # the planes that are named, of any number
            planes = [band if isinstance(band, int) else i for i, band in enumerate(bands)]
            sources = [whole._replace(plane=plane) for plane in planes]
        elif len(bands) > 1:
            sources = [whole._replace(plane=i, planes=len(bands)) for i in range(len(bands))]
        yield Candidate(relative, relative, tuple(sources), label)


def _label_of_folder(
    path: Path, files: list[Path], labels: Mapping[str, int]
) -> tuple[int | None, str]:
    """Return the label of the folder that files lie in, or why there is none."""
    labels_found = set()
    for file in files:
        parts = file.relative_to(path).parts[:-1]
        within = [f for f in labels if parts[: len(Path(f).parts)] == Path(f).parts]
        if not within:
            return None, f"it lies in none of the folders of labels: {', '.join(labels)}"
        labels_found.add(labels[max(within, key=len)])
    if len(labels_found) > 1:
        return None, "its bands lie in folders of different labels"
    return (labels_found.pop() if labels_found else None), ""


def table(path: Path, settings: Mapping[str, Any]) -> tuple[Iterator[Candidate], dict[str, str]]:
    """Find the images that a table names, one row per system; check the table before the first."""
    read = _open(path)
    bands = survey_bands(settings)
    template = settings["files"]
    name_column = settings["name"]
    needed = [name_column, *(() if template else (str(band) for band in bands))]
    missing = [name for name in needed if name not in read.names]
    if missing:
        raise ValueError(
            f"{path}: there is no column {', '.join(map(repr, missing))} (the name of a system, "
            f"and a file for each band); the columns are: {', '.join(read.names)}. Name them so, "
            "or set name, bands or files"
        )
    _need_group(read.names, settings, path)
    standing = _standing_twice(path, read, name_column)
    return _candidates(path, read, settings, standing), read.units


def _standing_twice(path: Path, read: text_tables.Stream, name_column: str) -> dict[str, list[int]]:
    """Return the names that stand in several lines of a table, and these lines.

    Of all names, 8 bytes each are in memory: those whose hash occurs twice are looked at again.
    """
    hashes = np.fromiter((hash(c[name_column]) for _, c in _rows(path, read)), np.int64)
    hashes.sort()
    again = {*hashes[1:][hashes[1:] == hashes[:-1]].tolist()}
    standing: dict[str, list[int]] = defaultdict(list)
    if again:
        for line, cells in _rows(path, read):
            if hash(cells[name_column]) in again:
                standing[cells[name_column]].append(line)
    return {name: lines for name, lines in standing.items() if len(lines) > 1}


def _candidates(
    path: Path,
    read: text_tables.Stream,
    settings: Mapping[str, Any],
    standing: Mapping[str, list[int]],
) -> Iterator[Candidate]:
    """Yield what each row of a table names."""
    bands, template, name_column = survey_bands(settings), settings["files"], settings["name"]
    used = {name_column, *(() if template else map(str, bands))}
    used |= {"label"} if labelled(settings) else set()
    for line, cells in _rows(path, read):
        name = cells[name_column]
        reasons = []
        if not name:
            reasons.append(f"line {line}: it has no name")
        elif name in standing:
            # which of them is meant, and which label is true, only the owner knows
            lines = ", ".join(map(str, standing[name]))
            reasons.append(f"its name stands in other lines as well: {name!r} in {lines}")
        texts = [_file_of_band(cells, band, template, path) for band in bands]
        empty = [str(band) for band, text in zip(bands, texts, strict=True) if not text]
        reasons += [f"line {line}: it names no file for band {band!r}" for band in empty]
        label, why = settings.get("label"), ""
        if label is None and labelled(settings):
            label, why = parse_label(cells.get("label", ""))
        reasons += [f"line {line}: {why}"] if why else []
        sources = tuple(find_source(path.parent, text) for text in texts)
        metadata = {key: text for key, text in cells.items() if key not in used}
        group = _group(cells, settings)
        metadata.pop(settings["group"], None)
        files = ", ".join(dict.fromkeys(text for text in texts if text)) or f"line {line}"
        yield Candidate(name, files, sources, label, metadata, "; ".join(reasons), None, group)


def _need_group(names: list[str], settings: Mapping[str, Any], path: Path) -> None:
    if settings["group"] is not None and settings["group"] not in names:
        raise ValueError(
            f"group: there is no column {settings['group']!r} in {path}; the columns are: "
            f"{', '.join(names)}"
        )


def _group(cells: dict[str, str], settings: Mapping[str, Any]) -> str:
    """Return the group of a row, as text; "" if its cell says nothing."""
    text = cells.get(settings["group"], "")
    # 120 in one table and 120.0 in another are one host: pandas writes this beside empty cells
    return "" if text.casefold() in UNKNOWN else text_tables.identity(text)


def _file_of_band(cells: dict[str, str], band: Any, template: str | None, path: Path) -> str:
    if not template:
        return cells[str(band)]
    try:
        return template.format_map({**cells, "band": band})
    except (KeyError, IndexError, ValueError) as error:
        raise ValueError(
            f"files: {template!r} does not fit {path} ({error!r}); it may hold {{band}} and the "
            f"columns {', '.join(cells)}"
        ) from error


def find_source(folder: Path, text: str) -> Source:
    """Read a file's name with what stands behind it.

    ``[2]``: plane of a cube, or extension; ``[SCI]`` or ``[SCI,2]``: extension by name and
    version; ``[SCI][2]``: plane of an extension, or row of a stack. ``tile.tar/1.fits`` lies in an
    archive.
    """
    match = IN_FILE.fullmatch(text)
    name, member = archives.split(match[1] if match else text)
    source = Source(folder / name, member=member)
    if not match:
        return source
    name, version, plane = match[2].strip(), match[3], match[4]
    if name.isdigit() and version is None and plane is None:
        return source._replace(plane=int(name))
    extension = (int(name) if name.isdigit() else name, int(version) if version else None)
    return source._replace(plane=int(plane) if plane else None, extension=extension)


def survey_bands(settings: Mapping[str, Any]) -> list[Any]:
    """Return the survey's name of each band of the observation."""
    names = settings["bands"] or {}
    return [names.get(band, band) for band in settings["observation"]["bands"]]


def _files(path: Path) -> Iterator[Path]:
    """Yield all files in a folder, in the order of their paths."""
    # a link to nothing is one of them: it is refused by name
    files = map(Path, freshness.files(str(path)))
    return (file for file in files if file.is_file() or not file.exists())


def _relative(file: Path, path: Path) -> str:
    return file.relative_to(path).as_posix()


def _stray_file(path: Path, file: Path, why: str) -> Candidate:
    relative = _relative(file, path)
    return Candidate(relative, relative, reason=why)


def _column(names: list[str], wanted: tuple[str, ...], path: Path) -> str:
    for name in names:
        if name.casefold() in wanted:
            return name
    raise ValueError(
        f"{path}: there is no column {wanted[0]!r}; the columns are: {', '.join(names)}"
    )


def read_table(path: Path) -> Rows:
    """Read a CSV, plain or gzipped, or an ECSV table as text; ``#`` starts a comment."""
    read = _open(path)
    rows = [*_rows(path, read)]
    return Rows(read.names, [line for line, _ in rows], [cells for _, cells in rows], read.units)


def _open(path: Path) -> text_tables.Stream:
    """Open a table, and check the names of its columns."""
    try:
        read = text_tables.stream(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not read.names:
        raise ValueError(f"{path}: the table is empty")
    read.names = [name or "unnamed" for name in read.names]
    if len({*read.names}) < len(read.names):
        raise ValueError(f"{path}: a column name occurs twice: {', '.join(read.names)}")
    return read


def _rows(path: Path, read: text_tables.Stream) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the lines of the rows of a table, and their cells by the names of the columns."""
    rows, names = iter(read), read.names
    while True:
        try:
            line, values = next(rows, (0, []))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if not line:
            return
        if len(values) != len(names):
            raise ValueError(
                f"{path}, line {line}: {len(values)} cells, but the header names {len(names)}; "
                "quote text that holds a comma, and write decimals with a point"
            )
        yield line, dict(zip(names, values, strict=True))


def metadata_columns(
    metadata: Iterable[str],
    texts_of: Callable[[str], list[str]],
    taken: set[str],
    units: Mapping[str, str],
) -> tuple[dict[str, NDArray], dict[str, str]]:
    """Turn the metadata of the used candidates into columns, and return their units.

    ``texts_of`` returns the cells of a column that ``metadata`` names. Numbers and names are told
    apart by `text_tables.column`. A number that is not known is 0, beside a column
    ``<name>_known``. Names that are ``taken`` get ``_table`` behind them.
    """
    columns: dict[str, NDArray] = {}
    unit: dict[str, str] = {}
    for name in metadata:
        texts = texts_of(name)
        known = np.array([text.casefold() not in UNKNOWN for text in texts])
        own = _free_name(name.replace("/", "_"), taken | {*columns})
        columns[own] = text_tables.column(texts, known)
        if columns[own].dtype.kind == "U":
            _warn_of_commas(own, [text for text, k in zip(texts, known, strict=True) if k])
            continue
        unit[own] = units.get(name, "")
        if not known.all():
            columns[_free_name(f"{own}_known", taken | {*columns})] = known.astype(np.uint8)
    return columns, {name: unit.get(name, "") for name in columns}


def _warn_of_commas(name: str, texts: list[str]) -> None:
    """Say it if a column is text only by the way that its numbers are written."""
    mistaken = [text for text in texts if text_tables.mistaken(text)]
    if mistaken and all(text_tables.NUMBER.fullmatch(t) for t in {*texts} - {*mistaken}):
        log.warning(
            "column %r is kept as text because of %r; if it holds numbers, %s",
            *(name, mistaken[0], text_tables.mistaken(mistaken[0])),
        )


def _free_name(name: str, taken: set[str]) -> str:
    return _free_name(f"{name}_table", taken) if name in taken else name
