"""How many images of clusters are simulated in a second, and what they are made of.

Populations of the default run, one core, processor time; the median of the repeats is given, after
one that is not counted (it compiles). Beside the whole the parts: what is expected in every pixel,
and the counting of photons.

    PYTHONPATH=src python benchmarks/cluster_mass.py [--systems 256] [--repeats 5]
"""

import argparse
import os
import time

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})

import numpy as np

from lensmill import experiments
from lensmill.clusters import images
from lensmill.experiments.cluster_mass import simulate
from lensmill.pipeline import settings as checked
from lensmill.pipeline import shards
from lensmill.pipeline.draws import Draws


def seconds(function, *arguments) -> tuple[float, object]:
    """Return the processor time that a call takes, and what it gives."""
    begun = time.process_time()
    result = function(*arguments)
    return time.process_time() - begun, result


def measure(population: str, systems: int, repeats: int) -> dict[str, list[float]]:
    """Return images per second of each repeat: of the whole, and of its parts."""
    settings = checked.population(experiments.defaults("cluster_mass"), population)
    stream = simulate, 1, "cluster_mass", population
    found: dict[str, list[float]] = {"whole": [], "expected": [], "photons": []}
    for repeat in range(repeats + 1):
        numbers = shards.numbers(*stream, repeat * systems, systems, settings)
        whole, _ = seconds(simulate.draw, 0, numbers, settings)
        draws = Draws(numbers, settings["prior"], simulate.SLOTS)
        clusters = simulate.draw_clusters(draws, settings["family"], settings["prior"])
        turn = np.zeros(systems)
        scene, (expected, _) = seconds(
            simulate.expect, clusters, draws, turn, settings["observation"]
        )
        keys = np.arange(systems, dtype=np.uint64)
        counted, _ = seconds(images.photons, expected, keys)
        if repeat:
            for name, took in zip(found, (whole, scene, counted), strict=True):
                found[name].append(systems / took)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    for population in ("flat", "mass_function"):
        found = measure(population, arguments.systems, arguments.repeats)
        for name, rates in found.items():
            low, middle, high = np.percentile(rates, [0, 50, 100])
            print(f"{population:15s} {name:10s} {middle:6.0f} images/s ({low:.0f} to {high:.0f})")


if __name__ == "__main__":
    main()
