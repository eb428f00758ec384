"""Validation of a population of images before anything is trained on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.cutouts import checks as image_checks
from lensmill.experiments.lens_parameters import simulate, sky
from lensmill.pipeline import checks, priors, store


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
        As `lensmill.cutouts.checks.check` gives it.
    """
    report = image_checks.check(dataset, settings)
    if "ingest" in settings or checks.failed(report["checks"]):
        return report
    systems = store.read(dataset, "systems")
    report["checks"] += _priors(systems, settings)
    report["checks"] += [_images(systems)]
    report["checks"] += image_checks.redraw(dataset, settings, simulate, _noise_free)
    return report


def _priors(systems: Mapping[str, NDArray], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Test the parameters against the prior, each by itself and pair by pair."""
    prior = {**settings["prior"], **simulate.FAMILIES[settings["family"]]}
    prior |= {"lens_x": prior["centre_offset"], "lens_y": prior["centre_offset"]}
    theta_e = systems["theta_e"]
    drawn = {name: systems[name] for name in ("slope", "source_magnitude", "lens_x", "lens_y")}
    drawn |= {
        "einstein_radius": theta_e,
        "one_minus_q": 1 - systems["q"],
        "shear": np.hypot(systems["gamma1"], systems["gamma2"]),
        "lens_magnitude": systems["lens_magnitude"] + 5 * np.log10(theta_e),  # see `sky.draw`
    }
    numbers, tests = {}, []
    for name, values in drawn.items():
        law = prior[name]
        if law[0] != "fixed":
            numbers[name] = priors.cdf(law, values)
            text = f"{name} against {' '.join(map(str, law))}"
            tests.append(checks.Uniform(f"prior of {name}", text))
    size = prior["source"][1]
    x, y = systems["source_x"] / theta_e, systems["source_y"] / theta_e
    numbers["source_radius"] = (x**2 + y**2) / size**2
    text = f"source against a uniform disc of {size} theta_e"
    tests.append(checks.Uniform("source radius", text))
    for test, u in zip(tests, numbers.values(), strict=True):
        test.add(u)
    pairs = checks.Independent("prior of pairs")
    pairs.add(numbers, checks.directions(prior, systems))
    quasars = checks.fraction(
        "share of quasars",
        "sources with a quasar",
        int(systems["has_quasar"].sum()),
        len(theta_e),
        prior["quasar_fraction"],
    )
    return [*(test.outcome() for test in (*tests, pairs)), quasars]


def _images(systems: Mapping[str, NDArray]) -> dict[str, Any]:
    """Check that every source has an image and that the lens changes its light."""
    rule = checks.Wrong("images", "every source has an image, and its light is magnified")
    wrong = (systems["n_images"] < 1) | ~(systems["magnification"] > 0)
    rule.add(wrong, systems["index"])
    return rule.outcome()


def _noise_free(numbers: NDArray, settings: Mapping[str, Any]) -> tuple[NDArray, NDArray]:
    """Return the images of systems without noise, and the noise of every pixel."""
    drawn = sky.draw(numbers, simulate.FAMILIES[settings["family"]], settings["prior"])
    model, _, sigma = simulate.noise_free(drawn, settings["observation"])
    return model, sigma
