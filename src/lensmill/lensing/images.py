"""Types and order of arrival of images, and the status of a system: what the solvers share."""

import numpy as np

from .compiling import kernel

OK = 0
REFINED = 1  # found by the second, finer search
ON_CAUSTIC = 2  # two images merge here: |det J| < 1e-6, or a pair that rounding cannot separate
DEGENERATE = 3  # no finite set of images (a ring), or the self-check failed twice

MINIMUM, SADDLE, MAXIMUM = 0, 1, 2

MAX_IMAGES = 32  # a singular isothermal ellipsoid with shear makes up to 8
MAX_DEPTH = 64  # halvings of a cell before it is narrower than any two roots
CAUSTIC_DET_J = 1e-6
TIE = 1e-14  # relative difference of Fermat potentials below which images arrive together

IMAGE = np.dtype(
    [
        ("x", np.float64),  # arcsec
        ("y", np.float64),
        ("magnification", np.float64),  # signed
        ("potential", np.float64),  # arcsec^2, like the Fermat potential
        ("deflection_x", np.float64),  # arcsec
        ("deflection_y", np.float64),
        ("fermat", np.float64),
        ("angle", np.float64),  # polar, in the frame of the lens [rad]
        ("type", np.uint8),  # MINIMUM, SADDLE or MAXIMUM
    ],
    align=True,
)

# Part of a cell that waits while the part before it is searched: where it begins, how wide it is,
# and the function with two derivatives at its two ends.
PART = np.dtype(
    [(name, np.float64) for name in ("start", "width", "f0", "f1", "d0", "d1", "e0", "e1")],
    align=True,
)


@kernel
def arrange(images, n, scale, order):
    """Sort the first ``n`` of ``images`` by arrival; ``order`` receives their numbers.

    Images that arrive together to rounding (``scale`` is theirs, in arcsec^2) keep their order in
    polar angle, so that a symmetric lens does not depend on the last bit.
    """
    tie = TIE * scale
    for i in range(n):
        fermat, angle = images[i].fermat, images[i].angle
        j = i
        while j > 0:
            before = images[order[j - 1]]
            if before.fermat - fermat > tie or (
                abs(before.fermat - fermat) <= tie and before.angle > angle
            ):
                order[j] = order[j - 1]
                j -= 1
            else:
                break
        order[j] = i
    for j in range(1, n):  # arrival times never decrease, ties included
        image = images[order[j]]
        image.fermat = max(image.fermat, images[order[j - 1]].fermat)
