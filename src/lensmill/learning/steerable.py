"""Answers that turn with the image: how turns and mirrors of a square act on what a network gives.

Targets have a spin: 0 is a number that no turn changes, 1 a position (x, y), which turns as the
image does, 2 an ellipticity or shear (first and second component), which turns twice as far. A
mixture of Gaussians over such targets turns when its means and covariances do, so all numbers that
a head gives change by a matrix with one +-1 in each row.

A network that is equivariant up to its last maps (`equivariant`) becomes so altogether by `Steer`:
the same layers look at each of the 8 orientations of the maps, turned back upright, and what they
say is turned again and averaged.
"""

import functools
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from lensmill.learning.equivariant import ORDER, products, transform
from lensmill.learning.layers import ResidualBlock
from lensmill.learning.regression import columns_of, pairs_of


@functools.cache
def vectors() -> NDArray:
    """Return the 8 matrices that positions (x, y) change by, (8, 2, 2); rows of an image go up."""
    found = np.zeros((ORDER, 2, 2))
    for element in range(ORDER):
        for axis, (row, column) in enumerate(((1, 2), (2, 1))):  # one pixel along x, one along y
            image = np.zeros((3, 3))
            image[row, column] = 1
            y, x = np.argwhere(transform(image, element) == 1)[0] - 1
            found[element, :, axis] = x, y
    return found


def _spin(spin: int) -> NDArray:
    """Return the matrices that targets of a spin change by, (8, d, d)."""
    if spin == 0:
        return np.ones((ORDER, 1, 1))
    turns = vectors()
    if spin == 1:
        return turns
    # the components are those of the symmetric tensor ((e1, e2), (e2, -e1))
    basis = np.array([[[1.0, 0.0], [0.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]])
    turned = np.einsum("gij,bjk,glk->gbil", turns, basis, turns)
    return np.stack([turned[:, :, 0, 0], turned[:, :, 0, 1]], axis=1)


def representation(spins: Sequence[int]) -> NDArray:
    """Return the matrices that targets change by when the image is turned, (8, T, T).

    Parameters
    ----------
    spins : sequence of int
        0, 1 or 2; of spin 1 and 2 there are two columns each.
    """
    size = columns_of(spins)
    found = np.zeros((ORDER, size, size))
    first = 0
    for spin in spins:
        block = _spin(spin)
        last = first + block.shape[1]
        found[:, first:last, first:last] = block
        first = last
    return found


def turn_targets(targets: NDArray, element: int, spins: Sequence[int]) -> NDArray:
    """Return targets (n, T) as they are after the image was turned by an element of the group."""
    return targets @ representation(spins)[element].T.astype(targets.dtype)


def head_representation(spins: Sequence[int], components: int) -> NDArray:
    """Return the matrices that the numbers of a mixture head change by, (8, P, P).

    The head is that of `layers.MixtureLoss` with the pairs of these spins: logits, means,
    diagonals, and what is below them, each of all components.
    """
    targets = representation(spins)
    size = targets.shape[1]
    rows, columns = np.tril_indices(size, -1)
    below = np.einsum("gik,gjl->gijkl", targets, targets)[:, rows, columns][:, :, rows, columns]
    diagonal = np.tile(np.eye(size), (ORDER, 1, 1))
    quadrupole = _spin(2)
    for i in pairs_of(spins):
        # The block of a pair is the exponential of ((a + b, c), (c, a - b)): b and c have spin 2,
        # which no element of this group mixes.
        diagonal[:, i + 1, i + 1] = quadrupole[:, 0, 0]
        own = np.flatnonzero((rows == i + 1) & (columns == i))[0]
        below[:, own, :] = 0
        below[:, :, own] = 0
        below[:, own, own] = quadrupole[:, 1, 1]
    parts = [np.ones((ORDER, 1, 1)), targets, diagonal, below]
    whole = components * sum(part.shape[1] for part in parts)
    found = np.zeros((ORDER, whole, whole))
    first = 0
    for part in parts:
        for _ in range(components):
            last = first + part.shape[1]
            found[:, first:last, first:last] = part
            first = last
    return found


@keras.saving.register_keras_serializable("lensmill")
class Views(keras.layers.Layer):
    """The 8 orientations of maps (n, s, s, 8 C), each turned back upright: (n, 8, s * s * C)."""

    def call(self, x):
        """Return the views."""
        side, channels = x.shape[1], x.shape[-1] // ORDER
        inverse = products().argmin(axis=1)  # where the product is 0, the identity
        pixels = np.arange(side * side).reshape(side, side)
        flat = ops.reshape(x, (-1, side * side, ORDER * channels))
        views = [
            ops.take(
                flat[:, :, h * channels : (h + 1) * channels],
                transform(pixels, int(inverse[h])).ravel(),
                axis=1,
            )
            for h in range(ORDER)
        ]
        return ops.reshape(ops.stack(views, axis=1), (-1, ORDER, side * side * channels))

    def compute_output_shape(self, shape):
        """Return the shape of the views."""
        return (shape[0], ORDER, shape[1] * shape[2] * shape[3] // ORDER)


@keras.saving.register_keras_serializable("lensmill")
class ViewDense(keras.layers.Layer):
    """One dense layer for all views: (n, 8, F) to (n, 8, units)."""

    def __init__(self, units, activation=None, seed=0, **options):
        super().__init__(**options)
        self.units, self.activation, self.seed = units, activation, seed
        start = keras.initializers.HeNormal(seed)
        self.dense = keras.layers.Dense(units, activation, kernel_initializer=start)

    def build(self, shape):
        """Make the weights."""
        self.dense.build((None, shape[-1]))
        super().build(shape)

    def call(self, x):
        """Return what the layer says of every view."""
        flat = self.dense(ops.reshape(x, (-1, x.shape[-1])))
        return ops.reshape(flat, (-1, ORDER, self.units))

    def compute_output_shape(self, shape):
        """Return the shape of the answers."""
        return (*shape[:-1], self.units)

    def get_config(self):
        """Return what rebuilds this."""
        own = {"units": self.units, "activation": self.activation, "seed": self.seed}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("lensmill")
class ViewBlock(ResidualBlock):
    """One residual block for all views: (n, 8, width) to the same."""

    def build(self, shape):
        """Make the weights."""
        super().build((None, shape[-1]))

    def call(self, x):
        """Add what the block has learned of every view."""
        return ops.reshape(super().call(ops.reshape(x, (-1, self.width))), (-1, ORDER, self.width))


@keras.saving.register_keras_serializable("lensmill")
class Steer(keras.layers.Layer):
    """Turn what is said of the 8 views (n, 8, P) with them, and average: (n, P).

    Parameters
    ----------
    spins : sequence of int
        Of the targets.
    components : int
        Of the mixture.
    """

    def __init__(self, spins, components, **options):
        super().__init__(**options)
        self.spins, self.components = tuple(spins), components

    def call(self, x):
        """Return the numbers of the head."""
        turns = head_representation(self.spins, self.components)
        size = turns.shape[1]
        mean = turns.transpose(0, 2, 1).reshape(ORDER * size, size).astype("float32") / ORDER
        return ops.matmul(ops.reshape(x, (-1, ORDER * size)), ops.convert_to_tensor(mean))

    def compute_output_shape(self, shape):
        """Return the shape of the answers."""
        return (shape[0], shape[2])

    def get_config(self):
        """Return what rebuilds this."""
        return {**super().get_config(), "spins": self.spins, "components": self.components}
