"""Find duplicate images, though one be turned, mirrored, rescaled or shifted.

What tells two images of a sky apart is their noise, pixel by pixel. It is found by a Laplacian,
which no sky level passes, divided by its own scatter, which takes the gain out. The power
spectrum of that does not know of shifts; averaged over the eight orientations it does not know of
them either. Images whose spectra resemble each other are then laid upon each other.

Cost: n^2 products of vectors of `NUMBERS`, so a few seconds for 20,000 images.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NUMBERS = 96  # of a signature; random projections of the spectrum
BLOCK = 2048  # images compared with as many others at a time
NEAREST = 8  # images of the most similar spectra that each is laid upon
ALIKE = (
    0.75  # correlation of signatures from which images are compared; of shifted copies: above 0.85
)
SHIFT = 2  # pixels by which a copy may be shifted, along each axis
CLIP = 3.0  # of the scatter, so that noise outweighs the bright centre
TRIED = 3  # best of the orientations and shifts that are looked at pixel by pixel
# A copy has the same pixels but for rounding; unlike noise, smooth light without any may agree to
# a part in a hundred by chance (two stars on the same spot of a pixel).
EXACT = 1e-3  # residual of a copy over the image, both through the Laplacian
NOISE_ALIKE = 0.8  # correlation of the noise of copies that were rounded; independent: 0 +- 0.02
# Scatter of the Laplacian over that of differences of neighbours; 3.2 for white noise, and the
# pixel over the scale of the light where there is no noise.
NOISY = 2.2


class Pair(NamedTuple):
    """Two rows that show the same image."""

    row: int
    other: int
    exact: bool  # every pixel, rather than the noise alone


def signatures(pixels: NDArray) -> NDArray:
    """Return a feature vector of every image, nearly invariant under gain, orientation and shifts.

    Parameters
    ----------
    pixels : array, shape (n, size, size, bands)

    Returns
    -------
    array, shape (n, NUMBERS), float32
    """
    noise = _clip(_laplacian(pixels)).sum(axis=-1)
    height, width = noise.shape[1:]
    noise *= np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    side = max(height, width)
    power = np.abs(np.fft.fft2(noise, (side, side))) ** 2
    power = power + power[:, (-np.arange(side)) % side]  # mirrored; of a real image turned by 180
    power = np.log(power + power.transpose(0, 2, 1) + 1e-12)
    half = side // 2 + 1
    chosen = np.tril_indices(half)  # one eighth of the plane says all
    spectrum = power[:, chosen[0], chosen[1]]
    # the same mixture in every process
    mixture = np.random.Generator(np.random.Philox(side)).normal(size=(len(chosen[0]), NUMBERS))
    return (spectrum @ mixture / np.sqrt(len(chosen[0]))).astype(np.float32)


def _laplacian(pixels: NDArray) -> NDArray:
    p = pixels.astype(np.float64)
    around = p[:, :-2, 1:-1] + p[:, 2:, 1:-1] + p[:, 1:-1, :-2] + p[:, 1:-1, 2:]
    return 4 * p[:, 1:-1, 1:-1] - around


def _scatter(values: NDArray) -> NDArray:
    """Return the robust scatter of every image and band, or the rms where most is one value."""
    scatter = 1.4826 * np.median(np.abs(values), axis=(1, 2), keepdims=True)
    rms = np.sqrt((values**2).mean(axis=(1, 2), keepdims=True))
    scatter = np.where(scatter > 1e-6 * rms, scatter, rms)
    return np.where(scatter > 0, scatter, 1.0)


def _clip(laplacian: NDArray) -> NDArray:
    return np.clip(laplacian / _scatter(laplacian), -CLIP, CLIP)


def candidates(signature: NDArray, others: NDArray | None = None) -> NDArray:
    """Return pairs of rows whose signatures are alike, a block of rows at a time.

    Parameters
    ----------
    signature : array, shape (n, NUMBERS)
    others : array, shape (m, NUMBERS), optional
        Those to compare with; without it every row is compared with the rows before it.

    Returns
    -------
    array, shape (k, 2)
        Rows of ``signature`` and of ``others``, at most `NEAREST` for each row.
    """
    both = signature if others is None else np.concatenate([signature, others])
    centre, spread = both.mean(axis=0), both.std(axis=0)
    first, second = (
        _unit((values - centre) / np.where(spread > 0, spread, 1.0))
        for values in (signature, signature if others is None else others)
    )
    matches = []
    for start in range(0, len(first), BLOCK):
        rows = first[start : start + BLOCK]
        best = np.full((len(rows), NEAREST), -1.0, np.float32)
        who = np.zeros((len(rows), NEAREST), np.int64)
        stop = len(second) if others is not None else start + len(rows)
        for begin in range(0, stop, BLOCK):
            alike = rows @ second[begin : min(begin + BLOCK, stop)].T
            if others is None and begin == start:
                alike[np.triu_indices(len(rows))] = -1
            if alike.max() < ALIKE:
                continue
            some = np.flatnonzero(alike.max(axis=1) >= ALIKE)
            values = np.concatenate([best[some], alike[some]], axis=1)
            names = np.broadcast_to(begin + np.arange(alike.shape[1]), alike[some].shape)
            names = np.concatenate([who[some], names], axis=1)
            top = np.argpartition(-values, NEAREST - 1, axis=1)[:, :NEAREST]
            best[some] = np.take_along_axis(values, top, axis=1)
            who[some] = np.take_along_axis(names, top, axis=1)
        near, k = np.nonzero(best >= ALIKE)
        matches.append(np.stack([start + near, who[near, k]], axis=1))
    return np.concatenate(matches) if matches else np.zeros((0, 2), np.int64)


def _unit(values: NDArray) -> NDArray:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return (values / np.where(length > 0, length, 1.0)).astype(np.float32)


def pairs(
    near: NDArray, image: Callable[[int], NDArray], other: Callable[[int], NDArray]
) -> Iterator[Pair]:
    """Yield those of the candidates that are copies.

    ``image`` and ``other`` return the pixels of a row, shape (size, size, bands).
    """
    for i, j in near.tolist():
        exact = same(image(i), other(j))
        if exact is not None:
            yield Pair(i, j, exact)


def same(image: NDArray, other: NDArray) -> bool | None:
    """Say whether two images agree in one of 8 orientations, shifted by up to `SHIFT` pixels.

    Returns
    -------
    bool or None
        True if all pixels agree, False if only the noise does, None if neither.
    """
    if image.shape != other.shape:
        return None
    one, two = (_laplacian(pixels[None])[0] for pixels in (image, other))
    turned = [np.rot90(two, k) for k in range(4)]
    views = [v for t in turned for v in (t, t[::-1]) if v.shape == one.shape]
    flat = _clip(one[None])[0]
    clipped = [_clip(view[None])[0] for view in views]
    mine = np.fft.rfft2(flat, axes=(0, 1))
    alike = np.fft.irfft2(
        mine * np.conj(np.fft.rfft2(np.stack(clipped), axes=(1, 2))), flat.shape[:2], axes=(1, 2)
    ).sum(axis=-1)
    shifts = np.arange(-SHIFT, SHIFT + 1)
    alike = alike[:, shifts][:, :, shifts]
    noise = None
    for at in np.argsort(-alike, axis=None)[:TRIED]:
        view, dy, dx = np.unravel_index(at, alike.shape)
        shift = int(shifts[dy]), int(shifts[dx])
        mine, theirs = _overlap(one, shift, 1), _overlap(views[view], shift, -1)
        if _correlation(mine, theirs) > 1 - EXACT**2 / 2:
            # the bright centre agrees; so must the rest, clipped at the same light
            gain = (mine * theirs).sum(axis=(0, 1)) / (theirs**2).sum(axis=(0, 1))
            limit = CLIP * _scatter(mine[None])[0]
            faint = (np.clip(each, -limit, limit) for each in (mine, gain * theirs))
            if _correlation(*faint) > 1 - EXACT**2 / 2:
                return True
        faint = _overlap(flat, shift, 1), _overlap(clipped[view], shift, -1)
        # two bright stars agree where they are clipped, but not in the noise beside that
        dark = (np.abs(faint[0]) < CLIP) & (np.abs(faint[1]) < CLIP)
        if min(_correlation(*faint), _correlation(*(dark * each for each in faint))) > NOISE_ALIKE:
            noise = False
    return noise if noise is None or (_is_noise(image) and _is_noise(other)) else None


def _overlap(image: NDArray, shift: tuple[int, int], sign: int) -> NDArray:
    """Return the inner pixels of one of two images that lie ``shift`` apart.

    The outermost pixels of a shifted image are made up. For ``sign`` 1 these are of the image
    that is shifted, for -1 of the other.
    """
    starts = [SHIFT + d if sign > 0 else SHIFT for d in shift]
    rows, columns = (slice(b, b + n - 2 * SHIFT) for b, n in zip(starts, image.shape, strict=False))
    return image[rows, columns]


def _correlation(one: NDArray, two: NDArray) -> float:
    """Return the correlation of two images, the mean of their bands; of an empty one, -1."""
    product = (one * two).sum(axis=(0, 1))
    norm = np.sqrt((one**2).sum(axis=(0, 1)) * (two**2).sum(axis=(0, 1)))
    return float(np.mean(product / norm)) if (norm > 0).all() else -1.0


def _is_noise(image: NDArray) -> bool:
    """Say whether neighbouring pixels differ as noise does, rather than as light does."""
    fine = _scatter(_laplacian(image[None]))
    steps = [_scatter(np.diff(image[None].astype(np.float64), axis=axis)) for axis in (1, 2)]
    return bool((fine > NOISY * np.maximum(*steps)).all())
