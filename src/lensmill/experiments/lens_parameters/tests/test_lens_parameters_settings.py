"""Settings that are refused, and those of the paper."""

import copy

import pytest
import yaml
from snakemake.utils import update_config

from lensmill import experiments


def chosen():
    return copy.deepcopy(experiments.choices("lens_parameters"))


def test_the_configuration_of_the_paper_is_permitted_over_the_defaults():
    settings = chosen()
    path = experiments.FOLDER / "lens_parameters/paper.yaml"
    update_config(settings, yaml.safe_load(path.read_text())["experiments"]["lens_parameters"])
    whole = experiments.check("lens_parameters", settings)
    asked = set()
    for name, network in whole["networks"].items():
        members = [f"{name}_seed{i + 1}" for i in range(network["seeds"])]
        members += [f"{name}_ensemble{network['seeds']}"]
        asked |= {(member, population) for member in members for population in network["test_on"]}
    for name, arguments in whole["figures"].items():
        paths = [path.split("/") for files in arguments.values() for path in files]
        scores = {(path[1], path[2]) for path in paths if path[0] == "scores"}
        assert scores <= asked, name
    bands = [whole["observations"][name]["bands"] for name in ("hst_f160w", "hst_f160w_wide")]
    right, wide = (next(iter(band.values()))["psf"]["moffat"] for band in bands)
    assert wide == pytest.approx(1.1 * right)


@pytest.mark.parametrize(
    ("section", "name", "change", "sentence"),
    [
        ("observations", "lsst_i", {"size": 8}, "16"),
        ("networks", "hst_p4m", {"architecture": "dense"}, "is not one of|must be one of"),
        ("networks", "hst_p4m", {"test_on": ["hst_quasars", "lsst_quasars"]}, "32 x 32 pixels"),
        ("networks", "hst_p4m", {"augment": "dihedral"}, "augment"),
        ("networks", "hst_p4m", {"widht": 4}, "did you mean 'width'"),
        ("populations", "hst_quasars", {"family": "nfw"}, "is not one of|must be one of"),
        ("priors", "quasars", {"slope": ["uniform", 1.2, 2.4]}, r"1\.5"),
        ("priors", "quasars", {"neighbours": [1, 0, 0]}, "is not a setting"),
    ],
)
def test_what_cannot_work_is_refused_with_a_reason(section, name, change, sentence):
    settings = chosen()
    settings[section][name] |= change
    with pytest.raises(ValueError, match=sentence):
        experiments.check("lens_parameters", settings)


def test_a_prior_that_the_family_fixes_cannot_be_overridden():
    settings = chosen()
    population = {"family": "sie", "override": {"slope": ["fixed", 2.1]}}
    settings["populations"]["hst_quasars"] |= population
    with pytest.raises(ValueError, match="slope"):
        experiments.check("lens_parameters", settings)


def test_a_comparison_of_a_network_that_is_not_there_is_refused():
    settings = chosen()
    settings["comparison"] = ["hst_p4n"]
    with pytest.raises(ValueError, match=r"comparison: 'hst_p4n'.*hst_p4m"):
        experiments.check("lens_parameters", settings)
