"""World coordinates (WCS) of an image: pixel scale, orientation and position on the sky."""

import functools
import math
import re
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from astropy import units
from astropy.coordinates import ICRS, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import NDArray

TEXTS = re.compile(r"CTYPE\d|CUNIT\d|RADESYS|RADECSYS|SPECSYS")
REFERENCE = re.compile(r"CRPIX\d|CRVAL\d")
LINEAR = re.compile(r"CDELT\d|CROTA\d|CD\d_\d|CD00\d00\d|PC\d_\d|PC00\d00\d")
SIP = re.compile(r"[AB]P?_ORDER|[AB]P?_\d_\d")
KEYS = re.compile(
    f"{TEXTS.pattern}|{REFERENCE.pattern}|{LINEAR.pattern}|LATPOLE|LONPOLE|EQUINOX|EPOCH|"
    rf"PV\d_\d+|PROJP\d|{SIP.pattern}"
)
# Their scale is that of the matrix, wherever the reference point lies: exact there, and to 1e-3
# within three degrees of it
ZENITHAL = re.compile(r"(RA|DEC)-+(TAN|SIN|ARC|STG|ZEA)")
# The first two axes, of the sky, and what tells of others
CELESTIAL = re.compile(r"(RA--|DEC-|.LON|.LAT|..LN|..LT)-.+")
OTHER_AXES = re.compile(
    r"(CTYPE|CUNIT|CRPIX|CRVAL|CDELT|CROTA|PV)[3-9](_\d+)?|(CD|PC)(0*[3-9]_?0*\d|0*\d_?0*[3-9])"
)
# Of the first two axes: what tells one file of a survey from the next
PLACES = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2")
PLAIN = re.compile(r"CTYPE[12]|CUNIT[12]|CDELT[12]|CROTA[12]|CD\d_\d|PC\d_\d|RADESYS|EQUINOX")
FAR = 1e300  # a number of a header that may be compared; infinity and NaN are none
NEAR = 1e5  # pixels from the reference point within which the sky is that of its projection
SQUARE = 0.05  # ratio of the sides of a pixel less 1 up to which it is taken for a square
ARCSEC = np.degrees(1.0) * 3600


class Refused(Exception):
    """Why a file cannot be used, in words for its owner."""


class Place(NamedTuple):
    """Where an image lies on the sky, and how."""

    middle: NDArray  # (3,) unit vector towards its middle, ICRS
    axes: NDArray  # (2, 2) [arcsec] to the east and north (rows) of a pixel along x, y (columns)


class Header(NamedTuple):
    """The WCS of a header, its numbers checked."""

    cards: tuple[tuple[str, Any], ...]
    # CRPIX and CRVAL, apart where all else is that of a whole survey
    reference: tuple[tuple[str, float], ...]


class _Sky(NamedTuple):
    wcs: WCS  # of the two axes of the sky
    axes: tuple[int, int]  # which of the file's they are
    frame: Any  # of the coordinates; None if they are right ascension and declination of J2000


def number(value: object) -> float | None:
    """Return a number of a header, also one that was written as text; T and F are none."""
    if type(value) not in (float, str, int):  # what headers hold
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | str):
            return None
    try:
        result = float(value)
    except ValueError:
        return None
    return result if math.isfinite(result) else None


def read(cards: Mapping[str, Any]) -> Header | None:
    """Return the WCS among the cards of a header, None if there is none.

    Raises
    ------
    Refused
        If one of its numbers is none.
    """
    # the reference differs from file to file, all else is often that of a whole survey
    own = {
        key: float(value)
        for key in PLACES
        if type(value := cards.get(key)) in (int, float) and -FAR < value < FAR
    }
    rest = tuple([(k, 0.0 if k in own else v, k in own or type(v)) for k, v in cards.items()])
    header = _read(rest)
    return header if header is None or not own else at(header, own)


def at(header: Header, places: Mapping[str, float]) -> Header:
    """Return a WCS with other numbers of its reference, those of `PLACES` that it has."""
    reference = tuple([(key, places.get(key, value)) for key, value in header.reference])
    if reference:
        return Header(header.cards, reference)
    return Header(tuple([(key, places.get(key, value)) for key, value in header.cards]), ())


@functools.lru_cache(maxsize=1024)
def _read(typed: tuple[tuple[str, Any, Any], ...]) -> Header | None:
    """Return the WCS of cards; their types are given because T is not 1."""
    cards = {key: value for key, value, _ in typed}
    first, second = (str(cards.get(f"CTYPE{axis}", "")).strip() for axis in "12")
    # whatever is wrong with a third axis, of wavelength or of bands, the sky is known
    known = CELESTIAL.fullmatch(first) and CELESTIAL.fullmatch(second)
    kept = {}
    for key, value in cards.items():
        if not KEYS.fullmatch(key) or (known and OTHER_AXES.fullmatch(key)):
            continue
        if TEXTS.fullmatch(key):
            kept[key] = str(value).strip()
        elif (read := number(value)) is not None:
            kept[key] = read
        elif key not in ("EQUINOX", "EPOCH"):  # which may say J2000
            shown = {True: "T", False: "F"}.get(value, repr(value))
            raise Refused(f"its WCS cannot be understood ({key} = {shown} is not a number)")
    if not any(map(LINEAR.fullmatch, kept)) or not any(key.startswith("CTYPE") for key in kept):
        return None
    if not first.endswith("-SIP"):  # left over from before it was resampled
        kept = {key: value for key, value in kept.items() if not SIP.fullmatch(key)}
    degrees = all(kept.get(key, "deg").startswith("deg") for key in ("CUNIT1", "CUNIT2"))
    distorted = any(key.startswith(("PV", "PROJP")) for key in kept)
    if not (degrees and ZENITHAL.fullmatch(first) and ZENITHAL.fullmatch(second)) or distorted:
        return Header(tuple(kept.items()), ())
    own = {key: value for key, value in kept.items() if REFERENCE.fullmatch(key)}
    rest = tuple((key, value) for key, value in kept.items() if key not in own)
    # what a header leaves out is 0, and not what the file before it said
    reference = dict.fromkeys(("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2"), 0.0) | own
    return Header(rest, tuple(reference.items()))


def scale(header: Header, middle: tuple[float, float]) -> float | None:
    """Return the side of a pixel [arcsec] at a place of the image, None if it shows no sky.

    Raises
    ------
    Refused
        If the WCS cannot be understood, if the place lies on no sky, or if its pixels are not
        square.
    """
    if _is_plain(header, middle):
        return _scale_of_matrix(header.cards)
    place = locate(header, middle)
    if place is None:
        return None
    return _scale_of_matrix(header.cards) if header.reference else _side(place.axes)


def _is_plain(header: Header, middle: tuple[float, float]) -> bool:
    """Say whether every pixel lies on the sky: that need not be worked out for each file."""
    if not header.reference or not _is_tangent(header.cards):
        return False
    reference = dict(header.reference)
    x, y, longitude, latitude = (reference[key] for key in PLACES)
    near = max(abs(x - middle[0]), abs(y - middle[1])) < NEAR
    return near and abs(longitude) <= 360 and abs(latitude) < 90


@functools.lru_cache(maxsize=1024)
def _is_tangent(cards: tuple[tuple[str, Any], ...]) -> bool:
    """Say whether a WCS is the gnomonic projection, equatorial, of J2000 and without more."""
    known = dict(cards)
    if (known.get("CTYPE1"), known.get("CTYPE2")) != ("RA---TAN", "DEC--TAN"):
        return False
    if not all(PLAIN.fullmatch(key) for key in known):
        return False
    sky = _wcs(cards)
    small = sky is not None and sky.frame is None and sky.wcs.sip is None
    return small and bool(np.abs(sky.wcs.pixel_scale_matrix).max() < 1)


@functools.lru_cache(maxsize=1024)
def _scale_of_matrix(cards: tuple[tuple[str, Any], ...]) -> float:
    return _side(3600 * _wcs(cards).wcs.pixel_scale_matrix)


def _side(matrix: NDArray) -> float:
    # whichever way the axes are turned: a circle on the sky must be one on the detector
    long, short = np.linalg.svd(matrix, compute_uv=False)
    if not short > 0 or long / short > 1 + SQUARE:
        raise Refused(f"its pixels are not square: {long:.4g} x {short:.4g} arcsec by the WCS")
    return float(np.sqrt(long * short))


def axes(header: Header) -> tuple[int, int]:
    """Return which axes of the file, counted from 0, are the celestial ones."""
    sky = _wcs(header.cards)
    return (0, 1) if sky is None else sky.axes


@functools.lru_cache(maxsize=64)
def locate(header: Header, pixel: tuple[float, float]) -> Place | None:
    """Return where a pixel, x and y counted from 1 as in FITS, lies; None if on no sky.

    Raises
    ------
    Refused
        If the WCS cannot be understood.
    """
    sky = _wcs(header.cards)
    if sky is None:
        return None
    if header.reference:  # one WCS for all headers that differ in it only
        reference = dict(header.reference)
        for name in ("crpix", "crval"):
            value = [reference.get(f"{name.upper()}{axis + 1}", 0.0) for axis in sky.axes]
            setattr(sky.wcs.wcs, name, value)
    points = np.array(pixel) + 0.5 * np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]])
    try:
        if sky.wcs.sip is not None:
            longitude, latitude = np.radians(sky.wcs.all_pix2world(points, 1)).T
        else:
            longitude, latitude = np.radians(sky.wcs.wcs.p2s(points, 1)["world"]).T
    except ValueError as error:
        raise Refused(f"its WCS cannot be understood ({_last_line(error)})") from error
    if sky.wcs.wcs.lng == 1:
        longitude, latitude = latitude, longitude
    if sky.frame is not None:
        where = SkyCoord(longitude * units.rad, latitude * units.rad, frame=sky.frame).icrs
        longitude, latitude = where.ra.rad, where.dec.rad
    here = vector(longitude, latitude)
    if not np.isfinite(here).all():
        raise Refused("its WCS cannot be understood (the image lies nowhere on its sky)")
    steps = ARCSEC * np.array([here[2] - here[1], here[4] - here[3]])
    return Place(here[0], (steps @ _east_north(here[0])).T)


def vector(longitude: Any, latitude: Any) -> NDArray:
    """Return unit vectors (..., 3) of directions [radian]."""
    return np.stack(
        [
            np.cos(latitude) * np.cos(longitude),
            np.cos(latitude) * np.sin(longitude),
            np.sin(latitude),
        ],
        axis=-1,
    )


def distance(one: NDArray, other: NDArray) -> float:
    """Return the angle between two unit vectors [arcsec]."""
    return float(ARCSEC * 2 * np.arcsin(min(1.0, np.linalg.norm(one - other) / 2)))


def turn(one: Place, other: Place) -> tuple[bool, float]:
    """Return parity (mirrored or not) and rotation [degree] of an image against another."""
    mirrored = np.linalg.det(one.axes) * np.linalg.det(other.axes) < 0
    across = other.axes @ np.linalg.inv(one.axes)
    angle = np.arctan2(across[1, 0] - across[0, 1], across[0, 0] + across[1, 1])
    return bool(mirrored), float(np.degrees(angle))


def _east_north(direction: NDArray) -> NDArray:
    """Return unit vectors (3, 2) to the east and north of a direction."""
    x, y, z = direction
    across = np.hypot(x, y)
    return np.array([[-y / across, -z * x / across], [x / across, -z * y / across], [0.0, across]])


@functools.lru_cache(maxsize=1024)
def _wcs(cards: tuple[tuple[str, Any], ...]) -> _Sky | None:
    """Return the WCS of a header; most files of a survey agree but for the reference."""
    try:
        header = fits.Header([*_translate_distortion(dict(cards)).items(), ("NAXIS", 2)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old keywords, which are understood
            wcs = WCS(header)
            if not wcs.has_celestial:
                return None
            flat = wcs.celestial
            flat.wcs.set()  # finds what cannot be inverted
    except (ValueError, KeyError, TypeError, MemoryError) as error:
        raise Refused(f"its WCS cannot be understood ({_last_line(error)})") from error
    first, second = sorted((wcs.wcs.lng, wcs.wcs.lat))
    return _Sky(flat, (first, second), _frame(flat))


def _translate_distortion(cards: dict[str, Any]) -> dict[str, Any]:
    """Write the distortion of SCAMP and its kin so that wcslib takes it as it is meant."""
    types = {axis: cards.get(f"CTYPE{axis}", "") for axis in "12"}
    # the plain TAN has no parameters of its latitude: these are of a polynomial in both axes
    scamp = any(
        kind.endswith("TAN") and kind.startswith("DEC") and f"PV{axis}_1" in cards
        for axis, kind in types.items()
    )
    if scamp:
        types = {axis: kind.replace("-TAN", "-TPV") for axis, kind in types.items()}
    if all(kind.endswith("TPV") for kind in types.values()):
        # what is not given is 1 by the convention; wcslib would have 0, and no sky
        unit = {"PV1_1": 1.0, "PV2_1": 1.0}
        return unit | cards | {f"CTYPE{axis}": kind for axis, kind in types.items()}
    return cards


def _frame(wcs: WCS) -> Any:
    """Return the frame of coordinates that are not right ascension and declination of J2000."""
    try:
        frame = wcs_to_celestial_frame(wcs)
    except ValueError:  # of the Sun or a planet: they agree among themselves
        return None
    j2000 = frame.name == "fk5" and abs(frame.equinox.jyear - 2000) < 0.01
    return None if isinstance(frame, ICRS) or j2000 else frame


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
