"""Scenes of lenses: a red galaxy, a clumpy source behind it, and maybe a quasar in that.

The galaxy's brightness, size and colour go with its Einstein radius. The images of a quasar lie
where the solver finds them; their fluxes are off by microlensing and variability, so that a network
does not believe them more than the sky allows.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.imaging import light as lights
from lensmill.imaging.light import MAX_CLUMPS, Light
from lensmill.imaging.scenes import POINT, SERSIC
from lensmill.lensing.distances import distances
from lensmill.lensing.solver import solve
from lensmill.pipeline.draws import Draws
from lensmill.pipeline.priors import inverse_cdf

MAX_IMAGES = 5

# Which uniform number of a system becomes what; the order never changes.
SLOTS = (
    *("noise_high", "noise_low", "defects_high", "defects_low", "centre_x", "centre_y"),
    *("einstein_radius", "one_minus_q", "phi", "shear", "shear_angle", "slope"),
    *("lens_magnitude", "lens_radius", "lens_index", "lens_colour", "light_q", "light_turn"),
    *("source_radius", "source_angle", "source_magnitude", "source_size", "source_index"),
    *("source_one_minus_q", "source_phi", "source_colour", "clumps", "quasar", "quasar_magnitude"),
    *(f"clump{i}_{part}" for i in range(MAX_CLUMPS) for part in ("radius", "angle", "share")),
    *(f"image{i}_flux" for i in range(MAX_IMAGES)),
    *("z_lens", "z_source", "h0", "omega_m", "kappa_ext"),
)
WIDTH = -(-len(SLOTS) // 4) * 4


class Sky(NamedTuple):
    """``n`` systems."""

    mass: dict[str, NDArray]  # as `lensmill.lensing.solver.solve` names it, shape (n,)
    centre: tuple[NDArray, NDArray]  # of the lens in the frame [arcsec]
    truth: dict[str, NDArray]  # what else is known of every system, shape (n,)
    light: dict[str, NDArray]  # one entry per component: the columns of `Light`


def draw(uniforms: NDArray, family: Mapping[str, list], prior: Mapping[str, Any]) -> Sky:
    """Turn uniform numbers into systems.

    Parameters
    ----------
    uniforms : array, shape (n, WIDTH)
        In (0, 1); column k becomes ``SLOTS[k]``.
    family : mapping
        Priors that the family of lens models fixes.
    prior : mapping
        The population's prior, see ``defaults.yaml``.
    """
    n = len(uniforms)
    draws = Draws(uniforms, {**prior, **family}, SLOTS)
    light = Light()
    theta_e, q, phi = draws("einstein_radius"), 1 - draws("one_minus_q"), draws("phi")
    shear, angle = draws("shear"), draws("shear_angle")
    mass = {
        "theta_e": theta_e,
        "q": q,
        "phi": phi,
        "slope": draws("slope"),
        "gamma1": shear * np.cos(2 * angle),
        "gamma2": shear * np.sin(2 * angle),
        "kappa_ext": np.zeros(n),
    }
    # theta_E goes as sigma^2 and L as sigma^4 (Faber & Jackson 1976)
    magnitude = draws("lens_magnitude") - 5 * np.log10(theta_e)
    light.add(
        np.arange(n),
        SERSIC,
        radius=draws("lens_radius") * theta_e,
        index=draws("lens_index"),
        q=np.clip(q + draws("light_q"), 0.2, 1.0),
        phi=phi + draws("light_turn"),
        magnitude=magnitude,
        colour=draws("lens_colour"),
    )
    r = prior["source"][1] * theta_e * np.sqrt(draws.u("source_radius"))
    angle = 2 * np.pi * draws.u("source_angle")
    source = r * np.cos(angle), r * np.sin(angle)
    lights.add_source(light, np.arange(n), draws, source)
    truth = {
        "lens_magnitude": magnitude,
        "source_magnitude": draws("source_magnitude"),
        "source_x": source[0],
        "source_y": source[1],
        **_add_quasar(light, draws, mass, source),
        **_distance(draws),
    }
    centre = draws("centre_offset", "centre_x"), draws("centre_offset", "centre_y")
    return Sky(mass, centre, truth, lights.shift(light.joined(), centre))


def turn(drawn: Sky, angle: float) -> Sky:
    """Turn everything counter-clockwise about the centre of the frame by ``angle`` [rad]."""
    mass, centre, light = lights.turn(drawn.mass, drawn.centre, drawn.light, angle)
    c, s = np.cos(angle), np.sin(angle)
    x, y = drawn.truth["source_x"], drawn.truth["source_y"]
    truth = {**drawn.truth, "source_x": c * x - s * y, "source_y": s * x + c * y}
    return Sky(mass, centre, truth, light)


def _add_quasar(
    light: Light,
    draws: Draws,
    mass: Mapping[str, NDArray],
    source: tuple[NDArray, NDArray],
) -> dict[str, NDArray]:
    """Add the images of quasars; count the images of every source."""
    images = solve(**mass, source_x=source[0], source_y=source[1], min_magnification=0.1)
    owner = np.repeat(np.arange(len(source[0])), images.n_images)
    number = np.arange(len(owner)) - images.first_image[owner]
    has_quasar = draws.u("quasar") < draws.prior["quasar_fraction"]
    seen = has_quasar[owner]
    # more images than MAX_IMAGES, behind cusps of naked shear, share the last one's number
    slots = np.minimum(number[seen], MAX_IMAGES - 1)
    change = np.stack([draws("flux_change", f"image{i}_flux") for i in range(MAX_IMAGES)], axis=1)
    light.add(
        owner[seen],
        POINT,
        lensed=True,
        x=images.x[seen],
        y=images.y[seen],
        magnitude=draws("quasar_magnitude")[owner[seen]]
        - 2.5 * np.log10(np.abs(images.magnification[seen]))
        + change[owner[seen], slots],
        colour=0.3,
    )
    return {"n_images": images.n_images, "has_quasar": has_quasar}


def _distance(draws: Draws) -> dict[str, NDArray]:
    """Draw redshifts, the universe and the sheet: an image shows none of them, delays do."""
    z_lens = draws("z_lens")
    z_source = inverse_cdf(
        draws.prior["z_source"], draws.u("z_source"), above=z_lens + draws.prior["redshift_gap"]
    )
    *_, d_dt = distances(z_lens, z_source, draws("h0"), draws("omega_m"))
    kappa = draws("kappa_ext")
    return {"z_lens": z_lens, "z_source": z_source, "d_dt": d_dt, "kappa_ext": kappa}
