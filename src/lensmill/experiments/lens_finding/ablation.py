"""Which step of making mocks real gained what: networks step by step, judged on the real sky.

A step is one network, or several of which each tests other groups (`turn`): a lens counts as found
in the mean of those turns that may judge it, since none of them learned from its field.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lensmill.learning import classification
from lensmill.pipeline import store

MATCHED = 0.5  # distance in magnitude and colour up to which a lens and a non-lens are alike [mag]
CATALOGUE = ("host_magnitude", "host_colour", "host_radius")
FOLDS = 5

HEADS = {
    "step": "step",
    "member": "trained",
    "completeness": "found at {strict}",
    "wide": "of {n} wider than {wide:g}″",
    "loose": "found at {loose}",
    "fpr": "non-lenses above {strict}",
    "auroc": "AUROC, real non-lenses",
    "matched": "matched in magnitude and colour",
    "tpr0": "TPR0",
    "tpr10": "TPR10",
}


class Turn(NamedTuple):
    """Predictions of one network: for the lenses, and for the real non-lenses."""

    lenses: pd.DataFrame
    others: pd.DataFrame
    thresholds: dict[str, float]


def tabulate(
    steps: Mapping[str, Mapping[str, Sequence[Sequence[str]]]],
    settings: Mapping[str, Any],
    seed: int,
    table: str,
    page: str,
) -> None:
    """Write a row per step and training, and a page with the seeds of each step put together.

    Parameters
    ----------
    steps : mapping
        By name, and there by member (``seed1``, ``ensemble3``), for each turn the scored
        predictions of one network for the populations of lenses and for the real non-lenses.
    settings : mapping
        ``strict`` and ``loose``, names of thresholds; ``negatives``, the population of real
        non-lenses; ``wide``, the Einstein radius beyond which a lens is wide [arcsec].
    seed : int
        Fixes the folds of what a catalogue alone can tell.
    table, page : path
        Written: CSV and Markdown.
    """
    rows = []
    for step, members in steps.items():
        for member, turns in members.items():
            judged = [read(paths, settings["negatives"]) for paths in turns]
            rows.append({"step": step, "member": member} | measure(judged, settings))
    found = pd.DataFrame(rows)
    found.to_csv(table, index=False)
    first = next(iter(next(iter(steps.values())).values()))
    catalogue = by_catalogue(read(first[0], settings["negatives"]), seed)
    with store.whole(Path(page)) as file:
        file.write(_page(found, catalogue, settings).encode())


def read(paths: Iterable[str], negatives: str) -> Turn:
    """Read the scored predictions of one network."""
    lenses, others, thresholds = [], [], {}
    for path in paths:
        facts, systems = store.attributes(path), store.read(path, "systems")
        rows = pd.DataFrame(systems).assign(population=str(facts["population"]))
        rows = rows[rows["label_known"] == 1]
        thresholds = json.loads(facts["thresholds"])
        if facts["population"] == negatives:
            others.append(rows[rows["is_lens"] == 0])
        else:
            lenses.append(rows[rows["is_lens"] == 1])
    return Turn(pd.concat(lenses), pd.concat(others), thresholds)


def measure(turns: Sequence[Turn], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scores of the turns of one step together.

    Returns
    -------
    dict
        ``lenses`` judged, ``completeness`` and ``loose`` (at the two thresholds) with binomial
        intervals, ``wide`` ones found of ``n_wide``, ``fpr`` of the real non-lenses at the strict
        threshold, ``auroc`` against them with its error by Hanley & McNeil, on all and on pairs
        that are ``matched`` in magnitude and colour, ``tpr0`` and ``tpr10``.
    """
    per_lens = []
    for turn in turns:
        columns = {
            name: turn.lenses["logit"] > turn.thresholds[settings[name]]
            for name in ("strict", "loose")
        }
        keys = turn.lenses[["population", "index", "theta_e"]]
        per_lens.append(keys.assign(**columns))
    found = pd.concat(per_lens).groupby(["population", "index"]).mean()
    wide = found[found["theta_e"] > settings["wide"]]
    result: dict[str, Any] = {"lenses": len(found), "n_wide": len(wide)}
    for name, column in (("completeness", "strict"), ("loose", "loose")):
        rate = classification.binomial(round(found[column].sum()), len(found))
        result |= {name: found[column].mean(), f"{name}_low": rate.low, f"{name}_high": rate.high}
    result["wide"] = float(wide["strict"].sum())
    above = sum((t.others["logit"] > t.thresholds[settings["strict"]]).sum() for t in turns)
    others = sum(len(t.others) for t in turns)
    rate = classification.binomial(int(above), others)
    result |= {"others": others, "fpr": rate.value, "fpr_low": rate.low, "fpr_high": rate.high}
    for name, metric in (
        ("auroc", _auroc),
        ("matched", _matched_auroc),
        ("tpr0", lambda t: _found(t, 0)),
        ("tpr10", lambda t: _found(t, 9)),
    ):
        values = [metric(turn) for turn in turns]
        kept = [v for v in values if v is not None]
        result[name] = float(np.mean(kept)) if kept else None
    return result


def matched(lenses: pd.DataFrame, others: pd.DataFrame) -> tuple[NDArray, NDArray]:
    """Return rows of lenses and non-lenses, pair by pair alike in magnitude and colour.

    Every non-lens is given the nearest lens that is left, the closest pairs first, up to `MATCHED`.
    """
    place = [rows[["host_magnitude", "host_colour"]].to_numpy(float) for rows in (lenses, others)]
    distance = np.linalg.norm(place[0][:, None] - place[1], axis=2)
    pairs, taken = [], (set(), set())
    for at in np.argsort(distance, axis=None):
        i, j = map(int, np.unravel_index(at, distance.shape))
        if distance[i, j] > MATCHED:
            break
        if i not in taken[0] and j not in taken[1]:
            pairs.append((i, j))
            taken[0].add(i)
            taken[1].add(j)
    chosen = np.array(pairs, int).reshape(-1, 2)
    return chosen[:, 0], chosen[:, 1]


def by_catalogue(turn: Turn, seed: int) -> dict[str, Any]:
    """Return the AUROC of what a catalogue alone tells of the real lenses and non-lenses.

    A logistic regression on magnitude, colour and half-light radius that was fitted to these very
    systems, by cross-validation: what a network has to beat that claims to see arcs. On all, and
    on the pairs alike in magnitude and colour.
    """
    result: dict[str, Any] = {}
    alike = matched(turn.lenses, turn.others)
    for name, rows in (("auroc", (slice(None), slice(None))), ("matched", alike)):
        x = [
            part[list(CATALOGUE)].to_numpy(float)[r] for part, r in zip(turn[:2], rows, strict=True)
        ]
        if min(map(len, x)) < FOLDS:
            result[name] = None
            continue
        is_lens = np.repeat([1, 0], [len(part) for part in x])
        model = make_pipeline(StandardScaler(), LogisticRegression())
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
        score = cross_val_predict(
            model, np.concatenate(x), is_lens, cv=folds, method="decision_function"
        )
        result[name] = classification.auroc(is_lens, score)
        result[f"{name}_pairs"] = [len(part) for part in x]
    return result


def _auroc(turn: Turn) -> float | None:
    if not (len(turn.lenses) and len(turn.others)):
        return None
    logit = np.concatenate([turn.lenses["logit"], turn.others["logit"]])
    return classification.auroc(np.arange(len(logit)) < len(turn.lenses), logit)


def _matched_auroc(turn: Turn) -> float | None:
    of_lenses, of_others = matched(turn.lenses, turn.others)
    lenses, others = turn.lenses.iloc[of_lenses], turn.others.iloc[of_others]
    return _auroc(turn._replace(lenses=lenses, others=others))


def _found(turn: Turn, false_positives: int) -> float | None:
    """Return the part of the lenses above all but so many real non-lenses."""
    if len(turn.others) <= false_positives or not len(turn.lenses):
        return None
    limit = np.sort(turn.others["logit"])[::-1][false_positives]
    return float((turn.lenses["logit"] > limit).mean())


def _page(found: pd.DataFrame, catalogue: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    heads = {
        "strict": f"`{settings['strict']}`",
        "loose": f"`{settings['loose']}`",
        "wide": settings["wide"],
        "n": int(found["n_wide"].max()),
    }
    lines = [[text.format(**heads) for text in HEADS.values()], ["---"] * len(HEADS)]
    for step, rows in found.groupby("step", sort=False):
        together = rows["member"].str.startswith("ensemble")
        for name, part in (("seeds", rows[~together]), ("committee", rows[together])):
            if len(part):
                what = f"{len(part)} seeds" if len(part) > 1 else "one"
                what = f"committee of {len(rows) - 1}" if name == "committee" else what
                lines.append([step, what, *(_cell(part, column) for column in list(HEADS)[2:])])
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    said = {k: "–" if v is None else f"{v:.3f}" for k, v in catalogue.items() if "pairs" not in k}
    sizes = catalogue.get("matched_pairs", [0])[0]
    first = found.iloc[0]
    return (
        f"{int(first['lenses'])} real lenses, {int(first['others'])} real non-lenses "
        f"(`{settings['negatives']}`). Mean over seeds ± their standard deviation; of "
        "the committee the 68 % binomial interval.\n\n"
        f"{text}\n\n"
        "A logistic regression on magnitude, colour and half-light radius, fitted to these very "
        f"systems and cross-validated: AUROC {said['auroc']}, and {said['matched']} on the {sizes} "
        "pairs matched in magnitude and colour.\n"
    )


def _cell(rows: pd.DataFrame, column: str) -> str:
    values = rows[column].dropna().astype(float)
    if not len(values):
        return "–"
    form = {"wide": "{:.1f}", "auroc": "{:.3f}", "matched": "{:.3f}"}.get(column, "{:.2f}")
    cell = form.format(values.mean())
    if len(values) > 1:
        return f"{cell} ± {form.format(values.std())}"
    low, high = (rows.iloc[0].get(f"{column}_{end}") for end in ("low", "high"))
    return cell if low is None else f"{cell} ({form.format(low)}–{form.format(high)})"
