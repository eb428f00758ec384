"""The workflow reads a survey in shards: what comes later makes no full shard anew."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits

from lensmill.pipeline import freshness, store

ROOT = Path(__file__).parents[1]
DATA = Path("results/lens_finding/data/mine")


def image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    sky = np.random.default_rng(seed).normal(0, 1, (64, 64))
    sky[28:36, 28:36] += 20
    fits.PrimaryHDU(sky.astype(np.float32)).writeto(path, overwrite=True)


def snakemake(folder, *targets, options=(), code=0):
    """Ask for results; return the shards that were read, and what else was done."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"),
            *("--directory", folder, "--configfile", folder / "mine.yaml", "--cores", "1"),
            *(*options, "--", *targets),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code, done.stdout
    rules = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):", done.stdout, re.MULTILINE)
    shards = sorted(re.findall(r"output: \S*/shards/(\d+)\.h5", done.stdout))
    return shards, {*rules} - {"ingest_shard"}


def settings_of(folder, **population):
    population = {"observation": "euclid_vis", "pixel_scale": 0.1, "images_per_job": 3} | population
    settings = {"experiments": {"lens_finding": {"populations": {"mine": population}}}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(settings))


@pytest.fixture
def table(tmp_path):
    """Return the table of eight images, the settings of which ask for three a job."""
    for i in range(12):
        image(tmp_path / f"cut-outs/{i}.fits", i)
    rows = [f"o{i},cut-outs/{i}.fits" for i in range(8)]
    (tmp_path / "images.csv").write_text("\n".join(["name,VIS", *rows, ""]))
    settings_of(tmp_path, ingest="images.csv", format="table")
    return tmp_path / "images.csv"


def test_only_shards_whose_images_changed_are_read_again(table):
    folder, index = table.parent, DATA / "index.json"
    assert snakemake(folder, index) == (
        ["00000", "00001", "00002"],
        {"plan_ingestion", "index_shards"},
    )
    text = json.loads((folder / index).read_text())
    assert (text["used"], text["copies"]) == (8, 0)
    assert snakemake(folder, index) == ([], set())
    # one that is replaced in place, others that come behind it in the table
    image(folder / "cut-outs/4.fits", 44)
    assert snakemake(folder, index) == (["00001"], {"index_shards"})
    table.write_text(table.read_text() + "".join(f"n{i},cut-outs/{i}.fits\n" for i in range(8, 12)))
    made = ["00002", "00003"], {"plan_ingestion", "index_shards"}
    assert snakemake(folder, index) == made
    assert json.loads((folder / index).read_text())["used"] == 12
    assert snakemake(folder, index) == ([], set())
    # a shard that was lost, or killed on its way, is made anew and no other
    (folder / DATA / "shards/00001.h5").unlink()
    (folder / index).unlink()
    assert snakemake(folder, index) == (["00001"], {"index_shards"})


def test_a_data_set_of_shards_is_that_of_one_job(table):
    folder, dataset = table.parent, DATA / "dataset.h5"
    shards, rules = snakemake(folder, dataset)
    assert (len(shards), rules) == (3, {"plan_ingestion", "merge_ingested"})
    facts = store.attributes(folder / dataset)
    (folder / dataset).unlink()
    settings_of(folder, ingest="images.csv", format="table", images_per_job=100)
    assert snakemake(folder, dataset)[0] == ["00000"]
    settings = yaml.safe_load((folder / "mine.yaml").read_text())
    del settings["experiments"]["lens_finding"]["populations"]["mine"]["images_per_job"]
    again = store.attributes(folder / dataset)
    (folder / "mine.yaml").write_text(yaml.safe_dump(settings))
    (folder / dataset).unlink()
    assert snakemake(folder, dataset) == ([], {"list_files", "ingest"})
    whole = store.attributes(folder / dataset)
    for key in ("content_digest", "settings", "candidates", "used", "psf", "source_digest"):
        assert facts[key] == again[key] == whole[key]


def test_images_of_a_folder_that_is_not_whole_are_named_and_counted(tmp_path):
    for i in range(5):
        image(tmp_path / f"mine/{i}.fits", i)
    (tmp_path / "mine/1.fits").write_bytes(b"SIMPLE")
    (tmp_path / "mine/notes.txt").write_text("no image")
    settings_of(tmp_path, ingest="mine", format="classes")
    shards, _ = snakemake(tmp_path, DATA / "index.json")
    assert len(shards) == 2
    text = json.loads((tmp_path / DATA / "index.json").read_text())
    assert (text["candidates"], text["used"], text["refused"]) == (6, 4, 2)
    refused = store.read(tmp_path / DATA / "shards/00000.h5", "refused")
    assert refused["file"].tolist() == ["1.fits"]


def test_files_and_lines_are_counted(tmp_path):
    image(tmp_path / "folder/deep/one.fits", 1)
    image(tmp_path / "folder/two.fits", 1)
    assert freshness.count(str(tmp_path / "folder")) == 2
    for i, text in enumerate(("name\na\nb\n", "name\na\nb", "name\n")):
        (tmp_path / f"{i}.csv").write_text(text)
        assert freshness.count(str(tmp_path / f"{i}.csv")) == (2, 2, 0)[i]
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"files": [str(tmp_path / "0.csv")]}))
    before = freshness.state_of_plan(plan)
    os.utime(tmp_path / "0.csv", ns=(1, 1))
    assert freshness.state_of_plan(plan) != before
