"""A survey in two stages by the rules: mocks, two networks, a threshold, shards and a ranking."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from lensmill.pipeline import store

ROOT = Path(__file__).parents[5]
RESULTS = Path("results/lens_finding")
# Lenses whose arcs are bright, and galaxies without any: two networks of seconds tell them apart
MOCKS = {"family": "epl_shear", "prior": "galaxies", "observation": "small", "systems": 1600}
MOCKS["max_image_auroc"] = 1.0  # they are so bright
MOCKS["override"] = {
    "lens_fraction": 0.3,
    "non_lenses": {"unlit": 1.0},
    "neighbours": [1.0, 0.0, 0.0],
    "einstein_radius": ["truncated_normal", 0.9, 0.1, 0.7, 1.1],
    "source_magnitude": ["fixed", 22.0],
}
FULL = {"architecture": "p4m", "width": 2, "train_on": "mocks", "test_on": ["mocks"]}
QUICK = {"architecture": "resnet", "width": 16, "stem": 4, "stages": 2, "augment": "dihedral"}
QUICK |= {"distil": "full", "train_on": "mocks", "test_on": ["mocks"]}
SURVEY = {"ingest": "images", "format": "npy", "observation": "small", "pixel_scale": 0.1}


def write_settings(folder, **survey):
    band = {"wavelength": 715, "zero_point": 25.5, "exposure": 2260, "exposures": 4}
    band |= {"read_noise": 4.5, "sky": 22.35, "psf": {"moffat": 0.18, "beta": 3.0}}
    observation = {"pixel_scale": 0.1, "size": 32, "bands": {"VIS": band}}
    networks = {"full": FULL, "quick": QUICK}
    chosen = {
        "observations": {"small": observation},
        "populations": {"mocks": MOCKS, "sky": SURVEY | {"images_per_job": 15}},
        "networks": {n: s | {"learning_rate": 0.01, "epochs": 6} for n, s in networks.items()},
        "survey": survey,
    }
    text = yaml.safe_dump({"experiments": {"lens_finding": chosen}})
    (folder / "mine.yaml").write_text(text)


def snakemake(folder, *targets):
    """Ask for results, and return what was done."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "1"]
    command += ["--directory", folder, "--configfile", folder / "mine.yaml", "--", *targets]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


@pytest.mark.slow
def test_a_survey_is_ranked_in_two_stages_by_the_rules(tmp_path):
    write_settings(tmp_path)
    (tmp_path / "images").mkdir()
    dataset = RESULTS / "data/mocks/dataset.h5"
    snakemake(tmp_path, dataset)
    pixels = store.memmap(tmp_path / dataset, "cutouts", "pixels")
    for i in range(40):
        np.save(tmp_path / f"images/{i:02d}.npy", pixels[i, ..., 0])
    table = RESULTS / "scores/full/sky/survey.parquet"
    snakemake(tmp_path, table)
    alone = pd.read_parquet(tmp_path / table)

    write_settings(tmp_path, first_stage="quick", lost=0.1)
    done = snakemake(tmp_path, table)
    assert done.count("rule score_shard:") == 3 and "rule ingest_shard:" not in done
    found = json.loads((tmp_path / RESULTS / "networks/quick/first_stage.json").read_text())
    assert (found["first"], found["full"]) == ("quick", "full")
    assert 0 < found["rejected"] <= 0.1 * found["above"] and found["passed"] < 0.9
    staged = pd.read_parquet(tmp_path / table)
    passed = staged[staged["stage"] == 2]
    assert 0 < len(passed) < len(staged) == len(alone) == 40
    kept = alone[alone["index"].isin(passed["index"])]
    assert passed["index"].tolist() == kept["index"].tolist()
    assert passed["logit"].tolist() == kept["logit"].tolist()
    assert (staged["logit"][staged["stage"] == 1] < found["limit"]).all()
    record = json.loads((tmp_path / RESULTS / "networks/quick/training.json").read_text())
    assert record["settings"]["distil"] == "full" and record["val_auroc"] > 0.8
