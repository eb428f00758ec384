"""Find lenses in a survey that is read in shards: score each, and rank all of them together.

A shard is scored once. More shards, of images that came later, are ranked with the scores of those
before. Memory: one shard, or 40 bytes an image of the survey where all are ranked.

A first stage is a small network that was distilled from the full one: what it rejects, the full one
never sees. Above the threshold the ranking is then that of the full network, without the few that
the first stage has lost.
"""

import csv
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet
from scipy import special

from lensmill.experiments.lens_finding import ranking
from lensmill.pipeline import logs, provenance, splits, store

log = logging.getLogger(__name__)

BATCH = 32  # images scored at a time, as caches hold; filled up, so that no score depends on others
AT_A_TIME = 1 << 19  # rows of the ranking that are written together
FIRST, FULL = 1, 2  # which stage has scored an image
COPIED = ("name", "file", "snr", "masked_fraction", "resampled", "is_lens", "label_known")


def set_first_stage(
    first: NDArray,
    full: NDArray,
    validated: NDArray,
    non_lens: NDArray,
    limit: float | None,
    lost: float,
) -> dict[str, Any]:
    """Set the threshold of a first stage, below which it rejects.

    Parameters
    ----------
    first, full : array, shape (n,)
        Logits of both stages for one population.
    validated : array of bool, shape (n,)
        Its validation part, which sets the threshold.
    non_lens : array of bool, shape (n,)
        Which of them are known to be none.
    limit : float or None
        Logit above which the full network calls an image a lens.
    lost : float
        Of these images, the fraction that may be rejected.

    Returns
    -------
    dict
        ``threshold``, ``limit``; the number of ``images``, of those ``above`` the limit and of
        these ``rejected``; the fraction of non-lenses that is ``passed`` on.

    Raises
    ------
    ValueError
        If the full network has no threshold, or too few images are above it.
    """
    if limit is None:
        raise ValueError(
            "the full network has no threshold for a false-positive rate of 1 %, below which "
            "images could be rejected: the test part of its population needs 100 non-lenses"
        )
    above = first[validated & (full > limit)]
    allowed = int(len(above) * lost + 1e-9)
    if not allowed:
        raise ValueError(
            f"{len(above)} images of the validation part are above the threshold of the full "
            f"network ({limit:.3f}), too few for a first stage that loses {lost:g} of them: "
            f"{int(np.ceil(1 / lost - 1e-9))} are needed; simulate more systems for it to learn "
            "from, or permit it to lose more (survey: lost)"
        )
    threshold = float(np.sort(above)[allowed])
    others = first[validated & non_lens]
    return {
        "threshold": threshold,
        "limit": limit,
        "images": int(validated.sum()),
        "above": len(above),
        "rejected": int((above < threshold).sum()),
        "passed": float(np.mean(others >= threshold)) if len(others) else None,
    }


def write_first_stage(
    first: NDArray,
    full: NDArray,
    non_lens: NDArray,
    dataset: str,
    split: str,
    reference: str,
    output: str,
    names: Mapping[str, str],
    lost: float,
) -> None:
    """Write the threshold of a first stage (JSON), as `set_first_stage` finds it.

    Parameters
    ----------
    first, full : array, shape (n,)
        Logits of both stages for the population that the first one learned from.
    non_lens : array of bool, shape (n,)
        As in `set_first_stage`.
    dataset, split : path
        That population.
    reference : path
        Scores of the full network on its own population, whose threshold counts.
    output : path
        Written.
    names : mapping
        Of the networks, ``first`` and ``full``.
    lost : float
        As in `set_first_stage`.
    """
    limit = _limit(reference)["threshold"]
    validated = splits.read(dataset, split) == splits.VALIDATION
    limit = None if np.isnan(limit) else limit
    found = set_first_stage(first, full, validated, non_lens, limit, lost)
    with store.whole(Path(output)) as file:
        file.write(json.dumps({**names, "lost": lost, **found}, indent=1).encode())
    log.info("%s: %s", output, found)


def score_shard(
    shard: str,
    network: str,
    training: str,
    output: str,
    name: str,
    population: str,
    first_model: str | None = None,
    first_stage: str | None = None,
) -> None:
    """Score the images of one shard with a network that was exported as ONNX.

    Parameters
    ----------
    shard : path
        As `lensmill.cutouts.shards.ingest` wrote it.
    network, training : path
        ``model.onnx``, and what is known of the training.
    output : path
        Written (HDF5): table ``systems`` with ``index`` (in the shard), ``logit``, ``score`` and
        what the ranking shows beside them; a logit that is no number is kept, and ranked last.
        With a first stage also ``stage``: 2, or 1 of what the first has rejected, whose logit is
        then its own; all these are below the threshold of the full network, if need be by a shift.
    name, population : str
        Of the network and of the survey.
    first_model, first_stage : path, optional
        ``model.onnx`` of the network that looks first, and its threshold (`write_first_stage`).

    Raises
    ------
    ValueError
        If the images are not of the size and bands that the network was trained on.
    """
    record = json.loads(Path(training).read_text())
    facts = store.attributes(shard)
    stage = json.loads(Path(first_stage).read_text()) if first_stage else None
    columns: dict[str, NDArray] = {"index": np.zeros(0, np.int64), "logit": np.zeros(0)}
    if stage:
        columns["stage"] = np.zeros(0, np.uint8)
    if facts["used"]:
        pixels = store.memmap(shard, "cutouts", "pixels")
        _check_shape(pixels.shape[1:], record)
        with h5py.File(shard) as file:
            have = [column for column in ("index", *COPIED) if column in file["systems"]]
        columns = store.read(shard, "systems", have)
        if stage:
            columns |= _in_stages(_session(first_model), _session(network), pixels, stage)
        else:
            columns["logit"] = _logits(_session(network), pixels)
    columns["score"] = special.expit(columns["logit"])
    about = provenance.attributes(
        {},
        network=name,
        population=population,
        experiment="lens_finding",
        train_on=record["population"],
        dataset=facts["content_digest"],
        bands=facts["bands"],
        **({"psf": facts["psf"]} if "psf" in facts else {}),
        first_stage=json.dumps(stage, sort_keys=True) if stage else "",
    )
    units = {"systems": dict.fromkeys(columns, "")}
    store.write(output, {"systems": columns}, units, about)


def _check_shape(given: tuple[int, ...], record: Mapping[str, Any]) -> None:
    if list(given) != list(record["shape"]):
        raise ValueError(
            f"the images are of {given} (height, width, bands), but the network (trained on "
            f"{record['population']!r}) takes {tuple(record['shape'])}; bring the population to "
            "its size and bands (observation: size, bands), or train a network on images like these"
        )


def _session(model: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _logits(session: Any, pixels: NDArray, rows: NDArray | None = None) -> NDArray:
    """Return the logits of some images, by default of all, which are then not copied."""
    n = len(pixels) if rows is None else len(rows)
    found = np.empty(n)
    for start in logs.progress(range(0, n, BATCH), "score"):
        here = slice(start, min(start + BATCH, n))
        some = pixels[here] if rows is None else pixels[rows[here]]
        size = len(some)
        if size < BATCH:
            some = np.concatenate([some, np.zeros((BATCH - size, *some.shape[1:]), some.dtype)])
        some = np.asarray(some, np.float32)
        found[here] = session.run(None, {"pixels": some})[0][:size, 0]
    return found


def _in_stages(
    first: Any, full: Any, pixels: NDArray, stage: Mapping[str, Any]
) -> dict[str, NDArray]:
    """Score with two networks: what the first does not reject, by the second."""
    logit = _logits(first, pixels)
    passed = ~(logit < stage["threshold"])  # also what is no number
    # It has learned to say what the full network says; no image that only it has seen is a lens.
    logit -= max(0.0, stage["threshold"] - stage["limit"])
    logit[passed] = _logits(full, pixels, np.flatnonzero(passed))
    return {"logit": logit, "stage": np.where(passed, FULL, FIRST).astype(np.uint8)}


def rank(
    shards: Sequence[str],
    scores: Sequence[str],
    copies: str,
    reference: str | None,
    table: str,
    page: str,
    settings: Mapping[str, Any],
) -> None:
    """Rank all images of a survey: one table, and one page of pictures of the best.

    Parameters
    ----------
    shards, scores : sequence of path
        Images and their scores, in the same order.
    copies : path
        The images that occur twice, of `lensmill.cutouts.shards.index`.
    reference : path or None
        Scores of the network on the population it was trained on, whose threshold is drawn.
    table : path
        Written (Parquet): a row for every image, the highest logit first, equal ones in the order
        of the survey; ``index`` in the survey, ``shard`` and ``row`` in it, and what
        `ranking.rank` tabulates; with a first stage also the ``stage`` that scored it.
    page : path
        Written (HTML), as by `ranking.rank`.
    settings : mapping
        As for `ranking.rank`.

    Raises
    ------
    ValueError
        If scores are not those of the shard, or there is no image.
    """
    facts, counts = _check(shards, scores)
    first = np.concatenate([[0], np.cumsum(counts)])
    logit = np.concatenate([_column(path, "logit") for path in scores])
    order = np.argsort(-np.where(np.isfinite(logit), logit, -np.inf), kind="stable")
    facts |= _limit(reference) | {key: settings[key] for key in ("snr", "masked_fraction")}
    twice = _copied(copies)
    best: list[pd.DataFrame] = []
    found: dict[str, Counter] = {"labels": Counter(), "flags": Counter()}
    with store.whole(Path(table)) as file:
        writer = None
        for start in logs.progress(range(0, len(order), AT_A_TIME), "rank"):
            rows = order[start : start + AT_A_TIME]
            part = _part(rows, start, first, shards, scores, twice, facts, settings)
            found["labels"].update(part["label"][part["label"] != ""])
            for flag in ranking.FLAGS:
                n = int(part["flags"].str.contains(flag, regex=False).sum())
                found["flags"][flag] += n
            if start < settings["thumbnails"]:
                best.append(part.head(settings["thumbnails"] - start))
            arrow = pa.Table.from_pandas(part, preserve_index=False)
            writer = writer or parquet.ParquetWriter(file, arrow.schema, compression="zstd")
            writer.write_table(arrow.cast(writer.schema))
        writer.close()
    all_counts = {
        "images": len(logit),
        "above": int((logit > ranking.threshold(facts)[0]).sum()),
        "labels": dict(found["labels"]),
        "flags": {flag: found["flags"][flag] for flag in ranking.FLAGS},
    }

    def pixels_of(card: Any) -> NDArray:
        path = next(path for path in shards if Path(path).name == card.shard)
        return np.array(store.memmap(path, "cutouts", "pixels")[card.row])

    shown = pd.concat(best, ignore_index=True)
    text = ranking.write_page(shown, pixels_of, all_counts, facts, Path(table).name)
    with store.whole(Path(page)) as file:
        file.write(text.encode())
    log.info("%s: %d images of %d shards", table, len(logit), len(shards))


def _check(shards: Sequence[str], scores: Sequence[str]) -> tuple[dict[str, Any], list[int]]:
    """Refuse scores of other images than those of the shards; return what they say, and sizes."""
    counts, facts, stages = [], {}, {}
    for shard, path in zip(shards, scores, strict=True):
        about, images = store.attributes(path), store.attributes(shard)
        if about["dataset"] != images["content_digest"]:
            raise ValueError(f"{path} are not the scores of {shard}; delete them and run again")
        stages.setdefault(about.get("first_stage", ""), path)
        if len(stages) > 1:
            raise ValueError(
                f"{' and '.join(stages.values())} were not scored with one first stage, or one "
                "without any; delete the scores of all shards and run again"
            )
        counts.append(int(images["used"]))
        facts = facts if counts[-1] == 0 else about
    if not sum(counts):
        raise ValueError(f"none of the {len(shards)} shards has an image that can be ranked")
    return facts, counts


def _column(path: str, name: str) -> NDArray:
    return store.read(path, "systems", [name])[name]


def _limit(reference: str | None) -> dict[str, Any]:
    """Return the threshold that lenses pass, as the predictions of one population have it."""
    known = json.loads(Path(reference).read_text()) if reference else {}
    limit = known.get("threshold_fpr_1e-2")
    if limit is None:
        return {"threshold": np.nan, "threshold_from": ""}
    return {"threshold": limit, "threshold_from": "reference"}


def _copied(copies: str) -> NDArray:
    """Return the indices of all images that occur twice."""
    with Path(copies).open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    return np.unique([int(row[i]) for row in rows for i in (1, 5)]).astype(np.int64)


def _part(
    rows: NDArray,
    start: int,
    first: NDArray,
    shards: Sequence[str],
    scores: Sequence[str],
    twice: NDArray,
    facts: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> pd.DataFrame:
    """Tabulate some rows of the ranking, from the scores of the shards that they are in."""
    shard = np.searchsorted(first, rows, "right") - 1
    row = rows - first[shard]
    systems: dict[str, NDArray] = {}
    for k in np.unique(shard):
        here = np.flatnonzero(shard == k)
        for name, values in store.read(scores[k], "systems").items():
            column = systems.setdefault(name, np.empty(len(rows), values.dtype))
            if column.dtype != values.dtype:  # texts of other lengths
                column = systems[name] = column.astype(object)
            column[here] = values[row[here]]
    is_number = np.isfinite(systems["logit"])
    foreign = "psf" in facts and facts["train_on"] != facts["population"]
    label = np.where(systems["is_lens"] == 1, "lens", "non-lens")
    names = np.array([Path(path).name for path in shards], object)
    return pd.DataFrame(
        {
            "rank": np.arange(start + 1, start + len(rows) + 1),
            "index": rows,
            "shard": names[shard],
            "row": row,
            "name": systems["name"].astype(object),
            "file": systems["file"].astype(object),
            "score": systems["score"],
            "logit": systems["logit"],
            **({"stage": systems["stage"]} if "stage" in systems else {}),
            "snr": systems["snr"],
            "masked_fraction": systems["masked_fraction"],
            "label": np.where(systems["label_known"] == 1, label, ""),
            "flags": ranking.flags(systems, is_number, np.isin(rows, twice), foreign, settings),
        }
    )
