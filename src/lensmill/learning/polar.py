"""Images in polar coordinates: around a lens, arcs lie along one axis, their width along the other.

A turn of the sky is a step along the angles, and how thick an arc is, which tells the slope of the
mass, is seen by the same weights all around.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

OVERLAP = 6  # a sixth of a full turn is there twice, at either end


def transform(x, settings: Mapping[str, Any]):
    """Return images as a network sees them: in the ``coordinates`` of its settings."""
    if settings.get("coordinates") != "polar":
        return x
    angles = settings["angles"]
    return Polar(angles, settings["radii"], angles // OVERLAP, dtype="float32", name="polar")(x)


@keras.saving.register_keras_serializable("lensmill")
class Polar(keras.layers.Layer):
    """Image at even steps of angle and radius about its middle, between four pixels each.

    From (n, size, size, bands) to (n, angles + 2 overlap, radii, bands). Radii reach the edge; what
    lies in the corners is not seen. Angles go on beyond a full turn at both ends, so that
    convolutions meet no edge where there is none.

    Parameters
    ----------
    angles, radii : int
        Steps of a full turn, from +x over +y, and from the middle to the edge.
    overlap : int
        Angles that are there twice, at either end.
    """

    def __init__(self, angles, radii, overlap, **options):
        super().__init__(**options)
        self.angles, self.radii, self.overlap = angles, radii, overlap

    def build(self, shape):
        """Find the pixels beside each point, and what each of them counts."""
        _, height, width, _ = shape
        if height != width:
            raise ValueError(f"images are {height} x {width} pixels, but must be square")
        middle = (width - 1) / 2
        angle = 2 * np.pi * np.arange(-self.overlap, self.angles + self.overlap) / self.angles
        radius = (np.arange(self.radii) + 0.5) * middle / self.radii
        x, y = (middle + radius * turn(angle)[:, None] for turn in (np.cos, np.sin))
        left, below = (np.clip(np.floor(v).astype(int), 0, width - 2) for v in (x, y))
        right, above = x - left, y - below
        first = below * width + left
        beside = [first, first + 1, first + width, first + width + 1]
        counts = [
            (1 - above) * (1 - right),
            (1 - above) * right,
            above * (1 - right),
            above * right,
        ]
        self.points = [
            (pixel.ravel().astype("int32"), count.reshape(1, -1, 1).astype("float32"))
            for pixel, count in zip(beside, counts, strict=True)
        ]
        super().build(shape)

    def call(self, image):
        """Return the image in polar coordinates."""
        flat = ops.reshape(image, (-1, image.shape[1] * image.shape[2], image.shape[3]))
        seen = sum(ops.take(flat, pixel, axis=1) * count for pixel, count in self.points)
        return ops.reshape(seen, (-1, *self.compute_output_shape(image.shape)[1:]))

    def compute_output_shape(self, shape):
        """Return the shape of what comes out."""
        return (shape[0], self.angles + 2 * self.overlap, self.radii, shape[3])

    def get_config(self):
        """Return what rebuilds this."""
        own = {"angles": self.angles, "radii": self.radii, "overlap": self.overlap}
        return {**super().get_config(), **own}
