"""Settings of populations in the tests, and tables as surveys would write them."""

from pathlib import Path

import numpy as np
import yaml
from astropy.table import Table

from lensmill import experiments
from lensmill.pipeline import settings

FOLDER = Path(__file__).parents[1]
CONFIGS = FOLDER.parents[3] / "configs"
BANDS = ("sdss_g", "sdss_r", "sdss_i")


def choices():
    """Return the choices of the study without its networks."""
    return experiments.choices("photo_z") | {"networks": {}, "figures": {}, "searches": {}}


def population(name, **override):
    """Return what fixes a population of the defaults, or of the surveys; keys given here differ."""
    chosen = choices()
    surveys = yaml.safe_load((CONFIGS / "photo_z_surveys.yaml").read_text())
    surveys = surveys["experiments"]["photo_z"]
    for key in ("observations", "populations"):
        chosen[key] = chosen[key] | surveys[key]
    complete = experiments.check("photo_z", chosen)
    return settings.population(complete, name) | override


def described(**keys):
    """Return the settings of a table with the columns ``f_BAND`` and ``e_BAND`` in nanomaggies."""
    columns = {
        band: {"value": f"f_{band}", "error": f"e_{band}", "unit": "nanomaggy"} for band in BANDS
    }
    chosen = choices()
    chosen["observations"] = {"three": {"bands": {band: {} for band in BANDS}}}
    mine = {"ingest": "x", "observation": "three", "redshift": "z", "bands": columns}
    chosen["populations"] = {"mine": mine | keys}
    return settings.population(experiments.check("photo_z", chosen), "mine")


def table(rows=40, seed=0):
    """Return galaxies with fluxes in nanomaggies, magnitude 15 to 19, errors of 1 %, redshifts."""
    numbers = np.random.default_rng(seed)
    flux = 10 ** (-0.4 * (numbers.uniform(15, 19, (rows, len(BANDS))) - 22.5))
    columns = {"z": numbers.uniform(0.02, 0.4, rows)}
    for k, band in enumerate(BANDS):
        columns |= {f"f_{band}": flux[:, k], f"e_{band}": 0.01 * flux[:, k]}
    return Table(columns)
