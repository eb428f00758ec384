"""From electrons per second to numbers that a network can use: an asinh stretch in units of noise.

Arcs are a few times the noise, galaxy centres hundreds of times: a stretch that is linear at the
noise and logarithmic above keeps both in view (Lupton, Gunn & Szalay 1999), where the mean and
standard deviation of pixels would be those of the brightest galaxies.
"""

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

APART = 3  # pixels between the two of a difference: resampled images have correlated neighbours
DEEP = 2  # rows along each edge that give differences
TO_SIGMA = 1.4826 / np.sqrt(2)  # of a difference's median absolute value, for Gaussian noise
TRAINING_IMAGES = 2000  # that a training-set scale is taken from: it is then good to 0.1 %


@keras.saving.register_keras_serializable("lensmill")
class AsinhStretch(keras.layers.Layer):
    """``asinh(x / (softening * noise))`` of each band.

    The noise is by default each image's own. It then takes no more than the pixels to use a
    network on a survey with other exposures or another unit of flux; a scale that is fixed in
    training keeps the absolute brightness instead, which helps only where that is the same.

    The noise of an image is 1.05 times the median absolute difference of pixels ``APART`` rows or
    columns apart along its four edges: neither a level of the sky nor the halo of the galaxy in the
    middle counts, and an image turned or mirrored has the same.

    Parameters
    ----------
    softening : float
        In units of the noise: where the stretch turns from linear to logarithmic.
    noise : list of float, optional
        Of each band, in the unit of the pixels, from `training_noise`; left out, it is each
        image's own.
    """

    def __init__(self, softening=1.0, noise=None, **options):
        super().__init__(**options)
        self.softening = softening
        self.noise = None if noise is None else [float(band) for band in noise]

    def call(self, x):
        """Return the stretched images, shape (n, height, width, bands)."""
        # The division may overflow 16 bits, and so may pixels: stretch in 32, whatever follows.
        x = ops.cast(x, "float32")
        if self.noise is None:
            noise = ops.stop_gradient(image_noise(x))
        else:
            noise = ops.convert_to_tensor(np.asarray(self.noise, "float32"))
        # An image of zeros must give zeros, not NaN. No floor does that: any would be of the order
        # of the noise in some unit of flux (1e-31 in erg/s/cm2/Hz).
        scale = ops.where(noise > 0, self.softening * noise, 1.0)
        return ops.cast(asinh(x / scale), self.compute_dtype)

    def compute_output_shape(self, shape):
        """Return the shape of the input."""
        return shape

    def get_config(self):
        """Return what rebuilds this."""
        return {**super().get_config(), "softening": self.softening, "noise": self.noise}


def asinh(x):
    """Return ``arcsinh(x)`` by a logarithm, which a CPU finds ten times faster."""
    size = ops.abs(x)
    # As log(size + sqrt(size^2 + 1)), but exact where the size is small.
    return ops.sign(x) * ops.log1p(size + size * size / (1 + ops.sqrt(size * size + 1)))


def image_noise(x):
    """Return the noise of images (n, height, width, bands) per image and band, (n, 1, 1, bands).

    Where half of the differences vanish (masked edges), it is the brightest pixel's absolute value:
    all such images look faint rather than saturated.
    """
    bands = x.shape[-1]
    off = APART
    pairs = [
        *((x[:, i], x[:, i + off]) for i in range(DEEP)),
        *((x[:, -1 - i], x[:, -1 - i - off]) for i in range(DEEP)),
        *((x[:, :, i], x[:, :, i + off]) for i in range(DEEP)),
        *((x[:, :, -1 - i], x[:, :, -1 - i - off]) for i in range(DEEP)),
    ]
    difference = ops.abs(ops.concatenate([one - other for one, other in pairs], axis=1))
    middle = ops.sort(ops.transpose(difference, (0, 2, 1)), axis=-1)[..., difference.shape[1] // 2]
    noise = ops.reshape(TO_SIGMA * middle, (-1, 1, 1, bands))
    brightest = ops.max(ops.abs(x), axis=(1, 2), keepdims=True)
    return ops.where(noise > 0, noise, brightest)


def training_noise(pixels: NDArray, rows: NDArray) -> list[float]:
    """Return the median noise of training images per band: the scale of a fixed stretch.

    Parameters
    ----------
    pixels : array, shape (n, height, width, bands)
        Of a whole data set.
    rows : array of int
        The training split; images evenly spaced in it are used.
    """
    some = np.sort(rows)[:: max(1, len(rows) // TRAINING_IMAGES)]
    noise = ops.convert_to_numpy(image_noise(ops.convert_to_tensor(pixels[some])))
    return [float(band) for band in np.median(noise[:, 0, 0], axis=0)]
