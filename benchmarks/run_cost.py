"""Processor seconds of a whole run, job by job, of this build and of an earlier one, in turn.

python benchmarks/run_cost.py --old CHECKOUT [--repeats 1] [--folder DIR]

Both run the same experiments from nothing but a warm file cache, with this environment, each in a
folder of its own; what they scored is printed beside. What the earlier build does not do at all
(rules that it lacks) is counted apart.
"""

import argparse
import collections
import csv
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXPERIMENTS = "time_delay,lens_finding"
# Read by every Python before its program; of a job, that is the script that Snakemake has written.
AT_EXIT = """
import atexit, os, resource, sys

def write():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = [u.ru_utime + u.ru_stime for u in used]
    line = f"{os.getpid()}\\t{os.getppid()}\\t{seconds[0]}\\t{' '.join(sys.argv)[-300:]}\\n"
    with open(os.environ["RUN_COST"], "a") as file:
        file.write(line)

atexit.register(write)
"""


def run(checkout: Path, folder: Path) -> dict:
    """Run a build in a folder; return its seconds, by wall and processor, and those of each job."""
    (folder / "site").mkdir()
    (folder / "site/sitecustomize.py").write_text(AT_EXIT)
    jobs = folder / "jobs.tsv"
    environment = dict(os.environ, RUN_COST=str(jobs))
    environment["PYTHONPATH"] = f"{folder / 'site'}:{checkout / 'src'}"
    environment["NUMBA_CACHE_DIR"] = str(folder / "numba")
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(checkout / "Snakefile")]
    words += ["--directory", str(folder), "--cores", "2", "--config", f"run=[{EXPERIMENTS}]"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (folder / "log").open("w") as log:
        subprocess.run(words, check=True, stdout=log, stderr=log, env=environment)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    total = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "total": total, "rules": by_rule(jobs), "auroc": aurocs(folder)}


def by_rule(jobs: Path) -> dict[str, tuple[int, float]]:
    """Return jobs and processor seconds of each script."""
    found: dict[str, list[float]] = collections.defaultdict(list)
    for line in jobs.read_text().splitlines():
        *_, seconds, words = line.split("\t")
        script = Path(words.split(" ")[0]).name
        name = script.split(".")[-2] if ".snakemake/scripts/" in words else script
        found[name].append(float(seconds))
    return {name: (len(every), sum(every)) for name, every in found.items()}


def aurocs(folder: Path) -> dict[str, float]:
    """Return the AUROC of the lens finders on the population that they learned from."""
    with (folder / "results/lens_finding/scores/scores.csv").open(newline="") as file:
        return {
            row["network"]: float(row["auroc"])
            for row in csv.DictReader(file)
            if row["population"] == "euclid"
        }


def main() -> None:
    """Parse the command line, run the builds in turn and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--old", type=Path, required=True, help="checkout of the earlier build")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folder", help="where the results go for a while: 2 GB")
    parser.add_argument("--json", type=Path, help="also written there")
    arguments = parser.parse_args()
    builds = {"earlier": arguments.old.resolve(), "this build": ROOT}
    found: dict[str, list[dict]] = {name: [] for name in builds}
    for _ in range(arguments.repeats):
        for name, checkout in builds.items():
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                found[name].append(run(checkout, Path(folder)))
            last = found[name][-1]
            sys.stdout.write(f"{name}: {last['wall']:.0f} s, {last['total']:.0f} s of processor\n")
            sys.stdout.flush()
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    write_table(found)


def medians(several: list[dict]) -> dict[str, tuple[int, float]]:
    """Return jobs and the median of the processor seconds of each script over several runs."""
    names = {rule for one in several for rule in one["rules"]}
    return {
        name: (
            several[0]["rules"].get(name, (0, 0.0))[0],
            statistics.median(one["rules"].get(name, (0, 0.0))[1] for one in several),
        )
        for name in names
    }


def write_table(found: dict[str, list[dict]]) -> None:
    """Print jobs and medians of the processor seconds of every rule, beside each other."""
    earlier, ours = (found[name] for name in ("earlier", "this build"))
    old, new = medians(earlier), medians(ours)
    write = sys.stdout.write
    write("| job | earlier: jobs | seconds | this build: jobs | seconds |\n|---|---|---|---|---|\n")
    none = 0, 0.0
    costs = {rule: (old.get(rule, none), new.get(rule, none)) for rule in {*old, *new}}
    for rule, (a, b) in sorted(costs.items(), key=lambda item: -max(item[1][0][1], item[1][1][1])):
        write(f"| {rule} | {a[0]} | {a[1]:.1f} | {b[0]} | {b[1]:.1f} |\n")
    for name, several in found.items():
        write(f"{name}: median {statistics.median(run['total'] for run in several):.0f} s; AUROC ")
        write(", ".join(f"{n} {a:.4f}" for n, a in several[-1]["auroc"].items()) + "\n")


if __name__ == "__main__":
    main()
