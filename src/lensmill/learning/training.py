"""The training loop: reproducible, resumable, and quick for small networks.

An epoch is a function of its number: which noise is drawn and in what order rows are seen comes
from (seed, epoch), never from what ran before. So a run that was killed and resumed gives the same
network, bit for bit, as one that was not, on the same machine with the same number of threads.
"""

import contextlib
import csv
import io
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from lensmill.learning import devices
from lensmill.learning.layers import BatchNormalization
from lensmill.learning.runs import replace
from lensmill.pipeline import logs

log = logging.getLogger(__name__)

Examples = tuple[NDArray, NDArray]
Validate = Callable[[keras.Model], dict[str, float]]
Watch = Callable[[dict[str, float]], None]

ORDER, NOISE = 0, 1  # third numbers of a seed: what a stream of random numbers of an epoch is for


class Epochs(keras.utils.PyDataset):
    """Batches of one epoch after another; a ragged last batch is left out.

    Parameters
    ----------
    draw : callable
        ``draw(epoch)`` gives the features and targets of an epoch; a network with several inputs
        has a tuple of features.
    batch_size : int
        Rows per batch.
    seed : int
        Keys the order of the rows, with the epoch.
    repeats : int
        Passes over the rows in one epoch: keeps epochs of small data sets from being all overhead.
    """

    def __init__(
        self, draw: Callable[[int], Examples], batch_size: int, seed: int, repeats: int = 1
    ):
        super().__init__()
        self.draw, self.seed, self.repeats = draw, seed, repeats
        self.epoch = -1
        self.begin(0)
        self.batch_size = min(batch_size, len(self.y))

    def begin(self, epoch: int) -> None:
        """Draw the rows of an epoch and their order."""
        if epoch == self.epoch:
            return
        self.epoch = epoch
        x, y = self.draw(epoch)
        rng = np.random.Generator(np.random.Philox([self.seed, epoch, ORDER]))
        order = np.concatenate([rng.permutation(len(y)) for _ in range(self.repeats)])
        # A network may have several inputs: then x is a tuple of arrays.
        self.x = tuple(part[order] for part in x) if isinstance(x, tuple) else x[order]
        self.y = y[order]

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.y) // self.batch_size

    def __getitem__(self, batch: int) -> Examples:
        """Return one batch."""
        rows = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        x = tuple(part[rows] for part in self.x) if isinstance(self.x, tuple) else self.x[rows]
        return x, self.y[rows]

    def end(self, epoch: int, model: keras.Model) -> None:
        """Learn from the model what the next epoch shall be; nothing, here."""

    def state(self) -> dict[str, NDArray]:
        """Return what `end` has learned: part of a checkpoint."""
        return {}

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Undo `state`."""


class Keeper(keras.callbacks.Callback):
    """Begin epochs, record them, keep the best weights, stop early, checkpoint and resume.

    Keras' own callbacks for this forget, on resuming, the best epoch and the history.
    """

    def __init__(
        self,
        epochs: Epochs,
        validate: Validate,
        n_epochs: int,
        patience: int,
        checkpoint: Path,
        identity: str,
        every: float,
        watch: Watch | None = None,
        held_from: int | None = None,
    ):
        super().__init__()
        self.held_from = held_from
        self.epochs, self.validate, self.n_epochs = epochs, validate, n_epochs
        self.patience, self.checkpoint, self.every = patience, checkpoint, every
        self.identity, self.watch = identity, watch
        self.rows: list[dict[str, float]] = []
        self.best: list[NDArray] = []
        self.begun = self.saved = time.monotonic()

    def on_train_begin(self, logs_=None):
        """Resume from a checkpoint, if there is one."""
        self.bar = iter(logs.progress(range(self.n_epochs), "training", self.n_epochs))
        self._resume()

    def on_epoch_begin(self, epoch, logs_=None):
        """Draw the rows of the epoch."""
        next(self.bar)
        if self.held_from is not None and epoch >= self.held_from:
            self._hold_statistics()
        self.epochs.begin(epoch)
        self.begun = time.monotonic()

    def _hold_statistics(self) -> None:
        for layer in self.model.layers:
            if isinstance(layer, BatchNormalization):
                layer.held = True
        self.model.make_train_function(force=True)
        self.held_from = None

    def on_epoch_end(self, epoch, logs_=None):
        """Validate the epoch, record it, and stop or save if it is time."""
        loss = float(logs_["loss"])
        self.model.reset_metrics()
        with _average_weights(self.model):
            found = self.validate(self.model)
            val_loss = found["val_loss"]
            if not (np.isfinite(loss) and np.isfinite(val_loss)):
                raise FloatingPointError(
                    f"epoch {epoch}: the loss is {loss}, on the validation set {val_loss}; "
                    "a smaller learning_rate may help"
                )
            self.epochs.end(epoch, self.model)
            weights = self.model.get_weights()
        self.rows.append(
            {
                "epoch": epoch,
                "loss": loss,
                **found,
                "learning_rate": float(self.model.optimizer.learning_rate),
                "seconds": round(time.monotonic() - self.begun, 3),
            }
        )
        losses = [row["val_loss"] for row in self.rows]
        best = int(np.argmin(losses))
        if best == epoch:
            self.best = weights
        if self.patience and epoch - best >= self.patience:
            self.model.stop_training = True
        if time.monotonic() - self.saved >= self.every:
            self._save(epoch)
        if self.watch is not None:
            self.watch(self.rows[-1])

    def _save(self, epoch: int) -> None:
        """Write a checkpoint whole under a new name; only then forget the older ones."""
        new = self.checkpoint / f"{epoch + 1:06d}"
        part = self.checkpoint / f"{epoch + 1:06d}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        self.model.save_weights(part / "model.weights.h5")
        np.savez(part / "best.npz", *self.best)
        states = [keras.ops.convert_to_numpy(state) for state in self._random_states()]
        np.savez(part / "random.npz", *states)
        np.savez(part / "rows.npz", **self.epochs.state())
        state = {"identity": self.identity, "rows": self.rows}
        (part / "state.json").write_text(json.dumps(state))
        part.rename(new)
        for old in self.checkpoint.iterdir():
            if old != new:
                shutil.rmtree(old)
        self.saved = time.monotonic()

    def _random_states(self) -> list[keras.Variable]:
        """Return the states of the model's random generators (dropout), which weights leave out."""
        weights = {id(weight) for weight in self.model.weights}
        return [state for state in self.model.variables if id(state) not in weights]

    def _resume(self) -> None:
        for folder in sorted(self.checkpoint.glob("[0-9]*[0-9]"), reverse=True):
            state = json.loads((folder / "state.json").read_text())
            if state["identity"] != self.identity:
                log.info("%s is of other settings or data: training starts afresh", folder)
                shutil.rmtree(self.checkpoint)
                return
            self.model.load_weights(folder / "model.weights.h5")
            with np.load(folder / "best.npz") as best:
                self.best = [best[name] for name in best.files]
            with np.load(folder / "random.npz") as states:
                for variable, name in zip(self._random_states(), states.files, strict=True):
                    variable.assign(states[name])
            with np.load(folder / "rows.npz") as learned:
                self.epochs.restore(dict(learned))
            self.rows = state["rows"]
            self.model._initial_epoch = len(self.rows)  # as keras.callbacks.BackupAndRestore does
            log.info("resumed from %s", folder)
            return


@contextlib.contextmanager
def _average_weights(model: keras.Model) -> Iterator[None]:
    """Exponential moving average: the model has averaged weights for a while, if it has any."""
    if not model.optimizer.use_ema:
        yield
        return
    own = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for weight, value in zip(model.trainable_variables, own, strict=True):
            weight.assign(value)


def fit(
    model: keras.Model,
    loss: Any,
    draw: Callable[[int], Examples] | Epochs,
    validation: Examples | Validate,
    settings: Mapping[str, Any],
    seed: int,
    checkpoint: str | Path,
    identity: str,
    tensorboard: str | Path | None = None,
    watch: Watch | None = None,
) -> list[dict[str, float]]:
    """Train a model; afterwards it has the weights of its best epoch.

    Parameters
    ----------
    model : keras.Model
        Built, not compiled.
    loss : keras loss
    draw : callable or Epochs
        ``draw(epoch)`` gives features and targets, float32. Rows that memory cannot hold come as
        `Epochs` of their own, with ``begin``, ``end``, ``state`` and ``restore``.
    validation : pair of array, or callable
        Features and targets of the validation set; or ``validation(model)``, which gives
        ``val_loss`` and what else the history should say.
    settings : mapping
        ``epochs``, ``batch_size``, ``repeats``, ``learning_rate``, ``weight_decay`` (AdamW),
        ``clip_norm`` (of the gradient; 0: none),
        ``schedule`` (``cosine`` after a short warm-up, or ``constant``), ``patience`` (epochs
        without a better validation loss after which training ends; 0: never) and
        ``checkpoint_seconds``. If there is ``ema``, not 0, it is the momentum per step of an
        exponential moving average of the weights, which is validated and kept. If there is
        ``settle``, not 0, batch normalisation keeps its statistics for that part of the epochs, the
        last ones (not where ``draw`` is a function). ``batch_size`` and ``repeats`` are for a
        ``draw`` that is a function.
    seed : int
        Keys the order of rows.
    checkpoint : path
        Folder for checkpoints, removed at the end.
    identity : str
        What a checkpoint must agree on to be resumed: a digest of settings and data.
    tensorboard : path, optional
        Folder for TensorBoard's event files.
    watch : callable, optional
        Is given each row of the history as it comes; what it raises ends the training.

    Returns
    -------
    list of dict
        The history: ``epoch``, ``loss``, ``val_loss`` (and what ``validation`` adds),
        ``learning_rate`` and ``seconds`` per epoch.

    Raises
    ------
    FloatingPointError
        If the loss is not finite.
    """
    devices.report()
    checkpoint = Path(checkpoint)
    in_memory = not isinstance(draw, Epochs)
    if in_memory:
        epochs = Epochs(draw, settings["batch_size"], seed, settings["repeats"])
    else:
        epochs = draw
    steps = len(epochs) * settings["epochs"]
    rate = settings["learning_rate"]
    if settings["schedule"] == "cosine":
        warm_up = steps // 20
        rate = keras.optimizers.schedules.CosineDecay(
            rate * 1e-2, steps - warm_up, alpha=0.0, warmup_target=rate, warmup_steps=warm_up
        )
    momentum, settle = settings.get("ema", 0.0), settings.get("settle", 0.0)
    optimizer = keras.optimizers.AdamW(
        rate,
        weight_decay=settings["weight_decay"],
        clipnorm=settings["clip_norm"] or None,
        use_ema=momentum > 0,
        ema_momentum=momentum,
    )
    model.compile(optimizer=optimizer, loss=loss, jit_compile="auto")
    optimizer.build(model.trainable_variables)
    keeper = Keeper(
        epochs,
        validation if callable(validation) else _validate_by_loss(validation),
        settings["epochs"],
        settings["patience"],
        checkpoint,
        identity,
        settings["checkpoint_seconds"],
        watch,
        round((1 - settle) * settings["epochs"]) if settle else None,
    )
    callbacks: list[keras.callbacks.Callback] = [keeper]
    if tensorboard is not None:
        callbacks.append(keras.callbacks.TensorBoard(str(tensorboard), write_graph=False))
    if in_memory:
        _fit_in_memory(model, keeper, callbacks)
    else:
        model.fit(epochs, epochs=settings["epochs"], callbacks=callbacks, verbose=0, shuffle=False)
    model.set_weights(keeper.best)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return keeper.rows


def _fit_in_memory(
    model: keras.Model, keeper: Keeper, callbacks: list[keras.callbacks.Callback]
) -> None:
    """Train as ``model.fit`` does, with all steps of an epoch in one call of TensorFlow.

    Between two steps ``fit`` fetches a batch from Python, which takes longer than a step of a
    small network: an epoch takes two thirds (100,000 weights) to a sixth (1,400) of the time, to
    the same numbers.
    """
    import tensorflow as tf

    epochs = keeper.epochs
    model._symbolic_build(data_batch=epochs[0])
    steps, rows = len(epochs), epochs.batch_size

    @tf.function(autograph=False)
    def learn(examples: Any) -> dict[str, Any]:
        def step(i: Any) -> Any:
            model.train_step(
                keras.tree.map_structure(lambda x: x[i * rows : (i + 1) * rows], examples)
            )
            return i + 1

        tf.while_loop(lambda i: i < steps, step, [tf.constant(0)], parallel_iterations=1)
        return model.get_metrics_result()

    calls = keras.callbacks.CallbackList(callbacks, model=model)
    model.stop_training = False
    calls.on_train_begin()
    for epoch in range(len(keeper.rows), keeper.n_epochs):
        model.reset_metrics()
        calls.on_epoch_begin(epoch)
        examples = keras.tree.map_structure(tf.constant, (epochs.x, epochs.y))
        calls.on_epoch_end(epoch, learn(examples))
        if model.stop_training:
            break
    calls.on_train_end()


def _validate_by_loss(validation: Examples) -> Validate:
    """Return the function that finds the loss of examples that fit into one batch."""

    def validate(model: keras.Model) -> dict[str, float]:
        found = model.test_on_batch(*validation, return_dict=True)
        return {"val_loss": float(found["loss"])}

    return validate


def write_history(path: str | Path, rows: list[dict[str, float]]) -> None:
    """Write the history as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace(path, lambda part: part.write_text(text.getvalue()))
