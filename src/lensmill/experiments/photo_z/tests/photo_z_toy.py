"""Galaxies whose colours tell their redshift, and the settings of methods that learn from them."""

import json

import numpy as np

from lensmill import experiments
from lensmill.pipeline import splits, store

BANDS = ("sdss_g", "sdss_r", "sdss_i")
EVALUATION = {
    "draws": 50,
    "judged": 200,
    "bootstraps": 20,
    "permutations": 1,
    "neighbours": 5,
    "magnitudes": ["sdss_r"],
}
UNITS = dict.fromkeys(("index", "redshift", "redshift_known", "group", "observed", "extra"), "")
UNITS |= {"flux": "mgy", "flux_error": "mgy"}


def galaxies(folder, n=600, seed=1, noise=0.02, name="toy", faint=0.0, bands=BANDS, unknown=0):
    """Write a data set and its split; g - r is 3 z, i is noise and lacks in every fifth galaxy."""
    rng = np.random.default_rng(seed)
    redshift = rng.uniform(0.05, 0.6, n)
    magnitude = rng.uniform(16, 18, n) + faint
    light = [magnitude + 3 * redshift, magnitude, magnitude + rng.normal(0, 0.3, n)]
    flux = 10 ** (-0.4 * np.stack(light, axis=1))
    error = noise * flux
    flux = flux + error * rng.normal(size=flux.shape)
    observed = np.ones(flux.shape, np.uint8)
    observed[::5, 2] = 0
    known = np.ones(n, np.uint8)
    known[:unknown] = 0
    columns = {
        "index": np.arange(n),
        "redshift": np.where(known, redshift, 0.0),
        "redshift_known": known,
        "group": np.full(n, ""),
        "flux": np.where(observed, flux, 0.0),
        "flux_error": np.where(observed, error, 0.0),
        "observed": observed,
        "extra": rng.normal(size=(n, 1)),
    }
    facts = {"bands": json.dumps(bands), "extra": json.dumps(["size"])}
    facts |= {"experiment": "photo_z", "population": name}
    dataset, split = folder / f"{name}.h5", folder / f"{name}_split.h5"
    store.write(dataset, {"systems": columns}, {"systems": UNITS}, facts)
    splits.write(str(dataset), str(split), "redshift_known", (5, 2, 3))
    return str(dataset), str(split)


def settings(**chosen):
    """Return all settings of a method as training gets them."""
    whole = experiments.network_settings(
        "photo_z", {"train_on": "toy", "test_on": ["toy"], **chosen}
    )
    return {k: v for k, v in whole.items() if k not in ("train_on", "test_on", "seeds")}
