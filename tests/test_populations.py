"""What a population would ignore, or can never be, is refused before the first job."""

import numpy as np
import pytest

from lensmill import experiments
from lensmill.experiments.time_delay import observe, simulate
from lensmill.lensing.images import ON_CAUSTIC
from lensmill.pipeline import splits, store

FAMILIES = {name: experiments.look_up(name, "FAMILIES") for name in experiments.NAMES}


def check(experiment="time_delay", **populations):
    chosen = experiments.choices(experiment)
    chosen["populations"] |= populations
    experiments.check(experiment, chosen)


def mine(family="epl_shear", prior="gravlensing", **override):
    return {"family": family, "prior": prior, "systems": 10, "override": override}


FLAT, ANGLE = ["uniform", 0.1, 0.2], ["uniform", 0.0, 1.0]


@pytest.mark.parametrize("experiment", experiments.NAMES)
def test_families_that_may_be_chosen_are_those_there_are(experiment):
    schema = experiments.schema(experiment)["$defs"]["population"]["properties"]["family"]
    assert schema.get("enum", []) == list(FAMILIES[experiment])


@pytest.mark.parametrize("experiment", experiments.NAMES)
def test_the_default_populations_ignore_nothing(experiment):
    check(experiment)


@pytest.mark.parametrize(
    ("population", "said"),
    [
        (
            mine("sis_shear", slope=["uniform", 1.9, 2.1]),
            "slope would .* slope = 2; .*epl_shear",
        ),
        (
            mine("sis_shear", one_minus_q=FLAT),
            "'sis_shear' has one_minus_q = 0; .*: sie,",
        ),
        (
            mine("sis_shear", phi=ANGLE),
            "phi would .* with which phi means nothing",
        ),
        (mine("sis_shear", einstein_radius_is="theta_e"), "override.einstein_radius_is would"),
        (mine("sie", shear=FLAT), "'sie' has shear = 0; .*: sis_shear, sie_shear, epl_shear"),
        (mine("sie", shear_angle=ANGLE), "shear_angle would .* shear = 0"),
        (mine("sie_shear", slope=["fixed", 2.1]), "'sie_shear' has slope = 2"),
        ({"ingest": "data/tdlmc.ecsv", "family": "sie"}, "family would be ignored"),
        ({"ingest": "data/tdlmc.ecsv", "override": {"shear": FLAT}}, "only simulated populations"),
        ({"prior": "survey", "systems": 3}, "needs a 'family'; there are: sis_shear"),
    ],
)
def test_what_a_population_would_ignore_is_refused_by_name(population, said):
    with pytest.raises(ValueError, match=rf"^experiments\.time_delay\.populations\.a\W.*{said}"):
        check(a=population)


def test_what_only_ingested_images_have_is_refused_in_a_simulated_population():
    simulated = experiments.choices("lens_finding")["populations"]["hst"]
    with pytest.raises(ValueError, match=r"a: min_snr, label would be ignored, only ingested"):
        check("lens_finding", a=simulated | {"min_snr": 3.0, "label": 1})
    with pytest.raises(ValueError, match="'sie_shear' has slope = 2"):
        override = {"slope": ["fixed", 2.2]}
        check("lens_finding", a=simulated | {"family": "sie_shear", "override": override})


def test_an_override_that_a_family_uses_passes():
    check(a=mine("sie_shear", shear=FLAT, one_minus_q=FLAT, phi=ANGLE, slope=["fixed", 2.0]))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ({"z_lens": ["fixed", 3.0], "z_source": ["fixed", 1.0]}, "every lens would lie behind"),
        (
            {"z_lens": ["uniform", 2.0, 4.0]},
            r"some lens .* end z_lens below 2\.9 or",
        ),
        ({"z_source": ["uniform", 0.3, 0.55]}, "some lens .* beyond 0.55"),
        ({"z_lens": ["lognormal", 0.5, 0.2]}, "some lens .* reaches 7.9"),
        ({"redshift_gap": 2.8}, "some lens .* redshift_gap 2.8"),
    ],
)
def test_a_lens_without_a_source_behind_it_is_refused(override, said):
    with pytest.raises(ValueError, match=rf"\.populations\.a: {said}"):
        check(a=mine(**override))


def test_a_source_prior_that_overlaps_that_of_the_lens_passes_and_is_drawn_behind_it():
    override = {"z_lens": ["uniform", 0.5, 1.9], "z_source": ["uniform", 1.0, 2.0]}
    check(a=mine(**override))
    chosen = experiments.defaults("time_delay")
    prior = chosen["priors"]["gravlensing"] | override
    u = np.random.default_rng(1).random((300, simulate.WIDTH))
    systems = simulate.draw(0, u, {"family": "sie", "prior": prior})["systems"]
    assert (systems["z_source"] >= systems["z_lens"] + 0.1 - 1e-12).all()


def test_a_prior_that_lacks_a_parameter_is_refused():
    chosen = experiments.choices("time_delay")
    chosen["priors"]["half"] = {"shear": FLAT}
    chosen["populations"]["a"] = mine(prior="half")
    with pytest.raises(ValueError, match=r"priors\.half lacks einstein_radius, .*population 'a'"):
        experiments.check("time_delay", chosen)


def few(tmp_path, parts, status=0):
    """Write four doubles and a single; ``parts`` says which part of the split each is in."""
    systems = {
        "index": np.arange(5),
        "n_images": np.array([2, 2, 2, 2, 1]),
        "first_image": np.array([0, 2, 4, 6, 8]),
        "status": np.full(5, status),
    }
    systems |= {name: np.zeros(5) for name in ("z_lens", "z_source", "d_dt", "lens_x", "lens_y")}
    names = ("x", "y", "delay", "potential", "deflection_x", "deflection_y")
    tables = {"systems": systems, "images": {name: np.zeros(9) for name in names}}
    split = {"systems": {"index": np.arange(5), "split": np.array(parts, np.uint8)}}
    for name, content in (("dataset", tables), ("split", split)):
        units = {table: dict.fromkeys(columns, "") for table, columns in content.items()}
        store.write(tmp_path / f"{name}.h5", content, units, {})
    return str(tmp_path / "dataset.h5"), str(tmp_path / "split.h5")


def test_systems_that_none_of_the_split_gives_a_part_are_counted_by_part(tmp_path):
    files = few(tmp_path, [0, 0, 0, 2, 1])
    assert len(observe.from_simulated(*files, splits.TRAIN, 2)[0].index) == 3
    said = r"has 4 systems with 2 images, but none of them is for validation: 3 for train, 0 for "
    said += r"validation, 1 for test\. Simulate more"
    with pytest.raises(ValueError, match=said):
        observe.from_simulated(*files, splits.VALIDATION, 2)
    with pytest.raises(ValueError, match="has no systems with 4 images; simulate more"):
        observe.from_simulated(*files, splits.TRAIN, 4)


def test_systems_that_cannot_be_used_are_not_said_to_be_missing(tmp_path):
    files = few(tmp_path, [0, 0, 0, 0, 0], status=ON_CAUSTIC)
    with pytest.raises(ValueError, match="4 systems with 2 images, all of them on a caustic"):
        observe.from_simulated(*files, splits.TRAIN, 2)
