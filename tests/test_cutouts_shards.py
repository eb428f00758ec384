"""A survey read in shards is the survey read at once, whatever the number of shards."""

import csv
import json
import shutil
import tracemalloc

import numpy as np
import pytest
from astropy.io import fits
from ingested import complete

from lensmill.cutouts import ingest as cutouts
from lensmill.cutouts import shards
from lensmill.pipeline import store

SIZE = 24
OBSERVATION = {"pixel_scale": 0.1, "size": SIZE, "bands": ["VIS"]}
ABOUT = {"population": "mine", "experiment": "lens_finding", "code": "one"}
IMAGES = 23


def galaxy(seed):
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    light = np.exp(-(axis[:, None] ** 2 + axis**2) / 18)
    noise = np.random.default_rng(seed).normal(5.0, 1.0, (SIZE, SIZE))
    return (noise + 2000 * light / light.sum()).astype(np.float32)


@pytest.fixture
def survey(tmp_path):
    """Return a table of 23 images: three cannot be used, two are one, one has no redshift."""
    folder = tmp_path / "survey"
    folder.mkdir()
    rows = ["name,VIS,label,z,ra,tile,mixed"]
    for i in range(IMAGES):
        hdu = fits.PrimaryHDU(galaxy(i))
        hdu.header["PIXSCALE"] = 0.1 if i % 4 else 0.12
        hdu.writeto(folder / f"{i}.fits")
        z = "" if i == 13 else f"0.{i + 1}"
        mixed = "north" if i == 20 else i  # a number in all shards but one
        rows.append(f"o{i},{i}.fits,{i % 2},{z},{i}.5,{i // 5},{mixed}")
    (folder / "4.fits").write_bytes((folder / "4.fits").read_bytes()[:3000])
    (folder / "9.fits").unlink()
    (folder / "22.fits").write_text("no image")
    shutil.copy(folder / "3.fits", folder / "17.fits")
    (folder / "images.csv").write_text("\n".join(rows))
    return folder / "images.csv"


def settings_of(**more):
    given = {"format": "table", "group": "tile", "observation": OBSERVATION}
    return complete(given | more)


def ingest_in_shards(source, folder, settings, size, columns=None, number=None):
    number = number or -(-IMAGES // size)
    shards.plan(source, folder / "candidates", settings, size, number)
    paths = []
    for k in range(number):
        paths.append(folder / f"{k:05d}.h5")
        candidates = folder / f"candidates/{k:05d}.json"
        shards.ingest(candidates, paths[-1], settings=settings, columns=columns, **ABOUT)
    return paths


def merged(source, folder, settings, size, **more):
    paths = ingest_in_shards(source, folder, settings, size, more.get("columns"))
    shards.merge(paths, folder / "dataset.h5", source, settings=settings, **ABOUT, **more)
    return folder / "dataset.h5"


FACTS = ("content_digest", "candidates", "used", "refused", "psf", "reasons", "bands", "settings")


@pytest.mark.parametrize("size", [1, 4, 10, 100])
def test_the_data_do_not_depend_on_the_shards(survey, tmp_path, size):
    settings = settings_of()
    whole = tmp_path / "whole.h5"
    cutouts.ingest(survey, whole, "mine", "lens_finding", settings)
    joined = merged(survey, tmp_path, settings, size)
    facts, expected = store.attributes(joined), store.attributes(whole)
    assert {key: facts[key] for key in FACTS} == {key: expected[key] for key in FACTS}
    assert facts["candidates"] == IMAGES == facts["used"] + 3
    assert store.units(joined) == store.units(whole)
    systems = store.read(joined, "systems")
    assert systems["mixed"].tolist()[:3] == ["0", "1", "2"]
    assert systems["z_known"].sum() == 19


@pytest.mark.parametrize("place", ["centre", "corners"])
def test_columns_that_are_asked_for_and_corners_are_those_of_one_job(survey, tmp_path, place):
    settings, columns = settings_of(place=place), {"z": ""}
    if place == "corners":
        settings["observation"] = OBSERVATION | {"size": 10}
    whole = tmp_path / "whole.h5"
    cutouts.ingest(survey, whole, "mine", "lens_finding", settings, columns)
    joined = merged(survey, tmp_path, settings, 5, columns=columns)
    facts, expected = store.attributes(joined), store.attributes(whole)
    assert facts["content_digest"] == expected["content_digest"]
    assert facts["used"] == (20 if place == "centre" else 80)


def test_what_comes_later_changes_no_full_shard(survey, tmp_path):
    settings = settings_of()
    paths = ingest_in_shards(survey, tmp_path, settings, 8)
    plans = [(tmp_path / f"candidates/{k:05d}.json").read_bytes() for k in range(3)]
    text = survey.read_text()
    survey.write_text(text + "\n" + "\n".join(f"n{i},{i}.fits,0,0.1,1.5,9,7" for i in range(9)))
    shards.plan(survey, tmp_path / "candidates", settings, 8, 4)
    again = [(tmp_path / f"candidates/{k:05d}.json").read_bytes() for k in range(4)]
    assert again[:2] == plans[:2] and again[2] != plans[2]
    assert len(json.loads(again[3])["candidates"]) == 8
    assert len(paths) == 3


def test_a_plan_holds_one_shard_in_memory_and_still_finds_names_that_stand_twice(tmp_path):
    rows = 20_000
    text = "".join(f"o{i if i != 19_000 else 7},{i}\n" for i in range(rows))
    (tmp_path / "images.csv").write_text(f"name,row\n{text}")
    settings = settings_of(files="stack.h5[{band}][{row}]", group=None)
    peaks = []
    for size in (200, rows):
        tracemalloc.start()
        shards.plan(tmp_path / "images.csv", tmp_path / f"{size}", settings, size, rows // size)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < peaks[1] / 5
    (one,) = (tmp_path / f"{rows}").iterdir()
    whole = json.loads(one.read_text())["candidates"]
    parts = [json.loads(path.read_text()) for path in sorted((tmp_path / "200").iterdir())]
    assert [c for part in parts for c in part["candidates"]] == whole
    assert [i for i, candidate in enumerate(whole) if "its name stands" in str(candidate)] == [
        7,
        19_000,
    ]


def test_a_shard_without_a_usable_image_costs_only_itself(survey, tmp_path):
    settings = settings_of()
    for i in range(5, 10):
        (survey.parent / f"{i}.fits").unlink(missing_ok=True)
    joined = merged(survey, tmp_path, settings, 5)
    whole = tmp_path / "whole.h5"
    cutouts.ingest(survey, whole, "mine", "lens_finding", settings)
    facts, expected = store.attributes(joined), store.attributes(whole)
    assert facts["content_digest"] == expected["content_digest"]
    assert facts["refused"] == 7


def test_shards_that_are_kept_have_an_index_and_copies_are_named(survey, tmp_path):
    settings = settings_of()
    # more shards than images fill: the last ones are empty
    paths = ingest_in_shards(survey, tmp_path, settings, 6, number=6)
    files = tmp_path / "index.json", tmp_path / "copies.csv"
    shards.index(paths, *files, settings=settings, **ABOUT)
    text = json.loads(files[0].read_text())
    assert (text["candidates"], text["used"], text["refused"], text["copies"]) == (23, 20, 3, 1)
    assert [s["used"] for s in text["shards"]] == [5, 5, 6, 4, 0, 0]
    assert [s["first"] for s in text["shards"]] == [0, 5, 10, 16, 20, 20]
    assert sum(text["reasons"].values()) == 3
    head, *rows = csv.reader(files[1].open())
    assert tuple(head) == shards.COPIES
    assert rows == [["00002.h5", "15", "o17", "17.fits", "00000.h5", "3", "o3", "3.fits"]]


def test_a_damaged_or_foreign_shard_is_named_with_what_to_do(survey, tmp_path):
    settings = settings_of()
    paths = ingest_in_shards(survey, tmp_path, settings, 8)
    output = tmp_path / "dataset.h5"

    def join(about=ABOUT, given=settings):
        shards.merge(paths, output, survey, settings=given, **about)

    with pytest.raises(ValueError, match=r"00000\.h5 belongs elsewhere: its code is 'one'"):
        join(ABOUT | {"code": "two"})
    with pytest.raises(ValueError, match=r"00000\.h5 belongs elsewhere: its settings"):
        join(given=settings_of(fill="sky"))
    good = paths[1].read_bytes()
    place = good.index(store.read(paths[1], "cutouts")["pixels"].tobytes()[:64])
    paths[1].write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
    with pytest.raises(ValueError, match=r"00001\.h5 is damaged.*only that shard is made anew"):
        join()
    paths[1].write_bytes(good[:1000])
    with pytest.raises(ValueError, match=r"00001\.h5 cannot be read"):
        join()
    paths[1].unlink()
    with pytest.raises(ValueError, match=r"00001\.h5 is missing; run again"):
        join()
    assert not output.exists()
    paths[1].write_bytes(good)
    join()
    assert store.attributes(output)["used"] == 20


def test_if_nothing_can_be_used_that_is_said(survey, tmp_path):
    settings = settings_of(min_snr=1e9)
    paths = ingest_in_shards(survey, tmp_path, settings, 8)
    with pytest.raises(ValueError, match="none of 23 candidates can be used"):
        shards.merge(paths, tmp_path / "dataset.h5", survey, settings=settings, **ABOUT)
    with pytest.raises(ValueError, match="none of 23 candidates can be used"):
        index = tmp_path / "index.json", tmp_path / "copies.csv"
        shards.index(paths, *index, settings=settings, **ABOUT)
