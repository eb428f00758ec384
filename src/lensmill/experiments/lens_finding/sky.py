"""Scenes of lenses and non-lenses: the galaxies and stars that look like them, as components.

Every system is drawn as a lens would be: a red galaxy with the brightness, size and colour that go
with its Einstein radius. Its kind decides what stands around it, so that neither the galaxy nor the
brightness of the image tells lenses from the rest. `KINDS` lists them; the first is the lens. Those
painted on real galaxies are made by `lensmill.experiments.lens_finding.paint`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.imaging import light as lights
from lensmill.imaging.light import MAX_CLUMPS, Light
from lensmill.imaging.scenes import POINT, RING, SERSIC, SPIRAL
from lensmill.lensing.solver import solve
from lensmill.pipeline.draws import Draws

LOOK_ALIKES = ("unlit", "companions", "spiral", "ring", "merger", "satellites", "star")
KINDS = ("lens", *LOOK_ALIKES, "unpainted")  # the last: a host as it is (`paint`)
REAL = 255  # kind of an ingested system: nobody simulated it

MAX_NEIGHBOURS, MAX_COMPANIONS = 2, 4
_EACH = ("x", "y", "magnitude", "radius", "index", "q", "phi", "colour")


def _number_slots(name: str, count: int, parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}{i}_{part}" for i in range(count) for part in parts)


# Which uniform number of a system becomes what; the order never changes.
SLOTS = (
    *("kind", "kind_of_non_lens", "noise_high", "noise_low", "defects_high", "defects_low"),
    *("background", "background_turn", "centre_x", "centre_y"),
    *("einstein_radius", "one_minus_q", "phi", "shear", "shear_angle", "slope"),
    *("lens_magnitude", "lens_radius", "lens_index", "lens_colour", "light_q", "light_turn"),
    *("source_radius", "source_angle", "source_magnitude", "source_size", "source_index"),
    *("source_one_minus_q", "source_phi", "source_colour", "clumps", "quasar", "quasar_magnitude"),
    *_number_slots("clump", MAX_CLUMPS, ("radius", "angle", "share")),
    *("neighbours", *_number_slots("neighbour", MAX_NEIGHBOURS, _EACH)),
    *("companions", *_number_slots("companion", MAX_COMPANIONS, _EACH)),
    *("shape0", "shape1", "shape2", "shape3", "shape4", "shape5", "shape6", "shape7"),
)
WIDTH = -(-len(SLOTS) // 4) * 4


class Sky(NamedTuple):
    """``n`` systems: what they are, their deflectors, and their light, one row per component."""

    kind: NDArray  # uint8, shape (n,): index into `KINDS`
    lens: dict[str, NDArray]  # mass model as `lensmill.lensing.solver.solve` names it, shape (n,)
    centre: tuple[NDArray, NDArray]  # of the lens in the frame [arcsec]
    truth: dict[str, NDArray]  # what else is known of every system, shape (n,)
    light: dict[str, NDArray]  # one entry per component: `owner` and the other `Light.COLUMNS`


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
    kind = _kind(draws, prior)
    galaxy = _galaxy(draws)
    light = Light()
    rows = np.arange(n)
    centre = draws("centre_offset", "centre_x"), draws("centre_offset", "centre_y")
    truth = {
        "lens_magnitude": galaxy["magnitude"],
        "source_magnitude": draws("source_magnitude"),
    }
    _add_galaxy(light, rows[~np.isin(kind, [KINDS.index("spiral"), KINDS.index("star")])], galaxy)
    _add_neighbours(light, draws, prior)
    for number, name in enumerate(KINDS):
        chosen = rows[kind == number]
        if len(chosen) and name in _ADD:
            own = {key: values[chosen] for key, values in galaxy.items()}
            _ADD[name](light, chosen, draws.where(chosen), own)
    mass = {key: galaxy[key] for key in ("theta_e", "q", "phi", "slope", "gamma1", "gamma2")} | {
        "kappa_ext": np.zeros(n)
    }
    source = source_position(draws, galaxy["theta_e"])
    is_lens = kind == 0
    truth |= _images(light, rows[is_lens], draws.where(is_lens), mass, source, n)
    truth |= {
        "source_x": np.where(is_lens, source[0], 0.0),
        "source_y": np.where(is_lens, source[1], 0.0),
    }
    return Sky(kind, mass, centre, truth, lights.shift(light.joined(), centre))


def turn(drawn: Sky, angle: float) -> Sky:
    """Turn everything counter-clockwise about the centre of the frame by ``angle`` [rad]."""
    lens, centre, light = lights.turn(drawn.lens, drawn.centre, drawn.light, angle)
    return drawn._replace(lens=lens, centre=centre, light=light)


def _kind(draws: Draws, prior: Mapping[str, Any]) -> NDArray:
    """Choose lens or not, and then which kind of non-lens."""
    shares = np.array([prior["non_lenses"].get(name, 0.0) for name in LOOK_ALIKES])
    edges = np.cumsum(shares) / shares.sum()
    other = 1 + np.searchsorted(edges[:-1], draws.u("kind_of_non_lens"), side="right")
    return np.where(draws.u("kind") < prior["lens_fraction"], 0, other).astype(np.uint8)


def brightening(prior: Mapping[str, Any]) -> float:
    """Return by how many magnitudes a lens of ten times the Einstein radius is brighter."""
    return prior.get("lens_brightening", 5.0)


def _galaxy(draws: Draws) -> dict[str, NDArray]:
    """Draw the galaxy in the middle and the mass that it has or would have.

    Luminosity and size go with the Einstein radius: theta_E ~ sigma^2 for an isothermal lens, and
    L ~ sigma^4 (Faber & Jackson 1976), so a magnitude falls by 5 log theta_E; sizes grow with L^0.6
    (Shen et al. 2003), here as theta_E itself. A prior may have another ``lens_brightening`` than
    5: the lenses that a survey of limited depth knows show less, and 0 leaves the scatter alone.
    """
    theta_e = draws("einstein_radius")
    q = 1 - draws("one_minus_q")
    phi = draws("phi")
    shear, angle = draws("shear"), draws("shear_angle")
    slope = brightening(draws.prior)
    return {
        "theta_e": theta_e,
        "q": q,
        "phi": phi,
        "slope": draws("slope"),
        "gamma1": shear * np.cos(2 * angle),
        "gamma2": shear * np.sin(2 * angle),
        "magnitude": draws("lens_magnitude") - slope * np.log10(theta_e),
        "radius": draws("lens_radius") * theta_e ** (slope / 5),
        "index": draws("lens_index"),
        "colour": draws("lens_colour"),
        "light_q": np.clip(q + draws("light_q"), 0.2, 1.0),
        "light_phi": phi + draws("light_turn"),
    }


def _add_galaxy(light: Light, rows: NDArray, galaxy: Mapping[str, NDArray]) -> None:
    own = {key: values[rows] for key, values in galaxy.items()}
    light.add(
        rows,
        SERSIC,
        x=0.0,
        y=0.0,
        radius=own["radius"],
        index=own["index"],
        q=own["light_q"],
        phi=own["light_phi"],
        magnitude=own["magnitude"],
        colour=own["colour"],
    )


def _add_neighbours(light: Light, draws: Draws, prior: Mapping[str, Any]) -> None:
    """Add field galaxies, the same around lenses and others."""
    how_many = np.searchsorted(np.cumsum(prior["neighbours"])[:-1], draws.u("neighbours"))
    for i in range(MAX_NEIGHBOURS):
        rows = np.flatnonzero(how_many > i)
        own = draws.where(rows)
        slot = f"neighbour{i}_"
        # uniform on a ring that leaves the lens free
        inner, outer = prior["neighbour_distance"]
        r = np.sqrt(inner**2 + (outer**2 - inner**2) * own.u(slot + "x"))
        angle = 2 * np.pi * own.u(slot + "y")
        light.add(
            rows,
            SERSIC,
            x=r * np.cos(angle),
            y=r * np.sin(angle),
            radius=own("source_size", slot + "radius"),
            index=own.between(slot + "index", 0.8, 4.0),
            q=own.between(slot + "q", 0.35, 1.0),
            phi=np.pi * own.u(slot + "phi"),
            magnitude=own("neighbour_magnitude", slot + "magnitude"),
            colour=own.between(slot + "colour", 0.0, 2.2),
        )


def source_position(draws: Draws, theta_e: NDArray) -> tuple[NDArray, NDArray]:
    """Place the source uniformly in a disc of so many Einstein radii about the lens."""
    radius = draws.prior["source"][1] * theta_e * np.sqrt(draws.u("source_radius"))
    angle = 2 * np.pi * draws.u("source_angle")
    return radius * np.cos(angle), radius * np.sin(angle)


def _images(
    light: Light,
    rows: NDArray,
    draws: Draws,
    mass: Mapping[str, NDArray],
    source: tuple[NDArray, NDArray],
    n: int,
) -> dict[str, NDArray]:
    """Add the source of every lens, its clumps and its quasar; count the images of its centre."""
    place = source[0][rows], source[1][rows]
    lights.add_source(light, rows, draws, place)
    own = {key: values[rows] for key, values in mass.items()}
    counts = add_quasar(light, rows, draws, own, place)
    whole = {name: np.zeros(n, np.int64) for name in counts}
    for name, values in counts.items():
        whole[name][rows] = values
    return whole


def add_quasar(
    light: Light,
    rows: NDArray,
    draws: Draws,
    mass: Mapping[str, NDArray],
    place: tuple[NDArray, NDArray],
) -> dict[str, NDArray]:
    """Add the images of the quasars in the sources of the systems ``rows``, where there is one.

    Returns
    -------
    dict of array, shape of ``rows``
        The number of images of a source at this place, and ``has_quasar``.
    """
    x, y = place
    images = solve(**mass, source_x=x, source_y=y, min_magnification=0.1)
    owner = np.repeat(np.arange(len(rows)), images.n_images)
    quasar = draws.u("quasar") < draws.prior["quasar_fraction"]
    seen = quasar[owner]
    light.add(
        rows[owner[seen]],
        POINT,
        lensed=True,
        x=images.x[seen],
        y=images.y[seen],
        magnitude=draws("quasar_magnitude")[owner[seen]]
        - 2.5 * np.log10(np.abs(images.magnification[seen])),
        colour=0.3,
    )
    return {
        "n_images": images.n_images,
        "n_minima": np.bincount(owner[images.image_type == 0], minlength=len(rows)),
        "n_saddles": np.bincount(owner[images.image_type == 1], minlength=len(rows)),
        "has_quasar": quasar,
    }


# ---- look-alikes ---------------------------------------------------------------------------------

Galaxy = Mapping[str, NDArray]


def _around(draws: Draws, i: int, low: Any, high: Any) -> tuple[NDArray, NDArray, NDArray]:
    """Return x, y and position angle of companion ``i`` at ``low`` to ``high`` arcsec."""
    r = low + (high - low) * draws.u(f"companion{i}_x")
    angle = 2 * np.pi * draws.u(f"companion{i}_y")
    return r * np.cos(angle), r * np.sin(angle), angle


def _companions(light: Light, rows: NDArray, draws: Draws, galaxy: Galaxy) -> None:
    """Add small red galaxies close to the big one."""
    how_many = 1 + np.floor(3 * draws.u("companions"))
    for i in range(3):
        some = how_many > i
        own = draws.where(some)
        x, y, _ = _around(own, i, 0.7, 2.6)
        light.add(
            rows[some],
            SERSIC,
            x=x,
            y=y,
            radius=own.between(f"companion{i}_radius", 0.1, 0.45),
            index=own.between(f"companion{i}_index", 2.0, 4.0),
            q=own.between(f"companion{i}_q", 0.5, 1.0),
            phi=np.pi * own.u(f"companion{i}_phi"),
            magnitude=galaxy["magnitude"][some] + own.between(f"companion{i}_magnitude", 1.0, 3.5),
            colour=galaxy["colour"][some] + own.between(f"companion{i}_colour", -0.5, 0.2),
        )


def _spiral(light: Light, rows: NDArray, draws: Draws, galaxy: Galaxy) -> None:
    """Add a red bulge in a blue disc with arms."""
    share = draws.between("shape0", 0.1, 0.5)
    q, phi = draws.between("shape1", 0.4, 1.0), galaxy["phi"]
    light.add(
        rows,
        SERSIC,
        x=0.0,
        y=0.0,
        radius=0.35 * galaxy["radius"],
        index=draws.between("shape2", 1.5, 3.5),
        q=np.sqrt(q),
        phi=phi,
        magnitude=galaxy["magnitude"] - 2.5 * np.log10(share),
        colour=galaxy["colour"] - 0.2,
    )
    light.add(
        rows,
        SPIRAL,
        x=0.0,
        y=0.0,
        radius=1.4 * galaxy["radius"],
        index=1.0,
        q=q,
        phi=phi,
        magnitude=galaxy["magnitude"] - 2.5 * np.log10(1 - share),
        colour=draws.between("shape3", 0.4, 1.3),
        arms=2 + np.floor(3 * draws.u("shape4")),
        pitch=draws.between("shape5", 0.15, 0.5) * np.where(draws.u("shape7") < 0.5, -1, 1),
        contrast=draws.between("shape6", 0.5, 1.0),
        phase=2 * np.pi * draws.u("shape7"),
    )


def _ring(light: Light, rows: NDArray, draws: Draws, galaxy: Galaxy) -> None:
    """Add a ring galaxy: a blue ring, as bright as arcs are, about a red one."""
    radius = draws("einstein_radius", "shape0")
    light.add(
        rows,
        RING,
        x=draws.between("shape1", -0.15, 0.15),
        y=draws.between("shape2", -0.15, 0.15),
        radius=radius,
        width=radius * draws.between("shape3", 0.08, 0.3),
        q=draws.between("shape4", 0.5, 1.0),
        phi=np.pi * draws.u("shape5"),
        magnitude=_as_arcs(draws),
        colour=draws("source_colour"),
    )


def _merger(light: Light, rows: NDArray, draws: Draws, galaxy: Galaxy) -> None:
    """Add a second galaxy in the light of the first, and a tidal tail."""
    x, y, angle = _around(draws, 0, 0.4, 1.8)
    light.add(
        rows,
        SERSIC,
        x=x,
        y=y,
        radius=galaxy["radius"] * draws.between("companion0_radius", 0.4, 1.0),
        index=draws.between("companion0_index", 1.0, 4.0),
        q=draws.between("companion0_q", 0.4, 1.0),
        phi=np.pi * draws.u("companion0_phi"),
        magnitude=galaxy["magnitude"] + draws.between("companion0_magnitude", 0.0, 1.8),
        colour=galaxy["colour"] + draws.between("companion0_colour", -0.8, 0.0),
    )
    side = angle + draws.between("companion1_x", 0.5, 1.5) * np.pi
    r = draws.between("companion1_y", 0.8, 2.0)
    light.add(
        rows,
        SERSIC,
        x=r * np.cos(side),
        y=r * np.sin(side),
        radius=draws.between("companion1_radius", 0.4, 0.9),
        index=0.6,
        q=draws.between("companion1_q", 0.12, 0.35),
        phi=side + np.pi / 2 + draws.between("companion1_phi", -0.5, 0.5),
        magnitude=_as_arcs(draws) + 0.5,
        colour=draws("source_colour"),
    )


def _satellites(light: Light, rows: NDArray, draws: Draws, galaxy: Galaxy) -> None:
    """Add blue galaxies about the red one, as bright as arcs, some stretched along the tangent."""
    how_many = 1 + np.floor(MAX_COMPANIONS * draws.u("companions"))
    for i in range(MAX_COMPANIONS):
        some = how_many > i
        own = draws.where(some)
        x, y, angle = _around(own, i, 0.6 * galaxy["theta_e"][some], 2.0 * galaxy["theta_e"][some])
        stretched = own.u(f"companion{i}_index") < 0.4
        light.add(
            rows[some],
            SERSIC,
            x=x,
            y=y,
            radius=own("source_size", f"companion{i}_radius") * np.where(stretched, 1.6, 1.2),
            index=1.0,
            q=np.where(stretched, 0.3, 0.7) + own.between(f"companion{i}_q", -0.1, 0.3),
            phi=np.where(
                stretched,
                angle + np.pi / 2 + 0.3 * own.between(f"companion{i}_phi", -1, 1),
                np.pi * own.u(f"companion{i}_phi"),
            ),
            magnitude=_as_arcs(own)
            + 2.5 * np.log10(how_many[some])
            + own.between(f"companion{i}_magnitude", -0.5, 0.5),
            colour=own("source_colour", f"companion{i}_colour"),
        )


def _star(light: Light, rows: NDArray, draws: Draws, galaxy: Galaxy) -> None:
    """Add a bright star with four diffraction spikes."""
    magnitude = draws("star_magnitude", "shape0")
    colour = draws.between("shape1", 0.0, 2.5)
    light.add(rows, POINT, x=0.0, y=0.0, magnitude=magnitude, colour=colour)
    turn = np.pi * draws.u("shape2")
    for arm in (0.0, np.pi / 2):
        light.add(
            rows,
            SERSIC,
            x=0.0,
            y=0.0,
            radius=draws.between("shape3", 0.5, 1.2) * 0.2,
            index=1.0,
            q=0.02,
            phi=turn + arm,
            magnitude=magnitude + draws.between("shape4", 3.0, 4.5),
            colour=colour,
        )


def _as_arcs(draws: Draws) -> NDArray:
    """Return magnitudes as of lensed sources: brighter by some typical magnification."""
    return draws("source_magnitude") - draws.between("quasar", 0.6, 2.4)


_ADD = {
    "companions": _companions,
    "spiral": _spiral,
    "ring": _ring,
    "merger": _merger,
    "satellites": _satellites,
    "star": _star,
}
