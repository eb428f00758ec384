#!/usr/bin/env bash
# Keras 3.15.0 on TensorFlow 2.19.1: averaged weights, then a frozen layer: the layer that learns ends as the frozen one.
#
# use_ema=True keeps a moving average of every weight, and fit() ends by putting the averages in their place. If a layer
# is frozen between two fits and the model compiled again, as the documentation asks, but with the optimizer that it
# has, the averages are handed out from the first on to the weights that are still trainable: the second layer gets
# the average of the first, frozen one. The base class refuses lists of different lengths; the class for TensorFlow does not.
# No error, no warning; the loss that fit() reports is that before the exchange. With a new optimizer all is well. Seen:
#
#   same optimizer: fit() ends at 0.000, evaluate() says 7.525; weights 2.0 (frozen) and 2.0
#   new optimizer: fit() ends at 0.000, evaluate() says 0.000; weights 2.0 (frozen) and 3.5
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check \
  keras==3.15.0 tensorflow==2.19.1 numpy==2.1.3
cd "$folder"
TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=tensorflow venv/bin/python - <<'PYTHON' 2>errors || { cat errors; exit 1; }
import keras
import numpy as np


def learn(new_optimizer):
    """Two layers of one weight: fit y = 6 x from (2, 3), freeze the first, fit y = 7 x."""
    first, second = (keras.layers.Dense(1, use_bias=False) for _ in range(2))
    model = keras.Sequential([keras.Input((1,)), first, second])
    first.kernel.assign([[2.0]])
    second.kernel.assign([[3.0]])
    make = lambda: keras.optimizers.SGD(0.02, use_ema=True, ema_momentum=0.5)  # noqa: E731
    x = np.random.default_rng(0).normal(size=(64, 1)).astype("f4")
    model.compile(make(), "mse")
    model.fit(x, 6 * x, epochs=1, batch_size=16, verbose=0)
    first.trainable = False
    model.compile(make() if new_optimizer else model.optimizer, "mse")
    ended = model.fit(x, 7 * x, epochs=100, batch_size=16, verbose=0).history["loss"][-1]
    after = float(model.evaluate(x, 7 * x, verbose=0))
    weights = [float(layer.kernel.numpy()[0, 0]) for layer in (first, second)]
    name = "new optimizer" if new_optimizer else "same optimizer"
    print(f"{name}: fit() ends at {ended:.3f}, evaluate() says {after:.3f}; "
          f"weights {weights[0]:.1f} (frozen) and {weights[1]:.1f}")
    return ended, after, weights


ended, after, (frozen, learned) = learn(new_optimizer=False)
assert ended < 1e-3 and after > 1 and learned == frozen, "not as stated any more"
ended, after, (frozen, learned) = learn(new_optimizer=True)
assert ended < 1e-3 and after < 1e-3 and abs(learned - 3.5) < 1e-2, "a new optimizer does not help"
PYTHON
