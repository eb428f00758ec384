"""Validation of a population of images before anything is trained on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill.cutouts import checks as image_checks
from lensmill.experiments.substructure import leaks, simulate, sky
from lensmill.experiments.substructure.systems import CLASSES
from lensmill.pipeline import checks, priors, store

OF_CLASS = {
    "sigma_sub": "subhalos",
    "f_sub": "subhalos",
    "n_subhalos": "subhalos",
    "m_hm": "subhalos",
    "vortex_mass": "vortex",
    "vortex_length": "vortex",
}


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
    prior = {**settings["prior"], **simulate.FAMILIES[settings["family"]]}
    report["checks"] += _classes(systems, prior)
    report["checks"] += _priors(systems, prior)
    report["checks"] += _substructure(systems)
    report["checks"] += image_checks.redraw(dataset, settings, simulate, simulate.noise_free)
    report["checks"] += leaks.check(dataset, settings)
    return report


def _classes(systems: Mapping[str, NDArray], prior: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare the shares of the classes with those asked for."""
    counts = np.bincount(systems["label"], minlength=len(CLASSES)).tolist()
    shares = np.array(prior["classes"]) / np.sum(prior["classes"])
    n = len(systems["label"])
    return [
        checks.fraction(f"share of {name}", f"systems of class {name}", count, n, float(share))
        for name, count, share in zip(CLASSES, counts, shares, strict=True)
    ]


def _priors(systems: Mapping[str, NDArray], prior: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Test smooth lenses against the prior, alone and pair by pair, and substructure alone."""
    everywhere = {
        "einstein_radius": systems["theta_e"],
        "one_minus_q": 1 - systems["q"],
        "shear": np.hypot(systems["gamma1"], systems["gamma2"]),
        "slope": systems["slope"],
        "source_magnitude": systems["source_magnitude"],
        "source_size": systems["source_size"],
        "z_lens": systems["z_lens"],
    }
    of_class = {
        name: systems[name][systems["label"] == CLASSES.index(OF_CLASS[name])]
        for name in ("sigma_sub", "m_hm", "vortex_mass", "vortex_length")
    }
    numbers, results = {}, []
    for name, values in {**everywhere, **of_class}.items():
        law = prior[name]
        if law[0] == "fixed" or not len(values):
            continue
        u = priors.cdf(law, values)
        test = checks.Uniform(f"prior of {name}", f"{name} against {' '.join(map(str, law))}")
        test.add(u)
        results.append(test.outcome())
        if name in everywhere:
            numbers[name] = u
    pairs = checks.Independent("prior of pairs")
    if numbers:
        pairs.add(numbers, checks.directions(prior, systems))
    return [*results, pairs.outcome()]


def _substructure(systems: Mapping[str, NDArray]) -> list[dict[str, Any]]:
    """Check that classes have what is theirs, and that no fit makes substructure more evident."""
    label, results = systems["label"], []
    rule = checks.Wrong("what a class has not is 0", "what a class does not have is 0")
    for name, owner in OF_CLASS.items():
        rule.add((label != CLASSES.index(owner)) & (systems[name] != 0), systems["index"])
    none = label == sky.NONE
    for name in ("m_sub", "raw_chi", "sub_chi", "kappa_sheet"):
        rule.add(none & (systems[name] != 0), systems["index"])
    results.append(rule.outcome())
    fit = checks.Wrong("the ideal observer", "a fit of the smooth lens leaves no more than it had")
    fit.add(systems["sub_chi"] > systems["raw_chi"] * (1 + 1e-6), systems["index"])
    return [*results, fit.outcome()]
