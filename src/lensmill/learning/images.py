"""Images that networks learn from: read by memory map, in batches and in their eight views."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from lensmill.learning import tables
from lensmill.learning.equivariant import ORDER as VIEWS
from lensmill.learning.equivariant import transform
from lensmill.learning.training import NOISE, ORDER, Epochs
from lensmill.pipeline import store

log = logging.getLogger(__name__)

AT_A_TIME = 256  # images that a network answers for at once
SAMPLE = 2  # third number of a seed, beside those of `training`: which images an epoch shows

Turn = Callable[[NDArray, int], NDArray]
Metrics = Callable[[NDArray, NDArray], Mapping[str, float]]


class Images(NamedTuple):
    """Some images of a data set and what a network shall say of them."""

    pixels: np.memmap  # (N, height, width, bands) of all rows
    rows: NDArray  # (n,) of those meant here, growing
    targets: NDArray  # (n, ...) of these, as the loss takes them
    numbers: NDArray | None = None  # (n, K) that the network is told beside each image


def read(
    dataset: str | Path,
    split: str | Path,
    targets: NDArray,
    fold: int = 0,
    folds: int = 0,
    known: NDArray | None = None,
    classes: NDArray | None = None,
    turn: int = 0,
    numbers: NDArray | None = None,
) -> tuple[Images, Images]:
    """Find the images to train on and those of the validation set.

    Parameters
    ----------
    dataset, split : path
    targets : array, shape (systems, ...)
        Of all systems of the data set, in order.
    fold, folds, known, classes, turn
        As in `tables.parts`.
    numbers : array, shape (systems, K), optional
        What a network is told beside the image, of all systems.

    Raises
    ------
    ValueError
        If images, systems and split do not belong together row by row, or a part is empty.
    """
    pixels = store.pixels(dataset)
    chosen = tables.parts(dataset, split, fold, folds, known, classes, turn)
    return tuple(
        Images(pixels, rows, targets[rows], None if numbers is None else numbers[rows])
        for rows in chosen
    )


def first(images: Images, n: int) -> Images:
    """Return the first ``n`` images; all of them for 0."""
    stop = n or None
    numbers = None if images.numbers is None else images.numbers[:stop]
    return images._replace(rows=images.rows[:stop], targets=images.targets[:stop], numbers=numbers)


def unchanged(targets: NDArray, element: int) -> NDArray:
    """Return targets as they are: what a class is, whichever way the image lies."""
    return targets


class Batches(Epochs):
    """Batches of images, shuffled, turned and mirrored.

    Order, views and sample are functions of (seed, epoch) and, for the sample, of what a sampler
    learned in the epoch before, which a checkpoint holds: a resumed training sees the same images.

    Parameters
    ----------
    images : Images
    batch_size, seed, repeats : int
        As of `training.Epochs`.
    turn : callable, optional
        Shows each image in one of its 8 views, drawn anew in every epoch; ``turn(targets,
        element)`` gives the targets (m, ...) of images that have been turned by an element of
        `equivariant.transform`; `unchanged` where they do not depend on it.
    weights : array, shape (n,), optional
        Of the images in the loss.
    sampler : optional
        Decides which images an epoch shows, e.g. `classification.HardNegatives`: it has
        ``members(epoch, rng)``, ``end(score)``, ``state()`` and ``restore(state)``.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        seed: int,
        repeats: int = 1,
        turn: Turn | None = None,
        weights: NDArray | None = None,
        sampler: Any = None,
    ):
        keras.utils.PyDataset.__init__(self)
        height, width = images.pixels.shape[1:3]
        if turn is not None and height != width:
            raise ValueError(
                f"images of {height} x {width} pixels cannot be turned by 90 degrees; "
                "set augment: none, or cut out squares"
            )
        self.images, self.seed, self.repeats = images, seed, repeats
        self.batch_size = min(batch_size, len(images.rows))
        self.turn, self.weights, self.sampler = turn, weights, sampler
        self.epoch = -1
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Draw the images of an epoch, their order and their views."""
        self.begun = time.monotonic()
        if epoch == self.epoch:
            return
        self.epoch = epoch
        n = len(self.images.rows)
        rng, sample = self._stream(ORDER), self._stream(SAMPLE)
        passes = []
        for _ in range(self.repeats):
            members = np.arange(n)
            if self.sampler is not None:
                members = self.sampler.members(epoch, sample)
            passes.append(members[rng.permutation(n)])
        self.order = np.concatenate(passes)
        self.view = np.zeros(len(self.order), np.int8)
        if self.turn is not None:
            self.view = self._stream(NOISE).integers(0, VIEWS, len(self.order), np.int8)

    def _stream(self, purpose: int) -> np.random.Generator:
        return np.random.Generator(np.random.Philox([self.seed, self.epoch, purpose]))

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.order) // self.batch_size

    def __getitem__(self, batch: int) -> tuple[NDArray, ...]:
        """Return images (n, height, width, bands), their targets and, if there are any, weights.

        Where a network is told numbers, it gets them beside the images: a pair of inputs.
        """
        here = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        chosen, view = self.order[here], self.view[here]
        # In the order of the file: memory is read forwards; within a batch it is of no consequence.
        by_row = np.argsort(chosen, kind="stable")
        chosen, view = chosen[by_row], view[by_row]
        x = self.images.pixels[self.images.rows[chosen]]
        y = self.images.targets[chosen]
        for element in range(1, VIEWS):
            mine = np.flatnonzero(view == element)
            if len(mine):
                x[mine] = np.moveaxis(transform(np.moveaxis(x[mine], 0, 2), element), 2, 0)
                y[mine] = self.turn(y[mine], element)
        if self.images.numbers is not None:
            x = (x, self.images.numbers[chosen])
        return (x, y) if self.weights is None else (x, y, self.weights[chosen])

    def end(self, epoch: int, model: keras.Model) -> None:
        """Let the sampler learn from what the model says."""
        if self.sampler is not None:
            pixels, rows, _, numbers = self.images
            self.sampler.end(
                lambda of: predict(
                    model, pixels, rows[of], None if numbers is None else numbers[of]
                )
            )

    def state(self) -> dict[str, NDArray]:
        """Return what the sampler has learned: the next epochs depend on it."""
        return {} if self.sampler is None else self.sampler.state()

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Undo `state`."""
        if self.sampler is not None:
            self.sampler.restore(state)


class Validation:
    """Validate a network by images: its loss, other metrics, and how fast it trained.

    Parameters
    ----------
    images : Images
    loss : keras.losses.Loss
        The one that is trained with.
    batches : Batches
        Those being trained with.
    metrics : callable, optional
        ``metrics(targets, outputs)`` gives what else the history should say, by name.
    weights : array, shape (n,), optional
        Of the images in the loss.
    """

    def __init__(
        self,
        images: Images,
        loss: keras.losses.Loss,
        batches: Batches,
        metrics: Metrics | None = None,
        weights: NDArray | None = None,
    ):
        self.images, self.loss, self.batches = images, loss, batches
        self.metrics, self.weights = metrics, weights

    def __call__(self, model: keras.Model) -> dict[str, float]:
        """Return ``val_loss``, the metrics and ``images_per_second`` (of training)."""
        seen = len(self.batches) * self.batches.batch_size
        rate = seen / max(1e-9, time.monotonic() - self.batches.begun)
        outputs = predict(model, self.images.pixels, self.images.rows, self.images.numbers)
        x = keras.ops.convert_to_tensor(outputs.astype(np.float32))
        loss = float(self.loss(self.images.targets, x, sample_weight=self.weights))
        found = self.metrics(self.images.targets, outputs) if self.metrics else {}
        return {"val_loss": loss, **found, "images_per_second": round(rate, 1)}


def predict(
    model: keras.Model,
    pixels: NDArray,
    rows: NDArray | None = None,
    numbers: NDArray | None = None,
) -> NDArray:
    """Return the outputs of a model for every image, float64 (n, ...), reading some at a time.

    Parameters
    ----------
    model : keras.Model
    pixels : array, shape (N, height, width, bands)
        E.g. a memory map.
    rows : array of int, optional
        Those wanted; all by default.
    numbers : array, shape (n, K), optional
        What the model is told beside each image.
    """
    n = len(pixels) if rows is None else len(rows)
    found = np.empty((n, *model.output_shape[1:]))
    for start in range(0, n, AT_A_TIME):
        here = slice(start, start + AT_A_TIME)
        images = np.asarray(pixels[here] if rows is None else pixels[rows[here]])
        x = images if numbers is None else (images, np.asarray(numbers[here], np.float32))
        found[here] = np.asarray(model.predict_on_batch(x), np.float64)
    return found


def check_shape(pixels: NDArray, shape: tuple[int, ...], trained_on: str) -> None:
    """Raise if images are not of the size and the bands that a network takes.

    Parameters
    ----------
    pixels : array, shape (N, height, width, bands)
    shape : tuple of int
        Height, width and bands of the images that it learned from.
    trained_on : str
        Their population.
    """
    shape, given = tuple(shape), tuple(pixels.shape[1:])
    if given != shape:
        wanted, is_ = (f"{h} x {w} pixels in {b} bands" for h, w, b in (shape, given))
        raise ValueError(
            f"the images have {is_}, but the network (trained on {trained_on!r}) takes {wanted}; "
            "bring the population to its size and bands (observation: size, bands), or train a "
            "network on images like these"
        )
