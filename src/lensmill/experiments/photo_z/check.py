"""What a population of galaxies is checked for before anything is trained on it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import binom

from lensmill.experiments.photo_z import simulate
from lensmill.experiments.photo_z.families import FAMILIES
from lensmill.galaxies import filters, fits, maggies, templates
from lensmill.pipeline import checks, store
from lensmill.pipeline.streams import uniforms

REDRAWN = 2048  # mocks that are simulated again
FITTED = 2000  # galaxies whose colours are compared with those of templates
FEWEST = 20  # galaxies of which a median says something
NEGATIVE = 5.0  # sigma below 0 that no noise reaches
MANY_NEGATIVE = 0.01  # share of such fluxes beyond which a column is not what it is said to be
FLOOR = 0.05  # error of templates as a share of the flux
KNOWING = 0.6  # share of galaxies, at least, whose colours know their redshift; by chance it is 0.5
# mag, median of a band against what others let expect: look at it; a wrong unit
OFF, FAR_OFF = 1.0, 2.0


def check(dataset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check galaxies: rows, fluxes and errors, redshifts, noise, and colours at their redshifts.

    Parameters
    ----------
    dataset : str
        A merged simulation, or what `ingest` wrote.
    settings : mapping
        Those of the population, and of a simulated one the number of ``systems``.

    Returns
    -------
    dict
        As `lensmill.pipeline.checks.report` takes it.
    """
    facts = store.attributes(dataset)
    real = "ingest" in settings
    columns = checks.Columns()
    low, high = settings["redshift_range"] if real else settings["prior"]["redshift"]
    rules = {
        "numbered": checks.Wrong("numbered", "galaxies are numbered through"),
        "flags": checks.Wrong("flags", "flags are 0 or 1"),
        "errors": checks.Wrong("errors", "an observed flux has a positive error"),
        "zeros": checks.Wrong("zeros", "what is not observed is 0"),
        "seen": checks.Wrong("seen", "a galaxy is observed in some band"),
        "redshifts": checks.Wrong(
            "redshifts", f"a known redshift lies between {low:g} and {high:g}, another is 0"
        ),
    }
    prints, negative, measured = [], 0, 0
    for start, part in _pieces(dataset):
        columns.add("systems", part)
        index = part["index"]
        flux, error, seen = part["flux"], part["flux_error"], part["observed"]
        known = part["redshift_known"]
        z = part["redshift"]
        inside = (z >= low) & (z <= high)
        rules["numbered"].add(index != start + np.arange(len(index)), index)
        rules["flags"].add((seen > 1).any(axis=1) | (known > 1), index)
        rules["errors"].add(((seen == 1) & ~(error > 0)).any(axis=1), index)
        rules["zeros"].add(((seen == 0) & ((flux != 0) | (error != 0))).any(axis=1), index)
        rules["seen"].add((seen == 0).all(axis=1), index)
        rules["redshifts"].add(np.where(known == 1, ~inside, z != 0), index)
        negative += int(((seen == 1) & (flux < -NEGATIVE * error)).sum())
        measured += int((seen == 1).sum())
        prints.append(checks.fingerprints([*flux.T, z]))
    prints = np.concatenate(prints) if prints else np.zeros(0, np.uint64)
    results = [_count(facts, len(prints), settings), columns.finite()]
    results += [rule.outcome() for rule in rules.values()]
    results += [_copies(prints) if real else checks.duplicates(prints)]
    results += [_negative(negative, measured)]
    if not checks.failed(results):
        results += _colours(dataset, json.loads(facts["bands"]))
        if not real:
            results += _drawn_again(dataset, settings)
    return {
        "population": str(facts.get("population", "unnamed")),
        "dataset": str(facts["content_digest"]),
        "statistics": columns.numbers(),
        "checks": results,
        "sketch": checks.sketch(prints) if len(prints) else [],
    }


def _pieces(dataset: str) -> Iterator[tuple[int, dict[str, NDArray]]]:
    names = [*simulate.UNITS["systems"]]
    with h5py.File(dataset) as file:
        count = len(file["systems/index"])
    for start in range(0, count, checks.PIECE):
        yield start, store.read(dataset, "systems", names, start, checks.PIECE)


def _count(facts: Mapping[str, Any], rows: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check that every galaxy that was made or read is there, or was refused by name."""
    refused = int(facts.get("refused", 0))
    promised = int(settings["systems"] if "systems" in settings else facts["candidates"])
    sentence = f"{rows} galaxies are there of {promised}, and {refused} were refused"
    return checks.outcome(
        "galaxies in = galaxies out + refused",
        rows + refused == promised,
        rows + refused,
        promised,
        sentence,
    )


def _copies(prints: NDArray) -> dict[str, Any]:
    """Count galaxies that are there twice; they are only flagged, fields of surveys overlap."""
    same = len(prints) - len(np.unique(prints))
    sentence = f"{same} of {len(prints)} galaxies have the fluxes of another one"
    if same:
        sentence += "; take them out, or name a `group` that holds both, or the test knows answers"
    return checks.outcome("copies", True, same, 0, sentence, same > 0)


def _negative(count: int, of: int) -> dict[str, Any]:
    """Judge how many fluxes are negative beyond noise: the sky was taken off wrongly, or worse."""
    if not of:
        return checks.skipped("negative fluxes", "there are no fluxes")
    sentence = f"{count} of {of} fluxes lie more than {NEGATIVE:g} sigma below 0"
    if count:
        sentence += "; set `min_snr` where such a measurement has failed"
    return checks.outcome(
        "negative fluxes",
        count <= MANY_NEGATIVE * of,
        count / of,
        MANY_NEGATIVE,
        sentence,
        count > 0,
    )


def _colours(dataset: str, bands: list[str]) -> list[dict[str, Any]]:
    """Compare the colours of some galaxies with those of spectra, where bands have a curve.

    Colours hang on redshift, so that fits at the true one must be better than with the redshifts in
    another order. And no band may lie far off what the others let expect: a wrong unit, zero point
    or name.
    """
    names = "colours know redshifts", "bands against templates"
    use = [k for k, band in enumerate(bands) if band in filters.BANDS]
    with h5py.File(dataset) as file:
        rows = np.flatnonzero(file["systems/redshift_known"][:])
        rows = rows[:: max(len(rows) // FITTED, 1)][:FITTED]
        part = {name: file[f"systems/{name}"][rows] for name in simulate.UNITS["systems"]}
    flux, error, seen = (part[name][:, use] for name in ("flux", "flux_error", "observed"))
    good = (seen.sum(axis=1) >= 3) & (part["redshift"] > 0)
    if good.sum() < FEWEST:
        why = f"{int(good.sum())} galaxies have a redshift and three bands with a curve"
        return [checks.skipped(name, why) for name in names]
    flux, error, seen, z = flux[good], error[good], seen[good] == 1, part["redshift"][good]
    error = np.where(seen, np.hypot(error, FLOOR * flux), 1.0)
    low, high = (1 + z.min()) * (1 - 1e-9), (1 + z.max()) * (1 + 1e-9)
    count = int(np.clip(np.log(high / low) / 0.005, 8, 400))
    steps = np.geomspace(low, high, count) - 1
    spectra = templates.read("kcorrect")
    grid = maggies.grid(spectra, [bands[k] for k in use], steps, absorbed=True)

    def model(redshift: NDArray, used: NDArray) -> NDArray:
        found = fits.coefficients(flux, error, used, redshift, grid)
        return fits.model(found, redshift, grid)

    def chi2(redshift: NDArray) -> NDArray:
        away = np.where(seen, flux - model(redshift, seen), 0.0) / error
        return (away**2).sum(axis=1)

    # not random: each has the redshift of the one half the sample further on
    others, order = np.empty_like(z), np.argsort(z)
    others[order] = np.roll(z[order], len(z) // 2)
    better = int((chi2(z) < chi2(others)).sum())
    share = better / len(z)
    p = float(binom.cdf(better, len(z), KNOWING))
    sentence = (
        f"templates fit the colours of {share:.3f} of {len(z)} galaxies better at their own "
        f"redshift than at that of another one ({KNOWING:g} or more is expected, p = {p:.2g})"
    )
    sentence += "" if p >= checks.FAIL else "; the redshifts are not those of these rows"
    passed, flagged = p >= checks.FAIL, p < checks.FLAG
    results = [checks.outcome(names[0], passed, share, KNOWING, sentence, flagged)]
    off = {}
    surveys = np.array([bands[column].split("_")[0] for column in use])
    for k, column in enumerate(use):
        # Bands of one survey share their mistakes: all are left out where most bands are of others.
        without = seen & (surveys != surveys[k])
        few = without.sum(axis=1) < np.maximum(3, seen.sum(axis=1) / 2 + 0.5)
        without[few] = seen[few]
        without[few, k] = False
        expected = model(z, without)[:, k]
        bright = seen[:, k] & (flux[:, k] > 3 * error[:, k]) & (without.sum(axis=1) >= 3)
        bright &= expected > 0
        if bright.sum() >= FEWEST:
            ratio = flux[bright, k] / expected[bright]
            off[bands[column]] = float(np.median(-2.5 * np.log10(ratio)))
    if not off:
        why = "no band has enough bright galaxies that are seen in three others"
        return [*results, checks.skipped(names[1], why)]
    worst = max(off, key=lambda band: abs(off[band]))
    away = abs(off[worst])
    sentence = (
        f"at the median, {worst} lies {off[worst]:+.2f} mag off what templates expect from the "
        "other bands, and these less off"
    )
    sentence += "; look at its unit, zero point and extinction" if away > OFF else ""
    results.append(checks.outcome(names[1], away < FAR_OFF, off, FAR_OFF, sentence, away > OFF))
    return results


def _drawn_again(dataset: str, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Simulate some galaxies again: the same ones must come, and the noise be what errors say."""
    facts = store.attributes(dataset)
    stream = int(facts["seed"]), str(facts["experiment"]), str(facts["population"])
    count = min(REDRAWN, int(settings["systems"]))
    part = store.read(dataset, "systems", [*simulate.UNITS["systems"]], 0, count)
    numbers = uniforms(*stream, 0, count, simulate.WIDTH)
    prior = {**settings["prior"], **FAMILIES[settings["family"]]}
    redshift, truth = simulate.galaxies(numbers, prior, settings["observation"])
    again = simulate.draw(0, numbers, settings)["systems"]
    same = checks.Worst("drawn again", "the change of a flux over its error, drawn again", 1e-3)
    change = np.abs(again["flux"] - part["flux"]) / np.where(
        part["observed"], again["flux_error"], 1
    )
    same.add(change.max(axis=1), part["index"])
    moved = checks.Worst("redshift again", "the change of a redshift, drawn again", 1e-6)
    moved.add(redshift - part["redshift"], part["index"])
    noise = checks.Uniform("noise", "fluxes against a Gaussian about those without noise")
    seen = part["observed"] == 1
    away = (part["flux"] - truth)[seen] / part["flux_error"][seen]
    noise.add(ndtr(away))
    faintest = settings["observation"]["select"]
    column = [*settings["observation"]["bands"]].index(faintest["band"])
    cut = checks.Wrong(
        "cut", f"a galaxy is brighter than {faintest['faintest']:g} in {faintest['band']}"
    )
    # the tables are straight lines between redshifts
    cut.add(truth[:, column] < 0.98 * 10 ** (-0.4 * faintest["faintest"]), part["index"])
    return [same.outcome(), moved.outcome(), noise.outcome(), cut.outcome()]
