"""What a population of clusters is checked for before anything is trained on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from lensmill.clusters import mass_function
from lensmill.cutouts import checks as image_checks
from lensmill.experiments.cluster_mass import scaling, simulate
from lensmill.pipeline import checks, shards, store

REDRAWN = 16  # systems that are simulated again
NOISY = 20000  # systems whose photons are tested as if they were Gaussian; more would show skewness
FEWEST = 100  # clusters of which slopes and scatters say something
# columns that are of the cluster, whatever side it shows
OF_CLUSTER = ("ln_m500", "redshift", "m_gas", "temperature", "l_x", "l_x_excised", "core_radius")


def check(dataset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check images of clusters: rows, photons, views, masses, and how luminosity goes with mass.

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
    systems = store.read(dataset, "systems")
    columns = checks.Columns()
    columns.add("systems", systems)
    of_image = store.read(dataset, "cutouts", ["system"])["system"]
    results = [
        checks.complete(facts, len(systems["index"]), settings),
        image_checks.rows_belong_together(dataset, of_image),
        columns.finite(),
        _photons(dataset, systems),
    ]
    prints = checks.fingerprints([systems[k] for k in ("counts", "ln_m500", "turn", "exposure")])
    results += [checks.duplicates(prints)]
    if "ingest" not in settings:
        results += [_views(systems, settings)]
        if not checks.failed(results):
            first = np.unique(systems["group"].astype(str), return_index=True)[1]
            clusters = {name: systems[name][np.sort(first)] for name in OF_CLUSTER}
            results += [_masses(clusters, settings), _noise(systems)]
            results += _relations(clusters)
            results += [_drawn_again(dataset, settings)]
    return {
        "population": str(facts.get("population", "unnamed")),
        "dataset": str(facts["content_digest"]),
        "statistics": columns.numbers(),
        "checks": results,
        "sketch": checks.sketch(prints),
    }


def _photons(dataset: str, systems: Mapping[str, NDArray]) -> dict[str, Any]:
    """Check that pixels hold whole numbers of photons, and that these are the counts."""
    rule = checks.Wrong("photons", "pixels hold whole numbers of photons, in all the counts")
    start = 0
    for _, pixels in image_checks.pieces(dataset):
        rows = slice(start, start + len(pixels))
        whole = ((pixels >= 0) & (pixels % 1 == 0)).all(axis=(1, 2, 3))
        total = pixels.sum(axis=(1, 2, 3), dtype=float)
        rule.add(~whole | (total != systems["counts"][rows]), systems["index"][rows])
        start += len(pixels)
    return rule.outcome()


def _views(systems: Mapping[str, NDArray], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check that the views of a cluster have one group, and all views of a group one cluster."""
    rule = checks.Wrong("views", "a group is one cluster, seen as often as asked for, and no other")
    views, _ = simulate.objects(settings)
    group, where, seen = np.unique(
        systems["group"].astype(str), return_inverse=True, return_counts=True
    )
    prints = checks.fingerprints([systems[name] for name in OF_CLUSTER])
    of_group = np.zeros(len(group), np.uint64)
    of_group[where] = prints
    wrong = prints != of_group[where]
    # a cluster that two groups share would be learned by heart in one and tested in the other
    _, inverse, groups_of = np.unique(of_group, return_inverse=True, return_counts=True)
    wrong |= (groups_of[inverse] > 1)[where]
    whole = systems["index"] // views < len(wrong) // views
    wrong |= whole & (seen[where] != views)
    rule.add(wrong, systems["index"])
    return rule.outcome()


def _masses(clusters: Mapping[str, NDArray], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Compare masses with the mass function, or with a law that is flat in ln M."""
    low, high = settings["prior"]["mass"]
    if settings["family"] == "flat":
        share = (clusters["ln_m500"] - np.log(low)) / np.log(high / low)
        text = "M500 of the clusters against a law that is flat in ln M"
    else:
        share = mass_function.share_below(clusters["ln_m500"], clusters["redshift"], low, high)
        text = "M500 of the clusters against the mass function"
    test = checks.Uniform("masses", text)
    # rounding at the ends is not outside
    test.add(np.clip(share, 0, 1) if np.abs(share - 0.5).max() < 0.5 + 1e-9 else share)
    return test.outcome()


def _noise(systems: Mapping[str, NDArray]) -> dict[str, Any]:
    """Compare the photons of whole images with what is expected of them."""
    expected = systems["expected_counts"][:NOISY]
    away = (systems["counts"][:NOISY] - expected) / np.sqrt(expected)
    test = checks.Uniform("noise", "photons of images against a Gaussian about the expected number")
    test.add(ndtr(away))
    return test.outcome()


def _relations(clusters: Mapping[str, NDArray]) -> list[dict[str, Any]]:
    """Compare slopes and scatters with those on the sky; what differs is flagged, not refused."""
    results = []
    for column in scaling.COLUMNS:
        names = f"slope of {column}", f"scatter of {column}"
        if len(clusters["ln_m500"]) < FEWEST:
            why = f"fewer than {FEWEST} clusters"
            results += [checks.skipped(name, why) for name in names]
            continue
        found = scaling.fit(clusters["ln_m500"], clusters[column], scaling.PIVOT)
        errors = found.slope_error, found.scatter / np.sqrt(2 * len(clusters["ln_m500"]))
        for name, value, error, (low, high) in zip(
            names, (found.slope, found.scatter), errors, scaling.spans(column), strict=True
        ):
            outside = not low - 3 * error <= value <= high + 3 * error
            sentence = (
                f"the {name} against M500 is {value:.3f} +- {error:.3f}, on the sky it is between "
                f"{low:.3g} and {high:.3g}"
            )
            sentence += "; clusters of this prior are not those of the sky" if outside else ""
            results.append(checks.outcome(name, True, value, [low, high], sentence, outside))
    return results


def _drawn_again(dataset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Simulate some systems again: the image must be the same."""
    facts = store.attributes(dataset)
    stream = int(facts["seed"]), str(facts["experiment"]), str(facts["population"])
    pixels = store.memmap(dataset, "cutouts", "pixels")
    again = checks.Worst("drawn again", "the share of pixels that change when drawn again", 0.01)
    rows = np.unique(np.linspace(0, len(pixels) - 1, min(REDRAWN, len(pixels))).astype(int))
    for index in rows.tolist():
        numbers = shards.numbers(simulate, *stream, index, 1, settings)
        new = simulate.draw(index, numbers, settings)["cutouts"]["pixels"][0]
        # another type of processor may round what is expected, and so a count here and there
        again.add(np.array([(new != pixels[index]).mean()]), np.array([index]))
    return again.outcome()
