"""Validation of a population of lensed quasars, before anything is trained on it."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lensmill import experiments
from lensmill.experiments.time_delay import check_published, resolve, simulate
from lensmill.lensing import profiles
from lensmill.lensing.images import DEGENERATE, MAXIMUM, MINIMUM, ON_CAUSTIC, SADDLE
from lensmill.pipeline import checks, store
from lensmill.pipeline.priors import cdf, folded
from lensmill.pipeline.streams import uniforms

SAMPLE = 300  # systems, evenly spaced, that are worked out again by other means
REDRAWN = 32  # systems that are drawn again from their random numbers
ALLOWED_DEGENERATE = 1e-5  # of all systems; a ring has probability zero, rounding has not

# The expected fractions were measured on 2e6 systems and written with four decimals.
EXPECTED_FROM = 2_000_000
EXPECTED_ROUNDING = 0.5e-4
# What the number of images depends on; redshifts and cosmology only stretch the delays.
LENSING = (
    "einstein_radius",
    "einstein_radius_is",
    "one_minus_q",
    "shear",
    "slope",
    "kappa_ext",
    "source",
    "min_magnification",
)
MODEL = ("theta_e", "q", "phi", "slope", "gamma1", "gamma2", "kappa_ext")

# A day per Mpc and square arcsecond, from the definitions of the parsec and of c.
DAYS = 149597870700 * (648000 / np.pi) * 1e6 / 299792458 / 86400 * (np.pi / 648000) ** 2


def check(dataset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check one population; what is found goes into ``checks.json``.

    Parameters
    ----------
    dataset : str
        The merged file of a simulated population, or that of an ingested one.
    settings : mapping
        Of a simulated population: ``family``, ``prior``, ``systems`` (how many there should be)
        and ``expected_fractions`` (by number of images; may be empty). Not used for others.

    Returns
    -------
    dict
        ``population``, ``statistics``, ``checks`` (see `lensmill.pipeline.checks`), and
        ``sketch`` to compare populations with each other.
    """
    facts = store.attributes(dataset)
    report = {
        "population": str(facts.get("population", "unnamed")),
        "dataset": str(facts["content_digest"]),
        "statistics": {},
        "sketch": [],
    }
    if "lens_known" in store.units(dataset)["systems"]:
        return report | check_published.check(dataset)
    structure = checks.structure(dataset, settings["systems"])
    if checks.failed(structure):
        return report | {"checks": structure}
    simulated = _check_mocks(dataset, settings)
    simulated["checks"] = structure + simulated["checks"]
    return report | simulated


def _check_mocks(dataset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    prior = simulate.family_prior(settings)
    columns = checks.Columns()
    laws = Laws(settings["prior"]["min_magnification"])
    drawn = Drawn(prior)
    prints, counts, status = [], np.zeros(64, np.int64), np.zeros(256, np.int64)
    for systems, images in checks.pieces(dataset):
        columns.add("systems", systems)
        columns.add("images", images)
        if not checks.failed([columns.finite()]):  # the rest is not defined for NaN
            laws.add(systems, images)
            drawn.add(systems)
        prints.append(checks.fingerprints([systems[name] for name in _drawn_columns(systems)]))
        counts += np.bincount(np.minimum(systems["n_images"], 63), minlength=64)
        status += np.bincount(systems["status"], minlength=256)

    results = [columns.finite()]
    prints = np.concatenate(prints)
    if not checks.failed(results):
        results += laws.outcomes() + drawn.outcomes()
        results += _fractions(counts, settings)
        results += [checks.duplicates(prints), _degenerate(status), _redraw(dataset, settings)]
        faintest = settings["prior"]["min_magnification"]
        results += resolve.outcomes(dataset, _spread(len(prints)), faintest)
    return {
        "statistics": {
            **columns.numbers(),
            "n_images": {str(n): int(count) for n, count in enumerate(counts) if count},
            "status": {str(n): int(count) for n, count in enumerate(status) if count},
        },
        "checks": results,
        "sketch": checks.sketch(prints),
    }


def _drawn_columns(systems: Mapping[str, NDArray]) -> list[str]:
    return [*MODEL, "source_x", "source_y", "z_lens", "z_source"]


def _spread(n: int) -> NDArray:
    return np.unique(np.linspace(0, n - 1, min(SAMPLE, n)).astype(np.int64))


class Laws:
    """Consistency of every image with the lens model, recomputed, and with its own definition."""

    def __init__(self, min_magnification: float) -> None:
        self.min_magnification = min_magnification
        self.residual = checks.Worst(
            "lens equation",
            "the source missed by an image, in Einstein radii and source distances,",
            1e-11,
        )
        self.deflection = checks.Worst(
            "deflection", "recorded less recomputed deflection", 1e-11, "arcsec"
        )
        self.potential = checks.Worst(
            "potential", "recorded less recomputed potential", 1e-10, "arcsec2"
        )
        self.fermat = checks.Worst(
            "Fermat potential",
            "the recorded Fermat potential less |theta - beta|^2 / 2 - psi",
            1e-10,
            "arcsec2",
        )
        self.magnification = checks.Worst(
            "magnification", "the relative error of det J, recomputed,", 1e-7
        )
        self.type = checks.Wrong(
            "image type", "minima and maxima have positive magnification and saddles negative"
        )
        self.faint = checks.Wrong("faintest image", f"|magnification| >= {min_magnification:g}")
        self.order = checks.Wrong(
            "arrival order", "images arrive one after the other, the first with delay 0"
        )
        self.delay = checks.Worst(
            "delay", "the relative error of D_dt / c times the Fermat difference", 1e-9
        )
        self.distance = checks.Worst(
            "distance", "the relative error of (1 + z_l) D_l D_s / D_ls", 1e-12
        )
        self.behind = checks.Wrong("redshifts", "the source lies behind the lens")
        self.parity = checks.Wrong(
            "parity", "the numbers of minima, saddles and maxima obey the sum rule"
        )

    def add(self, systems: Mapping[str, NDArray], images: Mapping[str, NDArray]) -> None:
        """Add the next systems with their images."""
        own = np.repeat(np.arange(len(systems["index"])), systems["n_images"])
        index = systems["index"]
        lens = {name: systems[name][own] for name in MODEL}
        x, y = images["x"], images["y"]
        source_x, source_y = systems["source_x"][own], systems["source_y"][own]

        alpha_x, alpha_y = profiles.deflection(x, y, **lens)
        miss = np.hypot(x - alpha_x - source_x, y - alpha_y - source_y)
        scale = lens["theta_e"] + np.hypot(source_x, source_y)
        self.residual.add(miss / scale, index[own])
        recorded = np.hypot(images["deflection_x"] - alpha_x, images["deflection_y"] - alpha_y)
        self.deflection.add(recorded, index[own])
        self.potential.add(images["potential"] - profiles.potential(x, y, **lens), index[own])
        path = ((x - source_x) ** 2 + (y - source_y) ** 2) / 2
        self.fermat.add(images["fermat"] - path + images["potential"], index[own])

        xx, yy, xy = profiles.hessian(x, y, **lens)
        det = (1 - xx) * (1 - yy) - xy**2
        # det J is a difference near a caustic and a large number near the centre
        size = 1 + np.abs(xx) + np.abs(yy) + np.abs(det)
        self.magnification.add((det - 1 / images["magnification"]) / size, index[own])
        kind = images["type"]
        expected = np.where(det < 0, SADDLE, np.where(xx + yy < 2, MINIMUM, MAXIMUM))
        sure = np.abs(det) > 1e-9 * size
        signs = (images["magnification"] < 0) == (kind == SADDLE)
        self.type.add(~signs | (sure & (kind != expected)), index[own])
        self.faint.add(np.abs(images["magnification"]) < self.min_magnification, index[own])

        first = systems["first_image"][own] - systems["first_image"][0]
        before = np.maximum(np.arange(len(own)) - 1, first)
        delay, fermat = images["delay"], images["fermat"]
        wrong = (delay < delay[before]) | (fermat < fermat[before]) | (delay[first] != 0)
        self.order.add(wrong, index[own])
        d_dt = systems["d_dt"]
        again = d_dt[own] * (fermat - fermat[first]) * DAYS
        later = np.arange(len(own)) > first  # the delay of the first image is 0 by definition
        self.delay.add(((delay - again) / np.maximum(again, 1e-6))[later], index[own][later])
        distance = (1 + systems["z_lens"]) * systems["d_l"] * systems["d_s"] / systems["d_ls"]
        self.distance.add(distance / d_dt - 1, index)
        self.behind.add(systems["z_source"] <= systems["z_lens"], index)
        self._add_parity(systems, kind, own)

    def _add_parity(self, systems: Mapping[str, NDArray], kind: NDArray, own: NDArray) -> None:
        n = len(systems["index"])
        surplus = np.bincount(own, np.where(kind == SADDLE, -1, 1), minlength=n)
        slope = systems["slope"]
        expected = np.where(slope == 2, ~inside_cut(systems), slope < 2).astype(float)
        complete = (systems["n_faint"] == 0) & ~np.isin(systems["status"], [ON_CAUSTIC, DEGENERATE])
        self.parity.add((surplus != expected)[complete], systems["index"][complete])

    def outcomes(self) -> list[dict[str, Any]]:
        """Return all checks."""
        return [each.outcome() for each in vars(self).values() if hasattr(each, "outcome")]


def inside_cut(systems: Mapping[str, NDArray]) -> NDArray:
    """Tell which sources lie inside the cut of an isothermal lens.

    On the cut an image falls onto the centre: beta = -alpha(p), with the deflection of Kormann,
    Schneider & Bartelmann (1994). In the frame of the lens, with eps^2 = 1 - q^2, this is
    ``q^2 tan(eps x / b)^2 + tanh(eps y / b)^2 = eps^2``. The shear plays no part at the centre.
    """
    c, s = np.cos(systems["phi"]), np.sin(systems["phi"])
    x = c * systems["source_x"] + s * systems["source_y"]
    y = c * systems["source_y"] - s * systems["source_x"]
    q, theta_e = systems["q"], systems["theta_e"]
    eps = np.sqrt((1 - q) * (1 + q))
    elliptical = eps > 1e-6
    scale = np.where(elliptical, eps / (theta_e * np.sqrt(q)), 0.0)
    angle = np.minimum(np.abs(x) * scale, np.pi / 2)
    level = q**2 * np.tan(angle) ** 2 + np.tanh(y * scale) ** 2
    return np.where(elliptical, level < eps**2, np.hypot(x, y) < theta_e)


class Drawn:
    """Tests of the drawn parameters against the prior: distributions, and independence."""

    def __init__(self, prior: Mapping[str, Any]) -> None:
        self.prior = prior
        self.tests: dict[str, checks.Uniform | checks.Wrong] = {}
        self.pairs = checks.Independent("prior of pairs")

    def add(self, systems: Mapping[str, NDArray]) -> None:
        """Add the next systems."""
        numbers, directions = {}, checks.directions(self.prior, systems)
        for name, values, above in self._parameters(systems):
            law = self.prior[name]
            if law[0] == "fixed":
                rule = checks.Wrong(f"prior of {name}", f"{name} is {law[1]:g}")
                wrong = np.abs(values - law[1]) > 1e-12 * max(abs(law[1]), 1)
                self.tests.setdefault(name, rule).add(wrong, systems["index"])
                continue
            u = _cumulative(law, values, above)
            self._test(name, law, u)
            if name not in directions:
                numbers[name] = u
        kind, size = self.prior["source"]
        if kind == "disc":
            x, y = systems["source_x"], systems["source_y"]
            share = np.hypot(x, y) / (size * systems["theta_e"])
            law = ["uniform in a disc of", size, "theta_e"]
            self._test("source radius", law, share**2)
            self._test("source angle", law, np.arctan2(y, x) / (2 * np.pi) + 0.5)
            numbers["source_radius"] = share**2
        self.pairs.add(numbers, directions)

    def _test(self, name: str, law: list, u: NDArray) -> None:
        text = f"{name} against {' '.join(map(str, law))}"
        self.tests.setdefault(name, checks.Uniform(f"prior of {name}", text)).add(u)

    def _parameters(
        self, systems: Mapping[str, NDArray]
    ) -> Iterator[tuple[str, NDArray, NDArray | None]]:
        """Yield what was drawn, worked back from what is recorded, and the lower end of each."""
        q, theta_e = systems["q"], systems["theta_e"]
        round_radius = self.prior["einstein_radius_is"] == "theta_e"
        yield "einstein_radius", theta_e if round_radius else theta_e * np.sqrt(q), None
        yield "one_minus_q", 1 - q, None
        for name in ("phi", "slope", "kappa_ext", "z_lens", "h0", "omega_m"):
            yield name, systems[name], None
        gamma1, gamma2 = systems["gamma1"], systems["gamma2"]
        yield "shear", np.hypot(gamma1, gamma2), None
        angle = folded(self.prior["shear_angle"], np.arctan2(gamma2, gamma1) / 2)
        if self.prior["shear"] != ["fixed", 0.0] and angle is not None:
            yield "shear_angle", angle, None
        behind = systems["z_lens"] + self.prior["redshift_gap"]
        yield "z_source", systems["z_source"], behind

    def outcomes(self) -> list[dict[str, Any]]:
        """Return all checks."""
        results = [test.outcome() for test in (*self.tests.values(), self.pairs)]
        if self.prior["source"][0] == "image_in_disc":
            why = "which image was placed in the disc is not recorded; see 'drawn again'"
            results.append(checks.skipped("prior of source", why))
        return results


def _cumulative(law: list, values: NDArray, above: NDArray | None) -> NDArray:
    """Return the cumulative probability of each value in its prior, uniform if it was drawn.

    Beyond 0 ... 1 for values outside the support of the prior.
    """
    u = cdf(law, values)
    if above is not None:
        below = cdf(law, above)
        u = np.where(values < above, -1.0, (u - below) / (1 - below))
    if law[0] in ("uniform", "log_uniform") or law[0].startswith("truncated"):
        low, high = law[-2:]
        slack = 1e-9 * (high - low)
        u = np.where((values < low - slack) | (values > high + slack), -1.0, u)
    return u


def _fractions(counts: NDArray, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare the shares of systems by number of images with what a complete solver found."""
    expected = settings["expected_fractions"]
    preset = simulate.family_prior(
        settings | {"prior": experiments.defaults("time_delay")["priors"]["gravlensing"]}
    )
    prior = simulate.family_prior(settings)
    changed = [name for name in LENSING if prior[name] != preset[name]]
    total = int(counts.sum())
    if not expected or changed:
        shares = ", ".join(f"{n}: {count / total:.4f}" for n, count in enumerate(counts) if count)
        why = f"the prior's {', '.join(changed)} differ from it" if changed else "none is given"
        return [checks.skipped("fractions of image numbers", f"no expectation, {why} ({shares})")]
    return [
        checks.fraction(
            f"fraction with {n} images",
            f"systems with {n} images",
            int(counts[int(n)]),
            total,
            share,
            float(np.hypot(np.sqrt(share * (1 - share) / EXPECTED_FROM), EXPECTED_ROUNDING)),
        )
        for n, share in expected.items()
    ]


def _degenerate(status: NDArray) -> dict[str, Any]:
    total, count = int(status.sum()), int(status[DEGENERATE])
    limit = ALLOWED_DEGENERATE * total + 1
    return checks.outcome(
        "degenerate systems",
        count <= limit,
        count,
        limit,
        f"{count} of {total} systems have no reliable set of images (at most {limit:g} may)",
    )


def _redraw(dataset: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Draw some systems again from their own random numbers; they must be those recorded."""
    facts = store.attributes(dataset)
    stream = int(facts["seed"]), str(facts["experiment"]), str(facts["population"])
    worst = checks.Worst(
        "drawn again", "the relative change of any number of a system drawn again", 1e-9
    )
    rows = _spread(settings["systems"])[:: max(SAMPLE // REDRAWN, 1)]
    systems, images = checks.sample(dataset, rows)
    for k, index in enumerate(rows.tolist()):
        again = simulate.draw(index, uniforms(*stream, index, 1, simulate.WIDTH), settings)
        one = {name: column[k : k + 1] for name, column in systems.items()}
        for table, recorded in (("systems", one), ("images", images[k])):
            for name in recorded.keys() - {"first_image"}:
                new, old = again[table][name], recorded[name]
                change = np.inf
                if len(new) == len(old):
                    change = np.max(np.abs(new - old) / np.maximum(np.abs(old), 1), initial=0)
                worst.add(np.array([change], float), np.array([index]))
    return worst.outcome()
