"""The classical answer: sums of template spectra fitted to the fluxes at every redshift.

It has the information that machine learning has: from the training part come zero points, the
error of the templates over wavelength at rest, and the prior of redshift at a magnitude.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.experiments.photo_z import densities, features
from lensmill.experiments.photo_z.features import Photometry
from lensmill.galaxies import filters, fits, maggies, priors, templates

ROWS_AT_A_TIME = 2000  # bounds the memory of chi2 over redshift
FARTHEST = 1.15  # (1 + z) of the end of the grid over that of the farthest training galaxy
NEAREST = 1e-3  # start of the grid
# Fractional, of the templates: no colour is known better. Of 0.01 and 0.02 the one with the smaller
# CDE loss on validation parts, real and simulated.
LEAST_ERROR = 0.02


def check(bands: Sequence[str]) -> None:
    """Raise if a band has no response curve.

    Raises
    ------
    ValueError
        Naming the bands and the remedy.
    """
    if unknown := [band for band in bands if band not in filters.BANDS]:
        raise ValueError(
            f"the template fit knows no response curve of {', '.join(unknown)}; choose others by "
            "`bands`, or a method that needs none"
        )


def learn(
    sample: Photometry, redshift: NDArray, bands: Sequence[str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Learn zero points, template error and prior from the training part.

    Parameters
    ----------
    sample : Photometry
    redshift : array, shape (n,)
    bands : sequence of str
    settings : mapping
        ``templates`` (name of the set), ``points`` (of the grid) and ``reference`` (number of the
        band whose magnitude the prior takes).

    Returns
    -------
    dict
        Of arrays and names: what `fit` takes.
    """
    check(bands)
    end = FARTHEST * (1 + redshift.max()) - 1
    # equal steps in ln(1 + z), in which spectra move by equal steps
    grid = np.expm1(np.linspace(np.log1p(NEAREST), np.log1p(end), settings["points"]))
    of = _grid(settings["templates"], bands, grid)
    light = (sample.flux, sample.error, sample.observed)
    at = np.clip(redshift, grid[0], grid[-1])
    factor = fits.zero_points(*light, at, of)
    light = (sample.flux * factor, sample.error * factor, sample.observed)
    wavelength, fraction = fits.template_error(*light, at, of)
    reference = settings["reference"]
    prior = priors.fit(_magnitude(sample, reference), redshift)
    return {
        "templates": settings["templates"],
        "bands": list(bands),
        "redshift": grid,
        "zero_points": factor,
        "wavelength": wavelength,
        "template_error": np.maximum(fraction, LEAST_ERROR),
        "prior": np.array(prior),
        "reference": reference,
    }


def fit(known: Mapping[str, Any], sample: Photometry) -> densities.Grid:
    """Return p(z) of galaxies, from what `learn` found."""
    of = _grid(known["templates"], known["bands"], known["redshift"])
    prior = priors.MagnitudePrior(*(float(x) for x in known["prior"]))
    factor, found = known["zero_points"], []
    for first in range(0, len(sample.flux), ROWS_AT_A_TIME):
        some = sample.select(slice(first, first + ROWS_AT_A_TIME))
        magnitude = _magnitude(some, known["reference"])
        log_prior = prior.log_density(known["redshift"], magnitude)
        light = (some.flux * factor, some.error * factor, some.observed)
        error = (known["wavelength"], known["template_error"])
        chi2 = fits.redshifts(*light, of, error, log_prior).chi2
        found.append(fits.posterior(chi2, of, log_prior))
    return densities.Grid(np.asarray(known["redshift"]), np.concatenate(found))


def _grid(name: str, bands: Sequence[str], redshift: NDArray) -> maggies.Grid:
    return maggies.grid(templates.read(name), bands, redshift, absorbed=True)


def _magnitude(sample: Photometry, band: int) -> NDArray:
    """AB magnitude of one band; NaN, of which the prior says nothing, where there is no flux."""
    flux = np.where(sample.observed[:, band], sample.flux[:, band], 0.0)
    return np.where(flux > 0, -features.POGSON * np.log(np.where(flux > 0, flux, 1.0)), np.nan)
