"""Networks that measure a lens: pixels in, the numbers of a mixture of Gaussians out.

The maps of the body are not averaged over the image: where things are is what is asked.
"""

from collections.abc import Mapping
from typing import Any

import keras
from numpy.typing import NDArray

from lensmill.learning import image_models, images, polar, steerable
from lensmill.learning.layers import ResidualBlock
from lensmill.learning.regression import Head
from lensmill.learning.stretch import AsinhStretch

FEATURES = "features"  # the layer before the answer: what the network has seen in an image


def build(
    settings: Mapping[str, Any],
    shape: tuple[int, int, int],
    head: Head,
    seed: int,
    noise: list[float] | None = None,
) -> keras.Model:
    """Build a network: ``resnet``, or ``p4m``, whose answers turn with the image.

    Parameters
    ----------
    settings : mapping
        ``architecture``, those of its body (`lensmill.learning.image_models`), ``coordinates`` of
        the image that a ``resnet`` sees, ``neurons`` and ``dense_blocks``: the maps know where
        things are, dense layers what lens puts them there.
    shape : tuple of int
        Height, width and bands of the images.
    head : Head
    seed : int
    noise : list of float, optional
        Per band, for a stretch that is fixed; else that of each image is used.
    """
    architecture, neurons = settings["architecture"], settings["neurons"]
    image_models.refuse_small(architecture, shape)
    keras.utils.set_random_seed(seed)
    x = image = keras.Input(shape)
    x = AsinhStretch(settings["softening"], noise, dtype="float32")(image)
    x = polar.transform(x, settings)
    x = image_models.MAPS[architecture](x, settings, seed)
    if architecture == "p4m":
        x = steerable.ViewDense(neurons, seed=seed + 100)(steerable.Views()(x))
        x = _features(x, steerable.ViewBlock, settings, seed + 102)
        x = steerable.ViewDense(head.outputs, None, seed + 101, dtype="float32")(x)
        x = steerable.Steer(head.spins, head.components, dtype="float32", name="outputs")(x)
    else:
        x = keras.layers.Dense(neurons)(keras.layers.Flatten()(x))
        x = _features(x, ResidualBlock, settings, seed + 102)
        x = keras.layers.Dense(head.outputs, name="outputs", dtype="float32")(x)
    return keras.Model(image, x, name=architecture)


def _features(x, block: type, settings: Mapping[str, Any], seed: int):
    blocks = settings["dense_blocks"]
    for i in range(blocks):
        x = block(settings["neurons"], seed + i)(x)
    return keras.layers.Activation("silu" if blocks else "relu", name=FEATURES)(x)


def answer(
    model: keras.Model, pixels: NDArray, rows: NDArray | None = None
) -> tuple[NDArray, NDArray]:
    """Return the outputs for every image, (n, P), and the features, (n, F), in one pass."""
    features = model.get_layer(FEATURES).output
    if len(features.shape) == 3:  # of 8 views, in an order that turns with the image
        features = keras.ops.mean(features, axis=1)
    both = keras.Model(model.input, keras.ops.concatenate([model.output, features], axis=1))
    found = images.predict(both, pixels, rows)
    size = model.output_shape[1]
    return found[:, :size], found[:, size:]
