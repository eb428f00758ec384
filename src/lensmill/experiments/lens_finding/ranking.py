"""A scored population as a table and as a page to look through: the best candidates first.

The page is one HTML file with the pictures inside it: no internet, no scripts, and it opens on any
machine that it is copied to.
"""

import base64
import html
import json
import logging
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lensmill.pipeline import logs, store

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
LARGEST = 128  # a picture has at most so many pixels a side: larger cut-outs are averaged down
SOFTENING = 2.0  # the stretch is linear below so many standard deviations of the sky
FAINTEST_WHITE = 20.0  # standard deviations: what is fainter does not become white, or noise would
PAGE = Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { margin: 1rem; background: #111; color: #ccc; font: 14px/1.4 system-ui, sans-serif }
h1 { font-size: 1.2rem; margin: 0; color: #fff }
p { margin: .3rem 0 .8rem; max-width: 75em }
a { color: #56b4e9 }
summary { cursor: pointer; padding: .4rem 0; color: #fff; border-top: 1px solid #333 }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(136px, 1fr)); gap: 8px }
figure { margin: 0; padding: 3px; border: 2px solid #333; overflow: hidden }
figure.lens, b.lens { border-color: #009e73 }
figure.non-lens, b.non-lens { border-color: #d55e00; border-style: dashed }
b.lens, b.non-lens { border-width: 2px; border-style: solid; padding: 0 .3em; font-weight: normal }
b.non-lens { border-style: dashed }
img { display: block; width: 100%; height: auto }
figcaption { font-size: 12px; overflow-wrap: anywhere }
figcaption b { color: #fff }
figcaption em { color: #e69f00; font-style: normal }
.sheet p { grid-column: 1 / -1; max-width: none; margin: .3rem 0; color: #e69f00 }
.sheet p { border-top: 3px solid #e69f00 }
dl { display: grid; grid-template-columns: max-content auto; gap: 0 .8em; margin: 0 0 .8rem }
dt { color: #e69f00 }
dd { margin: 0; max-width: 65em }
@media print { body { background: #fff; color: #000 } h1, summary, figcaption b { color: #000 } }
</style>
<h1>$title</h1>
<p>$passed</p>
<p>$count images$known, highest score first; the first $shown are shown, all are in
<a href="$table">$table</a>. Under each: rank, score, what to beware of, name; more when the
pointer rests on it. Border: <b class="lens">known lens</b>
<b class="non-lens">known non-lens</b>, grey where nothing is known. Shown: $bands, over the
sky noise of each image; asinh stretch up to its brightest pixels; y up.</p>
$legend$sections</html>
""")


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
    ranked, rows = _ranked(predictions, dataset, settings)
    _write(table, ranked.to_csv(index=False, float_format="%.6g"))
    facts = store.attributes(predictions)
    shown = ranked.head(settings["thumbnails"])
    pixels = store.memmap(dataset, "cutouts", "pixels") if len(shown) else np.empty((0, 1, 1, 1))
    about = store.attributes(dataset)
    facts |= {key: about[key] for key in ("bands", "psf") if key in about}
    facts |= {"snr": settings["snr"], "masked_fraction": settings["masked_fraction"]}
    _write(page, _page(ranked, shown, pixels, rows, facts, Path(table).name))
    log.info("%s: %d images, the first %d with a picture", page, len(ranked), len(shown))


def _ranked(
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
    where = _places(scored["index"], systems["index"], f"{predictions} and {dataset}")

    # Stable, so that equal scores stay in order of index; a logit that is no number comes last.
    is_number = np.isfinite(scored["logit"])
    order = np.lexsort((scored["index"], -np.where(is_number, scored["logit"], -np.inf)))
    rows, is_number = where[order], is_number[order]
    about = {name: values[rows] for name, values in systems.items()}
    names = about.get("name", np.array([str(i) for i in about["index"]], object))
    flags = {
        "not scored": ~is_number,
        "masked": about["masked_fraction"] > settings["masked_fraction"],
        "faint": about["snr"] < settings["snr"],
        "duplicate": _repeated(about["content_hash"]) if "content_hash" in about else None,
    }
    if "resampled" in about:
        flags["resampled"] = about["resampled"] == 1
    facts = store.attributes(predictions)
    # only images that were ingested have it; a network that learned from them knows theirs
    if "psf" in store.attributes(dataset) and facts["train_on"] != facts["population"]:
        flags["foreign-psf"] = np.ones(len(rows), bool)
    flags = {name: given for name, given in flags.items() if given is not None}
    ranked = pd.DataFrame(
        {
            "rank": np.arange(1, len(rows) + 1),
            "index": about["index"],
            "name": names,
            "file": about.get("file", ""),
            "score": scored["score"][order],
            "logit": scored["logit"][order],
            "snr": about["snr"],
            "masked_fraction": about["masked_fraction"],
            "label": np.where(
                about["label_known"] == 1, np.where(about["is_lens"] == 1, "lens", "non-lens"), ""
            ),
            "flags": [
                " ".join(n for n, raised in zip(flags, row, strict=True) if raised)
                for row in np.transpose(list(flags.values()))
            ],
        }
    )
    return ranked, rows


def _places(some: NDArray, all_: NDArray, where: str) -> NDArray:
    """Return the row of each of ``some`` in ``all_``."""
    order = np.argsort(all_)
    found = order[np.minimum(np.searchsorted(all_[order], some), len(all_) - 1)]
    foreign = all_[found] != some
    if foreign.any():
        raise ValueError(
            f"{where} do not belong together: {foreign.sum()} of {len(some)} images that were "
            f"scored are not in the data set (first: index {some[foreign.argmax()]}); score it anew"
        )
    return found


def _repeated(values: NDArray) -> NDArray:
    _, inverse, counts = np.unique(values.astype(str), return_inverse=True, return_counts=True)
    return counts[inverse] > 1


def picture(image: NDArray) -> NDArray:
    """Turn an image into one for the eye: asinh stretch, colours if it has two bands or more.

    Parameters
    ----------
    image : array, shape (height, width, bands)
        Sky-subtracted; bands from blue to red.

    Returns
    -------
    array, shape (height, width) or (height, width, 3)
        uint8, the first row at the top, so y (which grows with the row of ``image``) points up.
        Sky is dark, and the brightest 0.3 % are white if they are 20 standard deviations of the sky
        or more.
    """
    image = _shrunk(np.nan_to_num(np.asarray(image, float), posinf=0.0, neginf=0.0))[::-1]
    image = _coloured(image)
    sky = np.median(image, axis=(0, 1))
    noise = 1.4826 * np.median(np.abs(image - sky), axis=(0, 1))
    noise = np.where(noise > 0, noise, image.std(axis=(0, 1)))
    noise = np.where(noise > 0, noise, 1.0)  # one value everywhere, whatever the unit of flux
    image = (image - sky) / noise  # bands of equal noise: none gives the whole picture its colour

    # One stretch for all colours: the asinh of each band alone would bleach what is bright.
    light = image.mean(axis=2, keepdims=True)
    white = max(np.percentile(light, 99.7), FAINTEST_WHITE)
    low, high = np.arcsinh(np.array([-0.5, white]) / SOFTENING)
    stretched = (np.arcsinh(light / SOFTENING) - low) / (high - low)
    ratio = (image + SOFTENING) / np.maximum(light + SOFTENING, 0.5)
    coloured = np.clip(stretched, 0, None) * np.clip(ratio, 0, 3)
    coloured = coloured / np.maximum(coloured.max(axis=2, keepdims=True), 1.0)
    grey = np.round(255 * coloured).astype(np.uint8)
    return grey[..., 0] if grey.shape[2] == 1 else grey


def _shrunk(image: NDArray) -> NDArray:
    """Average blocks of pixels until the image is small enough; its middle is kept."""
    height, width, bands = image.shape
    block = -(-max(height, width) // LARGEST)
    if block == 1:
        return image
    rows, columns = height // block, width // block
    top, left = (height - rows * block) // 2, (width - columns * block) // 2
    image = image[top : top + rows * block, left : left + columns * block]
    return image.reshape(rows, block, columns, block, bands).mean(axis=(1, 3))


def _coloured(image: NDArray) -> NDArray:
    """Return what is shown red, green and blue; one band stays one."""
    n_bands = image.shape[2]
    if n_bands == 1:
        return image
    if n_bands == 2:
        return np.stack([image[..., 1], image.mean(axis=2), image[..., 0]], axis=2)
    blue = 0 if n_bands == 3 else 1  # the bluest of many bands is mostly noise
    return image[..., [n_bands - 1, (n_bands + blue) // 2, blue]]


def png(grey_or_rgb: NDArray) -> bytes:
    """Encode uint8 pixels, shape (height, width) or (height, width, 3), as PNG."""
    height, width = grey_or_rgb.shape[:2]
    colour_type = 0 if grey_or_rgb.ndim == 2 else 2
    lines = grey_or_rgb.reshape(height, -1)
    # each line is stored as its difference from the line above, which packs better
    filtered = np.diff(lines, axis=0, prepend=np.zeros_like(lines[:1]))
    body = np.hstack([np.full((height, 1), 2, np.uint8), filtered]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(body, 9)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _page(
    ranked: pd.DataFrame,
    shown: pd.DataFrame,
    pixels: NDArray,
    rows: NDArray,
    facts: Mapping[str, Any],
    table: str,
) -> str:
    """Return the page: sections of pictures, the first one open."""
    threshold, origin = _threshold(facts)
    above = int((ranked["logit"] > threshold).sum())
    line = f"<p>Threshold, logit {threshold:.3f}: {_of(above, len(ranked))}.</p>\n"
    sections = []
    starts = range(0, len(shown), PER_SECTION)
    for start in logs.progress(starts, "pictures"):
        part = shown.iloc[start : start + PER_SECTION]
        cards = [_card(row, pixels[rows[row.rank - 1]]) for row in part.itertuples(index=False)]
        # behind the last that passes: at the end of a section only if no picture follows
        if start <= above < start + len(part) or above == len(shown) == start + len(part):
            cards.insert(above - start, line)
        head = (
            f"ranks {part['rank'].iloc[0]} to {part['rank'].iloc[-1]}, "
            f"scores {part['score'].iloc[0]:.3f} to {part['score'].iloc[-1]:.3f}"
        )
        if (part["label"] != "").any():
            head += f", {(part['label'] == 'lens').sum()} known lenses"
        sections.append(
            f"<details{' open' if start == 0 else ''}><summary>{head}</summary>"
            f"<div class=sheet>\n{''.join(cards)}</div></details>\n"
        )
    labels = ranked["label"].value_counts()
    known = " and ".join(
        f"{labels[label]} known {plural}"
        for label, plural in (("lens", "lenses"), ("non-lens", "non-lenses"))
        if label in labels
    )
    passed = f"<b>{_of(above, len(ranked)).capitalize()}</b> the threshold of logit {threshold:.3f}"
    if above > len(shown):
        passed += ", also those that are not shown"
    return PAGE.substitute(
        title=html.escape(f"{facts['population']} ranked by {facts['network']}"),
        passed=f"{passed} ({html.escape(origin)}).",
        count=len(ranked),
        known=f" ({known})" if known else "",
        shown=len(shown),
        bands=html.escape(_bands(json.loads(facts["bands"]))),
        legend=_legend(ranked["flags"], facts),
        table=html.escape(table),
        sections="".join(sections),
    )


def _threshold(facts: Mapping[str, Any]) -> tuple[float, str]:
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


def _of(above: int, count: int) -> str:
    """Say how many pass: ``none of 50 passes``, ``3 of 50 pass``."""
    return f"{above or 'none'} of {count} {'passes' if above < 2 else 'pass'}"


def _legend(flags: pd.Series, facts: Mapping[str, Any]) -> str:
    """Explain the flags that occur, with how many images have each."""
    counts = {flag: int(flags.str.contains(flag, regex=False).sum()) for flag in FLAGS}
    rows = [
        f"<dt>{flag} ({count})</dt><dd>{html.escape(FLAGS[flag].format(**facts))}</dd>\n"
        for flag, count in counts.items()
        if count
    ]
    return f"<dl>\n{''.join(rows)}</dl>\n" if rows else ""


def _bands(bands: list[str]) -> str:
    """Say in words what is shown."""
    if len(bands) == 1:
        return f"band {bands[0]}"
    if len(bands) == 2:
        return f"{bands[1]} red, {bands[0]} blue, their mean green"
    number = np.arange(len(bands)).reshape(1, 1, -1)
    red, green, blue = (bands[int(i)] for i in _coloured(number)[0, 0])
    return f"{red} red, {green} green, {blue} blue"


def _card(row: Any, image: NDArray) -> str:
    """Return one picture with what is known about it."""
    source = base64.b64encode(png(picture(image))).decode()
    name, flags = html.escape(str(row.name)), html.escape(row.flags)
    about = html.escape(
        f"{row.name} {row.file}\nlogit {row.logit:.3f}, S/N {row.snr:.1f}, "
        f"masked {row.masked_fraction:.1%}",
        quote=True,
    )
    warning = f" <em>{flags}</em>" if flags else ""
    return (
        f'<figure class="{row.label or "unknown"}" title="{about}">'
        f'<img loading=lazy decoding=async alt="" src="data:image/png;base64,{source}">'
        f"<figcaption><b>{row.rank}</b> {row.score:.3f}{warning}<br>{name}</figcaption></figure>\n"
    )


def _write(path: str | Path, text: str) -> None:
    """Write text that appears under its name only when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part.{path.name}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
