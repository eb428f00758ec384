"""How long a lens of one's own takes, from `make lens` to its verdict, the calibration being there.

Processor time of Snakemake and all that it starts, on one core, in a fresh copy of the results that
the verdict needs; the median of several.

    python benchmarks/own_lens.py [--results .] [--repeats 3] [--table my_lens.csv]

The results are of a folder where `make lens` or `make run` was; without a table it is the quad of
docs/own_lens.md.
"""

import argparse
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAMILY = Path("results/time_delay/hubble/family.json")


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path(), help="folder of an earlier run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    if not (arguments.results / FAMILY).exists():
        sys.exit(f"{arguments.results / FAMILY} is missing; say make lens CSV=... there first")
    page = (ROOT / "docs/own_lens.md").read_text()
    table = arguments.table.read_text() if arguments.table else first_table(page)
    with tempfile.TemporaryDirectory() as folder:
        copy_results(arguments.results, Path(folder))
        took = [measure(Path(folder), table, f"lens {i}.csv") for i in range(arguments.repeats)]
    print("processor time [s]: " + ", ".join(f"{seconds:.1f}" for seconds in took))
    print(f"median {statistics.median(took):.1f} s")


def first_table(page: str) -> str:
    """Return the example of the page on one's own lens."""
    return re.search(r"```csv\n(.*?)```", page, re.DOTALL)[1]


def copy_results(results: Path, folder: Path) -> None:
    """Copy what the calibration was made of, with Snakemake's notes on it."""
    parts = [Path("results/time_delay") / part for part in ("data/survey", "posteriors", "hubble")]
    for part in (*parts, Path(".snakemake/metadata")):
        shutil.copytree(results / part, folder / part)


def measure(folder: Path, table: str, name: str) -> float:
    """Infer the lens of a table; processor time of all processes [s]."""
    (folder / name).write_text(table)
    command = [Path(sys.executable).with_name("snakemake"), "--snakefile", ROOT / "Snakefile"]
    command += ["--cores", "1", "--quiet", "host", "reason", "progress"]
    command += ["--config", f"experiments={{time_delay: {{lens: '{name}'}}}}", "--", "lens"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = done.stdout + done.stderr
    jobs = re.findall(r"^(?:local)?rule (\w+):", said, re.MULTILINE)
    if done.returncode or jobs != ["infer_lens", "lens"]:
        sys.exit(f"jobs: {jobs}\n{said[-3000:]}")
    print(done.stdout.strip().splitlines()[0])
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
