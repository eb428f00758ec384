"""Light as it is drawn, in magnitudes and colours, before a camera sees it.

Profiles and frame as in `lensmill.imaging.scenes`; `lensmill.imaging.camera` makes scenes of it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.imaging.scenes import SERSIC
from lensmill.pipeline.draws import Draws

MAX_CLUMPS = 3  # of a lensed source

# Of spirals and rings; what others have there is not used.
SHAPELESS = {"arms": 2.0, "pitch": 0.3, "contrast": 0.0, "phase": 0.0, "width": 0.1}


class Light:
    """Components of light, added group by group.

    Each has the columns of `lensmill.imaging.scenes.Light`, but ``magnitude`` (AB, in i) and
    ``colour`` (g - i) instead of its flux, and its system is ``owner``.
    """

    COLUMNS = ("owner", "kind", "lensed", "x", "y", "radius", "index", "q", "phi")
    COLUMNS += ("magnitude", "colour", *SHAPELESS)

    def __init__(self) -> None:
        self.parts: list[dict[str, NDArray]] = []

    def add(self, owner: NDArray, kind: int, lensed: bool = False, **columns: Any) -> None:
        """Add one component to each of the systems ``owner``; what is not given is 0, or round."""
        values = {"index": 1.0, "q": 1.0, "radius": 1.0, **SHAPELESS, **columns}
        values |= {"owner": owner, "kind": kind, "lensed": lensed}
        shape = owner.shape
        self.parts.append({c: np.broadcast_to(values.get(c, 0.0), shape) for c in self.COLUMNS})

    def joined(self) -> dict[str, NDArray]:
        """Return the columns of all components; `scenes.assemble` puts them to their systems."""
        return {c: np.concatenate([part[c] for part in self.parts]) for c in self.COLUMNS}


def shift(light: Mapping[str, NDArray], centre: tuple[NDArray, NDArray]) -> dict[str, NDArray]:
    """Return components moved by the ``centre`` of their systems, x and y of shape (n,) [arcsec].

    So what was added about the lens gets its place in the frame.
    """
    moved = {
        axis: light[axis] + offset[light["owner"]]
        for axis, offset in zip("xy", centre, strict=True)
    }
    return {**light, **moved}


def turn(
    mass: Mapping[str, NDArray],
    centre: tuple[NDArray, NDArray],
    light: Mapping[str, NDArray],
    angle: float,
) -> tuple[dict[str, NDArray], tuple[NDArray, NDArray], dict[str, NDArray]]:
    """Turn lenses and light counter-clockwise about the centre of the frame.

    Parameters
    ----------
    mass : mapping of array, shape (n,)
        ``phi`` [rad], ``gamma1``, ``gamma2``, and whatever does not change.
    centre : pair of array, shape (n,)
        Of the lenses in the frame [arcsec].
    light : mapping of array, shape (m,)
        ``x``, ``y`` [arcsec], ``phi`` [rad], and whatever does not change.
    angle : float
        [rad]

    Returns
    -------
    mass, centre, light
        As they were given.
    """
    c, s = np.cos(angle), np.sin(angle)

    def move(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
        return c * x - s * y, s * x + c * y

    x, y = move(light["x"], light["y"])
    c2, s2 = np.cos(2 * angle), np.sin(2 * angle)
    gamma1 = c2 * mass["gamma1"] - s2 * mass["gamma2"]
    gamma2 = s2 * mass["gamma1"] + c2 * mass["gamma2"]
    return (
        {**mass, "phi": mass["phi"] + angle, "gamma1": gamma1, "gamma2": gamma2},
        move(*centre),
        {**light, "x": x, "y": y, "phi": light["phi"] + angle},
    )


def add_source(light: Light, rows: NDArray, draws: Draws, place: tuple[NDArray, NDArray]) -> None:
    """Add a lensed galaxy to each of the systems ``rows``: smooth, with some bluer clumps.

    Parameters
    ----------
    light : Light
    rows : array of int, shape (n,)
    draws : Draws
        Of these systems: priors and slots ``source_magnitude``, ``source_colour``,
        ``source_size``, ``source_index``, ``source_one_minus_q``; slots ``source_phi``,
        ``clumps``, and of `MAX_CLUMPS` clumps ``clump0_radius``, ``clump0_angle``,
        ``clump0_share`` and so on.
    place : pair of array, shape (n,)
        From the lens [arcsec].
    """
    x, y = place
    size, magnitude = draws("source_size"), draws("source_magnitude")
    colour = draws("source_colour")
    clumps = np.floor((MAX_CLUMPS + 1) * draws.u("clumps"))
    shares = np.stack(
        [np.where(clumps > i, 0.25 * draws.u(f"clump{i}_share"), 0.0) for i in range(MAX_CLUMPS)]
    )
    light.add(
        rows,
        SERSIC,
        lensed=True,
        x=x,
        y=y,
        radius=size,
        index=draws("source_index"),
        q=1 - draws("source_one_minus_q"),
        phi=np.pi * draws.u("source_phi"),
        magnitude=magnitude - 2.5 * np.log10(1 - shares.sum(axis=0)),
        colour=colour,
    )
    for i, share in enumerate(shares):
        some = np.flatnonzero(share > 0)
        r = 1.2 * size[some] * np.sqrt(draws.u(f"clump{i}_radius")[some])
        angle = 2 * np.pi * draws.u(f"clump{i}_angle")[some]
        light.add(
            rows[some],
            SERSIC,
            lensed=True,
            x=x[some] + r * np.cos(angle),
            y=y[some] + r * np.sin(angle),
            radius=0.2 * size[some],
            index=0.8,
            magnitude=magnitude[some] - 2.5 * np.log10(share[some]),
            colour=colour[some] - 0.3,  # star-forming regions are bluer than what surrounds them
        )
