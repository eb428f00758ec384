"""All images of a point source behind a power-law lens with shear: the public solver."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .compiling import kernel
from .images import (
    DEGENERATE,
    IMAGE,
    MAX_DEPTH,
    MAX_IMAGES,
    MAXIMUM,
    MINIMUM,
    OK,
    ON_CAUSTIC,
    PART,
    REFINED,
    SADDLE,
    arrange,
)
from .isothermal import solve_isothermal
from .powerlaw import CANDIDATE, MAX_CELLS, PLACED, SIN_2U, Memory, solve_powerlaw
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
def _solve(first, row, systems, min_magnification, n_images, n_faint, first_image, status, table):
    """Solve systems from ``first`` on until done or the ``table`` of images is full.

    Returns the number of the next system and of the next row.
    """
    n = systems.shape[1]
    nodes, stack = np.empty((SIN_2U + 1, MAX_CELLS + 1)), np.empty(MAX_DEPTH, PART)
    roots = np.empty(MAX_IMAGES)
    memory = Memory(
        nodes,
        stack,
        np.empty(MAX_IMAGES),
        roots,
        np.empty(MAX_IMAGES, CANDIDATE),
        np.empty(MAX_IMAGES, PLACED),
    )
    terms = np.empty(MAX_TERMS)
    images = np.empty(MAX_IMAGES, IMAGE)
    order = np.empty(MAX_IMAGES, np.int64)
    for i in range(first, n):
        if row + MAX_IMAGES > table.size:
            return i, row
        theta_e, q, phi, slope, g1, g2, kappa, sx, sy = systems[:, i]
        if slope == 2.0:
            solved, state = solve_isothermal(
                theta_e, q, phi, g1, g2, kappa, sx, sy, nodes, stack, roots, images
            )
        else:
            n_terms = series(q, slope - 1.0, 1e-17, terms)
            solved, state = solve_powerlaw(
                *(theta_e, q, phi, 2.0 - slope, g1, g2, kappa, sx, sy),
                *(terms, n_terms, memory, images),
            )
        arrange(images, solved, theta_e * theta_e + sx * sx + sy * sy, order)
        first_image[i] = row
        for k in range(solved):
            image = images[order[k]]
            if abs(image.magnification) < min_magnification:
                continue
            table[row] = image
            row += 1
        n_images[i] = row - first_image[i]
        n_faint[i] = solved - n_images[i]
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
    n_images, n_faint, first_image = np.zeros((3, n), np.int64)
    status = np.zeros(n, np.uint8)
    table = np.empty(5 * n + 2 * MAX_IMAGES, IMAGE)
    done = row = 0
    while done < n:
        done, row = _solve(
            *(done, row, systems, min_magnification),
            *(n_images, n_faint, first_image, status, table),
        )
        if done < n:  # more images than expected
            table = np.concatenate([table, np.empty_like(table)])
    image = {name: table[name][:row].copy() for name in IMAGE.names}
    return Images(
        n_images,
        n_faint,
        first_image,
        status,
        image["x"],
        image["y"],
        image["magnification"],
        image["type"],
        image["potential"],
        image["deflection_x"],
        image["deflection_y"],
        image["fermat"],
    )
