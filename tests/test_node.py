"""Threads and compiled code stay within what a job may use of its node."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lensmill import node

SRC = Path(__file__).parents[1] / "src"

DRAW = """
import hashlib, sys
from lensmill import experiments
from lensmill.pipeline import settings
from lensmill.pipeline.streams import uniforms

simulator = experiments.load("time_delay", "simulate")
chosen = settings.population(experiments.defaults("time_delay"), sys.argv[1])
tables = simulator.draw(0, uniforms(1, "time_delay", sys.argv[1], 0, 50, simulator.WIDTH), chosen)
digest = hashlib.sha256()
for table in sorted(tables):
    for name in sorted(tables[table]):
        digest.update(tables[table][name].tobytes())
print(digest.hexdigest())
"""

STARS = """
import hashlib
import numpy as np
from lensmill.imaging import psf, scenes
from lensmill.imaging.render import render

n, rng = 200, np.random.default_rng(1)
stars = scenes.light(scenes.POINT, *rng.uniform(-2, 2, (2, n)), rng.uniform(5, 20, (n, 1)))
none = scenes.lenses(np.zeros(n), np.ones(n), np.zeros(n), np.full(n, 2.0), *np.zeros((4, n)))
drawn = scenes.assemble(none, (np.arange(n), stars))
pixels, _ = render(drawn, 41, 0.1, [psf.moffat(0.25, 3, 0.1)])
assert (pixels.max(axis=(1, 2)) > 0).all()
print(hashlib.sha256(pixels.tobytes()).hexdigest())
"""


def python(code, *arguments, **environment):
    """Run Python as a job does, and return what it prints."""
    environment = {k: str(v) for k, v in environment.items()}
    answer = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(SRC)} | environment,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def test_numba_and_blas_take_the_threads_of_the_rule():
    code = (
        "import lensmill, numba, scipy.linalg, threadpoolctl as t\n"
        "threads = {pool['num_threads'] for pool in t.threadpool_info()}\n"
        "print(numba.config.NUMBA_NUM_THREADS, *threads)"
    )
    # as Snakemake sets them for a rule with `threads: 1`, whatever the shell it was started in says
    one = {"OMP_NUM_THREADS": 1, "OPENBLAS_NUM_THREADS": 1, "MKL_NUM_THREADS": 1}
    assert python(code, **one, NUMBA_NUM_THREADS=2) == "1 1"


def test_compiled_code_is_kept_on_the_node_and_not_where_the_job_was_submitted(tmp_path):
    code = "import lensmill, os; print(os.environ['NUMBA_CACHE_DIR'])"
    there = f"/scratch/of/the/login/node/{node.OURS}-0-login"
    here = python(code, NUMBA_CACHE_DIR=there, TMPDIR=tmp_path)
    assert Path(here).parent == tmp_path and Path(here).is_dir()


def test_a_cache_that_the_user_has_chosen_is_used(tmp_path):
    code = "import lensmill, os; print(os.environ['NUMBA_CACHE_DIR'])"
    assert python(code, NUMBA_CACHE_DIR=tmp_path / "mine") == str(tmp_path / "mine")


def test_a_cache_that_others_can_write_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(node.tempfile, "tempdir", str(tmp_path))
    first = node.compiled()
    assert node.compiled() == first
    Path(first).chmod(0o777)
    second = node.compiled()
    assert second != first and Path(second).parent == tmp_path


def test_a_home_and_a_cache_that_cannot_be_written_are_named_and_not_needed(tmp_path):
    (tmp_path / "file").touch()  # a path below a file cannot be made, not even by root
    nowhere = {"HOME": tmp_path / "file/me", "NUMBA_CACHE_DIR": tmp_path / "file/numba"}
    nowhere |= {"XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": "", "MPLCONFIGDIR": ""}
    code = "import lensmill.node as n, os; print(*n.NOTES, sep='\\n');"
    code += "print(os.environ['NUMBA_CACHE_DIR'], os.environ['MPLCONFIGDIR'])"
    numba, home, used = python(code, **nowhere, TMPDIR=tmp_path).splitlines()
    assert f"NUMBA_CACHE_DIR={nowhere['NUMBA_CACHE_DIR']} cannot be written" in numba
    assert f"{nowhere['HOME']}/.cache and {nowhere['HOME']}/.config cannot be written" in home
    assert "export XDG_CACHE_HOME" in home
    assert all(Path(folder).parent.is_relative_to(tmp_path) for folder in used.split())
    good = nowhere | {"XDG_CACHE_HOME": tmp_path / "c", "XDG_CONFIG_HOME": tmp_path / "d"}
    assert "XDG" not in python(code.replace("'MPLCONFIGDIR'", "'HOME'"), **good, TMPDIR=tmp_path)


def test_compiled_code_is_found_whichever_package_is_imported_first(tmp_path):
    theirs = "from lenstronomy.LensModel.Solver.epl_shear_solver import _getphi"
    ours = "from lensmill.lensing.solver import _solve; from lensmill.imaging.render import render"
    said = "import os; print(*(os.path.relpath(f._cache.cache_path, os.environ['NUMBA_CACHE_DIR'])"
    said += " for f in (_getphi, _solve)))"
    first, second = (
        python("; ".join(["import lensmill", *order, said]), NUMBA_CACHE_DIR=tmp_path)
        for order in ([theirs, ours], [ours, theirs])
    )
    assert first == second
    lenstronomy, lensing = first.split()
    assert "lensing-" in lensing and "lensing-" not in lenstronomy


def test_images_of_a_process_that_compiles_the_renderer_are_those_of_one_that_loads_it(tmp_path):
    compiled, loaded = (python(STARS, NUMBA_CACHE_DIR=tmp_path) for _ in range(2))
    assert loaded == compiled


@pytest.mark.slow
def test_processes_that_compile_at_once_in_one_cache_agree_with_one_alone(tmp_path):
    names = ["sis_shear", "sie", "epl_shear", "survey"]
    alone = {name: python(DRAW, name, NUMBA_CACHE_DIR=tmp_path / "alone") for name in names}
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            (name, pool.submit(python, DRAW, name, NUMBA_CACHE_DIR=tmp_path / "shared"))
            for name in names * 2
        ]
    for name, job in jobs:
        assert job.result() == alone[name]
    for name in names:  # and the cache that they leave behind is sound
        assert python(DRAW, name, NUMBA_CACHE_DIR=tmp_path / "shared") == alone[name]
