"""Images of the DeepLense benchmark: the class by folder or name, and what cannot be used."""

import numpy as np
import pytest

from lensmill import experiments
from lensmill.experiments.substructure import check, ingest, systems
from lensmill.pipeline import store

OBSERVATION = {"pixel_scale": 0.101, "size": 64, "bands": {"VIS": {}}}


def settings():
    chosen = {"ingest": "", "format": "deeplense", "observation": "euclid_vis"}
    whole = experiments.population_settings("substructure", chosen)
    whole["observation"] = OBSERVATION
    return whole


def image(seed):
    y, x = np.indices((64, 64)) - 31.5
    ring = np.exp(-((np.hypot(x, y) - 12) ** 2) / 8)
    return ring + np.random.default_rng(seed).normal(0, 0.01, (64, 64))


def ingested(folder):
    output = str(folder / "dataset.h5")
    ingest.ingest(str(folder / "images"), output, "mine", "substructure", settings())
    return output


def write(folder, name, array):
    path = folder / "images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def test_classes_are_read_off_folders_and_names(tmp_path):
    names = ("no_sub/axion_sim_1.npy", "cdm/a.npy", "train/vort/b.npy", "axion_sim_7.npy", "c.npy")
    for seed, name in enumerate(names):
        write(tmp_path, name, image(seed)[None] if seed % 2 else image(seed))
    output = ingested(tmp_path)
    found = store.read(output, "systems")
    known = zip(found["label"], found["label_known"], strict=True)
    by_name = dict(zip(found["name"], known, strict=True))
    assert by_name == {
        "no_sub/axion_sim_1.npy": (0, 1),
        "cdm/a.npy": (1, 1),
        "train/vort/b.npy": (2, 1),
        "axion_sim_7.npy": (2, 1),
        "c.npy": (0, 0),
    }
    row = list(found["name"]).index("cdm/a.npy")
    assert store.pixels(output)[row, :, :, 0] == pytest.approx(image(1), abs=1e-6)
    label, known = systems.labels(output)
    assert label[known].tolist() == found["label"][found["label_known"] == 1].tolist()
    report = check.check(output, settings())
    assert [c["sentence"] for c in report["checks"] if c["passed"] is False] == []


def test_what_cannot_be_used_is_named_with_its_reason(tmp_path):
    write(tmp_path, "cdm/good.npy", image(0))
    write(tmp_path, "cdm/small.npy", image(0)[:32, :32])
    write(tmp_path, "cdm/hole.npy", np.where(np.arange(64) == 3, np.nan, image(0)))
    write(tmp_path, "cdm/flat.npy", np.ones((64, 64)))
    pair = np.empty(2, object)
    pair[:] = [image(0), 1e-23]
    np.save(tmp_path / "images" / "axion.npy", pair, allow_pickle=True)
    output = ingested(tmp_path)
    facts = store.attributes(output)
    assert (facts["candidates"], facts["used"], facts["refused"]) == (5, 1, 4)
    refused = store.read(output, "refused")
    reasons = {f.rsplit("/", 1)[1]: r for f, r in zip(*refused.values(), strict=True)}
    assert "32 x 32" in reasons["small.npy"] and "64 x 64" in reasons["small.npy"]
    assert "64 of its pixels are not finite" in reasons["hole.npy"]
    assert "all its pixels are 1" in reasons["flat.npy"]
    assert "never loaded" in reasons["axion.npy"] and "array[0]" in reasons["axion.npy"]


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match=r"none of 0 \.npy files"):
        ingested(tmp_path)
    with pytest.raises(ValueError, match="is no folder"):
        ingest.ingest(str(tmp_path / "none"), str(tmp_path / "o.h5"), "m", "s", settings())


def test_the_files_of_the_benchmark_are_read(shared_data, tmp_path):
    folder = shared_data / "deeplense_samples"
    output = str(tmp_path / "dataset.h5")
    ingest.ingest(str(folder), output, "samples", "substructure", settings())
    found = store.read(output, "systems")
    classes = {n: systems.CLASSES[k] for n, k in zip(found["name"], found["label"], strict=True)}
    assert classes == {"axion.npy": "vortex", "cdm.npy": "subhalos", "nosub.npy": "none"}
    assert found["label_known"].all()
    assert store.pixels(output).shape == (3, 64, 64, 1)
