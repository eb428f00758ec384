"""The start of Keras: with how many threads, and without what nothing here uses."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

log = logging.getLogger(__name__)

# Keras imports these if it can, for wrappers, data frames and plots: a third of its start.
UNUSED = ("matplotlib", "pandas", "sklearn")


def start_keras(threads: int) -> None:
    """Import Keras and limit its threads; numbers are repeatable for one number of threads."""
    wanted = {"OMP_NUM_THREADS": str(threads), "TF_NUM_INTRAOP_THREADS": str(threads)}
    wanted |= {"TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    os.environ.update(wanted)
    if "tensorflow" in sys.modules:
        log.warning("TensorFlow was imported before: its number of threads stays what it is")
    with _hidden(UNUSED):
        import keras  # noqa: F401


@contextlib.contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Let imports of these packages fail for a while, unless they are imported already."""
    names = tuple(name for name in names if name not in sys.modules)
    sys.modules.update(dict.fromkeys(names))  # None: as if not installed
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
