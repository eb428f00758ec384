"""What experiments on images answer while the workflow is read."""

import os
import subprocess
import sys

import pytest

from lensmill import experiments
from lensmill.cutouts import lookups

OBSERVATION = {"size": 32, "pixel_scale": 0.1, "bands": {"g": {}, "i": {}}}


def settings(**populations):
    """Return settings of mocks, real images, and whatever is given."""
    real = {"ingest": "images", "observation": "mine"}
    return {
        "observations": {"mine": OBSERVATION, "small": OBSERVATION | {"size": 16}},
        "populations": {
            "mocks": {"systems": 10, "observation": "mine"},
            "others": {"systems": 10, "observation": "mine"},
            "real": real,
            "corners": real | {"place": "corners"},
            "upon": {"systems": 10, "observation": "mine", "background": "corners"},
            "grouped": real | {"group": "tile"},
            "grouped_too": real | {"group": "host"},
            **populations,
        },
        "networks": {},
    }


def inputs(train_on, population):
    whole = settings()
    network = {"architecture": "resnet", "train_on": train_on}
    whole["networks"] = {"n": network}
    return lookups.prediction_inputs(whole, network, population)


@pytest.mark.parametrize(
    ("train_on", "population", "split", "learned"),
    [
        ("mocks", "mocks", True, False),
        ("mocks", "others", False, False),
        ("mocks", "real", False, False),
        ("real", "corners", False, True),  # copies of what was learned may be there
        ("upon", "corners", True, True),  # both are grouped by the images they were cut from
        ("grouped", "grouped_too", True, True),
        ("grouped", "real", False, True),
    ],
)
def test_a_population_is_judged_without_what_the_network_saw(train_on, population, split, learned):
    found = inputs(train_on, population)
    assert ("split" in found) == split
    assert ("learned" in found) == ("learned_split" in found) == learned
    assert found.get("split", f"data/{population}/split.h5") == f"data/{population}/split.h5"


def test_a_population_upon_real_sky_needs_its_data():
    assert lookups.simulation_inputs(settings(), "upon") == {
        "background": "data/corners/dataset.h5"
    }
    assert lookups.simulation_inputs(settings(), "mocks") == {}


def test_a_table_of_labels_is_one_of_the_files():
    assert lookups.source_files({"labels": "all.csv"}, "here") == ["here", "here/all.csv"]
    for population in ({}, {"labels": None}, {"labels": {"lensed": 1}}):
        assert lookups.source_files(population, "here") == ["here"]


@pytest.mark.parametrize(
    ("changed", "sky", "said"),
    [
        ({"size": 48}, False, "48 x 48 pixels instead of 32"),
        ({"bands": {"i": {}, "g": {}}}, False, "the bands i, g instead of g, i"),
        ({"bands": {"r": {}, "z": {}}}, True, "the bands r, z instead of g, i"),
        ({"pixel_scale": 0.2}, True, r"pixels of 0\.2 arcsec instead of 0\.1"),
    ],
)
def test_unlike_images_are_refused(changed, sky, said):
    whole = settings(far={"systems": 1, "observation": "far"})
    whole["observations"]["far"] = OBSERVATION | changed
    with pytest.raises(ValueError, match=said):
        lookups.refuse_unlike(whole, "mocks", "far", "here", sky)
    lookups.refuse_unlike(whole, "mocks", "others", "here", sky)


def test_backgrounds_and_sizes_are_checked_for_every_population_and_network():
    lookups.check(settings(), "e")
    with pytest.raises(ValueError, match=r"e\.populations\.b\.background: 'corner' does not exist"):
        unknown = {"systems": 1, "observation": "mine", "background": "corner"}
        lookups.check(settings(b=unknown), "e")
    with pytest.raises(ValueError, match="16 x 16 pixels instead of 32"):
        small = {"ingest": "x", "observation": "small"}
        upon = {"systems": 1, "observation": "mine", "background": "s"}
        lookups.check(settings(s=small, b=upon), "e")
    whole = settings(s={"systems": 1, "observation": "small"})
    whole["networks"]["n"] = {"architecture": "efficientnet_b0", "train_on": "s"}
    with pytest.raises(ValueError, match="too small for the architecture 'efficientnet_b0'"):
        lookups.check(whole, "e")


def test_they_import_no_library():
    program = "import sys; from lensmill.cutouts import lookups; "
    program += "print(*{'numpy', 'scipy', 'pandas', 'keras', 'astropy'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(experiments.FOLDER.parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("key", ["background", "host", "sources"])
def test_nothing_is_made_of_what_is_only_for_tests(key):
    kept = {"ingest": "images", "observation": "mine", "test_only": True}
    made = {"systems": 10, "observation": "mine", key: "kept"}
    with pytest.raises(ValueError, match=f"populations.made.{key}: 'kept' is test_only"):
        lookups.check(settings(kept=kept, made=made), "here")


def test_a_network_of_several_populations_is_told_of_all_that_it_saw():
    whole = settings()
    network = {"architecture": "resnet", "train_on": {"upon": 2, "grouped": 1, "mocks": 1}}
    whole["networks"] = {"n": network}
    found = lookups.prediction_inputs(whole, network, "corners")
    assert found["learned"] == ["data/upon/dataset.h5", "data/grouped/dataset.h5"]
    assert found["learned_split"] == ["data/upon/split.h5", "data/grouped/split.h5"]
    assert "split" in lookups.prediction_inputs(whole, network, "mocks")


@pytest.mark.parametrize("other", ["painted_too", "upon_hosts", "grouped"])
def test_a_host_is_in_one_part_whether_painted_on_laid_under_or_as_it_is(other):
    mocks = {"systems": 10, "observation": "mine"}
    whole = settings(
        painted=mocks | {"host": "grouped"},
        painted_too=mocks | {"host": "grouped"},
        upon_hosts=mocks | {"background": "grouped"},
    )
    network = {"architecture": "resnet", "train_on": "painted"}
    whole["networks"] = {"n": network}
    found = lookups.prediction_inputs(whole, network, other)
    assert found["split"] == f"data/{other}/split.h5"
    assert found["learned"] == "data/painted/dataset.h5"


def test_of_what_is_only_for_tests_no_part_is_kept_back():
    kept = {"ingest": "images", "observation": "mine", "group": "tile", "test_only": True}
    whole = settings(kept=kept)
    network = {"architecture": "resnet", "train_on": "grouped"}
    whole["networks"] = {"n": network}
    found = lookups.prediction_inputs(whole, network, "kept")
    # `predict` leaves out the groups that were learned from, and those alone
    assert "split" not in found and found["learned"] == "data/grouped/dataset.h5"
