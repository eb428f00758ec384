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
class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation that answers in training as it will afterwards, once it is `held`.

    Statistics of a batch are noise, which a network adds to the errors that it claims. (A layer
    that is not ``trainable`` is held, too; but where weights are averaged Keras 3.15 then writes
    those averages over others: findings/keras_ema_overwrites_the_layer_that_learns.sh.)
    """

    held = False

    def call(self, x, training=None, mask=None):
        """Return the normalised features."""
        return super().call(x, training=bool(training) and not self.held, mask=mask)


@keras.saving.register_keras_serializable("lensmill")
class MixtureLoss(keras.losses.Loss):
    """Negative log-likelihood of a mixture of full-covariance Gaussians.

    The outputs are, for all components at a time: logits, means, logarithms of the diagonals of
    the Cholesky factors of the precision matrices, and their rows below the diagonal
    (`lensmill.learning.posteriors.unpack` reads them). The constant ``T ln(2 pi) / 2`` is left out.

    Parameters
    ----------
    n_components, n_targets : int
    pairs : sequence of int
        First columns of positions (x, y), whose block of the factor is not triangular but the
        exponential of ((a + b, c), (c, a - b)): so it is of the same form when they are turned.
        There a and b stand in the place of the diagonals, and c in that below them.
    alone : float
        Weight of the likelihood of the first target by itself, beside that of all together: a
        network spends its effort where the loss is, and many targets leave little for each. Both
        have their minimum at the posterior.
    """

    def __init__(self, n_components, n_targets, pairs=(), alone=0.0, name="mixture", **options):
        super().__init__(name=name, **options)
        self.n_components, self.n_targets, self.pairs = n_components, n_targets, tuple(pairs)
        if alone and 0 in self.pairs:
            raise ValueError("alone is for a first target that is a number, not half of a position")
        self.alone = alone
        rows, columns = np.tril_indices(n_targets, -1)
        one, two = np.eye(n_targets, dtype="float32"), np.eye(len(rows), dtype="float32")
        self.x = one[:, list(self.pairs)]
        self.y = one[:, [i + 1 for i in self.pairs]]
        beside = [int(np.flatnonzero((rows == i + 1) & (columns == i))[0]) for i in self.pairs]
        self.c = two[:, beside]
        self.single = 1 - self.x.sum(axis=1) - self.y.sum(axis=1)
        self.apart = 1 - self.c.sum(axis=1)
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
        raw = ops.reshape(diagonal, (-1, t))
        diagonal = log_diagonal(raw)
        if p:
            below = ops.reshape(below, (-1, p))
        z = ops.exp(diagonal) * off
        if self.pairs:
            x, y, c = (ops.convert_to_tensor(matrix) for matrix in (self.x, self.y, self.c))
            a = ops.matmul(diagonal, x)
            even, odd, cross = symmetric_block(ops.matmul(raw, y), ops.matmul(below, c))
            off_x, off_y = ops.matmul(off, x), ops.matmul(off, y)
            z_x = ops.exp(a) * ((even + odd) * off_x + cross * off_y)
            z_y = ops.exp(a) * (cross * off_x + (even - odd) * off_y)
            z = z * self.single + ops.matmul(z_x, self.x.T) + ops.matmul(z_y, self.y.T)
            diagonal = diagonal * self.single + 2 * ops.matmul(a, self.x.T)
            below = below * self.apart
        if p:
            picked = ops.matmul(off, ops.convert_to_tensor(self.pick))
            z += ops.matmul(below * picked, ops.convert_to_tensor(self.add))
        log_density = ops.sum(diagonal - 0.5 * z * z, axis=1)
        log_weight = ops.log_softmax(logits, axis=1)
        loss = -ops.logsumexp(log_weight + ops.reshape(log_density, (-1, k)), axis=1)
        if self.alone:
            # the factor is triangular: its first row is the first target's marginal
            first = ops.reshape(diagonal[:, 0] - 0.5 * z[:, 0] ** 2, (-1, k))
            loss -= self.alone * ops.logsumexp(log_weight + first, axis=1)
        return loss

    def get_config(self):
        """Return what rebuilds this."""
        return {
            "name": self.name,
            "n_components": self.n_components,
            "n_targets": self.n_targets,
            **({"pairs": self.pairs} if self.pairs else {}),
            **({"alone": self.alone} if self.alone else {}),
        }


LARGEST_LOG = 12.0  # no posterior is narrower than e^-12 of the spread of its target


def log_diagonal(raw):
    """Bound the logarithm of a precision smoothly; `posteriors.unpack` does the same."""
    return LARGEST_LOG * ops.tanh(raw / LARGEST_LOG)


LARGEST_RATIO = 5.0  # half the logarithm of the ratio of the axes of a position's error ellipse


def symmetric_block(b, c):
    """Return cosh r, b sinh(r) / r and c sinh(r) / r of r = |(b, c)|, bounded smoothly."""
    r = ops.sqrt(b * b + c * c + 1e-12)
    bounded = LARGEST_RATIO * ops.tanh(r / LARGEST_RATIO)
    by = ops.sinh(bounded) / r
    return ops.cosh(bounded), b * by, c * by


@keras.saving.register_keras_serializable("lensmill")
class GaussianLatent(keras.layers.Layer):
    """Draw a latent vector and add its Kullback-Leibler divergence from N(0, 1) to the loss.

    Takes (n, 2 L): means, then logarithms of variances; gives (n, L). Kingma & Welling (2014),
    arXiv:1312.6114, their appendix B for the divergence.

    Parameters
    ----------
    beta : float
        Weight of the divergence: 1 for the ELBO (Higgins et al. 2017 for others).
    seed : int
        Of the draws.
    """

    def __init__(self, beta, seed, **options):
        super().__init__(**options)
        self.beta, self.seed = beta, seed
        self.random = keras.random.SeedGenerator(seed)

    def call(self, x):
        """Return one draw per row."""
        mean, log_variance = ops.split(x, 2, axis=-1)
        log_variance = log_diagonal(log_variance)
        divergence = 0.5 * (mean**2 + ops.exp(log_variance) - 1 - log_variance)
        self.add_loss(self.beta * ops.mean(ops.sum(divergence, axis=-1)))
        noise = keras.random.normal(ops.shape(mean), seed=self.random)
        return mean + ops.exp(0.5 * log_variance) * noise

    def compute_output_shape(self, shape):
        """Return the shape of the draws."""
        return (*shape[:-1], shape[-1] // 2)

    def get_config(self):
        """Return what rebuilds this."""
        return {**super().get_config(), "beta": self.beta, "seed": self.seed}


@keras.saving.register_keras_serializable("lensmill")
class ReconstructionLoss(keras.losses.Loss):
    """Minus the log-likelihood of images, summed over pixels: Bernoulli from logits, or Gaussian.

    The Gaussian has the standard deviation ``sigma`` in every pixel; its constant is left out.
    """

    def __init__(self, likelihood, sigma=1.0, name="reconstruction", **options):
        super().__init__(name=name, **options)
        if likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(
                f"likelihood is {likelihood!r}, but must be 'bernoulli' (pixels between 0 and 1) "
                "or 'gaussian'"
            )
        self.likelihood, self.sigma = likelihood, sigma

    def call(self, y_true, y_pred):
        """Return the loss of each image."""
        axes = tuple(range(1, len(y_pred.shape)))
        if self.likelihood == "gaussian":
            return 0.5 * ops.sum(((y_true - y_pred) / self.sigma) ** 2, axis=axes)
        return ops.sum(ops.softplus(y_pred) - y_true * y_pred, axis=axes)

    def get_config(self):
        """Return what rebuilds this."""
        return {"name": self.name, "likelihood": self.likelihood, "sigma": self.sigma}
