"""All images of elliptical power laws with shear, by searches in polar angle.

The roots of the transverse lens equation of `powerlaw_equation` are isolated on each stretch of
its radial solution by bounds on its curvature, found, polished in the plane and checked: residual
of the lens equation, and the sum of parities (0 for steep lenses, 1 for shallow ones).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiling import kernel
from .images import (
    CAUSTIC_DET_J,
    DEGENERATE,
    MAX_IMAGES,
    MAXIMUM,
    MINIMUM,
    OK,
    ON_CAUSTIC,
    REFINED,
    SADDLE,
)
from .powerlaw_equation import (
    CIRCLE,
    INNER,
    LOOP,
    NEAR_TURN,
    TURN,
    Direction,
    Lens,
    along,
    centre,
    direction,
    evaluate,
)
from .profiles import powerlaw_angular

CELLS = 32  # of a full circle
MAX_CELLS = 8 * 96  # of a loop in the second attempt
MAX_REFINEMENTS = 800
MIN_WIDTH = 1e-10  # rad
SAFETY = 2.0
RESIDUAL = 1e-13  # of the length of the terms of the lens equation
TINY = 1e-100  # arcsec; below, the square of the Jacobian overflows
TWINS = 1e-8  # of the radius; images of one parity closer than this are one

# rows of the table of nodes: the function searched with its derivatives; a direction, as in
# `powerlaw_equation.Direction`; the sum of the series, and the square of its unit vector
F, F1, F2, COS, SIN, H, T, K2, RE, IM, COS_2U, SIN_2U = range(12)


class Place(NamedTuple):
    """Where an image may be, in the frame of the lens."""

    x: float  # arcsec
    y: float
    r: float  # arcsec
    at: Direction
    power: float  # r^s
    error: float  # of the lens equation [arcsec]


# A candidate as the search gives it; then one that was taken for an image.
CANDIDATE = np.dtype(
    [(name, np.float64) for name in ("c", "sn", "r", "power", "h", "t", "k2", "error")], align=True
)
PLACED = np.dtype([(name, np.float64) for name in ("x", "y", "det_j")], align=True)


class Memory(NamedTuple):
    """Arrays to work in, the same for every system: new ones would take time."""

    nodes: NDArray  # (SIN_2U + 1, MAX_CELLS + 1): the rows named above
    stack: NDArray  # of PART
    turns: NDArray  # (MAX_IMAGES,) turning angles
    roots: NDArray  # (MAX_IMAGES,)
    candidates: NDArray  # (MAX_IMAGES,) of CANDIDATE
    placed: NDArray  # (MAX_IMAGES,) of PLACED


@kernel
def _root(kind, a, b, fa, fb, middle, half, lens, terms):
    """Root in ``[a, b]``, where the function is monotone and changes sign."""
    rising = fb > fa
    x = a - fa * (b - a) / (fb - fa)
    if not (a <= x <= b):
        x = 0.5 * (a + b)
    for _ in range(80):
        f, d1, d2 = evaluate(kind, x, middle, half, lens, terms)
        if f == 0.0:
            break
        if (f > 0.0) == rising:
            b = x
        else:
            a = x
        step = -2.0 * f * d1 / (2.0 * d1 * d1 - f * d2)  # Halley
        new = x + step
        if not (a <= new <= b):
            new = 0.5 * (a + b)
        if abs(new - x) <= 2e-16 * max(abs(x), 1.0) or b - a < 1e-15:
            break
        x = new
        if abs(step) < 1e-6 and abs(f * d2) < 1e-3 * d1 * d1:
            break
    return x


@kernel
def _isolate(kind, start, width, cells, middle, half, lens, terms, nodes, stack, roots):
    """Find the roots on a stretch of ``cells`` cells, whose ``cells + 1`` ends are ``nodes``.

    Returns the number of roots, written to ``roots``, and a status.
    """
    n_roots = 0
    refinements = 0
    status = OK
    noise = 1e-14 * (lens.theta_e + abs(lens.b1) + abs(lens.b2))
    for cell in range(cells):
        f0, f1 = nodes[F, cell], nodes[F, cell + 1]
        d0, d1 = nodes[F1, cell], nodes[F1, cell + 1]
        e0, e1 = nodes[F2, cell], nodes[F2, cell + 1]
        w = width
        a = start + cell * width
        depth = 0
        while True:
            # bound on the third derivative from its mean, and from what the Taylor series misses
            missed = max(
                abs(f1 - f0 - w * (d0 + 0.5 * w * e0)), abs(f0 - f1 + w * (d1 - 0.5 * w * e1))
            )
            m3 = max(abs(e1 - e0) / w + max(abs(d0), abs(d1)), 6.0 * (missed - noise) / w**3)
            m2 = max(abs(e0), abs(e1)) + 0.5 * w * m3
            crosses = (f0 >= 0.0) != (f1 >= 0.0)
            monotone = d0 * d1 > 0.0 and min(abs(d0), abs(d1)) > SAFETY * 0.25 * w * w * m3
            unresolved = not monotone and (
                crosses or not min(abs(f0), abs(f1)) > SAFETY * 0.125 * w * w * m2
            )
            if unresolved and w < MIN_WIDTH:
                status = ON_CAUSTIC
                unresolved = False
            if unresolved:
                refinements += 1
                if refinements > MAX_REFINEMENTS:
                    return 0, DEGENERATE
                w *= 0.5
                fm, dm, em = evaluate(kind, a + w, middle, half, lens, terms)
                part = stack[depth]
                part.start, part.width = a + w, w
                part.f0, part.d0, part.e0 = fm, dm, em
                part.f1, part.d1, part.e1 = f1, d1, e1
                depth += 1
                f1, d1, e1 = fm, dm, em
                continue
            if crosses:
                if n_roots == roots.size:
                    return 0, DEGENERATE
                roots[n_roots] = _root(kind, a, a + w, f0, f1, middle, half, lens, terms)
                n_roots += 1
            if depth == 0:
                break
            depth -= 1
            part = stack[depth]
            a, w = part.start, part.width
            f0, d0, e0 = part.f0, part.d0, part.e0
            f1, d1, e1 = part.f1, part.d1, part.e1
    return n_roots, status


@kernel
def _angular(n, lens, terms, nodes):
    """Deflections at the first ``n`` nodes, whose `COS` and `SIN` are given: `H`, `T` and `K2`."""
    theta_e, q, s, n_terms = lens.theta_e, lens.q, lens.s, lens.n_terms
    cs, sn = nodes[COS, :n], nodes[SIN, :n]
    h, t, k2 = nodes[H, :n], nodes[T, :n], nodes[K2, :n]
    re, im, c2, s2 = nodes[RE, :n], nodes[IM, :n], nodes[COS_2U, :n], nodes[SIN_2U, :n]
    last = terms[n_terms - 1]
    for j in range(n):
        x, y = q * cs[j], sn[j]
        square = x * x + y * y
        c2[j], s2[j] = (x - y) * (x + y) / square, 2.0 * x * y / square
        re[j], im[j] = last, 0.0
        k2[j] = square
    for i in range(n_terms - 2, -1, -1):
        term = terms[i]
        for j in range(n):
            x = re[j] * c2[j] - im[j] * s2[j] + term
            im[j] = re[j] * s2[j] + im[j] * c2[j]
            re[j] = x
    b = theta_e * np.sqrt(q)
    for j in range(n):
        rho = np.sqrt(k2[j])
        radial = np.exp(s * np.log(rho / b))
        scale = 2.0 * b / (1.0 + q) * radial / rho
        x, y = q * cs[j], sn[j]
        a1 = scale * (re[j] * x - im[j] * y)
        a2 = scale * (re[j] * y + im[j] * x)
        h[j] = cs[j] * a1 + sn[j] * a2
        t[j] = cs[j] * a2 - sn[j] * a1
        k2[j] = (1.0 + s) * b / rho * radial


@kernel
def _direction(nodes, j):
    """Direction of a node."""
    return Direction(nodes[COS, j], nodes[SIN, j], nodes[H, j], nodes[T, j], nodes[K2, j])


@kernel
def _stretch(kind, start, width, cells, middle, half, lens, terms, nodes):
    """Fill the nodes of a stretch: directions, deflections, then the function searched."""
    for j in range(cells + 1):
        v = start + j * width
        p = middle + half * np.cos(v) if kind == LOOP else v
        nodes[COS, j], nodes[SIN, j] = np.cos(p), np.sin(p)
    _angular(cells + 1, lens, terms, nodes)
    for j in range(cells + 1):
        v = start + j * width
        if kind == LOOP and abs(np.sin(v)) < NEAR_TURN:
            f, f1, f2 = evaluate(kind, v, middle, half, lens, terms)
        else:
            f, f1, f2, _, _ = along(kind, v, middle, half, _direction(nodes, j), lens)
        nodes[F, j], nodes[F1, j], nodes[F2, j] = f, f1, f2


@kernel
def _circle(kind, cells, lens, terms, nodes):
    """Fill the nodes of a full circle: one quadrant of deflections, reflected."""
    quarter = cells // 4
    half = cells // 2
    width = 2.0 * np.pi / cells
    for j in range(quarter):
        nodes[COS, j], nodes[SIN, j] = np.cos((j + 0.5) * width), np.sin((j + 0.5) * width)
    _angular(quarter, lens, terms, nodes)
    for j in range(quarter):
        c, sn, h, t, k2 = _direction(nodes, j)
        for quadrant in range(4):
            if quadrant == 0:
                k, sc, ss = j, 1.0, 1.0
            elif quadrant == 1:
                k, sc, ss = half - 1 - j, -1.0, 1.0
            elif quadrant == 2:
                k, sc, ss = half + j, -1.0, -1.0
            else:
                k, sc, ss = cells - 1 - j, 1.0, -1.0
            nodes[COS, k], nodes[SIN, k] = sc * c, ss * sn
            nodes[H, k], nodes[T, k], nodes[K2, k] = h, sc * ss * t, k2
    for k in range(cells):
        f, f1, f2, _, _ = along(kind, 0.0, 0.0, 0.0, _direction(nodes, k), lens)
        nodes[F, k], nodes[F1, k], nodes[F2, k] = f, f1, f2
    for row in (F, F1, F2):
        nodes[row, cells] = nodes[row, 0]


@kernel
def _polish(c, sn, r, lens, terms):
    """Newton steps in the plane from ``r (c, sn)`` until the lens equation holds to rounding.

    Returns the best `Place` on the way.
    """
    _, _, s, sheet, h1, h2, b1, b2, _ = lens
    x, y = r * c, r * sn
    least = np.inf
    best = Place(x, y, r, Direction(c, sn, 0.0, 0.0, 0.0), 0.0, np.inf)
    for _ in range(8):
        a1, a2, k2 = powerlaw_angular(lens.theta_e, lens.q, s, c, sn, terms, lens.n_terms)
        power = np.exp(s * np.log(r))
        f1 = (sheet - h1) * x - h2 * y - power * a1 - b1
        f2 = (sheet + h1) * y - h2 * x - power * a2 - b2
        error = np.sqrt(f1 * f1 + f2 * f2)
        if not error < least:
            break
        least = error
        h, t = c * a1 + sn * a2, c * a2 - sn * a1
        best = Place(x, y, r, Direction(c, sn, h, t, k2), power, error)
        # J along e and e'
        slope = power / r
        cc, ss = (c - sn) * (c + sn), 2.0 * sn * c
        even, m = h1 * cc + h2 * ss, h1 * ss - h2 * cc
        j11 = sheet - even - slope * s * h
        j22 = sheet + even - slope * (k2 - s * h)
        j12 = m - slope * s * t
        outwards, across = c * f1 + sn * f2, c * f2 - sn * f1
        det = j11 * j22 - j12 * j12
        dr = (j22 * outwards - j12 * across) / det
        dt = (j11 * across - j12 * outwards) / det
        x -= dr * c - dt * sn
        y -= dr * sn + dt * c
        r = np.sqrt(x * x + y * y)
        if not r > 0.0:
            break
        c, sn = x / r, y / r
    return best


@kernel
def _search(fine, lens, terms, memory):
    """Find all candidates. Returns their number and a status."""
    nodes, stack, ends, roots, candidates, _ = memory
    s, b1, b2 = lens.s, lens.b1, lens.b2
    cells = CELLS * (8 if fine else 1)
    n = 0
    status = OK
    width = 2.0 * np.pi / cells
    start = 0.5 * width
    intervals = 0
    if s > 0.0:
        _circle(TURN, cells, lens, terms, nodes)
        turns, state = _isolate(
            TURN, start, width, cells, 0.0, 0.0, lens, terms, nodes, stack, ends
        )
        if state == DEGENERATE or turns % 2 == 1:
            return 0, DEGENERATE
        status = max(status, state)
        intervals = turns // 2
        if intervals > 0 and nodes[F, 0] >= 0.0:  # the first root ends an interval: rotate
            first = ends[0]
            for j in range(turns - 1):
                ends[j] = ends[j + 1]
            ends[turns - 1] = first + 2.0 * np.pi
    towards = np.arctan2(b2, b1)  # polar angle of the source
    stretches = 1 if s < 0.0 else (2 if intervals == 0 else intervals)
    for stretch in range(stretches):
        middle = half = 0.0
        if intervals == 0 and stretch == 0:
            kind = CIRCLE
            _circle(kind, cells, lens, terms, nodes)
        elif intervals == 0 and b1 == 0.0 and b2 == 0.0:  # the inner branch is the centre
            last = candidates[n]
            last.c, last.sn, last.r, last.power = 1.0, 0.0, 0.0, 0.0
            last.h, last.t, last.k2, last.error = 1.0, 0.0, 0.0, 0.0
            return n + 1, status
        elif intervals == 0:
            kind = INNER
            cells //= 2
            start, width = towards + 0.5 * np.pi, np.pi / cells
            _stretch(kind, start, width, cells, 0.0, 0.0, lens, terms, nodes)
        else:
            kind = LOOP
            low, high = ends[2 * stretch], ends[2 * stretch + 1]
            middle, half = 0.5 * (low + high), 0.5 * (high - low)
            offset = towards - middle
            offset -= 2.0 * np.pi * np.round(offset / (2.0 * np.pi))
            cells = CELLS * (12 if fine else 1) * 4 // 3
            if abs(offset) < half:  # the source is in this interval: the loop ends in the centre
                start = -np.arccos(min((offset + 0.5 * np.pi) / half, 1.0))
                stop = 2.0 * np.pi - np.arccos(max((offset - 0.5 * np.pi) / half, -1.0))
            else:
                start, stop = 0.1, 0.1 + 2.0 * np.pi
            width = (stop - start) / cells
            _stretch(kind, start, width, cells, middle, half, lens, terms, nodes)
        if kind == INNER or (kind == LOOP and start < 0.1):
            for j in (0, cells):
                f, f1, f2 = centre(_direction(nodes, j), lens)
                # D = 0 there to rounding only: the exact value keeps the sign
                f = np.sqrt(b1 * b1 + b2 * b2) * (-1.0 if j == 0 else 1.0)
                if kind == LOOP:
                    v = start + j * width
                    dp, ddp = -half * np.sin(v), -half * np.cos(v)
                    f1, f2 = f1 * dp, f2 * dp * dp + f1 * ddp
                nodes[F, j], nodes[F1, j], nodes[F2, j] = f, f1, f2
        count, state = _isolate(
            kind, start, width, cells, middle, half, lens, terms, nodes, stack, roots
        )
        if state == DEGENERATE or n + count > MAX_IMAGES:
            return 0, DEGENERATE
        status = max(status, state)
        for k in range(count):
            at = direction(kind, roots[k], middle, half, lens, terms)
            root = along(kind, roots[k], middle, half, at, lens)
            new = candidates[n]
            new.c, new.sn, new.h, new.t, new.k2 = at
            new.r, new.power, new.error = root.r, root.power, root.f
            n += 1
    return n, status


@kernel
def solve_powerlaw(
    theta_e, q, phi, s, g1, g2, kappa_ext, source_x, source_y, terms, n_terms, memory, images
):
    """Find the images of one system; fill ``images``, unordered.

    Returns how many there are, and the status.
    """
    candidates, placed = memory.candidates, memory.placed
    cp, sp = np.cos(phi), np.sin(phi)
    c2, s2 = (cp - sp) * (cp + sp), 2.0 * sp * cp
    # source and shear in the frame of the lens
    b1, b2 = cp * source_x + sp * source_y, cp * source_y - sp * source_x
    h1, h2 = c2 * g1 + s2 * g2, c2 * g2 - s2 * g1
    sheet = 1.0 - kappa_ext
    lens = Lens(theta_e, q, s, sheet, h1, h2, b1, b2, n_terms)
    n = 0
    caustic = False
    for attempt in range(2):
        n_candidates, state = _search(attempt > 0, lens, terms, memory)
        if state == DEGENERATE:
            return 0, DEGENERATE
        n = 0
        parity = 0
        accepted = True
        caustic = state == ON_CAUSTIC
        for k in range(n_candidates):
            one = candidates[k]
            c, sn, h, t, k2 = one.c, one.sn, one.h, one.t, one.k2
            r, power, error = one.r, one.power, one.error
            x, y = r * c, r * sn
            size = r + power * (h + abs(t))
            if r > TINY and abs(error) > 1e-15 * size:
                x, y, r, at, power, error = _polish(c, sn, r, lens, terms)
                c, sn, h, t, k2 = at
            accepted = accepted and (r <= TINY or abs(error) <= RESIDUAL * size)
            cc, ss = (c - sn) * (c + sn), 2.0 * sn * c
            even, m = h1 * cc + h2 * ss, h1 * ss - h2 * cc
            g, across = sheet - even, sheet + even
            x1 = power / r
            j11, j22, j12 = g - x1 * s * h, across - x1 * (k2 - s * h), m - x1 * s * t
            trace, det_j = j11 + j22, j11 * j22 - j12 * j12
            if r <= TINY:  # in the centre, an image without light
                trace, det_j = -np.inf, -np.inf if s < 0.0 else np.inf
            twin = False  # rounding at a turning angle can show one image twice
            for j in range(n):
                before = placed[j]
                apart = np.hypot(before.x - x, before.y - y)
                twin |= apart < TWINS * r and before.det_j * det_j > 0.0
            if twin:
                continue
            here = placed[n]
            here.x, here.y, here.det_j = x, y, det_j
            parity += 1 if det_j > 0.0 else -1
            caustic = caustic or abs(det_j) < CAUSTIC_DET_J
            a1, a2 = power * (c * h - sn * t), power * (sn * h + c * t)
            # total deflection and potential: shear and sheet included
            t1 = a1 + (kappa_ext + h1) * x + h2 * y
            t2 = a2 + h2 * x + (kappa_ext - h1) * y
            psi = r * power * h / (1.0 + s) + 0.5 * (x * (t1 - a1) + y * (t2 - a2))
            image = images[n]
            image.x, image.y = cp * x - sp * y, sp * x + cp * y
            image.magnification = 1.0 / det_j
            image.type = SADDLE if det_j < 0.0 else (MINIMUM if trace > 0.0 else MAXIMUM)
            image.potential = psi
            image.deflection_x, image.deflection_y = cp * t1 - sp * t2, sp * t1 + cp * t2
            image.fermat = 0.5 * (t1 * t1 + t2 * t2) - psi
            image.angle = np.arctan2(sn, c)
            n += 1
        if accepted and parity == (1 if s > 0.0 else 0):
            return n, ON_CAUSTIC if caustic else (REFINED if attempt > 0 else OK)
    return n, (ON_CAUSTIC if caustic else DEGENERATE)
