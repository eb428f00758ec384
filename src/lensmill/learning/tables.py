"""Which systems train, validate and test a network, and tables of numbers that it learns from.

Without Keras: for estimators of scikit-learn and for scores too.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from lensmill.pipeline import splits, store
from lensmill.pipeline.splits import TEST, TRAIN, VALIDATION

log = logging.getLogger(__name__)

CONSTANT = 1e-9  # of the largest value: a column that scatters by less says nothing


class Table(NamedTuple):
    """Systems with what a network is given and what it shall say."""

    rows: NDArray  # (n,) in the data set, growing
    features: NDArray  # (n, F) float64
    targets: NDArray  # (n, T)


def read(
    dataset: str | Path,
    split: str | Path,
    features: Sequence[str],
    targets: Sequence[str],
    fold: int = 0,
    folds: int = 0,
    known: NDArray | None = None,
    classes: NDArray | None = None,
) -> tuple[Table, Table]:
    """Read the training and the validation part of columns of the table ``systems``.

    Parameters
    ----------
    dataset, split : path
    features, targets : sequence of str
        Columns; those of several numbers a row are laid side by side.
    fold, folds, known, classes
        As in `parts`.
    """
    x, y = (columns(dataset, names) for names in (features, targets))
    chosen = parts(dataset, split, fold, folds, known, classes)
    return tuple(Table(rows, x[rows], y[rows]) for rows in chosen)


def columns(dataset: str | Path, names: Sequence[str], table: str = "systems") -> NDArray:
    """Read columns side by side: float64, shape (n, numbers a row)."""
    read_ = store.read(dataset, table, names)
    return np.concatenate(
        [np.asarray(read_[name], float).reshape(len(read_[name]), -1) for name in names], axis=1
    )


def parts(
    dataset: str | Path,
    split: str | Path,
    fold: int = 0,
    folds: int = 0,
    known: NDArray | None = None,
    classes: NDArray | None = None,
    turn: int = 0,
) -> tuple[NDArray, NDArray]:
    """Return the rows of the training set and of the validation set.

    Parameters
    ----------
    dataset, split : path
    fold, folds : int
        With ``folds``, both sets are pooled and cut by `cut`. The test set is never looked at.
    known : array of bool, shape (systems,), optional
        Systems whose targets are known; the others are left out.
    classes : array, shape (systems,), optional
        Their fractions are alike in all folds.
    turn : int
        As in `splits.read`.

    Raises
    ------
    ValueError
        If the split is of another data set, or a part is empty.
    """
    part = splits.read(str(dataset), str(split), turn)
    usable = np.ones(len(part), bool) if known is None else np.asarray(known, bool)
    if not usable.all():
        log.info("%d systems of unknown target are left out", int((~usable).sum()))
    if folds:
        pool = np.flatnonzero(usable & np.isin(part, (TRAIN, VALIDATION)))
        found = cut(pool, fold, folds, classes, splits.groups(str(dataset)))
    else:
        found = tuple(np.flatnonzero(usable & (part == number)) for number in (TRAIN, VALIDATION))
    for name, rows in zip(splits.NAMES, found, strict=False):
        if not rows.size:
            raise ValueError(
                f"{dataset}: none of {int(usable.sum())} usable systems is for {name}; simulate or "
                "ingest more, or give that part a larger share in split.blocks"
            )
    return found


def test_rows(dataset: str | Path, split: str | Path | None, turn: int = 0) -> NDArray:
    """Return the rows of the test set, in a turn of `splits.read`; without a split, of all systems.

    Raises
    ------
    ValueError
        If the split is of another data set, or no system is for the test.
    """
    if split is None:
        rows = np.arange(len(store.read(dataset, "systems", ["index"])["index"]))
        count = len(rows)
    else:
        part = splits.read(str(dataset), str(split), turn)
        rows, count = np.flatnonzero(part == TEST), len(part)
    if not rows.size:
        raise ValueError(
            f"{dataset} has {count} systems, but none of them is for the test: simulate or ingest "
            "more, or give it a larger share in split.blocks"
        )
    return rows


def cut(
    pool: NDArray,
    fold: int,
    folds: int,
    classes: NDArray | None = None,
    group: NDArray | None = None,
) -> tuple[NDArray, NDArray]:
    """Cut rows into folds, of which number ``fold`` of 1 ... ``folds`` validates.

    Parameters
    ----------
    pool : array of int, shape (n,)
        Rows of a data set.
    classes : array, shape (systems,), optional
        Their fractions are alike in all folds.
    group : array of str, shape (systems,), optional
        Systems of one group are in one fold; one without a group, "", is a group of its own.

    Returns
    -------
    two arrays
        Rows to train on, and those that validate.

    Raises
    ------
    ValueError
        If there is no such fold, or there are fewer systems, or groups, than folds.
    """
    if not 1 <= fold <= folds:
        raise ValueError(f"fold is {fold}, but must lie between 1 and folds = {folds}")
    number = np.arange(len(pool))
    if group is not None:
        names = [f"in {group[row]}" if group[row] else f"row {row}" for row in pool]
        number = np.unique(names, return_inverse=True)[1]
    n = number.max(initial=-1) + 1
    if n < folds:
        what = "systems" if group is None else "groups"
        raise ValueError(
            f"{n} {what} cannot be cut into folds = {folds}; simulate or ingest more, or take "
            "fewer folds"
        )
    kinds = {
        (False, False): KFold,
        (False, True): GroupKFold,
        (True, False): StratifiedKFold,
        (True, True): StratifiedGroupKFold,
    }
    kind = kinds[classes is not None, group is not None](folds, shuffle=True, random_state=0)
    of = None if classes is None else classes[pool]
    learned, validating = list(kind.split(pool, of, None if group is None else number))[fold - 1]
    return pool[learned], pool[validating]


def scaling(columns: NDArray) -> dict[str, list[float]]:
    """Return mean and standard deviation of columns: what standardises them.

    Parameters
    ----------
    columns : array, shape (n, T)
    """
    scale = columns.std(axis=0)
    # A constant column says nothing; its scale must only not divide by zero.
    scale = np.where(scale > CONSTANT * np.abs(columns).max(axis=0), scale, 1.0)
    return {"mean": columns.mean(axis=0).tolist(), "scale": scale.tolist()}


def standardise(columns: NDArray, by: dict[str, list[float]]) -> NDArray:
    """Return columns (..., T) in units of their scatter from their mean, as `scaling` found it."""
    return (columns - np.array(by["mean"])) / np.array(by["scale"])


def restore(columns: NDArray, by: dict[str, list[float]]) -> NDArray:
    """Undo `standardise`."""
    return columns * np.array(by["scale"]) + np.array(by["mean"])
