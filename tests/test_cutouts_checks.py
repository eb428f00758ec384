"""Faults that ruined studies are found in images: each is made once, and the good set passes."""

import json

import numpy as np
import pytest
from astropy.io import fits
from ingested import complete
from sklearn.metrics import roc_auc_score

from lensmill.cutouts import checks as cutout_checks
from lensmill.cutouts import ingest as cutouts
from lensmill.pipeline import store

N, SIZE = 400, 16
UNITS = {
    "systems": dict.fromkeys(
        ("index", "is_lens", "label_known", "kind", "name", "content_hash", "masked_fraction"), ""
    )
    | dict.fromkeys(("exposure", "Einstein_area", "survey", "z_known"), ""),
    "cutouts": {"system": "", "pixels": ""},
}


def good():
    """Return a sample where lenses are a little brighter, as lensed light makes them."""
    rng = np.random.default_rng(5)
    label = (rng.random(N) < 0.5).astype(np.uint8)
    pixels = rng.normal(0, 1, (N, SIZE, SIZE, 1)).astype(np.float32)
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    light = np.exp(-(axis[:, None] ** 2 + axis**2) / 8)
    brightness = rng.lognormal(2.0, 0.5, N) * np.exp(0.4 * label)
    pixels += (brightness[:, None, None] * light)[..., None].astype(np.float32)
    systems = {
        "index": np.arange(N),
        "is_lens": label,
        "label_known": np.ones(N, np.uint8),
        "kind": np.full(N, 255, np.uint8),
        "name": np.array([f"s{i}" for i in range(N)]),
        "masked_fraction": rng.choice([0.0, 0.01], N),
        "exposure": rng.normal(1000, 50, N),
        # as in the challenge: known to the simulator, so that it tells everything
        "Einstein_area": 1e-10 * (1 + label),
    }
    return {"systems": systems, "cutouts": {"system": np.arange(N), "pixels": pixels}}


def save(path, tables):
    facts = {"population": path.stem, "candidates": N, "used": N, "refused": 0}
    store.write(path, tables, UNITS, facts)
    return str(path)


def failed(found):
    json.dumps(found, allow_nan=False)
    return {each["name"] for each in found["checks"] if each["passed"] is False}


def sentence(found, name):
    (text,) = (each["sentence"] for each in found["checks"] if each["name"] == name)
    return text


def test_a_good_sample_passes(tmp_path):
    found = cutout_checks.check(save(tmp_path / "good.h5", good()), {"label": None})
    assert failed(found) == set()
    assert not any(each["flagged"] for each in found["checks"])
    assert "AUROC" in sentence(found, "leaky brightness")
    assert len(found["sketch"]) == N


def same_image_twice(systems, cutouts):
    rows = np.flatnonzero(systems["is_lens"] == 1)[:2]
    cutouts["pixels"][rows[1]] = cutouts["pixels"][rows[0]]


def same_image_in_both_classes_mirrored(systems, cutouts):
    lens, other = (int(np.argmax(systems["is_lens"] == label)) for label in (1, 0))
    cutouts["pixels"][other] = np.rot90(cutouts["pixels"][lens], 3)[:, ::-1]


def same_file_cropped_differently(systems, cutouts):
    systems["content_hash"] = np.array([f"{i:064x}" for i in range(N)])
    systems["content_hash"][17] = systems["content_hash"][3]


def labels_of_the_next_image(systems, cutouts):
    systems["is_lens"] = np.roll(systems["is_lens"], 1)
    cutouts["pixels"] *= (1 + np.roll(systems["is_lens"], -1))[:, None, None, None]


def images_of_another_order(systems, cutouts):
    cutouts["system"] = np.roll(cutouts["system"], 1)


def lost_image(systems, cutouts):
    for name in cutouts:
        cutouts[name] = cutouts[name][:-1]


def only_lenses(systems, cutouts):
    systems["is_lens"][:] = 1


def classes_of_different_exposure(systems, cutouts):
    systems["exposure"] += 100 * systems["is_lens"]


def classes_of_different_surveys(systems, cutouts):
    systems["survey"] = np.array([("DES", "HST")[label] for label in systems["is_lens"]])


def redshift_known_for_lenses_only(systems, cutouts):
    systems["z_known"] = systems["is_lens"].copy()


def noisier_non_lenses(systems, cutouts):
    cutouts["pixels"] *= (2.0 - systems["is_lens"])[:, None, None, None].astype(np.float32)


def clip(systems, cutouts):
    np.minimum(cutouts["pixels"], 3, out=cutouts["pixels"])


def clip_below_zero(systems, cutouts):
    np.maximum(cutouts["pixels"], 0, out=cutouts["pixels"])


def constant_image(systems, cutouts):
    cutouts["pixels"][8] = 2.5


def nan_pixel(systems, cutouts):
    cutouts["pixels"][8, 3, 4] = np.nan


def nan_column(systems, cutouts):
    systems["exposure"][8] = np.nan


@pytest.mark.parametrize(
    ("damage", "name", "expected"),
    [
        (same_image_twice, "no duplicates", "1 of 400 images occur twice"),
        (same_image_in_both_classes_mirrored, "one label per image", "occur in both classes"),
        (same_file_cropped_differently, "no duplicates", "(first: s17 = s3)"),
        (labels_of_the_next_image, "labels not shifted", "the label of the row 1 after"),
        (images_of_another_order, "rows belong together", "400 of 400 images are of another"),
        (lost_image, "rows belong together", "there are 399 images for 400 systems"),
        (only_lenses, "class balance", "400 of 400 labelled systems are lenses"),
        (classes_of_different_exposure, "leaky columns", "best single column: 'exposure'"),
        (classes_of_different_surveys, "leaky columns", "best single column: 'survey' with 1.0"),
        (redshift_known_for_lenses_only, "leaky columns", "best single column: 'z_known'"),
        (noisier_non_lenses, "leaky brightness", "best single column: 'sky noise'"),
        (clip, "clipping", "images have more than 0.1% of their pixels at their very highest"),
        (clip_below_zero, "clipping", "400 of 400 images"),
        (constant_image, "constant images", "in 1 of 400 rows"),
        (nan_pixel, "finite pixels", "(first: system 8)"),
        (nan_column, "finite", "1 of 400 rows of 'exposure'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damage_is_found(tmp_path, damage, name, expected):
    tables = good()
    damage(**tables)
    found = cutout_checks.check(save(tmp_path / "bad.h5", tables), {})
    assert name in failed(found)
    assert expected in sentence(found, name)


def test_a_sample_of_one_class_passes_if_it_is_meant_to_be(tmp_path):
    tables = good()
    only_lenses(**tables)
    tables["systems"]["Einstein_area"][:] = 0
    assert failed(cutout_checks.check(save(tmp_path / "all.h5", tables), {"label": 1})) == set()


def test_unknown_labels_are_no_labels(tmp_path):
    tables = good()
    tables["systems"]["label_known"][:] = 0
    tables["systems"]["is_lens"][:] = 0
    assert failed(cutout_checks.check(save(tmp_path / "new.h5", tables), {})) == set()


def test_the_limits_come_from_the_settings(tmp_path):
    path = save(tmp_path / "good.h5", good())
    found = cutout_checks.check(path, {"max_image_auroc": 0.5, "min_class_fraction": 0.49})
    assert failed(found) == {"leaky brightness", "class balance"}
    assert cutout_checks.leaky_columns(path, truth=())["value"] == pytest.approx(1.0)


def test_rows_that_are_sorted_by_class_are_not_called_shifted(tmp_path):
    tables = good()
    order = np.argsort(tables["systems"]["is_lens"], kind="stable")
    tables["cutouts"]["pixels"] = tables["cutouts"]["pixels"][order]
    for name in ("is_lens", "Einstein_area"):
        tables["systems"][name] = tables["systems"][name][order]
    assert failed(cutout_checks.check(save(tmp_path / "sorted.h5", tables), {})) == set()


def test_labels_are_compared_with_others_by_name(tmp_path):
    tables = good()
    path = save(tmp_path / "good.h5", tables)
    labels = dict(zip(tables["systems"]["name"], tables["systems"]["is_lens"], strict=True))
    assert cutout_checks.same_labels(path, labels)["passed"]
    labels |= {"s7": 1 - labels["s7"], "never seen": 1}
    found = cutout_checks.same_labels(path, labels)
    assert found["sentence"] == "1 of 400 labels contradict the reference (first: s7)"


def test_images_of_the_training_set_are_found_in_a_test_set(tmp_path):
    one, other = good(), good()
    other["cutouts"]["pixels"] = np.random.default_rng(6).normal(size=(N, SIZE, SIZE, 1))
    other["cutouts"]["pixels"] = other["cutouts"]["pixels"].astype(np.float32)
    train = save(tmp_path / "train.h5", one)
    found = cutout_checks.shared(train, save(tmp_path / "test.h5", other))
    assert all(each["passed"] for each in found)
    other["cutouts"]["pixels"][9] = one["cutouts"]["pixels"][33, ::-1]
    found, _ = cutout_checks.shared(train, save(tmp_path / "other.h5", other))
    assert found["sentence"].startswith("1 of 400 images of 'train' are in 'other' as well")
    assert "first: s33" in found["sentence"]


def test_fingerprints_see_the_last_bit_and_not_the_orientation():
    rng = np.random.default_rng(7)
    image = rng.normal(size=(9, 9, 2)).astype(np.float32)
    other = image.copy()
    other[3, 3, 1] = np.nextafter(other[3, 3, 1], np.float32(9))
    turned = [np.rot90(image, k)[:, ::s] for k in range(4) for s in (1, -1)]
    prints = cutout_checks.fingerprints(np.stack([*turned, other]))
    assert len(set(prints[:8].tolist())) == 1
    assert prints[8] != prints[0]


def test_the_size_of_the_pieces_changes_nothing(tmp_path, monkeypatch):
    path = save(tmp_path / "good.h5", good())
    found = cutout_checks.check(path, {})
    monkeypatch.setattr(cutout_checks, "PIECE", 7 * SIZE * SIZE * 4)
    again = cutout_checks.check(path, {})
    assert again["checks"] == found["checks"]
    assert again["sketch"] == found["sketch"]


def test_the_error_of_an_auroc_is_its_scatter():
    rng = np.random.default_rng(8)
    label = np.repeat([0, 1], [60, 90])
    found = [roc_auc_score(label, rng.normal(label * 1.0)) for _ in range(500)]
    expected = cutout_checks.hanley_mcneil(np.mean(found), 90, 60)
    assert np.std(found) == pytest.approx(expected, rel=0.15)


def test_an_ingested_folder_passes_its_checks_and_copies_in_it_do_not(tmp_path):
    rng = np.random.default_rng(9)
    for i in range(6):
        pixels = rng.normal(size=(SIZE, SIZE)).astype(np.float32)
        pixels[6:10, 6:10] += 20
        folder = tmp_path / "in" / ("lens", "other")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        fits.writeto(folder / f"{i}.fits", pixels)
    settings = {
        "format": "classes",
        "labels": {"lens": 1, "other": 0},
        "pixel_scale": 0.2,
        "observation": {"pixel_scale": 0.2, "size": SIZE, "bands": ["i"]},
    }
    output = str(tmp_path / "dataset.h5")
    cutouts.ingest(tmp_path / "in", output, "mine", "lens_finding", complete(settings))
    assert failed(cutout_checks.check(output, settings)) == set()
    fits.writeto(tmp_path / "in/other/copy.fits.gz", pixels)  # of an image in `other`
    fits.writeto(tmp_path / "in/lens/copy.fits", pixels)
    cutouts.ingest(tmp_path / "in", output, "mine", "lens_finding", complete(settings))
    found = cutout_checks.check(output, settings)
    assert failed(found) == {"no duplicates", "one label per image"}
    assert "2 of 8 images occur twice" in sentence(found, "no duplicates")
