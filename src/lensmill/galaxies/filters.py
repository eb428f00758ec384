"""Response curves of bands, as the packages kcorrect, speclite and desc-bpz bring them along.

A response is the contribution to the signal per photon; its scale does not matter. Atmosphere and
telescope are in it. No curve is copied into this project.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from astropy.io import ascii
from numpy.typing import NDArray

from lensmill.galaxies import packages

_KCORRECT = {
    "galex_FUV": "galex_FUV",
    "galex_NUV": "galex_NUV",
    **{f"sdss_{band}": f"sdss_{band}0" for band in "ugriz"},
    **{f"twomass_{band}": f"twomass_{band}" for band in ("J", "H", "Ks")},
    "vimos_U": "vimos_U",
    "vimos_R": "vimos_R",
    **{f"acs_F{name}": f"goods_acs_f{name.lower()}" for name in ("435W", "606W", "775W", "850LP")},
    "acs_F814W": "clash_acs_f814w",
    **{f"wfc3_F{name}": f"clash_wfc3_f{name.lower()}" for name in ("105W", "125W", "140W", "160W")},
    **{f"wfpc2_F{name}": f"wfpc2_f{name.lower()}" for name in ("450W", "606W", "814W")},
    **{f"isaac_{band}": f"goods_{band}_isaac_etc" for band in ("J", "H", "Ks")},
    **{f"irac_{channel}": f"spitzer_irac_ch{channel}" for channel in "1234"},
}
_INTERMEDIATE = (427, 464, 484, 505, 527, 574, 624, 679, 709, 738, 767, 827)
_SPECLITE = {
    "megacam_u": "cfht_megacam-u",
    "megacam_ustar": "cfht_megacam-ustar",
    **{f"hsc_{band}": f"hsc2017-{band}" for band in "grizy"},
    **{f"suprime_IB{name}": f"suprime-IB{name}" for name in _INTERMEDIATE},
}
_BPZ = {f"lsst_{band}": f"DC2LSST_{band}" for band in "ugrizy"}

# name of the band: the package and the file in it
BANDS: dict[str, tuple[str, str]] = {
    **{band: ("kcorrect", f"data/responses/{file}.dat") for band, file in _KCORRECT.items()},
    **{band: ("speclite", f"data/filters/{file}.ecsv") for band, file in _SPECLITE.items()},
    **{band: ("desc_bpz", f"data_files/FILTER/{file}.res") for band, file in _BPZ.items()},
}


class Curve(NamedTuple):
    """Response of a band: wavelength [Angstrom], increasing; signal per photon, any scale."""

    wavelength: NDArray
    response: NDArray


@cache
def curve(band: str) -> Curve:
    """Return the response curve of a band of `BANDS`."""
    if band not in BANDS:
        raise ValueError(f"{band!r} is not a band; the bands are {', '.join(sorted(BANDS))}")
    package, name = BANDS[band]
    path = packages.folder(package) / name
    if package == "kcorrect":
        table = ascii.read(path, format="fixed_width")
        wavelength, response = table["lambda"], table["pass"]
    elif package == "speclite":
        table = ascii.read(path, format="ecsv")
        wavelength, response = table["wavelength"], table["response"]
    else:
        # The header of one file says nm: all are in Angstrom.
        wavelength, response = np.loadtxt(path, unpack=True)
    # A plain array: a column of astropy carries its unit along, and is slow.
    wavelength, response = (np.array(column, float) for column in (wavelength, response))
    order = np.argsort(wavelength)
    wavelength, response = wavelength[order], response[order]
    inside = np.flatnonzero(response > 0)
    # Thousands of zeros on either side would only cost time; the spline through the few of a
    # coarse curve needs them.
    part = slice(max(inside[0] - 5, 0), inside[-1] + 6)
    wavelength, response = wavelength[part].copy(), response[part].copy()
    wavelength.flags.writeable = response.flags.writeable = False
    return Curve(wavelength, response)


def effective_wavelength(band: str) -> float:
    """Effective wavelength [Angstrom]: mean of log wavelength over the response per log wavelength.

    The definition of Schneider, Gunn & Hoessel (1983), which kcorrect uses too.
    """
    wavelength, response = curve(band)
    weight = response / wavelength
    log = np.trapezoid(np.log(wavelength) * weight, wavelength)
    return float(np.exp(log / np.trapezoid(weight, wavelength)))
