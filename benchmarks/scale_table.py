"""What 1e5 to 1e8 systems, or 1e5 and 1e6 images, ask of a cluster: a table from measured rates.

Every step is run in a process of its own for two sizes; the processor time of the larger, less that
of the smaller, gives the rate, the rest the start. So the table does not depend on what else this
machine is doing. Images have no simulator yet: their rate is that of lenstronomy 1.13.6 (64 x 64
pixels, SIE + shear, two Sersic profiles, Gaussian PSF, noise), which one of ours has to beat.

    python benchmarks/scale_table.py [--systems 50000 250000] [--images 400] [--folder DIR]
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import scaling
from scaling import EXPERIMENT, experiments, settings

CORES = 100
SUBMISSION = 2.5  # [s] between two submissions: the executor pauses for 5 s in each of two threads
WRAPPER = 3.0  # [core s] a job: Python and Snakemake, started three times (measured with 200 jobs)
LATENCY = 20.0  # [s] from the end of a step to the start of the next one: polling, queue, start
PIXELS, BYTES = 64 * 64, 4


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


def chain(folder: Path, systems: int, population: str) -> dict[str, tuple[float, float]]:
    """Run simulate, merge and check for so many systems in one shard; return what they took."""
    defaults = experiments.defaults(EXPERIMENT)
    chosen = settings.population(defaults, population)
    shard, dataset = str(folder / "00000.h5"), str(folder / "dataset.h5")
    took = {
        "simulate": cost(scaling.simulate, shard, 0, systems, chosen),
        "merge": cost(scaling.merge, [shard], dataset, systems, chosen),
    }
    fractions = defaults["expected_fractions"].get(population, {})
    expected = chosen | {"systems": systems, "expected_fractions": fractions}
    took["check"] = cost(scaling.check, dataset, expected, str(folder / "checks.json"))
    took["bytes"] = (Path(dataset).stat().st_size, 0.0)
    return took


def rates(
    sizes: list[int], population: str, folder: str | None
) -> dict[str, tuple[float, float, float, float]]:
    """Return, by step, start [core s], rate [core s per system], memory [MB] and its growth."""
    runs = []
    for size in [min(sizes), *sorted(sizes)]:  # the first compiles
        with tempfile.TemporaryDirectory(dir=folder) as inside:
            runs.append(chain(Path(inside), size, population))
    small, large = runs[1:]
    step = max(sizes) - min(sizes)
    return {
        name: (
            max(0.0, small[name][0] - min(sizes) * (large[name][0] - small[name][0]) / step),
            (large[name][0] - small[name][0]) / step,
            large[name][1],
            max(0.0, (large[name][1] - small[name][1]) / step),
        )
        for name in small
    }


def image_rate(number: int) -> float:
    """Return the processor time of one image by lenstronomy [s]."""
    from lenstronomy.SimulationAPI.sim_api import SimAPI

    band = {
        "pixel_scale": 0.1,
        "exposure_time": 1000.0,
        "magnitude_zero_point": 26.0,
        "read_noise": 4.0,
        "ccd_gain": 2.5,
        "sky_brightness": 22.0,
        "seeing": 0.3,
        "num_exposures": 1,
        "psf_type": "GAUSSIAN",
    }
    light = {"R_sersic": 0.5, "n_sersic": 2.0, "center_x": 0.0, "center_y": 0.0}
    light |= {"e1": 0.1, "e2": 0.0}
    models = {"lens_model_list": ["SIE", "SHEAR"], "source_light_model_list": ["SERSIC_ELLIPSE"]}
    models["lens_light_model_list"] = ["SERSIC_ELLIPSE"]
    image = SimAPI(64, band, models).image_model_class({"supersampling_factor": 1})
    rng = np.random.default_rng(0)
    start = time.process_time()
    for _ in range(number):
        lens = {
            "theta_E": rng.uniform(0.8, 1.5),
            "e1": 0.1,
            "e2": 0.0,
            "center_x": 0,
            "center_y": 0,
        }
        drawn = image.image(
            [lens, {"gamma1": 0.03, "gamma2": 0.0}],
            [light | {"amp": 1.0}],
            [light | {"amp": 10.0}],
        )
        rng.normal(drawn, 0.1)
    return (time.process_time() - start) / number


def line(what: str, core_hours: float, wall: float, disk: float, largest: str) -> str:
    """Return one row of the table."""
    minutes = f"{wall / 60:.0f} min" if wall < 5400 else f"{wall / 3600:.1f} h"
    return f"| {what} | {core_hours:.2g} | {minutes} | {disk / 1e9:.2g} GB | {largest} |"


def main() -> None:
    """Parse the command line, measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--systems", type=int, nargs=2, default=[50000, 250000])
    parser.add_argument("--population", default="epl_shear", help="the slowest, by default")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--folder", help="where the files go for a while")
    arguments = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    measured = rates(arguments.systems, arguments.population, arguments.folder)
    print(
        "| step | start [core s] | 1e6 systems [core s] | memory [MB] |\n| --- | --- | --- | --- |"
    )
    for name in ("simulate", "merge", "check"):
        start, rate, memory, _ = measured[name]
        print(f"| {name} | {start:.1f} | {rate * 1e6:.1f} | {memory:.0f} |")
    each = measured["bytes"][1]
    size = experiments.defaults(EXPERIMENT)["shard_size"]
    print("\n| | core-hours | wall time, 100 cores | disk | largest job |\n|" + " --- |" * 5)
    for systems in (10**5, 10**6, 10**7, 10**8):
        shards = -(-systems // size)
        one = measured["simulate"][0] + measured["simulate"][1] * min(size, systems)
        serial = sum(measured[s][0] + measured[s][1] * systems for s in ("merge", "check"))
        hours = (shards * (one + WRAPPER) + serial + 2 * WRAPPER) / 3600
        waves = max(-(-shards // CORES) * one, shards * SUBMISSION + one)
        memory = measured["simulate"][2] + measured["simulate"][3] * (min(size, systems))
        largest = f"{max(one, serial / 2) / 60:.1f} min, {memory:.0f} MB"
        disk = 2 * each * systems  # the shards stay beside the merged file
        name = f"{systems:.0e} systems in {shards} shard{'s' * (shards > 1)}".replace("e+0", "e")
        print(line(name, hours, waves + serial + 3 * LATENCY, disk, largest))
    seconds, size = image_rate(arguments.images), 20000
    for images in (10**5, 10**6):
        shards, one = -(-images // size), size * seconds
        hours = shards * (one + WRAPPER) / 3600
        wall = max(-(-shards // CORES) * one, shards * SUBMISSION + one) + 2 * LATENCY
        disk = 2 * images * PIXELS * BYTES
        largest = f"{one / 60:.1f} min, {size * PIXELS * BYTES * 2 / 1e6:.0f} MB"
        name = f"{images:.0e} images (one band) in {shards} shards".replace("e+0", "e")
        print(line(name, hours, wall, disk, largest))


if __name__ == "__main__":
    main()
