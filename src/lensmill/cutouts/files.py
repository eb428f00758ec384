"""Read one image of a file, FITS or .npy, checked, with what its own header says of it.

A file of more than `LARGE` bytes is mapped instead, and only what `cut` takes of it is read.
"""

import functools
import gzip
import io
import mmap
import os
import re
import shutil
import stat
import tempfile
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import NDArray

from lensmill.cutouts import archives, headers
from lensmill.cutouts.headers import Place, Refused
from lensmill.imaging.cleaning import SAME_SCALE

FITS = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz", ".fits.fz")
# Where observatories write the pixel scale [arcsec] if there is no WCS
SCALE_KEYS = ("PIXSCALE", "PIXSCAL1", "SECPIX", "SECPIX1", "D001SCAL")
SCALING = ("BSCALE", "BZERO", "BLANK")  # of the pixels' values
STORAGE = ("BITPIX", "ZIMAGE", "ZBITPIX", "ZQUANTIZ", "ZSCALE")  # and of compression
# How observatories name an extension, the first that is there
NAME_KEYS = ("EXTNAME", "EXTTYPE", "DES_EXT", "HDUNAME", "IMAGETYP")
KEYS = "|".join(
    [
        headers.KEYS.pattern,
        "SATURATE|INHERIT|EXTVER",
        *SCALE_KEYS,
        *SCALING,
        *STORAGE,
        *NAME_KEYS,
    ]
)
ZIPPED = b"\x1f\x8b"  # what a gzipped file begins with
CARD, BLOCK = 80, 2880  # characters; bytes
# What says how a FITS file is laid out, and its first cards if it holds one image and no more
STRUCTURE = re.compile(r"SIMPLE|BITPIX|NAXIS\d*|END|XTENSION|PCOUNT|GCOUNT|GROUPS")
END = b"END" + 77 * b" "
PLAIN = [
    re.compile(rb"%-8s= +(%s) *(/.*)?" % (key, value))
    for key, value in (
        *((b"SIMPLE", b"T"), (b"BITPIX", rb"-?\d+"), (b"NAXIS", b"2")),
        *((b"NAXIS1", rb"\d+"), (b"NAXIS2", rb"\d+")),
    )
]
TYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
PLACES = frozenset(headers.PLACES)
UNSCALED = (("BSCALE", 1), ("BZERO", 0))
IMAGES = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)
SCIENCE = ("sci", "science", "image", "data", "flux")
# Words in the names of what belongs to an image and is none
BESIDE = frozenset(
    "weight weights wht wgt wmap mask masks maskbits msk bpm badpix dq dqf quality flag flags flg "
    "err error errors sigma rms noise var variance ivar invvar unc uncert uncertainty stat std "
    "psf prf kernel conf confidence coverage cov con ctx context nimage expmap exptime area bkg "
    "background sky model residual residuals seg segm segmap segmentation wavelength".split()
)
SMALLEST = 8  # side of an image [pixel]
TRIMMED = 2  # pixels by which the sides of an image that was not trimmed may differ
LARGE = 1 << 25  # bytes of a file beyond which it is neither read whole nor kept in memory
PACKED = 4  # times as large that an image may be in memory as in its compressed file
REMEMBERED = 8  # files kept in memory: a table names the planes of the same cubes again and again
# What numpy raises where an array or its header, a Python literal, is damaged
NOT_NPY = (OSError, ValueError, TypeError, EOFError, MemoryError, SyntaxError, TokenError)
# What astropy raises where headers or compressed pixels are damaged
DAMAGE = (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
DAMAGE += (AssertionError, AstropyUserWarning, fits.VerifyError, CfitsioException)


class Source(NamedTuple):
    """Where one band of a candidate is."""

    path: Path
    plane: int | None = None  # of a cube; of a FITS file without a cube, the extension
    planes: int | None = None  # that the cube must have, for its bands in order
    extension: tuple[str | int, int | None] | None = None  # name and version, or number
    member: str | None = None  # of an archive (tar, zip), which `path` then is


class Plane(NamedTuple):
    """One image in a file."""

    pixels: NDArray  # shape (height, width), in the byte order of this machine
    pixel_scale: float | None  # [arcsec]: what is given, else of its WCS, else of its header
    saturation: float | None  # value at which its header says that pixels saturate
    wcs: headers.Header | None  # None also if what is given contradicts it
    trimmed: float  # how far the target may lie from the middle, of an image cut at an edge [pixel]
    note: str  # what its owner should know
    scaling: tuple | None = None  # BSCALE, BZERO, BLANK, BITPIX that pixels are still to be given
    step: float = 0.0  # between values that the file can hold, by BSCALE or lossy compression
    lossy: float = 0.0  # the same, where each part of the image has steps of its own
    exact_zero: bool = True  # whether zeros are as they were before

    def place(self, x: float, y: float) -> Place | None:
        """Return where a point of the image, in pixels from its middle, lies on the sky."""
        height, width = self.pixels.shape
        pixel = (width + 1) / 2 + x, (height + 1) / 2 + y
        return headers.locate(self.wcs, pixel) if self.wcs is not None else None


class Unit(NamedTuple):
    """A header-data unit with an image, in a file that may hold several."""

    name: str  # in small letters
    version: int
    shape: tuple[int, ...]
    cards: Mapping[str, Any]  # of the header, those that are needed here


class Facts(NamedTuple):
    """The header of an image: its WCS, and what else is known of it."""

    cards: Mapping[str, Any]
    wcs: headers.Header | None
    fault: str  # of the WCS
    axes: tuple[int, int] = (0, 1)  # of the sky, among those of the file


class Contents(NamedTuple):
    """The images in a file by the number of their header-data unit, and the file."""

    units: dict[int, Unit]
    file: fits.HDUList | NDArray | list
    first: Mapping[str, Any] = {}  # cards of the first header, which others may inherit
    storage: Mapping[int, dict] = {}  # of each unit: `scaling`, `step`, `lossy`, `exact_zero`
    stacks: bool = False  # `file` is a list of stacks, an image a row, one for each of the units
    plain: Facts | None = None  # of a FITS file of one image that was read without astropy


class Survey(NamedTuple):
    """The header of plain files that differ only in where they lie on the sky."""

    bits: int
    structure: bytes  # cards that it begins with
    unit: Unit
    facts: Facts
    storage: dict


def read(source: Source, pixel_scale: float | None = None) -> Plane:
    """Read one image, with the facts of the header that belongs to it.

    Parameters
    ----------
    source : Source
        Without ``plane`` and ``extension``, the file must hold one image, or name the one that is
        meant. A cube of ``planes`` bands may have them last.
    pixel_scale : float, optional
        [arcsec]; where it is given, it is used and not what the file says.

    Raises
    ------
    Refused
        If the file is missing, damaged, or not of that form.
    """
    changed = _changed(source.path)
    contents = _contents(source.path, changed, source.member)
    number, plane = _unit_and_plane(contents.units, source)
    facts = contents.plain or _facts(source.path, changed, source.member, number)
    if contents.stacks:
        pixels = _row(contents.file[number], plane)
    else:
        array = _array(contents, number, facts)
        pixels = _plane(array, plane, source.planes, facts.wcs is not None)
    stated, note = None, ""
    try:
        stated = _pixel_scale(facts, pixels.shape)
    except Refused as reason:
        if pixel_scale is None:
            raise Refused(f"{reason}; repair it, or set pixel_scale [arcsec]") from reason
        note = f"{reason}; pixel_scale: {pixel_scale:g} is used"
    if pixel_scale and stated and abs(stated / pixel_scale - 1) > SAME_SCALE:
        note = f"its header says {stated:.4g} arcsec a pixel; pixel_scale: {pixel_scale:g} is used"
    wcs = None if note else facts.wcs
    saturation = headers.number(facts.cards.get("SATURATE"))
    return Plane(
        pixels,
        pixel_scale or stated,
        saturation if saturation and saturation > 0 else None,
        wcs,
        _offset_at_edge(pixels.shape, facts.cards if wcs else {}),
        note,
        **contents.storage.get(number, {}),
    )


def card(source: Source, key: str) -> Any:
    """Return the value of a keyword in the header of an image, or in the first header; or None.

    Raises
    ------
    Refused
        As `read`.
    """
    changed = _changed(source.path)
    contents = _contents(source.path, changed, source.member)
    number, _ = _unit_and_plane(contents.units, source)
    if contents.plain:
        headers_ = [_header(source.path, changed, source.member)]
    elif isinstance(contents.file, fits.HDUList):
        headers_ = [contents.file[n].header for n in (number, 0)]
    else:
        return None
    return next((header[key] for header in headers_ if key in header), None)


def cut(plane: Plane, rows: slice, columns: slice) -> Plane:
    """Return a part of an image, in memory; of a large file nothing else is read."""
    pixels = plane.pixels[rows, columns]
    pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
    if plane.scaling is not None:
        scale, zero, blank, bits = plane.scaling
        holes = pixels == blank
        pixels = pixels * float(scale) + float(zero)
        if blank is not None and bits > 0:
            pixels[holes] = np.nan
        pixels = pixels.astype(np.float32 if bits in (8, 16) else np.float64)
    return Plane(pixels, *plane[1:6], None, *plane[7:])


def _unit_and_plane(units: Mapping[int, Unit], source: Source) -> tuple[int, int | None]:
    """Return the number of the header-data unit that is meant, and the plane of it."""
    plane = source.plane
    if source[1:4] == (None, None, None) and len(units) == 1 and 0 in units and not units[0].name:
        return 0, None  # one image, as in most files
    if source.extension is not None:
        return _find_unit(units, *source.extension), plane
    if plane not in units and source.planes is None:  # a name of digits: F814W may be "814"
        matches = [number for number, unit in units.items() if unit.name == str(plane)]
        if len(matches) == 1:
            return matches[0], None
    try:
        science = _science(units)
    except Refused:
        if plane not in units or source.planes is not None:
            raise
        return plane, None
    shape = units[science].shape
    if plane is None or source.planes is not None or sum(side > 1 for side in shape) == 3:
        return science, plane
    if plane in units:
        return plane, None
    if plane == 0 and len(shape) > 2:  # a cube of one plane
        return science, None
    raise Refused(f"it has no plane or extension {plane}; {_list_images(units)}")


def _find_unit(units: Mapping[int, Unit], name: str | int, version: int | None) -> int:
    wanted = str(name).casefold()
    if isinstance(name, int):
        matches = [number for number in units if number == name]
    else:
        matches = [
            number
            for number, unit in units.items()
            if unit.name == wanted and version in (None, unit.version)
        ]
        if wanted == "primary" and not matches:
            matches = [number for number in units if number == 0]
    shown = f"[{name}]" if version is None else f"[{name},{version}]"
    if not matches:
        raise Refused(f"it has no image in an extension {shown}; {_list_images(units)}")
    if len(matches) > 1:
        raise Refused(f"it has {len(matches)} extensions {shown}; {_list_images(units)}")
    return matches[0]


def _science(units: Mapping[int, Unit]) -> int:
    """Return the number of the one image that is no mask, weight or the like."""
    images = {n: u for n, u in units.items() if sum(side > 1 for side in u.shape) > 1} or units
    others = [n for n, u in images.items() if not BESIDE & {*re.findall("[a-z]+", u.name)}]
    named = [n for n in others if images[n].name in SCIENCE]
    if not others:
        raise Refused(f"none of its images is one of the sky by its name; {_list_images(units)}")
    for chosen in (named, others):
        if len(chosen) == 1:
            return chosen[0]
    if not named and others[0] == 0:  # what comes first is the image, if it comes without a name
        return 0
    raise Refused(f"it does not say which of its images is meant; {_list_images(units)}")


def _list_images(units: Mapping[int, Unit]) -> str:
    names = Counter(unit.name for unit in units.values())
    versions = Counter((unit.name, unit.version) for unit in units.values())
    shown = []
    for number, unit in units.items():
        name = unit.name.upper()
        if names[unit.name] > 1:
            name = f"{name},{unit.version}"
        if not unit.name or versions[unit.name, unit.version] > 1:
            name = str(number)
        shown.append(f"[{name}] of {' x '.join(map(str, unit.shape))}")
    return f"there are: {', '.join(shown)}; write one of them behind the file's name in a table"


def _plane(array: NDArray, plane: int | None, planes: int | None, known: bool) -> NDArray:
    """Return one image of an array; ``known``: the axes of the sky are the last two."""
    array = array.squeeze()
    if array.ndim == 3:
        height, width, bands = array.shape
        last = bands < SMALLEST <= min(height, width) or bands == planes != height
        if last or (not known and height == width > bands):
            array = np.moveaxis(array, -1, 0)
    shape = array.shape
    if array.ndim == 3 and planes is not None and len(array) != planes:
        raise Refused(
            f"its shape is {shape}, which is not one image for {planes} bands; to take some of its "
            "planes, number all bands, as in bands: {r: 1}"
        )
    if array.ndim == 3 and plane is not None:
        if plane >= len(array):
            raise Refused(f"it has no plane {plane}; its shape is {shape}")
        array = array[plane]
    elif planes is not None:
        raise Refused(f"its shape is {shape}: one image where {planes} bands are needed")
    elif plane:
        raise Refused(f"it has no plane {plane}; its shape is {shape}")
    if array.ndim != 2 or min(array.shape) < SMALLEST:
        smallest = f"{SMALLEST} x {SMALLEST} pixels"
        which = "; number the plane that is meant, as in bands: {r: 1}" if array.ndim == 3 else ""
        raise Refused(
            f"its shape is {array.shape}, which is no image of at least {smallest}{which}"
        )
    return array


def _changed(path: Path) -> int:
    """Return when a file was written last [ns]."""
    try:
        status = os.stat(path)  # noqa: PTH116 - this is asked for every image
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no name has a zero byte
        raise Refused("there is no such file") from None
    except OSError as error:
        raise Refused(f"it cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(status.st_mode):
        raise Refused("there is no such file")
    return status.st_mtime_ns


@functools.lru_cache(maxsize=REMEMBERED)
def _contents(path: Path, changed: int, member: str | None) -> Contents:
    """Read a file, or map a large one; ``changed`` makes a file that was rewritten another one."""
    try:
        if member is not None:
            data = archives.read(path, changed, member)
            data = gzip.decompress(data) if data[:2] == ZIPPED else data
            return _parse(data, data)
        with open(path, "rb") as file:  # noqa: PTH123 - half the time of `Path.open`
            size = os.fstat(file.fileno()).st_size
            begin = file.peek(8)[:8]
            if archives.holds_stacks(path, begin):
                return _read_stacks(path, changed, begin)
            data = file.read(min(size, LARGE))
            packed = size > LARGE // PACKED or begin[:2] == ZIPPED
            if packed and _size(path, size, data, file) > LARGE:
                return _read_mapped(path, changed)
        data = gzip.decompress(data) if data[:2] == ZIPPED else data
        return _parse(data, data)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise Refused(f"it cannot be read, truncated or damaged ({error})") from error


@functools.lru_cache(maxsize=REMEMBERED)
def _read_stacks(path: Path, changed: int, begin: bytes) -> Contents:
    """Open the stacks of images that a file holds; none of them is read."""
    try:
        found = archives.stacks(path, begin)
    except NOT_NPY as error:
        raise Refused(f"it cannot be read, truncated or damaged ({error})") from error
    if not found:
        raise Refused("it holds no stack of images, an array of numbers (rows, height, width)")
    units = {
        i: Unit(name.casefold(), 1, stack.shape, {})
        for i, (name, stack) in enumerate(found.items())
    }
    return Contents(units, [*found.values()], stacks=True)


def _row(stack: Any, row: int | None) -> NDArray:
    """Return one image of a stack."""
    if row is None:
        raise Refused(
            f"it is a stack of {len(stack)} images; number the one that is meant, as in "
            "stack.h5[images][17]"
        )
    if row >= len(stack):
        raise Refused(f"it has no row {row}; its shape is {stack.shape}")
    try:
        pixels = np.asarray(stack[row])
    except DAMAGE as error:
        raise Refused(f"it cannot be read, truncated or damaged ({error})") from error
    if min(pixels.shape) < SMALLEST:
        raise Refused(
            f"its rows are of {pixels.shape}, no images of {SMALLEST} x {SMALLEST} pixels"
        )
    return pixels


def _size(path: Path, size: int, data: bytes, file: io.BufferedReader) -> int:
    """Return the bytes that a file takes in memory, about; of a gzipped one modulo 2^32."""
    if path.name.casefold().endswith(".fz"):
        return PACKED * size
    if data[:2] == ZIPPED:  # whatever the name says
        file.seek(-4, io.SEEK_END)
        return max(int.from_bytes(file.read(4), "little"), size)
    return size


def _is_zipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == ZIPPED


@functools.lru_cache(maxsize=1)
def _header(path: Path, changed: int, member: str | None) -> fits.Header:
    """Return the whole first header of a file."""
    file = path if member is None else io.BytesIO(archives.read(path, changed, member))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fits.getheader(file)


@functools.lru_cache(maxsize=1)
def _read_mapped(path: Path, changed: int) -> Contents:
    if not _is_zipped(path):
        return _map(path)
    with tempfile.NamedTemporaryFile() as unzipped:
        with gzip.open(path) as file:
            shutil.copyfileobj(file, unzipped)
        unzipped.flush()
        return _map(Path(unzipped.name))  # the mapping outlives the name


def _map(path: Path) -> Contents:
    with path.open("rb") as file:
        return _parse(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), path)


def _parse(data: bytes | mmap.mmap, source: bytes | Path) -> Contents:
    """Read what a file holds, or map it if ``source`` is its path."""
    if data[:6] == b"\x93NUMPY":
        return _npy(source)
    if data[:6] != b"SIMPLE":
        raise Refused("it is not a FITS or .npy file by its first bytes")
    plain = _plain_fits(data) if isinstance(data, bytes) else None
    return plain or _fits(data, source)


def _plain_fits(data: bytes) -> Contents | None:
    """Read a file of one image as most surveys cut it out; None if it is anything else.

    One unit of two axes, whole, in numbers that are stored as they are, under a header of the form
    of the standard: astropy takes a millisecond for it, and is asked whenever something differs.
    """
    end = data.find(END)
    first = -(-(end + CARD) // BLOCK) * BLOCK
    if end % CARD or data[end:first].strip(b" ") != b"END":
        return None
    cards = [data[i : i + CARD] for i in range(0, end, CARD)]
    read = [(card, known) for card, known in zip(cards, map(_card, cards), strict=True) if known]
    # where it lies differs from file to file, all else is often that of a whole survey
    placed = [known for _, known in read if known[0] in PLACES]
    places = {k: v for k, v, _ in placed if type(v) is float and abs(v) < headers.FAR}
    if len(places) < len(placed):  # one is no number, or is given twice
        places = {}
    survey = _survey(tuple([known[0] if known[0] in places else card for card, known in read]))
    if survey is None or not data.startswith(survey.structure):
        return None
    height, width = survey.unit.shape
    size = abs(survey.bits) // 8 * width * height
    if not size or len(data) != first + -(-size // BLOCK) * BLOCK:
        return None
    pixels = np.frombuffer(data, TYPES[survey.bits], width * height, first).reshape(height, width)
    own = survey.facts.cards | places
    wcs = survey.facts.wcs and headers.at(survey.facts.wcs, places)
    facts = Facts(own, wcs, survey.facts.fault)
    units = {0: Unit(*survey.unit[:3], own)}
    return Contents(units, pixels, own, {0: survey.storage}, plain=facts)


@functools.lru_cache(maxsize=256)
def _survey(cards_or_keys: tuple[bytes | str, ...]) -> Survey | None:
    """Return what cards of a header say, of which some are known by their keys alone.

    None if it is not that of a plain file.
    """
    read = [(c, 0.0, b"") if isinstance(c, str) else _card(c) for c in cards_or_keys]
    structure = [card for _, _, card in read if card]
    if len(structure) != len(PLAIN):
        return None
    head = [form.fullmatch(card) for form, card in zip(PLAIN, structure, strict=True)]
    if not all(head) or int(head[1][1]) not in TYPES:
        return None
    bits, width, height = (int(head[i][1]) for i in (1, 3, 4))
    cards: dict[str, Any] = {}
    for key, value, _ in read:
        if value is not None and key not in cards:
            cards[key] = value
    if "BLANK" in cards or "ZIMAGE" in cards:
        return None
    # T is 1, and F is 0: not here
    if any(type(cards.get(key)) is bool or cards.get(key, of) != of for key, of in UNSCALED):
        return None
    unit = _named((height, width), cards)
    return Survey(bits, b"".join(structure), unit, _facts_of(cards), _storage(cards, False))


@functools.lru_cache(maxsize=8192)
def _card(card: bytes) -> tuple[str, Any, bytes] | None:
    """Return key and value of a card, and the card if it says how a file is laid out.

    None if it is not needed here; most are those of the file before.
    """
    text = card.decode("latin-1")
    key = text[:8].rstrip()
    if not (card.isascii() and text.isprintable()) or STRUCTURE.fullmatch(key):
        return key, _value(text[10:].strip()) if _is_needed(key) else None, card
    if not _is_needed(key) or text[8:10] != "= ":
        return None
    return key, _value(text[10:].strip()), b""


def _npy(source: bytes | Path) -> Contents:
    try:
        if isinstance(source, Path):
            array = np.load(source, mmap_mode="r", allow_pickle=False)
        else:
            array = np.load(io.BytesIO(source), allow_pickle=False)
    except NOT_NPY as error:
        raise Refused(f"it cannot be read as .npy without running code ({error})") from error
    if array.dtype.kind not in "fiub":
        raise Refused(f"it holds {array.dtype}, not real numbers")
    return Contents({0: Unit("", 1, array.shape, {})}, array)


def _fits(data: bytes | mmap.mmap, source: bytes | Path) -> Contents:
    units, storage = {}, {}
    mapped = isinstance(source, Path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", "File may have been truncated", AstropyUserWarning)
            # astropy leaves BLANK unheeded in unsigned integers: they are read as scaled ones
            file = fits.open(
                source if mapped else io.BytesIO(source),
                memmap=mapped,
                uint=False,
                do_not_scale_image_data=mapped,
            )
            for number, unit in enumerate(file):
                if isinstance(unit, IMAGES) and unit.shape and all(unit.shape):
                    units[number] = _unit(unit, data)
                    storage[number] = _storage(units[number].cards, mapped)
            first = _cards(file[0], data) if isinstance(file[0], fits.PrimaryHDU) else {}
            if any(u.cards.get("ZIMAGE") and u.cards["ZBITPIX"] < 0 for u in units.values()):
                _add_lossy(source, storage)
    except DAMAGE as error:
        raise Refused(f"it cannot be read as FITS, truncated or damaged ({error})") from error
    if not units:
        raise Refused("it holds no image")
    return Contents(units, file, first, storage)


def _storage(cards: Mapping[str, Any], mapped: bool) -> dict:
    """Return how the numbers of a unit are stored, by its header."""
    scale, zero = (cards.get(key, default) for key, default in (("BSCALE", 1), ("BZERO", 0)))
    bits = int(cards.get("ZBITPIX", cards["BITPIX"]))
    whole = bits > 0 and (scale, zero) != (1, 0)
    storage = {"step": abs(float(scale)) if whole else 0.0, "exact_zero": not whole}
    if mapped and (whole or cards.get("BLANK") is not None):
        storage["scaling"] = (scale, zero, cards.get("BLANK"), bits)
    return storage


def _add_lossy(source: bytes | Path, storage: dict[int, dict]) -> None:
    """Add the largest step of each image of real numbers that was compressed to whole ones."""
    source = source if isinstance(source, Path) else io.BytesIO(source)
    with fits.open(source, disable_image_compression=True) as file:
        for number, unit in enumerate(file):
            header = unit.header
            if number in storage and header.get("ZIMAGE") and header["ZBITPIX"] < 0:
                column = "ZSCALE" in unit.columns.names
                steps = np.abs(unit.data["ZSCALE"] if column else [header.get("ZSCALE", 0.0)])
                step = float(np.nanmax(steps, initial=0.0))
                exact = header.get("ZQUANTIZ") == "SUBTRACTIVE_DITHER_2" or step == 0
                storage[number] |= {"step": step, "lossy": step, "exact_zero": exact}


def _unit(unit: Any, data: bytes | mmap.mmap) -> Unit:
    return _named(unit.shape, _cards(unit, data))


def _named(shape: tuple[int, ...], cards: Mapping[str, Any]) -> Unit:
    names = (str(cards[key]).casefold() for key in NAME_KEYS if key in cards)
    return Unit(
        next((name for name in names if name not in ("", "compressed_image")), ""),
        int(headers.number(cards.get("EXTVER")) or 1),
        tuple(int(side) for side in shape),
        cards,
    )


def _cards(unit: Any, data: bytes | mmap.mmap) -> dict[str, Any]:
    """Return the cards of a header that are needed here: numbers, texts, or T and F.

    From its bytes: astropy takes a millisecond for a header, more than for all else in a file.
    """
    where = unit.fileinfo()
    text = data[where["hdrLoc"] : where["datLoc"]].decode("latin-1")
    cards: dict[str, Any] = {}
    for start in range(0, len(text), CARD):
        key = text[start : start + 8].rstrip()
        if _is_needed(key) and text[start + 8 : start + 10] == "= " and key not in cards:
            value = _value(text[start + 10 : start + CARD].strip())
            if value is not None:
                cards[key] = value
    return cards


def _value(text: str) -> Any:
    """Return the value of a card, None if there is none."""
    if text.startswith("'"):
        return text[1:].split("'")[0].strip()
    text = text.split("/")[0].strip()
    if text in ("T", "F"):
        return text == "T"
    value = headers.number(text.replace("D", "E").replace("d", "e"))
    return (text or None) if value is None else value


@functools.lru_cache(maxsize=4096)
def _is_needed(key: str) -> bool:
    return re.fullmatch(KEYS, key) is not None


def _array(contents: Contents, number: int, facts: Facts) -> NDArray:
    """Return the pixels of a header-data unit, the axes of the sky last."""
    if not isinstance(contents.file, fits.HDUList):
        return contents.file
    for key in SCALING:
        if isinstance(facts.cards.get(key), bool):
            raise Refused(f"its {key} is T or F and not a number, so that no pixel is known")
    try:
        array = contents.file[number].data
    except DAMAGE as error:
        raise Refused(f"it cannot be read as FITS, truncated or damaged ({error})") from error
    if array.ndim > 2:
        axes = [axis for axis in facts.axes if axis < array.ndim]
        array = np.moveaxis(array, [array.ndim - 1 - axis for axis in axes], [-1, -2])
    return array


@functools.lru_cache(maxsize=REMEMBERED)
def _facts(path: Path, changed: int, member: str | None, number: int) -> Facts:
    """Return what the header of one header-data unit says of its sky and its pixels."""
    contents = _contents(path, changed, member)
    own = contents.units[number].cards
    if number and own.get("INHERIT") is True:
        first = {key: v for key, v in contents.first.items() if key not in SCALING}
        if any(headers.LINEAR.fullmatch(key) for key in own):  # one matrix, not parts of two
            first = {k: v for k, v in first.items() if not headers.LINEAR.fullmatch(k)}
        own = first | own
    return _facts_of(own)


def _facts_of(cards: Mapping[str, Any]) -> Facts:
    try:
        wcs = headers.read(cards)
        return Facts(cards, wcs, "", headers.axes(wcs) if wcs is not None else (0, 1))
    except Refused as reason:
        return Facts(cards, None, str(reason))


def _pixel_scale(facts: Facts, shape: tuple[int, int]) -> float | None:
    """Return the pixel scale [arcsec] of the WCS, else of a key of the header, if there is one."""
    if facts.fault:
        raise Refused(facts.fault)
    scale = None
    if facts.wcs is not None:
        scale = headers.scale(facts.wcs, ((shape[1] + 1) / 2, (shape[0] + 1) / 2))
    if scale is None:
        named = (headers.number(facts.cards.get(key)) for key in SCALE_KEYS)
        scale = next((value for value in named if value and value > 0), None)
    return scale


def _offset_at_edge(shape: tuple[int, int], cards: Mapping[str, Any]) -> float:
    """Return how far the target may lie from the middle, in an image cut at an edge [pixel].

    The reference pixel of the WCS shows it if it is the middle of a square of which the image is a
    part; one that lies elsewhere is that of a whole field. Without it, the shape does: the longer
    side is what was asked for. No ``cards`` are given where there is no WCS.
    """
    height, width = shape
    missing = abs(height - width)
    x, y = headers.number(cards.get("CRPIX1")), headers.number(cards.get("CRPIX2"))
    if x and y and 1 <= x <= width and 1 <= y <= height:
        off = max(abs(x - (width + 1) / 2), abs(y - (height + 1) / 2))
        if off <= 1:
            return 0.0
        full = [2 * max(at - 1, n - at) + 1 for at, n in ((x, width), (y, height))]
        if abs(full[0] - full[1]) <= 1 or missing > TRIMMED:
            return off
    return missing / 2 if missing > TRIMMED else 0.0
