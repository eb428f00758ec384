"""Draw lenses and observe them as a telescope would."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.lens_parameters import sky
from lensmill.experiments.lens_parameters.families import FAMILIES
from lensmill.experiments.lens_parameters.sky import WIDTH
from lensmill.imaging import camera, quality
from lensmill.imaging.camera import MASS
from lensmill.pipeline.store import Tables

__all__ = ["BATCH", "FAMILIES", "ROWS_OF", "UNITS", "WIDTH", "attributes", "draw", "turned"]

BATCH = 512  # systems drawn at a time; an image is thousands of numbers

UNITS = {
    "systems": {
        "index": "",
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
        "has_quasar": "",
        "n_images": "",
        "z_lens": "",
        "z_source": "",
        "d_dt": "Mpc",
        "kappa_ext": "",  # beside the lens that the image shows, in which it is divided out
        "magnification": "",
        "arc_snr": "",
        "arc_length": "arcsec",
        "snr": "",
        "masked_fraction": "",
    },
    "cutouts": {"system": "", "pixels": "electron / s"},
}
ROWS_OF: dict[str, str] = {}


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
        In (0, 1); column k becomes `lensmill.experiments.lens_parameters.sky.SLOTS` [k].
    settings : mapping
        ``family`` (a key of ``FAMILIES``), ``prior`` and ``observation`` (see ``defaults.yaml``).

    Returns
    -------
    dict of dict of array
        Tables ``systems`` and ``cutouts``, n rows each in the same order; units in ``UNITS``.
        ``arc_snr``, ``arc_length`` and ``magnification`` are of all lensed light, quasars included.
    """
    observation = settings["observation"]
    drawn = sky.draw(uniforms, FAMILIES[settings["family"]], settings["prior"])
    model, lensed, sigma = noise_free(drawn, observation)
    pixels, masked = _observe(model, uniforms, observation)
    index = first + np.arange(len(uniforms))
    return {
        "systems": {
            "index": index,
            **{name: drawn.mass[name] for name in MASS},
            "lens_x": drawn.centre[0],
            "lens_y": drawn.centre[1],
            **drawn.truth,
            "has_quasar": drawn.truth["has_quasar"].astype(np.uint8),
            "magnification": camera.magnification(drawn.light, lensed, observation),
            "arc_snr": quality.arc_snr(lensed, sigma),
            "arc_length": quality.arc_length(lensed, sigma, observation["pixel_scale"]),
            "snr": quality.snr(pixels, observation["pixel_scale"]),
            "masked_fraction": masked,
        },
        "cutouts": {"system": index, "pixels": pixels},
    }


def turned(
    uniforms: NDArray, settings: Mapping[str, Any], angle: float
) -> tuple[NDArray, dict[str, NDArray]]:
    """Return images of systems whose sky is turned counter-clockwise by ``angle`` [deg], and truth.

    The scene is rendered anew, nothing is interpolated. A system keeps its noise, which turns
    with it by whole quarters: so a quarter turn is exactly the turned image, and every angle has
    noise of the same kind.

    Returns
    -------
    pixels : array, shape (n, size, size, bands), float32
    systems : dict of array
        The columns that `parameters.from_systems` takes.
    """
    drawn = sky.draw(uniforms, FAMILIES[settings["family"]], settings["prior"])
    quarters, rest = divmod(angle, 90.0)
    model, _, _ = noise_free(sky.turn(drawn, np.deg2rad(rest)), settings["observation"])
    pixels, _ = _observe(model, uniforms, settings["observation"])
    # rows run upwards, so turning the array from rows to columns turns the sky clockwise
    pixels = np.ascontiguousarray(np.rot90(pixels, -int(quarters) % 4, axes=(1, 2)))
    after = sky.turn(drawn, np.deg2rad(angle))
    places = dict(zip(("lens_x", "lens_y"), after.centre, strict=True))
    return pixels, {**after.mass, **after.truth, **places}


def noise_free(drawn: sky.Sky, observation: Mapping[str, Any]) -> tuple[NDArray, NDArray, NDArray]:
    """Return images without noise, the lensed light in them, and the noise of every pixel.

    See `lensmill.imaging.camera.noise_free`.
    """
    mass = {name: drawn.mass[name] for name in MASS}
    return camera.noise_free(mass, drawn.centre, drawn.light, observation)


def _observe(
    model: NDArray, uniforms: NDArray, observation: Mapping[str, Any]
) -> tuple[NDArray, NDArray]:
    """Return images with noise and defects, and their masked fraction."""
    keys = [
        camera.keys(uniforms[:, [sky.SLOTS.index(f"{purpose}_{end}") for end in ("high", "low")]])
        for purpose in ("noise", "defects")
    ]
    return camera.observe(model, observation, *keys)
