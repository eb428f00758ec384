"""A cut-out of one's own with the image of a star: read, checked, on the grid of an observation.

The rules: the image fills the frame of the observation, and its sky is subtracted or given: at the
edge of so small a frame lies the halo of the galaxy, many times the noise, which a network that has
learned from whole halos must find there (`lensmill.cutouts.ingest` takes it for sky). The star is
alone in a square of an odd number of pixels of the size of the image's, brightest in the middle
one, with its light in all 1 to a hundredth, none of it cut off and none below zero. A map of the
noise, if there is one, has the shape of the image. Everything that is wrong is said at once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill import experiments
from lensmill.cutouts import files, ingest, layouts
from lensmill.cutouts.headers import Refused
from lensmill.cutouts.layouts import Candidate
from lensmill.imaging import cleaning, psf
from lensmill.imaging.psf import Psf

LARGEST_SUM = 0.01  # by which the light of a star may be off 1
DEEPEST = 1e-3  # of the peak: how far a star may lie below zero
CUT_OFF = 0.005  # of the peak: what may be left of a star at the edge of its image
APART, DEEP = 3, 2  # pixels of a difference, and rows along an edge that give some
DARKEST = 5  # percentile of a map of the noise that stands for its sky
TO_SIGMA = 1.4826 / np.sqrt(6)  # of the median absolute second difference
MASKED = 0.5  # part of a pixel that was filled, from which it does not count
HOW_MANY = {"image": "image", "psf": "image of a star", "noise": "map of the noise"}


class Cutout(NamedTuple):
    """Images of one system and all that belongs to them, on the grid of the observation."""

    pixels: NDArray  # (size, size, bands) float32
    masked: NDArray  # the same, bool
    psfs: list[Psf]  # of each band
    noise: NDArray | None  # like pixels; infinite where it was not finite
    sky: NDArray  # (bands,) noise of the sky
    native: float  # pixel scale of the image as it came [arcsec]
    centre: tuple[float, float]  # of the frame, as a pixel (x, y) of the image, from 1 as in FITS
    resampled: bool
    notes: tuple[str, ...]  # what its owner should know


def source_of(text: str) -> files.Source:
    """Return where an image is: a file, maybe with ``[extension]`` or ``[plane]`` behind it."""
    return layouts.find_source(Path(), text)


def listed(given: str | Sequence[str]) -> list[str]:
    """Return one name or several as a list."""
    return [given] if isinstance(given, str) else list(given)


def files_of(given: Mapping[str, Any]) -> list[str]:
    """List the files that `read` reads."""
    texts = [text for key in HOW_MANY for text in listed(given.get(key) or [])]
    return list(dict.fromkeys(str(source_of(text).path) for text in texts))


def read(given: Mapping[str, Any], observation: Mapping[str, Any]) -> Cutout:
    """Read a cut-out with its point-spread function.

    Parameters
    ----------
    given : mapping
        ``image``, ``psf`` and maybe ``noise``: a file, or one for each band; maybe ``pixel_scale``
        [arcsec] of the image, whatever it says; maybe ``sky``, its level in a pixel of the image,
        for each band if there are several.
    observation : mapping
        ``pixel_scale``, ``size`` and ``bands`` of what the network learned from.

    Raises
    ------
    ValueError
        With all that is wrong, file by file.
    """
    bands = list(observation["bands"])
    sources: dict[str, list[files.Source]] = {}
    faults = []
    for key, what in HOW_MANY.items():
        named = listed(given.get(key) or [])
        sources[key] = [source_of(text) for text in named]
        if len(named) != len(bands) and (named or key != "noise"):
            faults.append(
                f"{key}: {len(named)} named for the {len(bands)} bands that the network learned "
                f"from ({', '.join(bands)}); name one {what} for each, in that order, or choose a "
                "network of other bands"
            )
    left = np.atleast_1d(given.get("sky", 0.0)).astype(float)
    if len(left) not in (1, len(bands)):
        faults.append(f"sky: {len(left)} numbers for {len(bands)} bands; give one, or one for each")
    _refuse(faults)
    scale = given.get("pixel_scale")
    image, natives, missing = _image(sources["image"], observation, scale)
    faults += missing
    stars, wrong = [], []
    for source, native in zip(sources["psf"], natives, strict=True):
        star, bad = _star(source, native, scale, observation)
        stars.append(star)
        wrong += bad
    maps = []
    for source, of in zip(sources["noise"], sources["image"], strict=False):
        noise, bad = _noise(source, of, scale, observation)
        maps.append(noise)
        wrong += bad
    _refuse(faults + wrong)
    resampled = any(_resampled(native, observation) for native in natives)
    notes = list(image.notes)
    if resampled:
        notes.append(
            f"pixels of {natives[0]:.4g} arcsec were resampled to {observation['pixel_scale']:g}: "
            "neighbours have part of their noise in common"
        )
    noise = np.stack(maps, axis=-1) if maps else None
    level = np.array([image.numbers[f"sky_{band}"] for band in bands])
    area = np.square(observation["pixel_scale"] / np.array(natives)) if resampled else 1.0
    below = level - left < -np.array([image.numbers[f"sky_sigma_{band}"] for band in bands])
    if below.any():
        notes.append(
            "its edge lies below zero by more than the noise: too much sky was subtracted, which "
            "the network takes for less light of the galaxy"
        )
    return Cutout(
        image.pixels - (left * area).astype(np.float32),
        image.masked > MASKED,
        stars,
        noise,
        sky_noise(image.pixels) if noise is None else np.percentile(noise, DARKEST, axis=(0, 1)),
        natives[0],
        _centre(image.numbers, observation["size"], resampled),
        resampled,
        tuple(notes),
    )


def _refuse(faults: list[str]) -> None:
    if faults:
        count = "1 problem" if len(faults) == 1 else f"{len(faults)} problems"
        raise ValueError("\n  ".join([f"refused, {count}:", *faults]))


def sky_noise(pixels: NDArray) -> NDArray:
    """Return the noise of the sky in each band, from pixels (size, size, bands).

    From second differences of pixels `APART` apart along the edges: the halo of a galaxy that
    reaches the edge counts for little there.
    """
    values = []
    for image in (pixels, pixels.swapaxes(0, 1)):
        for edge in (image[:DEEP], image[-DEEP:]):
            ends = edge[:, 2 * APART :] + edge[:, : -2 * APART]
            values.append((ends - 2 * edge[:, APART:-APART]).reshape(-1, pixels.shape[-1]))
    return TO_SIGMA * np.median(np.abs(np.concatenate(values)), axis=0).astype(float)


def _centre(numbers: Mapping[str, float], size: int, resampled: bool) -> tuple[float, float]:
    """Return which pixel (x, y) of the first band's image the centre of the frame is."""
    sides = int(numbers["native_width"]), int(numbers["native_height"])
    if resampled:
        return tuple((n + 1) / 2 for n in sides)
    return tuple((n - size) // 2 + (size + 1) / 2 for n in sides)


def _resampled(native: float, observation: Mapping[str, Any]) -> bool:
    return abs(observation["pixel_scale"] / native - 1) >= cleaning.SAME_SCALE


def _image(
    sources: Sequence[files.Source], observation: Mapping[str, Any], scale: float | None
) -> tuple[ingest.Image | None, list[float | None], list[str]]:
    """Return the image, the pixel scale of each band as it came, and what is wrong."""
    settings = experiments.population_settings(
        "lens_parameters", {"ingest": "", "format": "table", "pixel_scale": scale}
    )
    names = ", ".join(source.path.name for source in sources)
    natives: list[float | None] = [None] * len(sources)
    faults = []
    for i, source in enumerate(sources):
        try:
            plane = files.read(source, scale)
        except Refused:
            continue  # said below
        natives[i] = plane.pixel_scale
        if plane.pixel_scale is None:
            continue
        frame, height, width = observation["size"], *plane.pixels.shape
        side = frame * observation["pixel_scale"] / plane.pixel_scale
        if min(height, width) < side * (1 - cleaning.SAME_SCALE):
            faults.append(
                f"{source.path.name} is {height} x {width} pixels of {plane.pixel_scale:.4g} "
                f"arcsec, less than the {frame} x {frame} of {observation['pixel_scale']:g} that "
                f"the network takes; cut out at least {int(np.ceil(side))} x {int(np.ceil(side))}"
            )
    if faults:
        return None, natives, faults
    candidate = Candidate(names, names, tuple(sources))
    try:
        image = ingest.read_image(candidate, {**settings, "observation": observation})
    except Refused as reason:
        return None, natives, [str(reason)]
    return image, natives, []


def _star(
    source: files.Source, native: float | None, scale: float | None, observation: Mapping[str, Any]
) -> tuple[Psf | None, list[str]]:
    """Return a point-spread function on the grid of the observation, and what is wrong with it."""
    name = source.path.name
    try:
        plane = files.read(source)
    except Refused as reason:
        return None, [f"{name}: {reason}"]
    pixels = plane.pixels.astype(float)
    ours = scale or native
    if plane.pixel_scale and ours and abs(plane.pixel_scale / ours - 1) > cleaning.SAME_SCALE:
        return None, [
            f"{name}: its pixels are {plane.pixel_scale:.4g} arcsec by its header, those of the "
            f"image {ours:.4g}; bring the star to the pixels of the image"
        ]
    faults = star_faults(pixels)
    if faults or native is None:
        return None, [f"{name}: {fault}" for fault in faults]
    if _resampled(native, observation):
        ratio = observation["pixel_scale"] / native
        side = int(np.ceil(len(pixels) / ratio)) // 2 * 2 + 1
        pixels, _ = cleaning.to_frame(pixels, np.zeros(pixels.shape, bool), ratio, side)
    return psf.pixels(pixels), []


def star_faults(pixels: NDArray) -> list[str]:
    """Say what is wrong with the image of a star, each with its remedy."""
    height, width = pixels.shape
    if height != width or height % 2 == 0:
        return [
            f"it is {height} x {width} pixels, but has to be square with an odd number on a side, "
            "so that one pixel is the middle; crop or pad it so that the star is there"
        ]
    bad = ~np.isfinite(pixels)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        return [
            f"{bad.sum()} of its pixels are not finite (first: row {row}, column {column}); "
            "replace them by what lies around"
        ]
    faults = []
    peak, low, total, middle = pixels.max(), pixels.min(), pixels.sum(), height // 2
    if low < -DEEPEST * peak:
        row, column = np.unravel_index(pixels.argmin(), pixels.shape)
        faults.append(
            f"its lowest pixel is {low:.3g} (row {row}, column {column}), where its peak is "
            f"{peak:.3g} (permitted: down to -{DEEPEST:g} of that); subtract its background, and "
            "set to 0 what noise leaves below"
        )
    if abs(total - 1) > LARGEST_SUM:
        faults.append(
            f"its pixels sum to {total:.6g}, not to 1 (permitted: {1 - LARGEST_SUM:g} to "
            f"{1 + LARGEST_SUM:g}); subtract its background, then divide it by its sum"
        )
    row, column = np.unravel_index(pixels.argmax(), pixels.shape)
    if (row, column) != (middle, middle):
        faults.append(
            f"it is brightest in row {row}, column {column}, but its middle is row {middle}, "
            f"column {middle}; centre the star, or all images would be displaced"
        )
    edge = max(pixels[[0, -1]].max(), pixels[:, [0, -1]].max())
    if edge > CUT_OFF * peak:
        faults.append(
            f"at its edge it still has {edge / peak:.2g} of its peak (permitted: {CUT_OFF:g}), so "
            "that light of the star is cut off; take a larger image of it"
        )
    return faults


def _noise(
    source: files.Source, of: files.Source, scale: float | None, observation: Mapping[str, Any]
) -> tuple[NDArray | None, list[str]]:
    """Return the map of the noise in the frame, and what is wrong with it."""
    name = source.path.name
    try:
        noise = files.read(source).pixels.astype(float)
    except Refused as reason:
        return None, [f"{name}: {reason}"]
    try:
        image = files.read(of, scale)
    except Refused:
        return None, []  # said of the image
    if noise.shape != image.pixels.shape:
        shapes = (" x ".join(map(str, shape)) for shape in (noise.shape, image.pixels.shape))
        return None, ["{}: it is {} pixels, but the image {}; give that of the image".format(
            name, *shapes
        )]  # fmt: skip
    if image.pixel_scale and _resampled(image.pixel_scale, observation):
        return None, [
            f"{name}: the image is resampled from {image.pixel_scale:.4g} to "
            f"{observation['pixel_scale']:g} arcsec, and the noise of that is not the map's; leave "
            "the map out, then the noise is measured"
        ]
    low = noise <= 0  # false where it is not a number
    if low.any():
        row, column = np.argwhere(low)[0]
        return None, [
            f"{name}: {low.sum()} of its pixels are not above 0 (first: row {row}, column "
            f"{column}); a pixel that does not count has the noise inf or nan"
        ]
    noise = np.where(np.isfinite(noise), noise, np.inf)
    # no arithmetic on infinite numbers: what is cut out is a part of the map
    finite = np.where(np.isfinite(noise), noise, -1.0)
    size = observation["size"]
    frame, _ = cleaning.to_frame(finite, np.zeros(finite.shape, bool), 1.0, size)
    return np.where(frame > 0, frame, np.inf), []


def width(star: Psf, pixel_scale: float) -> float:
    """Return the width of a point-spread function [arcsec].

    That of the Gaussian with the same noise-equivalent area, ``1 / sum(kernel**2)``, at half its
    height: it is defined for whatever is sampled however coarsely.
    """
    area = 1 / np.square(star.kernel).sum() / star.supersampling**2
    return float(np.sqrt(2 * np.log(2) * area / np.pi) * pixel_scale)
