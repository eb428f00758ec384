"""All images of a point source behind a power-law lens with shear: the public solver."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .compiling import kernel
from .images import (
    COLUMNS,
    DEGENERATE,
    MAX_IMAGES,
    MAXIMUM,
    MINIMUM,
    OK,
    ON_CAUSTIC,
    REFINED,
    SADDLE,
    arrange,
)
from .isothermal import solve_isothermal
from .powerlaw import MAX_CELLS, solve_powerlaw
from .profiles import MAX_TERMS, series

__all__ = [
    "DEGENERATE",
    "MAXIMUM",
    "MINIMUM",
    "OK",
    "ON_CAUSTIC",
    "REFINED",
    "SADDLE",
    "SLOPES",
    "Images",
    "solve",
]

SLOPES = (1.5, 2.5)  # the range in which the completeness of the solver is tested


class Images(NamedTuple):
    """The images of ``n`` systems: four columns of systems, then flat columns of images.

    The images of system ``i`` are rows ``first_image[i] ... first_image[i] + n_images[i] - 1``,
    in order of arrival. Potential, deflection and Fermat potential include shear and sheet.
    """

    n_images: NDArray  # int64, shape (n,)
    n_faint: NDArray  # int64, shape (n,): found, but fainter than the cut, and left out
    first_image: NDArray  # int64, shape (n,)
    status: NDArray  # uint8, shape (n,): OK, REFINED, ON_CAUSTIC or DEGENERATE
    x: NDArray  # arcsec, shape (total,), like all that follow
    y: NDArray  # arcsec
    magnification: NDArray  # signed
    image_type: NDArray  # uint8: MINIMUM, SADDLE or MAXIMUM
    potential: NDArray  # arcsec^2
    deflection_x: NDArray  # arcsec
    deflection_y: NDArray  # arcsec
    fermat: NDArray  # arcsec^2


@kernel
def _solve(first, row, systems, min_magnification, counts, status, flat, image_type):
    """Solve systems from ``first`` on until done or the table of images is full.

    Returns the number of the next system and of the next row.
    """
    n = systems.shape[1]
    work = np.empty((15, MAX_CELLS + 1))
    terms = np.empty(MAX_TERMS)
    stack = np.empty((64, 8))
    image = np.empty((MAX_IMAGES, COLUMNS))
    order = np.empty(MAX_IMAGES, np.int64)
    for i in range(first, n):
        if row + MAX_IMAGES > flat.shape[1]:
            return i, row
        theta_e, q, phi, slope, g1, g2, kappa, sx, sy = systems[:, i]
        if slope == 2.0:
            found, state = solve_isothermal(
                theta_e, q, phi, g1, g2, kappa, sx, sy, work, stack, image
            )
        else:
            terms_used = series(q, slope - 1.0, 1e-17, terms)
            found, state = solve_powerlaw(
                theta_e,
                q,
                phi,
                2.0 - slope,
                g1,
                g2,
                kappa,
                sx,
                sy,
                terms,
                terms_used,
                work,
                stack,
                image,
            )
        arrange(image, found, theta_e * theta_e + sx * sx + sy * sy, order)
        counts[2, i] = row
        for k in range(found):
            source = image[order[k]]
            if abs(source[2]) < min_magnification:
                continue
            flat[0, row], flat[1, row], flat[2, row] = source[0], source[1], source[2]
            image_type[row] = np.uint8(source[3])
            flat[3, row], flat[4, row], flat[5, row] = source[4], source[5], source[6]
            flat[6, row] = source[7]
            row += 1
        counts[0, i] = row - counts[2, i]
        counts[1, i] = found - counts[0, i]
        status[i] = state
    return n, row


def _refuse(wrong: NDArray, values: NDArray, name: str, needs: str) -> None:
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(f"system {i} cannot be solved: {name} = {values[i]:g} must be {needs}")


def _check(systems: NDArray) -> None:
    names = "theta_e", "q", "phi", "slope", "gamma1", "gamma2", "kappa_ext", "source_x", "source_y"
    for name, values in zip(names, systems, strict=True):
        _refuse(~np.isfinite(values), values, name, "finite")
    theta_e, q, _, slope, gamma1, gamma2, kappa_ext, _, _ = systems
    _refuse(theta_e <= 0, theta_e, "theta_e", "positive [arcsec]")
    _refuse((q <= 0) | (q > 1), q, "q", "above 0 and at most 1 (swap the axes, turn phi by pi / 2)")
    low, high = SLOPES
    _refuse((slope < low) | (slope > high), slope, "slope", f"between {low} and {high}")
    _refuse(kappa_ext >= 1, kappa_ext, "kappa_ext", "below 1 (the sheet alone would focus)")
    shear = np.hypot(gamma1, gamma2)
    limit = 1 - kappa_ext
    wrong = shear >= limit
    if wrong.any():
        i = int(wrong.argmax())
        raise ValueError(
            f"system {i} cannot be solved: shear = {shear[i]:g} must be below 1 - kappa_ext = "
            f"{limit[i]:g} (the shear alone would focus); draw weaker shears"
        )


def solve(
    theta_e: ArrayLike,
    q: ArrayLike,
    phi: ArrayLike,
    slope: ArrayLike,
    gamma1: ArrayLike,
    gamma2: ArrayLike,
    kappa_ext: ArrayLike,
    source_x: ArrayLike,
    source_y: ArrayLike,
    *,
    min_magnification: float = 1e-4,
) -> Images:
    """Find all images of point sources behind power-law lenses with external shear and sheet.

    The numbers of a system do not depend on the others it is solved with.

    Parameters
    ----------
    theta_e : array, shape (n,)
        Einstein radius on the intermediate axis [arcsec].
    q, phi : array, shape (n,)
        Axis ratio of the mass, ``0 < q <= 1``, and position angle of its major axis,
        counter-clockwise from +x [rad].
    slope : array, shape (n,)
        Slope of the three-dimensional density in `SLOPES`; 2 is isothermal.
    gamma1, gamma2 : array, shape (n,)
        External shear about the lens centre.
    kappa_ext : array, shape (n,)
        Convergence of an external sheet, below 1.
    source_x, source_y : array, shape (n,)
        Source position relative to the lens centre [arcsec].
    min_magnification : float
        Images with a smaller ``abs(magnification)`` are counted in ``n_faint`` and left out.

    Returns
    -------
    Images
        Columns of systems and flat columns of images in order of arrival. A ring (a source
        exactly behind a round lens without shear) has no images and the status `DEGENERATE`.

    Raises
    ------
    ValueError
        Naming the first system outside the stated ranges.
    """
    columns = np.broadcast_arrays(
        theta_e, q, phi, slope, gamma1, gamma2, kappa_ext, source_x, source_y
    )
    systems = np.stack([np.ravel(c).astype(np.float64) for c in columns])
    _check(systems)
    n = systems.shape[1]
    counts = np.zeros((3, n), np.int64)
    status = np.zeros(n, np.uint8)
    capacity = 5 * n + 2 * MAX_IMAGES
    flat, image_type = np.empty((7, capacity)), np.empty(capacity, np.uint8)
    done = row = 0
    while done < n:
        done, row = _solve(done, row, systems, min_magnification, counts, status, flat, image_type)
        if done < n:  # more images than expected
            flat = np.concatenate([flat, np.empty_like(flat)], axis=1)
            image_type = np.concatenate([image_type, np.empty_like(image_type)])
    x, y, magnification, potential, deflection_x, deflection_y, fermat = (
        column[:row].copy() for column in flat
    )
    return Images(
        *counts,
        status,
        x,
        y,
        magnification,
        image_type[:row].copy(),
        potential,
        deflection_x,
        deflection_y,
        fermat,
    )
