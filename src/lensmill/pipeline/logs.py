"""Logging and progress of one job."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm


def start(path: str) -> None:
    """Send log records, warnings and tracebacks of this job to its log file."""
    sys.stderr = Path(path).open("w", buffering=1)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s"
    )
    logging.captureWarnings(True)


def progress(steps: Iterable, description: str, total: int | None = None) -> Iterable:
    """Iterate with a bar on the terminal; no bar where the output is not a terminal."""
    return tqdm(steps, description, total, file=sys.__stderr__, disable=None, leave=False, delay=5)
