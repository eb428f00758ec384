"""The start of Keras: with how many threads, and without what nothing here uses."""

import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

# Keras imports these if it can, for wrappers, data frames and plots: a third of its start.
UNUSED = ("matplotlib", "pandas", "sklearn")

# What TensorFlow writes at its start although nothing is wrong, before it has a level of messages.
NOISE = (
    "Unable to register cu[A-Z]+ factory|computation placer already registered|"
    "before absl::InitializeLog"
)
GPUS = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg")  # one of these is there if a GPU is


def start_keras(threads: int) -> None:
    """Import Keras and limit its threads; numbers are repeatable for one number of threads."""
    wanted = {"OMP_NUM_THREADS": str(threads), "TF_NUM_INTRAOP_THREADS": str(threads)}
    wanted |= {"TF_NUM_INTEROP_THREADS": "1"}
    os.environ.update(wanted)
    # Without a GPU, that CUDA finds none is no error; with one it is, and level 2 shows it.
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES") or any(Path(device).exists() for device in GPUS)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if gpu else "3")
    if "tensorflow" in sys.modules:
        log.warning("TensorFlow was imported before: its number of threads stays what it is")
    with _hide(UNUSED), without_noise():
        import keras  # noqa: F401


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Leave `NOISE` out of what compiled code writes to the terminal; all else passes at once.

    The filter is a process of its own, so that the last words of a crash pass too.
    """
    terminal = os.dup(2)
    command = ["grep", "--line-buffered", "-vE", NOISE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=terminal) as passing:
        os.dup2(passing.stdin.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


@contextlib.contextmanager
def _hide(names: tuple[str, ...]) -> Iterator[None]:
    """Let imports of these packages fail for a while, unless they are imported already."""
    names = tuple(name for name in names if name not in sys.modules)
    sys.modules.update(dict.fromkeys(names))  # None: as if not installed
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
