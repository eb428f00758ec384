"""The light of a lens whose mass is given: fitted to an image by re-rendering it.

A check of a posterior by eye and by one number, no fit of the mass: that is held, and so is what
it says of where the images of a point lie. Fluxes are solved for exactly at every step (variable
projection, Golub & Pereyra 1973), so that only shapes and places are searched.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr
from scipy.optimize import least_squares, nnls

from lensmill.imaging import scenes
from lensmill.imaging.camera import MASS
from lensmill.imaging.psf import Psf
from lensmill.imaging.render import render
from lensmill.lensing.solver import solve

# What is searched: of the lens galaxy and of the source, in this order; the source from the lens.
SHAPE = ("x", "y", "ln_radius", "ln_index", "e1", "e2")
NAMES = tuple(f"{thing}_{part}" for thing in ("lens", "source") for part in SHAPE)
STEPS = np.array([0.004, 0.004, 0.02, 0.02, 0.01, 0.01] * 2)  # for derivatives
PLACE = slice(6, 8)  # of the source
# The lens galaxy may lie off its mass by so much, the source off the lens by so many Einstein radii
OFF_MASS, OFF_LENS = 0.3, 1.5
RADII = (0.03, 6.0)  # [arcsec]
INDICES = (0.4, 8.0)
ELLIPTICITY = 0.6  # of each component
GRID = 9  # places of the source along an axis that a search starts from
FAINTEST = 0.1  # magnification of a point image that counts
AT_A_TIME = 240  # images rendered together


class Image(NamedTuple):
    """What is fitted."""

    pixels: NDArray  # (size, size, bands)
    sigma: NDArray  # noise of each, infinite where a pixel does not count
    pixel_scale: float  # [arcsec]
    psfs: Sequence[Psf]  # of each band


class Fit(NamedTuple):
    """The light that fits an image best, with one mass."""

    mass: dict[str, float]  # `MASS`, ``lens_x`` and ``lens_y``
    light: NDArray  # `NAMES`
    model: NDArray  # (size, size, bands)
    fluxes: NDArray  # (bands, components): lens galaxy, source, images of the point
    sky: NDArray  # (bands,) left over
    points: NDArray  # (images, 2) where the solver puts them [arcsec]
    chi2: float  # per pixel that counts

    def source(self) -> NDArray:
        """Return the place of the source from the lens, (2,) [arcsec]."""
        return self.light[PLACE]


def fit(image: Image, masses: Sequence[Mapping[str, float]], points: bool) -> tuple[Fit, float]:
    """Fit the light with the one of some masses that suits best.

    The first mass is fitted in full. With the shapes of that fit, the others are compared with it,
    each with its own place of the source; the best is then fitted in full as well.

    Parameters
    ----------
    image : Image
    masses : sequence of mapping
        `MASS` and ``lens_x``, ``lens_y`` [arcsec]: the first is the one to start from.
    points : bool
        Whether the source may hold a point, a quasar: its images have free fluxes.

    Returns
    -------
    fit : Fit
        Of the best.
    first : float
        chi^2 per pixel with the first mass.
    """
    start = _search(image, masses[0], _start(masses[0]), points)
    one = _refine(image, masses[0], start, points)
    compared = [(one.chi2, masses[0], one.light)]
    for mass in masses[1:]:
        light = _search(image, mass, _bounded(mass, one.light), points)
        light = _refine(image, mass, light, points, slice(6, 12), 4).light
        compared.append((_residuals(image, mass, light[None], points)[1][0], mass, light))
    _, mass, light = min(compared, key=lambda each: each[0])
    best = one if mass is masses[0] else _refine(image, mass, light, points)
    return min(best, one, key=lambda each: each.chi2), one.chi2


def _start(mass: Mapping[str, float]) -> NDArray:
    """Return where a search begins: a lens galaxy as its mass lies, a round source."""
    e, turn = 1 - mass["q"], 2 * mass["phi"]
    lens = [0, 0, np.log(0.8 * mass["theta_e"]), np.log(4.0), e * np.cos(turn), e * np.sin(turn)]
    return _bounded(mass, np.array([*lens, 0, 0, np.log(0.25), np.log(1.5), 0, 0]))


def _bounds(mass: Mapping[str, float]) -> tuple[NDArray, NDArray]:
    """Return the least and the largest value of everything that is searched."""
    radii, indices = np.log(RADII), np.log(INDICES)
    e, far = ELLIPTICITY, OFF_LENS * mass["theta_e"]
    ends = [
        [(-off, off), (-off, off), tuple(radii), tuple(indices), (-e, e), (-e, e)]
        for off in (OFF_MASS, far)
    ]
    low, high = np.array(ends[0] + ends[1]).T
    return low, high


def _bounded(mass: Mapping[str, float], light: NDArray) -> NDArray:
    low, high = _bounds(mass)
    return np.clip(light, low + STEPS, high - STEPS)


def _search(image: Image, mass: Mapping[str, float], light: NDArray, points: bool) -> NDArray:
    """Return the light with the source at the best place of a grid."""
    reach = mass["theta_e"] * np.linspace(-0.9, 0.9, GRID)
    places = np.stack(np.meshgrid(reach, reach), axis=-1).reshape(-1, 2)
    places = places[np.hypot(*places.T) < 0.95 * mass["theta_e"]]
    tried = np.repeat(light[None], len(places) + 1, axis=0)
    tried[1:, PLACE] = places
    chi2 = _residuals(image, mass, tried, points)[1]
    return tried[chi2.argmin()]


def _refine(
    image: Image,
    mass: Mapping[str, float],
    light: NDArray,
    points: bool,
    free: slice = slice(None),
    evaluations: int = 40,
) -> Fit:
    """Fit the ``free`` part of the light by least squares from where it is."""
    low, high = (end[free] for end in _bounds(mass))
    number = np.arange(len(NAMES))[free]

    def whole(values: NDArray) -> NDArray:
        tried = light.copy()
        tried[free] = values
        return tried

    def residual(values: NDArray) -> NDArray:
        return _residuals(image, mass, whole(values)[None], points)[0][0]

    def slopes(values: NDArray) -> NDArray:
        tried = np.repeat(whole(values)[None], 2 * len(number), axis=0)
        for i, k in enumerate(number):
            tried[2 * i, k] += STEPS[k]
            tried[2 * i + 1, k] -= STEPS[k]
        found = _residuals(image, mass, tried, points)[0]
        return ((found[::2] - found[1::2]) / (2 * STEPS[number])[:, None]).T

    begin = np.clip(light[free], low + 1e-9, high - 1e-9)
    found = least_squares(
        residual,
        begin,
        slopes,
        (low, high),
        x_scale=STEPS[free],
        max_nfev=evaluations,
        ftol=1e-5,
        xtol=1e-5,
    )
    return _fitted(image, mass, whole(found.x), points)


def _residuals(
    image: Image, mass: Mapping[str, float], tried: NDArray, points: bool
) -> tuple[NDArray, NDArray]:
    """Return residuals in units of the noise, (m, pixels), and chi^2 per pixel, (m,)."""
    residuals = []
    for parts, _ in _components(image, mass, tried, points):
        residuals.append(_solve(image, parts)[0])
    counts = np.isfinite(image.sigma).sum()
    residuals = np.array(residuals)
    return residuals, (residuals**2).sum(axis=1) / counts


def _fitted(image: Image, mass: Mapping[str, float], light: NDArray, points: bool) -> Fit:
    """Return all that is known of one fit."""
    ((parts, places),) = _components(image, mass, light[None], points)
    residual, fluxes, sky = _solve(image, parts)
    model = np.einsum("kyxb,bk->yxb", parts, fluxes) + sky
    chi2 = float((residual**2).sum() / np.isfinite(image.sigma).sum())
    return Fit(dict(mass), light, model, fluxes, sky, places, chi2)


def _solve(image: Image, parts: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return residuals, and the fluxes (none below 0) and the level of the sky that leave them.

    ``parts``, shape (components, size, size, bands), are images of unit flux.
    """
    residuals, fluxes, skies = [], [], []
    for band in range(image.pixels.shape[-1]):
        sigma = image.sigma[..., band].ravel()
        weight = np.where(np.isfinite(sigma), 1 / sigma, 0.0)
        data = image.pixels[..., band].ravel() * weight
        columns = parts[..., band].reshape(len(parts), -1) * weight
        norm = weight @ weight  # the level of the sky, of either sign, is projected out
        flat, levels = data - weight * (weight @ data) / norm, columns @ weight / norm
        columns = (columns - levels[:, None] * weight).T
        q, r = qr(columns, mode="economic")
        scale = np.maximum(np.abs(r).max(axis=0), 1e-300)
        flux = nnls(r / scale, q.T @ flat)[0] / scale
        residuals.append(flat - columns @ flux)
        fluxes.append(flux)
        skies.append(weight @ data / norm - levels @ flux)
    return np.concatenate(residuals), np.array(fluxes), np.array(skies)


def _components(
    image: Image, mass: Mapping[str, float], tried: NDArray, points: bool
) -> list[tuple[NDArray, NDArray]]:
    """Return for each light its components as images of unit flux, and where its points lie."""
    centre = np.array([mass["lens_x"], mass["lens_y"]])
    places = [np.zeros((0, 2))] * len(tried)
    if points:
        lens = {name: np.full(len(tried), mass[name]) for name in MASS}
        sources = {"source_x": tried[:, 6], "source_y": tried[:, 7]}
        found = solve(**lens, kappa_ext=np.zeros(len(tried)), **sources, min_magnification=FAINTEST)
        where = np.column_stack([found.x, found.y]) + centre
        places = np.split(where, found.first_image[1:])
    columns: dict[str, list] = {name: [] for name in ("kind", "lensed", "x", "y", *SHAPE[2:])}
    for light, images in zip(tried, places, strict=True):
        for lensed, (x, y, *shape) in zip((False, True), light.reshape(2, 6), strict=True):
            row = (scenes.SERSIC, lensed, centre[0] + x, centre[1] + y, *shape)
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
        for x, y in images:
            row = (scenes.POINT, False, x, y, 0.0, 0.0, 0.0, 0.0)
            for name, value in zip(columns, row, strict=True):
                columns[name].append(value)
    # most derivatives leave most components as they are: each is rendered once
    table = np.array(list(columns.values()), float)
    unique, where = np.unique(table, axis=1, return_inverse=True)
    rendered = _render(image, mass, dict(zip(columns, unique, strict=True)))[where.ravel()]
    ends = np.cumsum([2 + len(images) for images in places])[:-1]
    return list(zip(np.split(rendered, ends), places, strict=True))


def _render(image: Image, mass: Mapping[str, float], columns: Mapping[str, NDArray]) -> NDArray:
    """Return an image of every component alone, of unit flux."""
    bands, size = len(image.psfs), len(image.pixels)
    e = np.hypot(columns["e1"], columns["e2"])
    out = []
    for first in range(0, len(e), AT_A_TIME):
        rows = slice(first, first + AT_A_TIME)
        n = len(e[rows])
        light = scenes.light(
            *(columns[name][rows] for name in ("kind", "x", "y")),
            np.ones((n, bands)),
            lensed=columns["lensed"][rows] > 0,
            radius=np.exp(columns["ln_radius"][rows]),
            index=np.exp(columns["ln_index"][rows]),
            q=1 - e[rows],
            phi=0.5 * np.arctan2(columns["e2"][rows], columns["e1"][rows]),
        )
        lens = scenes.lenses(
            *(np.full(n, mass[name]) for name in (*MASS, "lens_x", "lens_y")),
        )
        whole = scenes.assemble(lens, (np.arange(n), light))
        out.append(render(whole, size, image.pixel_scale, image.psfs, lensed=False)[0])
    return np.concatenate(out).astype(float)
