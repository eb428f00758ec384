"""How many threads the backend of a network may use; to be said before it is imported."""

import logging
import os
import sys

log = logging.getLogger(__name__)


def limit_threads(threads: int) -> None:
    """Limit the threads of the backend; numbers are repeatable for one number of threads."""
    wanted = {"OMP_NUM_THREADS": str(threads), "TF_NUM_INTRAOP_THREADS": str(threads)}
    wanted |= {"TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    os.environ.update(wanted)
    if "tensorflow" in sys.modules:
        log.warning("TensorFlow was imported before: its number of threads stays what it is")
