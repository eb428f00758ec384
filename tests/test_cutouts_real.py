"""Every set of third-party images comes in whole, with what its owner knows of it."""

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from ingested import complete

from lensmill.cutouts import checks as cutout_checks
from lensmill.cutouts import ingest as cutouts
from lensmill.pipeline import store


def observation(pixel_scale, size, bands):
    return {"pixel_scale": pixel_scale, "size": size, "bands": list(bands)}


def ingest(path, tmp_path, **settings):
    output = tmp_path / "dataset.h5"
    cutouts.ingest(path, output, "real", "lens_finding", complete(settings))
    found = cutout_checks.check(str(output), settings)
    assert [each["sentence"] for each in found["checks"] if each["passed"] is False] == []
    refused = store.read(output, "refused")
    pixels = store.memmap(output, "cutouts", "pixels")
    assert np.isfinite(pixels).all()
    return (
        store.read(output, "systems"),
        pixels,
        dict(zip(refused["file"], refused["reason"], strict=True)),
    )


def challenge_labels(folder, which):
    with (folder / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["set"] == which]
    return {row["id"]: int(row["folder_label"]) for row in rows}


def test_space_images_of_the_challenge_get_the_labels_of_its_table_by_id(shared_data, tmp_path):
    folder = shared_data / "bologna_lensfinding"
    systems, pixels, refused = ingest(
        folder / "space_based",
        tmp_path,
        format="bologna",
        labels="../classifications_space_training.csv.gz",
        observation=observation(0.1, 101, ["VIS"]),
    )
    expected = challenge_labels(folder, "space_based")
    assert dict(zip(systems["name"], systems["is_lens"].tolist(), strict=True)) == expected
    assert len(expected) == 8
    assert len(refused) == 19_992 - 8  # eight of the 20,000 IDs are not in the table
    assert set(refused.values()) == {"no image file has this ID"}
    row = systems["name"].tolist().index("100002")
    assert systems["flux_lensed_image_in_sigma"][row] == 486.113
    assert systems["native_pixel_scale"] == pytest.approx(0.1, rel=1e-6)
    native = fits.getdata(folder / "space_based/lens/imageEUC_VIS-100002.fits.gz")
    assert pixels[row, :, :, 0] == pytest.approx(native - systems["sky_VIS"][row], rel=1e-5)


def test_ground_images_of_the_challenge_show_the_mixed_up_bands(shared_data, tmp_path):
    folder = shared_data / "bologna_lensfinding"
    systems, pixels, refused = ingest(
        folder / "ground_based",
        tmp_path,
        format="bologna",
        labels={"lens": 1, "nolens": 0},
        observation=observation(0.2, 101, "rigu"),
    )
    expected = challenge_labels(folder, "ground_based")
    assert expected.pop("100013") == 0
    assert dict(zip(systems["name"], systems["is_lens"].tolist(), strict=True)) == expected
    assert list(refused) == ["nolens/Band1/imageSDSS_R-100013.fits.gz"]
    assert "two of its bands are the same image" in "".join(refused.values())
    # 15 pixels of 100 in band R of this one: masked, and filled with what lies around
    row = systems["name"].tolist().index("100023")
    assert systems["masked_fraction"][row] == pytest.approx(15 / (4 * 101**2))
    assert np.abs(pixels).max() < 1e-8


def test_pan_starrs_lenses_come_in_all_with_their_missing_pixels(shared_data, tmp_path):
    systems, pixels, refused = ingest(
        shared_data / "panstarrs_sled_lenses/images.csv",
        tmp_path,
        format="table",
        label=1,
        files="{file_prefix}_{band}.fits.gz",
        observation=observation(0.25, 120, "gri"),
    )
    assert pixels.shape == (100, 120, 120, 3)
    assert not refused
    assert systems["is_lens"].all()
    missing = sum(systems[f"nan_{band}"] for band in "gri")
    assert systems["masked_fraction"] == pytest.approx(missing / (3 * 120**2))
    assert missing[systems["name"] == "SBS1520+530"] == 149
    assert missing[systems["name"] == "RXJ0911.4+0551"] == 14
    for band in "gri":  # measured by others, with the noise of the whole image
        ours, theirs = systems[f"snr_{band}"], systems[f"snr_{band}_table"]
        assert np.median(ours / theirs) == pytest.approx(1.05, abs=0.05)
        assert np.corrcoef(ours, theirs)[0, 1] > 0.98
    faint = set(systems["name"][systems["snr_i"] < 6])
    assert {"HST16302+8230", "J2218+0107", "B2045+265"} <= faint


def test_hst_images_of_many_sizes_come_to_one_grid(shared_data, tmp_path):
    systems, _, refused = ingest(
        shared_data / "hst_lensed_quasars/images.csv",
        tmp_path,
        format="table",
        label=1,
        name="file",
        files="{file}",
        mask_values=[0.0],
        observation=observation(0.05, 60, ["F814W"]),
    )
    assert len(systems["name"]) == 22
    assert systems["native_pixel_scale"] == pytest.approx(systems["pix_arcsec"], rel=0.01)
    assert list(refused) == ["J2344_f814W_samana.fits.gz"]
    assert refused["J2344_f814W_samana.fits.gz"].endswith("set pixel_scale [arcsec]")
    narrow = systems["masked_fraction"] > 0.1  # less than three arcsec wide
    assert set(systems["name"][narrow]) == {
        "H1413+117_HST814W_samana.fits.gz",
        "J2205-3727_f814W_samana.fits.gz",
    }
    faintest = systems["name"][systems["snr"].argmin()]
    assert faintest == "SDSSJ1004+4112_delays.fits.gz"  # in the ultraviolet, almost empty


def test_the_small_preset_takes_the_stamps_that_that_of_hst_refuses_for_their_size(
    shared_data, tmp_path
):
    defaults = Path(__file__).parents[1] / "src/lensmill/experiments/lens_finding/defaults.yaml"
    presets = yaml.safe_load(defaults.read_text())["experiments"]["lens_finding"]["observations"]
    settings = {
        "format": "table",
        "label": 1,
        "name": "file",
        "files": "{file}",
        "mask_values": [0.0],
    }
    path = shared_data / "hst_lensed_quasars/images.csv"
    *_, refused = ingest(path, tmp_path, **settings, observation=presets["hst_f814w"])
    assert len(refused) == 10
    why = refused["WGDJ0405-3308_814w_samana.fits.gz"]
    assert "72 x 72 pixels of 0.04 arcsec (2.88 x 2.88 arcsec)" in why
    assert "64 x 64 pixels of 0.1 arcsec (6.4 x 6.4 arcsec)" in why
    *_, refused = ingest(path, tmp_path, **settings, observation=presets["hst_f814w_small"])
    assert list(refused) == ["J2344_f814W_samana.fits.gz"]


def test_the_slacs_lens_comes_in_and_its_noise_map_and_kernel_do_not(shared_data, tmp_path):
    systems, _, refused = ingest(
        shared_data / "slacs_hst",
        tmp_path,
        format="classes",
        label=1,
        pixel_scale=0.03,
        observation=observation(0.05, 101, ["F814W"]),
    )
    assert systems["file"].tolist() == ["slacs1430+4105/image.fits.gz"]
    assert "the value 1e+08" in refused["slacs1430+4105/noise_map.fits.gz"]
    noise = fits.getdata(shared_data / "slacs_hst/slacs1430+4105/noise_map.fits.gz")
    assert systems["sky_sigma_F814W"][0] == pytest.approx(np.percentile(noise, 20), rel=0.1)
    assert set(refused) == {
        "README.md",
        "slacs1430+4105/noise_map.fits.gz",
        "slacs1430+4105/psf.fits.gz",
    }


def test_planes_of_the_des_cubes_are_one_galaxy_in_every_band(shared_data, tmp_path):
    systems, pixels, refused = ingest(
        shared_data / "des_nonlens_galaxies/sigma_v.csv",
        tmp_path,
        format="table",
        label=0,
        name="original_index",
        files="des_{band}.fits.gz[{plane}]",
        pixel_scale=0.263,
        observation=observation(0.263, 91, "gri"),
    )
    assert pixels.shape == (23, 91, 91, 3)
    assert not refused
    assert not systems["is_lens"].any()
    native = fits.getdata(shared_data / "des_nonlens_galaxies/des_i.fits.gz")
    for k in (0, 22):
        difference = native[k] - pixels[k, :, :, 2]
        assert difference == pytest.approx(systems["sky_i"][k], abs=1e-2)


def test_cosmos_galaxies_are_padded_where_they_are_small(shared_data, tmp_path):
    systems, pixels, _ = ingest(
        shared_data / "cosmos_hst_galaxies/catalog.csv",
        tmp_path,
        format="table",
        label=0,
        name="IDENT",
        files="cosmos_F814W_{IDENT}.fits.gz",
        pixel_scale=0.03,
        max_masked_fraction=1,
        observation=observation(0.05, 140, ["F814W"]),
    )
    assert len(systems["name"]) == 5
    area = systems["native_height"] * systems["native_width"] * 0.03**2 / (140 * 0.05) ** 2
    assert 1 - systems["masked_fraction"] == pytest.approx(np.minimum(area, 1), rel=0.02)
    sky = systems["sky_F814W"] * systems["native_height"] * systems["native_width"]
    assert pixels.sum(axis=(1, 2, 3)) == pytest.approx(systems["stamp_flux"] - sky, rel=0.01)


def test_the_cfht_lens_comes_in_with_six_bands(shared_data, tmp_path):
    folder = shared_data / "cfht_survey_lens"
    bands = {"u": "U", "g": "G", "r": "R", "i": "I", "y": "I2", "z": "Z"}
    (tmp_path / "in").mkdir()
    for file in folder.glob("*.fits.gz"):
        (tmp_path / "in" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "in/lens.csv").write_text("name,z_lens\nW3+3-2,0.66\n")
    systems, pixels, _ = ingest(
        tmp_path / "in/lens.csv",
        tmp_path,
        format="table",
        label=1,
        files="{name}_CFHT_{band}.fits.gz",
        bands=bands,
        observation=observation(0.186, 101, bands),
    )
    assert pixels.shape == (1, 101, 101, 6)
    assert systems["native_pixel_scale"] == pytest.approx(0.1857, rel=1e-3)
    assert systems["resampled"].tolist() == [0]
    assert systems["snr_i"] > systems["snr_u"]


def test_deeplense_arrays_come_in_without_labels(shared_data, tmp_path):
    systems, pixels, refused = ingest(
        shared_data / "deeplense_samples",
        tmp_path,
        format="npy",
        pixel_scale=0.05,
        observation=observation(0.05, 64, ["F814W"]),
    )
    assert systems["name"].tolist() == ["axion.npy", "cdm.npy", "nosub.npy"]
    assert not systems["label_known"].any()
    assert list(refused) == ["README.md"]
    assert pixels.max() == pytest.approx(1.0, abs=0.01)


def test_lenses_of_one_survey_beside_galaxies_of_another_are_called_a_leak(shared_data, tmp_path):
    folder = shared_data / "panstarrs_sled_lenses"
    with (folder / "images.csv").open() as file:
        rows = [
            f"{row['name']},{folder / row['file_prefix']}_i.fits.gz,1\n"
            for row in csv.DictReader(file)
        ]
    galaxies = shared_data / "des_nonlens_galaxies/des_i.fits.gz"
    rows += [f"galaxy {k},{galaxies}[{k}],0\n" for k in range(23)]
    (tmp_path / "both.csv").write_text("name,i,label\n" + "".join(rows))
    settings = {
        "format": "table",
        "pixel_scale": 0.263,  # of DES, whose files do not say
        "observation": observation(0.263, 80, "i"),
    }
    output = str(tmp_path / "both.h5")
    cutouts.ingest(tmp_path / "both.csv", output, "both", "lens_finding", complete(settings))
    found = cutout_checks.check(output, settings)
    results = {each["name"]: each for each in found["checks"]}
    assert [name for name, each in results.items() if each["passed"] is False] == ["leaky columns"]
    assert results["leaky columns"]["value"] == 1.0
    # 23 galaxies are too few for p < 1e-6, and enough for 3 sigma
    assert results["leaky brightness"]["flagged"]
    assert "'sky noise' with 1.000" in results["leaky brightness"]["sentence"]
