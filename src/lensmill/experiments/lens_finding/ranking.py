"""A scored population as a table and as a page to look through: the best candidates first.

The page is one HTML file with the pictures inside it: no internet, no scripts, and it opens on any
machine that it is copied to. How it looks is said in `TEMPLATE`.
"""

import base64
import io
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import jinja2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lensmill.pipeline import logs, store
from lensmill.plotting.pictures import colours, picture

log = logging.getLogger(__name__)

PER_SECTION = 200  # pictures that a browser draws at once
FLAGS = {  # what to beware of, as the page explains it
    "not scored": "the network gave no number",
    "masked": "more than {masked_fraction:g} of the pixels are masked or beyond the edge",
    "faint": "S/N below {snr:g}",
    "duplicate": "another image has the same pixels",
    "resampled": "brought to other pixels: its noise is correlated, points ring by some per cent",
    "foreign-psf": "not blurred as the images that the network learned from; theirs is {psf}",
}
TEMPLATE = "ranked.html.jinja"


def rank(
    predictions: str | Path,
    dataset: str | Path,
    table: str | Path,
    page: str | Path,
    settings: Mapping[str, Any],
) -> None:
    """Sort a scored population and write it as a table and as a page of pictures.

    Parameters
    ----------
    predictions : path
        The scores of a network: ``index``, ``logit``, ``score`` and, where they are known, labels.
    dataset : path
        The images that were scored; more than those is no harm.
    table : path
        Written: CSV, one row per image, sorted by logit. ``label`` is ``lens``, ``non-lens`` or
        empty; ``flags`` says what to beware of, see `FLAGS`; what is not scored is last.
    page : path
        Written: HTML, pictures of the first of them in that order, with a line where the threshold
        of the predictions lies (their attribute ``threshold``, a logit; nan: probability 1/2).
    settings : mapping
        ``thumbnails``, the most pictures on the page; ``masked_fraction`` above which and ``snr``
        below which an image is flagged.

    Raises
    ------
    ValueError
        If an index that was scored is not in the data set, or images and systems differ in order.
    """
    ranked, rows = _table(predictions, dataset, settings)
    with store.whole(Path(table)) as file:
        file.write(ranked.to_csv(index=False, float_format="%.6g").encode())
    shown = ranked.head(settings["thumbnails"])
    of_flags = {f: int(ranked["flags"].str.contains(f, regex=False).sum()) for f in FLAGS}
    pixels = store.memmap(dataset, "cutouts", "pixels") if len(shown) else np.empty((0, 1, 1, 1))
    images = store.attributes(dataset)
    facts = store.attributes(predictions)
    facts |= {key: images[key] for key in ("bands", "psf") if key in images}
    facts |= {"snr": settings["snr"], "masked_fraction": settings["masked_fraction"]}
    counts = {
        "above": int((ranked["logit"] > threshold(facts)[0]).sum()),
        "images": len(ranked),
        "labels": ranked["label"].value_counts().to_dict(),
        "flags": of_flags,
    }
    with store.whole(Path(page)) as file:
        file.write(
            write_page(
                shown, lambda card: pixels[rows[card.rank - 1]], counts, facts, Path(table).name
            ).encode()
        )
    log.info("%s: %d images, the first %d with a picture", page, len(ranked), len(shown))


def _table(
    predictions: str | Path, dataset: str | Path, settings: Mapping[str, Any]
) -> tuple[pd.DataFrame, NDArray]:
    """Return the table in its order, and for each of its rows the row in the data set."""
    scored = store.read(predictions, "systems", ["index", "logit", "score"])
    with h5py.File(dataset) as file:
        have = set(file["systems"])
    wanted = {"index", "name", "file", "content_hash", "snr", "masked_fraction"}
    wanted |= {"is_lens", "label_known", "resampled"}
    systems = store.read(dataset, "systems", sorted(wanted & have))
    of_image = store.read(dataset, "cutouts", ["system"])["system"]
    store.check_order(systems["index"], of_image, f"{dataset}: cutouts/system")
    rows = pd.Index(systems["index"]).get_indexer(scored["index"])
    if (rows < 0).any():
        raise ValueError(
            f"{predictions} and {dataset} do not belong together: {(rows < 0).sum()} of "
            f"{len(rows)} images that were scored are not in the data set (first: index "
            f"{scored['index'][rows.argmin()]}); score it anew"
        )

    # Stable, so that equal scores stay in order of index; a logit that is no number comes last.
    is_number = np.isfinite(scored["logit"])
    order = np.lexsort((scored["index"], -np.where(is_number, scored["logit"], -np.inf)))
    rows, is_number = rows[order], is_number[order]
    systems = {name: values[rows] for name, values in systems.items()}
    twice = None
    if "content_hash" in systems:
        twice = pd.Series(systems["content_hash"]).duplicated(keep=False).to_numpy()
    facts = store.attributes(predictions)
    # only images that were ingested have it; a network that learned from them knows theirs
    foreign = "psf" in store.attributes(dataset) and facts["train_on"] != facts["population"]
    texts = flags(systems, is_number, twice, foreign, settings)
    label = np.where(systems["is_lens"] == 1, "lens", "non-lens")
    ranked = pd.DataFrame(
        {
            "rank": np.arange(1, len(rows) + 1),
            "index": systems["index"],
            "name": systems.get("name", systems["index"].astype(str).astype(object)),
            "file": systems.get("file", ""),
            "score": scored["score"][order],
            "logit": scored["logit"][order],
            "snr": systems["snr"],
            "masked_fraction": systems["masked_fraction"],
            "label": np.where(systems["label_known"] == 1, label, ""),
            "flags": texts,
        }
    )
    return ranked, rows


def flags(
    systems: Mapping[str, NDArray],
    is_number: NDArray,
    twice: NDArray | None,
    foreign: bool,
    settings: Mapping[str, Any],
) -> list[str]:
    """Return what to beware of in every image, see `FLAGS`.

    Parameters
    ----------
    systems : mapping of array
        ``snr``, ``masked_fraction`` and, of ingested images, ``resampled``.
    is_number, twice : array of bool
        Whether an image has a score, and whether there is another with its pixels.
    foreign : bool
        Whether the network learned from images of another point-spread function.
    settings : mapping
        As for `rank`.
    """
    raised = {
        "not scored": ~is_number,
        "masked": systems["masked_fraction"] > settings["masked_fraction"],
        "faint": systems["snr"] < settings["snr"],
    }
    if twice is not None:
        raised["duplicate"] = twice
    if "resampled" in systems:
        raised["resampled"] = systems["resampled"] == 1
    if foreign:
        raised["foreign-psf"] = np.ones(len(is_number), bool)
    return [
        " ".join(flag for flag, on in zip(raised, row, strict=True) if on)
        for row in np.transpose(list(raised.values()))
    ]


def png(grey_or_rgb: NDArray) -> bytes:
    """Encode uint8 pixels, shape (height, width) or (height, width, 3), as PNG."""
    file = io.BytesIO()
    Image.fromarray(grey_or_rgb).save(file, "PNG", optimize=True)
    return file.getvalue()


def write_page(
    shown: pd.DataFrame,
    pixels_of: Callable[[Any], NDArray],
    counts: Mapping[str, Any],
    facts: Mapping[str, Any],
    table: str,
) -> str:
    """Return the page: sections of pictures, the first one open.

    Parameters
    ----------
    shown : table
        The best of all, as `rank` tabulates them.
    pixels_of : callable
        Gives the image (height, width, bands) of a row of it.
    counts : mapping
        Numbers of ``images``, of those ``above`` the threshold, with each of the ``labels`` and
        each of the ``flags``.
    facts : mapping
        What the predictions say of themselves, the ``bands`` (JSON), the limits of the flags.
    table : str
        Name of the file with all images.
    """
    limit, origin = threshold(facts)
    above, images, labels = (counts[key] for key in ("above", "images", "labels"))
    cards = list(shown.itertuples(index=False))
    sections = [cards[i : i + PER_SECTION] for i in range(0, len(cards), PER_SECTION)]
    known = " and ".join(
        f"{labels[label]} known {plural}"
        for label, plural in (("lens", "lenses"), ("non-lens", "non-lenses"))
        if label in labels
    )
    pages = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return pages.get_template(TEMPLATE).render(
        title=f"{facts['population']} ranked by {facts['network']}",
        threshold=limit,
        origin=origin,
        above=above,
        passing=f"{above or 'none'} of {images} {'passes' if above < 2 else 'pass'}",
        count=images,
        known=known,
        shown=len(shown),
        bands=_bands(json.loads(facts["bands"])),
        legend=_legend(counts["flags"], facts),
        table=table,
        sections=logs.progress(sections, "pictures"),
        picture=lambda card: base64.b64encode(png(picture(pixels_of(card)))).decode(),
    )


def threshold(facts: Mapping[str, Any]) -> tuple[float, str]:
    """Return the logit above which an image is called a lens, and in words where it comes from."""
    if not facts["threshold_from"]:
        return 0.0, (
            "a probability of 1/2: there are not enough known non-lenses, here or in what the "
            "network was trained on, to set a false-positive rate of 1 %"
        )
    where = f"population {facts['population']} itself"
    if facts["threshold_from"] == "reference":
        where = f"test part of {facts['train_on']}, where the network learned,"
    return float(facts["threshold"]), f"at most 1 % of the known non-lenses of the {where} pass it"


def _legend(counts: Mapping[str, int], facts: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """Return the flags that occur, how many images have each, and what it means."""
    return [(flag, n, FLAGS[flag].format(**facts)) for flag, n in counts.items() if n]


def _bands(bands: list[str]) -> str:
    """Say in words what is shown."""
    if len(bands) == 1:
        return f"band {bands[0]}"
    if len(bands) == 2:
        return f"{bands[1]} red, {bands[0]} blue, their mean green"
    number = np.arange(len(bands)).reshape(1, 1, -1)
    red, green, blue = (bands[int(i)] for i in colours(number)[0, 0])
    return f"{red} red, {green} green, {blue} blue"
