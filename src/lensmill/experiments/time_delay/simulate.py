"""Draw lensed quasars from a prior and find all their images."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.time_delay.families import FAMILIES
from lensmill.lensing.caustics import areas
from lensmill.lensing.distances import distances, time_delay
from lensmill.lensing.profiles import deflection
from lensmill.lensing.solver import solve
from lensmill.pipeline.priors import inverse_cdf
from lensmill.pipeline.store import Tables

# Which uniform number of a system becomes which parameter; the order never changes, so that two
# populations differ in their physics and not in where a number is used.
SLOTS = (
    "einstein_radius",
    "one_minus_q",
    "phi",
    "shear",
    "shear_angle",
    "slope",
    "kappa_ext",
    "source_radius",
    "source_angle",
    "z_lens",
    "z_source",
    "h0",
    "omega_m",
)
WIDTH = 16

UNITS = {
    "systems": {
        "index": "",
        "theta_e": "arcsec",
        "q": "",
        "phi": "rad",
        "slope": "",
        "gamma1": "",
        "gamma2": "",
        "kappa_ext": "",
        "lens_x": "arcsec",
        "lens_y": "arcsec",
        "source_x": "arcsec",
        "source_y": "arcsec",
        "z_lens": "",
        "z_source": "",
        "h0": "km / (Mpc s)",
        "omega_m": "",
        "d_l": "Mpc",
        "d_s": "Mpc",
        "d_ls": "Mpc",
        "d_dt": "Mpc",
        "area_caustic": "arcsec2",
        "area_cut": "arcsec2",
        "status": "",
        "n_images": "",
        "n_faint": "",
        "first_image": "",
    },
    "images": {
        "system": "",
        "x": "arcsec",
        "y": "arcsec",
        "magnification": "",
        "type": "",
        "potential": "arcsec2",
        "deflection_x": "arcsec",
        "deflection_y": "arcsec",
        "fermat": "arcsec2",
        "delay": "d",
    },
}
ROWS_OF = {"systems/first_image": "images"}


def draw(first: int, uniforms: NDArray, settings: Mapping[str, Any]) -> Tables:
    """Turn uniform numbers into lenses, and lenses into images.

    Parameters
    ----------
    first : int
        Index of the first system.
    uniforms : array, shape (n, 16)
        In (0, 1); column k becomes parameter ``SLOTS[k]``.
    settings : mapping
        ``family`` (a key of ``FAMILIES``) and ``prior``: one prior per parameter, with
        ``einstein_radius_is`` (``b`` or ``theta_e``), ``source`` (``[image_in_disc, r]`` or
        ``[disc, r]``) and ``min_magnification``.

    Returns
    -------
    dict of dict of array
        Tables ``systems`` (n rows) and ``images`` (one row per image, in order of arrival);
        units in ``UNITS``. ``first_image`` counts from the first image of this call.
    """
    n = len(uniforms)
    lens = _lens(uniforms, settings)
    source_x, source_y = _source(uniforms, lens, settings["prior"]["source"])
    cosmology = _cosmology(uniforms, settings["prior"])

    images = solve(
        **lens,
        source_x=source_x,
        source_y=source_y,
        min_magnification=settings["prior"]["min_magnification"],
    )
    owner = np.repeat(np.arange(n), images.n_images)
    d_dt = cosmology["d_dt"]
    later = images.fermat - images.fermat[images.first_image[owner]]
    area_caustic, area_cut = areas(**lens)
    index = first + np.arange(n)
    return {
        "systems": {
            "index": index,
            **lens,
            "lens_x": np.zeros(n),
            "lens_y": np.zeros(n),
            "source_x": source_x,
            "source_y": source_y,
            **cosmology,
            "area_caustic": area_caustic,
            "area_cut": area_cut,
            "status": images.status,
            "n_images": images.n_images,
            "n_faint": images.n_faint,
            "first_image": images.first_image,
        },
        "images": {
            "system": index[owner],
            "x": images.x,
            "y": images.y,
            "magnification": images.magnification,
            "type": images.image_type,
            "potential": images.potential,
            "deflection_x": images.deflection_x,
            "deflection_y": images.deflection_y,
            "fermat": images.fermat,
            "delay": time_delay(d_dt[owner], later),
        },
    }


def family_prior(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the prior of a population: the preset, less what the family leaves out."""
    return {**settings["prior"], **FAMILIES[settings["family"]]}


def _draw(name: str, uniforms: NDArray, prior: Mapping, above: NDArray | None = None) -> NDArray:
    return inverse_cdf(prior[name], uniforms[:, SLOTS.index(name)], above)


def _lens(uniforms: NDArray, settings: Mapping[str, Any]) -> dict[str, NDArray]:
    prior = family_prior(settings)
    q = 1 - _draw("one_minus_q", uniforms, prior)
    theta_e = _draw("einstein_radius", uniforms, prior)
    if prior["einstein_radius_is"] == "b":
        theta_e = theta_e / np.sqrt(q)
    shear = _draw("shear", uniforms, prior)
    angle = _draw("shear_angle", uniforms, prior)
    return {
        "theta_e": theta_e,
        "q": q,
        "phi": _draw("phi", uniforms, prior),
        "slope": _draw("slope", uniforms, prior),
        "gamma1": shear * np.cos(2 * angle),
        "gamma2": shear * np.sin(2 * angle),
        "kappa_ext": _draw("kappa_ext", uniforms, prior),
    }


def _source(uniforms: NDArray, lens: dict, prior: list) -> tuple[NDArray, NDArray]:
    """Place the source, or place one image and map it back to the source."""
    kind, size = prior
    radius = size * np.sqrt(uniforms[:, SLOTS.index("source_radius")])
    angle = 2 * np.pi * uniforms[:, SLOTS.index("source_angle")]
    if kind == "disc":
        radius = radius * lens["theta_e"]
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    if kind == "image_in_disc":
        alpha_x, alpha_y = deflection(x, y, **lens)
        x, y = x - alpha_x, y - alpha_y
    return x, y


def _cosmology(uniforms: NDArray, prior: Mapping[str, Any]) -> dict[str, NDArray]:
    z_lens = _draw("z_lens", uniforms, prior)
    behind = z_lens + prior["redshift_gap"]
    z_source = _draw("z_source", uniforms, prior, above=behind)
    h0, omega_m = _draw("h0", uniforms, prior), _draw("omega_m", uniforms, prior)
    d_l, d_s, d_ls, d_dt = distances(z_lens, z_source, h0, omega_m)
    return {
        "z_lens": z_lens,
        "z_source": z_source,
        "h0": h0,
        "omega_m": omega_m,
        "d_l": d_l,
        "d_s": d_s,
        "d_ls": d_ls,
        "d_dt": d_dt,
    }
