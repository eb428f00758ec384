"""Read one file of pixels, FITS or .npy, whole and checked, with its pixel scale.

A file of more than `LARGE` bytes is mapped instead, and only what `cut` takes of it is read.
"""

import functools
import gzip
import io
import re
import shutil
import tempfile
import warnings
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS
from numpy.typing import NDArray

FITS = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz", ".fits.fz")
# Where observatories write the pixel scale [arcsec] if there is no WCS
SCALE_KEYS = ("PIXSCALE", "PIXSCAL1", "SECPIX", "SECPIX1", "D001SCAL")
WCS_KEYS = re.compile(r"CTYPE\d|CUNIT\d|CDELT\d|CROTA\d|CD\d_\d|PC\d_\d|PC00\d00\d|LATPOLE|LONPOLE")
SQUARE = 0.05  # ratio of the sides of a pixel less 1 up to which it is taken for a square
REMEMBERED = 8  # files kept in memory: a table names the planes of the same cubes again and again
LARGE = 1 << 26  # bytes of a file beyond which it is neither read whole nor kept in memory


class Refused(Exception):
    """Why a file cannot be used, in words for its owner."""


class Plane(NamedTuple):
    """One image in a file."""

    pixels: NDArray  # shape (height, width), in the byte order of this machine
    pixel_scale: float | None  # [arcsec], from the WCS or the header
    saturation: float | None  # value at which the header says that pixels saturate
    scaling: tuple | None = None  # BSCALE, BZERO, BLANK, BITPIX that pixels are still to be given
    step: float = 0.0  # between values that the file can hold, by BSCALE or lossy compression
    lossy: float = 0.0  # the same, where each part of the image has steps of its own
    exact_zero: bool = True  # whether zeros are as they were before


class Contents(NamedTuple):
    """The images in a file: one array of 2 or 3 dimensions for each header-data unit."""

    arrays: dict[int, NDArray]
    pixel_scale: float | None
    saturation: float | None
    storage: dict[int, dict]  # of each unit: `scaling`, `step`, `lossy`, `exact_zero`


def read(path: Path, plane: int | None = None, planes: int | None = None) -> Plane:
    """Read one image.

    Parameters
    ----------
    path : path
        FITS, gzipped or not, or .npy.
    plane : int, optional
        Of a cube; in a FITS file without a cube, the number of the extension. Without it the
        file must hold one image.
    planes : int, optional
        How many planes a cube must have for ``plane`` to be taken from it (a cube of bands); for
        .npy the bands may also come last.

    Raises
    ------
    Refused
        If the file is missing, damaged, or not of that form.
    """
    if not path.is_file():
        raise Refused("there is no such file")
    contents = _contents(path, path.stat().st_mtime_ns)
    pixels = _choose(contents.arrays, plane, planes)
    unit = next(n for n, a in contents.arrays.items() if np.may_share_memory(a, pixels))
    storage = contents.storage.get(unit, {})
    return Plane(pixels, contents.pixel_scale, contents.saturation, **storage)


def cut(plane: Plane, rows: slice, columns: slice) -> Plane:
    """Return a part of an image, in memory; of a large file nothing else is read."""
    pixels = _native(plane.pixels[rows, columns])
    if plane.scaling is not None:
        scale, zero, blank, bits = plane.scaling
        holes = pixels == blank
        pixels = pixels * float(scale) + float(zero)
        if blank is not None and bits > 0:
            pixels[holes] = np.nan
        pixels = pixels.astype(np.float32 if bits in (8, 16) else np.float64)
    return plane._replace(pixels=pixels, scaling=None)


def _choose(arrays: dict[int, NDArray], plane: int | None, planes: int | None) -> NDArray:
    if not arrays:
        raise Refused("it holds no image")
    first = next(iter(arrays.values()))
    while first.ndim > 2 and first.shape[0] == 1:
        first = first[0]
    if first.ndim == 3 and planes is not None:
        if first.shape[0] != planes and first.shape[-1] == planes:
            first = np.moveaxis(first, -1, 0)
        if first.shape[0] != planes:
            raise Refused(f"its shape is {first.shape}, which is not one image for {planes} bands")
    if first.ndim == 3 and plane is not None:
        if plane >= len(first):
            raise Refused(f"it has no plane {plane}; its shape is {first.shape}")
        first = first[plane]
    elif plane is not None and planes is None:
        if plane not in arrays:
            raise Refused(f"it has no plane or extension {plane}; there are images in: {[*arrays]}")
        first = arrays[plane]
    elif plane is not None:
        raise Refused(f"its shape is {first.shape}: one image where {planes} bands are needed")
    if first.ndim != 2 or min(first.shape) < 8:
        raise Refused(f"its shape is {first.shape}, which is no image of at least 8 x 8 pixels")
    return first


def _contents(path: Path, changed: int) -> Contents:
    """Read a whole file or map a large one; only what is small is remembered."""
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"  # whatever the name says
        if not zipped:
            return _parse(path) if path.stat().st_size > LARGE else _small(path, changed)
        if _unzipped(path) <= LARGE:
            return _small(path, changed)
        with tempfile.NamedTemporaryFile() as whole:
            with gzip.open(path) as file:
                shutil.copyfileobj(file, whole)
            whole.flush()
            return _parse(Path(whole.name))  # which outlives the name
    except (OSError, EOFError, zlib.error) as error:
        raise Refused(f"it cannot be read, truncated or damaged ({error})") from error


def _unzipped(path: Path) -> int:
    """Return the size of a gzipped file by its last four bytes, which count modulo 2^32."""
    with path.open("rb") as file:
        file.seek(-4, io.SEEK_END)
        size = int.from_bytes(file.read(4), "little")
    return max(size, path.stat().st_size)


_remembered: OrderedDict[tuple[Path, int], Contents] = OrderedDict()


def _small(path: Path, changed: int) -> Contents:
    """Read a whole file; ``changed`` makes a file that was rewritten another one."""
    key = (path, changed)
    if key in _remembered:
        _remembered.move_to_end(key)
        return _remembered[key]
    data = path.read_bytes()
    contents = _parse(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    if sum(array.nbytes for array in contents.arrays.values()) <= LARGE:
        _remembered[key] = contents
        if len(_remembered) > REMEMBERED:
            _remembered.popitem(last=False)
    return contents


def _parse(data: bytes | Path) -> Contents:
    """Read what a file holds, or map it if only its path is given."""
    if isinstance(data, Path):
        with data.open("rb") as file:
            start = file.read(6)
    else:
        start = data[:6]
    if start == b"\x93NUMPY":
        return _npy(data)
    if start != b"SIMPLE":
        raise Refused("it is not a FITS or .npy file by its first bytes")
    return _fits(data)


def _npy(data: bytes | Path) -> Contents:
    try:
        if isinstance(data, Path):
            array = np.load(data, mmap_mode="r", allow_pickle=False)
        else:
            array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise Refused(f"it cannot be read as .npy without running code ({error})") from error
    if array.dtype.kind not in "fiub":
        raise Refused(f"it holds {array.dtype}, not real numbers")
    return Contents({0: array if isinstance(data, Path) else _native(array)}, None, None, {})


def _fits(data: bytes | Path) -> Contents:
    arrays, first, storage = {}, None, {}
    mapped = isinstance(data, Path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", "File may have been truncated", AstropyUserWarning)
            source = data if mapped else io.BytesIO(data)
            with fits.open(source, memmap=mapped, do_not_scale_image_data=mapped) as file:
                for number, unit in enumerate(file):
                    if not unit.is_image:
                        continue
                    stored = _storage(unit, mapped)  # before the data: they change the header
                    if unit.data is None:
                        continue
                    arrays[number] = unit.data if mapped else _native(unit.data)
                    storage[number] = stored
                    first = unit.header if first is None else first
                header = file[0].header if first is None else first
                compressed = any(isinstance(unit, fits.CompImageHDU) for unit in file)
            for number, found in (_lossy(data, arrays) if compressed else {}).items():
                storage[number] |= found
    except (OSError, ValueError, TypeError, KeyError, IndexError, AstropyUserWarning) as error:
        raise Refused(f"it cannot be read as FITS, truncated or damaged ({error})") from error
    saturation = header.get("SATURATE")
    known = isinstance(saturation, int | float) and saturation > 0
    return Contents(arrays, _pixel_scale(header), float(saturation) if known else None, storage)


def _storage(unit: fits.ImageHDU, mapped: bool) -> dict:
    """Return how the numbers of a unit are stored, by its header."""
    header = unit.header
    scale, zero = header.get("BSCALE", 1), header.get("BZERO", 0)
    whole = header["BITPIX"] > 0 and (scale, zero) != (1, 0)
    found = {"step": abs(float(scale)) if whole else 0.0, "exact_zero": not whole}
    if mapped and (whole or header.get("BLANK") is not None):
        found["scaling"] = (scale, zero, header.get("BLANK"), header["BITPIX"])
    return found


def _lossy(data: bytes | Path, arrays: dict[int, NDArray]) -> dict[int, dict]:
    """Return the largest step of each image of real numbers that was compressed to whole ones."""
    found = {}
    source = data if isinstance(data, Path) else io.BytesIO(data)
    with fits.open(source, disable_image_compression=True) as file:
        for number, unit in enumerate(file):
            header = unit.header
            if number in arrays and header.get("ZIMAGE") and header["ZBITPIX"] < 0:
                column = "ZSCALE" in unit.columns.names
                steps = np.abs(unit.data["ZSCALE"] if column else [header.get("ZSCALE", 0.0)])
                step = float(np.nanmax(steps, initial=0.0))
                exact = header.get("ZQUANTIZ") == "SUBTRACTIVE_DITHER_2" or step == 0
                found[number] = {"step": step, "lossy": step, "exact_zero": exact}
    return found


def _native(array: NDArray) -> NDArray:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _pixel_scale(header: fits.Header) -> float | None:
    """Return the pixel scale [arcsec] of the WCS, else of a key of the header, if there is one."""
    cards = tuple((key, header[key]) for key in header if WCS_KEYS.fullmatch(key))
    scale = _scale_of_wcs(cards) if {"CDELT1", "CD1_1"} & {key for key, _ in cards} else None
    if scale is None:
        named = (header[key] for key in SCALE_KEYS if key in header)
        scale = next((float(v) for v in named if isinstance(v, int | float) and v > 0), None)
    return scale


@functools.lru_cache(maxsize=1024)
def _scale_of_wcs(cards: tuple[tuple[str, object], ...]) -> float | None:
    """Return the side of a pixel [arcsec] by the WCS of a header; most files of a survey agree."""
    header = fits.Header([*cards, ("NAXIS", 2)])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old keywords, which are understood
            wcs = WCS(header)
            if not wcs.has_celestial:
                return None
            matrix = wcs.celestial.pixel_scale_matrix  # degrees, whatever the header's unit
    except (ValueError, KeyError, TypeError, MemoryError) as error:
        raise Refused(f"its WCS cannot be understood ({error})") from error
    # whichever way the axes are turned: a circle on the sky must be one on the detector
    long, short = 3600 * np.linalg.svd(matrix, compute_uv=False)
    if not short > 0 or long / short > 1 + SQUARE:
        raise Refused(f"its pixels are not square: {long:.4g} x {short:.4g} arcsec by the WCS")
    return float(np.sqrt(long * short))
