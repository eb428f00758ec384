"""The networks of this experiment, by name: images in, numbers out."""

from collections.abc import Mapping
from typing import Any

import keras
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import SVC

from lensmill.learning import image_models


def build(
    settings: Mapping[str, Any], shape: tuple[int, int, int], outputs: int, seed: int
) -> keras.Model:
    """Build a network that takes images as they are stored.

    Each image is divided by its norm first, so that charges and bits are on one scale and the total
    charge says nothing.

    Parameters
    ----------
    settings : mapping
        ``architecture``: cnn (``convolutions``, each with as many channels again and halving the
        map, and two dense layers, the first with ``hidden`` nodes), dense or p4m (of
        `image_models`); ``width``, ``dropout`` and what else it has.
    shape : tuple of int
        Height, width and bands of the images.
    outputs : int
    seed : int
        Of the weights.
    """
    keras.utils.set_random_seed(seed)
    image = keras.Input(shape)
    x = keras.layers.UnitNormalization(axis=(1, 2, 3))(image)
    x = keras.layers.Rescaling(float(shape[0]))(x)  # of rms 1
    if settings["architecture"] == "cnn":
        for k in range(settings["convolutions"]):
            width = settings["width"] * 2**k
            x = keras.layers.Conv2D(width, 3, padding="same", activation="relu")(x)
            x = keras.layers.MaxPooling2D(2)(x)
        x = keras.layers.Dense(settings["hidden"], activation="relu")(keras.layers.Flatten()(x))
    else:
        x = image_models.BODIES[settings["architecture"]](x, settings, seed)
    x = keras.layers.Dense(outputs, name="outputs", dtype="float32")(x)
    return keras.Model(image, x, name=settings["architecture"])


def pca_svm(settings: Mapping[str, Any], seed: int) -> Pipeline:
    """Return principal components and a support vector machine that tells classes by them."""
    return make_pipeline(
        Normalizer(),
        PCA(settings["components"], random_state=seed),
        SVC(C=settings["penalty"], break_ties=True),
    )
