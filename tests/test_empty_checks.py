"""A check that compared nothing has not passed, and says so."""

import json

import numpy as np
import pytest
from test_checks import ROWS

from lensmill import experiments
from lensmill.cutouts import checks as cutout_checks
from lensmill.experiments.lens_finding import check as check_images
from lensmill.experiments.time_delay import check, ingest, resolve, simulate
from lensmill.pipeline import checks, settings, shards, store

DEFAULTS = experiments.defaults("time_delay")
NOTHING = np.zeros(0)


def population(path, systems=40, family="sis_shear", **override):
    """Simulate a small population; return its file and its settings."""
    chosen = settings.population(DEFAULTS, family)
    chosen["prior"] = chosen["prior"] | override
    shards.simulate(
        path,
        simulate,
        experiment="time_delay",
        population=family,
        seed=11,
        first=0,
        count=systems,
        settings=chosen,
        code="",
    )
    return str(path), chosen | {"systems": systems, "expected_fractions": {}}


def named(found, name):
    (one,) = (each for each in found if each["name"] == name)
    return one


def test_an_oracle_that_finds_no_image_confirms_nothing(tmp_path):
    pytest.importorskip("lenstronomy")
    path, chosen = population(tmp_path / "round.h5", shear=["fixed", 0.0])
    found = named(check.check(path, chosen)["checks"], "images by lenstronomy")
    assert found["passed"] is None
    assert "it finds 0 of our" in found["sentence"]
    assert "none at all in 40 of 40 systems" in found["sentence"]


def test_an_oracle_says_how_many_images_it_found(tmp_path):
    pytest.importorskip("lenstronomy")
    path, _ = population(tmp_path / "sheared.h5")
    found = named(resolve.outcomes(path, np.arange(40), 1e-4), "images by lenstronomy")
    n_images = int(store.read(path, "systems", ["n_images"])["n_images"].sum())
    assert found["passed"]
    assert f"of our {n_images} images, and none at all in 0 of 40 systems" in found["sentence"]


def test_delays_of_single_images_compare_nothing(tmp_path):
    path, chosen = population(tmp_path / "far.h5", source=["disc", 9.0], systems=30)
    tables = {name: store.read(path, name) for name in ("systems", "images")}
    assert (tables["systems"]["n_images"] == 1).sum() > 20
    laws = check.Laws(chosen["prior"]["min_magnification"])
    single = tables["systems"]["n_images"] == 1
    own = np.isin(tables["images"]["system"], tables["systems"]["index"][single])
    systems = {name: values[single] for name, values in tables["systems"].items()}
    systems["first_image"] = np.arange(single.sum())
    laws.add(systems, {name: values[own] for name, values in tables["images"].items()})
    assert laws.delay.outcome()["passed"] is None
    assert laws.residual.outcome()["passed"]


@pytest.mark.parametrize(
    "empty",
    [
        lambda: checks.Worst("a", "b", 1.0).outcome(),
        lambda: checks.Wrong("a", "b").outcome(),
        lambda: checks.Uniform("a", "b").outcome(),
        lambda: checks.Columns().finite(),
        lambda: checks.fraction("a", "b", 0, 0, 0.5),
        lambda: checks.duplicates(np.zeros(1, np.uint64)),
    ],
)
def test_a_check_without_rows_is_skipped(empty):
    found = empty()
    assert found["passed"] is None
    assert found["sentence"].startswith("skipped: ")


def test_a_skipped_check_stops_nothing_and_is_null_in_the_file(tmp_path):
    found = {"population": "p", "checks": [checks.skipped("a", "no rows")]}
    checks.report(found, tmp_path / "checks.json")
    assert json.loads((tmp_path / "checks.json").read_text())["checks"][0]["passed"] is None


def compared(tmp_path, **sketches):
    for name, sketch in sketches.items():
        found = {"population": name, "sketch": sketch, "checks": []}
        checks.report(found, tmp_path / f"{name}.json")
    checks.compare_populations([tmp_path / f"{n}.json" for n in sketches], tmp_path / "all.json")
    return json.loads((tmp_path / "all.json").read_text())["checks"]


def test_one_population_is_compared_with_nothing(tmp_path):
    (found,) = compared(tmp_path, alone=checks.sketch(np.arange(9, dtype=np.uint64)))
    assert found["passed"] is None


def test_sketches_of_very_unlike_populations_compare_nothing(tmp_path):
    rng = np.random.default_rng(2)
    many = rng.integers(0, 2**63, 200_000).astype(np.uint64)
    few = np.sort(many)[-30:]  # all of them are copies, none of which the sketch of many can show
    (found,) = compared(tmp_path, few=checks.sketch(few), many=checks.sketch(many))
    assert found["passed"] is None
    (found,) = compared(tmp_path, few=checks.sketch(few), also=checks.sketch(few + np.uint64(1)))
    assert found["passed"]
    assert "in common of 30 that were compared" in found["sentence"]


def test_a_rule_about_what_no_published_system_has_is_skipped(tmp_path):
    text = ROWS.replace("0,0,0.01", ",,")  # no lens galaxy is known, and no distance
    (tmp_path / "own.csv").write_text(text)
    ingest.ingest(tmp_path / "own.csv", tmp_path / "own.h5")
    found = check.check(tmp_path / "own.h5", {})["checks"]
    assert {each["name"] for each in found if each["passed"] is None} == {
        "lens errors",
        "distances",
    }
    assert checks.failed(found) == []
    assert named(found, "delay errors")["sentence"].startswith("in all of 1 rows")


def images(path, size=16, n=8, label=0, labelled=True, hashes=False):
    rng = np.random.default_rng(size)
    systems = {
        "index": np.arange(n),
        "is_lens": np.full(n, label, np.uint8),
        "label_known": np.full(n, labelled, np.uint8),
        "name": np.array([f"s{i}" for i in range(n)]),
    }
    if hashes:
        systems["content_hash"] = np.array([f"{i:064x}" for i in range(n)])
    pixels = rng.normal(size=(n, size, size, 1)).astype(np.float32)
    tables = {"systems": systems, "cutouts": {"system": np.arange(n), "pixels": pixels}}
    units = {table: dict.fromkeys(columns, "") for table, columns in tables.items()}
    store.write(path, tables, units, {"population": path.stem})
    return str(path)


def test_images_of_unlike_size_are_not_called_different(tmp_path):
    small = images(tmp_path / "small.h5", 16)
    found, _ = cutout_checks.shared(small, images(tmp_path / "large.h5", 24))
    assert found["passed"] is None
    assert "(16, 16, 1)" in found["sentence"]
    one = images(tmp_path / "one.h5", 16, hashes=True)
    found, _ = cutout_checks.shared(one, images(tmp_path / "two.h5", 24, hashes=True))
    assert found["passed"] is False  # by their native pixels they are the same


def test_labels_without_a_name_in_the_reference_agree_with_nothing(tmp_path):
    found = cutout_checks.same_labels(images(tmp_path / "a.h5"), {"another": 1})
    assert found["passed"] is None


def test_images_without_labels_have_no_contradicting_ones(tmp_path):
    (twice, labels), _ = cutout_checks.duplicates(images(tmp_path / "a.h5", labelled=False))
    assert twice["passed"]
    assert labels["passed"] is None


def test_a_population_of_one_class_holds_one_class(tmp_path):
    path = images(tmp_path / "a.h5", label=1)
    assert cutout_checks.balance(path, one_class=True)["passed"]
    systems, pixels = store.read(path, "systems"), store.read(path, "cutouts")
    systems["is_lens"][3] = 0
    units = {"systems": dict.fromkeys(systems, ""), "cutouts": dict.fromkeys(pixels, "")}
    store.write(tmp_path / "b.h5", {"systems": systems, "cutouts": pixels}, units, {})
    assert cutout_checks.balance(str(tmp_path / "b.h5"), one_class=True)["passed"] is False


def test_noise_that_cannot_be_judged_is_named_as_skipped(tmp_path, monkeypatch):
    from lensmill.experiments.lens_finding import simulate as simulate_images

    chosen = settings.population(experiments.defaults("lens_finding"), "euclid")
    chosen["observation"] |= {"size": 16, "defects": {"bad_pixels": 0.01}}
    shards.simulate(
        tmp_path / "defects.h5",
        simulate_images,
        experiment="lens_finding",
        population="euclid",
        seed=3,
        first=0,
        count=4,
        settings=chosen,
        code="",
    )
    found = cutout_checks.redraw(
        str(tmp_path / "defects.h5"), chosen, simulate_images, check_images._noise_free
    )
    assert named(found, "drawn again")["passed"]
    assert named(found, "noise")["passed"] is None
