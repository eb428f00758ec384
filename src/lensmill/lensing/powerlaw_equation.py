"""The lens equation of elliptical power laws with shear, along its radial solution.

With ``s = 2 - slope`` the deflection is ``r**s a(p)``. The components of the lens equation
``A theta = beta + alpha`` along the radial and tangential unit vectors ``e`` and ``e'`` are

    g r = D + R h,        F = E + R t - m r = 0,        R = r**s,

with ``D, E = e.beta, e'.beta``, ``g, m = e.A e, e'.A e`` and ``h, t = e.a, e'.a`` (`profiles`). The
first is solved for the radius at each angle, the images are the roots of ``F`` along the solution,
and ``F`` and its derivatives follow from ``D' = E, E' = -D, h' = (1 + s) t, t' = 2 k - (1 + s) h``.
Since ``g`` and ``h`` are positive,

- ``s < 0`` (steep): one radius at every angle;
- ``s > 0`` (shallow): one radius where ``D >= 0``; where ``D < 0`` an outer and an inner one if
  ``T = D + (1 / s - 1) g r_t >= 0`` with ``r_t = (s h / g)**(1 / (1 - s))``, else none. The two
  meet at a turning angle, where ``F`` is not smooth in ``p`` but is in ``v`` with
  ``p = middle + half cos(v)``: one loop covers the outer branch (sin v > 0) and the inner one.
  The inner branch ends in the centre, where ``D = 0`` and ``F = E``.

The elimination of ``r**s`` used elsewhere is singular for the isothermal slope; this form is not.
"""

from typing import NamedTuple

import numpy as np

from .compiling import kernel
from .profiles import powerlaw_angular

NEAR_TURN = 1e-4  # |sin v| below which derivatives are taken at a small distance

# what is searched, see `along`; not plain int, for each of which numba would compile anew
CIRCLE, INNER, LOOP, TURN = np.arange(4)


class Lens(NamedTuple):
    """A lens and a source, in the frame of the lens."""

    theta_e: float  # arcsec
    q: float
    s: float  # 2 - slope
    sheet: float  # 1 - kappa_ext
    h1: float  # shear
    h2: float
    b1: float  # source [arcsec]
    b2: float
    n_terms: int  # of the angular series that matter


class Direction(NamedTuple):
    """A direction from the lens, and the deflection there."""

    c: float  # cosine and sine of the polar angle
    sn: float
    h: float  # e.a and e'.a [arcsec^(1 - s)]
    t: float
    k2: float  # 2 k, likewise


class Values(NamedTuple):
    """Value of the function whose roots are searched, its derivatives, and the radius there."""

    f: float
    f1: float
    f2: float
    r: float  # arcsec; 0 where only the turning angles are searched
    power: float  # r^s


@kernel
def radius(s, d, c, inner):
    """Solve ``r = d + c r**s``; return r and ``r**s``.

    Newton steps in ``log r`` on a concave function, from the side where they cannot overshoot.
    """
    log_c = np.log(c)
    r = power = 0.0
    if d >= 0.0:
        x = np.log(d + c)
        for _ in range(60):
            power = np.exp(s * x)
            total = d + c * power
            step = (np.log(total) - x) / (1.0 - s * c * power / total)
            x += step
            if abs(step) < 1e-8:
                power *= 1.0 + s * step * (1.0 + 0.5 * s * step)
                break
        return d + c * power, power
    # the root is between low and high
    low, high = -np.inf, log_c / (1.0 - s)
    if s < 0.0:
        high = min(high, (np.log(-d) - log_c) / s)
        x = high
    else:
        log_t = (np.log(s) + log_c) / (1.0 - s)
        excess = max(d * np.exp(-log_t) + 1.0 / s - 1.0, 0.0)
        z = np.sqrt(2.0 * excess / (1.0 - s))
        if z == 0.0:
            r = np.exp(log_t)
            return r, (r - d) / c
        if inner:
            low, high = (np.log(-d) - log_c) / s, np.log(-d * s / (1.0 - s))  # the maximum
            x = log_t - z - (1.0 + s) / 6.0 * z * z
            if not low < x < high:
                x = low
        else:
            low, high = log_t, min(high, log_t + z)
            x = high
    for _ in range(60):
        r = np.exp(x)
        new = x - (s * x + log_c - np.log(r - d)) / (s - r / (r - d))
        step = min(max(new, low), high) - x
        x += step
        if abs(step) < 1e-8:
            r *= 1.0 + step * (1.0 + 0.5 * step)
            break
    return r, (r - d) / c


@kernel
def turning(at, lens):
    """T, T' and T'' in a direction: whether outer and inner radius exist, and where they meet."""
    c, sn, h, t, k2 = at
    _, _, s, sheet, h1, h2, b1, b2, _ = lens
    d, e = c * b1 + sn * b2, c * b2 - sn * b1
    cc, ss = (c - sn) * (c + sn), 2.0 * sn * c
    even, m = h1 * cc + h2 * ss, h1 * ss - h2 * cc
    g, g2 = sheet - even, sheet + even
    threshold = (1.0 / s - 1.0) * g * np.exp(np.log(s * h / g) / (1.0 - s))
    dh, dg = (1.0 + s) * t / h, 2.0 * m / g  # logarithmic
    log1 = (dh - s * dg) / (1.0 - s)
    ddh, ddg = (1.0 + s) * (k2 - (1.0 + s) * h) / h, 2.0 * (g2 - g) / g
    log2 = (ddh - dh * dh - s * (ddg - dg * dg)) / (1.0 - s)
    t1, t2 = e + threshold * log1, -d + threshold * (log1 * log1 + log2)
    return Values(d + threshold, t1, t2, 0.0, 0.0)


@kernel
def transverse(at, lens, inner):
    """F, F' and F'' by polar angle in a direction, and the radius there."""
    c, sn, h, t, k2 = at
    _, q, s, sheet, h1, h2, b1, b2, _ = lens
    d, e = c * b1 + sn * b2, c * b2 - sn * b1
    cc, ss = (c - sn) * (c + sn), 2.0 * sn * c
    even, m = h1 * cc + h2 * ss, h1 * ss - h2 * cc
    g, g2 = sheet - even, sheet + even
    r, power = radius(s, d / g, h / g, inner)
    f = e + power * t - m * r
    n = 1.0 + s
    dm, dt = g2 - g, k2 - n * h
    ddt = -(1.0 - s) * k2 * (1.0 - q * q) * sn * c / (q * q * c * c + sn * sn) - n * n * t
    stiffness = g * r - s * h * power
    top = f - m * r + s * t * power
    log1 = top / stiffness  # r' / r
    r1, power1 = r * log1, s * power * log1
    f1 = -d + power1 * t + power * dt - dm * r - m * r1
    top1 = f1 - dm * r - m * r1 + s * (dt * power + t * power1)
    stiffness1 = 2.0 * m * r + g * r1 - s * (n * t * power + h * power1)
    log2 = (top1 - log1 * stiffness1) / stiffness
    r2, power2 = r * (log2 + log1 * log1), s * power * (log2 + s * log1 * log1)
    f2 = -e + power2 * t + 2.0 * power1 * dt + power * ddt + 4.0 * m * r - 2.0 * dm * r1 - m * r2
    return Values(f, f1, f2, r, power)


@kernel
def centre(at, lens):
    """F, F' and F'' at the end of the inner branch, where r = 0 and D = 0."""
    c, sn, h, t, k2 = at
    e = c * lens.b2 - sn * lens.b1
    n = 1.0 + lens.s
    return e, -e * t / h, -e - 2.0 * e * (k2 - n * h) / h + 2.0 * n * e * (t / h) ** 2


@kernel
def along(kind, v, middle, half, at, lens):
    """Value and derivatives by ``v`` of the function searched, given the direction of ``v``.

    ``CIRCLE`` and ``INNER``: F of the outer or only, and of the inner radius, ``p = v``; ``LOOP``:
    F on the closed branch, ``p = middle + half cos v``; ``TURN``: T, ``p = v``.
    """
    if kind == TURN:
        return turning(at, lens)
    if kind != LOOP:
        return transverse(at, lens, kind == INNER)
    sv, cv = np.sin(v), np.cos(v)
    f, f1, f2, r, power = transverse(at, lens, sv < 0.0)
    return Values(f, -half * sv * f1, half * half * sv * sv * f2 - half * cv * f1, r, power)


@kernel
def direction(kind, v, middle, half, lens, terms):
    """Direction of ``v``, and the deflection there."""
    p = middle + half * np.cos(v) if kind == LOOP else v
    c, sn = np.cos(p), np.sin(p)
    a1, a2, k2 = powerlaw_angular(lens.theta_e, lens.q, lens.s, c, sn, terms, lens.n_terms)
    return Direction(c, sn, c * a1 + sn * a2, c * a2 - sn * a1, k2)


@kernel
def evaluate(kind, v, middle, half, lens, terms):
    """`along` at any ``v``; near a turning angle the derivatives of a point just beside it."""
    at = along(kind, v, middle, half, direction(kind, v, middle, half, lens, terms), lens)
    f, f1, f2 = at.f, at.f1, at.f2
    if kind == LOOP and abs(np.sin(v)) < NEAR_TURN:
        w = v + (NEAR_TURN if np.sin(v) * np.cos(v) > 0.0 else -NEAR_TURN)
        beside = along(kind, w, middle, half, direction(kind, w, middle, half, lens, terms), lens)
        f1, f2 = beside.f1, beside.f2
    return f, f1, f2
