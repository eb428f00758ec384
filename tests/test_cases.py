"""Images that came out wrong once, as people met them, and what each of them gives now."""

import numpy as np
import pytest
from ingested import complete

from lensmill import experiments
from lensmill.cutouts import ingest as cutouts
from lensmill.pipeline import store

OBSERVATIONS = experiments.defaults("lens_finding")["observations"]


def read(path, tmp_path, observation="euclid_vis", wanted=None, **settings):
    """Ingest a case; return its systems, its pixels and the reasons of what was refused."""
    chosen = OBSERVATIONS[observation]
    if wanted:
        chosen = chosen | {"bands": dict.fromkeys(wanted, next(iter(chosen["bands"].values())))}
    output = tmp_path / "dataset.h5"
    settings |= {"observation": chosen}
    cutouts.ingest(path, output, "case", "lens_finding", complete(settings))
    refused = store.read(output, "refused")
    reasons = dict(zip(refused["file"], refused["reason"], strict=True))
    return store.read(output, "systems"), store.read(output, "cutouts")["pixels"], reasons


def test_names_of_64_bits_and_with_zeros_in_front_stay_what_they_are(shared_cases, tmp_path):
    systems, _, _ = read(shared_cases / "ids64/in/t.csv", tmp_path, format="table")
    expected = [43158176442354198, 43158176442354199, 43158176442354201]
    assert [int(text) for text in systems["object_id"]] == expected
    assert systems["run"].tolist() == ["000120", "000121", "000122"]
    assert systems["tile"].tolist() == ["1e0", "1e1", "1e2"]
    assert systems["z"].tolist() == [0.3, 0.4, 0.5]


@pytest.mark.parametrize("planes", [{"g": 0, "r": 1}, {"r": 1}])
def test_planes_of_a_cube_are_taken_by_their_number(shared_cases, tmp_path, planes):
    folder = shared_cases / "legacy_cube/in"
    _, pixels, refused = read(
        folder, tmp_path, "des_i", wanted=[*planes], format="classes", bands=planes
    )
    assert refused == {}
    expected = {"g": 235.9, "r": 603.5}
    sums = pixels[0].sum(axis=(0, 1))
    assert sums == pytest.approx([expected[band] for band in planes], rel=0.01)


def test_the_pixel_scale_is_that_of_the_extension_that_is_named(shared_cases, tmp_path):
    systems, _, _ = read(shared_cases / "mef_two_scales/in/t.csv", tmp_path, format="table")
    assert systems["native_pixel_scale"] == pytest.approx([0.3, 0.3])
    assert systems["resampled"].tolist() == [1, 1]


def test_an_image_that_was_cut_at_an_edge_is_flagged(shared_cases, tmp_path):
    systems, _, _ = read(shared_cases / "trim_off_centre/in", tmp_path, format="classes")
    assert systems["off_centre"] == pytest.approx([1.5], abs=0.1)


def test_folders_called_0_and_1_are_labels(shared_cases, tmp_path):
    folder = shared_cases / "folders_0_1/in"
    systems, _, _ = read(folder, tmp_path, format="classes", labels={0: 0, 1: 1})
    assert np.bincount(systems["is_lens"]).tolist() == [3, 3]


def test_photons_are_not_called_a_mark(shared_cases, tmp_path):
    with pytest.raises(ValueError, match="its sky is counted in single photons") as refusal:
        read(shared_cases / "photon_counts/in", tmp_path, format="classes")
    assert "mask_values" not in str(refusal.value)
