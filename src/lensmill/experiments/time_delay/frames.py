"""The canonical frame of a system of images: the same for a lens turned, mirrored, moved or scaled.

The origin is the lens galaxy, or the centroid of the images where its position is unknown. The
unit is the mean distance of the images from the origin. The first image to arrive lies on +x, the
second has y >= 0. Images are ordered by their measured delays; images without a measured delay
follow, the farthest from the origin first (of two images the farther one usually arrives first).
All of it in float64: rounding to float32 comes last, so that a turned system gives the network the
same numbers to the last bit or two.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Frame(NamedTuple):
    """Frames of ``n`` systems with ``k`` images."""

    origin: NDArray  # (n, 2) on the sky
    scale: NDArray  # (n,) sky units per unit of the frame
    axes: NDArray  # (n, 2, 2), orthogonal: rows are the frame's x and y on the sky
    order: NDArray  # (n, k): the i-th image of the frame is row order[:, i]


def find(
    position: NDArray,
    delay: NDArray,
    delay_measured: NDArray,
    lens_position: NDArray,
    lens_known: NDArray,
) -> Frame:
    """Find the canonical frames.

    Parameters
    ----------
    position : array, shape (n, k, 2)
        Images, in any order; ``k >= 2``.
    delay : array, shape (n, k)
        Delays after an image of the system, whichever.
    delay_measured : array of bool, shape (n, k)
        Where ``delay`` is measured.
    lens_position : array, shape (n, 2)
        The lens galaxy.
    lens_known : array of bool, shape (n,)
        Where ``lens_position`` is known.

    Raises
    ------
    ValueError
        If an image lies at the origin: it has no direction.
    """
    origin = np.where(lens_known[:, None], lens_position, position.mean(axis=1))
    offset = position - origin[:, None]
    distance = np.hypot(offset[..., 0], offset[..., 1])
    scale = distance.mean(axis=1)
    if not (distance > 0).all():
        i = int(np.argmin((distance > 0).all(axis=1)))
        raise ValueError(f"system {i} has no frame: an image lies at the origin, {origin[i]}")
    order = np.lexsort((np.where(delay_measured, delay, -distance), ~delay_measured), axis=-1)

    first, second = (np.take_along_axis(offset, order[:, i, None, None], 1)[:, 0] for i in (0, 1))
    x_axis = first / np.hypot(first[:, 0], first[:, 1])[:, None]
    y_axis = np.stack([-x_axis[:, 1], x_axis[:, 0]], axis=-1)
    below = (second * y_axis).sum(axis=-1) < 0
    y_axis[below] *= -1
    return Frame(origin, scale, np.stack([x_axis, y_axis], axis=1), order)


def arrange(rows: NDArray, order: NDArray) -> NDArray:
    """Put images, the second axis of ``rows``, in the order of the frame."""
    return np.take_along_axis(rows, order.reshape(order.shape + (1,) * (rows.ndim - 2)), axis=1)


def restore(rows: NDArray, order: NDArray) -> NDArray:
    """Undo `arrange`."""
    return arrange(rows, order.argsort(axis=1))


def turn(vectors: NDArray, axes: NDArray) -> NDArray:
    """Components of sky vectors, shape (n, ..., 2), along the axes of the frames."""
    n = len(axes)
    flat = vectors.reshape(n, -1, 2)
    return (flat @ axes.transpose(0, 2, 1)).reshape(vectors.shape)


def turn_back(vectors: NDArray, axes: NDArray) -> NDArray:
    """Undo `turn`: sky components of vectors given in the frames."""
    n = len(axes)
    flat = vectors.reshape(n, -1, 2)
    return (flat @ axes).reshape(vectors.shape)


def to_frame(position: NDArray, frame: Frame) -> NDArray:
    """Positions (n, k, 2) on the sky, in the order of the file -> in the frame, in its order."""
    moved = (position - frame.origin[:, None]) / frame.scale[:, None, None]
    return arrange(turn(moved, frame.axes), frame.order)


def to_sky(position: NDArray, frame: Frame) -> NDArray:
    """Undo `to_frame`."""
    turned = turn_back(restore(position, frame.order), frame.axes)
    return turned * frame.scale[:, None, None] + frame.origin[:, None]
