"""The networks of this experiment: photon counts in, the logarithm of a mass out."""

from collections.abc import Mapping
from typing import Any

import keras

from lensmill.learning import image_models
from lensmill.learning.stretch import AsinhStretch


def build(
    settings: Mapping[str, Any], shape: tuple[int, int, int], numbers: int, seed: int
) -> keras.Model:
    """Build a network: pixels added up, a stretch, convolutions, dense layers, one answer.

    Parameters
    ----------
    settings : mapping
        ``architecture`` (of `lensmill.learning.image_models`) and what its body reads; ``binning``:
        pixels across that are added up, so that photons stay photons; ``softening`` of the stretch
        in photons; ``hidden``: nodes of the dense layers.
    shape : tuple of int
        Height, width and bands of the images.
    numbers : int
        That the network is told beside the image; with none it takes the image alone.
    seed : int
        Of the weights.
    """
    architecture, binning = settings["architecture"], settings["binning"]
    added = (shape[0] // binning, shape[1] // binning, shape[2])
    image_models.refuse_small(architecture, added)
    keras.utils.set_random_seed(seed)
    x = image = keras.Input(shape)
    if binning > 1:
        x = keras.layers.AveragePooling2D(binning)(x)
        x = keras.layers.Rescaling(float(binning**2))(x)
    x = AsinhStretch(settings["softening"], [1.0] * shape[2], dtype="float32")(x)
    x = image_models.BODIES[architecture](x, settings, seed)
    inputs = image
    if numbers:
        told = keras.Input((numbers,))
        x = keras.layers.Concatenate()([x, told])
        inputs = [image, told]
    for nodes in settings["hidden"]:
        x = keras.layers.Dense(nodes, activation="relu")(x)
    x = keras.layers.Dense(1, name="outputs", dtype="float32")(x)
    return keras.Model(inputs, x, name=architecture)
