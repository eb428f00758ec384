"""Galaxies that arcs are painted on: their flux in electrons, their stars, their masses.

What ingestion adds where a population says ``calibration``: images in electrons per second of
their observation, and all that is needed to lay more light upon them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.cutouts import files, headers, layouts
from lensmill.cutouts.files import Refused
from lensmill.cutouts.layouts import Candidate

MASSES = {"system": "", "sigma_v": "km / s", "z": ""}  # columns of the table `masses`


class Calibration(NamedTuple):
    """What turns one band of an image into electrons per second of its observation."""

    factor: float
    zero_point: float  # of the pixels as they came, AB [mag]
    exposure: float  # [s]


def calibrate(
    candidate: Candidate, source: files.Source, band: str, settings: Mapping[str, Any]
) -> Calibration:
    """Find the calibration of a band in the table, in the header, or in the settings.

    Raises
    ------
    Refused
        If it is not there, or no number.
    """
    given, ours = settings["calibration"], settings["observation"]["bands"][band]
    zero_point = _number(given["zero_point"], "zero_point", candidate, source, band)
    exposure = ours["exposure"]
    if given.get("exposure") is not None:
        exposure = _number(given["exposure"], "exposure", candidate, source, band)
        if not exposure > 0:
            raise Refused(f"its exposure is {exposure:g} s; it must be above 0")
    per_second = 1 / exposure if given.get("counts") else 1.0
    factor = per_second * 10 ** (-0.4 * (zero_point - ours["zero_point"]))
    return Calibration(factor, zero_point, exposure)


def width(
    candidate: Candidate,
    source: files.Source,
    band: str,
    frame: NDArray,
    sigma: float,
    settings: Mapping[str, Any],
) -> float | None:
    """Return the full width at half maximum of the point-spread function; None if not known.

    Of a star in the frame, the table, the header or the settings, as ``psf`` says.
    """
    given, observation = settings.get("psf"), settings["observation"]
    if given is None:
        return None
    if given == "star":
        from lensmill.imaging import photometry  # numba takes a while; surveys come without it

        ours = observation["bands"][band]["psf"]
        return photometry.star_width(frame, sigma, ours, observation["pixel_scale"])
    fwhm = _number(given, "psf", candidate, source, band, needed=False)
    if fwhm is not None and not 0 < fwhm < observation["size"] * observation["pixel_scale"] / 2:
        raise Refused(f"its point-spread function is {fwhm:g} arcsec wide, which cannot be")
    return fwhm


def _number(
    given: Any,
    name: str,
    candidate: Candidate,
    source: files.Source,
    band: str,
    needed: bool = True,
) -> float | None:
    """Return a number that is given, or that a column of the table or a keyword names."""
    if isinstance(given, Mapping):
        if band not in given:
            raise Refused(f"{name} says nothing of the band {band!r}")
        given = given[band]
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    key = str(given).replace("{band}", band)
    column = key in candidate.metadata
    text = candidate.metadata[key] if column else files.card(source, key)
    value = headers.number(text)
    if value is None and needed:
        where = "column" if column else "keyword"
        said = "is not there" if text is None else f"says {text!r}, which is no number"
        raise Refused(
            f"the {where} {key!r} that {name} names {said}; name a column of the table or a "
            "keyword of the header that holds it, or give a number"
        )
    return value


def mask_distance(
    masks: list[NDArray], systems: Mapping[str, NDArray], pixel_scale: float
) -> NDArray:
    """Return how far the nearest masked pixel of each image is from its object [arcsec].

    Where none is masked, twice the side of the frame.
    """
    found = []
    for mask, x, y in zip(masks, systems["host_x"], systems["host_y"], strict=True):
        size = len(mask)
        rows, columns = np.nonzero(mask.any(axis=2))
        place = (np.stack([columns, rows]) - (size - 1) / 2) * pixel_scale
        apart = np.hypot(place[0] - x, place[1] - y)
        found.append(apart.min(initial=2 * size * pixel_scale))
    return np.array(found, float)


def masses(
    systems: Mapping[str, NDArray], candidates: list[Candidate], settings: Mapping[str, Any]
) -> tuple[dict[str, NDArray], NDArray]:
    """Return what is known of the mass of each host: velocity dispersions and redshifts.

    From columns of the hosts' own table, or those of the galaxies in another table that are nearest
    in magnitude and colour: as many rows for each host as there are ``neighbours``.

    Returns
    -------
    table : dict of array
        Columns `MASSES`, the rows of each host together and in order.
    distance : array, shape (hosts,)
        From the host to the farthest of its neighbours, in magnitude and colour [mag]; 0 where the
        host's own numbers are known.
    """
    given, n = settings["masses"], len(candidates)
    low, high = given["sigma_v_range"]
    if given.get("table") is None:
        found = [_own_mass(c.metadata, given) for c in candidates]
        sigma_v, z = np.array(found, float).reshape(n, 2).T
        table = {"system": np.arange(n), "sigma_v": np.clip(sigma_v, low, high), "z": z}
        return table, np.zeros(n)
    path = Path(given["table"])
    rows = _columns(path, [given[k] for k in ("sigma_v", "z", "magnitude", "blue", "red")])
    good = np.isfinite(rows).all(axis=0) & (rows[0] >= low) & (rows[0] <= high) & (rows[1] > 0)
    k = given["neighbours"]
    if good.sum() < k:
        raise ValueError(
            f"masses: {path} has {good.sum()} usable rows with a "
            f"dispersion within {low:g} to {high:g} km/s, fewer than the {k} neighbours asked for"
        )
    sigma_v, z, magnitude, blue, red = rows[:, good]
    from scipy.spatial import cKDTree

    place = np.stack([magnitude, blue - red], axis=1)
    hosts = np.stack([systems["host_magnitude"], systems["host_colour"]], axis=1)
    distance, nearest = cKDTree(place).query(hosts, k=[*range(1, k + 1)])
    table = {
        "system": np.repeat(np.arange(n), k),
        "sigma_v": sigma_v[nearest].ravel(),
        "z": z[nearest].ravel(),
    }
    return table, distance[:, -1]


def refuse_massless(candidate: Candidate, settings: Mapping[str, Any]) -> None:
    """Refuse a host whose own table does not say its mass."""
    given = settings.get("masses")
    if given and given.get("table") is None and None in _own_mass(candidate.metadata, given):
        raise Refused(
            f"its velocity dispersion {given['sigma_v']!r} or redshift {given['z']!r} is not known"
        )


def _own_mass(
    metadata: Mapping[str, str], given: Mapping[str, Any]
) -> tuple[float | None, float | None]:
    values = (headers.number(metadata.get(given[key])) for key in ("sigma_v", "z"))
    return tuple(value if value is not None and value > 0 else None for value in values)


def _columns(path: Path, names: list[str]) -> NDArray:
    """Read columns of numbers, shape (columns, rows); what is no number is NaN."""
    if not path.is_file():
        raise ValueError(f"masses: there is no table {path}")
    read = layouts.read_table(path)
    if missing := [name for name in names if name not in read.names]:
        raise ValueError(
            f"masses: {path} has no column {', '.join(map(repr, missing))}; the columns are: "
            f"{', '.join(read.names)}"
        )
    cells = [[headers.number(row[name]) for row in read.cells] for name in names]
    return np.array([[np.nan if v is None else v for v in column] for column in cells], float)
