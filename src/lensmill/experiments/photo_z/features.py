"""What a method sees of a galaxy: asinh magnitudes, colours, errors and whatever else is measured.

Fluxes may be negative and bands may be missing, so magnitudes are inverse hyperbolic sines (Lupton,
Gritsman & Szalay 1999, AJ 118, 1406), and what is not observed has the median of the training part
and a column that says so. All numbers that this takes come from the training part alone.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lensmill.pipeline import store

SETS = ("bands", "colours", "all")
POGSON = 2.5 / np.log(10)
# Times the noise: the softening at which an asinh magnitude loses least (Lupton et al. 1999).
SOFTENING = np.sqrt(POGSON)
TAIL = 0.0005  # of the training part, at either end of a column, that is brought to its limit
QUANTILES = 201  # of the training part, by which further columns are brought to one scale


class Photometry(NamedTuple):
    """Fluxes of galaxies in the bands of a network, and the further columns."""

    flux: NDArray  # (n, B) [maggies]
    error: NDArray  # (n, B) [maggies], 1 sigma; 0 where not observed
    observed: NDArray  # (n, B) bool
    extra: NDArray  # (n, E)

    def select(self, rows: NDArray | slice) -> "Photometry":
        """Return some of the galaxies."""
        return Photometry(*(column[rows] for column in self))


def bands_of(dataset: str) -> tuple[list[str], list[str]]:
    """Return the bands of a data set, and the names of its further columns."""
    about = store.attributes(dataset)
    return json.loads(about["bands"]), json.loads(about.get("extra", "[]"))


def read(
    dataset: str,
    bands: Sequence[str],
    extra: Sequence[str] = (),
    first: int = 0,
    count: int | None = None,
) -> Photometry:
    """Read the photometry of galaxies of a data set in these bands, in this order.

    Raises
    ------
    ValueError
        If the data set lacks one of them: what a network has not seen, it cannot use, and what it
        has learned from, it needs.
    """
    there, further = bands_of(dataset)
    for what, wanted, found in (("band", bands, there), ("column", extra, further)):
        if missing := [name for name in wanted if name not in found]:
            raise ValueError(
                f"{dataset} has no {what} {', '.join(missing)} (it has "
                f"{', '.join(found) or 'none'}): a network must be asked about what it has learned "
                f"from; give it `bands` and `features` that both populations have"
            )
    columns = ["flux", "flux_error", "observed", *(["extra"] if extra else [])]
    table = store.read(dataset, "systems", columns, first, count)
    chosen = [there.index(name) for name in bands]
    flux, error, observed = (table[name][:, chosen] for name in columns[:3])
    more = np.empty((len(flux), 0))
    if extra:
        more = table["extra"][:, [further.index(name) for name in extra]].astype(float)
    return Photometry(flux, error, observed == 1, more)


def asinh_magnitudes(flux: NDArray, softening: NDArray) -> NDArray:
    """Asinh magnitudes (AB) of fluxes [maggies], with the softening ``b`` of each band [maggies].

    They tend to the logarithmic magnitude for ``flux >> b``, and are finite for every flux.
    """
    return -POGSON * (np.arcsinh(flux / (2 * softening)) + np.log(softening))


def magnitude_errors(flux: NDArray, error: NDArray, softening: NDArray) -> NDArray:
    """Errors of `asinh_magnitudes` to first order [mag]."""
    return POGSON * error / np.hypot(flux, 2 * softening)


def learn(
    sample: Photometry, bands: Sequence[str], extra: Sequence[str], chosen: str
) -> dict[str, Any]:
    """Learn from the training part what `make` needs.

    Parameters
    ----------
    sample : Photometry
        The training part.
    bands, extra : sequence of str
        Names of its columns.
    chosen : str
        One of ``SETS``: magnitudes; also all colours; also the errors and all further columns.

    Returns
    -------
    dict
        Of numbers and names only, to be kept as JSON.

    Raises
    ------
    ValueError
        If a band is never observed.
    """
    never = ~sample.observed.any(axis=0)
    if never.any():
        names = ", ".join(np.array(bands)[never])
        raise ValueError(
            f"no galaxy of the training part is observed in {names}; leave the band out of `bands`"
        )
    noise = np.array(
        [np.median(e[o]) for e, o in zip(sample.error.T, sample.observed.T, strict=True)]
    )
    softening = SOFTENING * noise
    known: dict[str, Any] = {
        "set": chosen,
        "bands": list(bands),
        "extra": list(extra) if chosen == "all" else [],
        "softening": softening.tolist(),
        # of bands that are observed in every galaxy there is nothing to say
        "masked": np.flatnonzero(~sample.observed.all(axis=0)).tolist(),
    }
    magnitude = asinh_magnitudes(sample.flux, softening)
    error = magnitude_errors(sample.flux, sample.error, softening)
    for name, columns in (("magnitude", magnitude), ("error", error)):
        filled = [np.median(c[o]) for c, o in zip(columns.T, sample.observed.T, strict=True)]
        known[name] = np.array(filled).tolist()
    if known["extra"]:
        levels = np.linspace(0, 1, QUANTILES)
        known["quantiles"] = np.quantile(sample.extra, levels, axis=0).T.tolist()
    # What lies beyond nearly all in training would be extrapolated.
    low, high = np.quantile(make(sample, known), [TAIL, 1 - TAIL], axis=0)
    return known | {"low": low.tolist(), "high": high.tolist()}


def names(known: Mapping[str, Any]) -> list[str]:
    """Return what each column of `make` is called."""
    bands = known["bands"]
    found = list(bands)
    found += [f"{bands[i]} observed" for i in known["masked"]]
    if known["set"] != "bands":
        found += [f"{a} - {b}" for a, b in combinations(bands, 2)]
    if known["set"] == "all":
        found += [f"{band} error" for band in bands]
        found += known["extra"]
    return found


def make(sample: Photometry, known: Mapping[str, Any]) -> NDArray:
    """Return the columns that a method sees: magnitudes, masks, colours, errors, further ones.

    Parameters
    ----------
    sample : Photometry
    known : mapping
        As `learn` gives it.

    Returns
    -------
    array, shape (n, F)
        Columns as `names` calls them: magnitudes and their errors [mag, errors as log10], masks 0
        or 1, further columns as their quantile in the training part (0 ... 1).
    """
    softening = np.array(known["softening"])
    seen = sample.observed
    magnitude = np.where(seen, asinh_magnitudes(sample.flux, softening), known["magnitude"])
    columns = [magnitude, seen[:, known["masked"]].astype(float)]
    if known["set"] != "bands":
        pairs = list(combinations(range(len(known["bands"])), 2))
        columns += [magnitude[:, [a]] - magnitude[:, [b]] for a, b in pairs]
    if known["set"] == "all":
        error = magnitude_errors(sample.flux, sample.error, softening)
        columns.append(np.log10(np.maximum(np.where(seen, error, known["error"]), 1e-6)))
        levels = np.linspace(0, 1, QUANTILES)
        further = zip(sample.extra.T, known.get("quantiles", ()), strict=True)
        columns += [np.interp(column, of, levels)[:, None] for column, of in further]
    found = np.concatenate(columns, axis=1)
    return np.clip(found, known["low"], known["high"]) if "low" in known else found
