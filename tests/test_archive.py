"""The bundle of a run, and the comparison of another run with it."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest

from lensmill.pipeline import archive, store

ROOT = Path(__file__).parents[1]
UNITS = {"systems": {"index": "", "value": ""}}


def dataset(path, values, **facts):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"index": np.arange(len(values)), "value": np.asarray(values, float)}
    facts = {"seed": 1, "settings": "{}", "code": "a"} | facts
    store.write(path, {"systems": columns}, UNITS, facts)


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    dataset(folder / "toy/data/numbers/dataset.h5", [1, 2, 3])
    scores = folder / "toy/scores/net/numbers/scores.json"
    scores.parent.mkdir(parents=True)
    numbers = {"bias": 0.001, "robust_scatter": 0.1, "mse": 0.01, "coverage68": 0.68}
    whole = {"network": "net", "population": "numbers", "images": 2, "systems": 1000}
    whole["seconds"] = 1.5
    scores.write_text(json.dumps(whole | {"mse_standardised": 0.01, "targets": {"ln": numbers}}))
    figure = folder / "toy/figures/fig.pdf"
    figure.parent.mkdir()
    figure.write_bytes(b"%PDF")
    return folder


@pytest.fixture
def bundle(results, tmp_path):
    path = tmp_path / "bundle.tar.gz"
    archive.make(path, ROOT, results)
    return path


def differences(bundle, results):
    return list(archive.verify(bundle, ROOT, results))


def change_score(results, change):
    path = results / "toy/scores/net/numbers/scores.json"
    scores = json.loads(path.read_text())
    scores["seconds"] += 9  # that it took: no score
    scores["targets"]["ln"] |= change
    path.write_text(json.dumps(scores))


def test_the_bundle_holds_what_a_reader_needs(bundle):
    with tarfile.open(bundle) as tar:
        names = {name.removeprefix("lensmill-bundle/") for name in tar.getnames()}
        about = json.load(tar.extractfile("lensmill-bundle/manifest.json"))
    assert {"checkout/config.yaml", "checkout/requirements.txt", "manifest.json"} <= names
    assert "checkout/src/lensmill/experiments/time_delay/defaults.yaml" in names
    assert {"results/toy/figures/fig.pdf", "results/toy/scores/net/numbers/scores.json"} <= names
    assert not any(name.endswith("dataset.h5") for name in names)
    assert len(about["data"]["toy/data/numbers/dataset.h5"]["content_digest"]) == 64


def test_a_run_reproduces_itself(bundle, results):
    assert differences(bundle, results) == []


def test_one_changed_number_is_found_and_its_reason_named(bundle, results):
    path = results / "toy/data/numbers/dataset.h5"
    dataset(path, [1, 2, 3 + 1e-15 * 2], seed=2)
    (line,) = [d for d in differences(bundle, results) if "numbers/dataset.h5" in d]
    assert line == "toy/data/numbers/dataset.h5: other numbers (seed 1 -> 2)"


def test_a_score_may_differ_within_its_tolerance_and_not_beyond(bundle, results):
    change_score(results, {"mse": 0.0109, "bias": -0.008, "coverage68": 0.695})
    assert differences(bundle, results) == []
    for key, value in [("mse", 0.0112), ("bias", 0.02), ("coverage68", 0.71)]:
        kept = {"mse": 0.01, "bias": 0.001, "coverage68": 0.68}
        change_score(results, kept | {key: value})
        found = [d for d in differences(bundle, results) if "scores.json" in d]
        assert len(found) == 1 and f"ln: {key} was" in found[0]


def test_of_a_lens_finder_its_auroc_is_compared_and_not_the_time_that_it_took(results, tmp_path):
    path = results / "toy/scores/finder/images/scores.json"
    path.parent.mkdir(parents=True)
    scores = {"network": "finder", "population": "images", "systems": 2000, "auroc": 0.95}
    scores |= {"auroc_error": 0.004, "tpr0": 0.1, "calibration_error": None, "train_seconds": 60}
    path.write_text(json.dumps(scores))
    bundle = tmp_path / "finder.tar.gz"
    archive.make(bundle, ROOT, results)
    path.write_text(json.dumps(scores | {"auroc": 0.94, "tpr0": 0.02, "train_seconds": 600}))
    assert differences(bundle, results) == []
    path.write_text(json.dumps(scores | {"auroc": 0.92}))
    (line, *_) = differences(bundle, results)
    assert "finder/images/scores.json: auroc was 0.95, is 0.92 (+- 0.02)" in line


def test_what_is_missing_is_named(bundle, results):
    shutil.rmtree(results / "toy/figures")
    shutil.rmtree(results / "toy/scores")
    shutil.rmtree(results / "toy/data")
    missing = [d.split(":")[0] for d in differences(bundle, results) if d.endswith(": missing")]
    assert missing == [
        "toy/data/numbers/dataset.h5",
        "results/toy/scores/net/numbers/scores.json",
        "results/toy/figures/fig.pdf",
    ]


def test_nothing_to_archive_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the workflow first"):
        archive.make(tmp_path / "b.tar.gz", ROOT, tmp_path / "results")
