"""The table of networks: what each costs, and what it finds where it learned and elsewhere."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lensmill import plotting
from lensmill.experiments.lens_finding.figures import NAMES

SCORES = ("auroc", "tpr0", "tpr10", "tpr_fpr_1e-2", "tpr_fpr_1e-3")
FOUND = ("completeness_reference", "false_positive_rate_reference")
# Columns of the page: heading, column of the table, format.
OWN = (
    ("weights", "parameters", "{:,.0f}"),
    ("training [s of one core]", "train_cpu_seconds", "{:.0f}"),
    ("trained [images/s]", "trained_images_per_second", "{:,.0f}"),
    ("answered [images/s]", "images_per_second", "{:,.0f}"),
    ("AUROC", "auroc", "{:.3f}"),
    ("TPR0", "tpr0", "{:.2f}"),
    ("TPR10", "tpr10", "{:.2f}"),
    ("TPR at FPR 1 %", "tpr_fpr_1e-2", "{:.2f}"),
)
ELSEWHERE = (
    ("lenses", "lenses", "{:.0f}"),
    ("found", "completeness_reference", "{:.2f}"),
    ("non-lenses", "non_lenses", "{:.0f}"),
    ("taken for lenses", "false_positive_rate_reference", "{:.3f}"),
    ("AUROC", "auroc", "{:.3f}"),
)


def compare(scores: Sequence[str], histories: Sequence[str], table: str, page: str) -> None:
    """Write a row per trained network and population, and a page with the seeds put together.

    Parameters
    ----------
    scores : sequence of path
        ``scores.json`` of networks on populations.
    histories : sequence of path
        ``history.csv`` of each of these networks.
    table : path
        Written, CSV: cost and scores, by ``network`` (each seed or fold is one), ``family`` (the
        definition that it is a member of) and ``population``; ``own`` says whether the population
        is the one that it learned from.
    page : path
        Written, Markdown: mean and standard deviation of the members of each family, on their own
        population and, at the threshold set there, on others.
    """
    rates = {
        plotting.network(path): statistics.median(pd.read_csv(path)["images_per_second"])
        for path in histories
    }
    rows = []
    for path in scores:
        found = json.loads(Path(path).read_text())
        name, population = found["network"], found["population"]
        row = {"network": name, "family": plotting.family(name), "population": population}
        row |= {"own": population == found["train_on"], "trained_images_per_second": rates[name]}
        copied = ("architecture", "parameters", "train_cpu_seconds", "images_per_second")
        copied += ("lenses", "non_lenses", *SCORES)
        row |= {key: found[key] for key in copied}
        rows.append(row | {key: found.get(key) for key in FOUND})  # only where it did not learn
    networks = pd.DataFrame(rows)
    networks.to_csv(table, index=False)
    own, others = networks[networks["own"]], networks[~networks["own"]]
    parts = ["Test systems of the population that each network learned from:", _table(own, OWN)]
    if len(others):
        parts.append("Other populations, at the threshold that lets 1 % of the own mocks through:")
        parts.append(_table(others, ELSEWHERE))
    Path(page).write_text("\n\n".join(parts) + "\n")


def _table(networks: pd.DataFrame, columns: Sequence[tuple[str, str, str]]) -> str:
    heads = ["network", "population", "seeds", *(heading for heading, _, _ in columns)]
    lines = [heads, ["---"] * len(heads)]
    for (family, population), members in networks.groupby(["family", "population"], sort=False):
        with plotting.use_names(NAMES):
            cells = [plotting.label(family), plotting.label(population), str(len(members))]
        for _, column, form in columns:
            values = members[column].dropna().astype(float)
            cell = form.format(values.mean()) if len(values) else "–"
            if column in SCORES + FOUND and len(values) > 1:
                cell += " ± " + form.format(values.std())
            cells.append(cell)
        lines.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
