import copy
from pathlib import Path

import pytest
import yaml

from lensmill import experiments


def chosen():
    return copy.deepcopy(experiments.choices("rings"))


def test_the_configuration_of_the_study_is_permitted_over_the_defaults():
    def laid(below, above):
        if not (isinstance(below, dict) and isinstance(above, dict)):
            return above
        return {**below, **above, **{k: laid(below[k], above[k]) for k in below.keys() & above}}

    paper = yaml.safe_load((Path(experiments.FOLDER) / "rings" / "paper.yaml").read_text())
    whole = experiments.check("rings", laid(chosen(), paper["experiments"]["rings"]))
    asked = {
        f"scores/{network}/{population}/scores.json"
        for network, of in whole["networks"].items()
        for population in of["test_on"]
        if not of["folds"]
    }
    for name, arguments in whole["figures"].items():
        scores = arguments.get("scores", [])
        assert {path for path in scores if "_fold" not in path} <= asked, name


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        ({"answers": "ellipse", "architecture": "p4m"}, "'p4m' cannot answer 'ellipse'"),
        ({"answers": "images", "architecture": "vae"}, "train it on a population whose"),
        ({"architecture": "cnn", "components": 9}, "components would be ignored"),
    ],
)
def test_networks_that_cannot_work_are_refused(network, sentence):
    settings = chosen()
    network |= {"train_on": "cone_matched", "test_on": ["cone_matched"]}
    settings["networks"]["other"] = network
    with pytest.raises(ValueError, match=sentence):
        experiments.check("rings", settings)


def test_a_range_that_is_none_and_images_of_another_size_are_refused():
    settings = chosen()
    settings["populations"]["a3net"]["override"] = {"rings": [3, 1]}
    with pytest.raises(ValueError, match=r"rings: \[3, 1\] is no range"):
        experiments.check("rings", settings)
    settings = chosen()
    settings["observations"]["bits"]["size"] = 32
    with pytest.raises(ValueError, match="are 32 sensors across, those of 'cone_matched' 28"):
        experiments.check("rings", settings)
