"""Check a population of published systems; `ingest` has refused bad rows, this judges the whole."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.pipeline import checks, store


def check(dataset: str) -> dict[str, Any]:
    """Check published systems; return ``statistics`` and ``checks``."""
    columns = checks.Columns()
    systems, images = store.read(dataset, "systems"), store.read(dataset, "images")
    structure = checks.structure(dataset, len(np.unique(images["system"])))
    for table, values in (("systems", systems), ("images", images)):
        columns.add(table, values)
    results = [*structure, columns.finite()]
    if not checks.failed(results):
        results += _systems(systems, images)
    counts = np.bincount(systems["n_images"].clip(0))
    return {
        "statistics": {
            **columns.numbers(),
            "n_images": {str(n): int(count) for n, count in enumerate(counts) if count},
        },
        "checks": results,
    }


def _systems(systems: Mapping[str, NDArray], images: Mapping[str, NDArray]) -> list[dict[str, Any]]:
    own = np.repeat(np.arange(len(systems["index"])), systems["n_images"])
    first = systems["first_image"][own]
    later = np.arange(len(own)) > first
    measured = images["delay_measured"] == 1

    # A rule counts only the rows that it is about: name, rule, broken by, rows, system of each.
    every, index = np.ones(len(systems["index"]), bool), systems["index"]
    wrong = [
        (
            "redshifts",
            "the source lies behind the lens",
            (systems["z_lens"] <= 0) | (systems["z_source"] <= systems["z_lens"]),
            every,
            index,
        ),
        ("images", "there are at least two images", systems["n_images"] < 2, every, index),
        (
            "lens errors",
            "a known lens position has a positive error",
            systems["lens_error"] <= 0,
            systems["lens_known"] == 1,
            index,
        ),
        (
            # mocks with a truth have a distance without an error
            "distances",
            "a known distance is positive and its errors are not negative",
            (systems["d_dt"] <= 0) | (np.minimum(systems["d_dt_minus"], systems["d_dt_plus"]) < 0),
            systems["d_dt_known"] == 1,
            index,
        ),
    ]
    # errors of 3 sigma: some images are ordered by their parity against a noisy measurement
    early = np.zeros(len(own), bool)
    for i in np.flatnonzero(later & measured):
        before = np.arange(first[i], i)
        before = before[measured[before]]
        error = np.hypot(images["delay_error"][i], images["delay_error"][before])
        early[i] = np.any(images["delay"][i] < images["delay"][before] - 3 * error)
    offset = np.hypot(
        images["x"] - images["x"][first],
        images["y"] - images["y"][first],
    )
    index = systems["index"][own]
    wrong += [
        (
            "position errors",
            "a position has a positive error",
            images["position_error"] <= 0,
            np.ones(len(own), bool),
            index,
        ),
        (
            "delay errors",
            "a measured delay has a positive error",
            images["delay_error"] <= 0,
            later & measured,
            index,
        ),
        (
            "first image",
            "delays are counted from the first image",
            (images["delay"] != 0) | ~measured,
            ~later,
            index,
        ),
        (
            "arrival order",
            "the order of rows agrees with the measured delays",
            early,
            later & measured,
            index,
        ),
        (
            "separations",
            "images are 0.05 to 60 arcsec apart",  # galaxies to clusters; else a unit is wrong
            (offset < 0.05) | (offset > 60),
            later,
            index,
        ),
    ]
    results = []
    for name, rule, bad, rows, where in wrong:
        test = checks.Wrong(name, rule)
        test.add(bad[rows], where[rows])
        results.append(test.outcome())
    with_delay = np.bincount(own[later & measured], minlength=len(systems["index"])) > 0
    without = ", ".join(systems["name"][~with_delay])
    sentence = f"{int(with_delay.sum())} of {len(with_delay)} systems have a measured delay"
    sentence += f"; without: {without}" if without else ""
    results.append(checks.outcome("delays", with_delay.any(), int(with_delay.sum()), 1, sentence))
    return results
