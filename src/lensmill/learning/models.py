"""The two kinds of networks: the dense ones of the study we follow, and a residual one."""

from collections.abc import Sequence

import keras
import numpy as np

from lensmill.learning.layers import ResidualBlock, Standardise

# The study's networks by number of images: neurons per hidden layer, dropout, L2, learning rate.
STUDY = {
    1: {"hidden": (16, 8), "dropout": 0.1, "l2": 5e-4, "learning_rate": 1e-3},
    2: {"hidden": (64, 128, 64), "dropout": 0.2, "l2": 1e-3, "learning_rate": 5e-4},
    4: {"hidden": (32, 16), "dropout": 0.1, "l2": 5e-4, "learning_rate": 1e-3},
}


def dense(
    standardise: Standardise,
    n_inputs: int,
    n_outputs: int,
    hidden: Sequence[int],
    dropout: float,
    l2: float,
    seed: int,
) -> keras.Model:
    """Dense layers, each with batch normalisation, ReLU, dropout and L2 on its weights."""
    x = inputs = keras.Input((n_inputs,))
    x = standardise(x)
    for i, width in enumerate(hidden):
        x = keras.layers.Dense(
            width,
            kernel_regularizer=keras.regularizers.L2(l2),
            kernel_initializer=keras.initializers.GlorotUniform(seed + i),
        )(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU()(x)
        x = keras.layers.Dropout(dropout, seed=seed + i)(x)
    x = keras.layers.Dense(
        n_outputs, kernel_initializer=keras.initializers.GlorotUniform(seed + len(hidden))
    )(x)
    return keras.Model(inputs, x)


def residual(
    standardise: Standardise, n_inputs: int, n_outputs: int, width: int, blocks: int, seed: int
) -> keras.Model:
    """Residual blocks of one width; the last layer starts at zero, the mean of the targets."""
    x = inputs = keras.Input((n_inputs,))
    x = standardise(x)
    x = keras.layers.Dense(width, kernel_initializer=keras.initializers.GlorotUniform(seed))(x)
    for i in range(blocks):
        x = ResidualBlock(width, seed=seed + 1 + i)(x)
    x = keras.layers.Dense(
        n_outputs,
        kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3, seed=seed + 1 + blocks),
    )(keras.layers.Activation("silu")(x))
    return keras.Model(inputs, x)


def inner(model: keras.Model) -> keras.Model:
    """Return the part of a network before its last layer: its features, (n, F)."""
    return keras.Model(model.inputs, model.layers[-1].input)


def spread_components(model: keras.Model, n_components: int, n_targets: int, seed: int) -> None:
    """Start the components of a mixture at different means: from one place they part too late."""
    bias = np.zeros(model.layers[-1].bias.shape)
    means = np.random.default_rng(seed).normal(0, 0.5, n_components * n_targets)
    bias[n_components : n_components * (1 + n_targets)] = means
    model.layers[-1].bias.assign(bias)
