"""Systems as the `dense` networks of the study see them: numbers on the sky, as they come."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.time_delay.canonical import DAYS_PER_MPC_ARCSEC2, Answer
from lensmill.experiments.time_delay.observe import Observed, Truth
from lensmill.learning import regression

SMALLEST_FERMAT = 1e-9  # [arcsec^2]; a network can predict a longest delay of no length


def feature_names(n_images: int) -> list[str]:
    """Names of the columns that `features` returns."""
    images = range(1, n_images + 1)
    names = [f"{axis}{i}" for i in images for axis in "xy"]
    return [*names, *(f"delay{i}" for i in images), "z_lens", "z_source"]


def features(observed: Observed) -> NDArray:
    """Return x_i, y_i, dt_i (the first, always 0, included as in the study), z_l and z_s."""
    n = len(observed.index)
    redshifts = [observed.z_lens[:, None], observed.z_source[:, None]]
    return np.concatenate([observed.position.reshape(n, -1), observed.delay, *redshifts], axis=1)


def targets(truth: Truth) -> NDArray:
    """Return phi_i, then alpha_x, alpha_y of each image: shape (n, 3 k)."""
    n = len(truth.potential)
    return np.concatenate([truth.potential, truth.deflection.reshape(n, -1)], axis=1)


def to_sky(outputs: NDArray, observed: Observed) -> Answer:
    """Read answers (n, S, 3 k); D_dt follows from them by the time-delay equation.

    ``ln_d_dt`` is that of the image with the longest delay; without delays it is 0.
    """
    n, k = observed.delay.shape
    s = outputs.shape[1]
    potential = outputs[..., :k].transpose(0, 2, 1)
    deflection = outputs[..., k:].reshape(n, s, k, 2).transpose(0, 2, 3, 1)
    ln_d_dt = np.zeros((n, s))
    if k > 1:
        fermat = 0.5 * (deflection**2).sum(axis=2) - potential
        rows, last = np.arange(n), observed.delay.argmax(axis=1)
        longest = observed.delay[rows, last] - observed.delay.min(axis=1)
        first = observed.delay.argmin(axis=1)
        difference = fermat[rows, last] - fermat[rows, first]
        difference = np.maximum(difference, SMALLEST_FERMAT) * DAYS_PER_MPC_ARCSEC2
        ln_d_dt = np.log(longest)[:, None] - np.log(difference)
    return Answer(ln_d_dt, potential, deflection)


class Dense:
    """Networks of the study that we follow: they see the sky and give {phi_i, alpha_i}.

    Parameters
    ----------
    settings, observation : mapping
        Of the network.
    """

    def __init__(self, settings: Mapping[str, Any], observation: Mapping[str, Any]):
        self.images = settings["images"]
        self.turns = settings["augment"] == "rotation"
        self.head = regression.head("point", 3 * self.images)

    def names(self) -> list[str]:
        """Return the names of the features."""
        return feature_names(self.images)

    def features(self, observed: Observed) -> NDArray:
        """Return what a network is given, (n, F)."""
        return features(observed)

    def targets(self, observed: Observed, truth: Truth) -> NDArray:
        """Return what it shall give, (n, T)."""
        return targets(truth)

    def examples(
        self, observed: Observed, truth: Truth, rng: np.random.Generator
    ) -> tuple[NDArray, NDArray]:
        """Return features and targets to learn from."""
        return features(observed), targets(truth)

    def to_sky(self, answers: NDArray, observed: Observed) -> Answer:
        """Carry answers (n, S, T), in the units of the targets, to the sky."""
        return to_sky(answers, observed)

    def fixed(self) -> dict[str, Any]:
        """Return the settings that are the study's own: they make it the baseline."""
        from lensmill.learning import models

        return {
            "learning_rate": models.STUDY[self.images]["learning_rate"],
            "schedule": "constant",
            "weight_decay": 0.0,
            "clip_norm": 0.0,
            "head": "point",
        }

    def build(self, scaling: Mapping[str, Any], seed: int) -> Any:
        """Return the Keras model; ``scaling`` standardises the features."""
        from lensmill.learning import layers, models

        study = {k: v for k, v in models.STUDY[self.images].items() if k != "learning_rate"}
        standardise = layers.Standardise(**scaling)
        return models.dense(
            standardise, len(scaling["mean"]), self.head.outputs, **study, seed=seed
        )
