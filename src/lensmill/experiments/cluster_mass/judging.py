"""How good masses are: bias and scatter of ln M, and how both go with mass."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.learning import calibration

FEWEST = 10  # clusters in a bin of mass that is judged


def numbers(error: NDArray, truth: NDArray) -> dict[str, float]:
    """Return the scores of masses, all in ln M.

    Parameters
    ----------
    error, truth : array, shape (n,)
        ln M as it is answered less the true one, and the true one.

    Returns
    -------
    dict
        ``bias`` (mean), ``bias_median``, ``scatter`` (standard deviation), ``half_range`` (half of
        the central 68 %), ``mse``, and ``slope``, of the error on the true ln M: -1 for one who
        answers the same for all, 0 where no mass is drawn to the mean.
    """
    away = truth - truth.mean()
    spread = float((away**2).sum())
    return {
        "bias": float(error.mean()),
        "bias_median": calibration.bias(error),
        "scatter": float(error.std()),
        "half_range": calibration.robust_scatter(error),
        "mse": float((error**2).mean()),
        "slope": float((away * error).sum() / spread) if spread > 0 else 0.0,
    }


def with_errors(
    error: NDArray, truth: NDArray, group: NDArray, bootstraps: int, rng: np.random.Generator
) -> dict[str, float]:
    """Return `numbers`, and of each the error (``_error``): clusters are drawn anew, images whole.

    Parameters
    ----------
    error, truth : array, shape (n,)
    group : array of str, shape (n,)
        The cluster that an image is of.
    bootstraps : int
    rng : Generator
    """
    order = np.argsort(group, kind="stable")
    _, first = np.unique(group[order], return_index=True)
    members = np.split(order, first[1:])
    found = numbers(error, truth)
    drawn = []
    for _ in range(bootstraps):
        chosen = rng.integers(0, len(members), len(members))
        rows = np.concatenate([members[i] for i in chosen])
        drawn.append([*numbers(error[rows], truth[rows]).values()])
    errors = np.std(drawn, axis=0)
    return found | {f"{name}_error": float(e) for name, e in zip(found, errors, strict=True)}


def by_mass(
    error: NDArray, truth: NDArray, group: NDArray, edges: NDArray
) -> dict[str, list[float | int | None]]:
    """Return bias and scatter in bins of true ln M; None where there are under ``FEWEST`` clusters.

    Returns
    -------
    dict
        ``ln_m500`` (middle of each bin), ``clusters``, ``bias``, ``bias_error`` (of the mean over
        clusters), ``scatter`` and ``half_range``.
    """
    found: dict[str, list[Any]] = {"ln_m500": [], "clusters": []}
    names = ("bias", "bias_error", "scatter", "half_range")
    found |= {name: [] for name in names}
    for low, high in itertools.pairwise(edges):
        inside = (truth >= low) & (truth < high)
        clusters = len(np.unique(group[inside]))
        found["ln_m500"].append(float((low + high) / 2))
        found["clusters"].append(clusters)
        scores: Mapping[str, float] = {}
        if clusters >= FEWEST:
            scores = numbers(error[inside], truth[inside])
            scores["bias_error"] = scores["scatter"] / np.sqrt(clusters)
        for name in names:
            found[name].append(float(scores[name]) if scores else None)
    return found


def cool_core_offset(error: NDArray, cool_core: NDArray) -> dict[str, float] | None:
    """Return how much heavier clusters with a cool core are taken to be than others, in ln M.

    Returns
    -------
    dict or None
        ``offset`` and its ``error``; None where all are of one kind.
    """
    cool = cool_core == 1
    if cool.all() or not cool.any():
        return None
    parts = error[cool], error[~cool]
    return {
        "offset": float(parts[0].mean() - parts[1].mean()),
        "error": float(np.sqrt(sum(part.var() / len(part) for part in parts))),
    }
