"""Draw lenses and look-alikes and observe them as a survey would."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.lens_finding import sky
from lensmill.experiments.lens_finding.families import FAMILIES
from lensmill.experiments.lens_finding.sky import KINDS, WIDTH
from lensmill.imaging import cleaning, defects, noise, psf, quality, scenes
from lensmill.imaging.render import render
from lensmill.pipeline import splits, store
from lensmill.pipeline.store import Tables

__all__ = [
    "BATCH",
    "FAMILIES",
    "KINDS",
    "ROWS_OF",
    "UNITS",
    "WIDTH",
    "attributes",
    "draw",
    "turned",
]

BATCH = 512  # systems drawn at a time; an image is thousands of numbers

UNITS = {
    "systems": {
        "index": "",
        "is_lens": "",
        "label_known": "",
        "kind": "",
        "theta_e": "arcsec",
        "q": "",
        "phi": "rad",
        "slope": "",
        "gamma1": "",
        "gamma2": "",
        "lens_x": "arcsec",
        "lens_y": "arcsec",
        "source_x": "arcsec",
        "source_y": "arcsec",
        "lens_magnitude": "mag",
        "source_magnitude": "mag",
        "magnification": "",
        "n_images": "",
        "n_minima": "",
        "n_saddles": "",
        "has_quasar": "",
        "arc_snr": "",
        "arc_length": "arcsec",
        "snr": "",
        "masked_fraction": "",
        "group": "",
    },
    "cutouts": {"system": "", "pixels": "electron / s"},
}
ROWS_OF: dict[str, str] = {}
MASS = ("theta_e", "q", "phi", "slope", "gamma1", "gamma2")

# A spectrum is one number here, the colour g - i: magnitudes are linear in wavelength between and
# beyond the two. Effective wavelengths of Pan-STARRS1 [nm]: Tonry et al. (2012), table 4.
WAVELENGTH_G, WAVELENGTH_I = 481.0, 752.0


def attributes(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the order of the bands: settings are kept with their keys in alphabetical order."""
    return {"bands": json.dumps([*settings["observation"]["bands"]])}


def draw(first: int, uniforms: NDArray, settings: Mapping[str, Any]) -> Tables:
    """Turn uniform numbers into systems, and systems into images.

    Parameters
    ----------
    first : int
        Index of the first system.
    uniforms : array, shape (n, WIDTH)
        In (0, 1); column k becomes `lensmill.experiments.lens_finding.sky.SLOTS` [k].
    settings : mapping
        ``family`` (a key of ``FAMILIES``), ``prior`` and ``observation`` (see ``defaults.yaml``);
        ``background``, if images are laid upon real sky: the data set of its cut-outs.

    Returns
    -------
    dict of dict of array
        Tables ``systems`` and ``cutouts``, n rows each in the same order; units in ``UNITS``.
        Upon a background, systems have the ``group`` of their piece of it.
    """
    n = len(uniforms)
    drawn = sky.draw(uniforms, FAMILIES[settings["family"]], settings["prior"])
    observation = settings["observation"]
    pixels, lensed, sigma, masked = _observe(drawn, uniforms, settings)
    is_lens = drawn.kind == 0
    index = first + np.arange(n)
    truth = drawn.truth
    bright = is_lens & (lensed.sum(axis=(1, 2, 3)) > 0)
    group = {}
    if "background" in settings:
        group["group"] = _groups(uniforms, settings["background"])
    return {
        "systems": {
            "index": index,
            "is_lens": is_lens.astype(np.uint8),
            "label_known": np.ones(n, np.uint8),
            "kind": drawn.kind,
            **{name: np.where(is_lens, drawn.lens[name], 0.0) for name in MASS},
            "lens_x": drawn.centre[0],
            "lens_y": drawn.centre[1],
            "source_x": truth["source_x"],
            "source_y": truth["source_y"],
            "lens_magnitude": truth["lens_magnitude"],
            "source_magnitude": np.where(is_lens, truth["source_magnitude"], 0.0),
            "magnification": np.where(bright, _magnification(drawn, lensed, observation), 0.0),
            "n_images": truth["n_images"],
            "n_minima": truth["n_minima"],
            "n_saddles": truth["n_saddles"],
            "has_quasar": truth["has_quasar"].astype(np.uint8),
            "arc_snr": quality.arc_snr(lensed, sigma),
            "arc_length": quality.arc_length(lensed, sigma, observation["pixel_scale"]),
            "snr": quality.snr(pixels, observation["pixel_scale"]),
            "masked_fraction": masked,
            **group,
        },
        "cutouts": {"system": index, "pixels": pixels},
    }


def turned(uniforms: NDArray, settings: Mapping[str, Any], angle: float) -> NDArray:
    """Return the images of systems whose sky is turned counter-clockwise by ``angle`` [deg].

    The scene is rendered anew, nothing is interpolated. A system keeps its noise, which turns
    with it by whole quarters: so a quarter turn is exactly the turned image, and every angle has
    noise of the same kind.

    Returns
    -------
    array, shape (n, size, size, bands), float32
    """
    drawn = sky.draw(uniforms, FAMILIES[settings["family"]], settings["prior"])
    quarters, rest = divmod(angle, 90.0)
    pixels = _observe(sky.turn(drawn, np.deg2rad(rest)), uniforms, settings)[0]
    # rows run upwards, so turning the array from rows to columns turns the sky clockwise
    return np.ascontiguousarray(np.rot90(pixels, -int(quarters) % 4, axes=(1, 2)))


def noise_free(drawn: sky.Sky, observation: Mapping[str, Any]) -> tuple[NDArray, NDArray, NDArray]:
    """Return images without noise, the lensed light in them, and the noise of every pixel.

    Parameters
    ----------
    drawn : Sky
        n systems.
    observation : mapping
        ``pixel_scale`` [arcsec], ``size`` [pixels] and ``bands``.

    Returns
    -------
    model, lensed, sigma : array, shape (n, size, size, bands)
        [electron / s]
    """
    bands, scale = observation["bands"], observation["pixel_scale"]
    psfs = [psf.from_settings(band["psf"], scale) for band in bands.values()]
    model, lensed = render(_scenes(drawn, bands), observation["size"], scale, psfs)
    return model, lensed, noise.sigma(model, **_camera(observation))


def _camera(observation: Mapping[str, Any]) -> dict[str, NDArray]:
    """Return exposure, sky and read noise per band; the sky in electrons per second and pixel."""
    bands, scale = observation["bands"].values(), observation["pixel_scale"]
    camera = {
        key: np.array([band[key] for band in bands], float)
        for key in ("exposure", "read_noise", "exposures")
    }
    return camera | {"sky": np.array([_rate(band["sky"], band) * scale**2 for band in bands])}


def _observe(
    drawn: sky.Sky, uniforms: NDArray, settings: Mapping[str, Any]
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return images, lensed light, noise and masked fraction."""
    observation = settings["observation"]
    camera = _camera(observation)
    model, lensed, sigma = noise_free(drawn, observation)
    keys = _keys(uniforms, "noise")
    if "background" in settings:
        # the real sky brings its own noise, scaled to the survey's; the light adds its photons'
        blank = noise.sigma(np.zeros_like(model[:1, :1, :1]), **camera)
        dark = {"exposure": camera["exposure"], "sky": 0.0, "read_noise": 0.0, "exposures": 1}
        pixels = noise.observe(model, **dark, keys=keys)
        pixels += _background(uniforms, settings["background"]) * blank
    else:
        pixels = noise.observe(model, **camera, keys=keys)
    rates = observation.get("defects")
    if not rates:
        return pixels, lensed, sigma, np.zeros(len(pixels))
    pixels, masked = _damage(pixels, rates, _keys(uniforms, "defects"))
    return pixels, lensed, sigma, masked


def _damage(pixels: NDArray, rates: Mapping[str, float], keys: NDArray) -> tuple[NDArray, NDArray]:
    """Add defects; bad pixels are repaired as in ingested images, cosmic rays were overlooked."""
    rays = {key: value for key, value in rates.items() if key.startswith(("cosmic", "ray"))}
    pixels, _ = defects.add(pixels, keys, **rays)
    known = {key: value for key, value in rates.items() if key not in rays}
    pixels, mask = defects.add(pixels, keys, **known)
    for i, j in zip(*mask.any(axis=(1, 2)).nonzero(), strict=True):
        pixels[i, :, :, j] = cleaning.fill(pixels[i, :, :, j], mask[i, :, :, j])
    return pixels, mask.mean(axis=(1, 2, 3))


def _keys(uniforms: NDArray, purpose: str) -> NDArray:
    """Return two 64-bit keys per system: streams of its own that nothing else uses."""
    columns = [sky.SLOTS.index(f"{purpose}_{half}") for half in ("high", "low")]
    return (uniforms[:, columns] * 2.0**53).astype(np.uint64)


def _background(uniforms: NDArray, dataset: str) -> NDArray:
    """Return pieces of real sky, in units of their noise, each in one of eight orientations."""
    patches = store.memmap(dataset, "cutouts", "pixels")
    pieces = np.array(patches[_pieces(uniforms, len(patches))])
    turns = (uniforms[:, sky.SLOTS.index("background_turn")] * 8).astype(int)
    for i, turn in enumerate(turns):
        piece = np.rot90(pieces[i], turn % 4)
        pieces[i] = piece[:, ::-1] if turn >= 4 else piece
    return pieces / quality.sky_sigma(pieces)[:, None, None, :]


def _pieces(uniforms: NDArray, count: int) -> NDArray:
    """Return the number of the piece of sky that each system is laid upon."""
    return (uniforms[:, sky.SLOTS.index("background")] * count).astype(int)


def _groups(uniforms: NDArray, dataset: str) -> NDArray:
    """Return the group of each system's piece of sky; where it has none, what identifies it."""
    systems = store.read(dataset, "systems")
    own = systems.get("content_hash", systems["index"]).astype(str)  # of mocks: their number
    named = splits.groups(dataset)
    group = own if named is None else np.where(named == "", own, named)
    return group[_pieces(uniforms, len(group))]


def _rate(magnitude: NDArray | float, band: Mapping[str, Any]) -> Any:
    """Return electrons per second; the zero point is the magnitude that gives one."""
    return 10 ** (-0.4 * (magnitude - band["zero_point"]))


def _scenes(drawn: sky.Sky, bands: Mapping[str, Mapping]) -> scenes.Scenes:
    light = drawn.light
    flux = [
        _rate(light["magnitude"] + light["colour"] * _redness(band), band)
        for band in bands.values()
    ]
    shapes = {k: light[k] for k in light if k not in ("owner", "magnitude", "colour")}
    massless = {"theta_e": 0.0, "q": 1.0, "phi": 0.0, "slope": 2.0, "gamma1": 0.0, "gamma2": 0.0}
    mass = [np.where(drawn.kind == 0, drawn.lens[name], massless[name]) for name in MASS]
    lenses = scenes.lenses(*mass, *drawn.centre)
    return scenes.assemble(
        lenses, (light["owner"], scenes.light(**shapes, flux=np.stack(flux, axis=1)))
    )


def _redness(band: Mapping[str, Any]) -> float:
    """Return the share of the colour g - i by which a magnitude in this band exceeds that in i."""
    return (WAVELENGTH_I - band["wavelength"]) / (WAVELENGTH_I - WAVELENGTH_G)


def _magnification(drawn: sky.Sky, lensed: NDArray, observation: Mapping[str, Any]) -> NDArray:
    """Return the magnification in the first band: flux in the frame over that without a lens."""
    band = next(iter(observation["bands"].values()))
    light = drawn.light
    of_source = light["lensed"].astype(bool)
    flux = _rate(light["magnitude"] + light["colour"] * _redness(band), band)
    intrinsic = np.bincount(light["owner"][of_source], flux[of_source], minlength=len(drawn.kind))
    return lensed[..., 0].sum(axis=(1, 2)) / np.where(intrinsic > 0, intrinsic, 1.0)
