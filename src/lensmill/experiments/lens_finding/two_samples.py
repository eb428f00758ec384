"""Who can tell made lenses from real ones: a classifier on what can be measured of an image.

A mock is as real as it is hard to tell from the sky: an AUROC of 0.5 says that nothing measured
here tells the two apart, 1 that they have nothing in common. The real lenses are only compared
with; nothing that is learned here goes into a network.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from lensmill.experiments.lens_finding.network import photometry_features
from lensmill.imaging import quality
from lensmill.learning import classification
from lensmill.pipeline import splits, store

MOST = 500  # images of a sample
FOLDS, TREES = 5, 100
INNER, OUTER = 1.0, 3.0  # radii whose fluxes tell how concentrated light is [arcsec]
KINDS = ("light", "noise")


def compare(
    made: Mapping[str, str],
    real: Sequence[str],
    observation: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Return how well lenses of made populations are told from real ones.

    Parameters
    ----------
    made : mapping
        By name, the data set of a population.
    real : sequence of path
        Data sets of real lenses.
    observation : mapping
        Of all.
    seed : int
        Fixes folds and trees.

    Returns
    -------
    dict
        ``real``, the number of real lenses, and by name ``lenses`` and the AUROC of what is
        measured of the ``light`` (magnitude, size, colours, concentration, asymmetry), of the
        ``noise`` of the sky, and of ``both``, with their errors (68 %, by bootstrap).
    """
    theirs = [features(path, observation) for path in real]
    both = {kind: np.concatenate([one[kind] for one in theirs]) for kind in (*KINDS, "group")}
    found: dict[str, Any] = {"real": len(both["light"])}
    for name, path in made.items():
        ours = features(path, observation)
        found[name] = {"lenses": len(ours["light"])}
        for kind in (*KINDS, "both"):
            kinds = KINDS if kind == "both" else (kind,)
            x = [np.column_stack([sample[k] for k in kinds]) for sample in (ours, both)]
            found[name][kind] = _told(*x, ours["group"], both["group"], seed)
    return found


def features(dataset: str, observation: Mapping[str, Any]) -> dict[str, NDArray]:
    """Return what is measured of the lenses of a data set, `MOST` of them at most; their groups."""
    systems = store.read(dataset, "systems", ["is_lens"])
    rows = np.flatnonzero(systems["is_lens"] == 1)[:MOST]
    pixels = np.array(store.memmap(dataset, "cutouts", "pixels")[rows], np.float64)
    scale, size = observation["pixel_scale"], pixels.shape[1]
    place = (np.arange(size) - (size - 1) / 2) * scale
    r = np.hypot(place, place[:, None])
    sigma = quality.sky_sigma(pixels)
    near = pixels[:, r < OUTER]
    turned = pixels[:, ::-1, ::-1][:, r < OUTER]
    flux = np.maximum(near.sum(axis=1), sigma)
    inner = pixels[:, r < INNER].sum(axis=1) / flux
    # noise alone is as asymmetric as this
    noise = sigma * near.shape[1] * 2 / np.sqrt(np.pi)
    asymmetry = (np.abs(near - turned).sum(axis=1) - noise) / flux
    light = [photometry_features(pixels, observation), inner, asymmetry]
    group = splits.groups(dataset)
    group = np.full(len(systems["is_lens"]), "") if group is None else group
    alone = np.array([f"{dataset} {row}" for row in rows])
    return {
        "light": np.column_stack(light),
        "noise": np.log10(np.maximum(sigma, 1e-9)),
        "group": np.where(group[rows] == "", alone, group[rows]),
    }


def _told(ours: NDArray, theirs: NDArray, group: NDArray, other: NDArray, seed: int) -> list[float]:
    """Return the cross-validated AUROC of a classifier, and its error.

    Folds part no group: painted lenses share their hosts, and whoever knows a host knows its noise.
    """
    x = np.concatenate([ours, theirs])
    is_real = np.arange(len(x)) >= len(ours)
    model = RandomForestClassifier(TREES, min_samples_leaf=3, random_state=seed % 2**32)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    number = np.unique(np.concatenate([group, other]), return_inverse=True)[1]
    score = cross_val_predict(model, x, is_real, groups=number, cv=folds, method="predict_proba")[
        :, 1
    ]
    return [
        classification.auroc(is_real, score),
        classification.auroc_error(is_real, score, seed, 100),
    ]
