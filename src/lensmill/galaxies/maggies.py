"""Fluxes of spectra in bands: AB maggies, as photon-counting detectors see them.

A maggy is the flux of an AB source of magnitude 0: 3631 Jy at every wavelength. The flux of a
spectrum f (per wavelength) in a band R is int f R l dl / int f_AB R l dl. At redshift z the
spectrum is f(l / (1 + z)) / (1 + z), its bolometric flux kept, the convention of kcorrect: distance
is not in it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from lensmill.galaxies import filters
from lensmill.galaxies.compiling import kernel
from lensmill.galaxies.igm import optical_depth
from lensmill.galaxies.templates import Templates

# f_AB = 3631 Jy c / l^2 [erg / s / cm^2 / Angstrom] with l in Angstrom, c as kcorrect rounds it
AB = 3.631e-20 * 2.99792e18


class Grid(NamedTuple):
    """Fluxes of ``T`` templates in ``B`` bands at ``Z`` redshifts."""

    redshift: NDArray  # shape (Z,), increasing
    maggies: NDArray  # shape (Z, T, B)
    bands: tuple[str, ...]
    wavelength: NDArray  # shape (B,): effective, Angstrom


def grid(
    templates: Templates, bands: Sequence[str], redshifts: ArrayLike, absorbed: bool = False
) -> Grid:
    """Return the fluxes of every template in every band at every redshift, with their names.

    ``absorbed``: by the intergalactic hydrogen, see `lensmill.galaxies.igm`. Other arguments as
    those of `model`.
    """
    redshifts = np.array(redshifts, float)
    if redshifts.size < 2 or not (np.diff(redshifts) > 0).all():
        raise ValueError("the redshifts of a grid must increase, and be at least two")
    fluxes = model(templates, bands, redshifts, absorbed)
    wavelength = np.array([filters.effective_wavelength(band) for band in bands])
    return Grid(redshifts, fluxes, tuple(bands), wavelength)


def model(
    templates: Templates, bands: Sequence[str], redshifts: ArrayLike, absorbed: bool = False
) -> NDArray:
    """Return the flux of each template in each band at each redshift.

    Computed once per process and kept; milliseconds per hundred fluxes.

    Parameters
    ----------
    templates : Templates
    bands : sequence of str, length B
        Names of `filters.BANDS`.
    redshifts : array, shape (Z,)
    absorbed : bool
        Whether intergalactic hydrogen takes its part.

    Returns
    -------
    array, shape (Z, T, B)
        [maggies], not to be written to.

    Raises
    ------
    ValueError
        For a band that reaches beyond the templates' last wavelength at one of the redshifts.
    """
    redshifts = np.atleast_1d(np.asarray(redshifts, float))
    if not (redshifts > -1).all():
        raise ValueError(f"redshift {redshifts.min()} is not above -1")
    return _model(templates, tuple(bands), tuple(redshifts.tolist()), bool(absorbed))


@lru_cache(maxsize=64)
def _model(
    templates: Templates, bands: tuple[str, ...], redshifts: tuple[float, ...], absorbed: bool
) -> NDArray:
    rest, luminosity = templates.wavelength, templates.luminosity
    if templates.cubic:
        slopes = CubicSpline(rest, luminosity, axis=1).c
    else:
        slopes = np.zeros((4, len(rest) - 1, len(luminosity)))
        slopes[2] = (np.diff(luminosity) / np.diff(rest)).T
        slopes[3] = luminosity[:, :-1].T
    # (W - 1, T, 4): what is used together lies together
    slopes = np.ascontiguousarray(slopes.transpose(1, 2, 0))

    z = np.array(redshifts)
    fluxes = np.empty((len(bands), z.size, len(luminosity)))
    for b, band in enumerate(bands):
        wavelength, response = filters.curve(band)
        end = wavelength[-1] / (1 + z.min())
        if end > rest[-1]:
            raise ValueError(
                f"the band {band} reaches {end:.0f} Angstrom at rest at redshift {z.min():.3g}, "
                f"the templates end at {rest[-1]:.0f}: leave the band out, or take other templates"
            )
        curve = np.ascontiguousarray(CubicSpline(wavelength, response).c.T)
        depth = np.zeros((z.size, 0))
        if absorbed:
            depth = np.stack([optical_depth(wavelength, each) for each in z])
        fluxes[b] = project(
            rest, np.ascontiguousarray(luminosity.T), slopes, wavelength, response, curve, z, depth
        )
    fluxes = np.ascontiguousarray(fluxes.transpose(1, 2, 0))
    fluxes.flags.writeable = False
    return fluxes


@kernel
def project(
    rest: NDArray,
    luminosity: NDArray,
    slopes: NDArray,
    wavelength: NDArray,
    response: NDArray,
    curve: NDArray,
    redshifts: NDArray,
    depth: NDArray,
) -> NDArray:
    """Trapezoids over the union of the wavelengths of spectrum and response.

    Parameters
    ----------
    rest, luminosity, slopes : arrays, shapes (W,), (W, T), (W - 1, T, 4)
        Spectra at rest and their piecewise polynomials, highest power first.
    wavelength, response, curve : arrays, shapes (R,), (R,), (R - 1, 4)
        The band, likewise.
    redshifts : array, shape (Z,)
    depth : array, shape (Z, R) or (Z, 0)
        Optical depth at the wavelengths of the response, straight lines between.

    Returns
    -------
    array, shape (Z, T)
        [maggies]
    """
    n_rest, n_response, n_templates = rest.size, wavelength.size, luminosity.shape[1]
    fluxes = np.zeros((redshifts.size, n_templates))
    now, before = np.zeros(n_templates), np.zeros(n_templates)
    for k in range(redshifts.size):
        stretch = 1 + redshifts[k]
        i = np.searchsorted(rest, wavelength[0] / stretch)
        j = 0
        norm = norm_before = last = 0.0
        first = True
        while j < n_response:
            # the next wavelength of either
            from_rest = i < n_rest and rest[i] * stretch < wavelength[j]
            if from_rest:
                here = rest[i] * stretch
                step = here - wavelength[j - 1]
                c = curve[j - 1]
                r = ((c[0] * step + c[1]) * step + c[2]) * step + c[3]
            else:
                here = wavelength[j]
                r = response[j]
            weight = r * here
            if depth.shape[1] and r != 0.0:
                if from_rest:
                    share = (here - wavelength[j - 1]) / (wavelength[j] - wavelength[j - 1])
                    tau = (1 - share) * depth[k, j - 1] + share * depth[k, j]
                else:
                    tau = depth[k, j]
                absorbed = weight * np.exp(-tau)
            else:
                absorbed = weight
            if from_rest:
                for t in range(n_templates):
                    now[t] = luminosity[i, t] * absorbed
                i += 1
            else:
                x = here / stretch
                if x < rest[0] or x > rest[n_rest - 1]:
                    now[:] = 0.0
                else:
                    m = min(max(i - 1, 0), n_rest - 2)
                    step = x - rest[m]
                    for t in range(n_templates):
                        c = slopes[m, t]
                        value = ((c[0] * step + c[1]) * step + c[2]) * step + c[3]
                        now[t] = value * absorbed
                j += 1
            reference = weight / (here * here)
            if not first:
                half = 0.5 * (here - last)
                norm += half * (reference + norm_before)
                for t in range(n_templates):
                    fluxes[k, t] += half * (now[t] + before[t])
            first = False
            last, norm_before = here, reference
            before[:] = now
        for t in range(n_templates):
            fluxes[k, t] /= norm * AB * stretch
    return fluxes
