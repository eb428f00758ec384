"""Images drawn by a network: a conditional variational autoencoder, and whether draws look real.

Kingma & Welling (2014, arXiv:1312.6114), with conditions as in Sohn, Lee & Yan (2015). Keras is
imported where it is used: scores are had without it.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lensmill.learning import classification
from lensmill.learning.classification import Rate

AT_A_TIME = 1024  # images drawn at once
DRAW = 3  # third number of a seed, beside those of `training` and `images`
FOLDS = 5  # of the two-sample test


def build(
    shape: tuple[int, int, int],
    conditions: int,
    latent: int,
    width: int,
    beta: float,
    seed: int,
) -> Any:
    """Build a conditional variational autoencoder for small images.

    Two convolutions that halve the image and a dense layer encode, a dense layer and two
    convolutions after doubling decode. Train it with `loss`, on images as targets and the pair of
    images and conditions as features: its loss is then minus the ELBO.

    Parameters
    ----------
    shape : tuple of int
        Height, width and bands.
    conditions : int
        Numbers that an image is drawn for, e.g. one-hot classes or standardised parameters; 0 for
        none.
    latent : int
        Dimensions of the latent space.
    width : int
        Channels of the first convolution.
    beta : float
        Weight of the Kullback-Leibler divergence; 1 for the ELBO.
    seed : int
        Of the weights and the draws.

    Returns
    -------
    keras.Model
        Its layer ``decoder`` draws: see `draw`. Outputs are logits of pixels (Bernoulli) or means
        (Gaussian).
    """
    import keras

    from lensmill.learning.layers import GaussianLatent

    keras.utils.set_random_seed(seed)
    layers = keras.layers
    height, across, bands = shape
    small = math.ceil(height / 4), math.ceil(across / 4)

    image, given = keras.Input(shape), keras.Input((conditions,))
    x = image
    for channels in (width, 2 * width):
        x = layers.Conv2D(channels, 3, strides=2, padding="same", activation="silu")(x)
    x = layers.Concatenate()([layers.Flatten()(x), given])
    x = layers.Dense(8 * width, activation="silu")(x)
    z = GaussianLatent(beta, seed + 1, name="latent")(layers.Dense(2 * latent)(x))

    point, of = keras.Input((latent,)), keras.Input((conditions,))
    y = layers.Concatenate()([point, of])
    y = layers.Dense(8 * width, activation="silu")(y)
    y = layers.Dense(small[0] * small[1] * 2 * width, activation="silu")(y)
    y = layers.Reshape((*small, 2 * width))(y)
    for channels in (2 * width, width):
        y = layers.UpSampling2D(2)(y)
        y = layers.Conv2D(channels, 3, padding="same", activation="silu")(y)
    y = layers.Conv2D(bands, 3, padding="same")(y)
    y = layers.Cropping2D(((0, 4 * small[0] - height), (0, 4 * small[1] - across)))(y)
    decoder = keras.Model([point, of], y, name="decoder")
    return keras.Model([image, given], decoder([z, given]))


def loss(likelihood: str, sigma: float = 1.0) -> Any:
    """Reconstruction loss: ``bernoulli`` for pixels between 0 and 1, or ``gaussian``.

    With the divergence that the model adds it is minus the ELBO, but for the constant of the
    Gaussian, whose standard deviation in every pixel is ``sigma``.
    """
    from lensmill.learning.layers import ReconstructionLoss

    return ReconstructionLoss(likelihood, sigma)


def draw(
    model: Any,
    n: int,
    seed: int,
    conditions: NDArray | None = None,
    likelihood: str = "gaussian",
) -> NDArray:
    """Draw images: what the decoder makes of normal numbers.

    Parameters
    ----------
    model : keras.Model
        From `build`.
    n : int
    seed : int
        Fixes the draws; the i-th does not depend on how many there are.
    conditions : array, shape (n, C), optional
        What each image is drawn for; not for a model without conditions.
    likelihood : str
        As in `loss`: ``bernoulli`` gives the probabilities of pixels, ``gaussian`` their means.

    Returns
    -------
    array, shape (n, height, width, bands), float32

    Raises
    ------
    ValueError
        If conditions are not as many, or as long, as the model needs.
    """
    decoder = model.get_layer("decoder")
    (_, latent), (_, wanted) = (tensor.shape for tensor in decoder.inputs)
    conditions = np.zeros((n, 0)) if conditions is None else np.asarray(conditions)
    if conditions.shape != (n, wanted):
        raise ValueError(
            f"conditions have the shape {conditions.shape}, but {n} images of this network need "
            f"({n}, {wanted})"
        )
    rng = np.random.Generator(np.random.Philox([seed, 0, DRAW]))
    z = rng.standard_normal((n, latent)).astype(np.float32)
    images = np.empty((n, *decoder.output_shape[1:]), np.float32)
    for start in range(0, n, AT_A_TIME):
        here = slice(start, start + AT_A_TIME)
        images[here] = decoder.predict_on_batch([z[here], conditions[here].astype(np.float32)])
    if likelihood == "bernoulli":
        images = 0.5 * (1 + np.tanh(0.5 * images))
    return images


def two_sample_test(real: NDArray, drawn: NDArray, seed: int, bootstraps: int = 500) -> Rate:
    """Classifier two-sample test: the AUROC of real ones against drawn ones, 0.5 if alike.

    Lopez-Paz & Oquab (2017, arXiv:1610.06545). The classifier, a logistic regression of features
    and their squares, sees each system only when it has learned from others. What it cannot see in
    the features it cannot tell apart: give those that matter.

    Parameters
    ----------
    real, drawn : array, shape (n, F), (m, F)
        Features of real and of drawn systems, e.g. summaries of images.
    seed : int
        Cuts the folds and draws the bootstrap samples of the error.
    bootstraps : int

    Returns
    -------
    Rate
        The AUROC, one standard error less and one more.
    """
    x = np.concatenate([real, drawn])
    x = StandardScaler().fit_transform(x)
    x = np.concatenate([x, x**2], axis=1)
    is_real = np.arange(len(x)) < len(real)
    score = np.empty(len(x))
    for learned, tested in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(
        x, is_real
    ):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        score[tested] = model.fit(x[learned], is_real[learned]).decision_function(x[tested])
    value = classification.auroc(is_real, score)
    error = classification.auroc_error(is_real, score, seed, bootstraps)
    return Rate(value, max(0.0, value - error), min(1.0, value + error))
