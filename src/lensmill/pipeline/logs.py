"""Logging of one job."""

import logging
import sys
from pathlib import Path


def start(path: str) -> None:
    """Send log records, warnings, progress bars and tracebacks of this job to its log file."""
    sys.stderr = Path(path).open("w", buffering=1)  # noqa: SIM115 (open until the job ends)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s"
    )
    logging.captureWarnings(True)
