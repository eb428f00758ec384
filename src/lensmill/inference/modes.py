"""Where the posterior of a lens with point images lies: its modes, and a path along each.

Positions and delays fix combinations of the parameters a thousand times better than the slope, so
a mode is a thin, bent ridge. A Gaussian about its top misses most of it; a chain of them does not:
at every slope of a grid the lens that fits best is found from its neighbour's.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from lensmill.lensing.profiles import MAX_TERMS, powerlaw_angular, series

from .compiling import kernel
from .point_images import DAYS, Posterior

# coordinates of a fit; the sheet is left out, since it changes the scale of a lens only
LN_THETA_E, E1, E2, SLOPE, G1, G2, LENS_X, LENS_Y, SOURCE_X, SOURCE_Y, LN_D_DT = range(11)
N = 11

# ASSUME: the linear map from source plane to image plane is cut off at this eigenvalue of the
# inverse magnification; a proposal needs no more, the weights are exact.
SOFTENING = 0.02
STEP = 1e-6  # of the difference quotients
MAX_ITERATIONS = 60
STARTS = 12
FURTHER = 60  # starts, anywhere in the prior, where those end at no lens that fits
NO_FIT = 4.0  # chi^2 per datum, from which on no lens fits
TINY = 1e-10  # where nothing is known the covariance must still exist
STEEPEST, SHALLOWEST = 2.49, 1.51
SPACING = 0.04  # of the slopes of a path
CELL = 0.1  # of ellipticities
FAR = 25.0  # chi^2 above the best at which the ellipticities end
DEPTH = 40.0  # chi^2 above the best at which a mode or the end of a path is given up
TOUCHING = 16.0  # squared distance in errors below which two paths touch
PASS = 4.0  # chi^2 from the lesser mode up to where they touch, below which they are one
HELD = 0.05  # how far shape and slope may move on the way to a ridge
SAME = 4.0  # squared distance in errors below which two fits are one

# an even net of points; the first, at the origin, is left out
_ANYWHERE = qmc.Halton(6, scramble=False).random(FURTHER + 1)[1:]


class Modes(NamedTuple):
    """Fits that together follow the posterior; the last axis as the constants above."""

    mean: NDArray  # (m, 11)
    factor: NDArray  # (m, 11, 11), lower Cholesky factors of the covariances
    chi2: NDArray  # (m,), with the weak priors of the fit
    mode: NDArray  # (m,) number of the mode that a fit belongs to; 0 is the best


@kernel
def _residuals(p, centre, width, position, position_error, delay, delay_error, measured, terms, r):
    """Residuals of a lens in units of the errors: positions, delays, then the weak priors."""
    k = position.shape[0]
    e = min(np.hypot(p[E1], p[E2]), 0.9)
    q = 1.0 - e
    phi = 0.5 * np.arctan2(p[E2], p[E1])
    slope = min(max(p[SLOPE], 1.3), 2.7)
    s = 2.0 - slope
    if abs(s) < 1e-7:
        s = 1e-7
    n_terms = series(q, 1.0 - s, 1e-12, terms)
    theta_e = np.exp(p[LN_THETA_E])
    cp, sp = np.cos(phi), np.sin(phi)
    bx, by = p[SOURCE_X] - p[LENS_X], p[SOURCE_Y] - p[LENS_Y]
    d_dt = np.exp(min(max(p[LN_D_DT], -50.0), 50.0))
    first = 0.0
    for i in range(k):
        x, y = position[i, 0] - p[LENS_X], position[i, 1] - p[LENS_Y]
        radius = max(np.hypot(x, y), 1e-6)
        ex, ey = x / radius, y / radius
        c, sn = cp * ex + sp * ey, cp * ey - sp * ex
        a1, a2, k2 = powerlaw_angular(theta_e, q, s, c, sn, terms, n_terms)
        power = np.exp(s * np.log(radius))
        h, t = c * a1 + sn * a2, c * a2 - sn * a1
        shear_x = p[G1] * x + p[G2] * y
        shear_y = p[G2] * x - p[G1] * y
        alpha_x = power * (cp * a1 - sp * a2) + shear_x
        alpha_y = power * (sp * a1 + cp * a2) + shear_y
        potential = power * radius * h / (1.0 + s) + 0.5 * (x * shear_x + y * shear_y)
        rr, rt = s * h * power / radius, s * t * power / radius
        tt = (k2 - s * h) * power / radius
        a = 1.0 - (p[G1] + rr * ex * ex - 2.0 * rt * ex * ey + tt * ey * ey)
        d = 1.0 - (-p[G1] + rr * ey * ey + 2.0 * rt * ex * ey + tt * ex * ex)
        b = -(p[G2] + (rr - tt) * ex * ey + rt * (ex * ex - ey * ey))
        miss_x, miss_y = x - alpha_x - bx, y - alpha_y - by
        # soft inverse of A = 1 - Hessian: A / (A^2 + softening^2), on the eigenvalues of A
        aa, dd, bb = a * a + b * b + SOFTENING**2, d * d + b * b + SOFTENING**2, b * (a + d)
        determinant = aa * dd - bb * bb
        u = (dd * miss_x - bb * miss_y) / determinant
        v = (aa * miss_y - bb * miss_x) / determinant
        r[2 * i] = (a * u + b * v) / position_error[i]
        r[2 * i + 1] = (b * u + d * v) / position_error[i]
        fermat = 0.5 * ((x - bx) ** 2 + (y - by) ** 2) - potential
        if i == 0:
            first = fermat
        r[2 * k + i] = 0.0
        if measured[i] and delay_error[i] > 0.0:
            r[2 * k + i] = (DAYS * d_dt * (fermat - first) - delay[i]) / delay_error[i]
    for j in range(N):
        r[3 * k + j] = (p[j] - centre[j]) / width[j]


@kernel
def fit(p, centre, width, position, position_error, delay, delay_error, measured):
    """Levenberg-Marquardt from ``p`` on, which becomes the best fit.

    Returns chi^2 and the curvature J^T J at the best fit. A parameter whose ``width`` is 0 is held.
    """
    k = position.shape[0]
    m = 3 * k + N
    terms = np.empty(MAX_TERMS)
    w = np.where(width > 0.0, width, 1.0)
    r, ahead, tried = np.empty(m), np.empty(m), np.empty(m)
    jacobian = np.zeros((m, N))
    data = position, position_error, delay, delay_error, measured
    _residuals(p, centre, w, *data, terms, r)
    chi2 = (r * r).sum()
    damping = 1e-2
    curvature = np.zeros((N, N))
    new = p.copy()
    moved = True
    for _ in range(MAX_ITERATIONS):
        if moved:
            for j in range(N):
                if width[j] > 0.0:
                    new[:] = p
                    new[j] += STEP
                    _residuals(new, centre, w, *data, terms, ahead)
                    for i in range(m):
                        jacobian[i, j] = (ahead[i] - r[i]) / STEP
            curvature = jacobian.T @ jacobian
        gradient = jacobian.T @ r
        damped = curvature.copy()
        for j in range(N):
            damped[j, j] += damping * curvature[j, j] + 1e-10
        step = np.linalg.solve(damped, -gradient)
        for j in range(N):
            new[j] = p[j] + min(max(step[j], -0.5), 0.5)
        _residuals(new, centre, w, *data, terms, tried)
        other = (tried * tried).sum()
        moved = other < chi2
        if moved:
            gained = chi2 - other
            p[:] = new
            r[:] = tried
            chi2 = other
            damping = max(damping * 0.2, 1e-12)
            if gained < 1e-4 and damping < 1.0:
                break
        else:
            damping *= 4.0
            if damping > 1e8:
                break
    return chi2, curvature


@kernel
def _curvatures(points, centre, width, position, position_error, delay, delay_error, measured):
    """Curvature J^T J of half of chi^2 at points (n, 11), shape (n, 11, 11)."""
    k = position.shape[0]
    m = 3 * k + N
    terms = np.empty(MAX_TERMS)
    w = np.where(width > 0.0, width, 1.0)
    r, ahead = np.empty(m), np.empty(m)
    data = position, position_error, delay, delay_error, measured
    out = np.empty((points.shape[0], N, N))
    jacobian = np.zeros((m, N))
    for s in range(points.shape[0]):
        _residuals(points[s], centre, w, *data, terms, r)
        for j in range(N):
            if width[j] > 0.0:
                p = points[s].copy()
                p[j] += STEP
                _residuals(p, centre, w, *data, terms, ahead)
                for i in range(m):
                    jacobian[i, j] = (ahead[i] - r[i]) / STEP
        out[s] = jacobian.T @ jacobian
    return out


def find_modes(target: Posterior) -> Modes:
    """Find the modes of a posterior and follow each along the slope.

    From `STARTS` orientations of ellipticity and shear, and further ones where no lens fits. Weak
    Gaussians stand for the prior.
    """
    data = target.data
    arrays = data.position, data.position_error, data.delay, data.delay_error, data.delay_measured
    centre, width = _weak_prior(target)
    fits: list = []
    for i in range(STARTS + FURTHER):
        if i == STARTS and min(one[0] for one in fits) < NO_FIT * target.n_data:
            break
        p = _start(target, centre, width, i)
        chi2, curvature = fit(p, centre, width, *arrays)
        fits.append((chi2, p, curvature))
    fits.sort(key=lambda one: one[0])
    tops: list = []
    for chi2, p, curvature in fits:
        if chi2 < fits[0][0] + DEPTH and not any(_alike(p, top[1], top[2]) for top in tops):
            tops.append((chi2, p, curvature))
    nodes: list = []
    best = fits[0][0]
    for number, (chi2, p, curvature) in enumerate(tops):
        nodes.append((number, chi2, p, curvature))
        if width[SLOPE] == 0:
            continue
        narrow = width.copy()
        narrow[SLOPE] = SPACING
        middle = centre.copy()
        j0 = round(p[SLOPE] / SPACING)
        for way in (1, -1):
            trail = [p]
            for j in range(j0 + (way == -1) * way, j0 + way * 40, way):
                start = trail[-1].copy() if len(trail) < 3 else 2 * trail[-1] - trail[-2]
                start[SLOPE] = middle[SLOPE] = j * SPACING
                if not SHALLOWEST < start[SLOPE] < STEEPEST:
                    break
                chi2, curvature = fit(start, middle, narrow, *arrays)
                chi2 += ((start[SLOPE] - centre[SLOPE]) / width[SLOPE]) ** 2
                if chi2 > best + DEPTH or any(
                    other != number
                    and abs(mean[SLOPE] - start[SLOPE]) < SPACING / 2
                    and _alike(start, mean, bent)
                    for other, _, mean, bent in nodes
                ):
                    break  # beyond what counts, or on the path of a better mode
                trail.append(start)
                nodes.append((number, chi2, start, curvature))
    if width[E1] > 0:
        nodes += _over_ellipticities(tops, centre, width, arrays)
    mode, chi2, mean, curvature = (np.array(column) for column in zip(*nodes, strict=True))
    held = np.diag((width == 0).astype(float))
    factor = factors(curvature + held + TINY * np.eye(N))
    return Modes(mean, factor, chi2, _merge(mode, chi2, mean, curvature))


def _over_ellipticities(tops: list, centre: NDArray, width: NDArray, arrays: tuple) -> list:
    """Follow each mode over a grid of ellipticities, from cell to cell.

    Ellipticity and shear stand for each other, so the ridge is a sheet where the errors are large
    or the galaxy was not seen; along the slope alone its far ends are missed.
    """
    narrow, middle = width.copy(), centre.copy()
    narrow[[E1, E2]] = CELL / 2
    nodes = []
    best = tops[0][0]
    for number, (_, top, _) in enumerate(tops):
        first = tuple(np.round(top[[E1, E2]] / CELL).astype(int))
        found = {first: top}
        front = [first]
        while front:
            cell = front.pop(0)
            for step in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                new = cell[0] + step[0], cell[1] + step[1]
                if new in found or CELL * np.hypot(*new) > 0.9:
                    continue
                start = found[cell].copy()
                start[[E1, E2]] = middle[[E1, E2]] = CELL * np.array(new)
                found[new] = start
                chi2, curvature = fit(start, middle, narrow, *arrays)
                chi2 += ((start[[E1, E2]] / width[[E1, E2]]) ** 2).sum()
                if chi2 < best + FAR:
                    front.append(new)
                    nodes.append((number, chi2, start, curvature))
    return nodes


def factors(curvature: NDArray) -> NDArray:
    """Lower Cholesky factors of the inverses of curvatures (m, d, d).

    Not by way of the inverse: that of a ridge a million times longer than wide need not be positive
    definite in the last digits. A leading block is the factor of those coordinates alone.
    """
    size = np.sqrt(np.einsum("mii->mi", curvature))
    scaled = curvature / (size[:, :, None] * size[:, None])
    upper = np.linalg.cholesky(scaled[:, ::-1, ::-1])[:, ::-1, ::-1]  # times its transpose: scaled
    return np.tril(np.linalg.inv(upper).swapaxes(1, 2)) / size[:, :, None]


def _merge(mode: NDArray, chi2: NDArray, mean: NDArray, curvature: NDArray) -> NDArray:
    """Give modes that no pass worth the name parts the number of the better one.

    Fits from different starts end at different places of a flat ridge: one mode, not several.
    """
    top = np.array([chi2[mode == number].min() for number in range(mode.max() + 1)])
    offset = (mean[:, None] - mean)[..., :LN_D_DT]
    distance = np.einsum(
        "ija,iab,ijb->ij", offset, curvature[:, :LN_D_DT, :LN_D_DT], offset, optimize=True
    )
    height = np.maximum(chi2[:, None], chi2) - np.maximum(top[mode][:, None], top[mode])
    one = (np.minimum(distance, distance.T) < TOUCHING) & (height < PASS)
    merged = mode.copy()
    for i, j in np.argwhere(one & (mode[:, None] < mode)):
        first, second = sorted((merged[i], merged[j]))
        merged[merged == second] = first
    return np.unique(merged, return_inverse=True)[1]


@kernel
def _project(points, soft, centre, width, chi2, *data):
    """Move every point to where the data want it, and hold its soft coordinates."""
    middle, narrow = centre.copy(), width.copy()
    for s in range(points.shape[0]):
        for j in range(N):
            if soft[j] > 0.0 and width[j] > 0.0:
                middle[j], narrow[j] = points[s, j], soft[j]
        chi2[s], _ = fit(points[s], middle, narrow, *data)


def project(target: Posterior, points: NDArray) -> NDArray:
    """Points (n, 11) moved onto the ridge of the posterior beside them; those that reach it."""
    data = target.data
    centre, width = _weak_prior(target)
    soft = np.zeros(N)
    soft[[E1, E2, SLOPE, G1, G2]] = HELD
    arrays = data.position, data.position_error, data.delay, data.delay_error, data.delay_measured
    points, chi2 = points.copy(), np.empty(len(points))
    _project(points, soft, centre, width, chi2, *arrays)
    return points[chi2 < chi2.min() + DEPTH]


def curvature(target: Posterior, points: NDArray) -> tuple[NDArray, float]:
    """Curvature of half of chi^2 at points (n, 11), held coordinates at 1; size of the system."""
    data = target.data
    centre, width = _weak_prior(target)
    arrays = data.position, data.position_error, data.delay, data.delay_error, data.delay_measured
    bent = _curvatures(points, centre, width, *arrays)
    scale = np.hypot(*(data.position - data.position.mean(axis=0)).T).mean()
    return bent + np.diag((width == 0).astype(float)) + TINY * np.eye(N), float(scale)


def _alike(p: NDArray, other: NDArray, curvature: NDArray) -> bool:
    offset = (p - other)[:LN_D_DT]
    return offset @ curvature[:LN_D_DT, :LN_D_DT] @ offset < SAME


def _weak_prior(target: Posterior) -> tuple[NDArray, NDArray]:
    """Centre and width of the Gaussians that stand for the prior in a fit; width 0: held."""
    data, prior = target.data, target.prior
    centre, width = np.zeros(N), np.full(N, 1e3)
    scale = np.hypot(*(data.position - data.position.mean(axis=0)).T).mean()
    for name, columns, usual in (("one_minus_q", (E1, E2), 0.3), ("shear", (G1, G2), 0.08)):
        for j in columns:
            width[j] = 0.0 if prior[name][0] == "fixed" else usual
    kind, *p = prior["slope"]
    centre[SLOPE], width[SLOPE] = p[0], 0.0 if kind == "fixed" else 0.16
    if kind in ("uniform", "log_uniform"):
        centre[SLOPE] = (p[0] + p[1]) / 2
    elif kind != "fixed":
        width[SLOPE] = p[1] if "log" not in kind else 0.16
    if data.lens_known:
        centre[LENS_X : LENS_Y + 1], width[LENS_X : LENS_Y + 1] = (
            data.lens_position,
            data.lens_error,
        )
    else:
        centre[LENS_X : LENS_Y + 1] = data.position.mean(axis=0)
        width[LENS_X : LENS_Y + 1] = 0.5 * scale
    y, density = target.distance
    centre[LN_D_DT] = np.average(y, weights=density)
    width[LN_D_DT] = np.sqrt(np.average((y - centre[LN_D_DT]) ** 2, weights=density))
    return centre, width


def _start(target: Posterior, centre: NDArray, width: NDArray, i: int) -> NDArray:
    """Return starting point ``i``: a lens along one direction, the shear along it or across.

    From ``STARTS`` on one of any size, slope and shape.
    """
    p = centre.copy()
    data = target.data
    offset = data.position - p[LENS_X : LENS_Y + 1]
    p[LN_THETA_E] = np.log(np.hypot(*offset.T).mean())
    angle = 2 * np.pi * i / STARTS
    tilt = angle + np.pi * (i % 2)
    if width[E1] > 0:
        p[E1], p[E2] = 0.2 * np.cos(angle), 0.2 * np.sin(angle)
    if width[G1] > 0:
        p[G1], p[G2] = 0.05 * np.cos(tilt), 0.05 * np.sin(tilt)
    direction = offset / np.maximum(np.hypot(*offset.T), 1e-6)[:, None]
    if i >= STARTS:
        # One image far out and one at the galaxy are fitted from the right size and slope only.
        u = _ANYWHERE[i - STARTS]
        p[LN_THETA_E] += 0.4 * (u[0] - 0.5)
        if width[SLOPE] > 0:
            p[SLOPE] = SHALLOWEST + (STEEPEST - SHALLOWEST) * u[1]
        for (x, y), most, r, angle in (((E1, E2), 0.6, *u[2:4]), ((G1, G2), 0.12, *u[4:])):
            if width[x] > 0:
                p[x] = most * np.sqrt(r) * np.cos(2 * np.pi * angle)
                p[y] = most * np.sqrt(r) * np.sin(2 * np.pi * angle)
    source = data.position - np.exp(p[LN_THETA_E]) * direction
    p[SOURCE_X : SOURCE_Y + 1] = source.mean(axis=0)
    return p
