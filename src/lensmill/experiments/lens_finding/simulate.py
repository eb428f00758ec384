"""Draw lenses and look-alikes and observe them as a survey would."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.cutouts import background
from lensmill.experiments.lens_finding import paint, sky
from lensmill.experiments.lens_finding.families import FAMILIES
from lensmill.experiments.lens_finding.sky import KINDS, WIDTH
from lensmill.imaging import camera, photometry, quality
from lensmill.imaging.camera import MASS
from lensmill.pipeline.store import Tables

__all__ = [
    "BATCH",
    "FAMILIES",
    "KINDS",
    "OPTIONAL",
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
        "host": "",
        "host_turn": "",
        "sigma_v": "km / s",
        "z_lens": "",
        "z_source": "",
        "source": "",
        "source_colour": "mag",
        "psf_fwhm": "arcsec",
        "theta_e_over_seeing": "",
        "redraws": "",
        "unfilled": "",
        **photometry.UNITS,
    },
    "cutouts": {"system": "", "pixels": "electron / s"},
}
# Columns of painted hosts alone: their names are the same as those of ingested galaxies
PAINTED = tuple([*UNITS["systems"]][[*UNITS["systems"]].index("host") :])
OPTIONAL = {*PAINTED, "group"}
ROWS_OF: dict[str, str] = {}
MASSLESS = {"theta_e": 0.0, "q": 1.0, "phi": 0.0, "slope": 2.0, "gamma1": 0.0, "gamma2": 0.0}


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
        ``background``, if images are laid upon real sky: the data set of its cut-outs; ``host``,
        if lenses are painted on real galaxies: their data set (see `paint`).

    Returns
    -------
    dict of dict of array
        Tables ``systems`` and ``cutouts``, n rows each in the same order; units in ``UNITS``.
        Upon a background or a host, systems have its ``group``; with hosts, also `PAINTED`.
    """
    if "host" in settings:
        return _painted(first, uniforms, settings)
    n = len(uniforms)
    drawn = sky.draw(uniforms, FAMILIES[settings["family"]], settings["prior"])
    observation = settings["observation"]
    pixels, lensed, sigma, masked = _observe(drawn, uniforms, settings)
    is_lens = drawn.kind == 0
    index = first + np.arange(n)
    truth = drawn.truth
    magnification = camera.magnification(drawn.light, lensed, observation)
    bright = is_lens & (lensed.sum(axis=(1, 2, 3)) > 0)
    group = {}
    if "background" in settings:
        group["group"] = background.groups(settings["background"], _u(uniforms, "background"))
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
            "magnification": np.where(bright, magnification, 0.0),
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


def _painted(first: int, uniforms: NDArray, settings: Mapping[str, Any]) -> Tables:
    """Draw lenses painted on hosts, and hosts as they are."""
    painted = paint.draw(uniforms, settings)
    noise_keys = camera.keys(_u(uniforms, "noise_high", "noise_low"))
    pixels = paint.observe(painted, noise_keys)
    is_lens = painted.kind == 0
    index = first + np.arange(len(uniforms))
    observation, known = settings["observation"], painted.columns
    of_lenses = (*MASS, "source_x", "source_y", "source_magnitude", "magnification", "arc_snr")
    of_lenses += ("arc_length", "n_images", "n_minima", "n_saddles", "has_quasar", "z_source")
    of_lenses += ("theta_e_over_seeing", "source_colour")
    known |= {name: np.where(is_lens, known[name], 0) for name in of_lenses}
    known["source"] = np.where(is_lens, known["source"], -1)
    known |= {
        "index": index,
        "is_lens": is_lens.astype(np.uint8),
        "label_known": np.ones(len(index), np.uint8),
        "kind": painted.kind,
        "has_quasar": known["has_quasar"].astype(np.uint8),
        "snr": quality.snr(pixels, observation["pixel_scale"]),
        **photometry.measure(pixels, observation),
    }
    systems = {name: known[name] for name in UNITS["systems"]}
    return {"systems": systems, "cutouts": {"system": index, "pixels": pixels}}


def turned(uniforms: NDArray, settings: Mapping[str, Any], angle: float) -> NDArray:
    """Return the images of systems whose sky is turned counter-clockwise by ``angle`` [deg].

    The scene is rendered anew, nothing is interpolated. A system keeps its noise, which turns
    with it by whole quarters: so a quarter turn is exactly the turned image, and every angle has
    noise of the same kind.

    Returns
    -------
    array, shape (n, size, size, bands), float32
    """
    if "host" in settings:
        raise ValueError(
            "lenses painted on real galaxies cannot be turned by any angle: the galaxy has no "
            "model; measure the rotation on a population without host"
        )
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
    mass = {
        name: np.where(drawn.kind == 0, drawn.lens[name], massless)
        for name, massless in MASSLESS.items()
    }
    return camera.noise_free(mass, drawn.centre, drawn.light, observation)


def _observe(
    drawn: sky.Sky, uniforms: NDArray, settings: Mapping[str, Any]
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return images, lensed light, noise and masked fraction."""
    observation, behind = settings["observation"], None
    model, lensed, sigma = noise_free(drawn, observation)
    if "background" in settings:
        place = _u(uniforms, "background"), _u(uniforms, "background_turn")
        behind = background.pieces(settings["background"], *place)
    keys = [
        camera.keys(_u(uniforms, f"{purpose}_high", f"{purpose}_low"))
        for purpose in ("noise", "defects")
    ]
    pixels, masked = camera.observe(model, observation, *keys, behind)
    return pixels, lensed, sigma, masked


def _u(uniforms: NDArray, *slots: str) -> NDArray:
    """Return the uniform numbers of one slot, shape (n,), or of several, (n, slots)."""
    columns = [sky.SLOTS.index(slot) for slot in slots]
    return uniforms[:, columns] if len(columns) > 1 else uniforms[:, columns[0]]
