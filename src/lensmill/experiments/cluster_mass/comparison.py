"""Networks side by side: with what others have published, and whether they differ at all."""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray
from scipy import stats

from lensmill import plotting
from lensmill.experiments.cluster_mass.figures import CALLED, NAMES
from lensmill.pipeline import store

FLIPS = 10000  # random signs that a difference is held against
OURS = ("network", "counts", "counts_excised", "gas_mass")


def compare(
    scores: Mapping[str, Sequence[str]],
    predictions: Mapping[str, Sequence[str]],
    published: str,
    seed: int,
    table: str,
    page: str,
) -> None:
    """Write the scores of networks beside published ones, and a paired test of every two of them.

    Parameters
    ----------
    scores, predictions : mapping of lists of path
        By ``NAME/POPULATION``, what is compared and what it is judged on, the ``scores.json`` and
        ``predictions.h5`` of its trainings (folds, turns, or one). The k-th of two on the same
        population are a pair: they are judged on the same images.
    published : path
        Scatter that others have found (ECSV).
    seed : int
        Of the random signs.
    table : path
        Written (JSON): ``networks`` by ``NAME/POPULATION`` with mean and standard deviation over
        trainings of the scores, and ``pairs``, with `paired_test` of each.
    page : path
        Written (Markdown): both as tables.
    """
    read = {
        name: [json.loads(Path(path).read_text()) for path in paths]
        for name, paths in scores.items()
    }
    rng = np.random.Generator(np.random.Philox([seed, 31]))
    found = {"networks": {name: _summary(several) for name, several in read.items()}, "pairs": []}
    for one, other in itertools.combinations(predictions, 2):
        if Path(one).name != Path(other).name:
            continue
        pairs = list(zip(predictions[one], predictions[other], strict=False))
        tested = paired_test([(_errors(a), _errors(b)) for a, b in pairs], rng)
        found["pairs"].append({"one": one, "other": other} | tested)
    with store.whole(Path(table)) as file:
        file.write(json.dumps(found, indent=1, allow_nan=False).encode())
    parts = [_page_of_scores(read, Table.read(published)), _page_of_pairs(found["pairs"])]
    with store.whole(Path(page)) as file:
        file.write(("\n\n".join(parts) + "\n").encode())


def paired_test(
    folds: Sequence[tuple[Mapping[str, float], Mapping[str, float]]], rng: np.random.Generator
) -> dict[str, float | int | None]:
    """Say whether two networks that were judged on the same clusters differ.

    Parameters
    ----------
    folds : sequence of pairs
        For each training: the mean squared error of ln M of every cluster, by both.
    rng : Generator

    Returns
    -------
    dict
        ``clusters``; ``difference`` of the mean squared errors, one less other, with ``error``;
        ``p``: how often a difference as large comes of signs that are thrown per cluster; ``folds``
        and, of three or more, ``p_folds``: Student's t over folds with the variance that Nadeau &
        Bengio (2003, Machine Learning 52, 239) correct for training sets that overlap.
    """
    apart, of_fold = [], []
    for one, other in folds:
        if one.keys() != other.keys():
            raise ValueError("two networks that are compared were not judged on the same clusters")
        difference = np.array([one[name] - other[name] for name in one])
        apart.append(difference)
        of_fold.append(float(difference.mean()))
    every = np.concatenate(apart)
    mean = float(every.mean())
    signs = rng.choice(np.array([-1.0, 1.0]), (FLIPS, len(every)))
    as_large = np.abs(signs @ every) >= np.abs(every.sum()) * (1 - 1e-12)
    found: dict[str, float | int | None] = {
        "clusters": len(every),
        "difference": mean,
        "error": float(every.std() / np.sqrt(len(every))),
        "p": float((as_large.sum() + 1) / (FLIPS + 1)),
        "folds": len(folds),
        "p_folds": None,
    }
    if len(folds) >= 3:
        found["p_folds"] = corrected_t_test(np.array(of_fold))
    return found


def corrected_t_test(differences: NDArray) -> float:
    """Return the p-value of the mean of differences over k folds, each tested on 1/k.

    Trainings share most of their data, so that the variance of their mean is not 1/k of theirs but
    1/k + 1/(k - 1) (Nadeau & Bengio 2003).
    """
    k = len(differences)
    variance = differences.var(ddof=1) * (1 / k + 1 / (k - 1))
    if variance == 0:
        return 1.0 if differences.mean() == 0 else 0.0
    return float(2 * stats.t.sf(abs(differences.mean()) / np.sqrt(variance), k - 1))


def _errors(predictions: str) -> dict[str, float]:
    """Return the mean squared error of every cluster of known mass, by its name."""
    systems = store.read(predictions, "systems")
    known = systems["known"] == 1
    error = (systems["ln_m500_network"] - systems["ln_m500"])[known] ** 2
    names, of = np.unique(systems["group"][known].astype(str), return_inverse=True)
    return dict(zip(names.tolist(), np.bincount(of, error) / np.bincount(of), strict=True))


def _summary(several: Sequence[Mapping]) -> dict:
    keys = ("bias", "scatter", "half_range", "slope", "mse", "mse_normalised")
    found = {
        key: {
            "mean": float(np.mean([one[key] for one in several])),
            "spread": float(np.std([one[key] for one in several], ddof=1))
            if len(several) > 1
            else None,
            "error": None if key == "mse_normalised" else several[0][f"{key}_error"],
        }
        for key in keys
    }
    facts = ("population", "train_on", "weights", "parameters", "train_systems", "train_groups")
    return {"trainings": len(several)} | {key: several[0][key] for key in facts} | found


def _page_of_scores(read: Mapping[str, Sequence[Mapping]], published: Table) -> str:
    heads = ["estimator", "judged on", "clusters", "bias", "scatter (std)", "half of 16-84 %"]
    heads += ["slope of the error", "MSE, masses 0 to 1"]
    lines = [heads, ["---"] * len(heads)]
    simple: dict[str, Mapping] = {}  # the same for all networks that learned from one sample
    for name, several in read.items():
        first = several[0]
        with plotting.use_names(NAMES):
            called = plotting.label(Path(name).parent.name)
            population = plotting.label(first["population"])
        clusters = sum(one["clusters"] for one in several)
        cells = [called, population, str(clusters)]
        for key, factor in (("bias", 100), ("scatter", 100), ("half_range", 100), ("slope", 1)):
            cells.append(_cell([one[key] for one in several], several[0][f"{key}_error"], factor))
        cells.append(f"{np.mean([one['mse_normalised'] for one in several]):.5f}")
        lines.append(cells)
        simple.setdefault(f"{first['train_on']}, {population}, {first['weights']}", first)
    for first in simple.values():
        with plotting.use_names(NAMES):
            population = plotting.label(first["population"])
        for name in OURS[1:]:
            of = first["answers"][name]
            cells = [f"{CALLED[name][0]} (fitted as {first['network']})", population]
            cells.append(str(first["clusters"]))
            for key, factor in (("bias", 100), ("scatter", 100), ("half_range", 100), ("slope", 1)):
                cells.append(_cell([of[key]], of[f"{key}_error"], factor))
            lines.append([*cells, "–"])
    for row in published:
        cells = [f"{row['source']}: {row['what']}", str(row["data"]), str(row["clusters"])]
        cells += [str(row["bias"]), str(row["scatter"]), "–", "–", str(row["mse"])]
        lines.append(cells)
    title = "Masses, errors in ln M in per cent (of several trainings mean ± standard deviation,"
    title += " of one ± the error by drawing clusters anew):"
    return f"{title}\n\n{_markdown(lines)}"


def _cell(values: Sequence[float], error: float, factor: float) -> str:
    form = "{:.1f} ± {:.1f}" if factor == 100 else "{:.3f} ± {:.3f}"
    spread = np.std(values, ddof=1) if len(values) > 1 else error
    return form.format(factor * np.mean(values), factor * spread)


def _page_of_pairs(pairs: Sequence[Mapping]) -> str:
    heads = [
        "one",
        "other",
        "judged on",
        "clusters",
        "MSE of one less other",
        "p, signs thrown by cluster",
    ]
    heads += ["trainings", "p, corrected t over trainings"]
    lines = [heads, ["---"] * len(heads)]
    for pair in pairs:
        with plotting.use_names(NAMES):
            one, other = (Path(pair[key]) for key in ("one", "other"))
            cells = [plotting.label(name) for name in (one.parent.name, other.parent.name)]
            cells.append(plotting.label(one.name))
        cells += [str(pair["clusters"]), f"{pair['difference']:+.5f} ± {pair['error']:.5f}"]
        cells += [f"{pair['p']:.4f}", str(pair["folds"])]
        cells.append("–" if pair["p_folds"] is None else f"{pair['p_folds']:.3f}")
        lines.append(cells)
    return (
        f"Is the difference real? The same clusters, weighed by two networks:\n\n{_markdown(lines)}"
    )


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
