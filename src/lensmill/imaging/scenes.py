"""Scenes: deflectors and components of light in the sky, as flat columns.

Positions are in arcsec with the origin at the centre of the frame, x to the right and y up; angles
are counter-clockwise from +x. A component marked ``lensed`` lies in the source plane: its position
is where the galaxy would be seen without the lens, and its light is ray-traced. A `POINT` is put
where it says and never ray-traced (the images of a lensed point come from the solver, one component
each); there, ``lensed`` only says that its light counts as lensed light.

With ``(u, v)`` the offset from the component turned by ``-phi`` and ``R**2 = q u**2 + v**2 / q``
(so that radii are on the intermediate axis and the flux does not depend on ``q``):

- `SERSIC`: ``exp(-b (R / radius)**(1 / index))``, half of the light inside ``radius``.
- `SPIRAL`: a Sersic disc times ``1 + c cos(arms (t - ln(R / radius) / tan(pitch)) - phase)``, with
  ``t`` the angle of ``(sqrt(q) u, v / sqrt(q))``. The mean of the cosine on each ellipse is zero:
  arms move light and add none. Towards the centre, where the arms wind ever faster, they fade:
  ``c = contrast R**2 / (R**2 + radius**2 / 16)``.
- `RING`: ``exp(-(R - radius)**2 / (2 width**2))``.
- `POINT`: a star, with the shape of the point-spread function.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf, gammaincinv, gammaln

SERSIC, SPIRAL, RING, POINT = range(4)
KINDS = ("sersic", "spiral", "ring", "point")


class Lenses(NamedTuple):
    """Deflectors, one per system, each column of shape (n,); conventions of `lensmill.lensing`.

    An isothermal (``slope`` 2) or other power law with shear about the lens centre. No lens:
    ``theta_e`` 0 and no shear.
    """

    theta_e: NDArray  # Einstein radius on the intermediate axis [arcsec]
    q: NDArray  # axis ratio of the mass
    phi: NDArray  # position angle of its major axis [rad]
    slope: NDArray  # of the three-dimensional density; 2 is isothermal
    gamma1: NDArray  # external shear
    gamma2: NDArray
    x: NDArray  # lens centre [arcsec]
    y: NDArray


class Light(NamedTuple):
    """Components of light, each column of shape (m,); profiles as in the text of this module."""

    kind: NDArray  # SERSIC, SPIRAL, RING or POINT
    lensed: NDArray  # lies in the source plane
    x: NDArray  # [arcsec]
    y: NDArray
    radius: NDArray  # half-light radius, or radius of the ring [arcsec]
    index: NDArray  # Sersic index
    q: NDArray  # axis ratio
    phi: NDArray  # position angle of the major axis [rad]
    arms: NDArray  # number of arms of a spiral, a whole number
    pitch: NDArray  # pitch angle of the arms [rad]; negative: wound the other way
    contrast: NDArray  # of the arms, 0 to 1
    phase: NDArray  # of the arms [rad]
    width: NDArray  # standard deviation of a ring across [arcsec]
    flux: NDArray  # shape (m, bands), total flux to infinity [electron / s]


class Scenes(NamedTuple):
    """Systems: their lenses, and the components ``first[i] ... first[i + 1] - 1`` of ``light``."""

    lenses: Lenses
    light: Light
    first: NDArray  # shape (n + 1,)


def lenses(
    theta_e: ArrayLike,
    q: ArrayLike = 1.0,
    phi: ArrayLike = 0.0,
    slope: ArrayLike = 2.0,
    gamma1: ArrayLike = 0.0,
    gamma2: ArrayLike = 0.0,
    x: ArrayLike = 0.0,
    y: ArrayLike = 0.0,
) -> Lenses:
    """Return deflectors from columns that broadcast against each other."""
    columns = (theta_e, q, phi, slope, gamma1, gamma2, x, y)
    return Lenses(*_columns(columns))


def light(
    kind: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    flux: ArrayLike,
    lensed: ArrayLike = False,
    radius: ArrayLike = 1.0,
    index: ArrayLike = 1.0,
    q: ArrayLike = 1.0,
    phi: ArrayLike = 0.0,
    arms: ArrayLike = 2.0,
    pitch: ArrayLike = 0.3,
    contrast: ArrayLike = 0.0,
    phase: ArrayLike = 0.0,
    width: ArrayLike = 0.1,
) -> Light:
    """Return components from columns that broadcast; ``flux`` has shape (m, bands) or (m,)."""
    flux = np.asarray(flux, dtype=np.float64)
    flux = flux.reshape(-1, 1) if flux.ndim < 2 else flux
    shape = (flux[:, 0], kind, lensed, x, y, radius, index, q, phi, arms, pitch, contrast, phase)
    first, kind, lensed, *rest = _columns((*shape, width))
    flux = np.ascontiguousarray(np.broadcast_to(flux, (first.size, flux.shape[1])))
    return Light(kind.astype(np.int64), lensed.astype(bool), *rest, flux)


def assemble(lenses: Lenses, *parts: tuple[ArrayLike, Light]) -> Scenes:
    """Put components to their systems.

    Parameters
    ----------
    lenses : Lenses
        The n systems.
    parts : pairs (system, light)
        Components and, for each, the row of its system in ``lenses``; in any order. Within a
        system the components keep the order in which they are given, which decides the last bits
        of the sum.
    """
    n = lenses.theta_e.size
    system = np.concatenate([np.asarray(rows, dtype=np.int64).ravel() for rows, _ in parts])
    columns = [np.concatenate(column) for column in zip(*(part for _, part in parts), strict=True)]
    if system.size != columns[0].size:
        raise ValueError(
            f"{system.size} rows of systems were given for {columns[0].size} components of light"
        )
    if system.size and not 0 <= system.min() <= system.max() < n:
        raise ValueError(
            f"components belong to systems {system.min()} ... {system.max()}, but the lenses are "
            f"0 ... {n - 1}"
        )
    order = np.argsort(system, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(system, minlength=n))])
    return Scenes(lenses, Light(*(column[order] for column in columns)), first)


def select(scenes: Scenes, rows: ArrayLike) -> Scenes:
    """Return the systems ``rows`` of ``scenes``, in that order."""
    rows = np.atleast_1d(np.asarray(rows, dtype=np.int64))
    counts = np.diff(scenes.first)[rows]
    first = np.concatenate([[0], np.cumsum(counts)])
    components = np.arange(first[-1]) + np.repeat(scenes.first[rows] - first[:-1], counts)
    return Scenes(
        Lenses(*(column[rows] for column in scenes.lenses)),
        Light(*(column[components] for column in scenes.light)),
        first,
    )


def check(scenes: Scenes) -> None:
    """Refuse values that have no image."""
    for name, column in scenes.lenses._asdict().items():
        _refuse(~np.isfinite(column), "lens", name, column, "must be finite")
    q, slope = scenes.lenses.q, scenes.lenses.slope
    _refuse((q <= 0) | (q > 1), "lens", "q", q, "must lie in (0, 1]")
    _refuse((slope <= 1) | (slope >= 3), "lens", "slope", slope, "must lie between 1 and 3")
    _refuse(scenes.lenses.theta_e < 0, "lens", "theta_e", scenes.lenses.theta_e, "must be >= 0")
    part = scenes.light
    for name, column in part._asdict().items():
        _refuse(~np.isfinite(column), "component", name, column, "must be finite")
    _refuse((part.kind < 0) | (part.kind > 3), "component", "kind", part.kind, "must be 0 ... 3")
    _refuse((part.q <= 0) | (part.q > 1), "component", "q", part.q, "must lie in (0, 1]")
    extended = part.kind != POINT
    _refuse(extended & (part.radius <= 0), "component", "radius", part.radius, "must be > 0 arcsec")
    sersic = (part.kind == SERSIC) | (part.kind == SPIRAL)
    outside = sersic & ((part.index < 0.2) | (part.index > 10))
    _refuse(outside, "component", "index", part.index, "must lie in [0.2, 10]")
    spiral = part.kind == SPIRAL
    wrong = spiral & ((part.arms < 1) | (part.arms != np.rint(part.arms)))
    _refuse(wrong, "component", "arms", part.arms, "must be a whole number of at least 1")
    wrong = spiral & ((np.abs(part.pitch) < 0.02) | (np.abs(part.pitch) > 1.55))
    _refuse(wrong, "component", "pitch", part.pitch, "must have a size of 0.02 ... 1.55 rad")
    wrong = spiral & ((part.contrast < 0) | (part.contrast > 1))
    _refuse(wrong, "component", "contrast", part.contrast, "must lie in [0, 1]")
    ring = part.kind == RING
    _refuse(ring & (part.width <= 0), "component", "width", part.width, "must be > 0 arcsec")
    n, m = scenes.lenses.theta_e.size, part.kind.size
    if scenes.first.shape != (n + 1,) or scenes.first[0] != 0 or scenes.first[-1] != m:
        raise ValueError(
            f"`first` must have {n + 1} entries from 0 to {m} for {n} lenses and {m} components"
        )


def sersic_b(index: ArrayLike) -> NDArray:
    """Return ``b`` for which half of the light of a Sersic profile lies inside its radius."""
    values, place = np.unique(np.asarray(index, dtype=np.float64), return_inverse=True)
    return gammaincinv(2.0 * values, 0.5)[place].reshape(np.shape(index))


def central_brightness(light: Light, b: NDArray) -> NDArray:
    """Brightness of the profile per unit of flux [arcsec^-2], shape (m,).

    That of ``R = 0`` for Sersic and spiral, of the crest for a ring; 0 for a point. ``b`` is
    `sersic_b` of the indices.
    """
    index, radius, width = light.index, light.radius, light.width
    log_flux = np.log(2.0 * np.pi * index) + gammaln(2.0 * index) - 2.0 * index * np.log(b)
    sersic = np.exp(-log_flux) / radius**2
    across = radius / (np.sqrt(2.0) * width)
    ring = 1.0 / (
        2.0
        * np.pi
        * (
            width**2 * np.exp(-(across**2))
            + np.sqrt(np.pi / 2.0) * radius * width * (1.0 + erf(across))
        )
    )
    return np.select([light.kind == RING, light.kind == POINT], [ring, 0.0], sersic)


def _columns(columns: tuple[ArrayLike, ...]) -> list[NDArray]:
    flat = [np.atleast_1d(np.asarray(column, dtype=np.float64)) for column in columns]
    return [np.ascontiguousarray(column) for column in np.broadcast_arrays(*flat)]


def _refuse(wrong: NDArray, thing: str, name: str, column: NDArray, remedy: str) -> None:
    if wrong.any():
        i = np.argwhere(wrong)[0]
        value = column[tuple(i)]
        raise ValueError(f"{thing} {i[0]} has {name} = {value:g}; it {remedy}")
