"""What a network would ignore is refused before the first job, and null leaves it out."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from lensmill import experiments
from lensmill.pipeline import settings

ROOT = Path(__file__).parents[1]
MINE = {"train_on": "euclid", "test_on": ["euclid"]}
QUAD = {"images": 4, "train_on": "survey", "test_on": ["survey"], "observation": "survey"}


def check(experiment, changed):
    chosen = experiments.choices(experiment)
    update_config(chosen, changed)
    experiments.check(experiment, chosen)
    return settings.without_null(chosen)


@pytest.mark.parametrize("experiment", experiments.NAMES)
def test_settings_that_hang_on_others_hang_on_what_there_is(experiment):
    known = experiments.schema(experiment)["$defs"]["network"]["properties"]
    for key, of in known.items():
        for by, values in (of.get("default_by", {}) | of.get("used_with", {})).items():
            assert {*values} <= {*known[by]["enum"]}, key


@pytest.mark.parametrize(
    "file",
    [
        *ROOT.glob("benchmarks/*.yaml"),
        *ROOT.glob("configs/*.yaml"),
        *ROOT.glob("src/lensmill/experiments/*/tiny.yaml"),
    ],
    ids=lambda path: path.name,
)
def test_no_network_of_ours_ignores_a_setting(file):
    given = yaml.safe_load(file.read_text())["experiments"]
    for experiment in experiments.NAMES:
        check(experiment, given.get(experiment, {}))


@pytest.mark.parametrize(
    ("experiment", "network", "said"),
    [
        (
            "lens_finding",
            MINE | {"architecture": "lastro", "width": 8, "stem": 4},
            r"stem, width would be ignored with architecture 'lastro' \(stem only with p4m, "
            r"resnet; width only with p4m, resnet, dense, one_conv\); take it out, or .* "
            r"\{stem: null, width: null\}",
        ),
        ("lens_finding", MINE | {"augment": "dihedral"}, "augment .* architecture 'p4m'"),
        (
            "lens_finding",
            MINE | {"focal_gamma": 1.0},
            "focal_gamma would be ignored with loss 'binary_crossentropy'.*only with focal",
        ),
        (
            "time_delay",
            QUAD | {"architecture": "dense", "learning_rate": 0.002, "head": "mixture"},
            r"head, learning_rate would .* 'dense' \(head only with canonical; learning_rate",
        ),
        (
            "time_delay",
            QUAD | {"augment": "rotation"},
            "augment .* .augment only with dense",
        ),
        ("time_delay", QUAD | {"components": 2}, "components .* head 'point' .*with mixture"),
        (
            "time_delay",
            QUAD | {"images": 2, "guess_ellipticity": 0.1},
            "guess_ellipticity would be ignored with images 2 .*only with 4",
        ),
    ],
)
def test_what_a_network_would_ignore_is_refused_by_name(experiment, network, said):
    with pytest.raises(ValueError, match=rf"\.networks\.mine: {said}"):
        check(experiment, {"networks": {"mine": network}})


def test_images_too_small_for_an_architecture_are_refused():
    small = experiments.choices("lens_finding")["populations"]["hst"]
    small["observation"] = "hst_f814w_small"
    mine = {"train_on": "small", "test_on": ["small"], "architecture": "efficientnet_b0"}
    changed = {"populations": {"small": small}, "networks": {"mine": mine}}
    said = r"'small' are 30 x 30 pixels, too small for .* 'efficientnet_b0', which needs 32 .*, or "
    with pytest.raises(ValueError, match=said + "choose p4m, resnet, lastro"):
        check("lens_finding", changed)
    mine["architecture"] = "lastro"
    check("lens_finding", changed)


def test_a_setting_that_a_default_network_has_is_left_out_by_null():
    other = {"architecture": "deeplens", "width": None, "max_systems": None}
    chosen = check("lens_finding", {"networks": {"p4m": other}})
    default = experiments.choices("lens_finding")["networks"]["p4m"]
    del default["width"]
    assert chosen["networks"]["p4m"] == default | {"architecture": "deeplens"}


def dry_run(folder, networks):
    mine = {"experiments": {"lens_finding": {"networks": networks}}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(mine))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", "1"]
    command += ["--configfile", "mine.yaml", "--dry-run", "--", "results/lens_finding/networks/"]
    command[-1] += "p4m/model.keras"
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_an_inherited_setting_stops_a_run_and_null_lets_it_go(tmp_path):
    code, said = dry_run(tmp_path, {"p4m": {"architecture": "lastro"}})
    assert code != 0 and "experiments.lens_finding.networks.p4m: width would be ignored" in said
    code, said = dry_run(tmp_path, {"p4m": {"architecture": "lastro", "width": None}})
    assert code == 0, said[-2000:]
    code, said = dry_run(tmp_path, {"p4m": {"widht": None}})
    assert code != 0 and "widht is not a setting; did you mean 'width'?" in said
