"""Scores on images made as the public benchmark makes them, beside published ones; 8 bits too."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from astropy.table import Table

from lensmill.pipeline import store

PUBLISHED = Path(__file__).parent / "data" / "published.ecsv"
PERMITTED = 0.005  # difference in AUROC that 8 bits may make
NAMES = {
    "auroc": "AUROC, mean of the classes",
    "auroc_none": "AUROC, no substructure",
    "auroc_subhalos": "AUROC, subhalos",
    "auroc_vortex": "AUROC, vortex",
    "accuracy": "accuracy",
}


def rows(scores: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for every published number, with ours beside it.

    Parameters
    ----------
    scores : dict
        ``scores.json`` of a network that names classes.

    Returns
    -------
    list of dict
        ``quantity``, ``value``, ``network``, ``reference``, ``read_in``, ``ours``, ``error``.
    """
    found = []
    for row in Table.read(PUBLISHED, format="ascii.ecsv"):
        name = str(row["quantity"])
        error = scores.get(f"{name}_error")
        if name == "accuracy":
            error = (scores["accuracy_high"] - scores["accuracy_low"]) / 2
        texts = {key: str(row[key]) for key in ("quantity", "network", "reference", "read_in")}
        found.append(
            {**texts, "value": float(row["value"]), "ours": scores.get(name), "error": error}
        )
    return found


def compare_published(scores: str, exports: Sequence[str], table: str, page: str) -> None:
    """Write the comparison as a table and as a page.

    Parameters
    ----------
    scores : path
        ``scores.json`` on the population made as the benchmark.
    exports : sequence of path
        ``export.json`` of networks in 8 bits.
    table, page : path
        Written: CSV, and Markdown with the networks in 8 bits.
    """
    found = json.loads(Path(scores).read_text())
    listed = rows(found)
    with store.whole(Path(table)) as file:
        file.write(pd.DataFrame(listed).to_csv(index=False).encode())
    text = [
        "# Beside published numbers",
        "",
        f"Ours: `{found['network']}` on {found['known']} test images of `{found['population']}`, "
        f"learned from {found['train_systems']} images. **The images are not theirs**: they are "
        "made after the published settings, with another telescope, noise and pixels, fixed before "
        "any training; and published networks learned from about 90,000 images.",
        "",
        "| | published | by | ours |",
        "|---|---|---|---|",
    ]
    for row in listed:
        ours = "–" if row["ours"] is None else f"{row['ours']:.4f} ± {row['error']:.4f}"
        by = f"{row['network']}; {row['reference']} ({row['read_in']})"
        text.append(f"| {NAMES[row['quantity']]} | {row['value']:.4f} | {by} | {ours} |")
    text += ["", "# Networks in 8 bits", ""]
    text += [
        "Mean AUROC of the classes on the test images, size, and images a second (batches of 64).",
        "",
        "| network | form | AUROC | bytes | images/s |",
        "|---|---|---|---|---|",
    ]
    for path in exports:
        report = json.loads(Path(path).read_text())
        for form in ("keras", "onnx", "int8"):
            one = report[form]
            text.append(
                f"| {Path(path).parent.name} | {form} | {one['auroc']:.4f} | {one['bytes']:,} | "
                f"{one['images_per_second']['64']:.0f} |"
            )
    with store.whole(Path(page)) as file:
        file.write("\n".join([*text, ""]).encode())
