"""What a job may use of the machine it runs on: threads, and a place for compiled code.

Imported first of all, since numba and TensorFlow read the environment once, when they start. Only
the standard library is used here.
"""

import os
import socket
import tempfile
from pathlib import Path

OURS = "lensmill-numba"
NOTES: list[str] = []  # what cannot be written here, and what is used in its place


def prepare() -> None:
    """Set the environment of numba and TensorFlow for this machine.

    Threads: Snakemake gives ``OMP_NUM_THREADS`` (and the like for BLAS) the ``threads`` of the
    rule; numba and TensorFlow would take every core of the node unless told the same.

    Compiled code: a folder on the node's own disk. Beside the sources, on a file system that all
    nodes share, numba's index and its code can come from two jobs that compiled at the same time,
    perhaps on unlike processors. Beside it the list of fonts that Matplotlib makes, where the
    home cannot be written: each figure would look through all fonts again.
    """
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit():
        os.environ["NUMBA_NUM_THREADS"] = threads
        os.environ["TF_NUM_INTRAOP_THREADS"] = threads
    chosen = os.environ.get("NUMBA_CACHE_DIR", "")
    ours = Path(chosen).name.startswith(OURS)  # it came from the submitting machine
    if chosen and not ours and not can_write(chosen):
        NOTES.append(f"NUMBA_CACHE_DIR={chosen} cannot be written; $TMPDIR or /tmp is used")
    if not chosen or ours or not can_write(chosen):
        os.environ["NUMBA_CACHE_DIR"] = compiled()
    homes = [folder for folder in home() if not can_write(folder)]
    if homes:
        NOTES.append(
            f"{' and '.join(homes)} cannot be written. The workflow needs neither, but other "
            "programs may: export XDG_CACHE_HOME and XDG_CONFIG_HOME (folders that you can write)"
        )
    if homes and OURS in os.environ.get("MPLCONFIGDIR", OURS):
        os.environ["MPLCONFIGDIR"] = f"{os.environ['NUMBA_CACHE_DIR']}/matplotlib"


def home() -> list[str]:
    """Return the folders in the user's home where programs keep their caches and settings."""
    user = os.path.expanduser("~")  # noqa: PTH111 (Path's fails for a user without a home)
    return [
        os.environ.get(f"XDG_{kind.upper()}_HOME") or f"{user}/.{kind}"
        for kind in ("cache", "config")
    ]


def can_write(folder: str) -> bool:
    """Say whether a folder is there and can be written, or else can be made."""
    path = Path(folder).absolute()
    while not os.path.lexists(path):
        path = path.parent
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)


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
