"""Rule benchmark_solver: nothing in, the speed of the solver and of lenstronomy's out."""

import contextlib
import runpy
import sys
from pathlib import Path

script = Path(snakemake.scriptdir).parents[4] / "benchmarks/solver.py"
few = ["--peer-systems", "200", "--repeats", "3"]  # a run must not wait for more digits
sys.argv = [str(script), "--json", snakemake.output[0], *few]
with Path(snakemake.log[0]).open("w") as log, contextlib.redirect_stdout(log):
    runpy.run_path(str(script), run_name="__main__")
