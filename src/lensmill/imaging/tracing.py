"""Ray-tracing through the lens to the light beyond it: the inner loops of the renderer."""

import numpy as np

from lensmill.imaging.approximations import (
    HALF,
    LN2,
    ONE,
    TINY,
    F,
    atan_ratio,
    atanh_ratio,
    cosine,
    exp2,
    log2,
    turns,
)
from lensmill.imaging.compiling import fast

SERSIC, SPIRAL, RING, POINT = range(4)  # as in `scenes`

# columns of the table of components that `paint` takes; made by `render.render`
KIND, LENSED, X, Y, UX, UY, VX, VY, POWER, DECAY, PEAK = range(11)
ARMS, WIND, CONTRAST, PHASE, SHARP, SOFT = range(11, 17)
COLUMNS = 17

# columns of the table of lenses, those of `scenes.Lenses`
THETA_E, Q, PHI, SLOPE, GAMMA1, GAMMA2, LENS_X, LENS_Y = range(8)

UNLENSED, ARCS = 0, 1  # layers of an image, where lensed light is kept apart

LEVELS = 6  # a pixel is cut in two, along each axis, at most this many times
BATCH = 256  # cells that are cut at a time

_ZERO, _TWO, _QUARTER, _SIXTEENTH = F(0), F(2), F(0.25), F(1 / 16)
_SOFT = F(1e-12)  # arcsec^2: the deflection at the very centre is zero, not undefined
_QUARTER_TURN = F(np.pi / 2)


@fast
def trace(x, y, bx, by, n, lens, terms, n_terms, work):
    """Ray-trace: fill ``bx, by`` with the source-plane positions of ``n`` rays [arcsec].

    ``lens`` is one row of `scenes.Lenses`; ``terms`` its angular series unless isothermal.
    """
    theta_e, q, slope = lens[THETA_E], lens[Q], lens[SLOPE]
    c, s = F(np.cos(lens[PHI])), F(np.sin(lens[PHI]))
    g1, g2 = F(lens[GAMMA1]), F(lens[GAMMA2])
    x0, y0 = F(lens[LENS_X]), F(lens[LENS_Y])
    if theta_e == 0.0:
        for i in range(n):
            dx, dy = x[i] - x0, y[i] - y0
            bx[i] = x[i] - (g1 * dx + g2 * dy)
            by[i] = y[i] - (g2 * dx - g1 * dy)
        return
    q2, q1 = F(q * q), F(q)
    eccentricity = np.sqrt((1.0 - q) * (1.0 + q))
    if slope == 2.0 and eccentricity < 0.5:
        scale, e2 = F(theta_e * np.sqrt(q)), F(eccentricity * eccentricity)
        for i in range(n):
            dx, dy = x[i] - x0, y[i] - y0
            u, v = c * dx + s * dy, c * dy - s * dx
            inverse = ONE / (q2 * u * u + v * v + _SOFT)
            k = scale * np.sqrt(inverse)
            ax = k * u * atan_ratio(e2 * u * u * inverse)
            ay = k * v * atanh_ratio(e2 * v * v * inverse)
            bx[i] = x[i] - (c * ax - s * ay) - (g1 * dx + g2 * dy)
            by[i] = y[i] - (s * ax + c * ay) - (g2 * dx - g1 * dy)
    elif slope == 2.0:
        e = F(eccentricity)
        scale = F(theta_e * np.sqrt(q) / eccentricity)
        half_log = HALF * LN2
        for i in range(n):
            dx, dy = x[i] - x0, y[i] - y0
            u, v = c * dx + s * dy, c * dy - s * dx
            psi2 = q2 * u * u + v * v + _SOFT
            psi = np.sqrt(psi2)
            a, w = e * abs(u), psi + e * abs(v)
            # both quotients by one division: arctan(a / psi), and atanh(z) = log of
            # (psi + e |v|)**2 / ((psi + e |v|) (psi - e |v|)), without the difference
            top, bottom = min(a, psi), max(a, psi)
            rest = q2 * (u * u + v * v) + _SOFT
            inverse = ONE / (bottom * rest)
            t = top * rest * inverse
            arc = t * atan_ratio(t * t)
            arc = _QUARTER_TURN - arc if a > psi else arc
            ax = scale * np.copysign(arc, u)
            ay = scale * np.copysign(half_log * log2(w * w * bottom * inverse), v)
            bx[i] = x[i] - (c * ax - s * ay) - (g1 * dx + g2 * dy)
            by[i] = y[i] - (s * ax + c * ay) - (g2 * dx - g1 * dy)
    else:
        b2 = F(1.0 / (theta_e * theta_e * q))
        power = F(0.5 * (2.0 - slope))
        scale = F(2.0 * theta_e * np.sqrt(q) / (1.0 + q))
        re, im, c2, s2 = work[0], work[1], work[2], work[3]
        last = terms[n_terms - 1]
        for i in range(n):
            dx, dy = x[i] - x0, y[i] - y0
            u, v = q1 * (c * dx + s * dy), c * dy - s * dx
            inverse = ONE / (u * u + v * v + _SOFT)
            c2[i] = (u * u - v * v) * inverse
            s2[i] = _TWO * u * v * inverse
            re[i], im[i] = last, _ZERO
        for k in range(n_terms - 2, 0, -2):  # an odd number of terms
            first, second = terms[k], terms[k - 1]
            for i in range(n):
                p, r = re[i] * c2[i] - im[i] * s2[i] + first, re[i] * s2[i] + im[i] * c2[i]
                re[i], im[i] = p * c2[i] - r * s2[i] + second, p * s2[i] + r * c2[i]
        for i in range(n):
            dx, dy = x[i] - x0, y[i] - y0
            u, v = q1 * (c * dx + s * dy), c * dy - s * dx
            rho2 = u * u + v * v + _SOFT
            k = scale * exp2(power * log2(rho2 * b2)) / np.sqrt(rho2)
            ax, ay = k * (re[i] * u - im[i] * v), k * (re[i] * v + im[i] * u)
            bx[i] = x[i] - (c * ax - s * ay) - (g1 * dx + g2 * dy)
            by[i] = y[i] - (s * ax + c * ay) - (g2 * dx - g1 * dy)


@fast
def shine(x, y, n, part, soft, light, r2):
    """Surface brightness of a component at ``n`` places; ``(R / radius)**2``, at least ``soft``."""
    x0, y0 = part[X], part[Y]
    ux, uy, vx, vy = part[UX], part[UY], part[VX], part[VY]
    power, decay, peak = part[POWER], part[DECAY], part[PEAK]
    if part[KIND] == RING:
        for i in range(n):
            dx, dy = x[i] - x0, y[i] - y0
            u, v = ux * dx + uy * dy, vx * dx + vy * dy
            r2[i] = u * u + v * v
            off = np.sqrt(r2[i]) - ONE
            light[i] = peak * exp2(-part[SHARP] * off * off)
        return
    for i in range(n):
        dx, dy = x[i] - x0, y[i] - y0
        u, v = ux * dx + uy * dy, vx * dx + vy * dy
        d2 = max(u * u + v * v, soft)
        r2[i] = d2
        light[i] = peak * exp2(-decay * exp2(power * log2(d2)))
    if part[KIND] == SPIRAL:
        arms, wind, contrast, phase = part[ARMS], part[WIND], part[CONTRAST], part[PHASE]
        for i in range(n):
            dx, dy = x[i] - x0, y[i] - y0
            u, v = ux * dx + uy * dy, vx * dx + vy * dy
            angle = turns(u, v)
            wave = cosine(arms * angle - wind * log2(r2[i]) - phase)
            light[i] *= ONE + contrast * wave * r2[i] / (r2[i] + _SIXTEENTH)


@fast
def paint(
    x, y, cell, lenses, series, terms, parts, first, inner, outer, flux, start, count, split, image
):
    """Fill ``image`` with the light of the systems from ``start`` on, before convolution.

    Parameters
    ----------
    x, y : float32 arrays, shape (p,)
        Where the rays of a frame meet the lens plane [arcsec].
    cell : float
        Distance between rays [arcsec].
    lenses : array, shape (n, 8)
        Rows of `scenes.Lenses`.
    series : int array, shape (n,)
        Number of terms of the angular series of each lens.
    terms : float32 array, shape (n, most terms)
        The series.
    parts : float32 array, shape (m, COLUMNS)
        The components.
    first : int array, shape (n + 1,)
        First component of each system.
    inner, outer : float32 arrays, shape (m, LEVELS)
        A cell cut l times is cut once more where ``inner < (R / radius)**2 < outer``.
    flux : float32 array, shape (m, bands)
        Total flux of each component.
    start, count : int
        The systems wanted.
    split : bool
        Whether the light of lensed and other components is kept apart.
    image : float32 array, shape (bands, at least count, 1 or 2, p)
        The result [units of flux per cell]: other light, lensed light; or the sum.
    """
    p, bands = x.size, flux.shape[1]
    bx, by = np.empty(p, np.float32), np.empty(p, np.float32)
    light, r2 = np.empty(p, np.float32), np.empty(p, np.float32)
    work = np.empty((4, p), np.float32)
    for j in range(count):
        i = start + j
        for band in range(bands):
            image[band, j] = _ZERO
        traced = False
        for k in range(first[i], first[i + 1]):
            part = parts[k]
            if part[KIND] == POINT:
                continue
            lensed = part[LENSED] != 0
            if lensed and not traced:
                trace(x, y, bx, by, p, lenses[i], terms[i], series[i], work)
                traced = True
            layer = image[:, j, ARCS if split and lensed else UNLENSED]
            if lensed:
                shine(bx, by, p, part, TINY, light, r2)
            else:
                shine(x, y, p, part, TINY, light, r2)
            for band in range(bands):
                f, target = flux[k, band], layer[band]
                for m in range(p):
                    target[m] += f * light[m]
            if outer[k, 0] > 0 or (outer[k, 0] == 0 and lensed and lenses[i, THETA_E] > 0):
                refine(
                    *(x, y, cell, lensed, lenses[i], terms[i], series[i]),
                    *(part, inner[k], outer[k], flux[k], light, r2, layer),
                )


@fast
def refine(x, y, cell, lensed, lens, terms, n_terms, part, inner, outer, flux, light, r2, layer):
    """Adaptive refinement: smaller cells in place of those in which the light changes too much.

    Cells are cut in four for as long as their centre is within the limits of their level, or almost
    on the centre of the lens: there the deflection jumps, and its value of zero at that very point,
    which may be the centre of a pixel, would show the source in full. The light of a small cell is
    laid down where it is, not in the middle of the pixel: see `_deposit`.
    """
    side = int(np.sqrt(x.size))
    x0, y0, near = F(lens[LENS_X]), F(lens[LENS_Y]), F(0.3 * cell)
    if not (lensed and lens[THETA_E] > 0):
        near = -ONE
    pixel = np.empty(x.size, np.int32)
    count = 0
    for row in range(side):
        begin = row * side
        inside = r2[begin : begin + side]
        cut = 0
        for m in range(side):
            cut += (inner[0] < inside[m]) & (inside[m] < outer[0])
        centre = abs(y[begin] - y0) < near
        if cut > 0 or centre:
            for m in range(begin, begin + side):
                if (inner[0] < r2[m] and r2[m] < outer[0]) or (centre and abs(x[m] - x0) < near):
                    pixel[count] = m
                    count += 1
    if count == 0:
        return
    cx, cy = np.empty(count, np.float32), np.empty(count, np.float32)
    for i in range(count):
        m = pixel[i]
        for band in range(flux.size):
            layer[band, m] -= flux[band] * light[m]
        cx[i], cy[i] = x[m], y[m]
        # the cell about which the light is laid down, with neighbours on all sides
        pixel[i] += 1 if x[m] == x[0] else (-1 if x[m] == x[side - 1] else 0)
        pixel[i] += side if m < side else (-side if m >= x.size - side else 0)
    four = 4 * BATCH
    px, py = np.empty(four, np.float32), np.empty(four, np.float32)
    bx, by = np.empty(four, np.float32), np.empty(four, np.float32)
    value, distance = np.empty(four, np.float32), np.empty(four, np.float32)
    work = np.empty((4, four), np.float32)
    weight, per_cell = ONE, F(1.0 / cell)
    for level in range(LEVELS):
        last = level == LEVELS - 1
        lower, upper = (_ZERO, _ZERO) if last else (inner[level + 1], outer[level + 1])
        near = -ONE if last else near * HALF
        step = F(0.25 * cell / 2.0**level)
        weight *= _QUARTER
        room = 4 * count if upper > 0 else min(4 * count, 16)
        next_pixel, n_next = np.empty(room, np.int32), 0
        next_x, next_y = np.empty(room, np.float32), np.empty(room, np.float32)
        for begin in range(0, count, BATCH):
            n = min(BATCH, count - begin)
            for m in range(n):
                a, b = cx[begin + m], cy[begin + m]
                px[m], py[m] = a - step, b - step
                px[n + m], py[n + m] = a + step, b - step
                px[2 * n + m], py[2 * n + m] = a - step, b + step
                px[3 * n + m], py[3 * n + m] = a + step, b + step
            soft = part[SOFT] if last else TINY
            if lensed:
                trace(px, py, bx, by, 4 * n, lens, terms, n_terms, work)
                shine(bx, by, 4 * n, part, soft, value, distance)
            else:
                shine(px, py, 4 * n, part, soft, value, distance)
            for i in range(n):
                k = pixel[begin + i]
                kx, ky = x[k], y[k]
                # moments of the light of the four: of order 0, 1, 2 along x (first digit) and y
                m00 = m10 = m20 = m01 = m11 = m21 = m02 = m12 = m22 = _ZERO
                for m in range(i, i + 4 * n, n):
                    cut = lower < distance[m] and distance[m] < upper
                    cut = cut or max(abs(px[m] - x0), abs(py[m] - y0)) < near
                    if cut and n_next < room:
                        next_pixel[n_next], next_x[n_next], next_y[n_next] = k, px[m], py[m]
                        n_next += 1
                    else:
                        dx, dy = (px[m] - kx) * per_cell, (py[m] - ky) * per_cell
                        v0 = weight * value[m]
                        v1 = v0 * dy
                        v2 = v1 * dy
                        dx2 = dx * dx
                        m00, m10, m20 = m00 + v0, m10 + v0 * dx, m20 + v0 * dx2
                        m01, m11, m21 = m01 + v1, m11 + v1 * dx, m21 + v1 * dx2
                        m02, m12, m22 = m02 + v2, m12 + v2 * dx, m22 + v2 * dx2
                for band in range(flux.size):
                    _deposit(
                        *(layer[band], k, side, flux[band]),
                        *(m00 - m02, m10 - m12, m20 - m22),
                        *(HALF * (m02 - m01), HALF * (m12 - m11), HALF * (m22 - m21)),
                        *(HALF * (m02 + m01), HALF * (m12 + m11), HALF * (m22 + m21)),
                    )
        pixel, cx, cy, count = next_pixel, next_x, next_y, n_next
        if count == 0:
            return


@fast
def _deposit(target, k, side, flux, b0, b1, b2, d0, d1, d2, u0, u1, u2):
    """Lay down light of given moments along x, beside (b), below (d) and above (u) cell ``k``.

    With the weights of quadratic interpolation between three cells along each axis, ``t (t - 1) /
    2``, ``1 - t**2`` and ``t (t + 1) / 2`` for light that is ``t`` cells off the middle one, some
    of them negative: the light keeps its flux, its centre and its width, and its image after
    convolution is that of light where it really is.
    """
    first = k - side - 1
    target[first] += flux * HALF * (d2 - d1)
    target[first + 1] += flux * (d0 - d2)
    target[first + 2] += flux * HALF * (d2 + d1)
    first += side
    target[first] += flux * HALF * (b2 - b1)
    target[first + 1] += flux * (b0 - b2)
    target[first + 2] += flux * HALF * (b2 + b1)
    first += side
    target[first] += flux * HALF * (u2 - u1)
    target[first + 1] += flux * (u0 - u2)
    target[first + 2] += flux * HALF * (u2 + u1)
