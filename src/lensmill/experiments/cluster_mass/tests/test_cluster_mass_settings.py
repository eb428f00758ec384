"""What is refused of the settings before the first job."""

import pytest

from lensmill import experiments
from lensmill.experiments.cluster_mass.settings import compared


def refused(change):
    """Return what is said of the defaults with a change."""
    settings = experiments.choices("cluster_mass")
    change(settings)
    with pytest.raises(ValueError) as error:
        experiments.check("cluster_mass", settings)
    return str(error.value)


def test_binning_must_divide_the_image_and_leave_enough_of_it():
    def odd(settings):
        settings["observations"]["survey"]["size"] = 90
        settings["networks"]["p4m"]["binning"] = 4

    assert "90 x 90 pixels must divide" in refused(odd)

    def coarse(settings):
        settings["networks"]["p4m"]["binning"] = 8
        settings["observations"]["survey"]["size"] = 64

    assert "leave 16 across to 'p4m'" in refused(coarse)


def test_turns_beyond_those_that_test_all_clusters_are_refused():
    def late(settings):
        settings["networks"]["p4m"]["turn"] = 5

    assert "[7, 1, 2] test every cluster once in 10 / 2 turns" in refused(late)


def test_only_networks_that_are_there_and_tested_alike_are_compared():
    def missing(settings):
        settings["comparison"]["p4m"] = ["p4n"]

    assert "p4n" in refused(missing)

    def unlike(settings):
        settings["networks"]["three_conv"]["test_on"] = ["flat"]
        settings["networks"]["p4m_natural"]["test_on"] = ["mass_function"]
        settings["comparison"]["p4m"] = ["p4m_natural", "three_conv"]

    assert "no population in common" in refused(unlike)


def test_trainings_are_compared_where_all_are_tested():
    settings = experiments.defaults("cluster_mass")
    settings["networks"]["p4m_turn1"] = settings["networks"]["p4m"] | {"test_on": ["flat"]}
    settings["comparison"] = {"p4m": ["p4m", "p4m_turn1"], "three_conv": ["three_conv"]}
    assert compared(settings) == {
        "p4m/flat": [("p4m", "flat"), ("p4m_turn1", "flat")],
        "three_conv/flat": [("three_conv", "flat")],
        "three_conv/mass_function": [("three_conv", "mass_function")],
    }


def test_networks_are_not_asked_about_other_pixels_of_the_sky():
    def finer(settings):
        settings["observations"]["fine"] = {**settings["observations"]["survey"], "pixel_scale": 9}
        settings["populations"]["mass_function"]["observation"] = "fine"

    assert "9 arcsec a pixel" in refused(finer)
