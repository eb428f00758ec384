"""What is unlike all that was learned: images that an autoencoder cannot draw again.

Trained on images of one kind alone, it draws those of another kind worse. Keras is imported where
it is used: scores are had without it. How far features lie from those of a class, the other score
of what is unlike, is `lensmill.learning.strangeness`.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

HALVED = 3  # times that the maps are halved


def autoencoder(
    shape: tuple[int, int, int],
    settings: Mapping[str, Any],
    seed: int,
    noise: list[float] | None = None,
) -> Any:
    """Build an autoencoder whose output is what it did not draw: the image less its drawing.

    Train it with `loss` towards zero. Convolutions that halve the maps encode, a dense layer has
    the latent numbers, convolutions after doubling decode.

    Parameters
    ----------
    shape : tuple of int
        Height, width and bands.
    settings : mapping
        ``latent`` (numbers that an image becomes), ``width`` (channels of the first convolution),
        ``softening`` of `lensmill.learning.stretch.AsinhStretch`, in which images are compared.
    seed : int
        Of the weights.
    noise : list of float, optional
        Per band, for a stretch that is fixed; else that of each image is used.

    Returns
    -------
    keras.Model
        (n, height, width, bands) in and out; the layer ``latent`` has the latent numbers, and
        ``drawing`` what was drawn.
    """
    import keras

    from lensmill.learning.stretch import AsinhStretch

    keras.utils.set_random_seed(seed)
    layers, (height, across, bands), width = keras.layers, shape, settings["width"]
    step = 2**HALVED
    small = math.ceil(height / step), math.ceil(across / step)
    widths = [width * 2**i for i in range(HALVED)]

    image = keras.Input(shape)
    x = seen = AsinhStretch(settings["softening"], noise, dtype="float32")(image)
    for channels in widths:
        x = layers.Conv2D(channels, 3, strides=2, padding="same", activation="silu")(x)
    x = layers.Dense(settings["latent"], name="latent")(layers.Flatten()(x))
    x = layers.Dense(small[0] * small[1] * widths[-1], activation="silu")(x)
    x = layers.Reshape((*small, widths[-1]))(x)
    for channels in reversed(widths):
        x = layers.UpSampling2D(2)(x)
        x = layers.Conv2D(channels, 3, padding="same", activation="silu")(x)
    x = layers.Conv2D(bands, 3, padding="same")(x)
    ends = ((0, step * small[0] - height), (0, step * small[1] - across))
    x = layers.Cropping2D(ends, name="drawing")(x)
    return keras.Model(image, layers.Subtract(dtype="float32")([seen, x]), name="autoencoder")


def loss() -> Any:
    """Mean square of what was not drawn; targets are zeros of shape (n, 1, 1, 1)."""
    import keras

    return keras.losses.MeanSquaredError()


def targets(n: int) -> NDArray:
    """Return what the outputs of n images shall be: nothing."""
    return np.zeros((n, 1, 1, 1), np.float32)


def scores(model: Any, pixels: NDArray, rows: NDArray | None = None) -> NDArray:
    """Anomaly score: root mean square of what the autoencoder did not draw, in its stretch.

    Parameters
    ----------
    model : keras.Model
        From `autoencoder`.
    pixels : array, shape (N, height, width, bands)
        E.g. a memory map.
    rows : array of int, optional
        Those wanted; all by default.

    Returns
    -------
    array, shape (n,)
    """
    import keras

    from lensmill.learning import images

    square = keras.ops.mean(keras.ops.square(model.output), axis=(1, 2, 3))
    found = images.predict(keras.Model(model.input, square[:, None]), pixels, rows)
    return np.sqrt(found[:, 0])
