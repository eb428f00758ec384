"""Draw smooth lenses, those with subhalos and those with a vortex, and observe them."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.substructure import observer, sky
from lensmill.experiments.substructure.families import FAMILIES
from lensmill.experiments.substructure.sky import WIDTH
from lensmill.experiments.substructure.systems import CLASSES
from lensmill.imaging import camera, quality
from lensmill.imaging.camera import MASS
from lensmill.pipeline.store import Tables

__all__ = ["BATCH", "FAMILIES", "ROWS_OF", "UNITS", "WIDTH", "attributes", "draw"]

BATCH = 256  # systems drawn at a time; an image is thousands of numbers

UNITS = {
    "systems": {
        "index": "",
        "label": "",
        "label_known": "",
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
        "source_magnitude": "mag",
        "source_size": "arcsec",
        "z_lens": "",
        "z_source": "",
        "sigma_sub": "1 / kpc2",
        "f_sub": "",  # within theta_E
        "n_subhalos": "",
        "m_sub": "Msun",  # of all that is bound to subhalos, or of the vortex
        "m_hm": "Msun",  # half-mode mass of warm dark matter
        "vortex_mass": "",  # in units of the mass within theta_E
        "vortex_length": "",  # in units of theta_E
        "kappa_sheet": "",  # mean convergence within theta_E that the smooth lens has given up
        "flux": "electron / s",  # of the arcs
        "arc_snr": "",
        "raw_chi": "",  # significance of the perturbation where the smooth lens is known
        "sub_chi": "",  # what is left of it after a fit of the smooth lens and its source
        "masked_fraction": "",
    },
    "cutouts": {"system": "", "pixels": "electron / s"},
}
ROWS_OF: dict[str, str] = {}


def attributes(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of the classes, and the order of the bands."""
    return {
        "classes": json.dumps(CLASSES),
        "bands": json.dumps([*settings["observation"]["bands"]]),
    }


def draw(first: int, uniforms: NDArray, settings: Mapping[str, Any]) -> Tables:
    """Turn uniform numbers into systems, and systems into images.

    Parameters
    ----------
    first : int
        Index of the first system.
    uniforms : array, shape (n, WIDTH)
        In (0, 1); column k becomes `lensmill.experiments.substructure.sky.SLOTS` [k].
    settings : mapping
        ``family`` (a key of ``FAMILIES``), ``prior`` and ``observation`` (see ``defaults.yaml``).

    Returns
    -------
    dict of dict of array
        Tables ``systems`` and ``cutouts``, n rows each in the same order; units in ``UNITS``.
    """
    observation = settings["observation"]
    prior = {**settings["prior"], **FAMILIES[settings["family"]]}
    drawn = sky.draw(uniforms, FAMILIES[settings["family"]], prior)
    seen = observer.look(drawn, prior, observation)
    pixels, masked = observe(seen.model, uniforms, observation)
    index = first + np.arange(len(uniforms))
    return {
        "systems": {
            "index": index,
            "label": drawn.label.astype(np.uint8),
            "label_known": np.ones(len(index), np.uint8),
            **{name: drawn.mass[name] for name in MASS},
            "lens_x": drawn.centre[0],
            "lens_y": drawn.centre[1],
            **drawn.truth,
            "flux": seen.model.sum(axis=(1, 2, 3), dtype=float),
            "arc_snr": quality.arc_snr(seen.model, seen.sigma),
            "raw_chi": seen.raw_chi,
            "sub_chi": seen.sub_chi,
            "masked_fraction": masked,
        },
        "cutouts": {"system": index, "pixels": pixels},
    }


def observe(
    model: NDArray, uniforms: NDArray, observation: Mapping[str, Any]
) -> tuple[NDArray, NDArray]:
    """Return images with the noise and the defects of an observation, and what is masked."""
    columns = [sky.SLOTS.index(slot) for slot in ("noise_high", "noise_low")]
    keys = camera.keys(uniforms[:, columns])
    return camera.observe(model, observation, keys, keys)


def noise_free(numbers: NDArray, settings: Mapping[str, Any]) -> tuple[NDArray, NDArray]:
    """Return the images of systems without noise, and the noise of every pixel."""
    prior = {**settings["prior"], **FAMILIES[settings["family"]]}
    drawn = sky.draw(numbers, FAMILIES[settings["family"]], prior)
    return observer.render(drawn, prior, settings["observation"])
