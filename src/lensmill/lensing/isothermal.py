"""All images of singular isothermal ellipsoids with shear, by a search in polar angle.

The deflection of an isothermal lens depends on the polar angle ``p`` only. With the matrix
``A = (1 - kappa_ext) I - Gamma`` the lens equation is ``A r e(p) = beta + alpha(p)``, so an image
lies where ``F(p) = e'.A^-1 (beta + alpha)`` vanishes and the radius ``r = e.A^-1 (beta + alpha)``
is positive. ``F`` is smooth, its derivatives cost nothing beyond ``alpha``, and

    F' = K e'.A^-1 e' - r,   F'' = S - F,   1 / mu = det J = -det(A) F' / r,

so that the number of images in an interval is certified by bounds on the curvature of ``F``.
"""

from typing import NamedTuple

import numpy as np

from .compiling import kernel
from .images import (
    CAUSTIC_DET_J,
    DEGENERATE,
    MINIMUM,
    OK,
    ON_CAUSTIC,
    REFINED,
    SADDLE,
)
from .profiles import isothermal_angular

CELLS = 32
MAX_CELLS = 8 * CELLS  # of the second attempt
MAX_REFINEMENTS = 400
MIN_WIDTH = 1e-10  # rad; two roots closer than this are one on the caustic
SAFETY = 2.0
RESIDUAL = 1e-13  # of theta_e; accepted error of the lens equation

_ANGLES = (np.arange(CELLS) + 0.5) * 2.0 * np.pi / CELLS
_COS, _SIN = np.cos(_ANGLES), np.sin(_ANGLES)

# rows of the table of nodes: F, F' and F'' at the ends of the cells; deflection and K on the grid
F, D1, D2, ALPHA_1, ALPHA_2, K = range(6)


class Lens(NamedTuple):
    """A lens and a source, in the frame of the lens."""

    theta_e: float  # arcsec
    q: float
    i11: float  # A^-1
    i12: float
    i22: float
    v1: float  # A^-1 beta [arcsec]
    v2: float


class Values(NamedTuple):
    """The lens equation at a polar angle: F, its derivatives, radius and deflection."""

    f: float  # F, F' and F'' [arcsec]
    d1: float
    d2: float
    r: float  # arcsec
    c: float  # cosine and sine of the angle
    s: float
    a1: float  # deflection [arcsec]
    a2: float
    k: float  # 2 kappa r [arcsec]


@kernel
def _values(p, lens):
    """F, its derivatives, and what they are made of, at polar angle ``p``."""
    theta_e, q, i11, i12, i22, v1, v2 = lens
    c, s = np.cos(p), np.sin(p)
    a1, a2, k = isothermal_angular(theta_e, q, c, s)
    w1 = v1 + i11 * a1 + i12 * a2
    w2 = v2 + i12 * a1 + i22 * a2
    f = c * w2 - s * w1
    r = c * w1 + s * w2
    along = i11 * s * s - 2.0 * i12 * s * c + i22 * c * c  # e'.A^-1 e'
    mixed = (i22 - i11) * s * c + i12 * (c * c - s * s)  # e.A^-1 e'
    slope = -k * k * k * (1.0 / q - q) * s * c / (theta_e * theta_e)
    d1, d2 = k * along - r, slope * along - 3.0 * k * mixed - f
    return Values(f, d1, d2, r, c, s, a1, a2, k)


@kernel
def _root(a, b, fa, fb, lens):
    """Root of ``F`` in ``[a, b]``, where it is monotone and changes sign."""
    rising = fb > fa
    p = a - fa * (b - a) / (fb - fa)
    if not (a <= p <= b):
        p = 0.5 * (a + b)
    for _ in range(80):
        at = _values(p, lens)
        f, d1, d2 = at.f, at.d1, at.d2
        if f == 0.0:
            break
        if (f > 0.0) == rising:
            b = p
        else:
            a = p
        step = -2.0 * f * d1 / (2.0 * d1 * d1 - f * d2)  # Halley
        new = p + step
        if not (a <= new <= b):
            new = 0.5 * (a + b)
        if abs(new - p) <= 2e-16 * max(abs(p), 1.0) or b - a < 1e-15:
            break
        p = new
        # cubic convergence: the step after one this small is below rounding
        if abs(step) < 1e-6 and abs(f * d2) < 1e-3 * d1 * d1:
            break
    return p


@kernel
def _isolate(lens, cells, nodes, stack, roots):
    """Find the roots of ``F`` on the circle.

    ``nodes`` holds F, F' and F'' on the grid of ``cells`` angles. Returns the number of roots,
    written to ``roots``, and a status.
    """
    width = 2.0 * np.pi / cells
    n_roots = 0
    refinements = 0
    status = OK
    for cell in range(cells):
        after = cell + 1 if cell + 1 < cells else 0
        f0, f1 = nodes[F, cell], nodes[F, after]
        d0, d1 = nodes[D1, cell], nodes[D1, after]
        e0, e1 = nodes[D2, cell], nodes[D2, after]
        w = width
        a = (cell + 0.5) * width
        depth = 0
        while True:
            # bounds on |F''| and |F'''| in the cell from its ends; F''' + F' is S'
            m3 = abs(e1 - e0) / w + max(abs(d0), abs(d1))
            m2 = max(abs(e0), abs(e1)) + 0.5 * w * m3
            crosses = (f0 >= 0.0) != (f1 >= 0.0)
            unresolved = False
            if crosses:
                if d0 * d1 > 0.0 and min(abs(d0), abs(d1)) > SAFETY * 0.25 * w * w * m3:
                    if n_roots < roots.size:
                        roots[n_roots] = _root(a, a + w, f0, f1, lens)
                    n_roots += 1
                else:
                    unresolved = True
            elif min(abs(f0), abs(f1)) <= SAFETY * 0.125 * w * w * m2:
                # no pair of roots either where F is monotone
                unresolved = not (
                    d0 * d1 > 0.0 and min(abs(d0), abs(d1)) > SAFETY * 0.25 * w * w * m3
                )
            if unresolved and w < MIN_WIDTH:
                status = ON_CAUSTIC
                if crosses:
                    if n_roots < roots.size:
                        roots[n_roots] = _root(a, a + w, f0, f1, lens)
                    n_roots += 1
                unresolved = False
            if unresolved:
                refinements += 1
                if refinements > MAX_REFINEMENTS:
                    return 0, DEGENERATE
                w *= 0.5
                middle = _values(a + w, lens)
                part = stack[depth]
                part.start, part.width = a + w, w
                part.f0, part.d0, part.e0 = middle.f, middle.d1, middle.d2
                part.f1, part.d1, part.e1 = f1, d1, e1
                depth += 1
                f1, d1, e1 = middle.f, middle.d1, middle.d2
                continue
            if depth == 0:
                break
            depth -= 1
            part = stack[depth]
            a, w = part.start, part.width
            f0, d0, e0 = part.f0, part.d0, part.e0
            f1, d1, e1 = part.f1, part.d1, part.e1
    if n_roots > roots.size:
        return 0, DEGENERATE
    return n_roots, status


@kernel
def _grid(lens, nodes):
    """F, F' and F'' on the grid of ``CELLS`` angles: one quadrant of deflections, reflected."""
    theta_e, q, i11, i12, i22, v1, v2 = lens
    quarter = CELLS // 4
    half = CELLS // 2
    a1, a2, kk = nodes[ALPHA_1], nodes[ALPHA_2], nodes[K]
    for j in range(quarter):
        x, y, k = isothermal_angular(theta_e, q, _COS[j], _SIN[j])
        a1[j], a2[j], kk[j] = x, y, k
        a1[half - 1 - j], a2[half - 1 - j], kk[half - 1 - j] = -x, y, k
        a1[half + j], a2[half + j], kk[half + j] = -x, -y, k
        a1[CELLS - 1 - j], a2[CELLS - 1 - j], kk[CELLS - 1 - j] = x, -y, k
    curl = (1.0 / q - q) / (theta_e * theta_e)
    for j in range(CELLS):
        c, s, k = _COS[j], _SIN[j], kk[j]
        w1 = v1 + i11 * a1[j] + i12 * a2[j]
        w2 = v2 + i12 * a1[j] + i22 * a2[j]
        f = c * w2 - s * w1
        r = c * w1 + s * w2
        along = i11 * s * s - 2.0 * i12 * s * c + i22 * c * c
        mixed = (i22 - i11) * s * c + i12 * (c * c - s * s)
        nodes[F, j] = f
        nodes[D1, j] = k * along - r
        nodes[D2, j] = -k * k * k * curl * s * c * along - 3.0 * k * mixed - f


@kernel
def solve_isothermal(
    theta_e, q, phi, g1, g2, kappa_ext, source_x, source_y, nodes, stack, roots, images
):
    """Find the images of one system; fill ``images``, unordered.

    ``nodes``, ``stack`` and ``roots`` are arrays to work in, see `powerlaw.Memory`. Returns how
    many images there are, and the status.
    """
    cp, sp = np.cos(phi), np.sin(phi)
    c2, s2 = (cp - sp) * (cp + sp), 2.0 * sp * cp
    # source and shear in the frame of the lens
    b1, b2 = cp * source_x + sp * source_y, cp * source_y - sp * source_x
    h1, h2 = c2 * g1 + s2 * g2, c2 * g2 - s2 * g1
    sheet = 1.0 - kappa_ext
    det = (sheet - h1) * (sheet + h1) - h2 * h2
    i11, i12, i22 = (sheet + h1) / det, h2 / det, (sheet - h1) / det
    lens = Lens(theta_e, q, i11, i12, i22, i11 * b1 + i12 * b2, i12 * b1 + i22 * b2)

    status = DEGENERATE
    for attempt in range(2):
        if attempt == 0:
            cells = CELLS
            _grid(lens, nodes)
        else:
            cells = MAX_CELLS
            for j in range(cells):
                at = _values((j + 0.5) * 2.0 * np.pi / cells, lens)
                nodes[F, j], nodes[D1, j], nodes[D2, j] = at.f, at.d1, at.d2
        n_roots, state = _isolate(lens, cells, nodes, stack, roots)
        if state == DEGENERATE:
            return 0, DEGENERATE
        n = 0
        parity = 0
        outside = 0
        accepted = True
        caustic = state == ON_CAUSTIC
        for k in range(n_roots):
            p = roots[k]
            at = _values(p, lens)
            r, a1, a2 = at.r, at.a1, at.a2
            if r <= 0.0:
                outside += 1
                continue
            accepted = accepted and abs(at.f) * (sheet + np.sqrt(h1 * h1 + h2 * h2)) < (
                RESIDUAL * (theta_e + abs(b1) + abs(b2))
            )
            det_j = -det * at.d1 / r
            parity += 1 if det_j > 0.0 else -1
            caustic = caustic or abs(det_j) < CAUSTIC_DET_J
            x1, x2 = r * at.c, r * at.s
            # total deflection and potential: shear and sheet included
            t1 = a1 + (kappa_ext + h1) * x1 + h2 * x2
            t2 = a2 + h2 * x1 + (kappa_ext - h1) * x2
            psi = x1 * a1 + x2 * a2 + 0.5 * (x1 * (t1 - a1) + x2 * (t2 - a2))
            image = images[n]
            image.x, image.y = cp * x1 - sp * x2, sp * x1 + cp * x2
            image.magnification = 1.0 / det_j
            image.type = MINIMUM if det_j > 0.0 else SADDLE
            image.potential = psi
            image.deflection_x, image.deflection_y = cp * t1 - sp * t2, sp * t1 + cp * t2
            image.fermat = 0.5 * (t1 * t1 + t2 * t2) - psi
            image.angle = p
            n += 1
        status = REFINED if attempt > 0 else OK
        if caustic:
            status = ON_CAUSTIC
        if accepted and parity == outside:
            return n, status
    return n, (ON_CAUSTIC if caustic else DEGENERATE)
