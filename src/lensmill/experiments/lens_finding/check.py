"""Validation of a population of images before anything is trained on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.cutouts import checks as image_checks
from lensmill.experiments.lens_finding import paint_checks, simulate, sky
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
        ``population``, ``dataset``, ``statistics``, ``checks`` (see `lensmill.pipeline.checks`)
        and ``sketch``.
    """
    share = settings.get("prior", {}).get("lens_fraction")
    one_class = {"label": int(share)} if share in (0, 1) else {}
    report = image_checks.check(dataset, {**settings, **one_class})
    if "ingest" in settings or checks.failed(report["checks"]):
        return report
    if "host" in settings:
        return paint_checks.check(dataset, settings, report)
    systems = store.read(dataset, "systems")
    report["checks"] += _kinds(systems, settings["prior"])
    report["checks"] += _priors(systems, settings)
    report["checks"] += [
        _images(systems),
        *image_checks.redraw(dataset, settings, simulate, _noise_free),
    ]
    return report


def _kinds(systems: Mapping[str, NDArray], prior: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare the shares of lenses and of every look-alike with those asked for."""
    n = len(systems["kind"])
    lenses = prior["lens_fraction"]
    shares = {name: prior["non_lenses"].get(name, 0.0) for name in sky.LOOK_ALIKES}
    total = sum(shares.values())
    expected = {"lens": lenses} | {k: (1 - lenses) * v / total for k, v in shares.items()}
    kinds = np.bincount(systems["kind"], minlength=len(sky.KINDS)).tolist()
    counts = dict(zip(sky.KINDS, kinds, strict=True))
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
        "lens_magnitude": lenses["lens_magnitude"] + sky.brightening(prior) * np.log10(reach),
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


def _noise_free(numbers: NDArray, settings: Mapping[str, Any]) -> tuple[NDArray, NDArray]:
    """Return the images of systems without noise, and the noise of every pixel."""
    drawn = sky.draw(numbers, simulate.FAMILIES[settings["family"]], settings["prior"])
    model, _, sigma = simulate.noise_free(drawn, settings["observation"])
    return model, sigma
