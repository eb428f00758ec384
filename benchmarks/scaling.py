"""How time and memory of the chain grow with the number of systems.

Simulates, merges and checks populations of 1e5, 1e6 and 1e7 SIE + shear systems, each step in a
process of its own (as a job is), and prints wall time, systems per second and peak memory.

    python benchmarks/scaling.py [--systems 100000 1000000 10000000] [--folder DIR] [--json PATH]
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from lensmill import experiments  # noqa: E402
from lensmill.pipeline import checks, settings, shards  # noqa: E402

SAMPLE = EXPERIMENT, POPULATION = "time_delay", "sie_shear"
SEED = 1


def measured(step, *arguments) -> tuple[float, float]:
    """Run a step in a fresh process; return its wall time [s] and its peak memory [MB]."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_run, args=(sender, step, arguments))
    process.start()
    answer = receiver.recv()
    process.join()
    return answer


def _run(sender, step, arguments) -> None:
    start = time.perf_counter()
    step(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sender.send((time.perf_counter() - start, peak))


def simulate(
    experiment: str, population: str, path: str, first: int, count: int, chosen: dict
) -> None:
    """Draw and write one shard, with the start of the interpreter's libraries."""
    simulator = experiments.load(experiment, "simulate")
    shards.simulate(
        path, simulator, experiment, population, SEED, first, count, chosen, "benchmark"
    )


def merge(
    experiment: str, population: str, paths: list[str], output: str, systems: int, chosen: dict
) -> None:
    """Join the shards."""
    shards.merge(
        paths,
        output,
        systems,
        experiment=experiment,
        population=population,
        seed=SEED,
        settings=chosen,
        code="benchmark",
    )


def check(experiment: str, dataset: str, chosen: dict, output: str) -> None:
    """Check the merged data; a failed check ends the benchmark."""
    checks.report(experiments.load(experiment, "check").check(dataset, chosen), output)


def chain(folder: Path, systems: int, defaults: dict) -> dict[str, float]:
    """Run the three steps for one number of systems; return what they took."""
    chosen = settings.population(defaults, POPULATION)
    size = defaults["shard_size"]
    took = {"systems": systems, "shards": -(-systems // size)}
    paths, walls, peaks = [], [], []
    for number, first in enumerate(range(0, systems, size)):
        paths.append(str(folder / f"{number:05d}.h5"))
        count = min(size, systems - first)
        wall, peak = measured(simulate, *SAMPLE, paths[-1], first, count, chosen)
        walls.append(wall)
        peaks.append(peak)
    took |= {"simulate_s": sum(walls), "simulate_mb": max(peaks)}
    dataset = str(folder / "dataset.h5")
    took["merge_s"], took["merge_mb"] = measured(merge, *SAMPLE, paths, dataset, systems, chosen)
    took["file_mb"] = Path(dataset).stat().st_size / 1e6
    for path in paths:
        Path(path).unlink()
    expected = chosen | {
        "systems": systems,
        "expected_fractions": defaults["expected_fractions"][POPULATION],
    }
    report = str(folder / "c.json")
    took["check_s"], took["check_mb"] = measured(check, EXPERIMENT, dataset, expected, report)
    return took


def main() -> None:
    """Parse the command line, measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--folder", help="where the files go for a while; 15 GB for 1e7 systems")
    parser.add_argument("--json", help="also write the numbers here")
    arguments = parser.parse_args()

    multiprocessing.set_start_method("spawn")
    rows = []
    for systems in arguments.systems:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            rows.append(chain(Path(folder), systems, experiments.defaults(EXPERIMENT)))
        row = rows[-1]
        steps = ("simulate", "merge", "check")
        total = sum(row[f"{step}_s"] for step in steps)
        print(
            f"{systems:>10d} systems, {row['shards']:3d} shards, {row['file_mb']:7.0f} MB: "
            + ", ".join(f"{s} {row[f'{s}_s']:6.1f} s {row[f'{s}_mb']:5.0f} MB" for s in steps)
            + f"; {systems / total:9.0f} systems/s in all",
            flush=True,
        )
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
