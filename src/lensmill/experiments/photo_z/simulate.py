"""Draw mock galaxies and observe them with the depth of a survey."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from lensmill.experiments.photo_z import mocks
from lensmill.experiments.photo_z.families import FAMILIES
from lensmill.pipeline.store import Tables

BATCH = 1 << 13  # galaxies drawn at a time: each is a density over all redshifts

MOST = 48  # bands, for which uniform numbers are reserved
# Which uniform number of a galaxy becomes what; the order never changes.
SLOTS = (
    *("law", "ratio0", "ratio1", "ratio2", "ratio3", "dust", "lines"),
    *("redshift", "luminosity", "spare0", "spare1", "spare2"),
    *(f"noise{k}" for k in range(MOST)),
    *(f"depth{k}" for k in range(MOST)),
    *(f"observed{k}" for k in range(MOST)),
)
WIDTH = len(SLOTS)
UNITS = {
    "systems": {
        "index": "",
        "redshift": "",
        "redshift_known": "",
        "flux": "mgy",
        "flux_error": "mgy",
        "observed": "",
    }
}
ROWS_OF: dict[str, str] = {}


def draw(first: int, uniforms: NDArray, settings: Mapping[str, Any]) -> Tables:
    """Turn uniform numbers into galaxies of a sample, and these into fluxes with noise.

    Parameters
    ----------
    first : int
        Index of the first galaxy.
    uniforms : array, shape (n, WIDTH)
        In (0, 1); column k becomes ``SLOTS[k]``.
    settings : mapping
        ``family`` (a key of ``FAMILIES``), ``prior`` and ``observation`` (see ``defaults.yaml``).

    Returns
    -------
    dict of dict of array
        Table ``systems``: ``flux``, ``flux_error`` [AB maggies] and ``observed``, shape (n, bands
        of the observation), 0 where a band is not observed; ``redshift``.
    """
    prior = {**settings["prior"], **FAMILIES[settings["family"]]}
    observation = settings["observation"]
    redshift, flux = galaxies(uniforms, prior, observation)
    flux, error, observed = observe(flux, uniforms, observation["bands"])
    n = len(uniforms)
    return {
        "systems": {
            "index": first + np.arange(n),
            "redshift": redshift,
            "redshift_known": np.ones(n, np.uint8),
            "flux": flux,
            "flux_error": error,
            "observed": observed.astype(np.uint8),
        }
    }


def attributes(settings: Mapping[str, Any]) -> dict[str, str]:
    """Name the bands, in the order of the columns."""
    return {"bands": json.dumps([*settings["observation"]["bands"]])}


def galaxies(
    uniforms: NDArray, prior: Mapping[str, Any], observation: Mapping[str, Any]
) -> tuple[NDArray, NDArray]:
    """Return redshifts and fluxes without noise, shape (n, B) [maggies], of a sample."""
    low, high = prior["redshift"]
    select = observation["select"]
    cut = select["band"], select["faintest"], low, high, prior
    of, weight = mocks.sample(*cut), mocks.weights(*cut)
    spectra = mocks.spectra_of(uniforms[:, : mocks.NUMBERS], weight, prior)
    needed = mocks.least(spectra, of)
    found = mocks.density(spectra, needed, of)
    redshift, below, part = mocks.draw_redshift(found, of, _column(uniforms, "redshift"))

    log = np.log(needed)
    rows = np.arange(len(uniforms))
    faintest = (1 - part) * log[rows, below] + part * log[rows, below + 1]
    bright = np.empty(len(uniforms))
    for kind, mine in (("red", ~spectra.blue), ("blue", spectra.blue)):
        slope = prior["luminosity"][kind]["slope"]
        chance = _column(uniforms, "luminosity")[mine]
        bright[mine] = mocks.draw_above(slope, faintest[mine], chance)
    grown = mocks.growth(redshift, prior["youth"], prior["evolves_to"]).T
    coefficients = spectra.coefficients * grown
    scale = np.exp(bright) * mocks.characteristic(spectra.blue, redshift, of)
    scale /= (coefficients * mocks.luminosity()).sum(axis=1)
    distance = np.exp(np.interp(redshift, of.redshift, np.log(of.distance)))
    bands = tuple(observation["bands"])
    flux = mocks.fluxes_at(coefficients, below, part, bands, low, high)
    return redshift, flux * (scale / distance)[:, None]


def observe(
    flux: NDArray, uniforms: NDArray, bands: Mapping[str, Mapping[str, float]]
) -> tuple[NDArray, NDArray, NDArray]:
    """Add noise to fluxes [maggies]; what is not observed is 0.

    Bands of one survey, by the name before the underscore, are observed together: of two of them,
    the one that fewer galaxies have is not there without the other.

    Returns
    -------
    flux, error, observed : array, shape (n, B)
    """
    measured, errors = np.zeros((2, *flux.shape))
    observed = np.zeros(flux.shape, bool)
    surveys = [name.split("_")[0] for name in bands]
    for k, band in enumerate(bands.values()):
        faint = 10 ** (-0.4 * band["depth"])
        noise = faint / 5 * 10 ** (band["scatter"] * ndtri(_column(uniforms, f"depth{k}")))
        noise = noise * np.maximum(flux[:, k] / faint, 1.0) ** band["growth"]
        noise = np.hypot(noise, band["floor"] * flux[:, k])
        seen = _column(uniforms, f"observed{surveys.index(surveys[k])}") < band["observed"]
        drawn = flux[:, k] + noise * ndtri(_column(uniforms, f"noise{k}"))
        measured[:, k], errors[:, k] = np.where(seen, drawn, 0.0), np.where(seen, noise, 0.0)
        observed[:, k] = seen
    return measured, errors, observed


def _column(uniforms: NDArray, slot: str) -> NDArray:
    return uniforms[:, SLOTS.index(slot)]
