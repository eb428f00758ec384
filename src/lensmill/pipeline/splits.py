"""Splits into training, validation and test set: which systems train, tune or judge a network.

Systems of one group (an object, a tile of the sky, a host, a cluster, a box of a simulation) fall
into one part, in all populations of an experiment that name the group alike.
"""

import hashlib
import json
import logging
import zlib
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lensmill.pipeline import provenance, store

log = logging.getLogger(__name__)

NAMES = ("train", "validation", "test")
TRAIN, VALIDATION, TEST = range(len(NAMES))


def labels(key: str, stratum: NDArray, blocks: tuple[int, int, int], turn: int = 0) -> NDArray:
    """Return 0, 1 or 2 (train, validation, test) for systems in order of index.

    Inside each stratum every run of ``sum(blocks)`` systems holds exactly ``blocks`` of each
    kind, in an order that is a hash of the key, the stratum and the number of the run. Systems
    that are added later change no label, and small strata are split as evenly as large ones.

    Parameters
    ----------
    key : str
        Names the population and the seed.
    stratum : array, shape (n,)
        Whole numbers, e.g. the number of images.
    blocks : tuple of int
        Train, validation and test systems in every run, e.g. ``(16, 2, 2)``.
    turn : int
        Every turn moves the test on by its share, as in `parts_of_groups`.
    """
    size = sum(blocks)
    template = np.repeat(np.arange(3, dtype=np.uint8), blocks)
    split = np.empty(len(stratum), np.uint8)
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        runs = -(-len(members) // size)
        seed = zlib.crc32(f"{key}/{value}".encode())
        # One row of random numbers a run, from the start of the stream: growth only adds rows.
        order = np.random.Generator(np.random.Philox(seed)).random((runs, size)).argsort(axis=1)
        order = (order + turn * blocks[2]) % size
        split[members] = template[order].ravel()[: len(members)]
    return split


def parts_of_groups(
    experiment: str, group: NDArray, blocks: tuple[int, int, int], turn: int = 0
) -> NDArray:
    """Return 0, 1 or 2 (train, validation, test) for groups, by their names alone.

    A part is a hash of the experiment and the name, so that it is the same in every population
    and data that are added later change none. The parts have their sizes on average: n groups are
    n throws of a die.

    Parameters
    ----------
    experiment : str
    group : array of str, shape (n,)
    blocks : tuple of int
        As in `labels`: the odds.
    turn : int
        Every turn moves the test on by its share: in turns 0 ... ``sum(blocks) / blocks[2] - 1``
        each group is tested once, if that is a whole number.
    """
    names, where = np.unique(np.asarray(group, dtype=str), return_inverse=True)
    limits = np.cumsum(blocks) / sum(blocks)
    hashes = [hashlib.sha256(f"{experiment}/{name}".encode()).digest() for name in names]
    chance = np.array([int.from_bytes(h[:6], "little") / 2.0**48 for h in hashes])
    chance = (chance + turn * blocks[2] / sum(blocks)) % 1.0
    return np.searchsorted(limits, chance, side="right").astype(np.uint8)[where]


def parts_of_strata(
    key: str,
    group: NDArray,
    stratum: NDArray,
    blocks: tuple[int, int, int],
    turn: int = 0,
) -> NDArray:
    """Return 0, 1 or 2 (train, validation, test) for groups, by `labels` in the order they come in.

    The parts then have their sizes, and their shares of every stratum, to a group; but a group
    must not be in another population, where it may have another part.

    Parameters
    ----------
    key : str
        Names the population and the seed.
    group : array of str, shape (n,)
    stratum : array, shape (n,)
        Whole numbers, one and the same for all systems of a group.
    blocks, turn
        As in `labels`, of groups.

    Raises
    ------
    ValueError
        If a group has systems in several strata.
    """
    _, first, where = np.unique(np.asarray(group, str), return_index=True, return_inverse=True)
    if (torn := stratum != stratum[first][where]).any():
        name = str(group[torn.argmax()])
        raise ValueError(
            f"systems of the group {name!r} are in several strata; stratify by "
            "what belongs to the group, or set stratify_groups: false"
        )
    order = np.argsort(first)
    parts = np.empty(len(first), np.uint8)
    parts[order] = labels(key, stratum[first][order], blocks, turn)
    return parts[where]


def groups(dataset: str) -> NDArray | None:
    """Read the group of every system, "" for none; None where no system has one.

    Returns
    -------
    array of str, shape (n,), or None
    """
    with h5py.File(dataset) as file:
        if "group" not in file["systems"]:
            return None
        group = file["systems/group"].asstr()[:].astype(str)
    return group if (group != "").any() else None


def read(dataset: str, split: str, turn: int = 0) -> NDArray:
    """Read the part of every system; of another turn, that of its group there.

    Systems without a group are in the same part in every turn.

    Raises
    ------
    ValueError
        If the split is of another data set.
    """
    index = store.read(dataset, "systems", ["index"])["index"]
    found = store.read(split, "systems", ["index", "split"])
    store.check_order(index, found["index"], f"{split}, the split of {dataset},")
    part = found["split"]
    group = groups(str(dataset)) if turn else None
    if group is not None:
        settings = json.loads(store.attributes(split)["settings"])
        own = group != ""
        part[own] = _of_groups(dataset, group, own, turn=turn, **settings)
    return part


def _of_groups(
    dataset: str,
    group: NDArray,
    own: NDArray,
    stratify_by: str,
    blocks: tuple[int, int, int],
    stratify_groups: bool = False,
    turn: int = 0,
) -> NDArray:
    """Return the parts of those systems of a data set that have a group (``own``)."""
    facts = store.attributes(dataset)
    if not stratify_groups:
        return parts_of_groups(str(facts["experiment"]), group[own], tuple(blocks), turn)
    stratum = store.read(dataset, "systems", [stratify_by])[stratify_by]
    return parts_of_strata(_key(facts), group[own], stratum[own], tuple(blocks), turn)


def _key(facts: Mapping[str, Any]) -> str:
    """Name a population and its seed; what is ingested has none."""
    return f"{facts['experiment']}/{facts['population']}/{facts.get('seed', 0)}"


def write(
    dataset: str,
    output: str,
    stratify_by: str,
    blocks: tuple[int, int, int],
    stratify_groups: bool = False,
) -> None:
    """Split the systems of a data set and write ``index`` and ``split`` to ``output``.

    Systems with a group go where their group goes, the others by `labels`. With
    ``stratify_groups`` groups are stratified too (`parts_of_strata`): for those that lie in one
    population each.
    """
    systems = store.read(dataset, "systems", ["index", stratify_by])
    facts = store.attributes(dataset)
    key = _key(facts)
    group = groups(dataset)
    if group is None:
        split = labels(key, systems[stratify_by], blocks)
    else:
        alone = group == ""
        split = np.empty(len(group), np.uint8)
        split[~alone] = _of_groups(dataset, group, ~alone, stratify_by, blocks, stratify_groups)
        split[alone] = labels(key, systems[stratify_by][alone], blocks)
        log.info("%d systems in %d groups", (~alone).sum(), len(np.unique(group[~alone])))
    store.write(
        output,
        {"systems": {"index": systems["index"], "split": split}},
        {"systems": {"index": "", "split": ""}},
        provenance.attributes(
            {"stratify_by": stratify_by, "blocks": list(blocks)}
            | ({"stratify_groups": True} if stratify_groups else {}),
            names=",".join(NAMES),
            dataset=facts["content_digest"],
        ),
    )
    log.info("%s: %s", output, dict(zip(NAMES, np.bincount(split, minlength=3), strict=True)))
