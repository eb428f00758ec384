"""Scores: of one network on one population, and of all as one table."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lensmill.pipeline import store


def write(path: str, scores: Mapping[str, Any]) -> None:
    """Write scores as JSON, whole or not at all; what is not finite is refused."""
    text = json.dumps(scores, indent=1, allow_nan=False)
    with store.whole(Path(path)) as file:
        file.write(text.encode())


def tabulate(paths: Sequence[str], output: str) -> None:
    """Write one row per network and population, and per target where a network has several.

    Parameters
    ----------
    paths : sequence of str
        Files ``scores.json``. Of each, all that is a number or a text, and by target what stands
        in ``targets``; a score of all targets that is called as one of each gets the suffix
        ``_all_targets``.
    output : str
        A CSV file.
    """
    rows = []
    for path in paths:
        scores = json.loads(Path(path).read_text())
        whole = {k: v for k, v in scores.items() if not isinstance(v, dict | list)}
        targets = {t: numbers for t, numbers in scores.get("targets", {}).items() if numbers}
        for target, numbers in targets.items():
            of_all = {k if k not in numbers else f"{k}_all_targets": v for k, v in whole.items()}
            rows.append({**of_all, "target": target, **numbers})
        if not targets:  # or none of which the truth is known
            rows.append(whole)
    pd.DataFrame(rows).to_csv(output, index=False)
