#!/usr/bin/env bash
# TensorFlow 2.19.1, CPU: in a loop that XLA compiles, what is computed of x[j : j + 64] costs as much as of all of x.
#
# The usual epoch inside one tf.function: a tf.while_loop whose steps take x[j : j + 64] of all rows. jit_compile=True
# ("XLA for small networks") gives the same numbers, but XLA does not see that 64 rows are 64 rows: the slice keeps the
# size of x, and every product after it is of that size. Outside a loop the same slice costs nothing, tf.slice with a
# size that is a number costs nothing either, and neither says a word. Microseconds of one core per step (two products
# and a hyperbolic tangent) where x has 1,000 and 50,000 rows, seen:
#
#   x[j : j + 64]            20      22 microseconds
#   x[j : j + 64]  XLA      248   12838 microseconds
#   tf.slice                 17      17 microseconds
#   tf.slice       XLA       19      18 microseconds
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$(command -v python3.11 || command -v python3)" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check tensorflow==2.19.1 numpy==2.1.3
cd "$folder"
TF_CPP_MIN_LOG_LEVEL=3 venv/bin/python - <<'PYTHON' 2>errors || { cat errors; exit 1; }
import time

import numpy as np
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)
ROWS, STEPS, FEW, MANY = 64, 50, 1000, 50000
weights = tf.constant(np.random.default_rng(0).normal(size=(64, 64)).astype("f4") / 8)


def brackets(x, j):
    return x[j : j + ROWS]


def numbers(x, j):
    return tf.slice(x, [j, 0], [ROWS, 64])


def seconds(take, rows, jit):
    """Median time of a step, and what comes out."""

    @tf.function(jit_compile=jit, autograph=False)
    def loop(x):
        def step(i, total):
            some = take(x, i % 10 * ROWS)
            return i + 1, total + tf.reduce_mean(tf.tanh(some @ weights) @ weights)

        return tf.while_loop(lambda i, total: i < STEPS, step, [0, 0.0], parallel_iterations=1)[1]

    x = tf.constant(np.random.default_rng(1).normal(size=(MANY, 64)).astype("f4")[:rows])
    answer, times = float(loop(x)), []
    for _ in range(5):
        begun = time.process_time()
        loop(x).numpy()
        times.append((time.process_time() - begun) / STEPS)
    return np.median(times), answer


answers = []
slower = {}
for name, take in (("x[j : j + 64]", brackets), ("tf.slice", numbers)):
    for jit in (False, True):
        (few, a), (many, b) = (seconds(take, rows, jit) for rows in (FEW, MANY))
        slower[name, jit] = many / few
        answers += [a, b]
        print(f"{name:14} {'XLA' if jit else '':4} {few * 1e6:7.0f} {many * 1e6:7.0f} microseconds")
assert np.ptp(answers) < 1e-5, "the answers differ"
assert slower["x[j : j + 64]", True] > 10, "the slice does not cost as much as the array any more"
assert all(slower[kind] < 3 for kind in slower if kind != ("x[j : j + 64]", True)), "others do now"
PYTHON
