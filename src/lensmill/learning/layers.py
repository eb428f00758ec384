"""Layers and losses of the networks: Keras 3 with `keras.ops` only, so any backend runs them."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("lensmill")
class Standardise(keras.layers.Layer):
    """Shift and scale columns by numbers that are part of the model.

    Parameters
    ----------
    mean, scale : list of float
        Per column; the output is ``(x - mean) / scale``.
    low, high : list of float
        Columns are clipped to this range first: an error smaller than any in training, say, is
        read as the smallest there.
    """

    def __init__(self, mean, scale, low, high, **options):
        super().__init__(**options)
        self.columns = {"mean": mean, "scale": scale, "low": low, "high": high}

    def call(self, x):
        """Return the standardised columns."""
        mean, scale, low, high = (
            ops.convert_to_tensor(np.asarray(column, "float32")) for column in self.columns.values()
        )
        return (ops.clip(x, low, high) - mean) / scale

    def get_config(self):
        """Return what rebuilds this."""
        return {**super().get_config(), **self.columns}


@keras.saving.register_keras_serializable("lensmill")
class ResidualBlock(keras.layers.Layer):
    """``x + W2 silu(W1 silu(x))``: the identity at the start of training."""

    def __init__(self, width, seed, **options):
        super().__init__(**options)
        self.width, self.seed = width, seed
        start = keras.initializers.GlorotUniform(seed)
        self.first = keras.layers.Dense(width, kernel_initializer=start)
        self.second = keras.layers.Dense(width, kernel_initializer="zeros")

    def build(self, shape):
        """Make the weights."""
        self.first.build(shape)
        self.second.build((*shape[:-1], self.width))
        super().build(shape)

    def call(self, x):
        """Add what the block has learned."""
        return x + self.second(ops.silu(self.first(ops.silu(x))))

    def get_config(self):
        """Return what rebuilds this."""
        return {**super().get_config(), "width": self.width, "seed": self.seed}


@keras.saving.register_keras_serializable("lensmill")
class MixtureLoss(keras.losses.Loss):
    """Negative log-likelihood of a mixture of full-covariance Gaussians.

    The outputs are, for all components at a time: logits, means, logarithms of the diagonals of
    the Cholesky factors of the precision matrices, and their rows below the diagonal
    (`lensmill.learning.posteriors.unpack` reads them). The constant ``T ln(2 pi) / 2`` is left out.
    """

    def __init__(self, n_components, n_targets, name="mixture", **options):
        super().__init__(name=name, **options)
        self.n_components, self.n_targets = n_components, n_targets
        rows, columns = np.tril_indices(n_targets, -1)
        # Products with these constants gather columns and add up rows: on a CPU far faster, in
        # the gradient above all, than indexing.
        self.pick = np.eye(n_targets, dtype="float32")[:, columns]
        self.add = np.eye(n_targets, dtype="float32")[rows]

    def call(self, y_true, y_pred):
        """Return the loss of each row."""
        k, t = self.n_components, self.n_targets
        p = len(self.add)
        ends = np.cumsum([k, k * t, k * t])
        logits, mean, diagonal, below = ops.split(y_pred, [int(end) for end in ends], axis=1)
        off = ops.reshape(ops.tile(y_true, (1, k)) - mean, (-1, t))
        diagonal = log_diagonal(ops.reshape(diagonal, (-1, t)))
        z = ops.exp(diagonal) * off
        if p:
            picked = ops.matmul(off, ops.convert_to_tensor(self.pick))
            z += ops.matmul(ops.reshape(below, (-1, p)) * picked, ops.convert_to_tensor(self.add))
        log_density = ops.sum(diagonal - 0.5 * z * z, axis=1)
        log_weight = ops.log_softmax(logits, axis=1)
        return -ops.logsumexp(log_weight + ops.reshape(log_density, (-1, k)), axis=1)

    def get_config(self):
        """Return what rebuilds this."""
        return {
            "name": self.name,
            "n_components": self.n_components,
            "n_targets": self.n_targets,
        }


LARGEST_LOG = 12.0  # no posterior is narrower than e^-12 of the spread of its target


def log_diagonal(raw):
    """Bound the logarithm of a precision smoothly; `posteriors.unpack` does the same."""
    return LARGEST_LOG * ops.tanh(raw / LARGEST_LOG)
