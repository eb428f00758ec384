"""Out-of-distribution score: how strange a system looks to a network, beside those of its family.

A network turns what it sees into numbers, the features before its last layer. Where those of a
system lie far from those of the family that it was trained on, its answer is a guess, however
small the error that it claims. Lee et al. (2018), arXiv:1807.03888.

The test systems of the family are divided: one half sets the threshold (of which one part fits the
family, the other is compared with it), the other half measures how many of the family it refuses.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from lensmill.learning import calibration
from lensmill.pipeline import store

FALSE_ALARMS = 0.01  # of the family's systems that are called strange
CHANCE = 0.01  # below which a number of false alarms is none any more
FEWEST = 8  # test systems of a family from which something follows
# Of the family's test systems: which fit it, which set the threshold, and which measure its rate.
FITTED, COMPARED, MEASURED = slice(0, None, 4), slice(2, None, 4), slice(1, None, 2)
FEATURES, FAMILY, TABLE = "features", "family", "strangeness"
UNITS = {
    FEATURES: {"index": "", "inner": ""},
    FAMILY: {"mean": "", "factor": ""},
    TABLE: {"index": "", "strangeness": ""},
}


class Family(NamedTuple):
    """Where the features of a family lie."""

    mean: NDArray  # (F,)
    factor: NDArray  # (F, F): factor @ factor.T is the inverse of the covariance


def fit_family(features: NDArray) -> Family:
    """Fit a Gaussian to the features of a family, with a covariance that few systems bear.

    The covariance of standardised features is shrunk towards a multiple of the unit matrix by
    Ledoit & Wolf (2004, J. Multivar. Anal. 88, 365), so that it can be inverted also with fewer
    systems than features; a feature that never changes counts as one with the mean scatter of all.

    Parameters
    ----------
    features : array, shape (n, F)
        Two systems or more.
    """
    from sklearn.covariance import ledoit_wolf  # here: it takes longer than all the rest

    x = np.asarray(features, float)
    mean, scatter = x.mean(axis=0), x.std(axis=0)
    some = scatter[scatter > 0]
    scatter = np.where(scatter > 0, scatter, some.mean() if some.size else 1.0)
    covariance, _ = ledoit_wolf((x - mean) / scatter, assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    # All systems alike: nothing to tell directions apart by.
    values = values if values.max() > 0 else np.ones_like(values)
    return Family(mean, vectors / np.sqrt(values) / scatter[:, None])


def strangeness(family: Family, features: NDArray) -> NDArray:
    """Strangeness: squared Mahalanobis distance from the family, over the number of features.

    Parameters
    ----------
    family : Family
    features : array, shape (n, F)

    Returns
    -------
    array, shape (n,)
        About 1 for systems of the family.
    """
    z = (np.asarray(features, float) - family.mean) @ family.factor
    return (z**2).mean(axis=1)


def set_threshold(scores: NDArray, false_alarms: float = FALSE_ALARMS) -> float:
    """Threshold above which a system is called strange, from systems of the family.

    Parameters
    ----------
    scores : array, shape (n,)
        Strangeness of systems of the family that it was not fitted to.
    false_alarms : float
        Expected fraction of further systems of the family above the threshold, at most. With
        fewer than ``1 / false_alarms - 1`` scores it cannot be that small: the threshold is the
        largest of them.
    """
    n = len(scores)
    place = int(np.ceil((n + 1) * (1 - false_alarms)))
    return float(np.sort(scores)[min(place, n) - 1])


def judge_family(features: NDArray) -> tuple[Family, NDArray, dict[str, Any]]:
    """Fit a family, set its threshold on one half of its systems and measure it on the other.

    Parameters
    ----------
    features : array, shape (n, F)
        Of test systems of the family; rows are as good as in random order.

    Returns
    -------
    family : Family
    scores : array, shape (n,)
        Strangeness of all; that of every fourth system, to which it is fitted, is too small.
    numbers : dict
        ``threshold``, ``wanted`` (false alarms), ``set_on`` (systems) and the measured ``rate``
        with its 68 % interval, ``low`` and ``high``, ``of`` so many systems.

    Raises
    ------
    ValueError
        With fewer than ``FEWEST`` systems.
    """
    if len(features) < FEWEST:
        raise ValueError(
            f"{len(features)} test systems of the family, but {FEWEST} or more are needed to say "
            "what is strange to it; simulate more"
        )
    family = fit_family(features[FITTED])
    scores = strangeness(family, features)
    compared, others = scores[COMPARED], scores[MEASURED]
    threshold = set_threshold(compared)
    measured = calibration.rate(int((others > threshold).sum()), len(others))
    numbers = {"threshold": threshold, "wanted": FALSE_ALARMS, "set_on": len(compared)}
    return family, scores, numbers | measured


def judge(
    predictions: str, family: str | None = None
) -> tuple[store.Tables, dict[str, Any], dict[str, Any]]:
    """Say how strange the systems of predictions are, from the features stored with them.

    Parameters
    ----------
    predictions : path
        With table ``features``: ``index`` and ``inner`` (n, F).
    family : path, optional
        Scored predictions of the network for the population that it was trained on, as this
        function describes them; None if these are its predictions.

    Returns
    -------
    tables : dict
        ``strangeness`` (index, strangeness), and of the family's own ``family``; `UNITS`.
    attributes : dict
        To be written with the tables: what the scores of others need.
    numbers : dict
        ``family``, the numbers of `judge_family`; ``own``, whether these are its systems;
        ``strange``, the fraction above the threshold with its interval, of the systems that neither
        fitted the family nor set the threshold; ``trusted``: whether that is what false alarms
        alone would give. Empty if there are too few systems of the family to say.
    """
    table = store.read(predictions, FEATURES)
    if family is None:
        if len(table["inner"]) < FEWEST:
            return {}, {}, {}
        found, scores, facts = judge_family(table["inner"])
        judged = scores[MEASURED]
        tables = {FAMILY: found._asdict()}
    else:
        about = store.attributes(family)
        if FAMILY not in about:
            return {}, {}, {}
        facts = json.loads(about[FAMILY])
        found = Family(**store.read(family, FAMILY))
        judged = scores = strangeness(found, table["inner"])
        tables = {}
    tables[TABLE] = {"index": table["index"], "strangeness": scores}
    alarms = int((judged > facts["threshold"]).sum())
    strange = calibration.rate(alarms, len(judged)) if len(judged) else None
    return (
        tables,
        {FAMILY: json.dumps(facts, sort_keys=True)},
        {
            "family": facts,
            "own": family is None,
            "strange": strange,
            "trusted": trusts(strange, facts),
        },
    )


def trusts(strange: Mapping[str, float] | None, family: Mapping[str, float]) -> bool | None:
    """Say whether a population has no more strange systems than false alarms would be.

    Parameters
    ----------
    strange : mapping or None
        ``rate`` and ``of``, as `calibration.rate` gives them; None if there are no systems.
    family : mapping
        Numbers of `judge_family`.

    Returns
    -------
    bool or None
        False if so many false alarms had a probability below 1 % at the rate that was asked for,
        or at the upper end of the measured one, or at the least one that so few systems can set.
        Else True; None, for not known, where the threshold was set on too few for the rate asked
        for.
    """
    if strange is None:
        return None
    least = 1 / (family["set_on"] + 1)
    alarms = round(strange["rate"] * strange["of"])
    expected = max(family["wanted"], family["high"], least)
    if binom.sf(alarms - 1, strange["of"], expected) < CHANCE:
        return False
    return True if least <= family["wanted"] else None
