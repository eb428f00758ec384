"""The tables of the documentation that take minutes, with machine and date: docs/measured/*.csv.

Runs the benchmarks that need no results of the workflow, in turn, and writes a table as soon as
its numbers are there. Rates are of processor time on one core.

    python benchmarks/measured.py [dag solver shard renderer]

The others are imported where they run: Linux counts what a process took before it became another
as that one's memory, and Snakemake's is to be Snakemake's.
"""

import csv
import io
import os
import platform
import sys
import time
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})

import dag

from lensmill.pipeline import store

FOLDER = Path(__file__).parents[1] / "docs/measured"


def machine() -> str:
    """Name the processor and how many of its cores there are."""
    name = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip().replace("(R)", "")
            break
    return f"{name}, {os.cpu_count()} cores"


def solver_table() -> list[dict]:
    """Systems per second, all images, against lenstronomy's analytical solver."""
    import solver

    found = [solver.measure(name, n=100_000, n_theirs=500, repeats=7) for name in solver.WORKLOADS]
    return [
        {
            "lenses": row["workload"],
            "Lensmill": f"{row['lensmill']:,.0f}",
            "lenstronomy": f"{row['lenstronomy_analytical']:,.0f}",
            "times": f"{row['ratio']:.0f}",
            "single runs": "{:.0f} to {:.0f}".format(*row["ratio_range"]),
        }
        for row in found
    ]


def shard_table() -> list[dict]:
    """Systems per second of whole shards."""
    import shard

    rows = []
    for population in ("sie", "epl_shear"):
        _, by_processor, size = shard.measure(population, systems=1_000_000, repeats=3)
        rows.append(
            {
                "population": population,
                "per processor second": f"{by_processor:,.0f}",
                "bytes per system": f"{size:.0f}",
            }
        )
    return rows


def renderer_table() -> list[dict]:
    """Noisy images per second, against lenstronomy."""
    import renderer

    sizes = [(size, name) for size in (101, 64) for name in renderer.PSFS]
    rows = []
    for size, name in sizes:
        row = renderer.measure(name, size, n=200, n_theirs=60, repeats=9)
        rows.append(
            {
                "pixels": f"{size} x {size}",
                "PSF": name,
                "Lensmill": f"{row['lensmill']:,.0f}",
                "lenstronomy, reused": f"{row['lenstronomy_reused']:,.0f}",
                "rebuilt": f"{row['lenstronomy_rebuilt']:,.0f}",
                "times reused": f"{row['ratio']['reused']:.1f}",
                "times rebuilt": f"{row['ratio']['rebuilt']:.1f}",
                "difference": f"{row['difference_of_peak']:.0e}",
            }
        )
    return rows


def dag_table() -> list[dict]:
    """Processor time and memory of Snakemake before the first job."""
    rows = []
    for shards in (100, 1000, 10000):
        took = dag.measure(shards)
        rows.append(
            {
                "shards": f"{shards:,}",
                "nothing done [s]": f"{took['todo_s']:.1f}",
                "[MB]": f"{took['todo_mb']:.0f}",
                "all done [s]": f"{took['done_s']:.1f}",
                "[MB] ": f"{took['done_mb']:.0f}",
            }
        )
    return rows


def write(name: str, rows: list[dict]) -> None:
    """Write one table, whole or not at all."""
    where = {"machine": machine(), "date": time.strftime("%Y-%m-%d")}
    text = io.StringIO()
    table = csv.DictWriter(text, [*rows[0], *where], lineterminator="\n")
    table.writeheader()
    table.writerows(row | where for row in rows)
    with store.whole(FOLDER / f"{name}.csv") as file:
        file.write(text.getvalue().encode())


if __name__ == "__main__":
    tables = {
        "dag": dag_table,
        "solver": solver_table,
        "shard": shard_table,
        "renderer": renderer_table,
    }
    for name in sys.argv[1:] or tables:
        write(name, tables[name]())
        print(FOLDER / f"{name}.csv", flush=True)
