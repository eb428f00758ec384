"""Mock galaxies without noise: spectra of the mixture, dust, lines, and a luminosity function.

How many galaxies of a spectrum are in a sample that ends at a magnitude, at each redshift, is
counted: the volume there, times the Schechter function above the luminosity that the magnitude
asks for. So redshift and luminosity are drawn by inverse cumulative distributions, and nothing is
thrown away.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gamma, gammaincc, ndtri

from lensmill.experiments.photo_z import mixture
from lensmill.galaxies import dust, lines, maggies, templates
from lensmill.lensing.distances import SPEED_OF_LIGHT, distances
from lensmill.pipeline.priors import inverse_cdf

# ASSUME: the luminosity functions in B (Bessell) hold in F435W, a few hundredths of a magnitude
# away; luminosities of all bands move by that alone.
LUMINOSITY = "acs_F435W"
H0, OMEGA_M = 70.0, 0.3  # for which the luminosity functions are
STEP = 0.003  # of ln(1 + z) in the tables; between their redshifts fluxes are straight lines
DUST = np.arange(5) * 0.1  # E(B - V) of the tables; between them two kinds of dust are mixed
CONTINUUM = ((6480.0, 6520.0), (6610.0, 6650.0))  # beside H alpha [Angstrom]
FITTED = ("sdss_r", 17.4, 0.01, 0.6)  # band, magnitude and redshifts of what the mixture is of
OF_MIXTURE = 0.1  # median redshift of its galaxies
TRIALS = 128  # spectra by which the galaxies of a normal law are counted
NUMBERS = 7  # uniform numbers of `spectra_of`: law, four ratios, dust, lines


class Spectra(NamedTuple):
    """What galaxies shine with: coefficients of the tables."""

    blue: NDArray  # (n,) bool
    coefficients: NDArray  # (n, E * T): of `dusty`; 1 maggie in r at rest before dust
    shares: NDArray  # (n, 5) of the light in r


class Sample(NamedTuple):
    """A sample that ends at a magnitude, and the luminosity functions."""

    redshift: NDArray  # (Z,)
    selected: NDArray  # (E * T, Z): flux in the band of the cut [maggies at 10 pc]
    distance: NDArray  # (Z,): luminosity distance squared over (10 pc)^2
    volume: NDArray  # (Z,): comoving, per redshift, in any unit
    faintest: float  # [maggies]
    luminosity: Mapping[str, Mapping[str, float]]
    evolves_to: float
    growth: NDArray  # (E * T, Z): of the light of each spectrum, see `growth`


@lru_cache(maxsize=1)
def dusty() -> templates.Templates:
    """Return the five spectra and the lines, behind each kind of dust in turn."""
    plain = templates.read(mixture.SPECTRA)
    bright = np.vstack([plain.luminosity, lines.spectrum(plain.wavelength)])
    through = np.stack([dust.attenuation(plain.wavelength, ebv) for ebv in DUST])
    all_of_them = (through[:, None] * bright).reshape(-1, len(plain.wavelength))
    names = tuple(f"{name} {ebv:g}" for ebv in DUST for name in (*plain.names, "lines"))
    return templates.Templates(names, plain.wavelength, all_of_them, plain.cubic)


@lru_cache(maxsize=1)
def continuum() -> NDArray:
    """Flux of each of the five spectra beside H alpha [per Angstrom], shape (5,)."""
    plain = templates.read(mixture.SPECTRA)
    near = [(plain.wavelength > low) & (plain.wavelength < high) for low, high in CONTINUUM]
    return plain.luminosity[:, near[0] | near[1]].mean(axis=1)


@lru_cache(maxsize=1)
def young() -> NDArray:
    """Say which spectra of `dusty` are of young stars, or of lines, shape (E * T,) bool."""
    bands = maggies.model(templates.read(mixture.SPECTRA), ["sdss_u", "sdss_r"], [0.0])[0]
    blue = -2.5 * np.log10(bands[:, 0] / bands[:, 1]) < mixture.DIVIDE
    return np.tile([*blue, True], len(DUST))


def growth(redshift: NDArray, youth: float, evolves_to: float) -> NDArray:
    """Growth of the light of each spectrum since the galaxies of the mixture, shape (E * T, n).

    That of young stars grows as a power of 1 + z: galaxies of one mass formed more stars when the
    Universe was young (Speagle et al. 2014, ApJS 214, 15).
    """
    ratio = (1 + np.minimum(redshift, evolves_to)) / (1 + OF_MIXTURE)
    return np.where(young()[:, None], ratio**youth, 1.0)


def redshifts(low: float, high: float) -> NDArray:
    """Return the redshifts of the tables."""
    count = max(int(np.ceil(np.log((1 + high) / (1 + low)) / STEP)), 8)
    return (1 + low) * ((1 + high) / (1 + low)) ** (np.arange(count + 1) / count) - 1


@lru_cache(maxsize=8)
def fluxes(bands: tuple[str, ...], low: float, high: float) -> NDArray:
    """Return fluxes at 10 pc [maggies] of all spectra behind all dust, shape (Z, E * T, B)."""
    return maggies.model(dusty(), bands, redshifts(low, high), absorbed=True)


def spectra_of(uniforms: NDArray, weight: NDArray, prior: Mapping[str, Any]) -> Spectra:
    """Turn uniform numbers, shape (n, NUMBERS), into spectra.

    Parameters
    ----------
    uniforms : array
    weight : array, shape (K,)
        Of each normal law of the mixture, in any unit.
    prior : mapping
        ``ebv`` and ``lines``.
    """
    laws = mixture.read()
    cumulative = np.cumsum(weight) / np.sum(weight)
    which = np.minimum(np.searchsorted(cumulative, uniforms[:, 0]), len(weight) - 1)
    normal = ndtri(uniforms[:, 1:5])
    ratios = laws.mean[which] + np.einsum("nij,nj->ni", laws.root[which], normal)
    shares = mixture.shares(ratios)
    stars = shares / mixture.light()
    blue = laws.blue[which]
    width = np.where(blue, inverse_cdf(prior["lines"], uniforms[:, 6]), 0.0)
    bright = np.column_stack([stars, width * (stars * continuum()).sum(axis=1)])
    place = inverse_cdf(prior["ebv"], uniforms[:, 5]) / (DUST[1] - DUST[0])
    low = np.minimum(place.astype(int), len(DUST) - 2)
    part = (place - low)[:, None]
    coefficients = np.zeros((len(uniforms), len(DUST), bright.shape[1]))
    rows = np.arange(len(uniforms))
    coefficients[rows, low] = (1 - part) * bright
    coefficients[rows, low + 1] = part * bright
    return Spectra(blue, coefficients.reshape(len(uniforms), -1), shares)


def sample(band: str, faintest: float, low: float, high: float, prior: Mapping[str, Any]) -> Sample:
    """Describe a sample that ends at a magnitude of a band, between two redshifts."""
    used = {key: prior[key] for key in ("luminosity", "evolves_to", "youth")}
    return _sample(band, faintest, low, high, json.dumps(used, sort_keys=True))


@lru_cache(maxsize=8)
def _sample(band: str, faintest: float, low: float, high: float, used: str) -> Sample:
    prior = json.loads(used)
    z = redshifts(low, high)
    selected = fluxes((band,), low, high)[..., 0]
    _, angular, _, _ = distances(z / 2, z, H0, OMEGA_M)
    comoving = angular * (1 + z)
    expansion = np.sqrt(OMEGA_M * (1 + z) ** 3 + 1 - OMEGA_M)
    return Sample(
        z,
        np.ascontiguousarray(selected.T),
        (comoving * (1 + z) * 1e5) ** 2,
        comoving**2 / expansion * SPEED_OF_LIGHT / H0,
        10 ** (-0.4 * faintest),
        prior["luminosity"],
        prior["evolves_to"],
        growth(z, prior["youth"], prior["evolves_to"]),
    )


@lru_cache(maxsize=1)
def luminosity() -> NDArray:
    """Flux of each spectrum of `dusty` in B at rest at 10 pc [maggies], shape (E * T,)."""
    return maggies.model(dusty(), [LUMINOSITY], [0.0])[0, :, 0]


def characteristic(blue: NDArray, redshift: NDArray, of: Sample) -> NDArray:
    """Characteristic luminosity in B, as a flux at 10 pc [maggies]; arguments broadcast."""
    z = np.minimum(redshift, of.evolves_to)
    red, star_forming = (
        10 ** (-0.4 * (law["magnitude"] + law["brightening"] * z))
        for law in (of.luminosity["red"], of.luminosity["blue"])
    )
    return np.where(blue, star_forming, red)


def least(spectra: Spectra, of: Sample) -> NDArray:
    """Luminosity over the characteristic one that the cut asks for, shape (n, Z)."""
    seen, bright = np.zeros((2, len(spectra.blue), len(of.redshift)))
    # row by row the same sum, which a product of matrices is not; most coefficients are 0
    for k, grown in enumerate(of.growth):
        rows = np.flatnonzero(spectra.coefficients[:, k])
        light = spectra.coefficients[rows, k, None] * grown
        seen[rows] += light * of.selected[k]
        bright[rows] += light * luminosity()[k]
    # where nothing of a galaxy is seen, no luminosity is enough
    needed = of.faintest * of.distance * bright / np.maximum(seen, 1e-60)
    return needed / characteristic(spectra.blue[:, None], of.redshift, of)


def density(spectra: Spectra, needed: NDArray, of: Sample) -> NDArray:
    """Galaxies of each spectrum per redshift that the sample has, shape (n, Z), in any unit."""
    z = np.minimum(of.redshift, of.evolves_to)
    found = np.empty(needed.shape)
    for kind, rows in (("red", ~spectra.blue), ("blue", spectra.blue)):
        law = of.luminosity[kind]
        number = law["density"] * np.exp(law["growth"] * z) * of.volume
        found[rows] = number * np.exp(above(law["slope"], np.log(needed[rows])))
    return found


@lru_cache(maxsize=4)
def _table(slope: float) -> tuple[NDArray, NDArray]:
    """Logarithm of the incomplete gamma function of slope + 1, over that of its argument."""
    log = np.linspace(-25.0, np.log(300.0), 4000)
    x = np.exp(log)
    a = slope + 1
    if a > 0:
        value = gamma(a) * gammaincc(a, x)
    else:
        # one step of the recurrence from a + 1; a = 0 is its limit
        a = a or -1e-9
        value = (gamma(a + 1) * gammaincc(a + 1, x) - x**a * np.exp(-x)) / a
    # in the tail, where the difference above has lost its digits: the leading term of the series
    tail = x**slope * np.exp(-x) * (1 + slope / x)
    value = np.where(x > 30, tail, value)
    return log, np.log(value)


def above(slope: float, log: NDArray) -> NDArray:
    """Logarithm of the number above a luminosity, given by its logarithm over L*, phi* = 1."""
    at, value = _table(slope)
    return np.interp(log, at, value, right=-1e3)


def draw_above(slope: float, log: NDArray, uniform: NDArray) -> NDArray:
    """Draw logarithms of luminosities above ``log`` from a Schechter function."""
    at, value = _table(slope)
    wanted = above(slope, np.minimum(log, at[-1])) + np.log(uniform)
    return np.maximum(np.interp(wanted, value[::-1], at[::-1]), np.minimum(log, at[-1]))


def weights(
    band: str, faintest: float, low: float, high: float, prior: Mapping[str, Any]
) -> NDArray:
    """Weight of each normal law of the mixture in a `sample`, shape (K,).

    The mixture is of galaxies that are brighter than a magnitude in r; a law has more weight in
    another sample where that has more of its galaxies.

    ASSUME: within a law all spectra gain alike, and there are no others: far galaxies are near ones
    with more young stars.
    """
    used = {key: prior[key] for key in ("luminosity", "evolves_to", "youth", "ebv", "lines")}
    return _weights(band, faintest, low, high, json.dumps(used, sort_keys=True))


@lru_cache(maxsize=8)
def _weights(band: str, faintest: float, low: float, high: float, used: str) -> NDArray:
    prior = json.loads(used)
    mine = sample(band, faintest, low, high, prior)
    fitted = sample(*FITTED, prior)
    return mixture.read().weight * _counted(mine, prior) / _counted(fitted, prior)


def _counted(of: Sample, prior: Mapping[str, Any]) -> NDArray:
    """Galaxies of each law in a sample, over the number of its spectra: mean of some of them."""
    laws = mixture.read()
    # not random: the same low-discrepancy points for every law (Roberts' sequence)
    root = _plastic(NUMBERS - 1)
    points = (0.5 + np.outer(np.arange(1, TRIALS + 1), root)) % 1
    points = np.clip(points, 1e-6, 1 - 1e-6)
    counts = np.empty(len(laws.weight))
    for k in range(len(counts)):
        only = np.zeros(len(counts))
        only[k] = 1.0
        spectra = spectra_of(np.column_stack([np.full(TRIALS, 0.5), points]), only, prior)
        found = density(spectra, least(spectra, of), of)
        counts[k] = np.trapezoid(found, of.redshift, axis=1).mean()
    return counts


def _plastic(dimensions: int) -> NDArray:
    """Return the generators of an additive sequence that fills a cube evenly."""
    x = 1.5
    for _ in range(60):
        x = (1 + x) ** (1 / (dimensions + 1))
    return x ** -np.arange(1.0, dimensions + 1)


def draw_redshift(found: NDArray, of: Sample, uniform: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Draw a redshift for each row of `density`.

    Returns
    -------
    redshift : array, shape (n,)
    below : array of int, shape (n,)
        Row of the tables below it.
    part : array, shape (n,)
        Of the way to the next.
    """
    steps = 0.5 * (found[:, 1:] + found[:, :-1]) * np.diff(of.redshift)
    cumulative = np.cumsum(steps, axis=1)
    wanted = uniform * cumulative[:, -1]
    below = np.minimum((cumulative < wanted[:, None]).sum(axis=1), steps.shape[1] - 1)
    rows = np.arange(len(found))
    before = cumulative[rows, below] - steps[rows, below]
    part = np.clip((wanted - before) / np.maximum(steps[rows, below], 1e-300), 0.0, 1.0)
    low, high = of.redshift[below], of.redshift[below + 1]
    return low + part * (high - low), below, part


def fluxes_at(
    coefficients: NDArray,
    below: NDArray,
    part: NDArray,
    bands: Sequence[str],
    low: float,
    high: float,
) -> NDArray:
    """Fluxes at 10 pc of coefficients of `dusty`, shape (n, E * T), at redshifts of the tables.

    ``below`` and ``part`` are those of `draw_redshift`.

    Returns
    -------
    array, shape (n, B)
        [maggies]
    """
    table = fluxes(tuple(bands), low, high)
    found = np.zeros((len(below), len(bands)))
    # of the kinds of dust two at most have coefficients, so most of each table is passed over
    for k in range(coefficients.shape[1]):
        rows = np.flatnonzero(coefficients[:, k])
        if rows.size:
            near, far = table[below[rows], k], table[below[rows] + 1, k]
            found[rows] += coefficients[rows, k, None] * (near + part[rows, None] * (far - near))
    return found
