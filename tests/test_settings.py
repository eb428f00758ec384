"""What is not a setting, or not permitted, stops the run with a remedy."""

import numpy as np
import pytest
import yaml
from scipy.stats import kstest

from lensmill import experiments
from lensmill.pipeline import names, priors, scalars
from lensmill.pipeline.settings import keep, refuse_prior, refuse_unknown

SCHEMA = {
    "properties": {
        "shard_size": {"type": "integer"},
        "populations": {"additionalProperties": {"$ref": "#/$defs/population"}},
    },
    "$defs": {"population": {"properties": {"family": {}, "systems": {}}}},
}


def test_a_mistyped_key_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"experiments\.e\.shard_siz is not .* 'shard_size'\?"):
        refuse_unknown({"shard_siz": 3}, SCHEMA, "experiments.e")


def test_a_mistyped_key_inside_a_name_of_the_users_choice_is_refused():
    with pytest.raises(ValueError, match=r"e\.populations\.mine\.sytems .* 'systems'\?"):
        refuse_unknown({"populations": {"mine": {"sytems": 3}}}, SCHEMA, "e")


def test_names_of_the_users_choice_pass():
    refuse_unknown({"populations": {"mine": {"systems": 3}}}, SCHEMA, "e")


SEARCH = {"space": {"widht": ["choice", 1]}, "trials": 1, "workers": 1, "epochs": 1}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"comparison": ["p4n"]}, r"comparison: 'p4n' does not exist; did you mean 'p4m'"),
        (
            {"searches": {"p4n": {"space": {}, "trials": 1, "workers": 1, "epochs": 1}}},
            r"searches: 'p4n' does not exist; .*'p4m'",
        ),
        (
            {
                "searches": {
                    "p4m": {
                        "space": {"widht": ["choice", 1]},
                        "trials": 1,
                        "workers": 1,
                        "epochs": 1,
                    }
                }
            },
            r"p4m\.space: 'widht' .*'width'",
        ),
    ],
)
def test_a_name_that_refers_to_nothing_is_refused(changed, said):
    settings = experiments.choices("lens_finding")
    with pytest.raises(ValueError, match=said):
        experiments.check("lens_finding", settings | changed)


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (["unifrom", 0, 1], "did you mean 'uniform'"),
        (["uniform", 0], "needs 2 numbers"),
        (["uniform", 0, "one"], "needs 2 numbers"),
        (["uniform", 0.5, 0.5], "is empty"),
        (["uniform", 0, 1.5], "beyond the permitted 0 to 1"),
        (["normal", 0.5, 0.2], "use a narrower or a truncated prior"),
        (["truncated_normal", 0.5, -1, 0, 1], "must be above 0"),
        (["lognormal", 0.1, 0.3], "beyond the permitted 0 to 1"),
        (["fixed", 2], "beyond the permitted"),
        (["fixed", float("nan")], "beyond the permitted"),
    ],
)
def test_a_bad_prior_is_refused_with_the_reason(prior, said):
    with pytest.raises(ValueError, match=said):
        refuse_prior(prior, (0, 1))


PRIORS = [
    ["uniform", -1.0, 2.0],
    ["log_uniform", 0.1, 3.0],
    ["normal", 2.0, 0.5],
    ["truncated_normal", 0.3, 0.16, 0.0, 0.9],
    ["lognormal", 0.05, 0.2],
    ["truncated_lognormal", 0.7, 0.3, 0.3, 1.2],
]


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: p[0])
def test_draws_follow_the_distribution_they_are_named_after(prior):
    draws = priors.inverse_cdf(prior, np.random.default_rng(1).random(20_000))
    assert kstest(draws, lambda x: priors.cdf(prior, x)).pvalue > 1e-4


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: p[0])
def test_the_inverse_undoes_the_distribution(prior):
    u = np.linspace(0.001, 0.999, 99)
    assert priors.cdf(prior, priors.inverse_cdf(prior, u)) == pytest.approx(u, abs=1e-12)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: p[0])
def test_the_density_is_the_slope_of_the_distribution(prior):
    x = priors.inverse_cdf(prior, np.linspace(0.001, 0.999, 99))
    step = 1e-5 * np.abs(x)
    slope = (priors.cdf(prior, x + step) - priors.cdf(prior, x - step)) / (2 * step)
    assert np.exp(priors.log_density(prior, x)) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda p: p[0])
def test_beyond_its_support_a_prior_has_no_density_and_at_its_ends_it_has(prior):
    low, high = priors.inverse_cdf(prior, [0.0, 1.0])
    assert (priors.log_density(prior, [low - 1, low - 1e-9, high + 1e-9]) == -np.inf).all()
    if prior[0].startswith(("truncated", "uniform")):
        assert np.isfinite(priors.log_density(prior, [low, high])).all()


def test_a_fixed_parameter_has_all_its_probability_at_one_value():
    assert priors.log_density(["fixed", 0.3], [0.3, 0.30001]).tolist() == [0.0, -np.inf]


def test_the_density_is_right_where_the_mean_lies_far_outside_the_limits():
    # within 8 ... 9 sigma above the mean nearly exponential; the integral must stay 1
    for prior in (["truncated_normal", 0, 1, 8, 9], ["truncated_normal", 0, 1, -9, -8]):
        x = np.linspace(*prior[3:], 100_001)
        integral = np.trapezoid(np.exp(priors.log_density(prior, x)), x)
        assert integral == pytest.approx(1, rel=1e-6)


def test_a_lognormal_has_its_median_and_its_scatter_in_dex():
    one_sigma = priors.inverse_cdf(["lognormal", 0.05, 0.2], [0.5, 0.8413447460685429])
    assert one_sigma == pytest.approx([0.05, 0.05 * 10**0.2])


def test_a_source_is_drawn_behind_its_lens():
    lens = np.linspace(0.1, 2.0, 1000)
    u = np.random.default_rng(1).random(1000)
    source = priors.inverse_cdf(["truncated_lognormal", 2.4, 0.17, 0.3, 6.0], u, above=lens)
    assert (source > lens).all()


def test_a_prior_stays_finite_at_the_ends_of_the_unit_interval():
    ends = np.array([2.0**-54, 1 - 2.0**-53])
    for prior in PRIORS:
        assert np.isfinite(priors.inverse_cdf(prior, ends)).all(), prior


# --- populations that one network is shown


def finder(**changed):
    """Return the settings of lens finding with a population `mine` of another observation."""
    settings = experiments.choices("lens_finding")
    observation = settings["observations"]["lsst_gri"] | changed
    settings["observations"]["mine"] = observation
    settings["populations"]["mine"] = {
        **settings["populations"]["lsst"],
        "observation": "mine",
    }
    settings["populations"]["lsst"]["observation"] = "lsst_gri"
    settings["networks"] = {"p4m": settings["networks"]["p4m"] | {"train_on": "lsst"}}
    settings["networks"]["p4m"]["test_on"] = ["mine"]
    settings["comparison"] = []
    return settings


def bands(*names):
    return dict.fromkeys(
        names, experiments.defaults("lens_finding")["observations"]["lsst_i"]["bands"]["i"]
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"size": 48}, r"test_on: the images of 'mine' have 48 x 48 pixels instead of 64"),
        ({"bands": bands("i")}, r"have the bands i instead of g, r, i"),
        ({"bands": bands("r", "g", "i")}, r"have the bands r, g, i instead of g, r, i"),
        ({"bands": bands("r", "i", "z")}, r"have the bands r, i, z instead of g, r, i"),
        ({"size": 32, "bands": bands("i")}, r"32 x 32 pixels instead of 64 and the bands i"),
    ],
)
def test_images_that_a_network_cannot_be_shown_are_refused_at_the_start(changed, said):
    with pytest.raises(ValueError, match=said):
        experiments.check("lens_finding", finder(**changed))


@pytest.mark.parametrize("changed", [{"pixel_scale": 0.1}, {"bands": bands("u", "v", "w")}])
def test_a_network_may_meet_other_pixels_and_other_filters(changed):
    experiments.check("lens_finding", finder(**changed))


def test_sky_of_other_pixels_is_refused_as_a_background():
    settings = finder(pixel_scale=0.25)
    settings["populations"]["lsst"]["background"] = "mine"
    settings["networks"]["p4m"]["test_on"] = ["lsst"]
    with pytest.raises(ValueError, match=r"lsst\.background: .* pixels of 0\.25 arcsec instead"):
        experiments.check("lens_finding", settings)


def test_the_kept_configuration_can_be_given_again_whatever_yaml_makes_of_its_words(tmp_path):
    whole = {
        "seed": 1,
        "experiments": {
            "time_delay": {
                "expected_fractions": {"sie": {"1": 0.12, "4": 0.21}},
                "populations": {"2024": {"ingest": "010", "bands": {"r": "08", "no": "1e3"}}},
                "networks": {"a": {"train_on": "2024", "learning_rate": 1e-5, "patience": None}},
            }
        },
    }
    kept = keep(whole, tmp_path)
    scalars.refuse_misread(kept, {})
    read = yaml.safe_load(kept.read_text())
    fractions = read["experiments"]["time_delay"]["expected_fractions"]["sie"]
    assert [*fractions] == [1, 4]  # as in the defaults, with which Snakemake merges them
    assert names.text_keys(read, "kept") == whole
