"""Ingest images of any survey: a folder or a table of cut-outs in, a data set as simulated out.

This is where outside pixels enter, so every file is checked here, once. What cannot be used is
named with its reason; candidates = used + refused. See docs/survey_images.md.
"""

import contextlib
import functools
import hashlib
import json
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.units import Unit
from numpy.typing import NDArray

from lensmill.cutouts import files, headers, hosts, layouts
from lensmill.cutouts.files import Refused
from lensmill.cutouts.layouts import Candidate
from lensmill.imaging import cleaning, quality
from lensmill.pipeline import logs, provenance, store

log = logging.getLogger(__name__)

FORMATS = ("bologna", "classes", "npy", "table")
KIND_REAL = 255
# Noise [any unit of flux] below which 32 bits round pixels by more than 1e-4 of it, and values
# beyond which their differences overflow.
FAINTEST = 1e3 * float(np.finfo(np.float32).tiny)
BRIGHTEST = 0.1 * float(np.finfo(np.float32).max)
# An image is cut before it is looked at if it is longer than this, and than so many frames: whole
# mosaics go through little memory, and the sky of ordinary cut-outs is that of all their border.
WHOLE = 2048  # [pixel]
TIMES = 2
MARKS_SHOWN = 3  # values that a refusal names
# Bands of one object are cut out at whole pixels of each, so that they may lie apart by as much
APART = 1.5  # of the largest pixel
# Columns of a table that say where its objects are [degree]
POSITION = (
    *(("ra", "dec"), ("ra_deg", "dec_deg"), ("radeg", "decdeg"), ("ra_j2000", "dec_j2000")),
    *(("raj2000", "dej2000"), ("raj2000", "decj2000"), ("alpha_j2000", "delta_j2000")),
    *(("radeg", "dedeg"), ("_raj2000", "_dej2000"), ("ra_icrs", "de_icrs")),  # of CDS and VizieR
    ("right_ascension", "declination"),
)
LEAST_MASKED = 1e-6  # part of a pixel that was filled, from which a host's mask holds it
SMALLEST = 16  # pixels a side of an observation (schema.yaml)
NOTHING = np.zeros(0, np.float32)
SHOWN = 20  # refused files that are named in the log for each reason; the table names all


class TooSmall(Refused):
    """An image that does not fill its frame; ``size`` [pixel] is that of a frame it would fill."""

    def __init__(self, reason: str, size: int):
        super().__init__(reason)
        self.size = size


class Image(NamedTuple):
    """One system on the grid of the observation."""

    pixels: NDArray  # (size, size, bands) float32
    numbers: dict[str, float]  # columns of `systems`
    content_hash: str
    host_hash: str  # of the whole image that it is a corner of, else its own
    notes: tuple[str, ...]  # what its owner should know
    masked: NDArray  # (size, size, bands): part of each pixel that was filled


class Outcome(NamedTuple):
    """What became of candidates, in their order."""

    used: list[Candidate]
    images: list[Image]  # of those used, without pixels
    refused: list[tuple[str, str]]  # file and reason
    notes: list[tuple[str, str]]
    sizes: list[int]  # of images that do not fill the frame, see `TooSmall`
    masks: list[NDArray]  # of hosts; a byte a pixel
    pixels: NDArray  # (used, size, size, bands) float32


def ingest(
    source: str | Path,
    output: str | Path,
    population: str,
    experiment: str,
    settings: Mapping[str, Any],
    columns: Mapping[str, str] | None = None,
) -> None:
    """Read a folder or table of cut-outs and store them as a population.

    Parameters
    ----------
    source : path
        A folder, or the table.
    output : path
        HDF5 file with the tables ``systems``, ``cutouts``, ``refused`` and ``notes`` (of images
        that are used).
    population, experiment : str
        Names, stored with the file.
    settings : mapping
        ``observation`` (``pixel_scale`` [arcsec], ``size`` [pixel], ``bands``) and how the files
        are read; docs/survey_images.md explains each. Without ``labels`` among them, systems have
        none: no ``is_lens``, ``label_known`` and ``kind``.
    columns : mapping, optional
        Columns of the table that hold what is known of the systems, and the unit of each:
        ``{"theta_e": "arcsec"}``. They become columns of ``systems`` for all of them; what is not
        known is 0 beside a flag ``<column>_known``. A row with something else than a number there
        is refused.

    Raises
    ------
    ValueError
        If a setting or the table as a whole is wrong, or if no image can be used.
    """
    path, output, columns = Path(source), Path(output), columns or {}
    check(settings)
    candidates, units = layouts.find(path, settings)
    check_units(path, units, columns)
    if not candidates:
        raise ValueError(f"{path}: nothing is there to be read as format {settings['format']!r}")
    candidates = expand(candidates, settings, columns)
    with read_all(candidates, settings, output, population) as outcome:
        warn("used, but", outcome.notes)
        refused, n = outcome.refused, len(outcome.used)
        report(path, refused, len(candidates), n, advice(outcome.sizes, settings))
        systems, tables = columns_of(outcome, settings, columns)
        unit = units_of(systems, columns)
        cells = [c.metadata for c in outcome.used]
        names = [*dict.fromkeys(key for row in cells for key in row)]
        extra, extra_units = layouts.metadata_columns(
            names,
            lambda name: [row.get(name, "") for row in cells],
            {*systems, "group"},
            units,
        )
        unit |= {**extra_units, **columns}
        facts = facts_of(path, population, experiment, settings) | {
            "candidates": len(candidates),
            "used": n,
            "refused": len(refused),
            "psf": psf(scales_of(systems, settings), settings),
            "reasons": json.dumps(Counter(kind_of(reason) for _, reason in refused)),
        }
        with store.create(output) as file:
            for name, values in (systems | extra).items():
                store.add_column(file, "systems", name, [values], unit[name])
            for table, name, values in tables:
                store.add_column(file, table, name, [values], unit_in(table, name, settings))
            file.attrs.update(facts)
            file.attrs["content_digest"] = store.content_digest(file)
    log.info("%s: %d of %d used, %d refused", path, n, len(candidates), len(refused))


def expand(
    candidates: list[Candidate], settings: Mapping[str, Any], columns: Mapping[str, str]
) -> list[Candidate]:
    """Return candidates with the numbers that are asked for; of images, all corners asked for."""
    candidates = layouts.numbered(candidates, columns) if columns else candidates
    if settings["place"] != "corners":
        return candidates
    return [c._replace(name=f"{c.name} corner {k}", corner=k) for c in candidates for k in range(4)]


@contextlib.contextmanager
def read_all(
    candidates: list[Candidate], settings: Mapping[str, Any], output: Path, what: str
) -> Iterator[Outcome]:
    """Read candidates one after the other; the pixels of those used lie in a file beside `output`.

    They are kept on disk until their number is known: there may be more than fit into memory.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    scratch = output.with_name(f".{output.name}.{os.getpid()}.pixels")
    observation = settings["observation"]
    size, bands = observation["size"], len(observation["bands"])
    outcome = Outcome([], [], [], [], [], [], np.zeros((0, size, size, bands), np.float32))
    try:
        with scratch.open("wb") as file:
            for candidate in logs.progress(candidates, f"ingest {what}"):
                try:
                    image = read_image(candidate, settings)
                except Refused as reason:
                    outcome.refused.append((candidate.file, str(reason)))
                    if isinstance(reason, TooSmall):
                        outcome.sizes.append(reason.size)
                    continue
                file.write(image.pixels.data)
                if settings.get("calibration"):
                    outcome.masks.append(image.masked > LEAST_MASKED)
                outcome.notes.extend((candidate.file, note) for note in image.notes)
                outcome.used.append(candidate)
                outcome.images.append(Image(NOTHING, *image[1:5], NOTHING))
        if outcome.used:
            shape = (len(outcome.used), size, size, bands)
            outcome = outcome._replace(pixels=np.memmap(scratch, np.float32, "r", 0, shape))
        yield outcome
    finally:
        scratch.unlink(missing_ok=True)


def facts_of(
    path: Path, population: str, experiment: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a data set says of itself, whatever its images are."""
    return provenance.attributes(
        settings,
        **provenance.source(path),
        population=population,
        experiment=experiment,
        # the settings are kept with their keys in alphabetical order, the planes are not
        bands=json.dumps([*settings["observation"]["bands"]]),
    )


def list_files(source: str | Path, output: str | Path, settings: Mapping[str, Any]) -> None:
    """Write the names of all files that a population is made of, as JSON.

    ``source`` and ``settings`` as in `ingest`; a change of any of these files makes the data anew.
    """
    check(settings)
    names = layouts.files_of(Path(source), settings)
    with store.whole(Path(output)) as file:
        file.write(json.dumps(names, indent=0).encode())
    log.info("%s: %d files", source, len(names))


def check(settings: Mapping[str, Any]) -> None:
    """Check what the schema of the configuration cannot: how settings go together."""
    if settings["format"] not in FORMATS:
        raise ValueError(f"format {settings['format']!r} is none of {', '.join(FORMATS)}")
    bands = settings["observation"]["bands"]
    unknown = sorted({*(settings["bands"] or {})} - {*bands})
    if unknown:
        raise ValueError(
            f"bands: {', '.join(unknown)} is no band of the observation, which has "
            f"{', '.join(bands)}; write band of the observation: name of the survey"
        )
    in_table = settings["format"] == "table" or (
        settings["format"] == "bologna" and isinstance(settings.get("labels"), str)
    )
    if settings["group"] is not None and not in_table:
        raise ValueError(
            f"group: {settings['group']!r} is the name of a column, but format "
            f"{settings['format']!r} reads no table here; list the images in one (format: table)"
        )
    label, labels = settings.get("label"), settings.get("labels")
    if label is not None and labels:
        raise ValueError("label and labels are both given; leave one out")
    if isinstance(labels, Mapping):
        for folder, label in labels.items():
            if label not in (0, 1, None):
                raise ValueError(
                    f"labels.{folder}: {label!r} is neither 0 (no lens), 1 (lens) nor null "
                    "(unknown)"
                )


def check_units(path: Path, units: Mapping[str, str], columns: Mapping[str, str]) -> None:
    """Refuse a table that says another unit of what is asked for than it is asked for in."""
    for name, wanted in columns.items():
        given = units.get(name, wanted)
        if Unit(given, parse_strict="silent") != Unit(wanted):
            raise ValueError(
                f"{path}: the column {name!r} is in {given!r}, but has to be in {wanted or '1'!r}; "
                "convert its numbers, or name it otherwise if it is something else"
            )


def read_image(candidate: Candidate, settings: Mapping[str, Any]) -> Image:
    """Bring one candidate to the grid of the observation.

    Parameters
    ----------
    candidate : Candidate
        With a source for each band.
    settings : mapping
        As for `ingest`.

    Raises
    ------
    Refused
        With the reason why it cannot be used.
    """
    if candidate.reason:
        raise Refused(candidate.reason)
    observation = settings["observation"]
    mask_values = list(settings["mask_values"])
    if settings["format"] == "bologna":
        mask_values.append(layouts.BOLOGNA_MASK)
    frames, masked, hashes, whole_hashes, snrs, notes = [], [], [], [], [], []
    planes: dict[str, files.Plane] = {}
    numbers: dict[str, float] = {"saturated_fraction": 0.0}
    areas = []
    for band, source in zip(observation["bands"], candidate.sources, strict=True):
        try:
            whole = files.read(source, settings["pixel_scale"])
            plane = files.cut(whole, *_window(whole, candidate.corner, settings))
            shape = (whole if candidate.corner is None else plane).pixels.shape
            if candidate.corner is not None:
                middle = files.cut(whole, *_window(whole, None, settings))
                whole_hashes.append(_hash(middle.pixels))
            band_image = _band(plane, mask_values, settings)
            if settings.get("calibration"):
                band_image, facts = _calibrated(band_image, candidate, source, band, settings)
                numbers |= facts
        except Refused as reason:
            raise Refused(f"{source.path.name}, band {band!r}: {reason}") from reason
        planes[band] = whole
        notes += [f"{source.path.name}, band {band!r}: {whole.note}"] if whole.note else []
        hashes.append(_hash(plane.pixels))
        frames.append(band_image.frame)
        masked.append(band_image.masked)
        areas.append((plane.pixels.shape, band_image.pixel_scale))
        snrs.append(max(band_image.snr, 0.0))
        saturated = max(numbers["saturated_fraction"], band_image.saturated)
        numbers |= {
            "saturated_fraction": saturated,
            f"snr_{band}": band_image.snr,
            f"sky_{band}": band_image.sky.level,
            f"sky_sigma_{band}": band_image.sky.sigma,
            f"native_pixel_scale_{band}": band_image.pixel_scale,
            # of the first band
            "native_pixel_scale": numbers.get("native_pixel_scale", band_image.pixel_scale),
            "native_height": numbers.get("native_height", shape[0]),
            "native_width": numbers.get("native_width", shape[1]),
        }
    if settings.get("calibration"):
        hosts.refuse_massless(candidate, settings)
        numbers |= _mean_width(numbers, observation)
    _same_sky(planes, candidate.corner, settings)
    numbers["off_centre"] = 0.0
    if candidate.corner is None:
        off, why = _off_centre(planes, candidate.metadata, observation)
        numbers["off_centre"] = off
        notes += [f"its target may lie off its middle: by {off:.3g} arcsec ({why})"] if off else []
    for i, one in enumerate(hashes):
        if one in hashes[:i]:
            bands = observation["bands"]
            raise Refused(
                "two of its bands are the same image, pixel by pixel, so that files were mixed "
                f"up: {bands[hashes.index(one)]!r} and {bands[i]!r}"
            )
    numbers["snr"] = math.sqrt(np.add.reduce(np.square(snrs)))
    # frames without a masked pixel share one mask, which nobody may change
    shares = [part.mean() if part.flags.writeable else 0.0 for part in masked]
    numbers["masked_fraction"] = float(np.mean(shares)) if any(shares) else 0.0
    _judge(numbers, areas, settings)
    own = _hash_bands(hashes)
    host = _hash_bands(whole_hashes) if candidate.corner is not None else own
    pixels = np.empty((*frames[0].shape, len(frames)), np.float32)
    for i, frame in enumerate(frames):
        pixels[..., i] = frame
    parts = np.stack(masked, axis=-1) if len(masked) > 1 else masked[0][..., None]
    return Image(pixels, numbers, own, host, tuple(notes), parts)


def _calibrated(
    image: "_Band",
    candidate: Candidate,
    source: files.Source,
    band: str,
    settings: Mapping[str, Any],
) -> tuple["_Band", dict[str, float]]:
    """Return a band in electrons per second of the observation, and what is known of it."""
    found = hosts.calibrate(candidate, source, band, settings)
    sky = cleaning.Sky(image.sky.level * found.factor, image.sky.sigma * found.factor)
    image = image._replace(frame=image.frame * found.factor, sky=sky)
    fwhm = hosts.width(candidate, source, band, image.frame, sky.sigma, settings)
    return image, {
        f"zero_point_{band}": found.zero_point,
        f"exposure_{band}": found.exposure,
        f"psf_fwhm_{band}": fwhm or 0.0,
        f"psf_fwhm_{band}_known": float(fwhm is not None),
    }


def _mean_width(numbers: Mapping[str, float], observation: Mapping[str, Any]) -> dict[str, float]:
    """Return the mean width of the point-spread functions of all bands, if all are known."""
    names = [f"psf_fwhm_{band}" for band in observation["bands"]]
    known = all(numbers[f"{name}_known"] for name in names)
    mean = float(np.mean([numbers[name] for name in names])) if known else 0.0
    return {"psf_fwhm": mean, "psf_fwhm_known": float(known)}


def _hash_bands(hashes: list[str]) -> str:
    """Return one hash for all bands of an image."""
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _same_sky(
    planes: Mapping[str, files.Plane], corner: int | None, settings: Mapping[str, Any]
) -> None:
    """Refuse bands that do not show the same piece of sky the same way, by the WCS of each."""
    if len(planes) < 2:
        return
    observation = settings["observation"]
    side = observation["size"] * observation["pixel_scale"]
    first: tuple[str, files.Plane, headers.Place] | None = None
    for band, plane in planes.items():
        if plane.wcs is None:
            continue
        if first and (plane.wcs, plane.pixels.shape) == (first[1].wcs, first[1].pixels.shape):
            continue  # planes of one cube, or files on one grid
        x = y = 0.0
        if corner is not None:  # from the middle of the image to that of its corner
            height, width = plane.pixels.shape
            reach = _corner_side(plane, settings)
            x = (width - reach) / 2 * (-1 if corner % 2 == 0 else 1)
            y = (height - reach) / 2 * (-1 if corner < 2 else 1)
        place = plane.place(x, y)
        if place is None:
            continue
        if first is None:
            first = band, plane, place
            continue
        where = f"bands {first[0]!r} and {band!r} lie differently on the sky by their WCS"
        remedy = "bring them to one grid, or repair the WCS"
        pixel = max(first[1].pixel_scale, plane.pixel_scale, observation["pixel_scale"])
        mirrored, angle = headers.turn(first[2], place)
        if mirrored:
            raise Refused(f"{where}: one is mirrored; {remedy}")
        if np.radians(abs(angle)) * side / 2 > APART * pixel:
            largest = np.degrees(2 * APART * pixel / side)
            raise Refused(
                f"{where}: turned by {angle:.2f} degrees (at most {largest:.2f}); {remedy}"
            )
        apart = headers.distance(first[2].middle, place.middle)
        if apart > APART * pixel:
            raise Refused(
                f"{where}: shifted by {apart:.4g} arcsec (at most {APART * pixel:.3g}); {remedy}"
            )


def _off_centre(
    planes: Mapping[str, files.Plane],
    metadata: Mapping[str, str],
    observation: Mapping[str, Any],
) -> tuple[float, str]:
    """Return how far from the middle the target may lie [arcsec], and what says so.

    By the position in the table, if there is one and a WCS; else by what cutting at an edge leaves.
    0 if it is no more than cutting at whole pixels explains.
    """
    position = _position(metadata)
    worst = 0.0, ""
    for band, plane in planes.items():
        place = plane.place(0.0, 0.0) if position is not None else None
        if place is not None:
            off, why = headers.distance(place.middle, position), "by the table's position"
        else:
            off, why = plane.trimmed * plane.pixel_scale, "it looks as if trimmed at an edge"
        if off > APART * max(plane.pixel_scale, observation["pixel_scale"]):
            worst = max(worst, (off, f"band {band!r}, {why}"))
    return worst


def _position(metadata: Mapping[str, str]) -> NDArray | None:
    """Return right ascension and declination of a table, in degrees there, as a unit vector."""
    for names in _columns_of_position(tuple(metadata)):
        degrees = [headers.number(metadata[name]) for name in names]
        if None not in degrees and 0 <= degrees[0] <= 360 and abs(degrees[1]) <= 90:
            return headers.vector(*np.radians(degrees))
    return None


@functools.lru_cache(maxsize=64)
def _columns_of_position(names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the pairs of columns of a table that may say where its objects are."""
    own = {name.casefold(): name for name in names}
    return [(own[ra], own[dec]) for ra, dec in POSITION if ra in own and dec in own]


def _window(
    plane: files.Plane, corner: int | None, settings: Mapping[str, Any]
) -> tuple[slice, slice]:
    """Return the rows and columns of an image that are used: all, its middle or one corner.

    The middle of an image that is longer than `WHOLE` pixels and `TIMES` the frame; a corner as
    large as a cut-out, which must not reach the centre.
    """
    shape, side = plane.pixels.shape, _corner_side(plane, settings)
    if corner is None:
        longest = max(WHOLE, TIMES * side)
        starts = [max(0, n - longest) // 2 for n in shape]
        rows, columns = (slice(f, n - f) for f, n in zip(starts, shape, strict=True))
        return rows, columns
    if 2 * side > min(shape):
        raise Refused(
            f"a corner of {side} x {side} pixels reaches its centre, since it has only "
            f"{' x '.join(map(str, shape))}; use larger images"
        )
    rows = slice(side) if corner < 2 else slice(-side, None)
    columns = slice(side) if corner % 2 == 0 else slice(-side, None)
    return rows, columns


def _corner_side(plane: files.Plane, settings: Mapping[str, Any]) -> int:
    observation = settings["observation"]
    scale = plane.pixel_scale or observation["pixel_scale"]
    return math.ceil(observation["size"] * observation["pixel_scale"] / scale)


class _Band(NamedTuple):
    frame: NDArray  # (size, size)
    masked: NDArray  # part of each pixel of the frame
    saturated: float  # part of the file
    snr: float
    sky: cleaning.Sky
    pixel_scale: float  # [arcsec]


def _band(plane: files.Plane, mask_values: list, settings: Mapping[str, Any]) -> _Band:
    """Clean one band: mask, sky, fill, resample, crop or pad."""
    pixels, observation = plane.pixels, settings["observation"]
    scale = plane.pixel_scale
    if scale is None:
        raise Refused(
            "neither a WCS nor its header says how large its pixels are; set pixel_scale [arcsec]"
        )
    _refuse_impossible_scale(scale, pixels.shape, observation)
    mask = cleaning.masked(pixels, mask_values, plane.step, plane.exact_zero)
    has_holes = bool(mask.any())
    # most checks ask for extremes, or whether values are alike: one sorting serves them all
    ordered = np.sort(pixels[~mask] if has_holes else pixels.ravel())
    if ordered.size == 0:
        raise Refused("every pixel is masked or not a number")
    low, high = ordered[0], ordered[-1]
    if low == high:
        level = "zero" if low == 0 else f"constant ({low:g})"
        raise Refused(f"the image is {level}")
    at_top = len(ordered) - int(np.searchsorted(ordered, high))
    saturated = (at_top if at_top > 1 else 0) / pixels.size  # one pixel is always the highest
    if plane.saturation is not None:
        saturated = max(saturated, float((ordered >= plane.saturation).sum()) / pixels.size)
    sky = cleaning.sky(pixels, mask)
    _check_values(plane, mask, ordered, sky, settings)
    cleaned = pixels.astype(np.float64)
    cleaned -= sky.level
    if has_holes:
        cleaned = cleaning.fill(cleaned, mask, settings["fill"])
    snr = quality.snr_of_one(cleaned, scale, sky.sigma)
    if settings.get("sky") == "keep":
        cleaned += sky.level
    ratio = observation["pixel_scale"] / scale
    frame, part = cleaning.to_frame(cleaned, mask, ratio, observation["size"])
    return _Band(frame, part, saturated, snr, sky, float(scale))


def _check_values(
    plane: files.Plane,
    mask: NDArray,
    ordered: NDArray,
    sky: cleaning.Sky,
    settings: Mapping[str, Any],
) -> None:
    """Refuse an image with values that are no measurement, or that 32 bits cannot hold.

    ``ordered``: its good pixels in order of value.
    """
    pixels, lowest, highest = plane.pixels, float(ordered[0]), float(ordered[-1])
    if sky.sigma == 0 and cleaning.photons(ordered):
        border = pixels[~mask & quality.border(*pixels.shape)].astype(np.float64)
        photons = (border - border.min()).mean() / np.diff(np.unique(ordered)[:2])[0]
        raise Refused(
            f"its sky is counted in single photons ({photons:.2g} per pixel), and more than half "
            f"of its border has the value {sky.level:g}, so that the noise of the sky cannot be "
            "measured; use an image of a longer exposure or of larger pixels"
        )
    if sky.sigma == 0:
        raise Refused(
            f"more than half of its border has one value ({sky.level:g}), so that the noise of the "
            "sky cannot be measured; if this value marks pixels that were not observed, put it "
            "into mask_values"
        )
    # ASSUME: a value a million times the noise above the sky, or a thousand times below it, and far
    # from the next one, is no light but a mark (100, -9999, 1e8), which would turn everything else
    # in the image into zero.
    above, below = settings["mark_above"], settings["mark_below"]
    far = highest - sky.level >= above * sky.sigma or sky.level - lowest >= below * sky.sigma
    marks = cleaning.alone(pixels[~mask], sky, above, below) if far else []
    if marks:
        first = marks[0].value
        raise Refused(
            f"the value {first:g} is {abs(first - sky.level) / sky.sigma:.0e} times the noise of "
            f"the sky and far from every other{_others(marks, pixels, ' (')}; if it marks masked "
            "pixels, put it into mask_values"
        )
    fewest, fraction, ratio = (settings[f"mark_{name}"] for name in ("pixels", "fraction", "ratio"))
    marks = []
    if plane.lossy or cleaning.alike(ordered, fewest):
        marks = cleaning.repeated(
            pixels, mask, sky, fewest, fraction, ratio, plane.lossy, plane.exact_zero
        )
    if marks:
        raise Refused(
            f"the value {_exact(marks[0], pixels)} is that of {marks[0].count} of its "
            f"{pixels.size} pixels, and a value beside it that of {marks[0].usual:.3g} "
            f"(mark_pixels: {fewest}, mark_fraction: {fraction:g}, mark_ratio: {ratio:g}"
            f"{_others(marks, pixels, '; ') or ')'}; if it marks pixels that were not observed, "
            "put it into mask_values"
        )
    furthest = max(abs(lowest), abs(highest))
    if sky.sigma < FAINTEST or furthest > BRIGHTEST:
        raise Refused(
            f"the noise of its sky is {sky.sigma:.1e} and its highest value {furthest:.1e}, where "
            f"32 bits hold a noise from {FAINTEST:.1e} and values to {BRIGHTEST:.1e}; use another "
            "unit of flux"
        )


def _others(marks: list[cleaning.Mark], pixels: NDArray, before: str) -> str:
    """Name the marks behind the first, to the end of a bracket."""
    shown = [f"{_exact(m, pixels)} in {m.count}" for m in marks[1:MARKS_SHOWN]]
    more = [f"{len(marks) - MARKS_SHOWN} more"] if len(marks) > MARKS_SHOWN else []
    return f"{before}likewise {', '.join(shown + more)})" if shown else ""


def _exact(mark: cleaning.Mark, pixels: NDArray) -> str:
    """Write a mark with as many digits as its type has, so that mask_values can take it."""
    return str(pixels.dtype.type(mark.value)).removesuffix(".0")


def _refuse_impossible_scale(
    scale: float, shape: tuple[int, int], observation: Mapping[str, Any]
) -> None:
    """Refuse a pixel scale with which there would be no image: that of a WCS in another unit."""
    smallest = files.SMALLEST
    across = observation["size"] * observation["pixel_scale"] / scale
    if across < smallest:
        raise Refused(
            f"its pixels of {scale:.4g} arcsec cannot be: the frame of the observation would be "
            f"{across:.2g} of them (at least {smallest}); if its WCS is wrong, set pixel_scale"
        )
    there = min(shape) * scale / observation["pixel_scale"]
    if there < smallest:
        raise Refused(
            f"its pixels of {scale:.4g} arcsec cannot be: the whole image would be {there:.2g} "
            f"pixels of the observation (at least {smallest}); if its WCS is wrong, set pixel_scale"
        )


def _judge(
    numbers: Mapping[str, float],
    areas: list[tuple[tuple[int, int], float]],
    settings: Mapping[str, Any],
) -> None:
    """Refuse an image by the thresholds of the configuration.

    ``areas``: the shape [pixel] and the pixel scale [arcsec] of each band as it came.
    """
    part, limit = numbers["masked_fraction"], settings["max_masked_fraction"]
    if part > limit:
        reason = (
            f"{part:.3f} of its pixels are masked or beyond the edge of the image "
            f"(max_masked_fraction: {limit:g})"
        )
        shape, scale = min(areas, key=lambda area: min(area[0]) * area[1])
        frame = settings["observation"]
        size = int(min(shape) * scale / frame["pixel_scale"] * (1 + cleaning.SAME_SCALE))
        if size >= frame["size"]:
            raise Refused(f"{reason}; it is as large as the frame, so that they are masked")
        raise TooSmall(
            f"{reason}; it has {_extent(shape, scale)}, the frame of the observation "
            f"{_extent((frame['size'],) * 2, frame['pixel_scale'])}; write an observation of "
            f"{_observation_that_fits(size, min(shape), scale)}",
            size,
        )
    part, limit = numbers["saturated_fraction"], settings["max_saturated_fraction"]
    if part > limit:
        raise Refused(f"{part:.3f} of its pixels are saturated (max_saturated_fraction: {limit:g})")
    if settings["min_snr"] is not None and numbers["snr"] < settings["min_snr"]:
        raise Refused(f"its S/N is {numbers['snr']:.2f} (min_snr: {settings['min_snr']:g})")


def _extent(shape: tuple[int, int], scale: float) -> str:
    height, width = shape
    return (
        f"{height} x {width} pixels of {scale:.4g} arcsec ({height * scale:.3g} x "
        f"{width * scale:.3g} arcsec)"
    )


def _observation_that_fits(size: int, native: int, scale: float) -> str:
    """Say which observation an image fills: at the scale of the present one, or at its own."""
    if size >= SMALLEST:
        return f"size {size} or take larger cut-outs"
    if native >= SMALLEST:
        return f"pixel_scale {scale:.4g} and size {native} or take larger cut-outs"
    return f"at least size {SMALLEST} and take larger cut-outs"


def advice(sizes: list[int], settings: Mapping[str, Any]) -> str:
    """Say in one sentence what the images want that do not fill the frame; empty if all do."""
    if not sizes:
        return ""
    observation = settings["observation"]
    return (
        f"{len(sizes)} of them do not fill the frame of {observation['size']} pixels of "
        f"{observation['pixel_scale']:g} arcsec: at this scale they fill {min(sizes)} to "
        f"{max(sizes)}; see 'How to write an observation' in docs/survey_images.md"
    )


def _hash(pixels: NDArray) -> str:
    """Return the SHA-256 of an image's shape and values, whatever the type it was stored in."""
    whole = hashlib.sha256(repr(pixels.shape).encode())
    whole.update(np.ascontiguousarray(pixels, "<f8"))
    return whole.hexdigest()


def report(
    path: Path, refused: list[tuple[str, str]], candidates: int, used: int, advice: str
) -> None:
    """Log what was refused, and raise if nothing is left or something was lost."""
    warn("refused:", refused)
    if advice:
        log.warning("%s", advice)
    if candidates != used + len(refused):
        raise ValueError(
            f"{path}: {candidates} candidates are not {used} used + {len(refused)} refused"
        )
    if used == 0:
        shown = "".join(f"\n  {file}: {reason}" for file, reason in refused[:SHOWN])
        advice = advice and f"\n{advice}"
        raise ValueError(f"{path}: none of {candidates} candidates can be used:{shown}{advice}")


def warn(verdict: str, reasons: list[tuple[str, str]]) -> None:
    """Log files by name with what is to say of them, the first of each kind, and how many."""
    counts: Counter[str] = Counter()
    for file, reason in reasons:
        counts[kind_of(reason)] += 1
        if counts[kind_of(reason)] <= SHOWN:
            log.warning("%s %s %s", file, verdict, reason)
    for kind, count in counts.items():
        log.warning("%d in all %s %s", count, verdict, kind)


def psf(scales: NDArray, settings: Mapping[str, Any]) -> str:
    """Say in words what the point-spread function of images of these native scales is."""
    ours = settings["observation"]["pixel_scale"]
    resampled = int(_is_resampled(scales, ours).sum())
    return (
        f"that of the survey, not matched to the observation; native pixels {scales.min():.4g} to "
        f"{scales.max():.4g} arcsec, {resampled} of {len(scales)} resampled to {ours:g} arcsec"
    )


def scales_of(systems: Mapping[str, NDArray], settings: Mapping[str, Any]) -> NDArray:
    """Return the native pixel scale of every band of every image, (images, bands) [arcsec]."""
    names = [f"native_pixel_scale_{band}" for band in settings["observation"]["bands"]]
    return np.stack([systems[name] for name in names], axis=1)


def _is_resampled(scales: NDArray, ours: float) -> NDArray:
    """Return of which images a band was resampled."""
    return (np.abs(ours / scales - 1) >= cleaning.SAME_SCALE).any(axis=1)


def columns_of(
    outcome: Outcome, settings: Mapping[str, Any], columns: Mapping[str, str]
) -> tuple[dict[str, NDArray], list[tuple[str, str, NDArray]]]:
    """Return all columns of images but those that come from their table.

    Returns
    -------
    systems : dict of array
        Empty if no image is used.
    others : list of (table, name, values)
    """
    used, images, refused, notes = outcome[:4]
    texts = [
        (table, name, np.array([row[i] for row in rows], dtype=str))
        for table, rows in (("refused", refused), ("notes", notes))
        for i, name in enumerate(("file", "reason"))
    ]
    if not used:
        return {}, texts
    index = np.arange(len(used), dtype=np.int64)
    measured = {
        name: np.array(
            [image.numbers[name] for image in images],
            np.uint8 if name.endswith("_known") else np.float64,
        )
        for name in images[0].numbers
    }
    changed = _is_resampled(scales_of(measured, settings), settings["observation"]["pixel_scale"])
    systems: dict[str, NDArray] = {
        "index": index,
        **(_labels(used) if layouts.labelled(settings) else {}),
        "name": np.array([c.name for c in used], dtype=str),
        "file": np.array([c.file for c in used], dtype=str),
        "content_hash": np.array([image.content_hash for image in images], dtype=str),
        "resampled": changed.astype(np.uint8),
    }
    if settings["group"] is not None or settings["place"] == "corners":
        # the corners of one image belong together, and to every cut-out made of it
        systems["group"] = np.array(
            [
                c.group or (image.host_hash if c.corner is not None else "")
                for c, image in zip(used, images, strict=True)
            ],
            dtype=str,
        )
    systems |= measured
    of_hosts, masses = _hosts(outcome.pixels, outcome.masks, systems, used, settings)
    systems |= of_hosts
    for name in columns:
        systems[name] = np.array([c.numbers.get(name, 0.0) for c in used], np.float64)
        systems[f"{name}_known"] = np.array([name in c.numbers for c in used], np.uint8)
    others = [("cutouts", "system", index), ("cutouts", "pixels", outcome.pixels)]
    others += [("cutouts", "mask", np.array(outcome.masks, np.uint8))] * bool(outcome.masks)
    others += [("masses", name, values) for name, values in masses.items()]
    return systems, others + texts


def units_of(systems: Iterable[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Return the unit of each of the columns of `columns_of`."""
    unit = {
        name: "arcsec" if name.startswith(("native_pixel_scale", "off_centre")) else ""
        for name in systems
    }
    if "mask_distance" in unit:  # images were calibrated
        unit |= {name: _unit_of_host(name) for name in unit if _unit_of_host(name)}
    return {**unit, **columns}


def unit_in(table: str, name: str, settings: Mapping[str, Any]) -> str:
    """Return the unit of a column of another table than ``systems``."""
    if table == "masses":
        return hosts.MASSES[name]
    return "electron / s" if name == "pixels" and settings.get("calibration") else ""


def _hosts(
    pixels: NDArray,
    masks: list[NDArray],
    systems: Mapping[str, NDArray],
    used: list[Candidate],
    settings: Mapping[str, Any],
) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
    """Return columns and the table of masses that calibrated images have beside others."""
    if not settings.get("calibration"):
        return {}, {}
    from lensmill.imaging import photometry  # numba takes a while: only where there are hosts

    measured = photometry.measure(pixels, settings["observation"])
    scale = settings["observation"]["pixel_scale"]
    measured["mask_distance"] = hosts.mask_distance(masks, measured, scale)
    if not settings.get("masses"):
        return measured, {}
    masses, distance = hosts.masses({**systems, **measured}, used, settings)
    return {**measured, "mass_distance": distance}, masses


def _unit_of_host(name: str) -> str:
    from lensmill.imaging import photometry

    if name in photometry.UNITS:
        return photometry.UNITS[name]
    if name.endswith("_known"):
        return ""
    known = {"psf_fwhm": "arcsec", "exposure_": "s", "zero_point_": "mag"}
    known |= {"mass_distance": "mag", "mask_distance": "arcsec"}
    return next((unit for start, unit in known.items() if name.startswith(start)), "")


def _labels(used: list[Candidate]) -> dict[str, NDArray]:
    """Return what is known of being a lens."""
    return {
        "is_lens": np.array([c.label or 0 for c in used], np.uint8),
        "label_known": np.array([c.label is not None for c in used], np.uint8),
        "kind": np.full(len(used), KIND_REAL, np.uint8),
    }


def kind_of(reason: str) -> str:
    """Return a reason without what differs from file to file, to count by."""
    general = re.sub(r"^(.*?, band '[^']*'|line \d+): ", "", reason)
    return re.sub(r"-?\d[\d.e+-]*", "#", re.split(r": | \(", general)[0])
