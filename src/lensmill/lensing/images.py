"""What the solvers share: the words for a system and for an image, and the order of arrival."""

from .compiling import kernel

OK = 0
REFINED = 1  # found by the second, finer search
ON_CAUSTIC = 2  # two images merge here: |det J| < 1e-6, or a pair that rounding cannot separate
DEGENERATE = 3  # no finite set of images (a ring), or the self-check failed twice

MINIMUM, SADDLE, MAXIMUM = 0, 1, 2

MAX_IMAGES = 32  # a singular isothermal ellipsoid with shear makes up to 8
COLUMNS = 9  # x, y, magnification, type, potential, deflection (2), Fermat potential, polar angle
CAUSTIC_DET_J = 1e-6
TIE = 1e-14  # relative difference of Fermat potentials below which images arrive together


@kernel
def arrange(image, n, scale, order):
    """Sort the first ``n`` rows of ``image`` by arrival; ``order`` receives the row numbers.

    Images that arrive together to rounding (``scale`` is theirs, in arcsec^2) keep their order in
    polar angle, so that a symmetric lens does not depend on the last bit.
    """
    tie = TIE * scale
    for i in range(n):
        j = i
        while j > 0:
            before = image[order[j - 1]]
            if before[7] - image[i, 7] > tie or (
                abs(before[7] - image[i, 7]) <= tie and before[8] > image[i, 8]
            ):
                order[j] = order[j - 1]
                j -= 1
            else:
                break
        order[j] = i
    for j in range(1, n):  # arrival times never decrease, ties included
        image[order[j], 7] = max(image[order[j], 7], image[order[j - 1], 7])
