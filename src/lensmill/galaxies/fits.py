"""Sums of templates fitted to fluxes, no coefficient negative: at known redshift, or for it.

Fluxes and errors are in one unit, [maggies] as everywhere; a band that was not observed has no
weight, whatever stands in its place.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lensmill.galaxies.compiling import kernel
from lensmill.galaxies.maggies import Grid

# Smallest part of a template that the others do not explain: below it, it is one of them.
DEPENDENT = 1e-9
# A gradient this small, of columns of length 1 and data of length 1, is none.
FLAT = 1e-12
# A smaller difference of chi2 says nothing: fits as good as the best.
TIE = 1e-6
# of a template: its coefficient is 0, is free, is 0 and was found not to grow
OUT, IN, REFUSED = 0, 1, 2


class Redshifts(NamedTuple):
    """Template fits of ``n`` galaxies at ``Z`` redshifts.

    chi2 is that of the best sum of templates at each redshift. A fractional error of the templates
    makes the variances depend on the redshift: the sum of their logarithms, less that without it,
    is then added. The redshift is where chi2, less twice the logarithm of the prior, is least on
    the grid, the lowest of those that differ by less than `TIE`: few bands leave a range of perfect
    fits. It is NaN for a galaxy without any observed flux.
    """

    chi2: NDArray  # shape (n, Z)
    redshift: NDArray  # shape (n,)
    coefficients: NDArray  # shape (n, T): there


def coefficients(
    flux: ArrayLike, error: ArrayLike, observed: ArrayLike, redshift: ArrayLike, grid: Grid
) -> NDArray:
    """Return the non-negative coefficients of the templates at known redshift.

    Parameters
    ----------
    flux, error : array, shape (n, B)
        [maggies]; errors above 0 where observed.
    observed : array, shape (n, B)
        Whether a band was observed.
    redshift : array, shape (n,)
        Within the grid, which is interpolated in straight lines (as kcorrect does).
    grid : Grid

    Returns
    -------
    array, shape (n, T)
        0 for a galaxy without any observed flux.

    Raises
    ------
    ValueError
        For redshifts outside the grid, errors that are not positive, fluxes that are not finite.
    """
    flux, weight = _checked(flux, error, observed, grid)
    redshift = np.ascontiguousarray(redshift, dtype=float)
    outside = ~((redshift >= grid.redshift[0]) & (redshift <= grid.redshift[-1]))
    if outside.any():
        i = int(outside.argmax())
        raise ValueError(
            f"galaxy {i}: redshift {redshift[i]:g} must lie on the grid, "
            f"{grid.redshift[0]:g} to {grid.redshift[-1]:g}"
        )
    return fit_coefficients(flux, weight, redshift, grid.redshift, grid.maggies)


def model(coefficients: ArrayLike, redshift: ArrayLike, grid: Grid) -> NDArray:
    """Return the fluxes, shape (n, B) [maggies], of sums of templates at redshifts of the grid."""
    redshift = np.asarray(redshift, float)
    below = np.searchsorted(grid.redshift, redshift, side="right") - 1
    below = np.clip(below, 0, grid.redshift.size - 2)
    step = grid.redshift[below + 1] - grid.redshift[below]
    share = ((redshift - grid.redshift[below]) / step)[:, None]
    low = np.einsum("nt,ntb->nb", coefficients, grid.maggies[below])
    high = np.einsum("nt,ntb->nb", coefficients, grid.maggies[below + 1])
    return (1 - share) * low + share * high


def redshifts(
    flux: ArrayLike,
    error: ArrayLike,
    observed: ArrayLike,
    grid: Grid,
    template_error: tuple[ArrayLike, ArrayLike] | None = None,
    log_prior: ArrayLike | None = None,
) -> Redshifts:
    """Fit sums of templates at every redshift of the grid.

    Parameters
    ----------
    flux, error, observed : array, shape (n, B)
        As for `coefficients`.
    grid : Grid
    template_error : two arrays, shape (K,), optional
        Wavelengths at rest [Angstrom], increasing, and the error of the templates there as a
        fraction of the flux; added to the errors in quadrature, as in Brammer, van Dokkum & Coppi
        (2008). Straight lines between.
    log_prior : array, shape (n, Z) or (Z,), optional
        Logarithm of the prior on the grid, see `lensmill.galaxies.priors`.
    """
    flux, weight = _checked(flux, error, observed, grid)
    fraction = np.zeros((grid.redshift.size, len(grid.bands)))
    if template_error is not None:
        rest = grid.wavelength / (1 + grid.redshift[:, None])
        fraction = np.interp(rest, *(np.asarray(part, float) for part in template_error))
    log = np.zeros((1, grid.redshift.size)) if log_prior is None else np.atleast_2d(log_prior)
    if log.shape not in ((1, grid.redshift.size), (len(flux), grid.redshift.size)):
        raise ValueError(
            f"log_prior has shape {np.shape(log_prior)}, it must have one number for each of the "
            f"{grid.redshift.size} redshifts of the grid, for all galaxies or for each"
        )
    chi2, best, found = fit_redshifts(
        flux, weight, grid.maggies, fraction, np.ascontiguousarray(log, dtype=float)
    )
    redshift = np.where(best < 0, np.nan, grid.redshift[best])
    return Redshifts(chi2, redshift, found)


def posterior(chi2: NDArray, grid: Grid, log_prior: ArrayLike | None = None) -> NDArray:
    """Return the density over redshift, shape (n, Z), of integral 1 over the grid (trapezoids).

    With the best coefficients at each redshift in place of the integral over them.
    """
    log = -0.5 * chi2
    if log_prior is not None:
        log = log + log_prior
    log -= log.max(axis=1, keepdims=True)
    density = np.exp(log)
    return density / np.trapezoid(density, grid.redshift, axis=1)[:, None]


def zero_points(
    flux: ArrayLike,
    error: ArrayLike,
    observed: ArrayLike,
    redshift: ArrayLike,
    grid: Grid,
    steps: int = 5,
    least: int = 50,
) -> NDArray:
    """Return the factor of each band, shape (B,), that brings fluxes to the templates.

    Known redshifts, of training data only: the median of model over flux of the galaxies above
    5 sigma in a band, in turns with the fits, as is usual before template fits (Ilbert et al.
    2006). A common factor is left out: the geometric mean is 1. A band with fewer than
    ``least`` such galaxies keeps 1.
    """
    flux, error = np.asarray(flux, float), np.asarray(error, float)
    observed = np.asarray(observed, bool)
    factor = np.ones(flux.shape[1])
    good = observed & (flux > 5 * error)
    enough = good.sum(axis=0) >= least
    for _ in range(steps if enough.any() else 0):
        found = coefficients(flux * factor, error * factor, observed, redshift, grid)
        fluxes = model(found, redshift, grid)
        for band in np.flatnonzero(enough):
            rows = good[:, band]
            factor[band] = np.median(fluxes[rows, band] / flux[rows, band])
        factor[enough] /= np.exp(np.log(factor[enough]).mean())
    return factor


def template_error(
    flux: ArrayLike,
    error: ArrayLike,
    observed: ArrayLike,
    redshift: ArrayLike,
    grid: Grid,
    bins: int = 12,
    least: int = 50,
) -> tuple[NDArray, NDArray]:
    """Return wavelengths at rest [Angstrom] and the fractional error of the templates there.

    What the templates miss of galaxies at known redshift (training data only) beyond the errors:
    in each bin of wavelength, of equally many fluxes above 5 sigma, at least ``least``, the robust
    scatter of (model - flux) / flux less the median noise, in quadrature; the idea of Brammer, van
    Dokkum & Coppi (2008). 0 where the templates follow every flux, as they do if there are as many
    of them as bands.
    """
    flux, error = np.asarray(flux, float), np.asarray(error, float)
    good = np.asarray(observed, bool) & (flux > 5 * error)
    if good.sum() < least:
        raise ValueError(
            f"{good.sum()} fluxes above 5 sigma do not tell the error of templates: "
            f"{least} or more are needed"
        )
    found = coefficients(flux, error, observed, redshift, grid)
    fluxes = model(found, redshift, grid)[good]
    rest = (grid.wavelength / (1 + np.asarray(redshift, float)[:, None]))[good]
    flux, noise = flux[good], error[good] / flux[good]
    miss = np.abs(fluxes / flux - 1)
    parts = np.array_split(np.argsort(rest), max(1, min(bins, rest.size // least)))
    middle = np.array([np.median(rest[part]) for part in parts])
    scatter = np.array([np.median(miss[part]) / 0.6745 for part in parts])
    own = np.array([np.median(noise[part]) for part in parts])
    return middle, np.sqrt(np.maximum(scatter**2 - own**2, 0.0))


def _checked(
    flux: ArrayLike, error: ArrayLike, observed: ArrayLike, grid: Grid
) -> tuple[NDArray, NDArray]:
    """Return fluxes, 0 where not observed, and weights 1 / error^2, likewise."""
    flux, error = np.asarray(flux, float), np.asarray(error, float)
    observed = np.asarray(observed, bool)
    if not flux.shape == error.shape == observed.shape or flux.ndim != 2:
        raise ValueError(
            "flux, error and observed must have one shape, a row per galaxy and a column per band: "
            f"they have {flux.shape}, {error.shape} and {observed.shape}"
        )
    if flux.shape[1] != len(grid.bands):
        raise ValueError(
            f"fluxes in {flux.shape[1]} bands, templates in {len(grid.bands)}: "
            f"{', '.join(grid.bands)}"
        )
    for name, bad in (
        ("flux", observed & ~np.isfinite(flux)),
        ("error", observed & ~((error > 0) & np.isfinite(error))),
    ):
        if bad.any():
            row, band = np.unravel_index(int(bad.argmax()), bad.shape)
            value = (flux if name == "flux" else error)[row, band]
            permitted = "finite" if name == "flux" else "finite and above 0"
            raise ValueError(
                f"galaxy {row}: {name} {value:g} in {grid.bands[band]} must be {permitted}; "
                "mark the band as not observed if it is not"
            )
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(observed, 1 / error**2, 0.0)
    return np.where(observed, flux, 0.0), weight


@kernel
def solve(
    columns: NDArray,
    data: NDArray,
    passive: NDArray,
    x: NDArray,
    basis: NDArray,
    factor: NDArray,
    places: NDArray,
    trial: NDArray,
    rest: NDArray,
) -> None:
    """Non-negative least squares: Lawson & Hanson (1974), chapter 23.

    Starts from the set ``passive`` of positive coefficients, as good as it is, and leaves it and
    ``x`` there; what follows them is room to work in.

    Parameters
    ----------
    columns, data : arrays, shapes (T, B), (B,)
        Of length 1, or 0.
    passive, x : arrays, shape (T,)
        Which coefficients are positive, `IN` or `OUT` (in and out); the coefficients (out).
    basis, factor, places, trial, rest : arrays, shapes (T, B), (T, T), (T,), (T,), (B,)
    """
    n, bands = columns.shape
    # In the order in which they came: of two that depend on each other the later one goes.
    count = 0
    for j in range(n):
        if passive[j] == IN:
            places[count] = j
            count += 1
    # A start that is feasible: what comes out negative leaves the set.
    negative = True
    while negative:
        negative = False
        count = least_squares(columns, data, passive, count, basis, factor, places, trial, rest)
        for p in range(count):
            if trial[p] <= 0.0:
                passive[places[p]] = OUT
                negative = True
        if negative:
            count = remaining(passive, count, places)
    x[:] = 0.0
    for p in range(count):
        x[places[p]] = trial[p]

    for _ in range(10 * n):
        for b in range(bands):
            rest[b] = data[b]
        for p in range(count):
            for b in range(bands):
                rest[b] -= x[places[p]] * columns[places[p], b]
        best, largest = -1, FLAT
        for j in range(n):
            if passive[j] == OUT:
                gradient = 0.0
                for b in range(bands):
                    gradient += columns[j, b] * rest[b]
                if gradient > largest:
                    best, largest = j, gradient
        if best < 0:
            break
        passive[best] = IN
        places[count] = best
        count += 1
        while True:
            count = least_squares(columns, data, passive, count, basis, factor, places, trial, rest)
            # as far towards the trial as no coefficient turns negative
            share, first = 1.0, -1
            for p in range(count):
                j = places[p]
                if trial[p] <= 0.0:
                    step = x[j] / (x[j] - trial[p]) if x[j] > 0.0 else 0.0
                    if step < share or first < 0:
                        share, first = step, j
            for p in range(count):
                j = places[p]
                x[j] = max(x[j] + share * (trial[p] - x[j]), 0.0)
            if first < 0:
                break
            x[first] = 0.0
            passive[first] = OUT
            count = remaining(passive, count, places)
        if passive[best] == IN:
            # the others may be asked again
            for j in range(n):
                if passive[j] == REFUSED:
                    passive[j] = OUT
        else:
            passive[best] = REFUSED
    for j in range(n):
        if passive[j] != IN:
            passive[j] = OUT
            x[j] = 0.0


@kernel
def remaining(passive: NDArray, count: int, places: NDArray) -> int:
    """Leave out of ``places`` what is no longer passive; return how many remain."""
    kept = 0
    for p in range(count):
        if passive[places[p]] == IN:
            places[kept] = places[p]
            kept += 1
    return kept


@kernel
def least_squares(
    columns: NDArray,
    data: NDArray,
    passive: NDArray,
    count: int,
    basis: NDArray,
    factor: NDArray,
    places: NDArray,
    trial: NDArray,
    rest: NDArray,
) -> int:
    """Solve for the passive coefficients, by the modified Gram-Schmidt process on data and all.

    A column that depends on those before it leaves. Returns how many remain. Normal equations would
    be quicker, but real templates depend on each other too nearly where one band has a small error.
    """
    bands = data.size
    for b in range(bands):
        rest[b] = data[b]
    kept = 0
    for p in range(count):
        j = places[p]
        for b in range(bands):
            basis[kept, b] = columns[j, b]
        for q in range(kept):
            value = 0.0
            for b in range(bands):
                value += basis[q, b] * basis[kept, b]
            factor[q, kept] = value
            for b in range(bands):
                basis[kept, b] -= value * basis[q, b]
        length = 0.0
        for b in range(bands):
            length += basis[kept, b] * basis[kept, b]
        length = np.sqrt(length)
        if length <= DEPENDENT:
            passive[j] = REFUSED
            continue
        factor[kept, kept] = length
        value = 0.0
        for b in range(bands):
            basis[kept, b] /= length
            value += basis[kept, b] * rest[b]
        for b in range(bands):
            rest[b] -= value * basis[kept, b]
        trial[kept] = value
        places[kept] = j
        kept += 1
    for p in range(kept - 1, -1, -1):
        value = trial[p]
        for q in range(p + 1, kept):
            value -= factor[p, q] * trial[q]
        trial[p] = value / factor[p, p]
    return kept


@kernel
def scale(
    flux: NDArray,
    weight: NDArray,
    fluxes: NDArray,
    columns: NDArray,
    data: NDArray,
    length: NDArray,
) -> float:
    """Fill columns and data, over the errors and of length 1; return the length of the data.

    ``fluxes`` of the templates has shape (T, B). A template without flux in the observed bands gets
    length 0.
    """
    n, bands = fluxes.shape
    total = 0.0
    for b in range(bands):
        data[b] = np.sqrt(weight[b]) * flux[b]
        total += data[b] * data[b]
    total = np.sqrt(total)
    for b in range(bands):
        data[b] = data[b] / total if total > 0.0 else 0.0
    for t in range(n):
        value = 0.0
        for b in range(bands):
            columns[t, b] = np.sqrt(weight[b]) * fluxes[t, b]
            value += columns[t, b] * columns[t, b]
        length[t] = np.sqrt(value)
        for b in range(bands):
            columns[t, b] = columns[t, b] / length[t] if length[t] > 0.0 else 0.0
    return total


@kernel
def fit_coefficients(
    flux: NDArray, weight: NDArray, redshift: NDArray, nodes: NDArray, maggies: NDArray
) -> NDArray:
    """Coefficients, shape (n, T), at known redshifts within ``nodes``."""
    _, n, bands = maggies.shape
    found = np.zeros((flux.shape[0], n))
    columns, basis, factor = np.empty((n, bands)), np.empty((n, bands)), np.empty((n, n))
    length, x, trial = np.empty(n), np.empty(n), np.empty(n)
    data, rest = np.empty(bands), np.empty(bands)
    passive, places = np.zeros(n, np.int8), np.zeros(n, np.int64)
    fluxes = np.empty((n, bands))
    for i in range(flux.shape[0]):
        k = min(max(np.searchsorted(nodes, redshift[i], side="right") - 1, 0), nodes.size - 2)
        share = (redshift[i] - nodes[k]) / (nodes[k + 1] - nodes[k])
        for t in range(n):
            for b in range(bands):
                fluxes[t, b] = (1 - share) * maggies[k, t, b] + share * maggies[k + 1, t, b]
        total = scale(flux[i], weight[i], fluxes, columns, data, length)
        passive[:] = OUT
        solve(columns, data, passive, x, basis, factor, places, trial, rest)
        for t in range(n):
            if x[t] > 0.0:
                found[i, t] = x[t] * total / length[t]
    return found


@kernel
def fit_redshifts(
    flux: NDArray, weight: NDArray, maggies: NDArray, fraction: NDArray, log_prior: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Return chi2 (n, Z), place of the best redshift (n,), -1 for none, coefficients (n, T)."""
    n_redshifts, n, bands = maggies.shape
    chi2 = np.zeros((flux.shape[0], n_redshifts))
    best = np.full(flux.shape[0], -1)
    found = np.zeros((flux.shape[0], n))
    columns, basis, factor = np.empty((n, bands)), np.empty((n, bands)), np.empty((n, n))
    length, x, trial = np.empty(n), np.empty(n), np.empty(n)
    data, rest, weights = np.empty(bands), np.empty(bands), np.empty(bands)
    passive, places = np.zeros(n, np.int8), np.zeros(n, np.int64)
    for i in range(flux.shape[0]):
        if not weight[i].any():
            continue
        prior = log_prior[i if log_prior.shape[0] > 1 else 0]
        passive[:] = OUT
        for step in range(n_redshifts + 1):
            k = step
            if step == n_redshifts:
                # once more at the best, for the coefficients
                least = np.inf
                for j in range(n_redshifts):
                    least = min(least, chi2[i, j] - 2 * prior[j])
                k = 0
                while chi2[i, k] - 2 * prior[k] > least + TIE:
                    k += 1
                best[i] = k
            value = 0.0
            for b in range(bands):
                extra = fraction[k, b] * flux[i, b]
                growth = 1 + weight[i, b] * extra * extra
                weights[b] = weight[i, b] / growth
                value += np.log(growth)
            total = scale(flux[i], weights, maggies[k], columns, data, length)
            # from the templates that were needed at the redshift before
            solve(columns, data, passive, x, basis, factor, places, trial, rest)
            if step == n_redshifts:
                for t in range(n):
                    found[i, t] = x[t] * total / length[t] if x[t] > 0.0 else 0.0
                continue
            for b in range(bands):
                miss = data[b]
                for t in range(n):
                    if x[t] > 0.0:
                        miss -= x[t] * columns[t, b]
                value += miss * miss * total * total
            chi2[i, k] = value
    return chi2, best, found
