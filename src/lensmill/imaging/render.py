"""Scenes to pixels: ray-tracing, light profiles, convolution.

Pixel (row j, column i) of a frame of ``size`` is centred on ``x = (i - (size - 1) / 2) *
pixel_scale``, ``y`` alike with j. A pixel is the brightness at its centre (at the centres of
``supersampling**2`` cells, summed) times its area, as the response of the pixel is part of the
point-spread function. Where a profile changes too much within a cell for that to keep its flux
(cusps, thin or small components) the cell is cut in four, and again, up to `LEVELS` times, and the
light is laid down where it is: with an undersampled kernel, pixels beside a cusp may come out
negative by less than a thousandth of the peak. With a kernel at the pixel scale a supersampled
scene is summed to pixels first; with one that is supersampled alike it is convolved on the fine
grid.

The frame is a window on a larger sky: the scene is also made a few pixels beyond the edge and goes
on from there as it ends, so that light comes in as well as goes out.

lenstronomy makes the same images to 1e-6 of the peak where both sample each pixel once
(``refine=False``), but for two conventions. A star of an analytic point-spread function is that
function, displaced; there it is the kernel, shifted by linear interpolation (here, too, for a
kernel of pixels). And the cusp of a galaxy on the centre of a pixel is not worth what is read at
that point: here it is refined.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincinv

from lensmill.imaging import scenes as sky
from lensmill.imaging import tracing
from lensmill.imaging.compiling import fast
from lensmill.imaging.convolution import add_star, coarsen, convolve, prepare
from lensmill.imaging.psf import Psf
from lensmill.imaging.scenes import Lenses, Light, Scenes
from lensmill.imaging.tracing import LEVELS, paint

CHANGE = 0.6  # e-folds of brightness within a pixel, above which a cusp is cut
SERIES_TOLERANCE = 1e-7  # of the angular series of a power law, relative to its first term
BUFFER = 1 << 18  # rays in memory at a time
BEYOND = 0.1  # share of the kernel that may reach farther than the scene beyond the edge


def render(
    scenes: Scenes,
    size: int,
    pixel_scale: float,
    psfs: Sequence[Psf],
    supersampling: int = 1,
    lensed: bool = True,
    refine: bool = True,
) -> tuple[NDArray, NDArray | None]:
    """Render scenes as noise-free images, convolved with the point-spread function.

    The image of a system does not depend on what is rendered with it, to the last bit (which may
    differ between types of processor).

    Parameters
    ----------
    scenes : Scenes
        n systems.
    size : int
        Pixels on a side.
    pixel_scale : float
        Size of a pixel [arcsec].
    psfs : sequence of Psf
        One per band, each at the pixel scale or supersampled like the scene.
    supersampling : int
        Rays per pixel along each axis.
    lensed : bool
        Whether the lensed light alone is wanted, too.
    refine : bool
        Whether pixels in which a profile changes too much get more rays.

    Returns
    -------
    pixels : array, shape (n, size, size, bands), float32
        Flux in each pixel [electron / s], convolved with the point-spread function.
    lensed : array, same shape, float32, or None
        That of the components marked ``lensed`` alone.
    """
    sky.check(scenes)
    n, bands = scenes.lenses.theta_e.size, scenes.light.flux.shape[1]
    if len(psfs) != bands:
        raise ValueError(f"{len(psfs)} PSFs were given for {bands} bands; give one per band")
    for psf in psfs:
        if psf.supersampling not in (1, supersampling):
            raise ValueError(
                f"a PSF of supersampling {psf.supersampling} does not fit scenes of supersampling "
                f"{supersampling}; make it for 1 or {supersampling}"
            )
    pad = max(_beyond(psf) for psf in psfs)
    fine = (size + 2 * pad) * supersampling
    cell = pixel_scale / supersampling
    place = ((np.arange(fine) - (fine - 1) / 2) * cell).astype(np.float32)
    x, y = np.tile(place, fine), np.repeat(place, fine)
    kernels = [prepare(psf, size * psf.supersampling) for psf in psfs]
    stars = [psf.kernel.astype(np.float32) for psf in psfs]

    b = sky.sersic_b(scenes.light.index)
    table = _table(scenes.light, b, cell)
    inner, outer = _limits(scenes.light, b, cell)
    if not refine:
        outer[:] = -1.0
    n_terms, terms = series(scenes.lenses)
    deflectors = np.stack([np.asarray(c, np.float64) for c in scenes.lenses], axis=1)
    flux = scenes.light.flux.astype(np.float32)
    extended = scenes.light.kind != sky.POINT
    layers = 2 if lensed else 1
    layer = np.where(scenes.light.lensed & lensed, tracing.ARCS, tracing.UNLENSED)
    used = np.zeros((n, layers), dtype=bool)
    system = np.repeat(np.arange(n), np.diff(scenes.first))
    used[system[extended], layer[extended]] = True

    pixels = np.zeros((n, size, size, bands), np.float32)
    arcs = np.zeros(pixels.shape, np.float32) if lensed else None
    step = max(1, min(n, BUFFER // (layers * bands * x.size)))
    # the same memory for all systems: new pages cost as much as their contents
    image = np.empty((bands, step, layers, x.size), np.float32)
    coarse = np.empty((step * layers, size + 2 * pad, size + 2 * pad), np.float32)
    results = np.empty(step * layers * (size * supersampling) ** 2, np.float32)
    for start in range(0, n, step):
        count = min(step, n - start)
        paint(
            *(x, y, cell, deflectors, n_terms, terms, table, scenes.first, inner, outer, flux),
            *(start, count, lensed, image),
        )
        for band, (psf, kernel, star) in enumerate(zip(psfs, kernels, stars, strict=True)):
            side = size * psf.supersampling
            frames = image[band].reshape(step * layers, fine, fine)
            if psf.supersampling < supersampling:
                coarsen(frames, coarse)
                frames = coarse
            result = results[: step * layers * side**2].reshape(step * layers, side, side)
            wanted = np.zeros(step * layers, dtype=bool)
            wanted[: count * layers] = used[start : start + count].ravel()
            convolve(frames, wanted, side, kernel, result)
            _finish(
                *(result.reshape(step, layers, side, side), count, table, scenes.first, flux),
                *(layer, star, psf.kind, psf.width, psf.beta, pixel_scale / psf.supersampling),
                *(start, band, pixels, arcs if lensed else pixels[:0]),
            )
    return pixels, arcs


def _beyond(psf: Psf) -> int:
    """Pixels beyond the edge from which a pixel inside still gets light that matters."""
    middle = psf.kernel.shape[0] // 2
    within = [
        psf.kernel[middle - r : middle + r + 1, middle - r : middle + r + 1].sum()
        for r in range(middle + 1)
    ]
    reach = int(np.argmax(np.array(within) >= 1.0 - BEYOND))
    return -(-reach // psf.supersampling)


def _table(light: Light, b: NDArray, cell: float) -> NDArray:
    """Return the table of components that `tracing.paint` takes."""
    table = np.zeros((light.kind.size, tracing.COLUMNS))
    c, s, root = np.cos(light.phi), np.sin(light.phi), np.sqrt(light.q)
    turns = light.arms / np.tan(light.pitch) / (4.0 * np.pi)
    for column, value in (
        (tracing.KIND, light.kind),
        (tracing.LENSED, light.lensed),
        (tracing.X, light.x),
        (tracing.Y, light.y),
        (tracing.UX, c * root / light.radius),
        (tracing.UY, s * root / light.radius),
        (tracing.VX, -s / (root * light.radius)),
        (tracing.VY, c / (root * light.radius)),
        (tracing.POWER, 0.5 / light.index),
        (tracing.DECAY, b / np.log(2.0)),
        (tracing.PEAK, sky.central_brightness(light, b) * cell**2),
        (tracing.ARMS, light.arms),
        (tracing.WIND, turns * np.log(2.0)),
        (tracing.CONTRAST, light.contrast),
        (tracing.PHASE, light.phase / (2.0 * np.pi) % 1.0),
        (tracing.SHARP, 0.5 * (light.radius / light.width) ** 2 / np.log(2.0)),
        # mean distance from the centre of a square of the smallest size
        (tracing.SOFT, (0.38 * cell / 2.0**LEVELS / light.radius) ** 2),
    ):
        table[:, column] = value
    return table.astype(np.float32)


def _limits(light: Light, b: NDArray, cell: float) -> tuple[NDArray, NDArray]:
    """Between which ``(R / radius)**2`` a cell is to be cut, by level; 0 and 0: nowhere.

    A Sersic profile is cut where it changes by more than `CHANGE` e-folds over the extent of a cell
    along the minor axis, within the ellipse that holds 90 % of the light: the sum over cells is at
    fault only where the profile has a kink or a cusp, at its centre. Profiles without one (index
    1/2) are cut later. A ring is cut if it is thinner than a cell.
    """
    index = light.index
    extent = cell / np.sqrt(light.q) / light.radius / 2.0 ** np.arange(LEVELS)[:, None]
    change = b / index * extent / (CHANGE + 2.0 * np.maximum(1.0 - index, 0.0))
    share = (gammaincinv(2.0 * index, 0.9) / b) ** index
    with np.errstate(over="ignore"):
        steep = change ** (index / np.maximum(index - 1.0, 1e-3))
    cusp = index > 1.001
    cut = np.where(cusp, steep > extent, change > 1.0) & (light.kind != sky.POINT)
    reach = np.where(cut, np.where(cusp, np.minimum(steep, share), share) + 0.75 * extent, 0.0)
    lower = np.zeros_like(reach)
    width, ring = light.width / light.radius, light.kind == sky.RING
    thin = ring & (width < 0.75 * extent)
    # arms: one radian of their wave
    wave = light.arms / np.abs(np.sin(light.pitch)) * extent
    spiral = (light.kind == sky.SPIRAL) & (light.contrast > 0)
    reach = np.where(spiral, np.maximum(reach, np.minimum(wave, share)), reach)
    reach = np.where(ring, np.where(thin, 1.0 + 3.0 * width + 0.75 * extent, 0.0), reach)
    lower = np.where(thin, np.maximum(1.0 - 3.0 * width - 0.75 * extent, 0.0), lower)
    limits = (lower.T**2, np.minimum(reach.T, 1e15) ** 2)
    inner, outer = (np.ascontiguousarray(limit, dtype=np.float32) for limit in limits)
    return np.where(inner > 0, inner, np.float32(-1.0)), outer


def series(lenses: Lenses) -> tuple[NDArray, NDArray]:
    """Angular series of the power laws (Tessore & Metcalf 2015): number of terms, and terms."""
    n = lenses.theta_e.size
    t, f = lenses.slope - 1.0, (1.0 - lenses.q) / (1.0 + lenses.q)
    term = np.where((lenses.slope == 2.0) | (lenses.theta_e == 0.0), 0.0, 1.0)
    terms, count = [np.ones(n)], np.ones(n, np.int64)
    while True:
        k = len(terms)
        going = np.abs(term) * f > SERIES_TOLERANCE * (1.0 - f)
        if not going.any():
            break
        term = np.where(going, -term * f * (2.0 * k - 2.0 + t) / (2.0 * k + 2.0 - t), 0.0)
        count[going] = k + 1
        terms.append(term)
    terms.append(np.zeros(n))
    # `tracing.trace` takes two terms at a time after the last one
    return count | 1, np.ascontiguousarray(np.stack(terms, axis=1), dtype=np.float32)


@fast
def _finish(
    image, count, table, first, flux, layer, star, kind, width, beta, scale, start, band, *out
):
    """Add the stars, and the layers and cells that belong together.

    ``image`` has shape (systems, layers, side, side) and holds ``count`` systems; ``scale`` is the
    size of its cells [arcsec]. Fills one band of the pixels (and of those of the lensed light) of
    the systems from ``start`` on.
    """
    pixels, arcs = out
    layers, side = image.shape[1], image.shape[2]
    size = pixels.shape[1]
    factor = side // size
    middle = 0.5 * (side - 1)
    for s in range(count):
        system = start + s
        for k in range(first[system], first[system + 1]):
            if table[k, tracing.KIND] == tracing.POINT:
                x, y = table[k, tracing.X] / scale + middle, table[k, tracing.Y] / scale + middle
                add_star(image[s, layer[k]], x, y, flux[k, band], star, kind, width, beta)
        for j in range(side):
            row = pixels[system, j // factor]
            for a in range(factor):
                for i in range(size):
                    row[i, band] += image[s, tracing.UNLENSED, j, i * factor + a]
            if layers == 2:
                lensed = arcs[system, j // factor]
                for a in range(factor):
                    for i in range(size):
                        light = image[s, tracing.ARCS, j, i * factor + a]
                        row[i, band] += light
                        lensed[i, band] += light
