"""What a job may use of the machine it runs on: threads, and a place for compiled code.

Imported first of all, since numba and TensorFlow read the environment once, when they start. Only
the standard library is used here.
"""

import os
import socket
import tempfile
from pathlib import Path

OURS = "lensmill-numba"


def prepare() -> None:
    """Set the environment of numba and TensorFlow for this machine.

    Threads: Snakemake gives ``OMP_NUM_THREADS`` (and the like for BLAS) the ``threads`` of the
    rule; numba and TensorFlow would take every core of the node unless told the same.

    Compiled code: a folder on the node's own disk. Beside the sources, on a file system that all
    nodes share, numba's index and its code can come from two jobs that compiled at the same time,
    perhaps on unlike processors.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit():
        os.environ["NUMBA_NUM_THREADS"] = threads
        os.environ["TF_NUM_INTRAOP_THREADS"] = threads
    chosen = os.environ.get("NUMBA_CACHE_DIR", "")
    if not chosen or Path(chosen).name.startswith(OURS):  # ours came from the submitting machine
        os.environ["NUMBA_CACHE_DIR"] = compiled()


def compiled() -> str:
    """Return this user's folder for compiled code on this machine, which nobody else may write.

    A folder of that name that is somebody else's is left alone: numba unpickles what it finds.
    """
    name = f"{OURS}-{os.getuid()}-{socket.gethostname()}"
    folder = Path(tempfile.gettempdir()) / name
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & 0o022:
            return str(folder)
    except OSError:  # a file of that name, or no space: a folder of our own then
        pass
    return tempfile.mkdtemp(prefix=f"{OURS}-")
