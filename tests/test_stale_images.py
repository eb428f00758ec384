"""Images are inputs: one that is replaced, added or removed makes the data anew."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from lensmill.cutouts import layouts as cutout_layouts
from lensmill.pipeline import freshness, store

ROOT = Path(__file__).parents[1]
DATA = Path("results/lens_finding/data/mine")
COMMON = {"observation": "euclid_vis", "pixel_scale": 0.1}


def image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    sky = np.random.default_rng(seed).normal(0, 1, (64, 64))
    sky[28:36, 28:36] += 20
    fits.PrimaryHDU(sky.astype(np.float32)).writeto(path, overwrite=True)


@pytest.fixture(params=["classes", "table"])
def folder(request, tmp_path):
    """Return the folder of a run that has read two images, one of them in a sub-folder."""
    image(tmp_path / "mine/one.fits", 1)
    image(tmp_path / "mine/deep/er/two.fits", 2)
    population = COMMON | {"ingest": "mine", "format": "classes"}
    if request.param == "table":
        rows = "name,VIS\none,mine/one.fits\ntwo,mine/deep/er/two.fits\n"
        (tmp_path / "images.csv").write_text(rows)
        population = COMMON | {"ingest": "images.csv", "format": "table"}
    settings = {"experiments": {"lens_finding": {"populations": {"mine": population}}}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    snakemake(tmp_path)
    return tmp_path


def snakemake(folder, *arguments):
    """Ask for the data set; return what Snakemake said."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"),
            *("--directory", folder, "--configfile", folder / "mine.yaml", "--cores", "1"),
            *(*arguments, "--", DATA / "dataset.h5"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def names(folder):
    return sorted(Path(n).stem for n in store.read(folder / DATA / "dataset.h5", "systems")["file"])


def test_images_that_did_not_change_are_not_read_again(folder):
    assert "Nothing to be done" in snakemake(folder)


def test_an_image_that_is_replaced_in_place_makes_the_data_anew_once(folder):
    before = store.attributes(folder / DATA / "dataset.h5")["content_digest"]
    image(folder / "mine/deep/er/two.fits", 3)
    assert "rule ingest:" in snakemake(folder, "--dry-run")
    snakemake(folder)
    assert store.attributes(folder / DATA / "dataset.h5")["content_digest"] != before
    assert "Nothing to be done" in snakemake(folder)


def test_an_image_that_comes_or_goes_in_a_sub_folder_makes_the_data_anew(folder):
    table = folder / "images.csv"
    image(folder / "mine/deep/er/three.fits", 3)
    if table.exists():
        table.write_text(table.read_text() + "three,mine/deep/er/three.fits\n")
    snakemake(folder)
    assert names(folder) == ["one", "three", "two"]
    (folder / "mine/deep/er/two.fits").unlink()
    snakemake(folder)
    assert names(folder) == ["one", "three"]
    assert "Nothing to be done" in snakemake(folder)


def test_folders_behind_links_are_part_of_a_sample_and_links_that_go_round_end(tmp_path):
    image(tmp_path / "elsewhere/one.fits", 1)
    image(tmp_path / "mine/two.fits", 2)
    (tmp_path / "mine/lenses").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "mine/gone.fits").symlink_to("nowhere.fits")  # it will be refused by name
    (tmp_path / "mine/itself.fits").symlink_to("itself.fits")
    (tmp_path / "elsewhere/round").symlink_to(tmp_path / "mine")
    (tmp_path / "elsewhere/up").symlink_to("..")
    names = ("gone.fits", "itself.fits", "lenses/one.fits", "two.fits")
    listed = [str(tmp_path / "mine" / name) for name in names]
    assert [*freshness.files(str(tmp_path / "mine"))] == listed
    assert cutout_layouts.files_of(tmp_path / "mine", {"format": "classes"}) == listed


def test_the_state_of_files_is_their_names_sizes_and_times(tmp_path):
    one, listed = tmp_path / "one", tmp_path / "files.json"
    one.write_text("a")
    listed.write_text(f'["{one}", "{tmp_path / "two"}"]')
    seen = [freshness.states(listed)]
    os.utime(one, ns=(1, 1))
    seen.append(freshness.states(listed))
    one.write_text("ab")
    os.utime(one, ns=(1, 1))
    seen.append(freshness.states(listed))
    one.unlink()
    seen.append(freshness.states(listed))
    assert len({*seen}) == 4
