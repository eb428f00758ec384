"""Images for training, read by memory map, and what is particular about telling lenses apart."""

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from lensmill.learning.equivariant import ORDER as VIEWS
from lensmill.learning.equivariant import transform
from lensmill.learning.training import NOISE, ORDER, Epochs
from lensmill.pipeline import splits, store
from lensmill.pipeline.splits import TRAIN, VALIDATION

log = logging.getLogger(__name__)

AT_A_TIME = 256  # images whose logits are found at once
SAMPLE = 2  # third number of a seed, beside those of `training`: which non-lenses are drawn


class Labelled(NamedTuple):
    """Rows of a data set whose label is known."""

    pixels: np.memmap  # (N, height, width, bands) of all rows [electron / s]
    rows: NDArray  # (n,) of those meant here, growing
    is_lens: NDArray  # (n,) bool


def read(
    dataset: str | Path, split: str | Path, fold: int = 0, folds: int = 0
) -> tuple[Labelled, Labelled]:
    """Find the systems to train on and those that judge every epoch.

    Parameters
    ----------
    dataset, split : path
    fold, folds : int
        With ``folds``, training and validation parts are pooled and cut into as many folds with
        equal fractions of lenses, no group in two of them; number ``fold`` of 1 ... folds judges.
        The test part is never looked at.

    Raises
    ------
    ValueError
        If images and labels do not belong together row by row, or a class is missing.
    """
    systems = store.read(dataset, "systems", ["index", "is_lens", "label_known"])
    of_image = store.read(dataset, "cutouts", ["system"])["system"]
    parts = store.read(split, "systems", ["index", "split"])
    for name, index in ((f"{dataset}: cutouts/system", of_image), (split, parts["index"])):
        _same_order(systems["index"], index, name)
    pixels = store.memmap(dataset, "cutouts", "pixels")
    known = systems["label_known"] == 1
    is_lens = systems["is_lens"] == 1
    if folds:
        if not 1 <= fold <= folds:
            raise ValueError(f"fold is {fold}, but must lie between 1 and folds = {folds}")
        pool = np.flatnonzero(known & np.isin(parts["split"], (TRAIN, VALIDATION)))
        _need_both(is_lens[pool], f"{dataset}: what is cut into folds")
        cut = _folds(folds, is_lens[pool], splits.groups(str(dataset)), pool)
        learned, judging = (pool[chosen] for chosen in list(cut)[fold - 1])
    else:
        learned, judging = (
            np.flatnonzero(known & (parts["split"] == part)) for part in (TRAIN, VALIDATION)
        )
    for name, rows in (("train", learned), ("validation", judging)):
        lenses = int(is_lens[rows].sum())
        log.info("%s: %d lenses, %d non-lenses", name, lenses, len(rows) - lenses)
        _need_both(is_lens[rows], f"{dataset}: the {name} part")
    if unknown := int((~known).sum()):
        log.info("%d systems without a label are left out", unknown)
    return tuple(Labelled(pixels, rows, is_lens[rows]) for rows in (learned, judging))


def _need_both(is_lens: NDArray, what: str) -> None:
    lenses = int(is_lens.sum())
    if not 0 < lenses < len(is_lens):
        raise ValueError(
            f"{what} has {lenses} lenses and {len(is_lens) - lenses} non-lenses with a known "
            "label; both are needed: more systems, more groups, or another split"
        )


def _folds(
    folds: int, is_lens: NDArray, group: NDArray | None, pool: NDArray
) -> Iterator[tuple[NDArray, NDArray]]:
    """Cut a pool of rows into folds; a system without a group is one of its own."""
    if group is None:
        return StratifiedKFold(folds, shuffle=True, random_state=0).split(pool, is_lens)
    names = [
        f"in {name}" if name else f"row {row}" for row, name in zip(pool, group[pool], strict=True)
    ]
    _, number = np.unique(names, return_inverse=True)
    if number.max() + 1 < folds:
        raise ValueError(f"{number.max() + 1} groups cannot be cut into folds = {folds}")
    cut = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    return cut.split(pool, is_lens, number)


def _same_order(index: NDArray, other: NDArray, name: str) -> None:
    if len(index) != len(other):
        raise ValueError(
            f"{name} has {len(other)} rows where systems/index has {len(index)}; make both anew"
        )
    if (wrong := index != other).any():
        i = int(wrong.argmax())
        raise ValueError(
            f"{name} does not follow systems/index: {int(wrong.sum())} of {len(index)} rows differ "
            f"(first: row {i} with {other[i]}, not {index[i]}); labels would be those of other "
            "images: make both anew"
        )


def first(labelled: Labelled, n: int) -> Labelled:
    """Return the first ``n`` systems; all of them for 0."""
    stop = n or None
    return labelled._replace(rows=labelled.rows[:stop], is_lens=labelled.is_lens[:stop])


class Cutouts(Epochs):
    """Batches of images: shuffled, turned and mirrored, and the harder non-lenses more often.

    Order, views and sample are functions of (seed, epoch) and, for the sample, of the scores of the
    epoch before, which a checkpoint holds: a resumed training sees the same images.

    Parameters
    ----------
    labelled : Labelled
    batch_size, seed, repeats : int
        As of `Epochs`.
    dihedral : bool
        Show each image in one of its 8 views, drawn anew in every epoch; a lens stays one.
    balanced : bool
        Weight both classes alike in the loss, whatever their numbers.
    hard_negatives : float
        0 ... 1: how far non-lenses are drawn, in the end, in proportion to the probability of being
        a lens that the network gave them, rather than all equally often.
    epochs : int
        Over which this share grows from 0.
    """

    def __init__(
        self,
        labelled: Labelled,
        batch_size: int,
        seed: int,
        repeats: int = 1,
        dihedral: bool = False,
        balanced: bool = False,
        hard_negatives: float = 0.0,
        epochs: int = 1,
    ):
        keras.utils.PyDataset.__init__(self)
        height, width = labelled.pixels.shape[1:3]
        if dihedral and height != width:
            raise ValueError(
                f"images of {height} x {width} pixels cannot be turned by 90 degrees; "
                "set augment: none, or cut out squares"
            )
        self.labelled, self.seed, self.repeats = labelled, seed, repeats
        self.batch_size = min(batch_size, len(labelled.rows))
        self.dihedral = dihedral
        self.hard_negatives, self.n_epochs = hard_negatives, epochs
        lenses = labelled.is_lens.mean()
        self.weight = class_weight(lenses) if balanced else None
        self.negatives = np.flatnonzero(~labelled.is_lens)
        self.scores = np.ones(len(self.negatives), np.float32)
        self.epoch = -1
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Draw the images of an epoch, their order and their views."""
        self.begun = time.monotonic()
        if epoch == self.epoch:
            return
        self.epoch = epoch
        n = len(self.labelled.rows)
        rng = self._stream(ORDER)
        sample = self._stream(SAMPLE)
        passes = []
        for _ in range(self.repeats):
            members = np.arange(n)
            if self.hard_negatives and epoch:
                members[self.negatives] = self.negatives[self._drawn(sample)]
            passes.append(members[rng.permutation(n)])
        self.order = np.concatenate(passes)
        self.view = np.zeros(len(self.order), np.int8)
        if self.dihedral:
            self.view = self._stream(NOISE).integers(0, VIEWS, len(self.order), np.int8)

    def _stream(self, purpose: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox([self.seed, self.epoch, purpose]))

    def _drawn(self, rng: np.random.Generator) -> NDArray:
        """Draw non-lenses with replacement, evenly: each as often as expected, up to 1."""
        share = self.hard_negatives * self.epoch / max(1, self.n_epochs - 1)
        expected = (1 - share) + share * self.scores / self.scores.mean(dtype=np.float64)
        edges = np.cumsum(expected / expected.sum())
        places = (np.arange(len(edges)) + rng.random()) / len(edges)
        return np.searchsorted(edges[:-1], places, side="right")

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.order) // self.batch_size

    def __getitem__(self, batch: int) -> tuple[NDArray, ...]:
        """Return images (n, height, width, bands), labels (n, 1) and, if balanced, weights."""
        here = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        chosen, view = self.order[here], self.view[here]
        # In the order of the file: memory is read forwards; within a batch it is of no consequence.
        by_row = np.argsort(chosen, kind="stable")
        chosen, view = chosen[by_row], view[by_row]
        x = self.labelled.pixels[self.labelled.rows[chosen]]
        for element in range(1, VIEWS):
            mine = np.flatnonzero(view == element)
            if len(mine):
                x[mine] = np.moveaxis(transform(np.moveaxis(x[mine], 0, 2), element), 2, 0)
        is_lens = self.labelled.is_lens[chosen]
        y = is_lens.astype(np.float32)[:, None]
        if self.weight is None:
            return x, y
        return x, y, np.where(is_lens, *self.weight[::-1]).astype(np.float32)

    def end(self, epoch: int, model: keras.Model) -> None:
        """Score the non-lenses, if the hard ones are to be seen more often."""
        if self.hard_negatives:
            rows = self.labelled.rows[self.negatives]
            logit = logits(model, self.labelled.pixels, rows)
            # Bounded below, so that a network sure of every one of them draws evenly.
            self.scores = (1 / (1 + np.exp(np.minimum(-logit, 20.0)))).astype(np.float32)

    def state(self) -> dict[str, NDArray]:
        """Return the scores of the non-lenses: the next epochs depend on them."""
        return {"scores": self.scores} if self.hard_negatives else {}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Undo `state`."""
        self.scores = state.get("scores", self.scores)


class Judging:
    """Judge a network by images: loss, area under the ROC curve, and how fast it trained.

    Parameters
    ----------
    labelled : Labelled
    loss : keras.losses.Loss
        Of logits; the one that is trained with.
    epochs : Cutouts
        Those being trained with: their class weights hold here too.
    """

    def __init__(self, labelled: Labelled, loss: keras.losses.Loss, epochs: Cutouts):
        self.labelled, self.loss, self.epochs = labelled, loss, epochs
        self.y = labelled.is_lens.astype(np.float32)[:, None]
        self.weight = None
        if epochs.weight is not None:
            self.weight = np.where(labelled.is_lens, *epochs.weight[::-1]).astype(np.float32)

    def __call__(self, model: keras.Model) -> dict[str, float]:
        """Return ``val_loss``, ``val_auroc`` and ``images_per_second`` (of training)."""
        seen = len(self.epochs) * self.epochs.batch_size
        rate = seen / max(1e-9, time.monotonic() - self.epochs.begun)
        logit = logits(model, self.labelled.pixels, self.labelled.rows)
        x = keras.ops.convert_to_tensor(logit.astype(np.float32)[:, None])
        loss = float(self.loss(self.y, x, sample_weight=self.weight))
        finite = np.isfinite(logit).all()
        auroc = float(roc_auc_score(self.labelled.is_lens, logit)) if finite else float("nan")
        return {"val_loss": loss, "val_auroc": auroc, "images_per_second": round(rate, 1)}


def class_weight(lenses: float) -> tuple[float, float]:
    """Return the weights of non-lenses and lenses, 1 on average, for a fraction of lenses."""
    return 0.5 / (1 - lenses), 0.5 / lenses


def loss(name: str, gamma: float) -> keras.losses.Loss:
    """Return the loss of logits: ``binary_crossentropy``, or ``focal``.

    The focal loss (Lin et al. 2017, arXiv:1708.02002) multiplies the cross-entropy of a system by
    ``(1 - p)^gamma``, ``p`` being the probability of what it is. Its minimum is no longer at the
    true probabilities: calibrate before purity is computed.
    """
    if name == "focal":
        return keras.losses.BinaryFocalCrossentropy(gamma=gamma, from_logits=True)
    return keras.losses.BinaryCrossentropy(from_logits=True)


def logits(model: keras.Model, pixels: NDArray, rows: NDArray | None = None) -> NDArray:
    """Return the logit of every image, float64 (n,), reading some at a time.

    Parameters
    ----------
    model : keras.Model
    pixels : array, shape (N, height, width, bands)
        E.g. a memory map.
    rows : array of int, optional
        Those wanted; all by default.
    """
    n = len(pixels) if rows is None else len(rows)
    found = np.empty(n)
    for start in range(0, n, AT_A_TIME):
        here = slice(start, start + AT_A_TIME)
        images = np.asarray(pixels[here] if rows is None else pixels[rows[here]])
        found[here] = np.asarray(model.predict_on_batch(images), np.float64)[:, 0]
    return found
