"""Critical curves, caustics and the cut, and the areas they enclose.

In polar coordinates about the lens the Jacobian of the lens equation is ``A - r**(s - 1) M(p)``
with ``A = (1 - kappa_ext) I - Gamma`` and, along the radial and tangential directions,
``M = [[s h, s t], [s t, 2 k - s h]]`` (see `profiles`). Its determinant is quadratic in
``r**(s - 1)``, so critical curves are known in closed form at every polar angle.

*The caustic* is the image of the outer (tangential) critical curve: two images more inside.
*The cut* bounds the sources with a second image. A source that crosses it inwards gains

- ``slope`` 2: a saddle that grows out of the centre (the cut proper, or pseudo-caustic);
- ``slope`` below 2: a saddle and a central maximum (there the cut is the radial caustic);
- ``slope`` above 2: nothing, for every source has a saddle near the centre. The curve given is
  where that saddle has the magnification -1e-4, the faintest image kept by default: as the slope
  goes to 2 from either side, the three curves become one.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .compiling import kernel
from .profiles import MAX_TERMS, isothermal_angular, powerlaw_angular, series

FAINTEST = 1e-4  # |magnification| on the cut for slope > 2
_POINTS = 32  # on the half circle
_COS = np.cos((np.arange(_POINTS) + 0.5) * np.pi / _POINTS)
_SIN = np.sin((np.arange(_POINTS) + 0.5) * np.pi / _POINTS)


class Curves(NamedTuple):
    """Closed curves of one system, sky frame, relative to the lens; arrays of shape (points,)."""

    critical_x: NDArray  # arcsec, tangential critical curve
    critical_y: NDArray
    caustic_x: NDArray  # arcsec
    caustic_y: NDArray
    cut_x: NDArray  # arcsec
    cut_y: NDArray


class Point(NamedTuple):
    """A point of a curve, and its derivatives by polar angle; frame of the lens, arcsec."""

    x: float
    y: float
    dx: float
    dy: float


@kernel
def _caustic_and_cut(c, sn, theta_e, q, s, h1, h2, kappa_ext, terms, n_terms):
    """Points of caustic and cut in the direction ``(c, sn)``, then x and y of the critical curve.

    All in the frame of the lens.
    """
    if s == 0.0:
        a1, a2, k2 = isothermal_angular(theta_e, q, c, sn)
    else:
        a1, a2, k2 = powerlaw_angular(theta_e, q, s, c, sn, terms, n_terms)
    h, t = c * a1 + sn * a2, c * a2 - sn * a1
    # derivatives by p
    dk2 = -(1.0 - s) * k2 * (1.0 - q * q) * sn * c / (q * q * c * c + sn * sn)
    dh, dt = (1.0 + s) * t, k2 - (1.0 + s) * h
    # A along e and e'
    sheet = 1.0 - kappa_ext
    cc, ss = (c - sn) * (c + sn), 2.0 * sn * c
    even, m = h1 * cc + h2 * ss, h1 * ss - h2 * cc
    g, g2 = sheet - even, sheet + even
    # det J = det - x trace + x^2 minor with x = r^(s - 1)
    det = g * g2 - m * m
    trace = g2 * s * h + g * (k2 - s * h) - 2.0 * m * s * t
    minor = s * h * (k2 - s * h) - s * s * t * t
    dg, dm = 2.0 * m, g2 - g
    dtrace = (
        -dg * s * h
        + g2 * s * dh
        + dg * (k2 - s * h)
        + g * (dk2 - s * dh)
        - 2.0 * s * (dm * t + m * dt)
    )
    dminor = s * dh * (k2 - s * h) + s * h * (dk2 - s * dh) - 2.0 * s * s * t * dt
    caustic = Point(0.0, 0.0, 0.0, 0.0)
    critical_x = critical_y = 0.0
    for curve in range(2):
        if curve == 1 and s == 0.0:
            r = power = dr = 0.0
            b1, b2, db1, db2 = -a1, -a2, k2 * sn, -k2 * c
        else:
            level = det + (1.0 / FAINTEST if curve == 1 and s < 0.0 else 0.0)
            root = np.sqrt(max(trace * trace - 4.0 * level * minor, 0.0))
            x = 2.0 * level / (trace + root)
            if curve == 1 and s > 0.0:
                x = (trace + root) / (2.0 * minor)
                root = -root
            r = np.exp(np.log(x) / (s - 1.0))
            power = r * x  # r^s
            dx = (dminor * x * x - dtrace * x) / root if root != 0.0 else 0.0
            dr = r * dx / (x * (s - 1.0))
            b1 = (sheet - h1) * r * c - h2 * r * sn - power * a1
            b2 = -h2 * r * c + (sheet + h1) * r * sn - power * a2
            # J (dr e + r e'), first along e and e'
            along = (g - s * h * x) * dr + (m - s * t * x) * r
            across = (m - s * t * x) * dr + (g2 - (k2 - s * h) * x) * r
            db1, db2 = along * c - across * sn, along * sn + across * c
        point = Point(b1, b2, db1, db2)
        if curve == 0:
            critical_x, critical_y, caustic = r * c, r * sn, point
    return caustic, point, critical_x, critical_y


# Isothermal lenses need fewer directions the rounder they are, for 1e-6 of the cut's area.
_ROUNDEST = np.array([0.7, 0.5, 0.35, 0.2, 0.1, 0.0])  # axis ratios above this ...
_ENOUGH = np.array([8, 12, 16, 24, 32, 96])  # ... need so many on the half circle
_HALVES = [(np.arange(n) + 0.5) * np.pi / n for n in _ENOUGH]
_COS_OF = np.concatenate([np.cos(half) for half in _HALVES])
_SIN_OF = np.concatenate([np.sin(half) for half in _HALVES])
_START = np.cumsum(_ENOUGH) - _ENOUGH


@kernel
def _isothermal_areas(theta_e, q, h1, h2, kappa_ext):
    """Areas of caustic and cut for ``slope`` 2, where both curves are short expressions."""
    row = 0
    while q <= _ROUNDEST[row] and row < _ROUNDEST.size - 1:
        row += 1
    root_q = np.sqrt(q)
    sheet = 1.0 - kappa_ext
    det = sheet * sheet - h1 * h1 - h2 * h2
    caustic = cut = 0.0
    for j in range(_START[row], _START[row] + _ENOUGH[row]):
        norm2 = _COS_OF[j] ** 2 + q * _SIN_OF[j] ** 2
        norm = np.sqrt(norm2)
        c, s = _COS_OF[j] / norm, root_q * _SIN_OF[j] / norm
        a1, a2, k = isothermal_angular(theta_e, q, c, s)
        cut += k * (a1 * c + a2 * s) / norm2
        # A e and A e'; on the critical curve r det A = K (e . A e)
        e1, e2 = (sheet - h1) * c - h2 * s, (sheet + h1) * s - h2 * c
        f1, f2 = (h1 - sheet) * s - h2 * c, (sheet + h1) * c + h2 * s
        g, dg = c * e1 + s * e2, 2.0 * (c * e2 - s * e1)
        dk = -k * (1.0 - q * q) * s * c / (q * q * c * c + s * s)
        r, dr = k * g / det, (dk * g + k * dg) / det
        b1, b2 = r * e1 - a1, r * e2 - a2
        db1, db2 = dr * e1 + r * f1 + k * s, dr * e2 + r * f2 - k * c
        caustic += (b1 * db2 - b2 * db1) / norm2
    weight = root_q * np.pi / _ENOUGH[row]
    return abs(caustic) * weight, abs(cut) * weight


@kernel
def _areas(theta_e, q, phi, slope, g1, g2, kappa_ext):
    n = theta_e.size
    in_caustic, in_cut = np.zeros(n), np.zeros(n)
    terms = np.empty(MAX_TERMS)
    for i in range(n):
        s = 2.0 - slope[i]
        n_terms = series(q[i], 1.0 - s, 1e-12, terms) if s != 0.0 else 0
        c2, s2 = np.cos(2.0 * phi[i]), np.sin(2.0 * phi[i])
        h1, h2 = c2 * g1[i] + s2 * g2[i], c2 * g2[i] - s2 * g1[i]
        if s == 0.0:
            in_caustic[i], in_cut[i] = _isothermal_areas(theta_e[i], q[i], h1, h2, kappa_ext[i])
            continue
        for j in range(_POINTS):  # the other half circle is its reflection in the origin
            # steps that resolve the ends of both the long and the short axis
            norm = np.sqrt(_COS[j] ** 2 + q[i] * _SIN[j] ** 2)
            c, sn = _COS[j] / norm, np.sqrt(q[i]) * _SIN[j] / norm
            weight = np.sqrt(q[i]) / norm**2
            caustic, cut, _, _ = _caustic_and_cut(
                c, sn, theta_e[i], q[i], s, h1, h2, kappa_ext[i], terms, n_terms
            )
            in_caustic[i] += weight * (caustic.x * caustic.dy - caustic.y * caustic.dx)
            in_cut[i] += weight * (cut.x * cut.dy - cut.y * cut.dx)
        in_caustic[i] = abs(in_caustic[i]) * (np.pi / _POINTS)
        in_cut[i] = abs(in_cut[i]) * (np.pi / _POINTS)
    return in_caustic, in_cut


@kernel
def _points(theta_e, q, phi, s, g1, g2, kappa_ext, angles):
    terms = np.empty(MAX_TERMS)
    n_terms = series(q, 1.0 - s, 1e-17, terms) if s != 0.0 else 0
    cp, sp = np.cos(phi), np.sin(phi)
    c2, s2 = (cp - sp) * (cp + sp), 2.0 * sp * cp
    h1, h2 = c2 * g1 + s2 * g2, c2 * g2 - s2 * g1
    points = np.empty((3, 2, angles.size))  # of critical curve, caustic and cut: x and y
    for j in range(angles.size):
        c, sn = np.cos(angles[j]), np.sin(angles[j])
        caustic, cut, critical_x, critical_y = _caustic_and_cut(
            c, sn, theta_e, q, s, h1, h2, kappa_ext, terms, n_terms
        )
        places = ((critical_x, critical_y), (caustic.x, caustic.y), (cut.x, cut.y))
        for curve, (x, y) in zip(points, places):  # noqa: B905  (numba has no strict)
            curve[0, j], curve[1, j] = cp * x - sp * y, sp * x + cp * y
    return points.reshape(6, angles.size)


def areas(
    theta_e: ArrayLike,
    q: ArrayLike,
    phi: ArrayLike,
    slope: ArrayLike,
    gamma1: ArrayLike,
    gamma2: ArrayLike,
    kappa_ext: ArrayLike,
) -> tuple[NDArray, NDArray]:
    """Areas inside the caustic and inside the cut [arcsec^2], arrays of shape (n,).

    Arguments as `solver.solve`; what the cut means for each slope is said at the top of this
    module. Where a caustic crosses itself, its lobes count with the sign of their orientation;
    `cross_sections` gives the areas by number of images.
    """
    arguments = np.broadcast_arrays(theta_e, q, phi, slope, gamma1, gamma2, kappa_ext)
    return _areas(*(np.ravel(a).astype(np.float64) for a in arguments))


def curves(
    theta_e: float,
    q: float,
    phi: float,
    slope: float,
    gamma1: float,
    gamma2: float,
    kappa_ext: float,
    *,
    points: int = 720,
) -> Curves:
    """Critical curve, caustic and cut of one system, closed (the last point is the first)."""
    # even steps in the two angles that resolve the ends of the long and of the short axis
    u = np.linspace(0.0, 2.0 * np.pi, points)[:-1]
    root = np.sqrt(q)
    angles = np.arctan2(root * np.sin(u), np.cos(u))
    numbers = (float(a) for a in (theta_e, q, phi, 2.0 - slope, gamma1, gamma2, kappa_ext))
    return Curves(*(np.append(row, row[0]) for row in _points(*numbers, angles)))


def _winding(x: NDArray, y: NDArray, at_x: float, at_y: float) -> int:
    """Winding number of the closed curve about a point."""
    dx, dy = x - at_x, y - at_y
    cross = dx[:-1] * dy[1:] - dx[1:] * dy[:-1]
    return round(np.sum(np.arctan2(cross, dx[:-1] * dx[1:] + dy[:-1] * dy[1:])) / (2 * np.pi))


def cross_sections(
    theta_e: float,
    q: float,
    phi: float,
    slope: float,
    gamma1: float,
    gamma2: float,
    kappa_ext: float,
    *,
    points: int = 1440,
) -> dict[int, float]:
    """Area of the source plane by number of images, for one system.

    Every turn of the caustic about a source adds two images to it and the cut adds one, or for
    ``slope`` below 2 two (its central maximum included, however faint). Above 2, images fainter
    than 1e-4 are not counted, see the top of this module.

    Returns
    -------
    dict
        Number of images (from 2 on) to area [arcsec^2]; all the rest of the plane gives one.
    """
    import shapely  # here and not above: the catalogue does without

    lines = curves(theta_e, q, phi, slope, gamma1, gamma2, kappa_ext, points=points)
    rings = [(lines.caustic_x, lines.caustic_y), (lines.cut_x, lines.cut_y)]
    # a caustic that is a point (a round lens without shear) bounds nothing
    rings = [(x, y) for x, y in rings if max(np.ptp(x), np.ptp(y)) > 1e-9 * theta_e]
    drawn = shapely.union_all([shapely.LineString(np.column_stack(ring)) for ring in rings])
    sections: dict[int, float] = {}
    for face in shapely.get_parts(shapely.polygonize([drawn])):
        inside = face.representative_point()
        caustic = abs(_winding(lines.caustic_x, lines.caustic_y, inside.x, inside.y))
        cut = abs(_winding(lines.cut_x, lines.cut_y, inside.x, inside.y))
        n = 1 + 2 * caustic + (2 if slope < 2 else 1) * cut
        if n > 1:
            sections[n] = sections.get(n, 0.0) + face.area
    return dict(sorted(sections.items()))
