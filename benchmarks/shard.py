"""A shard from random numbers to the renamed file: SIE systems per second and core.

Draw, solve, distances, areas, digest, write and flush, in one process on one core after a warm-up
(which loads the compiled code); the start of the interpreter is left out, as a shard of the default
size takes seconds. Prints the median of the repeats, by the wall and by the processor.

    python benchmarks/shard.py [--population sie] [--systems 1000000] [--repeats 5] [--folder DIR]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from lensmill import experiments
from lensmill.pipeline import settings, shards

EXPERIMENT, SEED = "time_delay", 1


def measure(
    population: str, systems: int, repeats: int, folder: str | None = None
) -> tuple[float, float, float]:
    """Return systems per second by the wall and by the processor, and bytes per system."""
    chosen = settings.population(experiments.defaults(EXPERIMENT), population)
    simulator = experiments.load(EXPERIMENT, "simulate")
    rates = []
    with tempfile.TemporaryDirectory(dir=folder) as folder:
        path = str(Path(folder) / "shard.h5")
        for repeat in range(repeats + 1):
            count = systems if repeat else 1000
            wall, processor = time.perf_counter(), time.process_time()
            shards.simulate(path, simulator, EXPERIMENT, population, SEED, 0, count, chosen, "none")
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            if repeat:
                rates.append((count / wall, count / processor))
        size = Path(path).stat().st_size
    by_wall, by_processor = (statistics.median(rate) for rate in zip(*rates, strict=True))
    return by_wall, by_processor, size / systems


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--population", default="sie")
    parser.add_argument("--systems", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", help="where the shard goes for a while")
    arguments = parser.parse_args()
    by_wall, by_processor, size = measure(**vars(arguments))
    print(
        f"{arguments.population}: {by_wall:,.0f} systems per second, {by_processor:,.0f} per "
        f"processor second ({arguments.repeats} shards of {arguments.systems:,}, "
        f"{size:.0f} bytes per system)"
    )


if __name__ == "__main__":
    main()
