"""A ranked table and a page of pictures of a scored population."""

import base64
import io
import json
import re

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from lensmill.experiments.lens_finding import ranking
from lensmill.pipeline import store
from lensmill.plotting.pictures import picture

SETTINGS = {"thumbnails": 5, "masked_fraction": 0.1, "snr": 5.0}


def population(folder, n=8, bands=("g", "r", "i"), logit=None, scored=None, facts=(), **changes):
    """Write a data set of random images and their predictions; return their paths."""
    rng = np.random.default_rng(3)
    index = np.arange(100, 100 + n)
    systems = {
        "index": index,
        "name": np.array([f"J{i}<b>" for i in index], object),
        "file": np.array([f"folder/{i}.fits" for i in index], object),
        "content_hash": np.array([f"hash{i}" for i in index], object),
        "is_lens": (index % 2).astype(np.uint8),
        "label_known": np.ones(n, np.uint8),
        "snr": np.full(n, 20.0),
        "masked_fraction": np.zeros(n),
        **changes,
    }
    pixels = rng.normal(size=(n, 9, 7, len(bands))).astype(np.float32)
    cutouts = {"system": changes.get("system", index), "pixels": pixels}
    systems.pop("system", None)
    tables = {"systems": systems, "cutouts": cutouts}
    facts = {"network": "p4m", "population": "sky", "train_on": "mocks"} | dict(facts)
    facts = {"threshold": np.nan, "threshold_from": ""} | facts
    named = {"bands": json.dumps(list(bands))}
    named |= {"psf": facts.pop("psf")} if "psf" in facts else {}
    _write(folder / "dataset.h5", tables, named)

    scored = index if scored is None else np.asarray(scored)
    logit = rng.normal(size=len(scored)) if logit is None else np.asarray(logit, float)
    columns = {"index": scored, "logit": logit, "score": 1 / (1 + np.exp(-logit))}
    _write(folder / "predictions.h5", {"systems": columns}, facts)
    return folder / "predictions.h5", folder / "dataset.h5"


def _write(path, tables, facts):
    units = {name: dict.fromkeys(columns, "") for name, columns in tables.items()}
    store.write(path, tables, units, facts)


def ranked(folder, **options):
    """Rank such a population; return the table and the text of the page."""
    table, page = folder / "ranked.csv", folder / "ranked.html"
    ranking.rank(*population(folder, **options), table, page, SETTINGS)
    return pd.read_csv(table, keep_default_na=False), page.read_text()


def pictures(page):
    """Decode the pictures of a page."""
    found = re.findall(r"data:image/png;base64,([^\"]+)", page)
    return [matplotlib.image.imread(io.BytesIO(base64.b64decode(f))) for f in found]


def test_the_table_falls_from_the_highest_logit_to_the_lowest(tmp_path):
    logit = [0.5, 3.0, -1.0, 3.0, 9.0, -40.0, 40.0, 41.0]
    table, _ = ranked(tmp_path, logit=logit)
    # two scores of 1.0 to the last digit are told apart by their logits; a tie goes by index
    assert table["index"].tolist() == [107, 106, 104, 101, 103, 100, 102, 105]
    assert table["rank"].tolist() == list(range(1, 9))


def test_names_and_labels_stay_with_their_index_when_only_some_are_scored(tmp_path):
    table, _ = ranked(tmp_path, scored=[107, 101, 104], logit=[1.0, 3.0, 2.0])
    assert table["name"].tolist() == ["J101<b>", "J104<b>", "J107<b>"]
    assert table["file"].tolist() == ["folder/101.fits", "folder/104.fits", "folder/107.fits"]
    assert table["label"].tolist() == ["lens", "non-lens", "lens"]


def test_a_label_that_is_not_known_is_left_empty(tmp_path):
    table, page = ranked(tmp_path, label_known=np.zeros(8, np.uint8))
    assert set(table["label"]) == {""}
    assert page.count('<figure class="unknown"') == 5
    assert "known lenses" not in page


def test_flags_say_what_to_beware_of(tmp_path):
    hashes = np.array(list("abcdefga"), object)
    table, page = ranked(
        tmp_path,
        logit=[8, 7, 6, 5, np.nan, 3, 2, 1],
        content_hash=hashes,
        snr=np.array([20, 4, 20, 4, 20, 20, 20, 20.0]),
        masked_fraction=np.array([0, 0, 0.2, 0.2, 0, 0, 0, 0.0]),
    )
    flags = dict(zip(table["index"], table["flags"], strict=True))
    assert flags == {
        100: "duplicate",
        101: "faint",
        102: "masked",
        103: "masked faint",
        104: "not scored",
        105: "",
        106: "",
        107: "duplicate",
    }
    assert table["index"].iloc[-1] == 104
    assert "<em>masked faint</em>" in page


OWN = {"threshold": 2.0, "threshold_from": "own"}


def pieces(page):
    """Return ranks and the line of the threshold in the order of the page."""
    return re.findall(r"<figcaption><b>(\d+)|<p>(Threshold)", page)


def test_a_line_lies_between_what_passes_the_threshold_and_what_does_not(tmp_path):
    logit = [2.0, 9.0, 3.0, -1.0, 1.0, 0.0, 2.5, -4.0]
    _, page = ranked(tmp_path, logit=logit, facts=OWN)
    # at the threshold is not above it
    assert [rank or "line" for rank, _ in pieces(page)] == ["1", "2", "3", "line", "4", "5"]
    assert "<b>3 of 8 pass</b> the threshold of logit 2.000" in page
    assert "1 % of the known non-lenses of the population sky itself" in page


def test_the_page_says_that_none_passes(tmp_path):
    facts = {"threshold": 5.0, "threshold_from": "reference"}
    _, page = ranked(tmp_path, logit=[1.0, np.nan, 0, 2, 3, 4, 4, 5], facts=facts)
    assert pieces(page)[0] == ("", "Threshold")
    assert "<b>None of 8 passes</b>" in page
    assert "test part of mocks, where the network learned" in page


def test_where_all_that_is_shown_passes_the_line_is_last_or_not_on_the_page(tmp_path):
    _, page = ranked(tmp_path, logit=[9, 8, 7, 6, 5, 1, 0, 0.5], facts=OWN)
    assert pieces(page)[-1] == ("", "Threshold")
    _, page = ranked(tmp_path, logit=[9, 8, 7, 6, 5, 4, 0, 0.5], facts=OWN)
    assert ("", "Threshold") not in pieces(page)
    assert "<b>6 of 8 pass</b> the threshold of logit 2.000, also those that are not shown" in page


def test_without_a_threshold_the_line_is_at_a_probability_of_one_half(tmp_path):
    _, page = ranked(tmp_path, logit=[1, -1, -2, -3, -4, -5, -6, -7])
    assert [rank or "line" for rank, _ in pieces(page)][:2] == ["1", "line"]
    assert "<b>1 of 8 passes</b> the threshold of logit 0.000 (a probability of 1/2" in page


def test_the_line_is_drawn_once_where_sections_meet(tmp_path):
    n = 2 * ranking.PER_SECTION
    logit = np.where(np.arange(n) < ranking.PER_SECTION, 3.0, 1.0)
    paths = population(tmp_path, n=n, logit=logit, facts=OWN)
    ranking.rank(*paths, tmp_path / "t.csv", tmp_path / "p.html", SETTINGS | {"thumbnails": n})
    found = [rank or "line" for rank, _ in pieces((tmp_path / "p.html").read_text())]
    assert found.count("line") == 1
    assert found.index("line") == ranking.PER_SECTION


PSF = "that of the survey <b>; native pixels 0.04 to 0.05 arcsec"


def test_resampled_images_and_foreign_point_spread_functions_are_flagged(tmp_path):
    resampled = (np.arange(8) == 2).astype(np.uint8)
    table, page = ranked(tmp_path, resampled=resampled, facts={"psf": PSF})
    flags = dict(zip(table["index"], table["flags"], strict=True))
    assert flags[102] == "resampled foreign-psf"
    assert {flag for index, flag in flags.items() if index != 102} == {"foreign-psf"}
    assert "<dt>resampled (1)</dt>" in page
    assert "<dt>foreign-psf (8)</dt>" in page
    assert "theirs is that of the survey &lt;b&gt;; native pixels 0.04 to 0.05 arcsec" in page
    assert "<dt>faint" not in page


def test_images_that_the_network_learned_from_have_no_foreign_psf(tmp_path):
    table, page = ranked(tmp_path, facts={"psf": PSF, "train_on": "sky"})
    assert set(table["flags"]) == {""}
    assert "<dl>" not in page


def test_simulated_systems_are_named_by_their_index(tmp_path):
    paths = population(tmp_path)
    systems = store.read(paths[1], "systems")
    simulated = {k: v for k, v in systems.items() if k not in ("name", "file", "content_hash")}
    tables = {"systems": simulated, "cutouts": store.read(paths[1], "cutouts")}
    _write(paths[1], tables, {"bands": store.attributes(paths[1])["bands"]})
    ranking.rank(*paths, tmp_path / "t.csv", tmp_path / "p.html", SETTINGS)
    table = pd.read_csv(tmp_path / "t.csv")
    assert (table["name"] == table["index"]).all()


def test_the_page_shows_the_first_images_and_no_more(tmp_path):
    table, page = ranked(tmp_path)
    shown = re.findall(r"<figcaption><b>(\d+)</b> ([0-9.]+)", page)
    assert [int(rank) for rank, _ in shown] == [1, 2, 3, 4, 5]
    assert [float(s) for _, s in shown] == pytest.approx(table["score"][:5], abs=6e-4)
    assert len(pictures(page)) == 5
    assert "8 images" in page


def test_the_page_needs_nothing_from_elsewhere(tmp_path):
    _, page = ranked(tmp_path)
    assert not re.search(r"<script|http|@import|<link|url\(", page)
    assert set(re.findall(r"src=\"([^:]+):", page)) == {"data"}


def test_a_name_cannot_break_the_page(tmp_path):
    _, page = ranked(tmp_path)
    assert "J100&lt;b&gt;" in page
    assert "J100<b>" not in page


def test_sections_hold_a_number_of_pictures_that_a_browser_bears(tmp_path):
    paths = population(tmp_path, n=2 * ranking.PER_SECTION + 1)
    settings = {**SETTINGS, "thumbnails": 10000}
    ranking.rank(*paths, tmp_path / "t.csv", tmp_path / "p.html", settings)
    sections = (tmp_path / "p.html").read_text().split("<details")[1:]
    assert [s.count("<figure") for s in sections] == [ranking.PER_SECTION] * 2 + [1]
    assert [s.startswith(" open") for s in sections] == [True, False, False]


def test_images_in_another_order_than_the_systems_are_refused(tmp_path):
    paths = population(tmp_path, system=np.roll(np.arange(100, 108), 1))
    with pytest.raises(ValueError, match="does not follow systems/index"):
        ranking.rank(*paths, tmp_path / "t.csv", tmp_path / "p.html", SETTINGS)


def test_scores_of_other_images_are_refused(tmp_path):
    paths = population(tmp_path, scored=[103, 555])
    with pytest.raises(ValueError, match=r"1 of 2 images .* index 555"):
        ranking.rank(*paths, tmp_path / "t.csv", tmp_path / "p.html", SETTINGS)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5])
def test_png_holds_the_pixels_of_the_picture(bands):
    rng = np.random.default_rng(1)
    grey_or_rgb = picture(rng.normal(size=(6, 5, bands)))
    assert grey_or_rgb.shape == ((6, 5) if bands == 1 else (6, 5, 3))
    read = matplotlib.image.imread(io.BytesIO(ranking.png(grey_or_rgb)))
    assert np.array_equal(np.round(255 * read).astype(np.uint8), grey_or_rgb)


def test_y_points_up_and_x_to_the_right():
    image = np.random.default_rng(1).normal(size=(21, 15, 1))
    image[2, 12] = 500.0  # low y, high x
    assert np.unravel_index(picture(image).argmax(), (21, 15)) == (18, 12)


def test_the_red_band_is_shown_red():
    image = np.random.default_rng(1).normal(size=(21, 15, 3))
    image[10, 7] = [0, 0, 100.0]  # g, r, i
    red, green, blue = (int(c) for c in picture(image)[10, 7])
    assert red > 200
    assert max(green, blue) < 60
    assert ranking._bands(["g", "r", "i"]) == "i red, r green, g blue"
    assert ranking._bands(["u", "g", "r", "i"]) == "i red, r green, g blue"


def test_a_picture_does_not_depend_on_the_unit_of_the_image():
    image = np.random.default_rng(1).gamma(0.5, size=(30, 30, 3))
    assert np.array_equal(picture(image), picture(2.0**30 * image))


def test_noise_alone_is_not_stretched_to_white():
    assert picture(np.random.default_rng(1).normal(size=(50, 50, 1))).max() < 200


def test_broken_and_empty_images_have_a_picture():
    for value in (0.0, 7.0, np.nan, np.inf):
        assert np.isfinite(picture(np.full((5, 5, 3), value))).all()


def test_large_cutouts_are_averaged_down():
    image = np.random.default_rng(1).normal(size=(401, 300, 1))
    assert picture(image).shape == (100, 75)


def test_a_picture_of_a_few_lit_pixels_does_not_depend_on_the_unit_either():
    image = np.zeros((21, 15, 1))
    image[8:12, 5:9] = 3.0  # more than half has one value: the noise is that of all pixels
    expected = picture(image)
    assert expected.max() > expected.min()
    for unit in (1e-40, 1e-31, 1e20):
        assert np.array_equal(picture(image * unit), expected)


def test_names_that_are_numbers_stand_in_the_table_as_they_are(tmp_path):
    names = np.array(["43158176442354198", "43158176442354199", "000120", "1e0"], object)
    ranked(tmp_path, n=4, name=names)
    table = pd.read_csv(tmp_path / "ranked.csv", dtype=str)
    assert sorted(table["name"]) == sorted(names)


def test_the_table_opens_without_options_and_what_is_not_known_is_missing(tmp_path):
    ranked(tmp_path, n=4, label_known=np.zeros(4, np.uint8), logit=[1.0, np.nan, 2.0, 0.5])
    table = pd.read_csv(tmp_path / "ranked.csv")
    assert table["label"].isna().all()
    assert table["score"].isna().tolist() == [False, False, False, True]
