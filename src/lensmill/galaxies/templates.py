"""Sets of spectra of galaxies, as the packages kcorrect and desc-bpz bring them along.

`kcorrect`: the five spectra of Blanton & Roweis (2007), which non-negative factorisation made of
models of stellar populations; every galaxy is a sum of them. `cww_sb`: the eight of Benitez et al.
(2004) and Coe et al. (2006), observed spectra of Coleman, Wu & Weedman (1980) and of starbursts
(Kinney et al. 1996), recalibrated, and two young stellar populations. The sets have no spectrum in
common, so that mocks made of the one can be fitted with the other.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from lensmill.galaxies import packages

SETS = ("kcorrect", "cww_sb")
CWW_SB_END = 25600.0  # the shortest of the eight spectra ends there [Angstrom]


@dataclass(frozen=True, eq=False)
class Templates:
    """A set of ``T`` spectra at rest.

    The unit of ``kcorrect`` is the flux at 10 pc of one solar mass of stars ever formed; those of
    ``cww_sb`` have a unit of their own.
    """

    names: tuple[str, ...]
    wavelength: NDArray  # shape (W,), increasing, Angstrom
    luminosity: NDArray  # shape (T, W), erg / s / cm^2 / Angstrom
    cubic: bool = False  # a cubic spline between the wavelengths, as in kcorrect, or straight lines


@cache
def read(name: str) -> Templates:
    """Return a set of `SETS`."""
    if name == "kcorrect":
        path = packages.folder("kcorrect") / "data/templates/kcorrect-default-v4.fits"
        with fits.open(path) as file:
            row = file["FLUX"].data[0]
            wavelength, luminosity = row["wave"].astype(float), row["flux"].astype(float)
        names = tuple(f"kcorrect_{i + 1}" for i in range(len(luminosity)))
        return _frozen(names, wavelength, luminosity, cubic=True)
    if name == "cww_sb":
        folder = packages.folder("desc_bpz") / "data_files/SED"
        files = (folder / "CWWSB4.list").read_text().split()
        spectra = [np.loadtxt(folder / file, unpack=True) for file in files]
        # The union of the wavelengths: straight lines between them stay what they are.
        wavelength = np.unique(np.concatenate([spectrum[0] for spectrum in spectra]))
        wavelength = wavelength[(wavelength > 0) & (wavelength <= CWW_SB_END)]
        luminosity = np.stack([np.interp(wavelength, *spectrum) for spectrum in spectra])
        # Each by its mean flux between 4000 and 8000 Angstrom: their own scales differ by 10^8.
        middle = (wavelength > 4000) & (wavelength < 8000)
        luminosity /= luminosity[:, middle].mean(axis=1, keepdims=True)
        names = tuple(file.removesuffix(".sed").removesuffix("_B2004a") for file in files)
        return _frozen(names, wavelength, luminosity, cubic=False)
    raise ValueError(f"{name!r} is not a set of templates; the sets are {', '.join(SETS)}")


def _frozen(names: tuple[str, ...], *arrays: NDArray, cubic: bool) -> Templates:
    """Return templates whose arrays nobody writes to: they are shared within the process."""
    for array in arrays:
        array.flags.writeable = False
    return Templates(names, *arrays, cubic=cubic)
