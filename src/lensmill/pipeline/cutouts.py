"""Ingest images of any survey: a folder or a table of cut-outs in, a data set as simulated out.

This is where outside pixels enter, so every file is checked here, once. What cannot be used is
named with its reason; candidates = used + refused. See docs/survey_images.md.
"""

import hashlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.imaging import cleaning, quality
from lensmill.pipeline import cutout_files, cutout_layouts, logs, provenance, store
from lensmill.pipeline.cutout_files import Refused
from lensmill.pipeline.cutout_layouts import Candidate

log = logging.getLogger(__name__)

FORMATS = ("bologna", "classes", "npy", "table")
DEFAULTS: dict[str, Any] = {
    "label": None,  # of all systems: 1 lens, 0 no lens, None unknown or by `labels`
    "labels": None,  # folder: label, or the path of the challenge's label table
    "bands": None,  # band of the observation: name of the survey
    "name": "name",  # column of the table
    "group": None,  # column of the table: what a system belongs to
    "files": None,  # template of the files that a table means
    "pixel_scale": None,  # [arcsec] of files that do not say
    "mask_values": [],
    "fill": "median",
    "place": "centre",  # of the cut-out in its image; corners: four pieces of the sky around
    "max_masked_fraction": 0.2,
    "max_saturated_fraction": 0.02,
    "min_snr": None,
}
KIND_REAL = 255
# ASSUME: a value a million times the noise of the sky and a thousand times the next one is no
# light but a mark (100, -9999, 1e8), which would turn everything else in the image into zero.
MARK_OVER_NOISE = 1e6
MARK_OVER_NEXT = 1e3
SHOWN = 20  # refused files that are named in the log for each reason; the table names all


class Image(NamedTuple):
    """One system on the grid of the observation."""

    pixels: NDArray  # (size, size, bands) float32
    numbers: dict[str, float]  # columns of `systems`
    content_hash: str
    host_hash: str  # of the whole image that it is a corner of, else its own


def ingest(
    path: str | Path,
    output: str | Path,
    population: str,
    experiment: str,
    settings: Mapping[str, Any],
) -> None:
    """Read a folder or table of cut-outs and store them as a population.

    Parameters
    ----------
    path : path
        A folder, or the table.
    output : path
        HDF5 file with the tables ``systems``, ``cutouts`` and ``refused``.
    population, experiment : str
        Names, stored with the file.
    settings : mapping
        ``format``, ``observation`` (``pixel_scale`` [arcsec], ``size`` [pixel], ``bands``) and
        what differs from `DEFAULTS`; docs/survey_images.md explains each.

    Raises
    ------
    ValueError
        If a setting or the table as a whole is wrong, or if no image can be used.
    """
    path, output = Path(path), Path(output)
    settings = DEFAULTS | dict(settings)
    _check(settings)
    candidates, units = cutout_layouts.find(path, settings)
    if not candidates:
        raise ValueError(f"{path}: nothing is there to be read as format {settings['format']!r}")
    if settings["place"] == "corners":
        candidates = [
            c._replace(name=f"{c.name} corner {k}", corner=k) for c in candidates for k in range(4)
        ]
    output.parent.mkdir(parents=True, exist_ok=True)
    # Images are kept on disk until their number is known: there may be more than fit into memory
    scratch = output.with_name(f".{output.name}.{os.getpid()}.pixels")
    used: list[Candidate] = []
    images: list[Image] = []
    refused: list[tuple[str, str]] = []
    try:
        with scratch.open("wb") as file:
            for candidate in logs.progress(candidates, f"ingest {population}"):
                try:
                    image = _image(candidate, settings)
                except Refused as reason:
                    refused.append((candidate.file, str(reason)))
                    continue
                image.pixels.tofile(file)
                used.append(candidate)
                images.append(image._replace(pixels=image.pixels[:0]))
        _report(path, refused, len(candidates), len(used))
        facts = {
            "source": path.name,
            "population": population,
            "experiment": experiment,
            "candidates": len(candidates),
            "used": len(used),
            "refused": len(refused),
            "psf": _psf(images, settings),
            # the settings are kept with their keys in alphabetical order, the planes are not
            "bands": json.dumps([*settings["observation"]["bands"]]),
        }
        _write(output, scratch, (used, images, refused), units, settings, facts)
    finally:
        scratch.unlink(missing_ok=True)
    log.info("%s: %d of %d used, %d refused", path, len(used), len(candidates), len(refused))


def _check(settings: Mapping[str, Any]) -> None:
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
        settings["format"] == "bologna" and isinstance(settings["labels"], str)
    )
    if settings["group"] is not None and not in_table:
        raise ValueError(
            f"group: {settings['group']!r} is the name of a column, but format "
            f"{settings['format']!r} reads no table here; list the images in one (format: table)"
        )
    if settings["label"] is not None and settings["labels"]:
        raise ValueError("label and labels are both given; leave one out")
    if isinstance(settings["labels"], Mapping):
        for folder, label in settings["labels"].items():
            if label not in (0, 1, None):
                raise ValueError(
                    f"labels.{folder}: {label!r} is neither 0 (no lens), 1 (lens) nor null "
                    "(unknown)"
                )


def _image(candidate: Candidate, settings: Mapping[str, Any]) -> Image:
    """Bring one candidate to the grid of the observation, or say why it cannot be used."""
    if candidate.reason:
        raise Refused(candidate.reason)
    observation = settings["observation"]
    mask_values = list(settings["mask_values"])
    if settings["format"] == "bologna":
        mask_values.append(cutout_layouts.BOLOGNA_MASK)
    frames, masked, hashes, hosts, snrs = [], [], [], [], []
    numbers: dict[str, float] = {"saturated_fraction": 0.0}
    for band, source in zip(observation["bands"], candidate.sources, strict=True):
        try:
            plane = cutout_files.read(source.path, source.plane, source.planes)
            hosts.append(_hash(plane.pixels) if candidate.corner is not None else "")
            if candidate.corner is not None:
                plane = plane._replace(pixels=_corner(plane, candidate.corner, settings))
            band_image = _band(plane, mask_values, settings)
        except Refused as reason:
            raise Refused(f"{source.path.name}, band {band!r}: {reason}") from reason
        hashes.append(_hash(plane.pixels))
        frames.append(band_image.frame)
        masked.append(band_image.masked)
        snrs.append(max(band_image.snr, 0.0))
        saturated = max(numbers["saturated_fraction"], band_image.saturated)
        numbers |= {
            "saturated_fraction": saturated,
            f"snr_{band}": band_image.snr,
            f"sky_{band}": band_image.sky.level,
            f"sky_sigma_{band}": band_image.sky.sigma,
            # of the first band: those of a survey agree
            "native_pixel_scale": numbers.get("native_pixel_scale", band_image.pixel_scale),
            "native_height": numbers.get("native_height", plane.pixels.shape[0]),
            "native_width": numbers.get("native_width", plane.pixels.shape[1]),
        }
    for i, one in enumerate(hashes):
        if one in hashes[:i]:
            bands = observation["bands"]
            raise Refused(
                "two of its bands are the same image, pixel by pixel, so that files were mixed "
                f"up: {bands[hashes.index(one)]!r} and {bands[i]!r}"
            )
    numbers["snr"] = float(np.sqrt(np.sum(np.square(snrs))))
    numbers["masked_fraction"] = float(np.mean(masked))
    _judge(numbers, settings)
    own = _together(hashes)
    host = _together(hosts) if candidate.corner is not None else own
    return Image(np.stack(frames, axis=-1).astype(np.float32), numbers, own, host)


def _together(hashes: list[str]) -> str:
    """Return one hash for all bands of an image."""
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _corner(plane: cutout_files.Plane, corner: int, settings: Mapping[str, Any]) -> NDArray:
    """Return the pixels of one corner, as large as a cut-out, which must not reach the centre."""
    scale = plane.pixel_scale or settings["pixel_scale"] or settings["observation"]["pixel_scale"]
    observation = settings["observation"]
    side = int(np.ceil(observation["size"] * observation["pixel_scale"] / scale))
    if 2 * side > min(plane.pixels.shape):
        raise Refused(
            f"a corner of {side} x {side} pixels reaches its centre, since it has only "
            f"{' x '.join(map(str, plane.pixels.shape))}; use larger images"
        )
    rows = slice(side) if corner < 2 else slice(-side, None)
    columns = slice(side) if corner % 2 == 0 else slice(-side, None)
    return plane.pixels[rows, columns]


class _Band(NamedTuple):
    frame: NDArray  # (size, size)
    masked: float  # part of the frame
    saturated: float  # part of the file
    snr: float
    sky: cleaning.Sky
    pixel_scale: float  # [arcsec]


def _band(plane: cutout_files.Plane, mask_values: list, settings: Mapping[str, Any]) -> _Band:
    """Clean one band: mask, sky, fill, resample, crop or pad."""
    pixels, observation = plane.pixels, settings["observation"]
    scale = plane.pixel_scale or settings["pixel_scale"]
    if scale is None:
        raise Refused(
            "neither a WCS nor its header says how large its pixels are; set pixel_scale [arcsec]"
        )
    mask = cleaning.masked(pixels, mask_values)
    good = pixels[~mask]
    if good.size == 0:
        raise Refused("every pixel is masked or not a number")
    low, high = good.min(), good.max()
    if low == high:
        what = "zero" if low == 0 else f"constant ({low:g})"
        raise Refused(f"the image is {what}")
    at_top = int((good == high).sum())
    saturated = (at_top if at_top > 1 else 0) / pixels.size  # one pixel is always the highest
    if plane.saturation is not None:
        saturated = max(saturated, float((good >= plane.saturation).sum()) / pixels.size)
    sky = cleaning.sky(pixels, mask)
    if sky.sigma == 0:
        raise Refused(
            f"more than half of its border has one value ({sky.level:g}), so that the noise of the "
            "sky cannot be measured; if this value marks pixels that were not observed, put it "
            "into mask_values"
        )
    mark = _mark(good - sky.level, sky.sigma)
    if mark is not None:
        raise Refused(
            f"the value {mark + sky.level:g} is {abs(mark) / sky.sigma:.0e} times the noise of the "
            "sky and far from every other; if it marks masked pixels, put it into mask_values"
        )
    cleaned = cleaning.fill(pixels.astype(np.float64) - sky.level, mask, settings["fill"])
    sigma = np.array([[sky.sigma]])
    snr = quality.band_snr(cleaned[None, :, :, None], scale, sigma)[0, 0]
    ratio = observation["pixel_scale"] / scale
    frame, part = cleaning.to_frame(cleaned, mask, ratio, observation["size"])
    return _Band(frame, float(part.mean()), saturated, float(snr), sky, float(scale))


def _mark(values: NDArray, sigma: float) -> float | None:
    """Return the value furthest from 0 if it cannot be light."""
    size = np.abs(values.astype(np.float64))
    top = int(size.argmax())
    if size[top] < MARK_OVER_NOISE * sigma:
        return None
    others = size[values != values[top]]
    return float(values[top]) if size[top] > MARK_OVER_NEXT * others.max() else None


def _judge(numbers: Mapping[str, float], settings: Mapping[str, Any]) -> None:
    """Refuse an image by the thresholds of the configuration."""
    for name, what in (("masked", "masked or beyond the edge of the image"), ("saturated", "")):
        found, limit = numbers[f"{name}_fraction"], settings[f"max_{name}_fraction"]
        if found > limit:
            raise Refused(
                f"{found:.3f} of its pixels are {what or 'saturated'} (max_{name}_fraction: "
                f"{limit:g})"
            )
    if settings["min_snr"] is not None and numbers["snr"] < settings["min_snr"]:
        raise Refused(f"its S/N is {numbers['snr']:.2f} (min_snr: {settings['min_snr']:g})")


def _hash(pixels: NDArray) -> str:
    """Return the SHA-256 of an image's shape and values, whatever the type it was stored in."""
    return hashlib.sha256(
        repr(pixels.shape).encode() + np.ascontiguousarray(pixels, "<f8").tobytes()
    ).hexdigest()


def _report(path: Path, refused: list[tuple[str, str]], candidates: int, used: int) -> None:
    """Log what was refused, and raise if nothing is left or something was lost."""
    counts: Counter[str] = Counter()
    for file, reason in refused:
        counts[_kind(reason)] += 1
        if counts[_kind(reason)] <= SHOWN:
            log.warning("%s refused: %s", file, reason)
    for kind, count in counts.items():
        log.warning("%d refused in all because: %s", count, kind)
    if candidates != used + len(refused):
        raise ValueError(
            f"{path}: {candidates} candidates are not {used} used + {len(refused)} refused"
        )
    if used == 0:
        shown = "".join(f"\n  {file}: {reason}" for file, reason in refused[:SHOWN])
        raise ValueError(f"{path}: none of {candidates} candidates can be used:{shown}")


def _psf(images: list[Image], settings: Mapping[str, Any]) -> str:
    """Say in words what the point-spread function is."""
    scales = [image.numbers["native_pixel_scale"] for image in images]
    ours = settings["observation"]["pixel_scale"]
    resampled = sum(abs(ours / s - 1) >= cleaning.SAME_SCALE for s in scales)
    return (
        f"that of the survey, not matched to the observation; native pixels {min(scales):.4g} to "
        f"{max(scales):.4g} arcsec, {resampled} of {len(scales)} resampled to {ours:g} arcsec"
    )


def _write(
    output: Path,
    scratch: Path,
    found: tuple[list[Candidate], list[Image], list[tuple[str, str]]],
    units: Mapping[str, str],
    settings: Mapping[str, Any],
    facts: Mapping[str, Any],
) -> None:
    used, images, refused = found
    observation = settings["observation"]
    n, size, bands = len(used), observation["size"], len(observation["bands"])
    index = np.arange(n, dtype=np.int64)
    scale = np.array([image.numbers["native_pixel_scale"] for image in images])
    changed = np.abs(observation["pixel_scale"] / scale - 1) >= cleaning.SAME_SCALE
    systems: dict[str, NDArray] = {
        "index": index,
        "is_lens": np.array([c.label or 0 for c in used], np.uint8),
        "label_known": np.array([c.label is not None for c in used], np.uint8),
        "kind": np.full(n, KIND_REAL, np.uint8),
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
    for name in images[0].numbers:
        systems[name] = np.array([image.numbers[name] for image in images], np.float64)
    extra, extra_units = cutout_layouts.metadata_columns(
        [c.metadata for c in used], {*systems, "group"}, units
    )
    unit = dict.fromkeys(systems, "") | {"native_pixel_scale": "arcsec"} | extra_units
    pixels = np.memmap(scratch, np.float32, "r", 0, (n, size, size, bands))
    with store.create(output) as file:
        for name, values in (systems | extra).items():
            store.add_column(file, "systems", name, [values], unit[name])
        store.add_column(file, "cutouts", "system", [index], "")
        store.add_column(file, "cutouts", "pixels", [pixels], "")
        for i, name in enumerate(("file", "reason")):
            texts = np.array([row[i] for row in refused], dtype=str)
            store.add_column(file, "refused", name, [texts], "")
        file.attrs.update(provenance.attributes(settings, **facts))
        file.attrs["reasons"] = json.dumps(Counter(_kind(reason) for _, reason in refused))
        file.attrs["content_digest"] = store.content_digest(file)


def _kind(reason: str) -> str:
    """Return a reason without what differs from file to file, to count by."""
    general = re.sub(r"^(.*?, band '[^']*'|line \d+): ", "", reason)
    return re.sub(r"-?\d[\d.e+-]*", "#", re.split(r": | \(", general)[0])
