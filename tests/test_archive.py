"""The bundle of a run, and the comparison of another run with it."""

import json
import os
import shutil
import tarfile
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from lensmill.cluster import archive
from lensmill.pipeline import provenance, settings, store

ROOT = Path(__file__).parents[1]
UNITS = {"systems": {"index": "", "value": ""}}


def dataset(path, values, **facts):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {"index": np.arange(len(values)), "value": np.asarray(values, float)}
    facts = {"seed": 1, "settings": "{}", "code": "a", "last": len(values) - 1} | facts
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
    path = results / "lens_finding/scores/finder/images/scores.json"
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
        "results/toy/figures/fig.pdf",
        "results/toy/scores/net/numbers/scores.json",
    ]


def test_a_damaged_or_missing_network_is_no_reproduction(results, tmp_path):
    model = results / "toy/networks/net/model.keras"
    model.parent.mkdir(parents=True)
    with zipfile.ZipFile(model, "w") as archived:
        archived.writestr("config.json", "{}" * 100)
    archive.make(tmp_path / "b.tar.gz", ROOT, results)
    assert differences(tmp_path / "b.tar.gz", results) == []
    model.write_bytes(model.read_bytes()[:100])
    (results / "toy/scores/net/numbers/scores.json").write_text('{"half')
    network, scores = differences(tmp_path / "b.tar.gz", results)[:2]
    assert "model.keras cannot be read" in network and "scores.json cannot be read" in scores
    with pytest.raises(ValueError, match=r"model\.keras cannot be read"):
        archive.make(tmp_path / "c.tar.gz", ROOT, results)
    model.unlink()
    assert "results/toy/networks/net/model.keras: missing" in differences(
        tmp_path / "b.tar.gz", results
    )


def test_nothing_to_archive_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the workflow first"):
        archive.make(tmp_path / "b.tar.gz", ROOT, tmp_path / "results")


@pytest.mark.parametrize("value", [np.nan, 99.0])
def test_numbers_written_into_a_data_set_are_found_though_its_digest_is_the_old_one(
    bundle, results, value
):
    with h5py.File(results / "toy/data/numbers/dataset.h5", "r+") as file:
        file["systems/value"][1] = value
    lines = [d for d in differences(bundle, results) if "numbers/dataset.h5" in d]
    assert "damaged or edited: its content does not match its digest; delete it" in lines[0]
    assert "other numbers" in lines[1]


def test_a_truncated_data_set_is_a_difference_and_no_traceback(bundle, results):
    path = results / "toy/data/numbers/dataset.h5"
    path.write_bytes(path.read_bytes()[:1000])
    (line, *_) = differences(bundle, results)
    assert "numbers/dataset.h5 cannot be read" in line and "delete it and run again" in line


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "cannot be read"),
        (lambda path: path.write_text("no archive"), "cannot be read"),
        (lambda path: path.unlink(), "cannot be read .*No such file"),
        (lambda path: tarfile.open(path, "w:gz").close(), "holds no manifest.json"),
    ],
)
def test_what_is_no_whole_bundle_is_said_in_one_line(bundle, results, damage, said):
    damage(bundle)
    with pytest.raises(ValueError, match=rf"bundle\.tar\.gz {said}"):
        differences(bundle, results)


def test_no_bundle_is_made_of_damaged_data(results, tmp_path):
    with h5py.File(results / "toy/data/numbers/dataset.h5", "r+") as file:
        file["systems/value"][0] = 7
    with pytest.raises(ValueError, match=r"toy/data/numbers/dataset\.h5: damaged .* run again"):
        archive.make(tmp_path / "b.tar.gz", ROOT, results)
    assert not (tmp_path / "b.tar.gz").exists()


@pytest.fixture
def real(results, tmp_path):
    """Return a run that also holds a table of systems, images, and a population with a prior."""
    (tmp_path / "mine").mkdir()
    table = tmp_path / "mine/quasars.csv"
    table.write_text("name,x\nq,1\n")
    image = tmp_path / "mine/a.fits"
    image.write_bytes(b"SIMPLE")
    (tmp_path / "mine/images.csv").write_text("name,VIS\na,a.fits\n")
    (tmp_path / "mine/truth.csv").write_text("id,is_lens\n1,0\n")
    config = {"seed": 1, "run": ["toy"], "experiments": {"toy": {}}}
    toy = config["experiments"]["toy"]
    toy["priors"] = {"flat": {"x": ["uniform", 0, 1]}}
    toy["populations"] = {
        "numbers": {"family": "sie", "prior": "flat", "systems": 3},
        "quasars": {"ingest": str(table)},
        "images": {"ingest": str(tmp_path / "mine/images.csv"), "format": "table"},
    }
    challenge = {"ingest": str(tmp_path / "mine"), "format": "bologna", "labels": "truth.csv"}
    config["experiments"]["lens_finding"] = {"populations": {"challenge": challenge}}
    toy["networks"] = {"net": {"train_on": "numbers", "test_on": ["numbers"], "epochs": 3}}
    toy["networks"]["net"]["patience"] = None  # left out
    settings.keep(config, results / "configurations")
    fixed = settings.population(toy, "numbers")
    dataset(results / "toy/data/numbers/dataset.h5", [1, 2, 3], settings=json.dumps(fixed))
    columns = json.dumps({"columns": ["name", "x"]})
    source = provenance.source(table)
    dataset(results / "toy/data/quasars/dataset.h5", [1], settings=columns, **source)
    stored = json.dumps(toy["populations"]["images"] | {"fill": "sky"})
    dataset(results / "toy/data/images/dataset.h5", [1], settings=stored, source="images.csv")
    stored = json.dumps(challenge)
    path = results / "lens_finding/data/challenge/dataset.h5"
    dataset(path, [1], settings=stored, source="mine")
    (results / "toy/data/images/files.json").write_text(json.dumps([str(image)]))
    network(results, "net_seed2", epochs=3, patience=0, seed=2)
    return results


def network(results, name, population="numbers", **given):
    training = results / f"toy/networks/{name}/training.json"
    training.parent.mkdir(parents=True, exist_ok=True)
    facts = {"population": population, "seed": 1, "settings": given}
    training.write_text(json.dumps(facts))


def test_the_bundle_holds_the_configuration_and_the_tables_that_made_the_results(real, tmp_path):
    about = archive.make(tmp_path / "b.tar.gz", ROOT, real)
    assert about["unexplained"] == {}
    (kept,) = (real / "configurations").glob("*.yaml")
    assert {*about["configurations"].values()} == {kept.name}
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        names = {name.removeprefix("lensmill-bundle/") for name in tar.getnames()}
    assert f"configurations/{kept.name}" in names
    inside = {name.rsplit("/", 1)[-1] for name in names if name.startswith("inputs/")}
    assert inside == {"quasars.csv", "images.csv", "truth.csv"}
    images = about["images"]["toy/data/images/dataset.h5"]
    assert (images["files"], images["missing"], images["bytes"]) == (1, 0, 6)


def test_a_table_that_has_changed_since_explains_nothing(real, tmp_path):
    table = tmp_path / "mine/quasars.csv"
    os.utime(table, (9e9, 9e9))
    assert archive.make(tmp_path / "b.tar.gz", ROOT, real)["unexplained"] == {}
    table.write_text("name,x\nq,2\n")
    unexplained = archive.make(tmp_path / "b.tar.gz", ROOT, real)["unexplained"]
    assert {*unexplained} == {"toy/data/quasars/dataset.h5"}
    assert "quasars.csv has changed since it was read" in unexplained.popitem()[1]


def test_tables_of_one_name_have_places_of_their_own_in_the_bundle():
    paths = ("mine/a.csv", "/mine/a.csv", "../mine/a.csv", "../../mine/a.csv")
    places = {archive._inside(path) for path in paths}
    assert len(places) == 4 and not any(place.startswith(("/", "..")) for place in places)


def test_another_image_is_another_digest(real, tmp_path):
    def digest():
        about = archive.make(tmp_path / "b.tar.gz", ROOT, real)
        return about["images"]["toy/data/images/dataset.h5"]["digest"]

    before = digest()
    (tmp_path / "mine/a.fits").write_bytes(b"SIMPLF")
    assert digest() != before


def test_results_that_no_configuration_explains_are_named(real, tmp_path):
    other = json.dumps({"family": "sie", "prior": {"x": ["uniform", 0, 2]}})
    dataset(real / "toy/data/numbers/dataset.h5", [1, 2, 3], settings=other)
    dataset(real / "toy/data/forgotten/dataset.h5", [1])
    network(real, "old", epochs=3)
    network(real, "net", epochs=4)
    network(real, "net_seed3", population="forgotten", epochs=3)
    assert {*archive.make(tmp_path / "b.tar.gz", ROOT, real)["unexplained"]} == {
        "toy/data/numbers/dataset.h5",
        "toy/data/forgotten/dataset.h5",
        "toy/networks/old",
        "toy/networks/net",
        "toy/networks/net_seed3",
    }


def test_more_systems_are_another_data_set_than_the_configuration_makes(real, tmp_path):
    stored = store.attributes(real / "toy/data/numbers/dataset.h5")["settings"]
    dataset(real / "toy/data/numbers/dataset.h5", [1, 2, 3, 4], settings=stored)
    unexplained = archive.make(tmp_path / "b.tar.gz", ROOT, real)["unexplained"]
    assert {*unexplained} == {"toy/data/numbers/dataset.h5"}


def test_equal_runs_give_equal_bytes_at_any_time(results, tmp_path):
    archive.make(tmp_path / "one.tar.gz", ROOT, results)
    time.sleep(1.1)  # a gzip file may hold the second that it was made in
    archive.make(tmp_path / "two.tar.gz", ROOT, results)
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
