"""Image search by brute force: dense sampling along the radial solution, bisection only.

Shares with the solver the angular deflection (tested against an independent code) and nothing
else: 4,096 points, every sign change and every local extremum of the transverse lens equation,
radii by bisection.
"""

import numpy as np
from numba import njit

from lensmill.lensing import caustics
from lensmill.lensing.profiles import MAX_TERMS, isothermal_angular, powerlaw_angular, series

POINTS = 4096
STEEP, OUTER, INNER, LOOP, EXISTS = 0, 1, 2, 3, 4


@njit(cache=True, error_model="numpy")
def _radius(s, d, c, inner):
    """Solve r = d + c r^s by bisection in log r, then Newton steps that stay in the bracket."""
    if s == 0.0:
        return d + c
    if d >= 0.0:  # then r < 2 d or r < 2 c r^s
        low = np.log(max(d, 1e-300))
        high = max(np.log(2.0 * c) / (1.0 - s), low + np.log(2.0))
    elif s > 0.0:
        turn = np.log(s * c) / (1.0 - s)
        low, high = (np.log(-d / c) / s, turn) if inner else (turn, np.log(c) / (1.0 - s))
    else:
        low = min(np.log(0.5 * c) / (1.0 - s), np.log(-2.0 * d / c) / s)
        high = min(np.log(c) / (1.0 - s), np.log(-d / c) / s)
    rising = d >= 0.0 or not inner  # sign of r - d - c r^s on the right
    x = high
    for k in range(100):
        x = 0.5 * (low + high)
        f = np.exp(x) - d - c * np.exp(s * x)
        if (f > 0.0) == rising:
            high = x
        else:
            low = x
        if high - low < 1e-3 or k > 60:
            break
    for _ in range(6):
        e, p = np.exp(x), c * np.exp(s * x)
        new = x - (e - d - p) / (e - s * p)
        if new < low or new > high:
            new = 0.5 * (low + high)
        f = np.exp(new) - d - c * np.exp(s * new)
        if (f > 0.0) == rising:
            high = new
        else:
            low = new
        x = new
    return np.exp(x)


@njit(cache=True, error_model="numpy")
def _value(kind, v, middle, half, lens, terms):
    """F (or T, whether radii exist) at ``v``; and position and determinant of the Jacobian."""
    theta_e, q, s, a11, a12, a22, b1, b2, n_terms = lens
    p = middle + half * np.cos(v) if kind == LOOP else v
    c, sn = np.cos(p), np.sin(p)
    if s == 0.0:
        a1, a2, k2 = isothermal_angular(theta_e, q, c, sn)
    else:
        a1, a2, k2 = powerlaw_angular(theta_e, q, s, c, sn, terms, n_terms)
    h, t = c * a1 + sn * a2, c * a2 - sn * a1
    g = a11 * c * c + 2.0 * a12 * c * sn + a22 * sn * sn
    m = (a22 - a11) * c * sn + a12 * (c * c - sn * sn)
    g2 = a11 * sn * sn - 2.0 * a12 * c * sn + a22 * c * c
    d, e = c * b1 + sn * b2, c * b2 - sn * b1
    if kind == EXISTS:
        return d + (1.0 / s - 1.0) * g * (s * h / g) ** (1.0 / (1.0 - s)), 0.0, 0.0, 0.0
    inner = kind == INNER or (kind == LOOP and np.sin(v) < 0.0)
    r = _radius(s, d / g, h / g, inner)
    if not r > 0.0:  # no image: only the direction of an isothermal lens
        return e + t - m * r, 0.0, 0.0, np.inf
    power = r**s
    x = power / r
    det = (g - x * s * h) * (g2 - x * (k2 - s * h)) - (m - x * s * t) ** 2
    return e + power * t - m * r, r * c, r * sn, det


@njit(cache=True, error_model="numpy")
def _bisect(kind, a, b, fa, middle, half, lens, terms):
    for _ in range(60):
        x = 0.5 * (a + b)
        f, _, _, _ = _value(kind, x, middle, half, lens, terms)
        if (f >= 0.0) == (fa >= 0.0):
            a = x
        else:
            b = x
    return 0.5 * (a + b)


@njit(cache=True, error_model="numpy")
def _roots(kind, start, stop, closed, middle, half, lens, terms, values, roots):
    """All sign changes, those between the samples included; returns how many."""
    width = (stop - start) / POINTS
    n = 0
    for j in range(POINTS + 1):
        v = start + j * width
        if not closed:  # the ends are the centre, where there is no radius to solve for
            v = min(max(v, start + 1e-9), stop - 1e-9)
        values[j] = _value(kind, v, middle, half, lens, terms)[0]
    for j in range(POINTS):
        a, b = start + j * width, start + (j + 1) * width
        if (values[j] >= 0.0) != (values[j + 1] >= 0.0):
            roots[n] = _bisect(kind, a, b, values[j], middle, half, lens, terms)
            n += 1
        before = values[(j - 1) % POINTS] if closed or j > 0 else -np.inf * values[j]
        sign = 1.0 if values[j] >= 0.0 else -1.0
        # a local minimum of |F| at node j: look between its neighbours for a pair of roots
        if sign * before >= sign * values[j] and sign * values[j + 1] >= sign * values[j]:
            low, high = a - width, b
            golden = 0.5 * (np.sqrt(5.0) - 1.0)
            for _ in range(70):
                x, y = high - golden * (high - low), low + golden * (high - low)
                fx = sign * _value(kind, x, middle, half, lens, terms)[0]
                fy = sign * _value(kind, y, middle, half, lens, terms)[0]
                if min(fx, fy) < 0.0:
                    x = x if fx < fy else y
                    roots[n] = _bisect(kind, a - width, x, sign, middle, half, lens, terms)
                    roots[n + 1] = _bisect(kind, x, b, -sign, middle, half, lens, terms)
                    n += 2
                    break
                if fx < fy:
                    high = y
                else:
                    low = x
    return n


@njit(cache=True, error_model="numpy")
def _images(system, terms, values, roots, found):
    theta_e, q, phi, slope, g1, g2, kappa, sx, sy = system
    s = 2.0 - slope
    n_terms = series(q, 1.0 - s, 1e-17, terms) if s != 0.0 else 0
    cp, sp = np.cos(phi), np.sin(phi)
    b1, b2 = cp * sx + sp * sy, cp * sy - sp * sx
    c2, s2 = np.cos(2.0 * phi), np.sin(2.0 * phi)
    h1, h2 = c2 * g1 + s2 * g2, c2 * g2 - s2 * g1
    lens = (theta_e, q, s, 1.0 - kappa - h1, -h2, 1.0 - kappa + h1, b1, b2, n_terms)
    towards = np.arctan2(b2, b1)
    ends = np.empty(64)
    turns = 0
    if s > 0.0:
        turns = _roots(EXISTS, 0.0, 2.0 * np.pi, True, 0.0, 0.0, lens, terms, values, ends)
        ends[:turns].sort()
        if turns > 0 and values[0] >= 0.0:
            first = ends[0]
            ends[: turns - 1] = ends[1:turns].copy()
            ends[turns - 1] = first + 2.0 * np.pi
    pieces = turns // 2 if turns > 0 else (2 if s > 0.0 else 1)
    n = 0
    for piece in range(pieces):
        kind, start, stop, closed, middle, half = STEEP, 0.0, 2.0 * np.pi, True, 0.0, 0.0
        if turns > 0:
            kind = LOOP
            middle = 0.5 * (ends[2 * piece] + ends[2 * piece + 1])
            half = 0.5 * (ends[2 * piece + 1] - ends[2 * piece])
            offset = towards - middle
            offset -= 2.0 * np.pi * np.round(offset / (2.0 * np.pi))
            if abs(offset) < half:
                closed = False
                start = -np.arccos(min((offset + 0.5 * np.pi) / half, 1.0))
                stop = 2.0 * np.pi - np.arccos(max((offset - 0.5 * np.pi) / half, -1.0))
        elif piece == 1:
            kind, closed = INNER, False
            start, stop = towards + 0.5 * np.pi, towards + 1.5 * np.pi
        count = _roots(kind, start, stop, closed, middle, half, lens, terms, values, roots)
        for k in range(count):
            _, x, y, det = _value(kind, roots[k], middle, half, lens, terms)
            if x == 0.0 and y == 0.0:
                continue
            found[n, 0], found[n, 1] = cp * x - sp * y, sp * x + cp * y
            found[n, 2] = 1.0 / det
            n += 1
    return n


@njit(cache=True, error_model="numpy")
def _compare(systems, first, count, x, y, mu, cut):
    """Count, by system, brute-force images above ``cut`` without a partner, and all of them."""
    n = systems.shape[1]
    lost, expected = np.zeros(n, np.int64), np.zeros(n, np.int64)
    terms, values = np.empty(MAX_TERMS), np.empty(POINTS + 1)
    roots, found = np.empty(64), np.empty((64, 3))
    for i in range(n):
        total = _images(systems[:, i], terms, values, roots, found)
        for k in range(total):
            if not abs(found[k, 2]) > cut:  # so faint that its Jacobian overflows, too
                continue
            expected[i] += 1
            # near a fold brute force is good to its rounding times the magnification; the parity
            # keeps the two images of a pair apart
            reach = min(1e-6 * max(1.0, abs(found[k, 2])), 1e-4)
            near = False
            for j in range(first[i], first[i] + count[i]):
                apart = np.hypot(x[j] - found[k, 0], y[j] - found[k, 1])
                near |= apart < reach and mu[j] * found[k, 2] > 0.0
            lost[i] += not near
    return lost, expected


def compare(systems, images, cut=1e-3):
    """Compare ``images`` of `solve` with brute force.

    Returns, by system, how many brute-force images with ``abs(magnification) > cut`` have no
    partner of their parity within 1e-6 arcsec times their magnification (at most 1e-4 arcsec), and
    how many there are.
    """
    systems = np.stack([np.asarray(c, dtype=float) for c in systems])
    columns = images.first_image, images.n_images, images.x, images.y, images.magnification
    return _compare(systems, *columns, cut)


def adversarial(n, slopes, rng, *, q_min=0.05, shear_max=0.3):
    """Put sources 1e-9 ... 1e-1 theta_E from a caustic or cut, a third of them near cusps."""
    lenses = -(-n // 20)
    theta_e, q = rng.uniform(0.5, 2.0, lenses), rng.uniform(q_min, 1.0, lenses)
    phi, slope = rng.uniform(0, np.pi, lenses), rng.uniform(*slopes, lenses)
    shear, angle = rng.uniform(0, shear_max, lenses), rng.uniform(0, np.pi, lenses)
    kappa = rng.normal(0, 0.05, lenses)
    columns = [theta_e, q, phi, slope, shear * np.cos(2 * angle), shear * np.sin(2 * angle), kappa]
    sources = np.empty((2, lenses, 20))
    for i in range(lenses):
        curve = caustics.curves(*(c[i] for c in columns), points=1441)
        at = rng.integers(0, 1440, 20)
        at[:6] = 360 * rng.integers(0, 4, 6) + rng.integers(-2, 3, 6)
        sources[0, i, :15], sources[1, i, :15] = curve.caustic_x[at[:15]], curve.caustic_y[at[:15]]
        sources[0, i, 15:], sources[1, i, 15:] = curve.cut_x[at[15:]], curve.cut_y[at[15:]]
    step = theta_e[:, None] * 10.0 ** rng.uniform(-9, -1, (lenses, 20))
    turn = rng.uniform(0, 2 * np.pi, (lenses, 20))
    sources += step * np.stack([np.cos(turn), np.sin(turn)])
    return [np.repeat(c, 20)[:n] for c in columns] + [s.ravel()[:n] for s in sources]
