"""Uniform numbers, after so many seconds and with so many megabytes."""

import os
import time
from pathlib import Path

import numpy as np

WIDTH = 4
UNITS = {"systems": {"index": "", "value": ""}}
ROWS_OF: dict[str, str] = {}


def draw(first, uniforms, settings):
    """Take memory, wait, and return the numbers; every start leaves a file behind.

    A file ``go`` in the run's folder ends the waiting: so a test needs no guess of its length.
    """
    prior = settings["prior"]
    starts = Path("starts")
    starts.mkdir(exist_ok=True)
    (starts / f"shard.{first:05d}.{os.getpid()}.{time.time_ns()}").touch()
    ballast = np.ones(int(prior["memory_mb"][1]) << 17)
    end = time.monotonic() + prior["seconds"][1]
    while time.monotonic() < end and not Path("go").exists():
        time.sleep(0.1)
    return {
        "systems": {
            "index": first + np.arange(len(uniforms)),
            "value": uniforms[:, 0] + (len(ballast) < 0),
        }
    }
