"""Checks of uniform numbers."""

from lensmill.pipeline import checks, store


def check(dataset, settings):
    """Check that there are as many numbers as were asked for."""
    n = len(store.read(dataset, "systems", ["index"])["index"])
    right = checks.outcome("count", n == settings["systems"], n, settings["systems"], f"{n} rows")
    return {"population": "numbers", "checks": [right], "sketch": []}
