"""A camera: magnitudes become electrons per second, and images get noise and defects.

An observation has a ``pixel_scale`` [arcsec], a ``size`` [pixel], ``bands`` by name, and may have
``defects`` (see `lensmill.imaging.defects`). A band has a ``wavelength`` [nm], a ``zero_point``
[mag], its ``exposure`` [s] in so many ``exposures``, the ``read_noise`` [electron] of one of them,
the ``sky`` [mag / arcsec2], a ``psf`` (see `lensmill.imaging.psf`) and maybe a
``noise_correlation`` of neighbouring pixels.
"""

from collections.abc import Mapping
from math import log
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensmill.imaging import cleaning, defects, noise, psf, scenes
from lensmill.imaging.render import render

# A spectrum is one number here, the colour g - i. Effective wavelengths of Pan-STARRS1 [nm]: Tonry
# et al. (2012), table 4.
WAVELENGTH_G, WAVELENGTH_R, WAVELENGTH_I = 481.0, 617.0, 752.0
# Of that colour galaxies show this share between r and i, the rest bluewards of r, where the break
# at 400 nm is: 0.27 to 0.35 of red ones at redshifts below 0.7, 0.31 to 0.36 of blue ones below
# 0.25 (medians of 6,000 galaxies of SDSS, Collister & Lahav 2004, and of 3,500 of BOSS and eBOSS).
SHARE_R = 0.31
# ASSUME: redwards of this [nm] magnitudes fall by the logarithm of the wavelength. With the line
# from i to here a galaxy with g - i = 2.1 has i - H = 2.1 (AB), more than lenses have (1.3) and
# less than what lies far behind them.
WAVELENGTH_FLAT = 850.0
MASS = ("theta_e", "q", "phi", "slope", "gamma1", "gamma2")


def rate(magnitude: ArrayLike, band: Mapping[str, Any]) -> Any:
    """Return electrons per second; the zero point is the magnitude that gives one."""
    return 10 ** (-0.4 * (magnitude - band["zero_point"]))


def redness(band: Mapping[str, Any]) -> float:
    """Return the share of the colour g - i by which a magnitude in this band exceeds that in i."""
    wavelength = band["wavelength"]
    if wavelength < WAVELENGTH_R:
        blue = (WAVELENGTH_R - wavelength) / (WAVELENGTH_R - WAVELENGTH_G)
        return SHARE_R + (1 - SHARE_R) * blue
    if wavelength < WAVELENGTH_I:
        return SHARE_R * (WAVELENGTH_I - wavelength) / (WAVELENGTH_I - WAVELENGTH_R)
    straight = (WAVELENGTH_I - min(wavelength, WAVELENGTH_FLAT)) / (WAVELENGTH_I - WAVELENGTH_G)
    if wavelength <= WAVELENGTH_FLAT:
        return straight
    return straight - 0.5 * log(wavelength / WAVELENGTH_FLAT) / log(WAVELENGTH_I / WAVELENGTH_G)


def flux(light: Mapping[str, NDArray], band: Mapping[str, Any]) -> NDArray:
    """Return the flux of components of light in a band, shape (m,) [electron / s]."""
    return rate(light["magnitude"] + light["colour"] * redness(band), band)


def psfs(observation: Mapping[str, Any]) -> list[psf.Psf]:
    """Return the point-spread function of every band."""
    scale = observation["pixel_scale"]
    return [psf.from_settings(band["psf"], scale) for band in observation["bands"].values()]


def exposure(observation: Mapping[str, Any]) -> dict[str, NDArray]:
    """Return what `noise.sigma` and `noise.observe` take, per band.

    ``exposure``, ``read_noise``, ``exposures``, and ``sky`` [electron / s / pixel].
    """
    bands, scale = observation["bands"].values(), observation["pixel_scale"]
    numbers = {
        key: np.array([band[key] for band in bands], float)
        for key in ("exposure", "read_noise", "exposures")
    }
    return numbers | {"sky": np.array([rate(band["sky"], band) * scale**2 for band in bands])}


def assemble(
    mass: Mapping[str, NDArray],
    centre: tuple[NDArray, NDArray],
    light: Mapping[str, NDArray],
    bands: Mapping[str, Mapping],
) -> scenes.Scenes:
    """Return the scenes of lenses and light in some bands.

    Parameters
    ----------
    mass : mapping of array, shape (n,)
        The columns `MASS`; conventions of `lensmill.imaging.scenes.Lenses`.
    centre : pair of array, shape (n,)
        Of the lenses in the frame [arcsec].
    light : mapping of array, shape (m,)
        The columns of `lensmill.imaging.light.Light`, in the frame.
    bands : mapping
        Those of an observation.
    """
    fluxes = np.stack([flux(light, band) for band in bands.values()], axis=1)
    shapes = {k: light[k] for k in light if k not in ("owner", "magnitude", "colour")}
    lenses = scenes.lenses(*(mass[name] for name in MASS), *centre)
    return scenes.assemble(lenses, (light["owner"], scenes.light(**shapes, flux=fluxes)))


def noise_free(
    mass: Mapping[str, NDArray],
    centre: tuple[NDArray, NDArray],
    light: Mapping[str, NDArray],
    observation: Mapping[str, Any],
) -> tuple[NDArray, NDArray, NDArray]:
    """Return images without noise, the lensed light in them, and the noise of every pixel.

    Parameters
    ----------
    mass, centre, light
        n systems, as for `assemble`.
    observation : mapping
        ``pixel_scale`` [arcsec], ``size`` [pixels] and ``bands``.

    Returns
    -------
    model, lensed, sigma : array, shape (n, size, size, bands)
        [electron / s]
    """
    whole = assemble(mass, centre, light, observation["bands"])
    model, lensed = render(
        whole, observation["size"], observation["pixel_scale"], psfs(observation)
    )
    return model, lensed, noise.sigma(model, **exposure(observation))


def magnification(
    light: Mapping[str, NDArray], lensed: NDArray, observation: Mapping[str, Any]
) -> NDArray:
    """Return the magnification in the first band: flux in the frame over that without a lens.

    ``lensed``, shape (n, size, size, bands), is that of `noise_free`. Flux as it comes where a
    system has no lensed light.
    """
    band = next(iter(observation["bands"].values()))
    of_source = light["lensed"].astype(bool)
    intrinsic = np.bincount(
        light["owner"][of_source], flux(light, band)[of_source], minlength=len(lensed)
    )
    return lensed[..., 0].sum(axis=(1, 2)) / np.where(intrinsic > 0, intrinsic, 1.0)


def keys(uniforms: NDArray) -> NDArray:
    """Return the keys of streams of random numbers, two words of 64 bits per system.

    ``uniforms``, shape (n, 2), in (0, 1), are numbers of the systems that nothing else uses.
    """
    return (uniforms * 2.0**53).astype(np.uint64)


def observe(
    model: NDArray,
    observation: Mapping[str, Any],
    noise_keys: NDArray,
    defect_keys: NDArray,
    background: NDArray | None = None,
) -> tuple[NDArray, NDArray]:
    """Return images with the noise and the defects of an observation, and their masked fraction.

    Parameters
    ----------
    model : array, shape (n, size, size, bands)
        Without noise [electron / s].
    observation : mapping
        As for `noise_free`, and maybe ``defects``.
    noise_keys, defect_keys : array of uint64, shape (n, 2)
        See `keys`.
    background : array, shape (n, size, size, bands), optional
        Real sky in units of its noise (see `lensmill.cutouts.background`), upon which the light is
        laid instead of the sky of the observation.

    Returns
    -------
    pixels : array, shape (n, size, size, bands), float32
        [electron / s], the sky subtracted, masked pixels repaired.
    masked : array, shape (n,)
        Fraction of masked pixels.
    """
    camera = exposure(observation)
    if background is None:
        pixels = noise.observe(model, **camera, keys=noise_keys)
        bands = observation["bands"].values()
        if any(correlation := [band.get("noise_correlation", 0.0) for band in bands]):
            sigma = noise.sigma(model, **camera)
            pixels = noise.correlate(pixels, model, sigma, correlation)
    else:
        # the real sky brings its own noise, scaled to the survey's; the light adds its photons'
        blank = noise.sigma(np.zeros_like(model[:1, :1, :1]), **camera)
        dark = {"exposure": camera["exposure"], "sky": 0.0, "read_noise": 0.0, "exposures": 1}
        pixels = noise.observe(model, **dark, keys=noise_keys)
        pixels += background * blank
    rates = observation.get("defects")
    if not rates:
        return pixels, np.zeros(len(pixels))
    return _damage(pixels, rates, defect_keys)


def _damage(pixels: NDArray, rates: Mapping[str, float], keys: NDArray) -> tuple[NDArray, NDArray]:
    """Add defects; bad pixels are repaired as in ingested images, cosmic rays were overlooked."""
    rays = {key: value for key, value in rates.items() if key.startswith(("cosmic", "ray"))}
    pixels, _ = defects.add(pixels, keys, **rays)
    known = {key: value for key, value in rates.items() if key not in rays}
    pixels, mask = defects.add(pixels, keys, **known)
    for i, j in zip(*mask.any(axis=(1, 2)).nonzero(), strict=True):
        pixels[i, :, :, j] = cleaning.fill(pixels[i, :, :, j], mask[i, :, :, j])
    return pixels, mask.mean(axis=(1, 2, 3))
