"""The scores of all networks on all populations, as one table."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd


def tabulate(paths: Sequence[str], output: str) -> None:
    """Write one row per network and population, and per target where a network has several.

    Parameters
    ----------
    paths : sequence of str
        Files ``scores.json``. With ``targets``: also ``network``, ``population``, ``images``,
        ``systems``, ``mse_standardised`` and, by target, the scores. Without: a row of all that
        is a number or a text.
    output : str
        A CSV file.
    """
    rows = []
    for path in paths:
        scores = json.loads(Path(path).read_text())
        if "targets" not in scores:
            rows.append({k: v for k, v in scores.items() if not isinstance(v, dict | list)})
            continue
        head = {key: scores[key] for key in ("network", "population", "images", "systems")}
        given = {t: numbers for t, numbers in scores["targets"].items() if numbers is not None}
        for target, numbers in given.items():
            whole = {"mse_standardised_all_targets": scores["mse_standardised"]}
            rows.append({**head, "target": target, **numbers, **whole})
    pd.DataFrame(rows).to_csv(output, index=False)
