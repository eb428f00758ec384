"""Lensed light behind a lens that is more than smooth, and what a change of the smooth lens does.

The deflection that the smooth lens does not have (subhalos, a string of mass) is given at the rays,
two across a pixel; what is smooth on the scale of a pixel may be worked out at the pixels, and
brought to the rays by `interpolate`. Everything else is as in `lensmill.imaging.render` with a
supersampling of 2, but that no pixel is refined: a cusp in the middle of a pixel may be off by some
hundredths of the brightest pixel, whatever the lens. Scenes have lensed Sersic profiles only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.imaging import scenes as sky
from lensmill.imaging import tracing
from lensmill.imaging.approximations import TINY, F, exp2, log2
from lensmill.imaging.compiling import fast
from lensmill.imaging.convolution import convolve, prepare
from lensmill.imaging.psf import Psf
from lensmill.imaging.render import _table, series
from lensmill.imaging.scenes import Scenes

SAMPLES = 2  # rays across a pixel: what the interpolation is written for
REACH = 3  # pixels on either side of a ray that its deflection is interpolated from
MARGIN = 2  # pixels beyond the edge whose light comes in
PIECE = 64  # systems rendered at a time
FAINTEST = F(1e-15)  # electron / s; less is none: numbers near 1e-38 take a hundred times as long

# Of a lens, and of each component of its source: what a smooth model is free in. Steps of the
# smooth lens are by differences of rays, the rest is derived.
LENS = ("theta_e", "q", "phi", "slope", "gamma1", "gamma2", "x", "y")
COMPONENT = ("x", "y", "flux", "radius", "q", "phi", "index")
STEPS = np.array([2e-3, 2e-3, 2e-3, 4e-3, 0.0, 0.0, 2e-3, 2e-3])

# Lagrange's weights of six nodes for a quarter of a pixel beyond the third of them
_NODES = np.arange(6.0) - 2.0
_QUARTER = np.array(
    [
        np.prod([(0.25 - other) / (node - other) for other in _NODES if other != node])
        for node in _NODES
    ]
).astype(np.float32)


def rays(size: int, pixel_scale: float) -> NDArray:
    """Return the coordinates, x or y, of the rays at which deflections are given [arcsec]."""
    fine = SAMPLES * (size + 2 * MARGIN)
    return (np.arange(fine) - (fine - 1) / 2) * pixel_scale / SAMPLES


def nodes(size: int, pixel_scale: float) -> NDArray:
    """Return the coordinates of the pixels that `interpolate` takes values at [arcsec]."""
    side = size + 2 * (MARGIN + REACH)
    return (np.arange(side) - (side - 1) / 2) * pixel_scale


def interpolate(deflection: NDArray) -> NDArray:
    """Bring deflections from `nodes` to `rays`, by polynomials through six nodes along each axis.

    Takes an array of shape (n, 2, nodes, nodes), float32, and returns (n, 2, rays, rays).
    """
    n, _, side, _ = deflection.shape
    fine = SAMPLES * (side - 2 * REACH)
    out = np.empty((n, 2, fine, fine), np.float32)
    for grid, target in zip(deflection, out, strict=True):
        _interpolate(grid, target.reshape(2, -1))
    return out


class Images(NamedTuple):
    """Noise-free images of n systems in one band [electron / s]."""

    pixels: NDArray  # shape (n, size, size), float32
    changes: NDArray | None  # shape (n, parameters, size, size), float32: per unit of each


def render(
    scenes: Scenes,
    deflection: NDArray | None,
    size: int,
    pixel_scale: float,
    psf: Psf,
    changes: bool = False,
) -> Images:
    """Render lensed light, and how it changes with each parameter of the smooth model.

    Parameters
    ----------
    scenes : Scenes
        n systems; the components of each are lensed Sersic profiles.
    deflection : array, shape (n, 2, side, side), float32, or None
        What the smooth lens does not have, at `rays` [arcsec].
    size : int
        Pixels on a side.
    pixel_scale : float
        [arcsec]
    psf : Psf
        At the pixel scale.
    changes : bool
        Whether the derivatives are wanted: first by `LENS`, then by `COMPONENT` of each component
        (the flux in units of itself, q and radius by their logarithm), 0 where a system has fewer.

    Returns
    -------
    Images
    """
    sky.check(scenes)
    if psf.supersampling != 1:
        raise ValueError(f"a PSF of supersampling {psf.supersampling} was given; make it for 1")
    n = scenes.lenses.theta_e.size
    cell = pixel_scale / SAMPLES
    place = rays(size, pixel_scale).astype(np.float32)
    fine = place.size
    if deflection is not None and deflection.shape != (n, 2, fine, fine):
        raise ValueError(
            f"deflections of shape {deflection.shape} do not fit {n} systems with {fine} x {fine} "
            "rays; give them at `rays`"
        )
    x, y = np.tile(place, fine), np.repeat(place, fine)
    b = sky.sersic_b(scenes.light.index)
    table = _table(scenes.light, b, cell)
    bend = _bend(scenes.light)
    n_terms, terms = series(scenes.lenses)
    lenses = np.stack([np.asarray(c, np.float64) for c in scenes.lenses], axis=1)
    flux = scenes.light.flux[:, 0].astype(np.float32)
    most = int(np.diff(scenes.first).max()) if n else 0
    parameters = len(LENS) + most * len(COMPONENT) if changes else 0
    layers = 1 + parameters
    moved = [_moved(scenes.lenses, k) for k in range(len(LENS))] if changes else []
    kernel = prepare(psf, size)
    pixels = np.empty((n, size, size), np.float32)
    derivatives = np.empty((n, parameters, size, size), np.float32) if changes else None
    coarse = size + 2 * MARGIN
    frames = np.empty((min(n, PIECE), layers, coarse, coarse), np.float32)
    extra = np.zeros((2, x.size), np.float32)
    for start in range(0, n, PIECE):
        count = min(PIECE, n - start)
        for k in range(count):
            i = start + k
            if deflection is not None:
                extra = deflection[i].reshape(2, -1)
            components = slice(scenes.first[i], scenes.first[i + 1])
            light = table[components], bend[components], flux[components]
            if changes:
                others = np.stack([m.lens[i] for m in moved])
                other_terms = [m.terms[i] for m in moved]
                paint_changes(
                    *(x, y, extra, lenses[i], terms[i], n_terms[i], others),
                    *(_pad(other_terms), np.array([m.count[i] for m in moved]), STEPS),
                    *(*light, frames[k]),
                )
            else:
                paint(x, y, extra, lenses[i], terms[i], n_terms[i], *light, frames[k])
        flat = frames[:count].reshape(count * layers, coarse, coarse)
        result = np.empty((count * layers, size, size), np.float32)
        convolve(flat, np.ones(count * layers, bool), size, kernel, result)
        result = result.reshape(count, layers, size, size)
        pixels[start : start + count] = result[:, 0]
        if derivatives is not None:
            derivatives[start : start + count] = result[:, 1:]
    return Images(pixels, derivatives)


class _Moved(NamedTuple):
    lens: NDArray  # rows of `tracing.trace`
    terms: NDArray
    count: NDArray


def _moved(lenses: sky.Lenses, parameter: int) -> _Moved:
    """Return lenses with one parameter a step larger."""
    name, step = LENS[parameter], STEPS[parameter]
    value = np.asarray(getattr(lenses, name), float)
    # the ellipticity stays below 1
    other = lenses._replace(**{name: value - step if name == "q" else value + step})
    count, terms = series(other)
    return _Moved(np.stack([np.asarray(c, np.float64) for c in other], axis=1), terms, count)


def _pad(rows: Sequence[NDArray]) -> NDArray:
    out = np.zeros((len(rows), max(row.size for row in rows)), np.float32)
    for row, target in zip(rows, out, strict=True):
        target[: row.size] = row
    return out


def _bend(light: sky.Light) -> NDArray:
    """Return, per component, how peak, decay and power change with the Sersic index."""
    h = 1e-4
    rows = []
    for index in (light.index - h, light.index + h):
        changed = light._replace(index=index)
        b = sky.sersic_b(index)
        rows.append(np.stack([np.log(sky.central_brightness(changed, b)), b, 0.5 / index]))
    change = (rows[1] - rows[0]) / (2 * h)
    values = [change[0], change[1], change[2], 1 / light.q - light.q]
    return np.stack(values, axis=1).astype(np.float32)


@fast
def _interpolate(grid, rays):
    """Fill ``rays`` with a field on pixels, as `interpolate` says."""
    side = grid.shape[1]
    fine = SAMPLES * (side - 2 * REACH)
    wide = np.empty((side, fine), np.float32)
    for part in range(2):
        for j in range(side):
            row, out = grid[part, j], wide[j]
            for i in range(side - 2 * REACH):
                left = right = F(0)
                for t in range(6):
                    right += _QUARTER[t] * row[i + REACH - 2 + t]
                    left += _QUARTER[t] * row[i + REACH + 2 - t]
                out[2 * i], out[2 * i + 1] = left, right
        for j in range(side - 2 * REACH):
            below = rays[part, 2 * j * fine : (2 * j + 1) * fine]
            above = rays[part, (2 * j + 1) * fine : (2 * j + 2) * fine]
            for i in range(fine):
                below[i] = F(0)
                above[i] = F(0)
            for t in range(6):
                weight = _QUARTER[t]
                up, down = wide[j + REACH - 2 + t], wide[j + REACH + 2 - t]
                for i in range(fine):
                    above[i] += weight * up[i]
                    below[i] += weight * down[i]


@fast
def paint(x, y, extra, lens, terms, n_terms, table, bend, flux, frames):
    """Fill ``frames[0]`` with the light in each pixel, before convolution."""
    n = x.size
    side = frames.shape[1]
    bx, by = np.empty(n, np.float32), np.empty(n, np.float32)
    light, r2 = np.empty(n, np.float32), np.empty(n, np.float32)
    total = np.zeros(n, np.float32)
    work = np.empty((4, n), np.float32)
    tracing.trace(x, y, bx, by, n, lens, terms, n_terms, work)
    for i in range(n):
        bx[i] -= extra[0, i]
        by[i] -= extra[1, i]
    for k in range(flux.size):
        tracing.shine(bx, by, n, table[k], TINY, light, r2)
        for i in range(n):
            more = flux[k] * light[i]
            total[i] += more if more > FAINTEST else F(0)
    _bin(total, side, frames[0])


@fast
def _bin(rays, side, frame):
    fine = SAMPLES * side
    for j in range(side):
        below, above = rays[2 * j * fine :], rays[(2 * j + 1) * fine :]
        for i in range(side):
            frame[j, i] = below[2 * i] + below[2 * i + 1] + above[2 * i] + above[2 * i + 1]


@fast
def paint_changes(
    x, y, extra, lens, terms, n_terms, moved, moved_terms, n_moved, steps, table, bend, flux, frames
):
    """Fill ``frames`` with the light and its derivatives, as `render` orders them."""
    n = x.size
    side = frames.shape[1]
    bx, by = np.empty(n, np.float32), np.empty(n, np.float32)
    mx, my = np.empty(n, np.float32), np.empty(n, np.float32)
    total = np.zeros(n, np.float32)
    along_x, along_y = np.zeros(n, np.float32), np.zeros(n, np.float32)
    parts = np.empty((7, n), np.float32)
    work = np.empty((4, n), np.float32)
    tracing.trace(x, y, bx, by, n, lens, terms, n_terms, work)
    for i in range(n):
        bx[i] -= extra[0, i]
        by[i] -= extra[1, i]
    for k in range(frames.shape[0]):
        frames[k] = F(0)
    for k in range(flux.size):
        part = table[k]
        x0, y0 = part[tracing.X], part[tracing.Y]
        ux, uy = part[tracing.UX], part[tracing.UY]
        vx, vy = part[tracing.VX], part[tracing.VY]
        power, decay, peak = part[tracing.POWER], part[tracing.DECAY], part[tracing.PEAK]
        ln2 = F(np.log(2.0))
        peak_n, b_n, power_n, skew = bend[k, 0], bend[k, 1], bend[k, 2], bend[k, 3]
        for i in range(n):
            dx, dy = bx[i] - x0, by[i] - y0
            u, v = ux * dx + uy * dy, vx * dx + vy * dy
            d2 = max(u * u + v * v, F(1e-12))
            logarithm = log2(d2)
            s = exp2(power * logarithm)
            light = flux[k] * peak * exp2(-decay * s)
            light = light if light > FAINTEST else F(0)
            steep = -decay * ln2 * power * s * light  # by ln d2
            slope = steep / d2
            gx, gy = F(2) * slope * (u * ux + v * vx), F(2) * slope * (u * uy + v * vy)
            total[i] += light
            along_x[i] += gx
            along_y[i] += gy
            parts[0, i], parts[1, i], parts[2, i] = -gx, -gy, light
            parts[3, i] = -F(2) * steep - F(2) * light
            parts[4, i] = slope * (u * u - v * v)
            parts[5, i] = -F(2) * slope * u * v * skew
            parts[6, i] = light * (peak_n - s * (b_n + decay * ln2 * ln2 * power_n * logarithm))
        first = 1 + moved.shape[0] + 7 * k
        for p in range(7):
            _bin(parts[p], side, frames[first + p])
    _bin(total, side, frames[0])
    values = parts[0]
    x0, y0 = F(lens[6]), F(lens[7])
    for p in range(moved.shape[0]):
        if steps[p] == 0.0:  # the two components of the shear
            for i in range(n):
                dx, dy = x[i] - x0, y[i] - y0
                if p == 4:
                    values[i] = -along_x[i] * dx + along_y[i] * dy
                else:
                    values[i] = -along_x[i] * dy - along_y[i] * dx
        else:
            tracing.trace(x, y, mx, my, n, moved[p], moved_terms[p], n_moved[p], work)
            per_step = F(1.0 / steps[p]) if p != 1 else F(-1.0 / steps[p])
            for i in range(n):
                px, py = mx[i] + extra[0, i] - bx[i], my[i] + extra[1, i] - by[i]
                values[i] = per_step * (along_x[i] * px + along_y[i] * py)
        _bin(values, side, frames[1 + p])
