"""Group-equivariant convolutions over p4m: the dihedral group of 8 turns and mirrors of a square.

Features are functions on the group (Cohen & Welling 2016, arXiv:1602.07576): when the image is
turned, so are the maps, and their 8 orientations change places. They lie flat in the last axis, the
orientation before the channel, so that all the work is done by ordinary convolutions with kernels
that are expanded from shared weights, and there are 8 times as many channels, a multiple of 16.

Everything that strides is centred, so that the symmetry is exact for squares of every size: see
`halve` and `centred_kernel`.
"""

import functools

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from lensmill.learning.layers import BatchNormalization

ORDER = 8  # elements of the group


def transform(images: NDArray, element: int) -> NDArray:
    """Apply one of the 8 elements to the first two axes of an array: turn it, then mirror it.

    Elements 0 to 3 are turns by as many right angles, 4 to 7 the same with a mirror.
    """
    turned = np.rot90(images, element % 4)
    return turned[:, ::-1] if element >= 4 else turned


@functools.cache
def products() -> NDArray:
    """Return the group's table: applying element ``h``, then ``g``, is applying ``[g, h]``."""
    square = np.arange(9).reshape(3, 3)
    views = [transform(square, g).tobytes() for g in range(ORDER)]
    return np.array(
        [
            [views.index(transform(transform(square, h), g).tobytes()) for h in range(ORDER)]
            for g in range(ORDER)
        ]
    )


@functools.cache
def expansion(size: int, orientations: int) -> NDArray:
    """Return the matrix that makes the 8 kernels of a layer from its weights.

    Parameters
    ----------
    size : int
        Pixels across the kernel.
    orientations : int
        Of the input: 1 for an image, 8 for features on the group.

    Returns
    -------
    array, shape (size * size * orientations * 8, orientations * size * size)
        Ones and zeros; rows by pixel, orientation of the input, orientation of the output. The
        kernel for output ``g`` is the weights turned by ``g``, with the input's orientation ``h``
        taken from ``g^-1 h``.
    """
    table = products()
    inverse = table.argmin(axis=1)  # where the product is 0, the identity
    pixels = np.arange(size * size).reshape(size, size)
    matrix = np.zeros((size * size, orientations, ORDER, orientations * size * size), "float32")
    for g in range(ORDER):
        source = transform(pixels, g).ravel()
        for h in range(orientations):
            of = table[inverse[g], h] if orientations == ORDER else 0
            matrix[np.arange(size * size), h, g, of * size * size + source] = 1
    return matrix.reshape(-1, orientations * size * size)


@keras.saving.register_keras_serializable("lensmill")
class GroupConvolution(keras.layers.Layer):
    """Convolution from an image (lifting) or from features on the group to features on the group.

    Parameters
    ----------
    channels : int
        Of the output, each in 8 orientations.
    size : int
        Pixels across the kernel.
    lifting : bool
        The input is an image: its channels have one orientation.
    stride : int
    padding : str
        ``same`` (size odd, stride 1) or ``valid``; anything else would not be centred.
    seed : int
        Of the weights at the start.
    """

    def __init__(
        self, channels, size=3, lifting=False, stride=1, padding="same", seed=0, **options
    ):
        super().__init__(**options)
        if padding == "same" and (size % 2 == 0 or stride != 1):
            raise ValueError(
                f"a kernel of {size} pixels with stride {stride} and padding 'same' is off-centre; "
                "use padding 'valid', or an odd size and stride 1"
            )
        self.channels, self.size, self.lifting = channels, size, lifting
        self.stride, self.padding, self.seed = stride, padding, seed
        self.orientations = 1 if lifting else ORDER

    def build(self, shape):
        """Make the weights: one kernel per channel, not per orientation."""
        self.inputs = shape[-1] // self.orientations
        fan = self.orientations * self.size**2 * self.inputs
        self.kernel = self.add_weight(
            shape=(self.orientations * self.size**2, self.inputs * self.channels),
            initializer=keras.initializers.RandomNormal(stddev=np.sqrt(2 / fan), seed=self.seed),
            name="kernel",
        )
        super().build(shape)

    def expanded(self):
        """Return the kernel of the ordinary convolution that this is, (size, size, in, out)."""
        # A product of matrices: its gradient is one too, on a CPU far faster than that of indexing.
        matrix = ops.convert_to_tensor(expansion(self.size, self.orientations))
        kernel = ops.matmul(ops.cast(matrix, self.compute_dtype), self.kernel)
        kernel = ops.reshape(
            kernel,
            (self.size, self.size, self.orientations, ORDER, self.inputs, self.channels),
        )
        return ops.reshape(
            ops.transpose(kernel, (0, 1, 2, 4, 3, 5)),
            (self.size, self.size, self.orientations * self.inputs, ORDER * self.channels),
        )

    def call(self, x):
        """Return features on the group."""
        return ops.conv(x, self.expanded(), strides=self.stride, padding=self.padding)

    def compute_output_shape(self, shape):
        """Return the shape of the features."""
        side = [
            n if self.padding == "same" else (n - self.size) // self.stride + 1 for n in shape[1:3]
        ]
        return (shape[0], *side, ORDER * self.channels)

    def get_config(self):
        """Return what rebuilds this."""
        return {
            **super().get_config(),
            "channels": self.channels,
            "size": self.size,
            "lifting": self.lifting,
            "stride": self.stride,
            "padding": self.padding,
            "seed": self.seed,
        }


@keras.saving.register_keras_serializable("lensmill")
class GroupNormalization(BatchNormalization):
    """Batch normalisation with one mean and variance for the 8 orientations of a channel."""

    def build(self, shape):
        """Make the weights of the channels."""
        super().build((*shape[:-1], shape[-1] // ORDER))
        self.input_spec = keras.InputSpec(ndim=4, axes={3: shape[-1]})

    def call(self, x, training=None):
        """Return the normalised features."""
        # Orientations side by side along the rows: the channel stays the last axis.
        channels = x.shape[-1] // ORDER
        rows = ops.reshape(x, (-1, x.shape[1], x.shape[2] * ORDER, channels))
        return ops.reshape(super().call(rows, training=training), (-1, *x.shape[1:]))


@keras.saving.register_keras_serializable("lensmill")
class GroupPooling(keras.layers.Layer):
    """Mean over the 8 orientations of vectors (n, 8 * channels): what no turn changes."""

    def call(self, x):
        """Return the invariants, shape (n, channels)."""
        return ops.mean(ops.reshape(x, (-1, ORDER, x.shape[-1] // ORDER)), axis=1)

    def compute_output_shape(self, shape):
        """Return the shape of the invariants."""
        return (shape[0], shape[1] // ORDER)


def centred_kernel(pixels: int, wanted: int, stride: int) -> int:
    """Return the size, ``wanted`` or the next larger, whose strides cover a row evenly.

    Without padding a kernel of ``k`` pixels is centred, and misses no pixel, if ``pixels - k`` is a
    multiple of the stride.
    """
    return wanted + (pixels - wanted) % stride


def halve(x):
    """Average the maps to half their size, centred: 2 pixels across where it is even, else 3.

    Strided pooling of odd maps with an even window is off-centre, and costs the symmetry.
    """
    size = 2 if x.shape[1] % 2 == 0 else 3
    return keras.layers.AveragePooling2D(size, strides=2)(x)
