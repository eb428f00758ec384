"""What a population of ring images is checked for before anything is trained on it."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from sklearn.metrics import roc_auc_score

from lensmill.cutouts import checks as image_checks
from lensmill.experiments.rings import light, simulate
from lensmill.experiments.rings.settings import FAMILIES
from lensmill.pipeline import checks, priors, store
from lensmill.pipeline.streams import uniforms

MAX_AUROC = 0.55  # of the total charge, for telling one number of rings from the next
REDRAWN = 32  # systems that are simulated again
NOISY = 20000  # systems whose noise is tested as if it were Gaussian; more would show its skewness


def check(dataset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check images of rings: rows, pixels, the laws of what was drawn, and what brightness tells.

    Parameters
    ----------
    dataset : str
        A merged simulation, or what `ingest` wrote.
    settings : mapping
        Those of the population, and of a simulated one the number of ``systems``.

    Returns
    -------
    dict
        As `lensmill.pipeline.checks.report` takes it: ``population``, ``dataset`` (its digest),
        ``statistics`` of all columns, ``checks``, and the ``sketch`` of fingerprints.
    """
    facts = store.attributes(dataset)
    systems, rings = store.read(dataset, "systems"), store.read(dataset, "rings")
    columns = checks.Columns()
    columns.add("systems", systems)
    columns.add("rings", rings)
    results = [
        checks.complete(facts, len(systems["index"]), settings),
        image_checks.rows_belong_together(
            dataset, store.read(dataset, "cutouts", ["system"])["system"]
        ),
        _linked(systems, rings),
        columns.finite(),
        _pixels(dataset, systems, settings["observation"]),
    ]
    if "ingest" in settings:
        prints = np.concatenate(
            [checks.fingerprints(p.reshape(len(p), -1).T) for _, p in image_checks.pieces(dataset)]
        )
        results += [_copies(prints)]
    else:
        # Images of bits may be equal though their rings are not: systems are compared.
        identity = ("charge", "expected_charge", *simulate.SHAPE)
        prints = checks.fingerprints([systems[name] for name in identity])
        results += [checks.duplicates(prints)]
        if not checks.failed(results):
            results += _drawn(systems, rings, settings) + _charges(systems, settings)
            results += [_drawn_again(dataset, settings)]
    results += _brightness(systems, settings.get("family") == "cone_matched")
    return {
        "population": str(facts.get("population", "unnamed")),
        "dataset": str(facts["content_digest"]),
        "statistics": columns.numbers(),
        "checks": results,
        "sketch": checks.sketch(prints),
    }


def _linked(systems: Mapping[str, NDArray], rings: Mapping[str, NDArray]) -> dict[str, Any]:
    """Check that the systems lead to their rings, row by row."""
    rule = checks.Wrong("rings belong together", "a system leads to its rings, and they name it")
    count, first = systems["n_rings"], systems["first_ring"]
    wrong = (first != np.cumsum(count) - count) | (systems["index"] != np.arange(len(count)))
    if count.sum() == len(rings["system"]):
        strayed = rings["system"] != np.repeat(systems["index"], count)
        np.logical_or.at(wrong, np.repeat(np.arange(len(count)), count), strayed)
    else:
        wrong[:] = True
    rule.add(wrong, systems["index"])
    return rule.outcome()


def _pixels(
    dataset: str, systems: Mapping[str, NDArray], observation: Mapping[str, Any]
) -> dict[str, Any]:
    """Check that what sensors read is possible, and that it sums up to the charge."""
    band = next(iter(observation["bands"].values()))
    what = "0 or 1" if band["reads"] == "hits" else "finite"
    rule = checks.Wrong("pixels", f"every sensor reads {what}, and their sum is the charge")
    start = 0
    for _, pixels in image_checks.pieces(dataset):
        rows = slice(start, start + len(pixels))
        good = np.isfinite(pixels) if what == "finite" else (pixels == 0) | (pixels == 1)
        total = pixels.sum(axis=(1, 2, 3), dtype=float)
        off = np.abs(total - systems["charge"][rows]) > 1e-6 * (1 + np.abs(total))
        rule.add(~good.all(axis=(1, 2, 3)) | off, systems["index"][rows])
        start += len(pixels)
    return rule.outcome()


def _copies(prints: NDArray) -> dict[str, Any]:
    """Count equal images; they are only flagged: rings without charges may well be equal."""
    same = len(prints) - len(np.unique(prints))
    sentence = f"{same} of {len(prints)} images are equal to another one"
    return checks.outcome("equal images", True, same, 0, sentence, same > 0)


def _drawn(
    systems: Mapping[str, NDArray], rings: Mapping[str, NDArray], settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Compare numbers of rings, their places and shapes with the prior."""
    prior = {**settings["prior"], **FAMILIES[settings["family"]]}
    least, most = prior["rings"]
    n, count = len(systems["n_rings"]), systems["n_rings"]
    results = [
        checks.fraction(
            f"share with {k} rings",
            f"systems with {k} rings",
            int((count == k).sum()),
            n,
            1 / (most - least + 1),
        )
        for k in range(least, most + 1)
    ]
    rule = checks.Wrong("number of rings", f"there are {least} to {most} rings")
    rule.add((count < least) | (count > most), systems["index"])
    region = checks.Wrong("region", _region(prior, settings))
    inside = np.ones(len(rings["system"]), bool)
    size = settings["observation"]["size"]
    if settings["family"] == "a3net":
        edge = np.minimum.reduce([rings["x"], size - rings["x"], rings["y"], size - rings["y"]])
        least_radius, margin = priors.ends(prior["radius"])[0], priors.ends(prior["margin"])[0]
        bound = np.maximum(edge - margin, np.floor(least_radius + 1e-3))
        inside = (rings["radius"] <= bound) & (rings["radius"] % 1 == 0)
    else:
        for name in ("x", "y", "radius"):
            low, high = priors.inverse_cdf(prior[name], [0.0, 1.0])
            inside &= (rings[name] >= low) & (rings[name] <= high)
    region.add(~inside, rings["system"])
    numbers, tests = {}, []
    for name in light.PARAMETERS:
        # what is rounded to whole numbers is not the prior any more
        rounded = settings["family"] == "a3net" and name in ("x", "y", "radius")
        if prior[name][0] != "fixed" and not rounded:
            numbers[name] = priors.cdf(prior[name], rings[name])
            text = f"{name} of the rings against {' '.join(map(str, prior[name]))}"
            tests.append(checks.Uniform(f"prior of {name}", text))
            tests[-1].add(numbers[name])
    pairs = checks.Independent("prior of pairs")
    pairs.add(numbers, {})
    return [*results, rule.outcome(), region.outcome(), *(t.outcome() for t in (*tests, pairs))]


def _charges(systems: Mapping[str, NDArray], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare expected charges with the prior, where that fixes them, and charges with these."""
    observation = settings["observation"]
    band = next(iter(observation["bands"].values()))
    tests = []
    law = settings["prior"]["photons"]
    if settings["family"] == "cone_matched" and law[0] != "fixed":
        for count in np.unique(systems["n_rings"]):
            text = f"light of images with {count} rings against {' '.join(map(str, law))}"
            tests.append(checks.Uniform(f"light of {count} rings", text))
            mine = systems["expected_charge"][systems["n_rings"] == count]
            tests[-1].add(priors.cdf(law, mine / band["efficiency"]))
    if band["reads"] == "charge":
        expected = systems["expected_charge"][:NOISY] + band["dark"] * observation["size"] ** 2
        sigma = np.sqrt(expected * (1 + band["resolution"] ** 2))
        away = (systems["charge"][:NOISY] - expected) / np.maximum(sigma, 1e-9)
        tests.append(checks.Uniform("noise", "charges against a Gaussian about the expected ones"))
        tests[-1].add(ndtr(away))
    return [test.outcome() for test in tests]


def _region(prior: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    if settings["family"] == "a3net":
        return "a ring is of whole numbers and keeps its margin to the edge"
    return f"a ring has its centre and radius within {prior['x']}, {prior['y']}, {prior['radius']}"


def _drawn_again(dataset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Simulate some systems again: the image must be the same."""
    facts = store.attributes(dataset)
    stream = int(facts["seed"]), str(facts["experiment"]), str(facts["population"])
    pixels = store.memmap(dataset, "cutouts", "pixels")
    again = checks.Worst("drawn again", "the share of sensors that change when drawn again", 0.01)
    rows = np.unique(np.linspace(0, len(pixels) - 1, min(REDRAWN, len(pixels))).astype(int))
    for index in rows.tolist():
        numbers = uniforms(*stream, index, 1, simulate.WIDTH)
        new = simulate.draw(index, numbers, settings)["cutouts"]["pixels"][0]
        # another type of processor may round a rate, and so a count here and there
        changed = np.abs(new - pixels[index]) > 1e-3 * (1 + np.abs(pixels[index]))
        again.add(np.array([changed.mean()]), np.array([index]))
    return again.outcome()


def _brightness(systems: Mapping[str, NDArray], matched: bool) -> list[dict[str, Any]]:
    """Check how well the total charge alone tells one number of rings from the next.

    A statistical check where light is matched: it fails if the AUROC is above the limit by more
    than 4.75 sigma, and if mean charges differ by so much. Elsewhere the number is only stated.
    """
    results = []
    present = np.unique(systems["n_rings"])
    for few, many in pairwise(present):
        one, two = (systems["charge"][systems["n_rings"] == k] for k in (few, many))
        name = f"brightness of {few} and {many} rings"
        if min(len(one), len(two)) < image_checks.FEWEST:
            results.append(checks.skipped(name, f"fewer than {image_checks.FEWEST} images of each"))
            continue
        label = np.repeat([0, 1], [len(one), len(two)])
        found = float(roc_auc_score(label, np.concatenate([one, two])))
        found = max(found, 1 - found)
        sigma = image_checks.hanley_mcneil(MAX_AUROC, len(one), len(two))
        away = (two.mean() - one.mean()) / np.hypot(
            *(x.std() / np.sqrt(len(x)) for x in (one, two))
        )
        p = min(float(ndtr((MAX_AUROC - found) / sigma)), 2 * float(ndtr(-abs(away))))
        sentence = (
            f"total charge alone tells {few} from {many} rings with AUROC {found:.3f} (limit "
            f"{MAX_AUROC:g}, sigma {sigma:.3f}); mean charges {one.mean():.1f} and "
            f"{two.mean():.1f} differ by {away:+.1f} sigma"
        )
        if matched:
            results.append(
                checks.outcome(name, p >= checks.FAIL, found, MAX_AUROC, sentence, p < checks.FLAG)
            )
        else:
            results.append(checks.outcome(name, True, found, None, sentence))
    return results or [checks.skipped("brightness", "all images have one number of rings")]
