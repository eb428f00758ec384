"""Images of any survey are used or refused by name, and nothing is lost on the way."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from astropy.table import MaskedColumn, Table
from ingested import complete

from lensmill.cutouts import files as cutout_files
from lensmill.cutouts import ingest as cutouts
from lensmill.cutouts import layouts as cutout_layouts
from lensmill.pipeline import store

SIZE = 24
OBSERVATION = {"pixel_scale": 0.1, "size": SIZE, "bands": ["VIS"]}


def galaxy(seed, size=SIZE, flux=2000.0):
    """Return an image with noise 1 and sky 5."""
    axis = np.arange(size) - (size - 1) / 2
    light = np.exp(-(axis[:, None] ** 2 + axis**2) / 18)
    noise = np.random.default_rng(seed).normal(5.0, 1.0, (size, size))
    return (noise + flux * light / light.sum()).astype(np.float32)


def write(path, pixels, scale=0.1, **cards):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = fits.Header([(key, value) for key, value in cards.items()])
    if scale:
        header["PIXSCALE"] = scale
    fits.PrimaryHDU(pixels, header).writeto(path)
    return path


def ingest(path, tmp_path, **settings):
    output = tmp_path / "dataset.h5"
    settings = {"observation": OBSERVATION} | settings
    cutouts.ingest(path, output, "mine", "lens_finding", complete(settings))
    facts = store.attributes(output)
    systems, refused = store.read(output, "systems"), store.read(output, "refused")
    assert facts["candidates"] == len(systems["index"]) + len(refused["file"])
    assert facts["used"] == len(systems["index"])
    assert facts["refused"] == len(refused["file"])
    images = store.read(output, "cutouts")
    assert np.array_equal(images["system"], systems["index"])
    assert np.isfinite(images["pixels"]).all()
    pixels = store.memmap(output, "cutouts", "pixels")
    assert pixels.dtype == np.float32
    return systems, pixels, dict(zip(refused["file"], refused["reason"], strict=True))


def labels_of(systems):
    return dict(zip(systems["name"], systems["is_lens"].tolist(), strict=True))


@pytest.fixture
def challenge(tmp_path):
    """Return a folder as the Lens Finding Challenge has it: even IDs are lenses."""
    folder = tmp_path / "challenge"
    for number in range(100000, 100006):
        where = folder / ("a" if number % 3 else "b")
        write(where / f"imageEUC_VIS-{number}.fits", galaxy(number))
    rows = [f"{n},{1 - n % 2},{n / 7}" for n in (100003, 100000, 100005, 100001, 100004, 100002)]
    (folder / "classifications.csv").write_text("ID,is_lens,Einstein_area\n" + "\n".join(rows))
    return folder


EVEN = {str(n): 1 - n % 2 for n in range(100000, 100006)}
BOLOGNA = {"format": "bologna", "labels": "classifications.csv"}


def test_labels_are_joined_by_id_whatever_the_order_of_the_table(challenge, tmp_path):
    systems, _, refused = ingest(challenge, tmp_path, **BOLOGNA)
    assert labels_of(systems) == EVEN
    assert not refused
    assert systems["Einstein_area"] == pytest.approx([int(n) / 7 for n in systems["name"]])
    table = challenge / "classifications.csv"
    head, *rows = table.read_text().splitlines()
    table.unlink()
    with gzip.open(challenge / "classifications.csv.gz", "wt") as file:
        file.write("\n".join([head, *np.random.default_rng(1).permutation(rows)]))
    again, *_ = ingest(challenge, tmp_path, **(BOLOGNA | {"labels": "classifications.csv.gz"}))
    assert labels_of(again) == EVEN
    assert (again["content_hash"] == systems["content_hash"]).all()


def test_every_fault_of_a_challenge_folder_is_named(challenge, tmp_path):
    table = challenge / "classifications.csv"
    text = table.read_text().replace("100001,0", "100001,2") + "\n100005,1,3\n100099,1,0\n"
    table.write_text(text.replace("100002,1", "100088,1"))
    shutil.copy(challenge / "a/imageEUC_VIS-100004.fits", challenge / "imageEUC_VIS-100004.fits")
    (challenge / "Thumbs.db").write_text("x")
    systems, _, refused = ingest(challenge, tmp_path, **BOLOGNA)
    assert labels_of(systems) == {"100000": 1, "100003": 0}
    assert (
        "line 5 of classifications.csv: label '2' is neither 0"
        in refused["a/imageEUC_VIS-100001.fits"]
    )
    assert refused["b/imageEUC_VIS-100002.fits"] == "its ID has no label in classifications.csv"
    assert "occurs 2 times in band 'vis': a/image" in refused["a/imageEUC_VIS-100004.fits"]
    assert "lines 4, 8" in refused["b/imageEUC_VIS-100005.fits"]
    assert refused["ID 100099"] == refused["ID 100088"] == "no image file has this ID"
    assert "its name is not" in refused["Thumbs.db"]
    assert len(refused) == 7


def test_exactly_100_marks_masked_pixels_of_the_challenge(challenge, tmp_path):
    pixels = galaxy(7) * np.float32(1e-12)
    pixels[3:6, 3:8] = 100
    file = challenge / "a/imageEUC_VIS-100001.fits"
    file.unlink()
    write(file, pixels)
    lonely = tmp_path / "lonely"
    write(lonely / file.name, pixels)
    systems, images, _ = ingest(challenge, tmp_path, **BOLOGNA)
    row = systems["name"].tolist().index("100001")
    assert systems["masked_fraction"][row] == pytest.approx(15 / SIZE**2)
    assert images[row].max() < 1e-9
    assert systems["snr"][row] > 20
    # in any other layout the value is not known to be a mark, but it is noticed
    with pytest.raises(ValueError, match=r"the value 100 is .* times the noise of the sky"):
        ingest(lonely, tmp_path, format="classes")


def ground(folder, number, pixels):
    for band, name in enumerate(("R", "I", "G", "U")):
        write(folder / f"Band{band + 1}/imageSDSS_{name}-{number}.fits", pixels[band], 0.2)


def test_bands_of_the_ground_set_are_chosen_by_name(tmp_path):
    for number in (100000, 100001):
        cube = [galaxy(number + 10 * b, flux=1000.0 * (b + 1)) for b in range(4)]
        ground(tmp_path / "in" / ("lens" if number % 2 else "nolens"), number, cube)
    write(tmp_path / "in/lens/Band1/imageSDSS_R-100002.fits", galaxy(2), 0.2)
    observation = {"pixel_scale": 0.2, "size": SIZE, "bands": ["g", "r", "i"]}
    settings = {"format": "bologna", "labels": {"lens": 1, "nolens": 0}, "observation": observation}
    systems, pixels, refused = ingest(tmp_path / "in", tmp_path, **settings)
    assert labels_of(systems) == {"100000": 0, "100001": 1}
    assert pixels.shape == (2, SIZE, SIZE, 3)
    assert pixels.sum(axis=(1, 2))[0] == pytest.approx([3000, 1000, 2000], abs=150)
    assert "there is no file of band 'g', but of: r" in "".join(refused.values())
    assert systems["snr"] == pytest.approx(
        np.sqrt(sum(systems[f"snr_{band}"] ** 2 for band in "gri"))
    )


def test_mixed_up_bands_are_noticed(tmp_path):
    one, two = galaxy(1), galaxy(2)
    ground(tmp_path / "in", 100013, [one, two, two, one])
    ground(tmp_path / "in", 100014, [galaxy(n) for n in range(4)])
    observation = {"pixel_scale": 0.2, "size": SIZE, "bands": ["r", "i", "g"]}
    systems, _, refused = ingest(
        tmp_path / "in", tmp_path, format="bologna", observation=observation
    )
    assert systems["name"].tolist() == ["100014"]
    assert "mixed up: 'i' and 'g'" in "".join(refused.values())


def test_class_folders_with_everything_that_lies_about_in_them(tmp_path):
    folder = tmp_path / "sims"
    lensed, unlensed = folder / "lensed_outputs/0", folder / "unlensed_outputs/0"
    write(lensed / "good.fits", galaxy(1))
    write(unlensed / "zipped.fits.gz", galaxy(2))
    holes = galaxy(3)
    holes[2:5, 2:5] = np.nan
    write(unlensed / "holes.fits", holes)
    write(lensed / "all_nan.fits", np.full((SIZE, SIZE), np.nan, np.float32))
    write(lensed / "zero.fits", np.zeros((SIZE, SIZE), np.float32))
    write(lensed / "constant.fits", np.full((SIZE, SIZE), 3.5, np.float32))
    write(lensed / "line.fits", np.ones(400, np.float32))
    write(lensed / "cube.fits", np.stack([galaxy(4), galaxy(5)]))
    write(lensed / "faint.fits", galaxy(6, flux=0.0))
    write(lensed / "half.fits", np.where(np.arange(SIZE) < SIZE // 2, np.nan, galaxy(7)))
    write(lensed / "clipped.fits", np.minimum(galaxy(8, flux=9000.0), 12))
    write(lensed / "sentinel.fits", np.where(galaxy(9) < 4, np.float32(-1e30), galaxy(9)))
    write(lensed / "corner.fits", np.where(np.add.outer(*2 * [np.arange(SIZE)]) < 33, 0, galaxy(1)))
    data = (unlensed / "zipped.fits.gz").read_bytes()
    (unlensed / "cut.fits.gz").write_bytes(data[: len(data) // 2])
    (lensed / "cut.fits").write_bytes((lensed / "good.fits").read_bytes()[:3500])
    (lensed / "text.fits").write_text("nothing to see")
    (lensed / "empty.fits").write_text("")
    (lensed / "notes.txt").write_text("best lenses: 3, 7")
    write(folder / "elsewhere/good.fits", galaxy(10))
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(galaxy(11), fits.Header([("PIXSCALE", 0.1)]))]
                 ).writeto(lensed / "extension.fits")  # fmt: skip

    labels = {"lensed_outputs/0": 1, "unlensed_outputs/0": 0}
    systems, _, refused = ingest(folder, tmp_path, format="classes", labels=labels, min_snr=8.0)
    assert labels_of(systems) == {
        "lensed_outputs/0/extension.fits": 1,
        "lensed_outputs/0/good.fits": 1,
        "unlensed_outputs/0/holes.fits": 0,
        "unlensed_outputs/0/zipped.fits.gz": 0,
    }
    assert systems["masked_fraction"].tolist() == pytest.approx([0, 0, 9 / SIZE**2, 0])
    reasons = {file.removeprefix("lensed_outputs/0/"): why for file, why in refused.items()}
    for file, expected in {
        "all_nan.fits": "every pixel is masked or not a number",
        "zero.fits": "the image is zero",
        "constant.fits": "the image is constant (3.5)",
        "line.fits": "its shape is (400,)",
        "cube.fits": "its shape is (2, 24, 24)",
        "faint.fits": "(min_snr: 8)",
        "half.fits": "0.500 of its pixels are masked or beyond the edge",
        "clipped.fits": "of its pixels are saturated (max_saturated_fraction: 0.02)",
        "sentinel.fits": "the value -1e+30 is",
        "corner.fits": "more than half of its border has one value (0)",
        "unlensed_outputs/0/cut.fits.gz": "truncated or damaged",
        "cut.fits": "truncated or damaged",
        "text.fits": "it is not a FITS or .npy file by its first bytes",
        "empty.fits": "it is not a FITS or .npy file by its first bytes",
        "notes.txt": "its name does not end in .fits or .fits.gz",
        "elsewhere/good.fits": "it lies in none of the folders of labels",
    }.items():
        assert expected in reasons.pop(file), file
    assert not reasons


def test_cubes_hold_the_bands_in_order_or_by_number(tmp_path):
    cube = np.stack([galaxy(n, flux=1000.0 * (n + 1)) for n in range(3)])
    write(tmp_path / "in/one.fits", cube)
    observation = OBSERVATION | {"bands": ["g", "r", "i"]}
    _, pixels, _ = ingest(tmp_path / "in", tmp_path, format="classes", observation=observation)
    assert pixels[0].sum(axis=(0, 1)) == pytest.approx([1000, 2000, 3000], abs=150)
    # as the configuration has bands, in their own order
    observation = OBSERVATION | {"bands": {"i": {"sky": 20.0}, "g": {"sky": 22.0}}}
    settings = {"format": "classes", "observation": observation, "bands": {"i": 2, "g": 0}}
    _, pixels, _ = ingest(tmp_path / "in", tmp_path, **settings)
    assert pixels[0].sum(axis=(0, 1)) == pytest.approx([3000, 1000], abs=150)
    assert store.attributes(tmp_path / "dataset.h5")["bands"] == '["i", "g"]'


def test_arrays_are_read_and_pickles_never(tmp_path):
    folder = tmp_path / "deep"
    (folder / "sub").mkdir(parents=True)
    np.save(folder / "sub/good.npy", galaxy(1).astype(np.float64))
    np.save(folder / "one_plane.npy", galaxy(2)[None])
    np.save(folder / "pickled.npy", np.array([galaxy(3), 0.7], object), allow_pickle=True)
    (folder / "cut.npy").write_bytes((folder / "one_plane.npy").read_bytes()[:900])
    np.save(folder / "complex.npy", galaxy(4).astype(complex))
    good = (folder / "sub/good.npy").read_bytes()
    for name, damage in (
        ("type", good.replace(b"'<f8'", b"',f8'")),
        ("end", good.replace(b"}", b" ")),
    ):
        (folder / f"{name}.npy").write_bytes(damage)
    settings = {"format": "npy", "pixel_scale": 0.1}
    systems, _, refused = ingest(folder, tmp_path, **settings)
    assert systems["name"].tolist() == ["one_plane.npy", "sub/good.npy"]
    assert systems["label_known"].tolist() == [0, 0]
    assert "without running code" in refused["pickled.npy"]
    for name in ("cut", "type", "end"):
        assert "cannot be read as .npy" in refused[f"{name}.npy"]
    assert "not real numbers" in refused["complex.npy"]


TABLE = """# cut-outs of a survey
name,r,F814W,label,z_lens,grade,n_img
first,a_r.fits,cube.fits[1],1,0.5,A,2
second,b_r.fits,cube.fits [0],0,,B,
"""


@pytest.fixture
def survey(tmp_path):
    """Return the path of a table of two systems in two bands."""
    folder = tmp_path / "survey"
    write(folder / "a_r.fits", galaxy(1, flux=1000.0))
    write(folder / "b_r.fits", galaxy(2, flux=2000.0))
    write(folder / "cube.fits", np.stack([galaxy(3, flux=3000.0), galaxy(4, flux=4000.0)]))
    (folder / "images.csv").write_text(TABLE)
    return folder / "images.csv"


RI = {
    "format": "table",
    "bands": {"i": "F814W"},
    "observation": OBSERVATION | {"bands": ["r", "i"]},
}


def test_a_table_names_files_and_planes_of_each_band(survey, tmp_path):
    systems, pixels, _ = ingest(survey, tmp_path, **RI)
    assert labels_of(systems) == {"first": 1, "second": 0}
    assert pixels.sum(axis=(1, 2)) == pytest.approx(np.array([[1e3, 4e3], [2e3, 3e3]]), abs=150)
    assert systems["file"][0] == "a_r.fits, cube.fits[1]"
    assert systems["z_lens"].tolist() == [0.5, 0.0]
    assert systems["z_lens_known"].tolist() == [1, 0]
    assert systems["grade"].tolist() == ["A", "B"]
    assert (systems["kind"] == 255).all()


def test_a_label_for_all_replaces_that_of_the_table(survey, tmp_path):
    systems, *_ = ingest(survey, tmp_path, **RI, label=1)
    assert systems["is_lens"].tolist() == [1, 1]


@pytest.mark.parametrize("text", ["1", "1.0", "1.", "+1", "1.000000000000000000e+00"])
def test_a_label_is_a_number_however_it_is_printed(text):
    assert cutout_layouts.parse_label(text) == (1, "")
    assert cutout_layouts.parse_label(text.replace("1", "0")) == (0, "")


def test_every_fault_of_a_table_is_named(survey, tmp_path):
    survey.write_text(
        TABLE
        + "twice,a_r.fits,cube.fits[1],1,,,\n"
        + "twice,b_r.fits,cube.fits[0],0,,,\n"
        + ",b_r.fits,cube.fits[0],0,,,\n"
        + "beyond,a_r.fits,cube.fits[2],1,,,\n"
        + "gone,no.fits,cube.fits[0],1,,,\n"
        + "blank,,cube.fits[0],1,,,\n"
        + "maybe,a_r.fits,cube.fits[0],0.5,,,\n"
        + "unknown,a_r.fits,cube.fits[0],,,,\n"
        + "which,a_r.fits,cube.fits,,,,\n"
    )
    systems, _, refused = ingest(survey, tmp_path, **RI)
    assert systems["name"].tolist() == ["first", "second", "unknown"]
    assert systems["label_known"].tolist() == [1, 1, 0]
    assert len(refused) == 7  # two of the rows name the same files
    text = "\n".join(refused.values())
    for expected in (
        "'twice' in 5, 6",
        "line 7: it has no name",
        "it has no plane 2; its shape is (2, 24, 24)",
        "no.fits, band 'r': there is no such file",
        "line 10: it names no file for band 'r'",
        "line 11: label '0.5' is neither 0",
        "its shape is (2, 24, 24), which is no image",
    ):
        assert expected in text


def test_files_can_be_named_by_a_template(survey, tmp_path):
    survey.write_text("object,stem\nmine,a\n")
    settings = {"format": "table", "name": "object", "files": "{stem}_{band}.fits"}
    observation = OBSERVATION | {"bands": ["r"]}
    systems, *_ = ingest(survey, tmp_path, observation=observation, **settings)
    assert systems["name"].tolist() == ["mine"]
    settings["files"] = "{root}_{band}.fits"
    with pytest.raises(ValueError, match=r"'root'.*it may hold \{band\} and the columns object"):
        ingest(survey, tmp_path, observation=observation, **settings)


def test_an_ecsv_table_keeps_its_units(survey, tmp_path):
    table = survey.with_suffix(".ecsv")
    names = ("name", "VIS", "radius")
    columns = "".join(
        f"# - {{name: {n}, {'unit: arcsec, ' if n == 'radius' else ''}datatype: string}}\n"
        for n in names
    )
    table.write_text(
        f"# %ECSV 1.0\n# ---\n# datatype:\n{columns}# delimiter: ','\n# schema: astropy-2.0\n"
        "name,VIS,radius\nmine,a_r.fits,1.25\n"
    )
    systems, *_ = ingest(table, tmp_path, format="table")
    assert systems["radius"].tolist() == [1.25]
    assert store.units(tmp_path / "dataset.h5")["systems"]["radius"] == "arcsec"


def test_columns_of_the_table_do_not_replace_what_is_measured(survey, tmp_path):
    survey.write_text("name,VIS,snr,kind,z,z_known\nmine,a_r.fits,-3,spiral,,yes\n")
    systems, *_ = ingest(survey, tmp_path, format="table")
    assert systems["snr"][0] > 5
    assert systems["snr_table"].tolist() == [-3]
    assert systems["kind_table"].tolist() == ["spiral"]
    assert systems["z_known"].tolist() == [0]
    assert systems["z_known_table"].tolist() == ["yes"]


def test_images_come_to_the_scale_of_the_observation_with_their_flux(tmp_path):
    for name, scale in (("fine", 0.05), ("same", 0.1005), ("coarse", 0.2)):
        size = round(4 / scale)
        axis = (np.arange(size) - (size - 1) / 2) * scale
        light = np.exp(-(axis[:, None] ** 2 + axis**2) / 0.32)
        noise = np.random.default_rng(1).normal(0, 0.1, (size, size))
        write(tmp_path / f"in/{name}.fits", 5000 * light / light.sum() + noise, scale)
    systems, pixels, _ = ingest(
        tmp_path / "in", tmp_path, format="classes", observation=OBSERVATION | {"size": 40}
    )
    assert systems["name"].tolist() == ["coarse.fits", "fine.fits", "same.fits"]
    assert systems["resampled"].tolist() == [1, 1, 0]
    assert pixels.sum(axis=(1, 2, 3)) == pytest.approx([5000] * 3, rel=0.01)
    peak = pixels.max(axis=(1, 2, 3))
    assert peak[:2] == pytest.approx([peak[2]] * 2, rel=0.08)
    assert "2 of 3 resampled to 0.1 arcsec" in store.attributes(tmp_path / "dataset.h5")["psf"]


def test_the_pixel_scale_is_that_of_the_setting_else_of_the_wcs_else_of_the_header(tmp_path):
    wcs = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 5.0}
    turned = 0.25 / 3600 * np.sqrt(0.5)
    matrix = {"CD1_1": -turned, "CD1_2": turned, "CD2_1": turned, "CD2_2": turned}
    folder = tmp_path / "in"
    write(folder / "a_wcs.fits", galaxy(1), 0.4, **wcs, **matrix)
    old = {"CDELT1": 0.25 / 3600, "CDELT2": 0.25 / 3600, "PC001001": -1.0, "PC002002": 1.0}
    write(folder / "b_old_wcs.fits", galaxy(2), None, **wcs, **old)
    write(folder / "c_header.fits", galaxy(3), 0.3)
    write(folder / "d_none.fits", galaxy(4), None)
    oblong = matrix | {"CD2_1": 2 * turned, "CD2_2": 2 * turned}
    write(folder / "e_oblong.fits", galaxy(5), None, **wcs, **oblong)
    settings = {"format": "classes", "max_masked_fraction": 1.0}
    systems, _, refused = ingest(folder, tmp_path, **settings)
    assert systems["native_pixel_scale"] == pytest.approx([0.25, 0.25, 0.3])
    assert refused["d_none.fits"].endswith("set pixel_scale [arcsec]")
    assert "its pixels are not square: 0.5 x 0.25 arcsec" in refused["e_oblong.fits"]
    # what is given is meant: also against a WCS that is wrong, which is then said of each
    systems, *_ = ingest(folder, tmp_path, **settings, pixel_scale=0.15)
    assert systems["native_pixel_scale"] == pytest.approx([0.15] * 5)
    notes = store.read(tmp_path / "dataset.h5", "notes")
    said = dict(zip(notes["file"], notes["reason"], strict=True))
    assert "its header says 0.25 arcsec a pixel; pixel_scale: 0.15 is used" in said["a_wcs.fits"]
    assert "its header says 0.3 arcsec" in said["c_header.fits"]
    assert "not square: 0.5 x 0.25 arcsec by the WCS; pixel_scale: 0.15" in said["e_oblong.fits"]
    assert set(said) == {"a_wcs.fits", "b_old_wcs.fits", "c_header.fits", "e_oblong.fits"}


def test_saturation_is_also_what_the_header_says(tmp_path):
    write(tmp_path / "in/a.fits", galaxy(1), SATURATE=6.0)
    write(tmp_path / "in/b.fits", galaxy(1), SATURATE=0.0)
    systems, _, refused = ingest(tmp_path / "in", tmp_path, format="classes")
    assert systems["name"].tolist() == ["b.fits"]
    assert "saturated" in refused["a.fits"]


def test_thresholds_come_from_the_settings(tmp_path):
    small = galaxy(1, size=SIZE - 4)
    write(tmp_path / "in/small.fits", small)
    with pytest.raises(ValueError, match=r"none of 1 candidates can be used:\n  small.fits: 0.306"):
        ingest(tmp_path / "in", tmp_path, format="classes")
    systems, pixels, _ = ingest(
        tmp_path / "in", tmp_path, format="classes", max_masked_fraction=0.31
    )
    assert systems["masked_fraction"][0] == pytest.approx(1 - (SIZE - 4) ** 2 / SIZE**2)
    assert (pixels[0, :2] == 0).all()


def test_pixels_are_hashed_before_anything_is_done_to_them(tmp_path):
    pixels = galaxy(1)
    write(tmp_path / "in/a.fits", pixels)
    write(tmp_path / "in/b.fits.gz", pixels.astype(">f4"))
    np.save(tmp_path / "in/c.npy", pixels)
    write(tmp_path / "in/d.fits", np.rot90(pixels))
    systems, *_ = ingest(tmp_path / "in", tmp_path, format="classes")
    assert systems["content_hash"][0] == systems["content_hash"][1]
    assert systems["content_hash"][0] != systems["content_hash"][2]
    arrays, *_ = ingest(tmp_path / "in", tmp_path, format="npy", pixel_scale=0.1)
    assert arrays["content_hash"][0] == systems["content_hash"][0]


def test_the_same_folder_gives_the_same_data(challenge, tmp_path):
    digests = []
    for _ in range(2):
        ingest(challenge, tmp_path, **BOLOGNA)
        facts = store.attributes(tmp_path / "dataset.h5")
        digests.append(facts["content_digest"])
    assert digests[0] == digests[1]
    settings = json.loads(facts["settings"])
    assert settings["observation"] == OBSERVATION
    assert settings["max_masked_fraction"] == 0.2
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"format": "tiff"}, "format 'tiff' is none of bologna, classes, npy, table"),
        ({"format": "classes", "bands": {"r": "F814W"}}, "bands: r is no band of the observation"),
        (BOLOGNA | {"label": 1}, "label and labels are both given"),
        ({"format": "classes", "labels": "a.csv"}, "needs a folder for each label"),
        ({"format": "classes", "labels": {"lens": 1}}, "'lens', which is not in .*there are: a, b"),
        (BOLOGNA | {"labels": "no.csv"}, "labels: there is no file .*no.csv"),
        ({"format": "classes", "labels": {"a": 2}}, "labels.a: 2 is neither 0"),
        ({"format": "npy"}, "none of 7 candidates can be used"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(challenge, tmp_path, settings, expected):
    with pytest.raises(ValueError, match=expected):
        ingest(challenge, tmp_path, **settings)
    assert not list(tmp_path.glob("*.h5"))
    assert not list(tmp_path.glob(".*"))


def refusal(folder, tmp_path, **observation):
    """Return why the one image in a folder is refused, and what the run says in all."""
    settings = {"format": "classes", "observation": OBSERVATION | observation}
    with pytest.raises(ValueError, match="none of 1 candidates") as caught:
        ingest(folder, tmp_path, **settings)
    return str(caught.value)


def test_a_cutout_smaller_than_the_frame_is_refused_with_both_sizes_and_the_remedy(tmp_path):
    write(tmp_path / "in/small.fits", galaxy(1, size=40), scale=0.04)
    why = refusal(tmp_path / "in", tmp_path)
    assert "40 x 40 pixels of 0.04 arcsec (1.6 x 1.6 arcsec)" in why
    assert "24 x 24 pixels of 0.1 arcsec (2.4 x 2.4 arcsec)" in why
    assert "an observation of size 16" in why
    assert "1 of them do not fill the frame of 24 pixels" in why
    _, pixels, _ = ingest(
        tmp_path / "in", tmp_path, format="classes", observation=OBSERVATION | {"size": 16}
    )
    assert pixels.shape == (1, 16, 16, 1)


def test_a_cutout_too_small_for_any_observation_of_this_scale_is_given_its_own(tmp_path):
    write(tmp_path / "in/tiny.fits", galaxy(1, size=36), scale=0.03)  # 1.08 arcsec
    assert "pixel_scale 0.03 and size 36" in refusal(tmp_path / "in", tmp_path)
    own = OBSERVATION | {"pixel_scale": 0.03, "size": 36}
    systems, *_ = ingest(tmp_path / "in", tmp_path, format="classes", observation=own)
    assert systems["masked_fraction"] == 0
    write(tmp_path / "few/few.fits", galaxy(1, size=12))
    assert "at least size 16 and take larger cut-outs" in refusal(tmp_path / "few", tmp_path)


def test_a_cutout_as_large_as_the_frame_is_not_called_too_small(tmp_path):
    write(tmp_path / "in/half.fits", np.where(np.arange(SIZE) < 8, np.nan, galaxy(1)))
    why = refusal(tmp_path / "in", tmp_path)
    assert "it is as large as the frame, so that they are masked" in why
    assert "write an observation" not in why


def test_the_narrowest_band_says_which_frame_it_fills(tmp_path):
    write(tmp_path / "in/a_g.fits", galaxy(1))
    write(tmp_path / "in/a_r.fits", galaxy(2, size=17))
    (tmp_path / "in/t.csv").write_text("name\na\n")
    settings = {
        "format": "table",
        "files": "{name}_{band}.fits",
        "observation": OBSERVATION | {"bands": ["g", "r"]},
    }
    with pytest.raises(ValueError, match=r"17 x 17 pixels .* an observation of size 17"):
        ingest(tmp_path / "in/t.csv", tmp_path, **settings)


def test_the_corners_of_an_image_are_pieces_of_sky_of_their_own(tmp_path):
    image = np.random.default_rng(3).normal(0, 1, (60, 60)).astype(np.float32)
    image[25:35, 25:35] += 1000  # what lies in the middle is in none of them
    (tmp_path / "sky").mkdir()
    np.save(tmp_path / "sky" / "a.npy", image)
    observation = {"pixel_scale": 0.2, "size": 16, "bands": {"i": {}}}
    settings = {"format": "npy", "labels": {"sky": 0}, "pixel_scale": 0.2, "place": "corners"}
    settings["observation"] = observation
    cutouts.ingest(tmp_path, tmp_path / "out.h5", "sky", "lens_finding", complete(settings))
    pixels = store.memmap(tmp_path / "out.h5", "cutouts", "pixels")
    assert pixels.shape == (4, 16, 16, 1) and np.abs(pixels).max() < 10
    assert (
        len(set(store.read(tmp_path / "out.h5", "systems", ["content_hash"])["content_hash"])) == 4
    )


def lens(seed, n=64):
    """Return an image of noise 1 and S/N 30."""
    axis = np.arange(n) - (n - 1) / 2
    light = np.exp(-(axis[:, None] ** 2 + axis**2) / 18)
    noise = np.random.default_rng(seed).normal(0.0, 1.0, (n, n))
    return (noise + 1200 * light / light.sum()).astype(np.float32)


FRAME = {"pixel_scale": 0.1, "size": 64, "bands": ["VIS"]}


def test_three_bad_images_in_200_are_refused_by_name(tmp_path):
    images = {f"{n:03}": lens(n) for n in range(200)}
    images["017"][:, 40:] = 0
    images["080"][3:20, 5:19] = -9999
    images["151"][3, 3], images["151"][50, 9] = 1e30, -1e30
    for name, image in images.items():
        write(tmp_path / "in" / f"{name}.fits", image)
    settings = {"format": "classes", "label": 1, "observation": FRAME}
    systems, pixels, refused = ingest(tmp_path / "in", tmp_path, **settings)
    assert {*refused} == {"017.fits", "080.fits", "151.fits"}
    assert "the value 0 is that of 1536 of its 4096 pixels" in refused["017.fits"]
    assert "the value -9999 is" in refused["080.fits"]
    assert "the value 1e+30 is" in refused["151.fits"]
    assert "(likewise -1e+30 in 1)" in refused["151.fits"]
    assert all("put it into mask_values" in reason for reason in refused.values())
    assert systems["snr"] == pytest.approx(30, abs=6)
    assert np.abs(pixels).max() < 60
    # what the message says is the remedy
    settings |= {"mask_values": [0, -9999, 1e30, -1e30], "max_masked_fraction": 0.5}
    systems, pixels, refused = ingest(tmp_path / "in", tmp_path, **settings)
    assert not refused
    masked = systems["masked_fraction"] * 64**2
    assert masked[[17, 80, 151]] == pytest.approx([1536, 17 * 14, 2])
    assert np.abs(pixels).max() < 60


@pytest.mark.parametrize("case", ["zeros_beyond_edge", "marks"])
def test_no_mark_of_the_collected_cases_is_taken_for_light(shared_cases, tmp_path, case):
    settings = {"format": "classes", "observation": FRAME, "max_masked_fraction": 0.5}
    folder = shared_cases / case / "in"
    for name in ("nan30.fits", "ref.fits"):  # masked by their owner
        if (folder / name).is_file():
            shutil.copytree(folder, tmp_path / "in", dirs_exist_ok=True)
    if not (tmp_path / "in").is_dir():
        shutil.copytree(folder, tmp_path / "in")
        write(tmp_path / "in/ref.fits", lens(1))
    systems, _, refused = ingest(tmp_path / "in", tmp_path, **settings)
    assert {*systems["name"]} <= {"nan30.fits", "ref.fits"}
    assert all("put it into mask_values" in reason for reason in refused.values())


def test_settings_say_from_where_a_value_is_a_mark(tmp_path):
    holes = lens(1)
    holes[5:8, 5:8] = 0  # 9 of 4096 pixels
    write(tmp_path / "in/holes.fits", holes)
    write(tmp_path / "in/good.fits", lens(2))
    settings = {"format": "classes", "observation": FRAME}
    assert [*ingest(tmp_path / "in", tmp_path, **settings)[2]] == ["holes.fits"]
    for laxer in ({"mark_pixels": 10}, {"mark_fraction": 0.01}, {"mark_ratio": 10}):
        assert not ingest(tmp_path / "in", tmp_path, **settings, **laxer)[2]
    holes[5:8, 5:8] = -9999
    (tmp_path / "in/holes.fits").unlink()
    write(tmp_path / "in/holes.fits", holes)
    laxer = {"mark_pixels": 10, "mark_below": 1e5}
    assert not ingest(tmp_path / "in", tmp_path, **settings, **laxer)[2]


def blurred(path, pixels, how):
    header = fits.Header([("PIXSCALE", 0.1)])
    if how == "BSCALE":  # steps of a sixteenth that begin at an odd place
        unit = fits.PrimaryHDU(np.round((pixels - 0.01) * 16).astype(np.int32), header)
        unit.header["BSCALE"], unit.header["BZERO"] = 1 / 16, 0.01
        fits.HDUList([unit]).writeto(path)
        return
    unit = fits.CompImageHDU(pixels, header, quantize_level=16, quantize_method=how, dither_seed=7)
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path)


@pytest.mark.parametrize("how", ["BSCALE", -1, 1, 2])
@pytest.mark.parametrize("value", [-99.0, -9999.0, 0.0])
def test_marks_that_storing_has_blurred_are_found_and_masked(tmp_path, how, value):
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = lens(3)
    pixels[:, 44:] = value
    blurred(folder / "bad.fits", pixels, how)
    blurred(folder / "good.fits", lens(4), how)
    settings = {"format": "classes", "observation": FRAME, "max_masked_fraction": 0.6}
    _, _, refused = ingest(folder, tmp_path, **settings)
    assert [*refused] == ["bad.fits"]
    assert "put it into mask_values" in refused["bad.fits"]
    systems, images, refused = ingest(folder, tmp_path, **settings, mask_values=[value])
    assert not refused
    exact = 20 / 64
    # of the sky, what cannot be told from zeros that a step has blurred goes as well
    assert systems["masked_fraction"][0] == pytest.approx(exact, abs=0.1 if value == 0 else 1e-9)
    assert systems["snr"] == pytest.approx(30, abs=5)
    assert np.abs(images).max() < 60


def test_a_sky_of_single_photons_is_called_so(tmp_path):
    counts = np.random.default_rng(1).poisson(0.3 + 0.05 * np.maximum(lens(1), 0))
    write(tmp_path / "in/counts.fits", counts.astype(np.int32))
    with pytest.raises(ValueError, match=r"its sky is counted in single photons \(0"):
        ingest(tmp_path / "in", tmp_path, format="classes", observation=FRAME)


@pytest.mark.parametrize("unit", [1e-34, 1e-31, 1e-20, 1.0, 1e20, 1e34])
def test_any_unit_of_flux_that_32_bits_hold_comes_in(tmp_path, unit):
    write(tmp_path / "in/mine.fits", lens(1).astype(np.float64) * unit)
    write(tmp_path / "in/plain.fits", lens(1))
    write(tmp_path / "in/short.fits", (lens(1).astype(np.float64) * unit).astype(np.float32))
    settings = {"format": "classes", "observation": FRAME}
    systems, pixels, _ = ingest(tmp_path / "in", tmp_path, **settings)
    assert systems["snr"] == pytest.approx([systems["snr"][1]] * 3, rel=1e-5)
    assert pixels[0] == pytest.approx(pixels[1] * np.float64(unit), rel=1e-5, abs=1e-5 * unit)
    assert pixels[2] == pytest.approx(pixels[0], rel=1e-6, abs=1e-6 * unit)


@pytest.mark.parametrize("unit", [1e-45, 1e-42, 1e-37, 1e37, 1e60])
def test_a_unit_of_flux_that_32_bits_cannot_hold_is_refused(tmp_path, unit):
    write(tmp_path / "in/mine.fits", lens(1).astype(np.float64) * unit)
    write(tmp_path / "in/good.fits", lens(2))
    settings = {"format": "classes", "observation": FRAME}
    systems, _, refused = ingest(tmp_path / "in", tmp_path, **settings)
    assert systems["name"].tolist() == ["good.fits"]
    assert "use another unit of flux" in refused["mine.fits"]


@pytest.mark.parametrize("form", ["f4", "f8", "i2", "u2", "cube", "gz", "fz", "npy"])
def test_a_large_file_that_is_mapped_gives_what_a_whole_one_does(tmp_path, monkeypatch, form):
    folder, image = tmp_path / "in", lens(1, 120)
    folder.mkdir()
    image[2:4, 2:9] = np.nan
    name, header = "a.fits", fits.Header([("PIXSCALE", 0.1)])
    whole = np.where(np.isfinite(image), np.round(image * 100), -32768).astype(np.int16)
    if form == "npy":
        np.save(folder / "a.npy", image)
    elif form == "fz":
        unit = fits.CompImageHDU(image, header)
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(folder / name)
    elif form == "i2":
        unit = fits.PrimaryHDU(whole, header)
        unit.header["BSCALE"], unit.header["BZERO"], unit.header["BLANK"] = 0.01, 5.0, -32768
        unit.writeto(folder / name)
    elif form == "u2":
        write(folder / name, (lens(1, 120) * 100 + 4000).astype(np.uint16))
    elif form == "cube":
        write(folder / name, image[None])
    else:
        write(
            folder / ("a.fits.gz" if form == "gz" else name),
            image.astype(form if form != "gz" else "f4"),
        )
    settings = {
        "format": "npy" if form == "npy" else "classes",
        "observation": FRAME,
        "pixel_scale": 0.1,
    }
    expected, pixels, _ = ingest(folder, tmp_path, **settings)
    pixels = np.array(pixels)
    monkeypatch.setattr(cutout_files, "LARGE", 1000)
    found, again, _ = ingest(folder, tmp_path, **settings)
    assert again == pytest.approx(pixels, rel=1e-6, abs=1e-5)
    for column in ("snr_VIS", "masked_fraction", "sky_VIS", "native_height", "native_width"):
        assert found[column] == pytest.approx(expected[column], rel=1e-6)
    # and of a mosaic only the middle is looked at: a bad value at its rim does not count
    monkeypatch.setattr(cutouts, "WHOLE", 10)
    monkeypatch.setattr(cutouts, "TIMES", 1)
    cut, middle, _ = ingest(folder, tmp_path, **settings)
    assert cut["native_height"] == [120]
    assert middle - middle.mean() == pytest.approx(pixels - pixels.mean(), rel=1e-6, abs=1e-4)


PEAK = """
import resource, sys
from lensmill import experiments
from lensmill.cutouts import ingest as cutouts
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
observation = {"pixel_scale": 0.1, "size": 101, "bands": ["VIS"]}
settings = {"ingest": "", "format": "classes", "observation": observation}
settings = experiments.population_settings("lens_finding", settings)
cutouts.ingest(sys.argv[1], sys.argv[2], "mosaic", "lens_finding", settings)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6)
"""


@pytest.mark.parametrize("bits", [-32, 16, -64])
def test_a_mosaic_of_12000_pixels_goes_through_little_memory(tmp_path, bits):
    n, middle = 12_000, slice(4500, 7500)
    cards = [("SIMPLE", True), ("BITPIX", bits), ("NAXIS", 2), ("NAXIS1", n), ("NAXIS2", n)]
    cards += [("PIXSCALE", 0.1)] + ([("BSCALE", 0.01), ("BZERO", 0.0)] if bits > 0 else [])
    header = fits.Header(cards).tostring().encode()
    kind = {-32: ">f4", 16: ">i2", -64: ">f8"}[bits]
    path = tmp_path / "in/mosaic.fits"
    path.parent.mkdir()
    size = len(header) + n * n * np.dtype(kind).itemsize
    with path.open("wb") as file:  # sparse: only the middle lies on the disk
        file.write(header)
        file.truncate(size + -size % 2880)
    pixels = np.memmap(path, kind, "r+", len(header), (n, n))
    pixels[middle, middle] = lens(1, 3000) * (100 if bits > 0 else 1)
    pixels.flush()
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path.parent), str(tmp_path / "d.h5")],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(cutouts.__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1.0  # GB
    systems = store.read(tmp_path / "d.h5", "systems")
    assert systems["native_height"].tolist() == systems["native_width"].tolist() == [n]
    assert systems["sky_sigma_VIS"] == pytest.approx([1.0], rel=0.01)
    assert systems["snr"] == pytest.approx([30], abs=5)


def test_the_guide_has_every_setting_with_its_default():
    text = (Path(__file__).parents[1] / "docs/survey_images.md").read_text()
    text = text[text.index("## 3. The settings") : text.index("## 4.")]
    listed = {}
    for names, values in re.findall(r"^\| (`[^|]*`) \| ([^|]+) \|", text, re.MULTILINE):
        defaults = [value.strip("` ") for value in values.split(",")]
        for name, value in zip(re.findall("`(.*?)`", names), defaults, strict=False):
            listed[name] = yaml.safe_load(value)
    expected = complete({})
    del expected["ingest"]
    assert {name: listed[name] for name in expected} == expected


def test_the_examples_of_the_guide_are_settings():
    text = (Path(__file__).parents[1] / "docs/survey_images.md").read_text()
    known = {*complete({}), "format", "observation"}
    seen = 0
    for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        found = yaml.safe_load(block)
        found = found.get("experiments", {}).get("lens_finding", found).get("populations", found)
        for population in found.values():
            if "ingest" in population:
                assert {*population} <= known
                seen += 1
    assert seen >= 8


def named(folder, header, *rows):
    """Write a table whose first two columns are ``name,VIS``, and its images."""
    lines = ["name,VIS," + header]
    for i, row in enumerate(rows):
        write(folder / f"c{i}.fits", galaxy(i))
        lines.append(f"J{i},c{i}.fits,{row}")
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    return folder / "t.csv"


def test_numbers_that_are_names_stay_what_they_are(tmp_path):
    ids = 43158176442354198, 43158176442354199, 43158176442354201
    rows = [f"{ids[0]},000120,1e0,0.3,", f"{ids[1]},000121,1e1,0.40,7", f"{ids[2]},000122,1e2,,"]
    path = named(tmp_path / "in", "object_id,run,tile,z,spec_id", *rows)
    systems, _, _ = ingest(path, tmp_path, format="table")
    assert systems["object_id"].dtype == np.int64
    assert systems["object_id"].tolist() == list(ids)
    assert systems["run"].tolist() == ["000120", "000121", "000122"]
    assert systems["tile"].tolist() == ["1e0", "1e1", "1e2"]
    assert systems["z"].tolist() == [0.3, 0.4, 0.0]
    assert systems["z_known"].tolist() == [1, 1, 0]
    assert systems["spec_id"].dtype == np.int64
    assert systems["spec_id_known"].tolist() == [0, 1, 0]


def test_integers_of_an_ecsv_with_masked_cells_keep_every_digit(tmp_path):
    for i in range(2):
        write(tmp_path / f"in/c{i}.fits", galaxy(i))
    ids = MaskedColumn([43158176442354199, 0], mask=[False, True])
    Table({"name": ["000120", "1e0"], "VIS": ["c0.fits", "c1.fits"], "id": ids}).write(
        tmp_path / "in/t.ecsv"
    )
    systems, _, _ = ingest(tmp_path / "in/t.ecsv", tmp_path, format="table")
    assert systems["name"].tolist() == ["000120", "1e0"]
    assert systems["id"].tolist() == [43158176442354199, 0]
    assert systems["id_known"].tolist() == [1, 0]


def test_numbers_with_a_decimal_comma_are_kept_as_text_and_named(tmp_path, caplog):
    path = named(tmp_path / "in", "z", '"0,3"', '"0,45"')
    systems, _, _ = ingest(path, tmp_path, format="table")
    assert systems["z"].tolist() == ["0,3", "0,45"]
    assert "column 'z' is kept as text because of '0,3'" in caplog.text
    assert "write decimals with a point" in caplog.text


def test_a_table_with_semicolons_is_refused_by_its_cause(tmp_path):
    (tmp_path / "t.csv").write_text("name;VIS;z\na;a.fits;0,5\n")
    with pytest.raises(
        ValueError, match=r"t\.csv: line 1: the columns are separated by semicolons"
    ):
        ingest(tmp_path / "t.csv", tmp_path, format="table")


def test_folders_called_0_and_1_are_labels(tmp_path):
    for label in (0, 1):
        for i in range(2):
            write(tmp_path / f"in/{label}/{i}.fits", galaxy(10 * label + i))
    labels = yaml.safe_load("{0: 0, 1: 1}")  # of whole numbers
    systems, _, _ = ingest(tmp_path / "in", tmp_path, format="classes", labels=labels)
    assert labels_of(systems) == {"0/0.fits": 0, "0/1.fits": 0, "1/0.fits": 1, "1/1.fits": 1}
    with pytest.raises(ValueError, match="a key is the truth value true"):
        ingest(tmp_path / "in", tmp_path, format="classes", labels={True: 1})


def test_ids_that_a_program_wrote_as_floats_still_join(challenge, tmp_path):
    path = next(challenge.glob("*.csv*"))
    text = (
        gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    ).decode()
    (challenge / "floats.csv").write_text(re.sub(r"^(\d+)", r"\1.0", text, flags=re.MULTILINE))
    wanted, _, _ = ingest(challenge, tmp_path, format="bologna", labels=path.name)
    found, _, _ = ingest(challenge, tmp_path, format="bologna", labels="floats.csv")
    assert labels_of(found) == labels_of(wanted)
