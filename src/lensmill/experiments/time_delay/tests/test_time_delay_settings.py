"""What the settings of time_delay may be."""

import pytest

from lensmill import experiments


def check(hubble=(), **survey):
    settings = experiments.choices("time_delay")
    settings["hubble"] |= dict(hubble)
    settings["priors"]["survey"] |= survey
    experiments.check("time_delay", settings)


def test_the_defaults_pass():
    check()


@pytest.mark.parametrize(
    ("hubble", "message"),
    [
        (
            {"networks": ["survey_dubble"]},
            r"networks: 'survey_dubble' is none of dense_single",
        ),
        ({"populations": ["survey"]}, r"hubble.populations: 'survey' is none of published, tdlmc"),
        ({"family": "published"}, r"hubble.family: 'published' is none of sis_shear"),
        ({"observation": "hst"}, r"hubble.observation: 'hst' is none of none, laboratory, survey"),
        ({"h0": ["uniform", 100, 50]}, r"hubble.h0.*: .* is empty: 100 is not below 50"),
        ({"h0": ["uniform", 5, 50]}, r"hubble.h0.*: .* beyond the permitted 10 to 200"),
        ({"h0": ["uniform", 15, 100]}, r"from 15 to 100, beyond the 20 to 200 of the training"),
        ({"family": "sie"}, r"'survey_double' is trained on 'survey', but hubble.family is 'sie'"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(hubble, message):
    with pytest.raises(ValueError, match=message):
        check(hubble)


def test_networks_that_saw_one_hubble_constant_cannot_tell_it():
    with pytest.raises(ValueError, match=r"has \['fixed', 70.0\] for h0, .* give it a range"):
        check(h0=["fixed", 70.0])


def test_a_canonical_network_of_one_image_is_refused_before_it_is_trained():
    settings = experiments.choices("time_delay")
    settings["networks"]["canonical_quad"]["images"] = 1
    with pytest.raises(ValueError, match=r"canonical_quad: a canonical network needs 2 images"):
        experiments.check("time_delay", settings)
