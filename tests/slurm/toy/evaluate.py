"""Scores of that number."""

import json
import zipfile
from pathlib import Path

import numpy as np

from lensmill.pipeline import store


def evaluate(model, predictions, scores, network, population, **_):
    """Write scores that are a function of the trained number."""
    with zipfile.ZipFile(model) as archive:
        value = int(archive.read("value")[:12], 16) / 16**12
    store.write(
        predictions, {"systems": {"value": np.array([value])}}, {"systems": {"value": ""}}, {}
    )
    Path(scores).write_text(
        json.dumps(
            {
                "network": network,
                "population": population,
                "images": 1,
                "systems": 1,
                "mse_standardised": value,
                "targets": {"value": {"bias": value}},
            }
        )
    )
