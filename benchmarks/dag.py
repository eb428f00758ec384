"""How long Snakemake thinks, and how much memory it takes, for so many shards.

Processor time, so that the table does not depend on what else this machine is doing.

A dry run of one population cut into 100, 1,000 and 10,000 shards: nothing done yet, and everything
done. Nothing is simulated.

    python benchmarks/dag.py [--shards 100 1000 10000]
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
POPULATION = "sis_shear"
TARGET = f"results/time_delay/data/{POPULATION}/checks.json"


def measured(command: list[str], folder: str) -> tuple[float, float, str]:
    """Run a command; return its processor time [s], peak memory [MB] and output."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{text[-3000:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text


def measure(shards: int) -> dict[str, float]:
    """Time both dry runs of a population in so many shards: processor time [s], memory [MB]."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "settings.yaml"
        chosen = {"shard_size": 1, "populations": {POPULATION: {"systems": shards}}}
        settings.write_text(yaml.safe_dump({"experiments": {"time_delay": chosen}}))
        snakemake = [str(Path(sys.executable).with_name("snakemake")), "--dry-run"]
        snakemake += ["--snakefile", str(ROOT / "Snakefile"), "--directory", folder]
        snakemake += ["--configfile", str(settings), "--rerun-triggers", "mtime"]
        todo = measured([*snakemake, "--quiet", "all", "--", TARGET], folder)
        for name in [f"shards/{shard:05d}.h5" for shard in range(shards)] + ["dataset.h5"]:
            file = Path(folder, TARGET).parent / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        Path(folder, TARGET).touch()
        done = measured([*snakemake, "--", TARGET], folder)
        if "Nothing to be done" not in done[2]:
            sys.exit(f"{shards} shards are there and yet:\n{done[2][-2000:]}")
    return {"todo_s": todo[0], "todo_mb": todo[1], "done_s": done[0], "done_mb": done[1]}


def main() -> None:
    """Parse the command line, measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=int, nargs="+", default=[100, 1000, 10000])
    arguments = parser.parse_args()
    print("| shards | to be done | memory | all done | memory |\n| --- | --- | --- | --- | --- |")
    for shards in arguments.shards:
        took = measure(shards)
        print(
            f"| {shards} | {took['todo_s']:.1f} s | {took['todo_mb']:.0f} MB "
            f"| {took['done_s']:.1f} s | {took['done_mb']:.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
