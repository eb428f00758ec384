"""What 1e5 to 1e8 systems, or 1e5 and 1e6 images, ask of a cluster: a table from measured rates.

Every step is run in a process of its own for two sizes; the processor time of the larger, less that
of the smaller, gives the rate, the rest the start. So the table does not depend on what else this
machine is doing.

    python benchmarks/scale_table.py [--systems 1000000 2000000] [--images 20000 40000]
"""

import argparse
import multiprocessing
import resource
import tempfile
from pathlib import Path

import scaling
from scaling import experiments, settings

CORES = 100
SUBMISSION = 2.5  # [s] between two submissions: the executor pauses for 5 s in each of two threads
WRAPPER = 3.0  # [core s] a job: Python and Snakemake, started three times (measured with 200 jobs)
LATENCY = 20.0  # [s] from the end of a step to the start of the next one: polling, queue, start


def cost(step, *arguments) -> tuple[float, float]:
    """Run a step in a fresh process; return its processor time [s] and its peak memory [MB]."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_run, args=(sender, step, arguments))
    process.start()
    answer = receiver.recv()
    process.join()
    return answer


def _run(sender, step, arguments) -> None:
    step(*arguments)
    used = resource.getrusage(resource.RUSAGE_SELF)
    sender.send((used.ru_utime + used.ru_stime, used.ru_maxrss / 1024))


def chain(folder: Path, systems: int, sample: tuple[str, str]) -> dict[str, tuple[float, float]]:
    """Run simulate, merge and check for so many systems in one shard; return what they took."""
    experiment, population = sample
    defaults = experiments.defaults(experiment)
    chosen = settings.population(defaults, population)
    shard, dataset = str(folder / "00000.h5"), str(folder / "dataset.h5")
    took = {
        "simulate": cost(scaling.simulate, *sample, shard, 0, systems, chosen),
        "merge": cost(scaling.merge, *sample, [shard], dataset, systems, chosen),
    }
    fractions = defaults.get("expected_fractions", {}).get(population, {})
    expected = chosen | {"systems": systems, "expected_fractions": fractions}
    report = str(folder / "checks.json")
    took["check"] = cost(scaling.check, experiment, dataset, expected, report)
    took["bytes"] = (Path(dataset).stat().st_size, 0.0)
    return took


def rates(
    sizes: list[int], sample: tuple[str, str], folder: str | None
) -> dict[str, tuple[float, float, float, float]]:
    """Return, by step, start [core s], [core s] a system, memory [MB] without and a system."""
    runs = []
    for size in [min(sizes), *sorted(sizes)]:  # the first compiles
        with tempfile.TemporaryDirectory(dir=folder) as inside:
            runs.append(chain(Path(inside), size, sample))
    small, large = runs[1:]
    few, many = sorted(sizes)
    found = {}
    for name, (seconds, memory) in large.items():
        slope = (seconds - small[name][0]) / (many - few)
        growth = max(0.0, (memory - small[name][1]) / (many - few))
        start = max(0.0, seconds - many * slope)
        found[name] = (start, slope, memory - many * growth, growth)
    return found


def line(what: str, core_hours: float, wall: float, disk: float, largest: str) -> str:
    """Return one row of the table."""
    minutes = f"{wall / 60:.0f} min" if wall < 5400 else f"{wall / 3600:.1f} h"
    return f"| {what} | {core_hours:.2g} | {minutes} | {disk / 1e9:.2g} GB | {largest} |"


def row(systems: int, what: str, measured: dict, size: int) -> str:
    """Return the row of so many systems in shards of ``size``."""
    shards = -(-systems // size)
    of_job = {"simulate": min(size, systems), "merge": systems, "check": systems}
    seconds = {step: measured[step][0] + n * measured[step][1] for step, n in of_job.items()}
    memory = {step: measured[step][2] + n * measured[step][3] for step, n in of_job.items()}
    one, serial = seconds["simulate"], seconds["merge"] + seconds["check"]
    hours = (shards * (one + WRAPPER) + serial + 2 * WRAPPER) / 3600
    waves = max(-(-shards // CORES) * one, shards * SUBMISSION + one)
    disk = 2 * measured["bytes"][1] * systems  # the shards stay beside the merged file
    longest, widest = (max(of_job, key=of.get) for of in (seconds, memory))
    return line(
        f"{systems:.0e} {what} in {shards} shard{'s' * (shards > 1)}".replace("e+0", "e"),
        hours,
        waves + serial + 3 * LATENCY,
        disk,
        f"{seconds[longest] / 60:.1f} min ({longest}), {memory[widest] / 1000:.1f} GB ({widest})",
    )


def main() -> None:
    """Parse the command line, measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, nargs=2, default=[10**6, 2 * 10**6])
    parser.add_argument("--population", default="epl_shear", help="the slowest, by default")
    parser.add_argument("--images", type=int, nargs=2, default=[20000, 40000])
    parser.add_argument("--images-of", default="euclid", help="population of images")
    parser.add_argument("--folder", help="where the files go for a while")
    arguments = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    kinds = [
        ("systems", arguments.systems, ("time_delay", arguments.population)),
        ("images", arguments.images, ("lens_finding", arguments.images_of)),
    ]
    found = {name: rates(sizes, sample, arguments.folder) for name, sizes, sample in kinds}
    print("| step | start | a million | memory | a million |\n|" + " --- |" * 5)
    for name, measured in found.items():
        for step in ("simulate", "merge", "check"):
            start, rate, memory, growth = measured[step]
            took = f"{start:.1f} core s | {rate * 1e6:.1f} core s"
            print(f"| {step} {name} | {took} | {memory:.0f} MB | {growth * 1e6:.0f} MB |")
    print("\n| | core-hours | wall time, 100 cores | disk | largest job |\n|" + " --- |" * 5)
    for name, _, (experiment, _) in kinds:
        size = experiments.defaults(experiment)["shard_size"]
        for systems in (10**5, 10**6, 10**7, 10**8) if name == "systems" else (10**5, 10**6):
            print(row(systems, name, found[name], size))


if __name__ == "__main__":
    main()
