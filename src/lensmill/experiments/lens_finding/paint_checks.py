"""Checks of lenses painted on real galaxies, in place of those of drawn galaxies."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, ks_2samp

from lensmill.cutouts import background
from lensmill.cutouts import checks as image_checks
from lensmill.experiments.lens_finding import paint, simulate, sky
from lensmill.pipeline import checks, priors, store
from lensmill.pipeline.streams import uniforms

ROUNDED = 1e-3  # of the noise of a pixel: what it may change by when it is drawn again
ELECTRONS = 3.0  # of arcs in a pixel, from which the noise of their photons is tested
CLOSE = 1e-6  # relative


def check(dataset: str, settings: Mapping[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """Add the checks of a painted population to those of its images.

    Parameters
    ----------
    dataset : str
    settings : mapping
        What fixes the population, with the paths of ``host`` and ``sources``.
    report : dict
        Of `lensmill.cutouts.checks.check`. Its sketch becomes that of the lenses: a host as it is
        may be in many populations.
    """
    systems = store.read(dataset, "systems")
    lens = systems["is_lens"] == 1
    report["checks"] += [
        *_kinds(systems, settings["prior"]),
        _unfilled(systems),
        *_required(systems, settings.get("require", {})),
        _masses(systems, lens),
        _groups(systems, settings),
        _orientations(systems),
        _alike(systems, lens),
        *_priors(systems, lens, settings),
        *_painted_again(dataset, settings),
    ]
    prints = [image_checks.fingerprints(pixels) for _, pixels in image_checks.pieces(dataset)]
    report["sketch"] = checks.sketch(np.concatenate(prints)[lens])
    return report


def _kinds(systems: Mapping[str, NDArray], prior: Mapping[str, Any]) -> list[dict[str, Any]]:
    n, kind = len(systems["kind"]), systems["kind"]
    lenses = int((kind == 0).sum())
    wrong = checks.Wrong("labels and kinds", "a system is a painted lens or an unpainted host")
    known = np.isin(kind, (0, paint.UNPAINTED))
    wrong.add(~known | ((systems["is_lens"] == 1) != (kind == 0)), systems["index"])
    name = f"systems of kind {sky.KINDS[0]}"
    share = checks.fraction("share of lens", name, lenses, n, prior["lens_fraction"])
    return [share, wrong.outcome()]


def _unfilled(systems: Mapping[str, NDArray]) -> dict[str, Any]:
    """Refuse a population of which too many lack what is required, after all redraws."""
    n, unfilled = len(systems["index"]), int(systems["unfilled"].sum())
    most = paint.MOST_UNFILLED
    passed = unfilled <= most * n or binom.sf(unfilled - 1, n, most) > paint.SURE
    sentence = (
        f"{unfilled} of {n} systems lack what is required after all their redraws (permitted: "
        f"{most:.1%}); the others were drawn again {systems['redraws'].mean():.3g} times on average"
    )
    return checks.outcome("required of lenses", passed, unfilled / max(n, 1), most, sentence)


def _required(systems: Mapping[str, NDArray], require: Mapping[str, float]) -> list[dict[str, Any]]:
    """Check that the lenses that are filled have what is required."""
    filled = (systems["is_lens"] == 1) & (systems["unfilled"] == 0)
    results = []
    for name in ("arc_snr", "magnification", "theta_e_over_seeing"):
        least = require.get(name, 0.0)
        rule = checks.Wrong(f"least {name}", f"a lens has {name} of at least {least:g}")
        rule.add(systems[name][filled] < least, systems["index"][filled])
        results.append(rule.outcome())
    return results


def _masses(systems: Mapping[str, NDArray], lens: NDArray) -> dict[str, Any]:
    """Compare Einstein radii with those of the velocity dispersions and redshifts."""
    of = {k: systems[k][lens] for k in ("theta_e", "sigma_v", "z_lens", "z_source", "index")}
    expected = paint.einstein_radius(of["sigma_v"], of["z_lens"], of["z_source"])
    worst = checks.Worst("Einstein radii", "theta_e less 4 pi (sigma / c)^2 D_ls / D_s", CLOSE)
    worst.add(of["theta_e"] - expected, of["index"])
    return worst.outcome()


def _groups(systems: Mapping[str, NDArray], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check that a system has the group of its host."""
    rule = checks.Wrong("group of the host", "a system has the group of its host")
    of_hosts = background.group_of_each(settings["host"]).astype(str)
    rule.add(systems["group"].astype(str) != of_hosts[systems["host"]], systems["index"])
    return rule.outcome()


def _orientations(systems: Mapping[str, NDArray]) -> dict[str, Any]:
    test = checks.Uniform("orientation of hosts", "the eight orientations of hosts")
    # spread over their bins, evenly: no random number is needed
    turn = systems["host_turn"]
    n = len(turn)
    test.add((turn + (np.arange(n) + 0.5) / n) / background.ORIENTATIONS)
    return test.outcome()


def _alike(systems: Mapping[str, NDArray], lens: NDArray) -> dict[str, Any]:
    """Test that painted and unpainted hosts are alike, by their magnitudes without arcs."""
    name = "hosts of both classes"
    if lens.all() or not lens.any():
        return checks.skipped(name, "there is one class")
    p = float(ks_2samp(systems["lens_magnitude"][lens], systems["lens_magnitude"][~lens]).pvalue)
    sentence = f"magnitudes of painted and of unpainted hosts, without arcs: p = {p:.2g}"
    return checks.outcome(name, p >= checks.FAIL, p, checks.FAIL, sentence, p < checks.FLAG)


def _priors(
    systems: Mapping[str, NDArray], lens: NDArray, settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Test what was drawn against the priors, where nothing is selected by it."""
    names = ("slope", "source_magnitude", "source_redshift", "shear", "source radius")
    drawn_again = systems["redraws"].any()
    if drawn_again or any(v for k, v in settings.get("require", {}).items() if k != "redraws"):
        why = "lenses were selected by what is required of them"
        return [checks.skipped(f"prior of {name}", why) for name in names]
    prior = {**settings["prior"], **simulate.FAMILIES[settings["family"]]}
    of = {name: values[lens] for name, values in systems.items()}
    behind = priors.cdf(prior["source_redshift"], of["z_lens"])
    reach = prior["source"][1] * of["theta_e"]
    numbers = {
        "slope": (prior["slope"], None),
        "source_magnitude": (prior["source_magnitude"], None),
        "source_redshift": (
            prior["source_redshift"],
            (priors.cdf(prior["source_redshift"], of["z_source"]) - behind) / (1 - behind),
        ),
        "shear": (prior["shear"], priors.cdf(prior["shear"], np.hypot(of["gamma1"], of["gamma2"]))),
        "source radius": (
            prior["source"],
            (of["source_x"] ** 2 + of["source_y"] ** 2) / reach**2,
        ),
    }
    results = []
    for name in names:
        law, u = numbers[name]
        if law[0] == "fixed":
            continue
        test = checks.Uniform(f"prior of {name}", f"{name} against {' '.join(map(str, law))}")
        test.add(priors.cdf(law, of[name]) if u is None else np.clip(u, 0, 1))
        results.append(test.outcome())
    return results


def _painted_again(dataset: str, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Draw some systems again: the same images; and what is laid on the host is its arcs.

    The image less the host has the noise of the photons of the arcs: of pixels with some electrons
    of arcs, the sum of (image - host - arcs)^2 over their variance has the scatter of Poisson
    numbers. An unpainted host is the host.
    """
    facts = store.attributes(dataset)
    stream = int(facts["seed"]), str(facts["experiment"]), str(facts["population"])
    pixels = store.memmap(dataset, "cutouts", "pixels")
    again = checks.Worst(
        "drawn again", "the largest change of a pixel drawn again, in its noise,", ROUNDED
    )
    bare = checks.Worst("unpainted", "the largest difference of an unpainted host to its host", 0.0)
    total = expected = variance = 0.0
    count = min(image_checks.REDRAWN, len(pixels))
    rows = np.unique(np.linspace(0, len(pixels) - 1, count).astype(int))
    for index in rows.tolist():
        numbers = uniforms(*stream, index, 1, simulate.WIDTH)
        painted = paint.draw(numbers, settings)
        new = simulate.draw(index, numbers, settings)["cutouts"]["pixels"]
        sigma = paint.pixel_noise(painted.arcs, painted.sigma, painted.exposure)[0]
        old = np.asarray(pixels[index], np.float64)
        again.add(np.abs((new[0] - old) / sigma).max()[None], np.array([index]))
        off = old - painted.host[0]
        if painted.kind[0] != 0:
            bare.add(np.abs(off).max()[None], np.array([index]))
            continue
        electrons = painted.arcs[0] * painted.exposure[0]
        seen = electrons > ELECTRONS
        mean = electrons[seen]
        total += float((((off - painted.arcs[0]) * painted.exposure[0])[seen] ** 2 / mean).sum())
        expected += int(seen.sum())
        variance += float((2 + 1 / mean).sum())  # of (k - m)^2 / m of a Poisson number
    noise = checks.skipped("noise of arcs", "no lens is among the systems drawn again")
    if expected:
        z = (total - expected) / np.sqrt(variance)
        sentence = (
            f"(image - host - arcs)^2 over the photon noise of the arcs is {total / expected:.3g} "
            f"on average in {expected:.0f} pixels, {z:.2g} sigma from 1"
        )
        # rounding to 32 bits and pixels that share noise do not make six sigma
        noise = checks.outcome("noise of arcs", abs(z) < 6, total / expected, 1.0, sentence)
    return [again.outcome(), bare.outcome(), noise]
