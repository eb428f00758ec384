"""Images of real galaxies as sources: cut out of their noise, and ray-traced.

The brightness between pixels is interpolated linearly along each axis. Rays are no farther apart
than the pixels of the source, and their sum is brought to pixels of the frame: without a lens the
flux is that of the source to `FLUX` if the source is sampled like a galaxy of a survey with some
pixels to its half-light radius.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lensmill.imaging import tracing
from lensmill.imaging.render import series
from lensmill.imaging.scenes import Lenses

FLUX = 0.01  # of the flux: what interpolation may lose or add, stated and tested
DETECTED = 1.5  # sigma, of a smoothed image, above which a pixel is the galaxy's
GROWN = 2  # pixels around, by which what is the galaxy's grows
FINEST = 16  # rays across a pixel of the frame, at most
BEYOND = 1.3  # Einstein radii from the lens, and more, where images lie


class Source(NamedTuple):
    """Brightness of a galaxy on pixels, with nothing around it."""

    pixels: NDArray  # (height, width), sum 1, a rim of zeros
    centre: tuple[float, float]  # row and column of its centroid
    pixel_scale: float  # [arcsec]
    reach: float  # of its light from the centre [arcsec]


def cut_out(image: NDArray, sigma: float, pixel_scale: float) -> Source | None:
    """Cut the galaxy in the middle of an image out of the noise around it; None without one.

    Parameters
    ----------
    image : array, shape (height, width)
        The sky subtracted.
    sigma : float
        Noise of a pixel.
    pixel_scale : float
        [arcsec]
    """
    smooth = ndimage.gaussian_filter(image, 1.0)
    seen = smooth > DETECTED * sigma / (2 * np.sqrt(np.pi)) * 2
    labels, count = ndimage.label(seen)
    if not count:
        return None
    middle = (np.array(image.shape) - 1) / 2
    places = np.argwhere(seen)
    row, column = places[np.hypot(*(places - middle).T).argmin()]
    own = ndimage.binary_dilation(labels == labels[row, column], iterations=GROWN)
    own &= (labels == 0) | (labels == labels[row, column])
    light = np.where(own, image, 0.0)
    if not light.sum() > 0:
        return None
    light = light / light.sum()
    positive = np.clip(light, 0, None)
    centre = np.array(ndimage.center_of_mass(positive))
    rows, columns = np.nonzero(own)
    reach = float(np.hypot(rows - centre[0], columns - centre[1]).max() + 1) * pixel_scale
    kept = light[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    centre = centre - (rows.min(), columns.min()) + 1
    return Source(np.pad(kept / kept.sum(), 1), tuple(centre.tolist()), pixel_scale, reach)


def trace(
    source: Source,
    place: tuple[float, float],
    turn: float,
    lens: Lenses,
    size: int,
    pixel_scale: float,
) -> NDArray:
    """Return the lensed image of a source of flux 1, not convolved.

    Parameters
    ----------
    source : Source
    place : pair of float
        Where its centre would be seen without the lens, x and y in the frame [arcsec].
    turn : float
        By which it is turned, counter-clockwise [rad].
    lens : Lenses
        One deflector.
    size : int
        Pixels on a side of the frame.
    pixel_scale : float
        [arcsec]

    Returns
    -------
    array, shape (size, size)
        Flux in each pixel.
    """
    fine = int(np.clip(np.ceil(pixel_scale / source.pixel_scale), 1, FINEST))
    cell = pixel_scale / fine
    x0, y0 = float(lens.x[0]), float(lens.y[0])
    theta_e = float(lens.theta_e[0])
    shear = float(np.hypot(lens.gamma1[0], lens.gamma2[0]))
    offset = float(np.hypot(place[0] - x0, place[1] - y0))
    reach = (BEYOND * theta_e / np.sqrt(lens.q[0]) + offset + source.reach) / (1 - min(shear, 0.5))
    first, last = (
        [
            int(np.clip(np.floor((c + sign * reach) / pixel_scale + size / 2), 0, size))
            for c in (x0, y0)
        ]
        for sign in (-1, 1)
    )
    last = [min(n + 1, size) for n in last]
    across, down = last[0] - first[0], last[1] - first[1]
    frame = np.zeros((size, size))
    if across <= 0 or down <= 0:
        return frame
    x = (np.arange(across * fine) + 0.5) * cell + (first[0] - size / 2) * pixel_scale
    y = (np.arange(down * fine) + 0.5) * cell + (first[1] - size / 2) * pixel_scale
    rays_x = np.tile(x, y.size).astype(np.float32)
    rays_y = np.repeat(y, x.size).astype(np.float32)
    n_terms, terms = series(lens)
    deflector = np.array([float(column[0]) for column in lens])
    beta_x, beta_y = np.empty_like(rays_x), np.empty_like(rays_y)
    work = np.empty((4, rays_x.size), np.float32)
    n = rays_x.size
    tracing.trace(rays_x, rays_y, beta_x, beta_y, n, deflector, terms[0], n_terms[0], work)
    dx, dy = beta_x - place[0], beta_y - place[1]
    c, s = np.cos(turn), np.sin(turn)
    columns = (c * dx + s * dy) / source.pixel_scale + source.centre[1]
    rows = (c * dy - s * dx) / source.pixel_scale + source.centre[0]
    light = ndimage.map_coordinates(source.pixels, [rows, columns], order=1, mode="constant")
    light = light.reshape(down, fine, across, fine).sum(axis=(1, 3))
    light *= (cell / source.pixel_scale) ** 2
    frame[first[1] : last[1], first[0] : last[0]] = light
    return frame
