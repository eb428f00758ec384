"""A survey in shards is scored and ranked as if it were one."""

import json
import re

import numpy as np
import onnx
import pandas as pd
import pytest
from astropy.io import fits
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from lensmill import experiments
from lensmill.cutouts import shards
from lensmill.experiments.lens_finding import ranking, survey
from lensmill.pipeline import store

SIZE, IMAGES = 16, 11
ABOUT = {"population": "sky", "experiment": "lens_finding", "code": "one"}
SETTINGS = {"thumbnails": 4, "masked_fraction": 0.1, "snr": 5.0}


def write_network(path, kind):
    """Write a network as ONNX whose logit is the mean of the pixels, or their maximum."""
    pixels = make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, ["n", SIZE, SIZE, 1])
    logit = make_tensor_value_info("logit", onnx.TensorProto.FLOAT, ["n", 1])
    node = make_node(kind, ["pixels"], ["number"], axes=[1, 2, 3], keepdims=1)
    flat = make_node("Flatten", ["number"], ["logit"])
    graph = make_graph([node, flat], "number", [pixels], [logit])
    onnx.save(make_model(graph, opset_imports=[make_opsetid("", 13)], ir_version=8), path)


@pytest.fixture
def network(tmp_path):
    """Return a network as ONNX whose logit is the mean pixel, and the record of its training."""
    write_network(tmp_path / "model.onnx", "ReduceMean")
    record = {"population": "mocks", "shape": [SIZE, SIZE, 1]}
    (tmp_path / "training.json").write_text(json.dumps(record))
    return str(tmp_path / "model.onnx"), str(tmp_path / "training.json")


@pytest.fixture
def images(tmp_path):
    """Return a folder of eleven galaxies, the last one a copy and the third no image."""
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    light = np.exp(-(axis[:, None] ** 2 + axis**2) / 8)
    folder = tmp_path / "cut-outs"
    folder.mkdir()
    for i in range(IMAGES):
        rng = np.random.default_rng(i if i < IMAGES - 1 else 0)
        pixels = rng.normal(0, 1, (SIZE, SIZE)) + rng.uniform(50, 500) * light
        fits.PrimaryHDU(pixels.astype(np.float32)).writeto(folder / f"{i:02d}.fits")
    (folder / "02.fits").write_text("no image")
    return folder


@pytest.fixture
def first_stage(tmp_path):
    """Return a network that looks first, for the brightest pixel, and its threshold."""
    write_network(tmp_path / "first.onnx", "ReduceMax")
    (tmp_path / "first_stage.json").write_text(json.dumps({"threshold": 150.0, "limit": 30.0}))
    return str(tmp_path / "first.onnx"), str(tmp_path / "first_stage.json")


def survey_of(images, network, folder, size, first_stage=()):
    """Ingest and score in shards; return their files and the list of copies."""
    observation = {"pixel_scale": 0.1, "size": SIZE, "bands": ["VIS"]}
    given = {"ingest": "", "format": "classes", "pixel_scale": 0.1, "observation": observation}
    settings = experiments.population_settings("lens_finding", given)
    number = -(-IMAGES // size)
    shards.plan(images, folder / "candidates", settings, size, number)
    data = [folder / f"{k:05d}.h5" for k in range(number)]
    scores = [folder / f"scores/{k:05d}.h5" for k in range(number)]
    for k, (path, output) in enumerate(zip(data, scores, strict=True)):
        shards.ingest(folder / f"candidates/{k:05d}.json", path, settings=settings, **ABOUT)
        survey.score_shard(str(path), *network, str(output), "mean", "sky", *first_stage)
    shards.index(data, folder / "index.json", folder / "copies.csv", settings=settings, **ABOUT)
    return [*map(str, data)], [*map(str, scores)], str(folder / "copies.csv")


def ranked(files, folder, reference=None, settings=SETTINGS):
    output = folder / "survey.parquet", folder / "survey.html"
    survey.rank(*files, reference, *map(str, output), settings)
    return pd.read_parquet(output[0]), output[1].read_text()


@pytest.mark.parametrize("size", [1, 4, 100])
def test_the_ranking_does_not_depend_on_the_shards(images, network, tmp_path, size, monkeypatch):
    whole, page = ranked(survey_of(images, network, tmp_path / "whole", IMAGES), tmp_path)
    monkeypatch.setattr(survey, "AT_A_TIME", 3)
    parts, other = ranked(survey_of(images, network, tmp_path / "parts", size), tmp_path)
    kept = [name for name in whole if name not in ("shard", "row")]
    pd.testing.assert_frame_equal(parts[kept], whole[kept])
    assert whole["rank"].tolist() == [*range(1, IMAGES)]
    assert (np.diff(whole["logit"]) <= 0).all()
    assert sorted(whole["index"]) == [*range(IMAGES - 1)]
    assert re.findall('base64,[^"]+', other) == re.findall('base64,[^"]+', page)
    assert page.count("base64,") == SETTINGS["thumbnails"]
    twins = whole[whole["flags"].str.contains("duplicate")]
    assert sorted(twins["file"]) == ["00.fits", "10.fits"]
    assert np.diff(twins["rank"]).tolist() == [1]
    assert "10 images" in page and "foreign-psf (10)" in page


def test_rows_lead_to_the_images_that_were_scored(images, network, tmp_path):
    table, _ = ranked(survey_of(images, network, tmp_path, 3), tmp_path)
    for line in table.itertuples():
        pixels = store.memmap(tmp_path / line.shard, "cutouts", "pixels")[line.row]
        assert line.logit == pytest.approx(pixels.mean(), rel=1e-5)
        assert store.read(tmp_path / line.shard, "systems")["file"][line.row] == line.file
        assert line.score == pytest.approx(1 / (1 + np.exp(-line.logit)))


def test_a_logit_that_is_no_number_comes_last_and_the_threshold_is_that_of_the_mocks(
    images, network, tmp_path
):
    files = survey_of(images, network, tmp_path, 6)
    systems = store.read(files[1][0], "systems")
    systems["logit"][1] = np.nan
    store.extend(
        files[1][0],
        tmp_path / "changed.h5",
        columns={"systems": {"logit": systems["logit"]}},
        units={"systems": {"logit": ""}},
    )
    files[1][0] = str(tmp_path / "changed.h5")
    limit = float(np.sort(store.read(files[1][1], "systems")["logit"])[-1])
    (tmp_path / "scores.json").write_text(json.dumps({"threshold_fpr_1e-2": limit}))
    table, page = ranked(files, tmp_path, tmp_path / "scores.json")
    assert table["file"].iloc[-1] == systems["file"][1]
    assert "not scored" in table["flags"].iloc[-1]
    above = int((table["logit"] > limit).sum())
    assert f"{above or 'None'} of 10 pass" in page and "of the test part of mocks" in page
    assert set(ranking.FLAGS) >= {f for text in table["flags"] for f in re.split(" (?!s)", text)}


def test_scores_of_other_images_and_images_of_another_size_are_refused(images, network, tmp_path):
    data, scores, copies = survey_of(images, network, tmp_path, 6)
    with pytest.raises(ValueError, match=r"are not the scores of .*00000\.h5; delete them"):
        ranked((data, scores[::-1], copies), tmp_path)
    record = {"population": "mocks", "shape": [SIZE + 1, SIZE, 1]}
    (tmp_path / "training.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"takes \(17, 16, 1\); bring the population"):
        survey.score_shard(data[0], *network, str(tmp_path / "x.h5"), "mean", "sky")


@pytest.mark.parametrize("size", [1, 4, IMAGES])
def test_what_the_first_stage_passes_is_ranked_as_by_the_full_network_alone(
    images, network, first_stage, tmp_path, size
):
    alone, _ = ranked(survey_of(images, network, tmp_path / "alone", IMAGES), tmp_path)
    files = survey_of(images, network, tmp_path / "staged", size, first_stage)
    table, _ = ranked(files, tmp_path)
    assert "stage" not in alone
    brightest = {
        line.index: store.memmap(tmp_path / "staged" / line.shard, "cutouts", "pixels")[
            line.row
        ].max()
        for line in table.itertuples(index=False)
    }
    passed = table[table["stage"] == survey.FULL]
    assert sorted(passed["index"]) == sorted(i for i, x in brightest.items() if x >= 150)
    assert 2 < len(passed) < len(table) - 2
    kept = alone[alone["index"].isin(passed["index"])]
    assert passed["index"].tolist() == kept["index"].tolist()
    assert passed["logit"].tolist() == kept["logit"].tolist()
    rejected = table[table["stage"] == survey.FIRST]
    assert (rejected["logit"] < 30.0).all()
    wanted = [brightest[i] + 30.0 - 150.0 for i in rejected["index"]]
    assert rejected["logit"].tolist() == pytest.approx(wanted)
    assert (np.diff(table["logit"]) <= 0).all() and (np.diff(rejected["logit"]) <= 0).all()


def test_an_image_of_which_the_first_stage_says_no_number_is_passed_on(
    images, network, first_stage, tmp_path
):
    data, _, _ = survey_of(images, network, tmp_path, IMAGES)
    pixels = np.array(store.memmap(data[0], "cutouts", "pixels"))
    faint = int(pixels.max(axis=(1, 2, 3)).argmin())
    pixels[faint, 0, 0] = np.nan
    columns = {"cutouts": {"pixels": pixels}}
    store.extend(data[0], tmp_path / "nan.h5", {}, columns, {"cutouts": {"pixels": ""}})
    output = str(tmp_path / "nan_scores.h5")
    survey.score_shard(str(tmp_path / "nan.h5"), *network, output, "mean", "sky", *first_stage)
    systems = store.read(output, "systems")
    assert systems["stage"][faint] == survey.FULL and np.isnan(systems["logit"][faint])


def test_shards_that_were_scored_in_other_ways_are_not_ranked_together(
    images, network, first_stage, tmp_path
):
    data, scores, copies = survey_of(images, network, tmp_path, 6)
    survey.score_shard(data[1], *network, scores[1], "mean", "sky", *first_stage)
    with pytest.raises(ValueError, match="with one first stage, or one without any; delete"):
        ranked((data, scores, copies), tmp_path)


def test_a_first_stage_loses_no_more_than_it_may():
    rng = np.random.default_rng(4)
    full = rng.normal(0, 3, 20000)
    first = full + rng.normal(0, 1, full.size)
    validated, non_lens = np.arange(full.size) % 2 == 0, full < 1
    for lost in (0.002, 0.05):
        found = survey.set_first_stage(first, full, validated, non_lens, 2.0, lost)
        above = first[validated & (full > 2)]
        assert found["above"] == above.size and found["images"] == 10000
        assert found["rejected"] == (above < found["threshold"]).sum() == int(lost * above.size)
        others = first[validated & non_lens]
        assert found["passed"] == np.mean(others >= found["threshold"])
        assert 0.01 < found["passed"] < 0.3
        other = np.where(validated, first, rng.normal(0, 9, full.size))
        assert survey.set_first_stage(other, full, validated, non_lens, 2.0, lost) == found


def test_a_first_stage_that_nothing_could_set_is_refused():
    logits = np.linspace(-5, 5, 100)
    everywhere = np.ones(100, bool)
    with pytest.raises(ValueError, match=r"50 images .* that loses 0.01 of them: 100 are needed"):
        survey.set_first_stage(logits, logits, everywhere, logits < 0, 0.0, 0.01)
    assert (
        survey.set_first_stage(logits, logits, everywhere, logits < 0, 0.0, 0.02)["rejected"] == 1
    )
    with pytest.raises(ValueError, match=r"has no threshold .* needs 100 non-lenses"):
        survey.set_first_stage(logits, logits, everywhere, logits < 0, None, 0.01)
