"""Are exact posteriors exact, and how near do the networks come to them? By simulation.

The truths of mocks must lie in their posteriors as draws do: simulation-based calibration (Talts et
al. 2018, arXiv:1804.06788), of every parameter by itself and of the chi^2 of the data, which sees
errors of the likelihood that no single parameter shows (Modrak et al. 2023, Bayesian Analysis).
Where that holds, the difference between a network and the exact answer is the network's.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chisquare, kstest, spearmanr

from lensmill.experiments.time_delay import exact, simulate, verdicts
from lensmill.experiments.time_delay.observe import Observed, select
from lensmill.inference.importance import GOOD_K
from lensmill.learning import calibration
from lensmill.learning.calibration import CENTRAL, CLAIMED
from lensmill.pipeline import scores, store
from lensmill.pipeline.streams import generator

# What is ranked, and the parameter of the prior that makes it known where that is fixed.
RANKED = {
    "ln_d_dt": "",
    "theta_e": "",
    "slope": "slope",
    "one_minus_q": "one_minus_q",
    "phi": "one_minus_q",
    "shear": "shear",
    "shear_angle": "shear",
    "kappa_ext": "kappa_ext",
    "source_radius": "",  # in units of theta_e
    "chi2": "",
}
ANGLES = ("phi", "shear_angle")  # of axes: the same after half a turn
BINS = 20  # of the histogram of ranks
POINTS = 100  # of their distribution
LEVEL = 0.95  # of the band around it
NEAR = 0.2  # in sigma of the exact posterior: a network is as good as exact
MATCHED = 1e-9  # [arcsec]: the network saw the same images

# What may distinguish systems where a network and the exact posterior differ.
FEATURES = (
    "size",  # mean distance of the images from their mean [arcsec]
    "position_error",  # [arcsec]
    "delay_precision",  # error over delay, of all delays together
    "delays_missing",
    "lens_known",
    "exact_width",  # half of the central 68 % of ln D_dt
    "slope",
    "one_minus_q",
    "shear",
    "source_radius",
    "modes",  # with 1 % of the probability or more
    "p_value",  # of the family
)
UNITS = {"size": "arcsec", "position_error": "arcsec"}
NOTES = {
    "title": "Exact posteriors of mocks, the networks' answers for them, and the truth",
    "rank": "place of the truth in the exact posterior, 0 to 1; uniform over mocks if it is exact",
    "width": "half of the central 68 % of ln D_dt",
    "difference": "(network - exact) median of ln D_dt in units of exact_width",
    "features": "slope, one_minus_q, shear, source_radius [theta_e] are the true ones",
}


class Mocks(NamedTuple):
    """Posteriors of ``n`` mocks with one number of images, in one order with the truth."""

    observed: Observed
    truth: dict[str, NDArray]  # `RANKED` by name, (n,) each
    systems: dict[str, NDArray]  # table `systems` of the posteriors
    draws: list[dict[str, NDArray]]  # table `draws`, system by system


def check_posteriors(
    posteriors: Sequence[str],
    dataset: str,
    split: str,
    predictions: Sequence[str],
    observation: Mapping[str, Any],
    seed: int,
    output: str,
    table: str,
) -> None:
    """Compare exact posteriors of mocks with the truth, and the networks with them.

    Parameters
    ----------
    posteriors : sequence of path
        Written by `exact.sample_mocks`; with one number of images each.
    dataset, split : path
        The simulated population that the mocks are of.
    predictions : sequence of path
        What networks say of the same test systems, at most one per number of images.
    observation : mapping
        How the mocks were observed.
    seed : int
        That of the mocks.
    output, table : path
        Written: by number of images, tests of the ranks and how far the networks are off (JSON);
        the same system by system (ECSV).

    Raises
    ------
    ValueError
        If a mock is no test system, or a network saw other data of it.
    """
    facts = store.attributes(dataset)
    prior = simulate.family_prior(json.loads(facts["settings"]))
    answers = {int(store.attributes(path)["images"]): path for path in predictions}
    found: dict[str, Any] = {"population": facts["population"]}
    rows: list[dict[str, NDArray]] = []
    for k, paths in _by_images(posteriors).items():
        mocks = _read(paths, k, dataset, split, observation, seed, prior)
        columns = _columns(mocks, seed, prior)
        found[str(k)] = _sampling(mocks.systems) | {"ranks": _tests(columns)}
        if k in answers:
            columns |= _network(mocks.observed, columns, answers[k])
            found[str(k)]["network"] = store.attributes(answers[k])["network"]
            found[str(k)] |= _differences(columns)
        rows.append(columns)
    scores.write(output, found)
    verdicts.write_table(table, _stack(rows), UNITS, NOTES)


def _by_images(posteriors: Sequence[str]) -> dict[int, list[str]]:
    """Group files by number of images."""
    grouped: dict[int, list[str]] = {}
    for path in posteriors:
        k = np.unique(store.read(path, "systems", ["n_images"])["n_images"])
        if len(k) != 1:
            raise ValueError(
                f"{path} has systems with {k.tolist()} images; the posteriors of mocks have one "
                "number of images in a file"
            )
        grouped.setdefault(int(k[0]), []).append(path)
    return dict(sorted(grouped.items()))


def _read(
    paths: Sequence[str],
    k: int,
    dataset: str,
    split: str,
    observation: Mapping[str, Any],
    seed: int,
    prior: Mapping[str, Any],
) -> Mocks:
    parts = [store.read(path, "systems") for path in paths]
    systems = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    draws: list = []
    for path, part in zip(paths, parts, strict=True):
        columns = store.read(path, "draws")
        for first, count in zip(part["first_draw"], part["n_draws"], strict=True):
            draws.append({name: column[first : first + count] for name, column in columns.items()})
    observed, _ = exact.observed_mocks(dataset, split, k, observation, seed)
    place = np.searchsorted(observed.index, systems["index"])
    place = np.minimum(place, len(observed.index) - 1)
    if (strange := observed.index[place] != systems["index"]).any():
        raise ValueError(
            f"{int(strange.sum())} systems of {', '.join(paths)} are no test systems of {dataset} "
            f"with {k} images (first: {systems['index'][strange][0]}); make the posteriors anew"
        )
    observed = select(observed, place)
    return Mocks(observed, _truth(dataset, observed, prior), systems, draws)


def _truth(dataset: str, observed: Observed, prior: Mapping[str, Any]) -> dict[str, NDArray]:
    """Return the true values of what is ranked, chi^2 by way of the exact likelihood."""
    columns = ["theta_e", "q", "phi", "slope", "gamma1", "gamma2", "kappa_ext", "d_dt"]
    columns += ["lens_x", "lens_y", "source_x", "source_y"]
    table = store.read(dataset, "systems", ["index", *columns])
    store.check_order(np.arange(len(table["index"])), table["index"], dataset)
    true = {name: table[name][observed.index] for name in columns}
    e = 1 - true["q"]
    p = {name: true[name] for name in exact.PARAMETERS if name in true}
    p |= {"ellipticity_1": e * np.cos(2 * true["phi"])}
    p |= {"ellipticity_2": e * np.sin(2 * true["phi"])}
    lenses = np.column_stack([p[name] for name in exact.PARAMETERS])
    chi2 = [
        exact.target(observed, i, prior).log_likelihood(lenses[[i]]).chi2[0]
        for i in range(len(lenses))
    ]
    return _quantities(p) | {"ln_d_dt": np.log(true["d_dt"]), "chi2": np.array(chi2)}


def _quantities(p: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Return what is ranked and follows from the parameters of lenses."""
    return {
        "theta_e": p["theta_e"],
        "slope": p["slope"],
        "one_minus_q": np.hypot(p["ellipticity_1"], p["ellipticity_2"]),
        "phi": np.arctan2(p["ellipticity_2"], p["ellipticity_1"]) / 2,
        "shear": np.hypot(p["gamma1"], p["gamma2"]),
        "shear_angle": np.arctan2(p["gamma2"], p["gamma1"]) / 2,
        "kappa_ext": p["kappa_ext"],
        "source_radius": np.hypot(p["source_x"] - p["lens_x"], p["source_y"] - p["lens_y"])
        / p["theta_e"],
    }


def _columns(mocks: Mocks, seed: int, prior: Mapping[str, Any]) -> dict[str, NDArray]:
    """Return ranks, exact answers and features, one row per mock."""
    rows = []
    ranked = [name for name, held in RANKED.items() if not held or prior[held][0] != "fixed"]
    for i, draws in enumerate(mocks.draws):
        rng = generator(seed, "time_delay", "posterior/ranks", int(mocks.systems["index"][i]))
        if not len(draws["ln_d_dt"]):
            row = {f"rank_{name}": np.nan for name in ranked}
            rows.append(row | dict.fromkeys(("exact_ln_d_dt", "exact_width", "modes"), np.nan))
            continue
        values = _quantities(draws) | {name: draws[name] for name in ("ln_d_dt", "chi2")}
        size = min(mocks.systems["ess"][i], len(draws["ln_d_dt"]))
        row = {
            f"rank_{name}": rank(values[name], mocks.truth[name][i], size, rng, name in ANGLES)
            for name in ranked
        }
        ends = CENTRAL["68"]
        low, middle, high = np.quantile(draws["ln_d_dt"], [ends[0], 0.5, ends[1]])
        row |= {"exact_ln_d_dt": middle, "exact_width": (high - low) / 2}
        shares = np.unique(draws["mode"], return_counts=True)[1] / len(draws["mode"])
        rows.append(row | {"modes": int((shares > 0.01).sum())})
    columns = {name: mocks.systems[name] for name in ("index", "n_images", "ess", "pareto_k")}
    columns |= {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns["true_ln_d_dt"] = mocks.truth["ln_d_dt"]
    features = _features(mocks.observed) | {"p_value": mocks.systems["p_value"]}
    features |= {
        name: mocks.truth[name] for name in ("slope", "one_minus_q", "shear", "source_radius")
    }
    return columns | features


def rank(
    draws: NDArray, truth: float, size: float, rng: np.random.Generator, axis: bool = False
) -> float:
    """Rank of the truth among draws: uniform in (0, 1) if it is a draw of the same distribution.

    Weighted draws that are worth ``size`` independent ones leave a whole step of 1 / (size + 1)
    open, in which the rank is drawn at random. With ``size`` independent draws that is exactly
    uniform; draws of unequal weight add noise of at most 1 / (2 sqrt(size)).

    Parameters
    ----------
    draws : array, shape (S,)
        Equally probable, some of them alike.
    truth : float
    size : float
        Effective number of draws.
    rng : Generator
    axis : bool
        They are directions of axes [rad]: ranked as they turn from the mean axis, and that from
        its perpendicular.
    """
    if axis:
        mean = np.angle(np.exp(2j * draws).mean()) / 2
        draws, truth = (_turn(value - mean) for value in (draws, truth))
    below = np.mean(draws < truth) + np.mean(draws == truth) / 2
    return float((size * below + rng.random()) / (size + 1))


def _turn(angle: NDArray) -> NDArray:
    return (angle + np.pi / 2) % np.pi - np.pi / 2


def _features(observed: Observed) -> dict[str, NDArray]:
    """Return what an observer knows of systems that may distinguish them."""
    position = observed.position - observed.position.mean(axis=1, keepdims=True)
    known = observed.delay_measured & (observed.delay_error > 0)
    signal = np.where(known, observed.delay / np.where(known, observed.delay_error, 1.0), 0.0)
    return {
        "size": np.hypot(position[..., 0], position[..., 1]).mean(axis=1),
        "position_error": np.sqrt((observed.position_error**2).mean(axis=1)),
        "delay_precision": 1 / np.maximum(np.sqrt((signal**2).sum(axis=1)), 1e-3),
        "delays_missing": (~observed.delay_measured).sum(axis=1),
        "lens_known": observed.lens_known.astype(int),
    }


def _sampling(systems: Mapping[str, NDArray]) -> dict[str, Any]:
    """Say how well the posteriors were sampled."""
    sampled = systems["n_draws"] > 0
    ess = systems["ess"][sampled]
    return {
        "systems": len(sampled),
        "no_lens_found": int((~sampled).sum()),
        "ess_quantiles": {q: float(np.percentile(ess, float(q))) for q in ("1", "10", "50")},
        "pareto_k_good": float((systems["pareto_k"] < GOOD_K).mean()),
    }


def _tests(columns: Mapping[str, NDArray]) -> dict[str, Any]:
    """Test the ranks of every quantity for being uniform."""
    names = [name for name in RANKED if f"rank_{name}" in columns]
    sampled = np.isfinite(columns["rank_ln_d_dt"])
    at, low, high = calibration.ecdf_band(int(sampled.sum()), POINTS, LEVEL)
    tests: dict[str, Any] = {}
    for name in names:
        ranks = columns[f"rank_{name}"][sampled]
        counts, _ = np.histogram(ranks, BINS, (0, 1))
        below = np.searchsorted(np.sort(ranks), at, side="right") / len(ranks)
        tests[name] = {
            "chi2_p_value": float(chisquare(counts).pvalue),
            "ks_p_value": float(kstest(ranks, "uniform").pvalue),
            "inside_band": bool(((below >= low - 1e-12) & (below <= high + 1e-12)).all()),
            "largest_excess": float(np.abs(below - at).max()),
            **{f"coverage{lvl}": calibration.coverage(ranks, p) for lvl, p in CLAIMED.items()},
            "histogram": counts.tolist(),
            "below": below.tolist(),
        }
    p = [min(one["chi2_p_value"], one["ks_p_value"]) for one in tests.values()]
    return {
        # of 2 tests of each quantity; those that are correlated make it too large
        "p_value": float(min(1.0, 2 * len(p) * min(p))),
        "band": {"level": LEVEL, "at": at.tolist(), "low": low.tolist(), "high": high.tolist()},
        "quantities": tests,
    }


def _network(
    observed: Observed, columns: Mapping[str, NDArray], predictions: str
) -> dict[str, NDArray]:
    """Return the network's median and width of ln D_dt, and how they differ from the exact."""
    systems = store.read(predictions, "systems")
    place = np.searchsorted(systems["index"], observed.index)
    place = np.minimum(place, len(systems["index"]) - 1)
    if (absent := systems["index"][place] != observed.index).any():
        raise ValueError(
            f"{predictions} lacks {int(absent.sum())} of the {len(absent)} mocks (first: "
            f"{observed.index[absent][0]}); predict the same test systems that are sampled"
        )
    rows = systems["first_image"][place][:, None] + np.arange(observed.delay.shape[1])
    x = store.read(predictions, "images", ["x_observed"])["x_observed"][rows]
    if (other := np.abs(x - observed.position[..., 0]).max(axis=1) > MATCHED).any():
        raise ValueError(
            f"{predictions}: the network saw other images of {int(other.sum())} of {len(other)} "
            f"mocks (first: {observed.index[other][0]}); seed and observation must be the same"
        )
    low, middle, high = (
        np.log(systems[f"d_dt_{name}"][place]) for name in ("low68", "median", "high68")
    )
    width = (high - low) / 2
    rank_of_truth = systems["d_dt_rank"][place]
    return {
        "network_ln_d_dt": middle,
        "network_width": width,
        "network_rank": rank_of_truth,
        "difference": (middle - columns["exact_ln_d_dt"]) / columns["exact_width"],
        "width_ratio": width / columns["exact_width"],
    }


def _differences(columns: Mapping[str, NDArray]) -> dict[str, Any]:
    """Say how far the network is from the exact posterior, and where it is farthest."""
    sampled = np.isfinite(columns["difference"])
    columns = {name: values[sampled] for name, values in columns.items()}
    found: dict[str, Any] = {"network_against_exact": _distance(columns)}
    truth = columns["true_ln_d_dt"]
    for name in ("network", "exact"):
        ranks = columns["network_rank" if name == "network" else "rank_ln_d_dt"]
        error = columns[f"{name}_ln_d_dt"] - truth
        found[f"{name}_against_truth"] = {
            "bias": calibration.bias(error),
            "robust_scatter": calibration.robust_scatter(error),
            "median_width": float(np.median(columns[f"{name}_width"])),
            **{f"coverage{lvl}": calibration.coverage(ranks, p) for lvl, p in CLAIMED.items()},
        }
    where = {name: one for name in FEATURES if (one := _thirds(columns, columns[name]))}
    strongest = sorted(where, key=lambda name: -abs(where[name]["correlation"]))
    found["where_they_differ"] = {name: where[name] for name in strongest}
    return found


def _distance(columns: Mapping[str, NDArray]) -> dict[str, float]:
    off = np.abs(columns["difference"])
    return {
        "systems": len(off),
        "near": float((off < NEAR).mean()),
        "median_difference": float(np.median(columns["difference"])),
        "median_abs_difference": float(np.median(off)),
        "abs_difference_95": float(np.percentile(off, 95)),
        "median_width_ratio": float(np.median(columns["width_ratio"])),
        "robust_scatter_of_ln_width_ratio": calibration.robust_scatter(
            np.log(columns["width_ratio"])
        ),
    }


def _thirds(columns: Mapping[str, NDArray], feature: NDArray) -> dict[str, Any]:
    """Compare the third of the systems with the least of a feature with that with the most.

    Nothing where all are alike; a feature with few values is divided into least and more.
    """
    low, high = np.quantile(feature, [1 / 3, 2 / 3])
    if len(np.unique(feature)) < BINS:
        low, high = feature.min(), feature.min() + 0.5
    parts = {"low": feature <= low, "high": feature > high}
    if min(part.sum() for part in parts.values()) < 2:
        return {}
    found: dict[str, Any] = {
        "correlation": float(spearmanr(feature, np.abs(columns["difference"])).statistic)
    }
    for name, part in parts.items():
        some = {column: values[part] for column, values in columns.items()}
        found[name] = {"median": float(np.median(feature[part])), **_distance(some)}
    return found


def _stack(parts: Sequence[Mapping[str, NDArray]]) -> dict[str, NDArray]:
    """Put rows with different numbers of images under each other; NaN where one has no network."""
    names = dict.fromkeys(name for part in parts for name in part)
    empty = [np.full(len(part["index"]), np.nan) for part in parts]
    return {
        name: np.concatenate(
            [part.get(name, none) for part, none in zip(parts, empty, strict=True)]
        )
        for name in names
    }
