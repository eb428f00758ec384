"""Scores of that number."""

import shutil

from lensmill.pipeline import store


def score(predictions, settings, seed, output):
    """Return scores that are a function of the trained number."""
    shutil.copyfile(predictions, output)
    facts = store.attributes(predictions)
    value = float(store.read(predictions, "systems")["value"][0])
    return {
        "network": facts["network"],
        "population": facts["population"],
        "systems": 1,
        "mse_standardised": value,
        "targets": {"value": {"bias": value}},
    }
