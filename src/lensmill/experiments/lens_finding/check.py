"""Validation of a population of images before anything is trained on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.cutouts import checks as image_checks
from lensmill.experiments.lens_finding import simulate, sky
from lensmill.pipeline import checks, priors, store
from lensmill.pipeline.streams import uniforms

REDRAWN = 32  # systems that are simulated again
# ASSUME: more than this share of an image's pixels off the model by chi^2 means wrong noise or a
# wrong system; the mean of 4,096 squares of normal numbers is 1 +- 0.022.
CHI2 = 0.15
ROUNDED = 1e-3  # of a pixel: what it may change by is a thousandth of this, some units of 32 bits


def check(dataset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check one population; what is found goes into ``checks.json``.

    Parameters
    ----------
    dataset : str
        The merged file of a simulated population, or that of an ingested one.
    settings : mapping
        What fixes the population; of a simulated one also ``systems``.

    Returns
    -------
    dict
        ``population``, ``dataset``, ``statistics``, ``checks`` (see `lensmill.pipeline.checks`)
        and ``sketch``.
    """
    report = image_checks.check(dataset, settings)
    if "ingest" in settings or checks.failed(report["checks"]):
        return report
    systems = store.read(dataset, "systems")
    report["checks"] += _kinds(systems, settings["prior"])
    report["checks"] += _priors(systems, settings)
    report["checks"] += [_images(systems), *_redraw(dataset, settings)]
    return report


def _kinds(systems: Mapping[str, NDArray], prior: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare the shares of lenses and of every look-alike with those asked for."""
    n = len(systems["kind"])
    lenses = prior["lens_fraction"]
    shares = {name: prior["non_lenses"].get(name, 0.0) for name in sky.KINDS[1:]}
    total = sum(shares.values())
    expected = {"lens": lenses} | {k: (1 - lenses) * v / total for k, v in shares.items()}
    counts = dict(zip(sky.KINDS, np.bincount(systems["kind"], minlength=8).tolist(), strict=True))
    results = [
        checks.fraction(f"share of {name}", f"systems of kind {name}", counts[name], n, share)
        for name, share in expected.items()
    ]
    wrong = checks.Wrong("labels and kinds", "a system is labelled a lens if its kind is lens")
    wrong.add((systems["is_lens"] == 1) != (systems["kind"] == 0), systems["index"])
    return [*results, wrong.outcome()]


def _priors(systems: Mapping[str, NDArray], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Test the lenses' parameters against the prior, each by itself and pair by pair."""
    prior = {**settings["prior"], **simulate.FAMILIES[settings["family"]]}
    prior |= {"lens_x": prior["centre_offset"], "lens_y": prior["centre_offset"]}
    lenses = {name: values[systems["is_lens"] == 1] for name, values in systems.items()}
    theta_e, gamma1, gamma2 = (lenses[name] for name in ("theta_e", "gamma1", "gamma2"))
    reach = np.where(theta_e > 0, theta_e, 1.0)  # 0 where a label is wrong
    drawn = {name: lenses[name] for name in ("slope", "source_magnitude", "lens_x", "lens_y")}
    drawn |= {
        "einstein_radius": theta_e,
        "one_minus_q": 1 - lenses["q"],
        "shear": np.hypot(gamma1, gamma2),
        "lens_magnitude": lenses["lens_magnitude"] + 5 * np.log10(reach),  # see `sky.draw`
    }
    numbers, tests = {}, []
    for name, values in drawn.items():
        law = prior[name]
        if law[0] != "fixed":
            numbers[name] = priors.cdf(law, values)
            text = f"{name} against {' '.join(map(str, law))}"
            tests.append(checks.Uniform(f"prior of {name}", text))
    size = prior["source"][1]
    x, y = lenses["source_x"] / reach, lenses["source_y"] / reach
    numbers["source_radius"] = (x**2 + y**2) / size**2
    text = f"source against a uniform disc of {size} theta_e"
    tests.append(checks.Uniform("source radius", text))
    for test, u in zip(tests, numbers.values(), strict=True):
        test.add(u)
    pairs = checks.Independent("prior of pairs")
    pairs.add(numbers, checks.directions(prior, lenses))
    return [test.outcome() for test in (*tests, pairs)]


def _images(systems: Mapping[str, NDArray]) -> dict[str, Any]:
    """Check that the counted images of a lens are possible."""
    rule = checks.Wrong(
        "image counts",
        "a lens has a minimum, never fewer minima than saddles, and nothing else has images",
    )
    lens = systems["is_lens"] == 1
    minima, saddles = systems["n_minima"], systems["n_saddles"]
    possible = (minima >= 1) & (minima >= saddles - 1) & (systems["n_images"] >= minima + saddles)
    rule.add(np.where(lens, ~possible, systems["n_images"] > 0), systems["index"])
    return rule.outcome()


def _redraw(dataset: str, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Simulate some systems again: same image, and its noise is what the survey says."""
    facts = store.attributes(dataset)
    stream = int(facts["seed"]), str(facts["experiment"]), str(facts["population"])
    pixels = store.memmap(dataset, "cutouts", "pixels")
    again = checks.Worst(
        "drawn again", "the largest change of a pixel drawn again, in its noise,", 1e-3
    )
    chi2 = checks.Worst("noise", "|mean of (pixel - model)^2 / sigma^2 - 1|", CHI2)
    rows = np.unique(np.linspace(0, len(pixels) - 1, min(REDRAWN, len(pixels))).astype(int))
    for index in rows.tolist():
        numbers = uniforms(*stream, index, 1, simulate.WIDTH)
        drawn = sky.draw(numbers, simulate.FAMILIES[settings["family"]], settings["prior"])
        model, _, sigma = simulate.noise_free(drawn, settings["observation"])
        new = simulate.draw(index, numbers, settings)["cutouts"]["pixels"]
        # On another type of processor a bright star changes by more than 1e-3 of its noise.
        scale = np.maximum(sigma[0], ROUNDED * np.abs(pixels[index]))
        again.add(np.abs((new[0] - pixels[index]) / scale).max()[None], np.array([index]))
        off = ((pixels[index] - model[0]) / sigma[0]) ** 2
        chi2.add(np.array([off.mean() - 1]), np.array([index]))
    if "background" in settings or settings["observation"].get("defects"):
        why = "real sky has neighbours in it, and defects are no noise"
        return [again.outcome(), checks.skipped("noise", why)]
    return [again.outcome(), chi2.outcome()]
