"""Images in archives and stacks are those of files of their own, row by row."""

import io
import shutil
import tarfile
import zipfile

import h5py
import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from ingested import complete
from pyarrow import parquet

from lensmill.cutouts import archives, files, layouts
from lensmill.cutouts import ingest as cutouts
from lensmill.pipeline import freshness, store

SIZE, IMAGES = 24, 6
OBSERVATION = {"pixel_scale": 0.1, "size": SIZE, "bands": ["VIS"]}


def galaxies():
    axis = np.arange(SIZE) - (SIZE - 1) / 2
    light = np.exp(-(axis[:, None] ** 2 + axis**2) / 18)
    noise = np.random.default_rng(1).normal(5.0, 1.0, (IMAGES, SIZE, SIZE))
    return (noise + 2000 * light / light.sum()).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    for i, pixels in enumerate(galaxies()):
        path = tmp_path / f"images/{'lenses' if i % 2 else 'others'}/{i}.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        fits.PrimaryHDU(pixels).writeto(path)
    (tmp_path / "images/notes.txt").write_text("no image")
    return tmp_path / "images"


def ingest(source, output, **settings):
    given = {"observation": OBSERVATION, "pixel_scale": 0.1} | settings
    cutouts.ingest(source, output, "mine", "lens_finding", complete(given))
    systems, refused = store.read(output, "systems"), store.read(output, "refused")
    reasons = dict(zip(refused["file"], refused["reason"], strict=True))
    return systems, store.read(output, "cutouts")["pixels"], reasons


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_is_read_as_the_folder_that_it_was_made_of(folder, tmp_path, kind):
    archive = shutil.make_archive(str(tmp_path / "survey"), kind, folder)
    labels = {"lenses": 1, "others": 0}
    expected = ingest(folder, tmp_path / "one.h5", format="classes", labels=labels)
    found = ingest(
        tmp_path / f"survey.{kind}", tmp_path / "two.h5", format="classes", labels=labels
    )
    assert np.array_equal(found[1], expected[1])
    for name in ("file", "name", "content_hash", "is_lens", "snr"):
        assert found[0][name].tolist() == expected[0][name].tolist()
    assert found[2].keys() == expected[2].keys() == {"notes.txt"}
    assert freshness.count(archive) >= IMAGES
    assert layouts.files_of(tmp_path / f"survey.{kind}", {"format": "classes"}) == [archive]


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_table_names_members_of_an_archive(folder, tmp_path, kind):
    shutil.make_archive(str(tmp_path / "survey"), kind, folder)
    rows = [f"o{i},survey.{kind}/{'lenses' if i % 2 else 'others'}/{i}.fits" for i in range(IMAGES)]
    rows += [f"gone,survey.{kind}/7.fits", f"text,survey.{kind}/notes.txt"]
    (tmp_path / "images.csv").write_text("\n".join(["name,VIS", *rows]))
    systems, pixels, refused = ingest(tmp_path / "images.csv", tmp_path / "one.h5", format="table")
    assert systems["name"].tolist() == [f"o{i}" for i in range(IMAGES)]
    assert np.allclose(pixels[..., 0] - galaxies(), -5, atol=1)
    assert "there is no '7.fits' in the archive" in refused[f"survey.{kind}/7.fits"]
    assert "it is not a FITS or .npy file" in refused[f"survey.{kind}/notes.txt"]
    source = files.Source(tmp_path / f"survey.{kind}", member="others/0.fits")
    assert files.card(source, "NAXIS1") == SIZE


def write_stacks(path, kind, images):
    if kind == "h5":
        with h5py.File(path, "w") as file:
            file["deep/VIS"], file["other"] = images, np.arange(5)
            file.create_dataset("packed", data=images[::-1], compression="gzip")
    elif kind == "parquet":
        columns = {"deep/VIS": images.tolist(), "packed": images[::-1].tolist()}
        parquet.write_table(pa.table({**columns, "other": range(len(images))}), path)
    elif kind == "npz":
        np.savez(path, **{"deep/VIS": images, "packed": images[::-1], "other": np.arange(5)})
    else:
        np.savez_compressed(path, **{"deep/VIS": images, "packed": images[::-1]})


@pytest.mark.parametrize("kind", ["h5", "npz", "packed.npz", "parquet"])
def test_a_row_of_a_stack_is_an_image(folder, tmp_path, kind):
    images = galaxies()
    write_stacks(tmp_path / f"stack.{kind}", kind, images)
    rows = [f"o{i},{i}" for i in range(IMAGES)] + ["more,6"]
    (tmp_path / "images.csv").write_text("\n".join(["name,row", *rows]))
    expected = ingest(folder, tmp_path / "one.h5", format="classes")
    by_file = dict(zip(expected[0]["file"], expected[0]["content_hash"], strict=True))
    wanted = [by_file[f"{'lenses' if i % 2 else 'others'}/{i}.fits"] for i in range(IMAGES)]
    for name, hashes in (("deep/VIS", wanted), ("packed", wanted[::-1])):
        systems, _, refused = ingest(
            *(tmp_path / "images.csv", tmp_path / "two.h5"),
            format="table",
            files=f"stack.{kind}[{name}][{{row}}]",
        )
        assert systems["content_hash"].tolist() == hashes
        (reason,) = refused.values()
        assert "it has no row 6; its shape is (6, 24, 24)" in reason


LINES = pa.list_(pa.float32())


def forms_of(images):
    """Return a column of images in each of the forms that surveys and libraries write."""
    cubes = np.stack([images, 2 * images], axis=1)
    bands = pa.array([["g", "r"]] * len(images))
    flux = pa.array(cubes.tolist(), pa.list_(pa.list_(LINES)))
    flat = images.reshape(len(images), -1)
    return {
        "nested": (pa.array(images.tolist(), pa.list_(LINES)), images),
        "large": (pa.array(images.tolist(), pa.large_list(pa.large_list(pa.float64()))), images),
        "flat": (pa.array(flat.tolist(), LINES), images),
        "fixed": (pa.FixedSizeListArray.from_arrays(flat.ravel(), flat.shape[1]), images),
        "tensor": (pa.FixedShapeTensorArray.from_numpy_ndarray(images), images),
        "tensors.1": (pa.FixedShapeTensorArray.from_numpy_ndarray(cubes), 2 * images),
        "image.flux.1": (pa.StructArray.from_arrays([bands, flux], ["band", "flux"]), 2 * images),
    }


def test_rows_of_parquet_are_images_whatever_their_form_and_order(tmp_path):
    images = np.random.default_rng(2).normal(size=(150, 8, 8)).astype(np.float32)
    forms = forms_of(images)
    columns = {name.split(".")[0]: column for name, (column, _) in forms.items()}
    parquet.write_table(pa.table(columns), tmp_path / "stack.parquet", row_group_size=70)
    for name, (_, wanted) in forms.items():
        for row in (0, 1, 63, 64, 69, 70, 149, 3, 139, 140, 148):
            source = layouts.find_source(tmp_path, f"stack.parquet[{name}][{row}]")
            assert np.array_equal(files.read(source).pixels, wanted[row])


def test_a_row_of_parquet_that_is_no_image_is_refused_alone(tmp_path):
    images = galaxies()
    rows = images.tolist()
    rows[1], rows[2][5], rows[3][0][0] = None, rows[2][5][:-1], None
    columns = {"VIS": rows, "flat": [row[:17] for row in images.reshape(IMAGES, -1).tolist()]}
    parquet.write_table(pa.table(columns), tmp_path / "stack.parquet")
    table = "\n".join(["name,row", *(f"o{i},{i}" for i in range(IMAGES))])
    (tmp_path / "images.csv").write_text(table)
    given = {"format": "table", "files": "stack.parquet[{band}][{row}]"}
    systems, _, refused = ingest(tmp_path / "images.csv", tmp_path / "one.h5", **given)
    assert systems["name"].tolist() == ["o0", "o3", "o4", "o5"]
    assert systems["masked_fraction"].tolist() == [0, 1 / SIZE**2, 0, 0]
    said = [refused[f"stack.parquet[VIS][{row}]"] for row in (1, 2)]
    start = "stack.parquet, band 'VIS': row"
    assert said[0].startswith(f"{start} 1 of its column 'VIS' is empty; write images as nested")
    assert said[1].startswith(f"{start} 2 of its column 'VIS' has lines of different lengths: [23")
    with pytest.raises(files.Refused, match=r"row 0 of its column 'flat' is a list of 17 numbers"):
        files.read(layouts.find_source(tmp_path, "stack.parquet[flat][0]"))


def test_columns_of_bytes_and_damaged_parquet_are_refused_with_what_to_do(tmp_path):
    parquet.write_table(pa.table({"VIS": [b"one", b"two"]}), tmp_path / "bytes.parquet")
    parquet.write_table(pa.table({"z": [0.5, 0.7]}), tmp_path / "numbers.parquet")
    whole = tmp_path / "whole.parquet"
    parquet.write_table(pa.table({"VIS": galaxies().tolist()}), whole)
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:2000])
    for name, reason in (
        ("bytes", "column 'VIS' holds bytes.*write images as nested lists"),
        ("numbers", "it holds no stack of images"),
        ("cut", "it cannot be read, truncated or damaged"),
    ):
        with pytest.raises(files.Refused, match=reason):
            files.read(layouts.find_source(tmp_path, f"{name}.parquet[VIS][0]"))


def test_what_is_no_stack_and_no_archive_is_named(folder, tmp_path):
    write_stacks(tmp_path / "stack.h5", "h5", galaxies())
    with h5py.File(tmp_path / "empty.h5", "w") as file:
        file["x"] = np.arange(4)
    (tmp_path / "broken.h5").write_bytes((tmp_path / "stack.h5").read_bytes()[:600])
    np.savez(tmp_path / "objects.npz", x=np.array([{}, {}], object))
    shutil.make_archive(str(tmp_path / "survey"), "gztar", folder)
    (tmp_path / "survey.tar").write_bytes((tmp_path / "survey.tar.gz").read_bytes())
    for text, reason in (
        ("stack.h5[deep/VIS]", "it is a stack of 6 images; number the one that is meant"),
        ("stack.h5[shallow][1]", r"it has no image in an extension \[shallow\]; there are"),
        ("empty.h5[x][0]", "it holds no stack of images"),
        ("broken.h5[x][0]", "it cannot be read, truncated or damaged"),
        ("objects.npz[x][0]", "holds objects, not numbers"),
        ("survey.tar/0.fits", "packed as a whole .* has to be unpacked with gunzip"),
        ("gone.tar/0.fits", "there is no such file"),
    ):
        with pytest.raises(files.Refused, match=reason):
            files.read(layouts.find_source(tmp_path, text))
    with pytest.raises(ValueError, match="has to be unpacked with gunzip"):
        archives.members(tmp_path / "survey.tar")


def test_a_file_in_a_tar_is_found_whatever_lies_before_it(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, data in (("./long/" + 120 * "n", b"first"), ("b", b""), ("c", b"third")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    changed = (tmp_path / "a.tar").stat().st_mtime_ns
    read = [archives.read(tmp_path / "a.tar", changed, n) for n in ("long/" + 120 * "n", "b", "c")]
    assert read == [b"first", b"", b"third"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/y", b"data")
    assert archives.members(tmp_path / "a.zip") == ["x/y"]
