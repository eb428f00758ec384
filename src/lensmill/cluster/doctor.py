"""Diagnosis of this machine, or this node, for the workflow: `make doctor`.

    python -m lensmill.cluster.doctor

Imports only the standard library, since it is there for environments that are broken. Every
finding is one line, good or bad, and a bad one says what to do. Exit status 1 if a step would fail.
"""

import importlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import site
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from lensmill import node
from lensmill.cluster import plan, queue

ROOT = Path(__file__).parents[3]
GOOD, CARE, BAD = "ok", "care", "BAD"
Finding = tuple[str, str, str]  # GOOD, CARE or BAD; what was looked at; what was found

# Compiled parts of the standard library that a Python built without their headers lacks.
COMPILED = ("_ctypes", "_ssl", "_hashlib", "_bz2", "_lzma", "_sqlite3", "zlib", "_curses")
NEEDED = ("_ctypes", "_ssl", "_hashlib", "_sqlite3", "zlib")  # by numba, pip, Snakemake
ADVICE = {
    "_ctypes": "libffi-dev",
    "_ssl": "libssl-dev",
    "_hashlib": "libssl-dev",
    "_sqlite3": "libsqlite3-dev",
}
LEAST_MEMORY, LEAST_DISK = 4, 10  # [GB]: the largest default job; data and scores of a full run

ASK_KERAS = """
import json, os
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras, tensorflow as tf
print(json.dumps([keras.backend.backend(), keras.__version__, tf.__version__,
                  [d.name for d in tf.config.list_physical_devices("GPU")],
                  bool(tf.test.is_built_with_cuda())]))
"""


def python() -> Iterator[Finding]:
    """Look at the interpreter and at the compiled part of its library."""
    version = platform.python_version()
    where = f"{version}, {sys.executable}"
    if (3, 11) <= sys.version_info[:2] < (3, 13):
        yield GOOD, "Python", where
    else:
        yield BAD, "Python", f"{where}; needs 3.11 or 3.12: make env PYTHON=/path/to/python3.11"
    lost = []
    for name in COMPILED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            lost.append(name)
            package = ADVICE.get(name, "the library's headers")
            kind = BAD if name in NEEDED else CARE
            yield (
                kind,
                "standard library",
                (
                    f"{name} cannot be imported ({error}): this Python lacks {package}, "
                    "or its library is not on this node; use another Python (module load, conda)"
                ),
            )
    if not lost:
        yield GOOD, "standard library", f"{len(COMPILED)} compiled modules import"


def locked(lock: Path) -> dict[str, str]:
    """Read the versions that a locked requirements file pins."""
    pins = re.findall(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^\s;\\]+)", lock.read_text(), re.M)
    return dict(pins)


def packages() -> Iterator[Finding]:
    """Compare what is installed with the lock, and look for what could shadow it."""
    lock = ROOT / "requirements.txt"
    wrong, missing = [], []
    pins = locked(lock)
    for name, version in pins.items():
        try:
            there = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if there != version:
            wrong.append(f"{name} {there} instead of {version}")
    if missing:
        yield (
            BAD,
            "packages",
            (
                f"{len(missing)} of {len(pins)} are missing ({', '.join(missing[:5])}...): "
                f"make env, or activate the environment; this is {sys.prefix}"
            ),
        )
    if wrong:
        yield CARE, "packages", f"not the tested versions: {', '.join(wrong[:8])}; make env"
    if not missing and not wrong:
        yield GOOD, "packages", f"{len(pins)} as in {lock.name}"
    shadows = [f"PYTHONPATH={os.environ['PYTHONPATH']}"] if _foreign_path() else []
    folder = site.getusersitepackages()
    if site.ENABLE_USER_SITE and Path(folder).is_dir():
        shadows.append(f"{folder} (export PYTHONNOUSERSITE=1)")
    if shadows:
        yield CARE, "packages", f"may be shadowed by {' and '.join(shadows)}"
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        yield (
            CARE,
            "packages",
            "PYTHONDONTWRITEBYTECODE makes every start of TensorFlow slow: unset",
        )


def _foreign_path() -> bool:
    ours = {str(ROOT / "src"), "src", ""}
    return bool(set(os.environ.get("PYTHONPATH", "").split(":")) - ours)


def machine() -> Iterator[Finding]:
    """Look at cores, threads, memory and disk."""
    mine, all_cores = len(os.sched_getaffinity(0)), os.cpu_count()
    threads = {
        name: os.environ[name]
        for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "SLURM_CPUS_PER_TASK")
        if name in os.environ
    }
    told = ", ".join(f"{name}={value}" for name, value in threads.items())
    yield GOOD, "cores", f"{mine} of {all_cores} are this process's" + (f"; {told}" if told else "")
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        value = threads.get(name, "1")
        if not value.isdigit() or int(value) > mine:
            yield (
                CARE,
                "cores",
                f"{name}={value} is not a number up to {mine}: threads would compete",
            )
    memory = _memory()
    kind = GOOD if memory >= LEAST_MEMORY else BAD
    more = "" if kind == GOOD else f"; jobs ask for {LEAST_MEMORY} GB: smaller shards, or SLURM"
    yield kind, "memory", f"{memory:.1f} GB free{more}"
    for use, folder in (
        ("results", _nearest_folder(Path("results"))),
        ("scratch", tempfile.gettempdir()),
    ):
        yield _disk(use, Path(folder))
    for text in node.NOTES:
        yield CARE, "home", text
    if not node.NOTES:
        yield GOOD, "home", f"{' and '.join(node.home())} can be written"
    yield GOOD, "compiled code", f"numba keeps it in {os.environ['NUMBA_CACHE_DIR']}"


def _memory() -> float:
    """Return the memory that this process may still take [GB]."""
    free = re.search(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())
    limits = [int(free[1]) / 1e6] if free else []
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text()
        if limit != "max":
            limits.append((int(limit) - int(used)) / 1e9)
    except OSError:
        pass
    return min(limits, default=float("inf"))


def _nearest_folder(folder: Path) -> Path:
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    return folder


def _disk(use: str, folder: Path) -> Finding:
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        return BAD, use, f"{folder} cannot be written: {error.strerror}"
    usage, inodes = shutil.disk_usage(folder), os.statvfs(folder)
    free = usage.free / 1e9
    text = f"{folder}: {free:.0f} GB free"
    if inodes.f_files and inodes.f_favail < 10000:
        return BAD, use, f"{text}, but only {inodes.f_favail} more files: remove old runs"
    if free < LEAST_DISK:
        return CARE, use, f"{text}; a full run takes {LEAST_DISK} GB"
    return GOOD, use, text


def slurm() -> Iterator[Finding]:
    """Look at SLURM, if there is one."""
    lost = [name for name in ("sbatch", "squeue", "sinfo", "scontrol") if not shutil.which(name)]
    if len(lost) == 4:
        yield GOOD, "SLURM", "none on this machine: the workflow runs here, without --profile slurm"
        return
    if lost:
        yield (
            BAD,
            "SLURM",
            f"{', '.join(lost)} not on the PATH: `module load slurm`, or a login node",
        )
        return
    try:
        there = plan.partitions()
        mine = queue.jobs_of(Path.cwd())
        warnings = plan.warnings()
    except RuntimeError as error:
        yield BAD, "SLURM", str(error)
        return
    yield GOOD, "SLURM", f"answers; partitions {', '.join(there)}; {len(mine)} jobs of this folder"
    for text in warnings:
        yield CARE, "SLURM", text.strip()
    wanted = set(re.findall(r"slurm_partition: *([\w-]+)", _profile()))
    for name in sorted(wanted - there.keys()):
        yield (
            BAD,
            "SLURM",
            f"profiles/slurm/config.yaml names partition {name!r}, which does not exist",
        )
    if "SLURM_JOB_ID" in os.environ:
        yield CARE, "SLURM", "this is inside a job; start Snakemake on a login node, in tmux"


def slurm_files() -> Iterator[Finding]:
    """Look at the SLURM profile and at the partition file that it, or the environment, names."""
    subject = "SLURM files"
    try:
        from lensmill.cluster import slurm_files as files
    except ImportError as error:
        yield CARE, subject, f"cannot be looked at, since {error.name} is missing"
        return
    profile = ROOT / "profiles/slurm/config.yaml"
    try:
        notes = files.look([profile], files.partition_file_of(profile, os.environ))
    except RuntimeError as error:
        yield from ((BAD, subject, line.strip()) for line in str(error).splitlines()[1:])
        return
    for note in notes:
        text = note.removeprefix(files.CAREFUL)
        yield GOOD if text == note else CARE, subject, text


def _profile() -> str:
    path = ROOT / "profiles/slurm/config.yaml"
    text = path.read_text() if path.exists() else ""
    return re.sub(r"#.*", "", text)


def keras(process: subprocess.Popen) -> Iterator[Finding]:
    """Report what Keras found when it was imported in a process of its own."""
    card = shutil.which("nvidia-smi")
    cards = []
    if card:
        answer = subprocess.run([card, "-L"], capture_output=True, text=True, timeout=20)
        cards = [line for line in answer.stdout.splitlines() if line.startswith("GPU ")]
    try:
        out, error = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        yield CARE, "Keras", "did not import in 60 s: a slow file system? Set PYTHONPYCACHEPREFIX"
        return
    if process.returncode:
        yield BAD, "Keras", f"cannot be imported: {error.strip().splitlines()[-1]}"
        return
    backend, version, tensorflow, gpus, built = json.loads(out.strip().splitlines()[-1])
    kind = GOOD if backend == "tensorflow" else CARE
    yield kind, "Keras", f"{version} on {backend} (TensorFlow {tensorflow})"
    if gpus:
        yield GOOD, "GPU", f"{len(gpus)} seen by TensorFlow"
    elif cards:
        why = "its CUDA libraries are not found" if built else "this build has no CUDA"
        yield (
            CARE,
            "GPU",
            (
                f"{len(cards)} in this machine, none seen by TensorFlow ({why}): networks train on "
                "the CPU; pip install 'tensorflow[and-cuda]' at the same version"
            ),
        )
    else:
        yield GOOD, "GPU", "none here: networks train on the CPU"


def examine() -> Iterator[Finding]:
    """Yield every finding; Keras, which is slow, is imported meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-c", ASK_KERAS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    parts: list[Callable[[], Iterator[Finding]]] = [python, packages, machine, slurm, slurm_files]
    for part in parts:
        yield from part()
    yield from keras(process)


def main() -> int:
    """Print the findings; return 1 if one of them is bad."""
    worst = 0
    for kind, subject, text in examine():
        sys.stdout.write(f"{kind:<5} {subject:<17} {text}\n")
        sys.stdout.flush()
        worst |= kind == BAD
    sys.stdout.write("Something has to be mended first.\n" if worst else "Ready.\n")
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
