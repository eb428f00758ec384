"""Ingest a table of real lensed quasars: CSV or ECSV in, the HDF5 tables of a population out.

One row per image; the columns that describe the system may stand on its first row only. This is
where outside data enter, so everything is checked here, once, and every fault is reported with
its line, its column, its value, what is permitted and what to do.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from astropy import units
from numpy.typing import NDArray

from lensmill.pipeline import provenance, store, text_tables

log = logging.getLogger(__name__)


class Column(NamedTuple):
    """One column of the input: which values it may hold."""

    unit: str = ""
    low: float = -np.inf  # permitted range, both ends included
    high: float = np.inf
    per: str = "system"  # "system": stands on the first row of a system; "image": on every row
    required: bool = False
    text: bool = False


TINY = 1e-6  # what 'positive' means for errors and redshifts
COLUMNS = {
    "name": Column(per="image", required=True, text=True),
    "image": Column(per="image", text=True),
    "z_lens": Column("", TINY, 20, required=True),
    "z_source": Column("", TINY, 20, required=True),
    "lens_x": Column("arcsec", -60, 60),
    "lens_y": Column("arcsec", -60, 60),
    "lens_error": Column("arcsec", TINY, 1),
    "x": Column("arcsec", -60, 60, per="image", required=True),
    "y": Column("arcsec", -60, 60, per="image", required=True),
    "position_error": Column("arcsec", TINY, 1, per="image", required=True),
    "delay": Column("day", -1e4, 1e4, per="image", required=True),
    "delay_error": Column("day", 0, 1e3, per="image", required=True),
    "d_dt": Column("Mpc", 1, 1e6),
    "d_dt_minus": Column("Mpc", 0, 1e6),
    "d_dt_plus": Column("Mpc", 0, 1e6),
    "h0": Column("km / (Mpc s)", 1, 1000),
    "sigma_v": Column("km / s", 10, 1000),
    "sigma_v_error": Column("km / s", TINY, 1000),
    "r_eff": Column("arcsec", TINY, 60),
    "aperture": Column("arcsec", TINY, 60),
    "seeing": Column("arcsec", TINY, 10),
    "anisotropy": Column("", 0.1, 100),
    "flux": Column("", 1e-40, 1e40, per="image"),
    "flux_error": Column("", 1e-40, 1e40, per="image"),
    "complex": Column(text=True),
    "reference": Column(text=True),
}

# groups that say something only together
LENS = ("lens_x", "lens_y", "lens_error")
DISTANCE = ("d_dt", "d_dt_minus", "d_dt_plus")
# within a circle of radius `aperture`; `seeing`: FWHM (`lensmill.lensing.kinematics`)
STARS = ("sigma_v", "sigma_v_error", "r_eff", "aperture", "seeing")

# The columns of stars and fluxes stand only in files that have any: who reads them takes a column
# that is not there as one of which nothing is known, as in simulated populations. Orbits of which
# nothing is known (`anisotropy_known` 0) are taken to be isotropic.
UNITS = {
    "systems": {
        "index": "",
        "name": "",
        "z_lens": "",
        "z_source": "",
        "n_images": "",
        "first_image": "",
        "lens_x": "arcsec",
        "lens_y": "arcsec",
        "lens_known": "",
        "lens_error": "arcsec",
        "d_dt": "Mpc",
        "d_dt_minus": "Mpc",
        "d_dt_plus": "Mpc",
        "d_dt_known": "",
        "h0": "km / (Mpc s)",
        "h0_known": "",
        "sigma_v": "km / s",
        "sigma_v_error": "km / s",
        "r_eff": "arcsec",
        "aperture": "arcsec",
        "seeing": "arcsec",
        "sigma_v_known": "",
        "anisotropy": "",
        "anisotropy_known": "",
        "complex": "",
        "complex_reason": "",
        "reference": "",
    },
    "images": {
        "system": "",
        "label": "",
        "x": "arcsec",
        "y": "arcsec",
        "position_error": "arcsec",
        "delay": "day",
        "delay_error": "day",
        "delay_measured": "",
        "flux": "",
        "flux_error": "",
        "flux_known": "",
    },
}

# ASSUME: images whose measured order contradicts the order of the rows by less than this are
# ordered by other knowledge (minima before saddles); a larger contradiction is a mistake.
ORDER_SIGMA = 3.0

LINEAR = "a flux is linear and positive; of magnitudes it is 10**(-0.4 mag)"


class Row(NamedTuple):
    """One image as it was read: blank cells are absent from ``cells``."""

    line: int
    cells: dict[str, float | str]


def ingest(
    source: str | Path,
    output: str | Path,
    population: str = "",
    experiment: str = "",
    settings: Mapping = MappingProxyType({}),
) -> None:
    """Check a table of lensed quasars and store it as a population.

    Parameters
    ----------
    source : path
        CSV, or ECSV with units; the columns are those of ``COLUMNS``. Lines that start with
        ``#`` are comments.
    output : path
        HDF5 file with the tables ``systems`` and ``images`` (see ``UNITS``). What is unknown
        is 0 beside a flag that says so.
    population, experiment : str, optional
        Names, stored with the file.
    settings : mapping, optional
        Nothing is looked at: a table of lensed quasars has one form.

    Raises
    ------
    ValueError
        If anything is wrong with the table: one sentence per fault, all of them at once.
    """
    tables = read(source)
    facts = {"population": population, "experiment": experiment} | provenance.source(Path(source))
    store.write(output, tables, UNITS, provenance.attributes({"columns": list(COLUMNS)}, **facts))
    counts = len(tables["systems"]["index"]), len(tables["images"]["system"])
    log.info("%s: %d systems with %d images ingested", source, *counts)


def read(source: str | Path) -> store.Tables:
    """Check a table of lensed quasars; the tables ``systems`` and ``images`` of it.

    Raises
    ------
    ValueError
        If anything is wrong with it: one sentence per fault, all of them at once.
    """
    try:
        table = text_tables.read(source)
    except ValueError as error:
        raise ValueError(_refusal(str(source), [str(error)])) from error
    return parse(table, str(source))


def parse(table: text_tables.Table, where: str = "table") -> store.Tables:
    """Turn a table of cells into the tables ``systems`` and ``images``.

    ``where`` names the table in the message of the ValueError that lists all its faults.
    """
    problems: list[str] = []
    rows = list(_rows(table, problems))
    systems = []
    if not problems and not rows:
        problems.append("it has no rows; see docs/own_lens.md for an example")
    seen: dict[str, int] = {}
    for name, group in groupby(rows, key=lambda row: row.cells.get("name")):
        members = list(group)
        if name is None:
            problems += [_blank(row, "name") for row in members]
        elif name in seen:
            problems.append(
                f"line {members[0].line}, column 'name': {name!r} has stood in line {seen[name]} "
                "already; keep the rows of a system together, or give the other one another name"
            )
        else:
            seen[name] = members[0].line
            systems.append(_system(members, problems))
    if problems:
        raise ValueError(_refusal(where, problems))
    return _tables(systems)


def _refusal(where: str, problems: list[str]) -> str:
    """Return the message that lists all faults of a table in the order of its lines."""
    count = f"{len(problems)} problem" + "s" * (len(problems) > 1)
    return f"{where} refused, {count}:\n  " + "\n  ".join(sorted(problems, key=_line))


def _rows(table: text_tables.Table, problems: list[str]) -> Iterator[Row]:
    """Yield the rows of the table, converted; note what cannot be."""
    if not table.names:
        return
    scale = _scales(table.units, problems)
    _check_names(table.names, table.header, problems)
    if problems:
        return
    for number, values in table.rows:
        if len(values) != len(table.names):
            problems.append(
                f"line {number}: {len(values)} cells, but the header names {len(table.names)} "
                "columns; leave a cell empty where there is no value, quote text that holds a "
                "comma, and write decimals with a point"
            )
            continue
        row = Row(number, {})
        for name, value in zip(table.names, values, strict=True):
            if value:
                converted = _convert(name, value, scale.get(name, 1.0), number, problems)
                if converted is not None:
                    row.cells[name] = converted
        yield row


def _scales(stated: dict[str, str], problems: list[str]) -> dict[str, float]:
    """Factors from the units of an ECSV header to ours."""
    scale = {}
    for name, unit in stated.items():
        if name in COLUMNS and not name.startswith("flux"):
            ours = units.Unit(COLUMNS[name].unit)
            try:
                scale[name] = float(units.Unit(unit).to(ours))
            except (units.UnitConversionError, ValueError):
                problems.append(f"header, column {name!r}: unit {unit!r} is not one of {ours}")
    flux, error = (stated.get(name, "") for name in ("flux", "flux_error"))
    if flux != error:  # fluxes are relative: any unit, but one
        problems.append(
            f"header, column 'flux_error': unit {error!r} is not {flux!r}, the unit of 'flux'; "
            "give both in one unit"
        )
    elif "mag" in flux:
        problems.append(f"header, column 'flux': unit {flux!r}; {LINEAR}")
    return scale


def _check_names(names: list[str], line: int, problems: list[str]) -> None:
    missing = [n for n, column in COLUMNS.items() if column.required and n not in names]
    for name in names:
        if name not in COLUMNS:
            near = get_close_matches(name, missing or COLUMNS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(COLUMNS)}"
            problems.append(f"line {line}: {name!r} is not a column; {hint}")
        elif names.count(name) > 1:
            problems.append(f"line {line}: column {name!r} occurs twice; remove one")
    for name in missing:
        unit = f" [{COLUMNS[name].unit}]" if COLUMNS[name].unit else ""
        problems.append(f"line {line}: column {name!r}{unit} is missing")


def _convert(
    name: str, value: str, scale: float, line: int, problems: list[str]
) -> float | str | None:
    """Return the value of a cell in our unit, or note why it has none."""
    column = COLUMNS[name]
    unit = f" {column.unit}" if column.unit else ""
    permitted = "text" if column.text else f"permitted: {column.low:g} ... {column.high:g}{unit}"
    if value.casefold() in text_tables.UNKNOWN:
        problems.append(
            f"line {line}, column {name!r}: {value} ({permitted}); leave the cell empty if it is "
            "not known"
        )
        return None
    if column.text:
        return value
    if not text_tables.NUMBER.fullmatch(value):
        remedy = text_tables.mistaken(value) or "leave the cell empty if it is not known"
        problems.append(
            f"line {line}, column {name!r}: {value!r} is not a number ({permitted}); {remedy}"
        )
        return None
    number = float(value) * scale
    if not column.low <= number <= column.high:
        remedy = "an error (1 sigma) must be positive" if "error" in name else "check the unit"
        remedy = {
            "flux": LINEAR,
            "anisotropy": "the radius where orbits turn radial, in r_eff; empty: isotropic",
        }.get(name, remedy)
        problems.append(f"line {line}, column {name!r}: {number:g} ({permitted}); {remedy}")
        return None
    return number


def _system(rows: list[Row], problems: list[str]) -> dict:
    """Check the rows of one system and return its values, images under ``images``."""
    first, name = rows[0], rows[0].cells["name"]
    before = len(problems)
    for row in rows:
        for column, rule in COLUMNS.items():
            value = row.cells.get(column)
            if rule.per == "system" and value not in (None, first.cells.get(column)):
                problems.append(
                    f"line {row.line}, column {column!r}: {value!r} differs from the first row of "
                    f"{name!r} (line {first.line}: {first.cells.get(column, 'empty')!r}); "
                    "give it once"
                )
    for column in ("z_lens", "z_source"):
        if column not in first.cells and not _was_refused(problems, first.line, column):
            problems.append(_blank(first, column))
    z_lens, z_source = (first.cells.get(c) for c in ("z_lens", "z_source"))
    if z_lens and z_source and z_source <= z_lens:
        problems.append(
            f"line {first.line}, column 'z_source': {z_source:g} must be above z_lens = "
            f"{z_lens:g}, the source lies behind the lens; are they swapped?"
        )
    for whole in (LENS, DISTANCE, STARS):
        present = [c for c in whole if c in first.cells]
        refused = any(_was_refused(problems, first.line, c) for c in whole)
        if 0 < len(present) < len(whole) and not refused:
            problems.append(
                f"line {first.line}: {name!r} has {', '.join(present)} but not "
                f"{', '.join(c for c in whole if c not in present)}; give all of them or none"
            )
    alone = "anisotropy" in first.cells and not any(c in first.cells for c in STARS)
    if alone and not any(_was_refused(problems, first.line, c) for c in STARS):
        problems.append(
            f"line {first.line}, column 'anisotropy': {first.cells['anisotropy']:g} without a "
            f"sigma_v; give {', '.join(STARS)}, or leave the cell empty"
        )
    if len(rows) < 2:
        problems.append(
            f"line {first.line}: {name!r} has one image; a delay needs two (one row per image, "
            "the same name in each)"
        )
    exact = first.cells.get("d_dt_minus") == 0 == first.cells.get("d_dt_plus")
    if "h0" in first.cells and not exact:
        log.warning(
            "line %d: h0 = %g of %s is taken for what a publication says and not used: it is the "
            "truth of a mock only beside its exact d_dt (d_dt_minus = d_dt_plus = 0)",
            *(first.line, first.cells["h0"], name),
        )
    images = [_image(row, row is first, problems) for row in rows]
    _check_fluxes(rows, problems)
    if len(problems) == before:
        _check_images(rows, images, problems)
    return {**first.cells, "images": images}


def _image(row: Row, first: bool, problems: list[str]) -> dict:
    """Check one row and return its image; ``delay_measured`` says whether the delay counts."""
    cells = row.cells
    for column in ("x", "y", "position_error"):
        if column not in cells and not _was_refused(problems, row.line, column):
            problems.append(_blank(row, column))
    delay, error = cells.get("delay"), cells.get("delay_error")
    if first:
        if delay:
            problems.append(
                f"line {row.line}, column 'delay': {delay:g} d; delays are counted from the first "
                "row of a system (the first image to arrive), which must have 0 or nothing"
            )
        delay, error = 0.0, 0.0
    elif delay is not None and not error and not _was_refused(problems, row.line, "delay_error"):
        problems.append(
            f"line {row.line}, column 'delay_error': {'empty' if error is None else 0}; a delay "
            "needs a positive error (1 sigma), in days; leave both empty if it was not measured"
        )
    elif error is not None and delay is None and not _was_refused(problems, row.line, "delay"):
        problems.append(
            f"line {row.line}, column 'delay': empty beside delay_error = {error:g} d; leave both "
            "empty if it was not measured"
        )
    measured = delay is not None
    return {
        "label": cells.get("image", ""),
        "x": cells.get("x", 0.0),
        "y": cells.get("y", 0.0),
        "position_error": cells.get("position_error", 0.0),
        "delay": delay if measured else 0.0,
        "delay_error": error if measured and error else 0.0,
        "delay_measured": measured,
        "flux": cells.get("flux", 0.0),
        "flux_error": cells.get("flux_error", 0.0),
        "flux_known": "flux" in cells,
    }


def _check_fluxes(rows: list[Row], problems: list[str]) -> None:
    """Check that fluxes have errors, and that a system has none or several."""
    pair = {"flux", "flux_error"}
    bright = [row for row in rows if pair & row.cells.keys()]
    refused = [row for row in rows if any(_was_refused(problems, row.line, c) for c in pair)]
    for row in bright:
        if pair <= row.cells.keys() or row in refused:
            continue
        if "flux" in row.cells:
            problems.append(
                f"line {row.line}, column 'flux_error': empty; a flux needs a positive error "
                "(1 sigma, microlensing included); leave both empty if it was not measured"
            )
        else:
            problems.append(
                f"line {row.line}, column 'flux': empty beside flux_error = "
                f"{row.cells['flux_error']:g}; leave both empty if it was not measured"
            )
    if len(bright) == 1 and not refused:
        problems.append(
            f"line {bright[0].line}, column 'flux': the only one of {rows[0].cells['name']!r}, but "
            "a ratio needs two; give that of another image, or leave this one empty"
        )


def _check_images(rows: list[Row], images: list[dict], problems: list[str]) -> None:
    """Check that images are distinct and in order of arrival."""
    for j, (row, image) in enumerate(zip(rows, images, strict=True)):
        for other_row, other in zip(rows[:j], images[:j], strict=True):
            if np.hypot(image["x"] - other["x"], image["y"] - other["y"]) < TINY:
                problems.append(
                    f"line {row.line}: the image is at the same place as that of line "
                    f"{other_row.line} ({image['x']:g}, {image['y']:g} arcsec); remove one"
                )
            sigma = np.hypot(image["delay_error"], other["delay_error"])
            both = image["delay_measured"] and other["delay_measured"]
            if both and other["delay"] - image["delay"] > ORDER_SIGMA * sigma:
                problems.append(
                    f"line {row.line}, column 'delay': {image['delay']:g} d is before line "
                    f"{other_row.line} ({other['delay']:g} d) by more than {ORDER_SIGMA:g} sigma; "
                    "the rows of a system must be in order of arrival, later images positive"
                )
    if not any(image["delay_measured"] for image in images[1:]):
        log.warning(
            "%s has no measured delay: its distance cannot be inferred", rows[0].cells["name"]
        )


def _blank(row: Row, column: str) -> str:
    return f"line {row.line}, column {column!r}: empty, but every system needs it"


def _line(problem: str) -> int:
    number = re.match(r"line (\d+)", problem)
    return int(number[1]) if number else 0


def _was_refused(problems: list[str], line: int, column: str) -> bool:
    """Tell whether a cell is absent because it was refused already."""
    return any(p.startswith(f"line {line}, column {column!r}") for p in problems)


def _tables(systems: list[dict]) -> store.Tables:
    counts = np.array([len(s["images"]) for s in systems])

    def number(name: str) -> NDArray:
        return np.array([s.get(name, 0.0) for s in systems], float)

    def known(name: str) -> NDArray:
        return np.array([name in s for s in systems], np.uint8)

    def text(name: str) -> NDArray:
        return np.array([s.get(name, "") for s in systems], dtype=object)

    images = [image for s in systems for image in s["images"]]

    def of_images(name: str, kind: type = float) -> NDArray:
        return np.array([image[name] for image in images], kind)

    stars, fluxes = {}, {}
    if known("sigma_v").any():
        stars = {n: number(n) for n in STARS} | {"sigma_v_known": known("sigma_v")}
        stars |= {"anisotropy": number("anisotropy"), "anisotropy_known": known("anisotropy")}
    if of_images("flux_known").any():
        fluxes = {n: of_images(n) for n in ("flux", "flux_error")}
        fluxes["flux_known"] = of_images("flux_known", np.uint8)
    return {
        "systems": {
            "index": np.arange(len(systems)),
            "name": text("name"),
            "n_images": counts,
            "first_image": np.cumsum(counts) - counts,
            **{n: number(n) for n in ("z_lens", "z_source", *LENS)},
            "lens_known": known("lens_x"),
            **{n: number(n) for n in (*DISTANCE, "h0")},
            "d_dt_known": known("d_dt"),
            "h0_known": known("h0"),
            **stars,
            "complex": known("complex"),
            "complex_reason": text("complex"),
            "reference": text("reference"),
        },
        "images": {
            "system": np.repeat(np.arange(len(systems)), counts),
            "label": of_images("label", object),
            **{n: of_images(n) for n in ("x", "y", "position_error", "delay", "delay_error")},
            "delay_measured": of_images("delay_measured", np.uint8),
            **fluxes,
        },
    }
