"""Spectra of real galaxies as a law to draw mocks from: a Gaussian mixture of template shares.

A galaxy is a sum of kcorrect's five spectra. The shares of its light in r at rest are turned into
logarithms of ratios; their law is a mixture of normal ones, fitted to red and to blue galaxies of
the training part of `sdss_galex_2mass` alone. The numbers lie in ``data/mixture.ecsv``;
`tests/test_photo_z_mixture.py` fits them anew.
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from lensmill.galaxies import fits, maggies, templates
from lensmill.learning import tables
from lensmill.pipeline import store

FILE = Path(__file__).parent / "data/mixture.ecsv"
SPECTRA = "kcorrect"
LIGHT = "sdss_r"  # the band at rest of whose light the shares are
REFERENCE = 3  # the spectrum that nearly every galaxy has a share of
FLOOR = 3e-3  # added to shares: a logarithm needs more than 0
COMPONENTS = {"red": 6, "blue": 8}
# Colour u - r at rest between the two kinds (Strateva et al. 2001, AJ 122, 1861)
DIVIDE = 2.22
MODEL_ERROR = 0.03  # of the spectra as a share of the flux, so that the bright are not overfitted


class Mixture(NamedTuple):
    """Normal laws of four logarithms of ratios of shares."""

    blue: NDArray  # (K,) bool
    weight: NDArray  # (K,) of the galaxies of its kind that were fitted
    mean: NDArray  # (K, 4)
    root: NDArray  # (K, 4, 4): lower Cholesky factor of the covariance


@lru_cache(maxsize=1)
def read() -> Mixture:
    """Read the mixture that is kept with the experiment."""
    table = Table.read(FILE)
    root = np.array(table["root"]).reshape(-1, 4, 4)
    return Mixture(
        np.array(table["kind"]) == "blue", np.array(table["weight"]), np.array(table["mean"]), root
    )


@lru_cache(maxsize=1)
def light() -> NDArray:
    """Light in r at rest of one unit of each spectrum [maggies], shape (5,)."""
    return maggies.model(templates.read(SPECTRA), [LIGHT], [0.0])[0, :, 0]


def shares(logarithms: NDArray) -> NDArray:
    """Shares of the light, shape (n, 5), of logarithms of ratios, shape (n, 4)."""
    ratio = np.exp(np.insert(logarithms, REFERENCE, 0.0, axis=1))
    found = ratio / ratio.sum(axis=1, keepdims=True) * (1 + 5 * FLOOR) - FLOOR
    found = np.maximum(found, 0.0)
    return found / found.sum(axis=1, keepdims=True)


def logarithms(shares: NDArray) -> NDArray:
    """Undo `shares`."""
    ratio = np.log((shares + FLOOR) / (shares[:, [REFERENCE]] + FLOOR))
    return np.delete(ratio, REFERENCE, axis=1)


def fit(dataset: str, split: str, bands: list[str], seed: int = 0) -> Table:
    """Fit the mixture to the training part of a population; nothing else is looked at.

    Parameters
    ----------
    dataset, split : path
    bands : list of str
        Of the data set.
    seed : int
        Of the fits.

    Returns
    -------
    Table
        A row for each normal law: ``kind``, ``weight``, ``mean`` (4), ``root`` (16).
    """
    chosen = tables.parts(dataset, split)[0]
    galaxies = {name: column[chosen] for name, column in store.read(dataset, "systems").items()}
    flux, observed = galaxies["flux"], galaxies["observed"].astype(bool)
    # ASSUME: the mixture is of what u to Ks show; the ultraviolet follows from the spectra.
    observed = observed & ~np.array([band.startswith("galex") for band in bands])
    error = np.hypot(galaxies["flux_error"], MODEL_ERROR * np.abs(flux))
    spectra = templates.read(SPECTRA)
    redshift = galaxies["redshift"]
    grid = maggies.grid(spectra, bands, np.linspace(0, redshift.max() + 0.01, 400))
    found = fits.coefficients(flux, error, observed, redshift, grid)
    good = found.sum(axis=1) > 0
    found = found[good]
    of_light = found * light()
    of_light /= of_light.sum(axis=1, keepdims=True)
    rest = np.einsum("nt,tb->nb", found, maggies.model(spectra, ["sdss_u", "sdss_r"], [0.0])[0])
    blue = -2.5 * np.log10(rest[:, 0] / rest[:, 1]) < DIVIDE
    rows = {"kind": [], "weight": [], "mean": [], "root": []}
    for kind, mine in (("red", ~blue), ("blue", blue)):
        law = GaussianMixture(COMPONENTS[kind], reg_covar=0.01, random_state=seed)
        law.fit(logarithms(of_light[mine]))
        order = np.argsort(-law.weights_)
        for k in order:
            rows["kind"].append(kind)
            root = np.linalg.cholesky(law.covariances_[k])
            rows["weight"].append(round(law.weights_[k] * mine.mean(), 5))
            rows["mean"].append(law.means_[k].round(4))
            rows["root"].append(root.ravel().round(4))
    table = Table(rows)
    table.meta = {
        "galaxies": int(good.sum()),
        "source": "training part of sdss_galex_2mass (wheel of kcorrect 5.1.9, BSD-3-Clause)",
    }
    return table
