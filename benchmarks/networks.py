"""How fast the networks for images train and answer, and how many weights they have.

Images per processor second, so that the table does not depend on what else this machine is doing:
the median over steps of one batch, on one thread. A step is forward, backward and AdamW; the first,
in which the graph is traced, is left out. Reading images takes a thousandth of it.

    python benchmarks/networks.py [--networks p4m resnet ...] [--size 64] [--bands 1] [--batch 64]
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from lensmill import experiments
from lensmill.learning.backend import start_keras

start_keras(1)

import keras  # noqa: E402
import numpy as np  # noqa: E402

from lensmill.learning import image_models  # noqa: E402

SECONDS = 6.0  # of processor time for every number; at least three steps


def rate(step: Callable[[], object], images: int) -> float:
    """Return images per processor second of a step that takes so many."""
    step()
    took: list[float] = []
    while len(took) < 3 or (sum(took) < SECONDS and len(took) < 50):
        start = time.process_time()
        step()
        took.append(time.process_time() - start)
    return images / statistics.median(took)


def main() -> None:
    """Parse the command line, measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(image_models.BODIES))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--bands", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()

    shape = (arguments.size, arguments.size, arguments.bands)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(arguments.batch, *shape)).astype(np.float32)
    y = rng.integers(0, 2, (arguments.batch, 1)).astype(np.float32)
    print(f"{shape[0]} x {shape[1]} x {shape[2]}, batches of {arguments.batch}")
    print("| network | weights | trained [images / s] | answered [images / s] |")
    print("| --- | --- | --- | --- |")
    for name in arguments.networks:
        settings = experiments.network_settings("lens_finding", {"architecture": name})
        model = image_models.build(name, shape, settings, seed=1)
        optimizer = keras.optimizers.AdamW(1e-3, clipnorm=1.0)
        model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
        trained = rate(lambda model=model: model.train_on_batch(x, y), len(x))
        answered = rate(lambda model=model: model.predict_on_batch(x), len(x))
        print(f"| {name} | {model.count_params():,} | {trained:,.0f} | {answered:,.0f} |")


if __name__ == "__main__":
    main()
