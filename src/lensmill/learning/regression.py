"""Numbers as answers: heads that give a value or a distribution, their draws, and their scores.

Without Keras, but for the losses, which import it when they are asked for.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.learning import calibration, posteriors
from lensmill.learning.calibration import CENTRAL, CLAIMED

HEADS = ("point", "gaussian", "mixture")


class Head(NamedTuple):
    """What a network gives for ``T`` targets: the values, or a mixture of Gaussians."""

    kind: str  # point, gaussian or mixture
    targets: int
    components: int = 1
    # of the targets, where they turn with an image: 0 a number, 1 a position, 2 an ellipticity
    spins: tuple[int, ...] = ()

    @property
    def outputs(self) -> int:
        """Numbers that the network gives."""
        if self.kind == "point":
            return self.targets
        return posteriors.outputs(self.components, self.targets)

    def loss(self, alone: float = 0.0) -> Any:
        """Mean squared error, or the negative log-likelihood of the mixture.

        Parameters
        ----------
        alone : float
            Weight of the first target by itself, see `lensmill.learning.layers.MixtureLoss`.
        """
        import keras

        from lensmill.learning import layers

        if self.kind == "point":
            return keras.losses.MeanSquaredError()
        return layers.MixtureLoss(self.components, self.targets, pairs_of(self.spins), alone)

    def unpack(self, outputs: NDArray) -> posteriors.Mixture:
        """Read the outputs of a network as the mixtures that they stand for."""
        return posteriors.unpack(outputs, self.components, self.targets, pairs_of(self.spins))


class Summary(NamedTuple):
    """Posteriors of systems, each column by itself; shapes (n, ...) as the truth has."""

    median: NDArray
    error: NDArray  # half of the central 68 %
    low68: NDArray
    high68: NDArray
    low95: NDArray
    high95: NDArray


def head(kind: str, targets: int, components: int = 1, spins: Sequence[int] = ()) -> Head:
    """Return the head of a name in ``HEADS``; a single Gaussian has one component."""
    if kind not in HEADS:
        raise ValueError(f"head is {kind!r}, but must be one of {', '.join(HEADS)}")
    return Head(kind, targets, components if kind == "mixture" else 1, tuple(spins))


def columns_of(spins: Sequence[int]) -> int:
    """Return the number of columns of targets with these spins: two but for spin 0."""
    return sum(1 if spin == 0 else 2 for spin in spins)


def pairs_of(spins: Sequence[int]) -> tuple[int, ...]:
    """Return the first column of every position (spin 1)."""
    return tuple(columns_of(spins[:i]) for i, spin in enumerate(spins) if spin == 1)


def spin_scaling(columns: NDArray, spins: Sequence[int]) -> dict[str, list[float]]:
    """Return what standardises targets and leaves them to turn as they do.

    As `tables.scaling`, but what turns is not shifted, and both components have one scale.
    """
    mean, scale = [], []
    first = 0
    for spin in spins:
        if spin == 0:
            mean.append(float(columns[:, first].mean()))
            scale.append(float(columns[:, first].std()) or 1.0)
        else:
            mean += [0.0, 0.0]
            scale += 2 * [float(np.sqrt((columns[:, first : first + 2] ** 2).mean())) or 1.0]
        first += 1 if spin == 0 else 2
    return {"mean": mean, "scale": scale}


def sample(
    outputs: NDArray, head: Head, draws: int = 0, rng: np.random.Generator | None = None
) -> NDArray:
    """Draw from the posteriors that a network gave, or take their mean.

    Parameters
    ----------
    outputs : array, shape (n, head.outputs)
    head : Head
    draws : int
        Per system; 0, or a head that gives no errors: the mean.
    rng : Generator
        Needed to draw.

    Returns
    -------
    array, shape (n, draws or 1, T), float64
    """
    if head.kind == "point":
        return outputs.astype(np.float64)[:, None]
    mixture = head.unpack(outputs)
    if draws:
        return posteriors.sample(mixture, draws, rng)
    return (mixture.weight[..., None] * mixture.mean).sum(axis=1)[:, None]


def summarise(draws: NDArray) -> Summary:
    """Median, error and central intervals of draws along the last axis."""
    ends = [end for level in ("68", "95") for end in CENTRAL[level]]
    median, low68, high68, low95, high95 = np.quantile(draws, [0.5, *ends], axis=-1)
    return Summary(median, (high68 - low68) / 2, low68, high68, low95, high95)


def scores(
    predicted: NDArray, truth: NDArray, rank: NDArray | None = None, scale: float | NDArray = 1.0
) -> dict[str, float | None]:
    """Bias, scatter and coverage of predictions of one target.

    Parameters
    ----------
    predicted, truth : array, shape (n, ...)
        In the unit of the target.
    rank : array, shape (n, ...), optional
        Of the truth in the posterior, from `calibration.ranks`; None if no errors are claimed.
    scale : float or array
        Scatter of the target, in whose units ``mse_standardised`` is.

    Returns
    -------
    dict
        ``bias`` (median), ``robust_scatter`` (half of the central 68.27 %), ``mse``, ``rmse``,
        ``mae``, ``mse_standardised`` and ``mae_standardised``; ``coverage68``, ``coverage95`` and
        ``calibration_error``, None without ranks.
    """
    error = predicted - truth
    scaled = error / np.asarray(scale)
    found = error_scores(error.ravel(), scaled.ravel(), None if rank is None else rank.ravel())
    return found | {"rmse": float(np.sqrt(found["mse"]))}


def error_scores(error: NDArray, scaled: NDArray, rank: NDArray | None) -> dict[str, float | None]:
    """Bias, scatter and coverage from errors: see `scores`; all of shape (n,)."""
    found: dict[str, float | None] = {
        "bias": calibration.bias(error),
        "robust_scatter": calibration.robust_scatter(error),
        "mse": float((error**2).mean()),
        "mae": float(np.abs(error).mean()),
        "mse_standardised": float((scaled**2).mean()),
        "mae_standardised": float(np.abs(scaled).mean()),
    }
    for level, claimed in CLAIMED.items():
        found[f"coverage{level}"] = None if rank is None else calibration.coverage(rank, claimed)
    found["calibration_error"] = None if rank is None else calibration.calibration_error(rank)
    return found


def point_metrics(targets: NDArray, outputs: NDArray) -> Mapping[str, float]:
    """RMSE of the validation set, ``val_rmse``, in units of the targets as they are learned."""
    return {"val_rmse": float(np.sqrt(((outputs - targets) ** 2).mean()))}
