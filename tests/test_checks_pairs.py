"""Parameters that are not independent are refused though each of them follows its prior."""

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from test_empty_checks import named

from lensmill import experiments
from lensmill.experiments.lens_finding import check as check_images
from lensmill.experiments.lens_finding import simulate as simulate_images
from lensmill.experiments.lens_finding import sky
from lensmill.experiments.time_delay import check, simulate
from lensmill.pipeline import checks, priors, settings
from lensmill.pipeline.streams import uniforms

QUASARS, IMAGES = (experiments.defaults(name) for name in ("time_delay", "lens_finding"))
SIMULATED = [name for name, made in QUASARS["populations"].items() if "family" in made]


def shear_at(turns):
    def change(u):
        u["shear_angle"] = (u["phi"] + 2 * turns) % 1  # both are angles of half a turn

    return change


def shear_mirrored(u):
    u["shear_angle"] = -u["phi"] % 1


def source_on_the_major_axis(u):
    u["source_angle"] = (u["phi"] + (u["source_angle"] > 0.5)) / 2


def source_where_the_shear_is(u):
    u["source_angle"] = (u["shear_angle"] + (u["source_angle"] > 0.5)) / 2 % 1


def steep_if_massive(u):
    u["slope"] = ndtr(0.1 * ndtri(u["einstein_radius"]) + np.sqrt(0.99) * ndtri(u["slope"]))


def dense_if_young(u):
    u["omega_m"] = 1 - u["h0"]


def sources_far_behind_near_lenses(u):
    u["z_source"] = 1 - u["z_lens"]


def faint_if_off_centre(u):
    u["lens_magnitude"] = u["centre_x"]


def drawn_quasars(population, change=None, systems=20_000, seed=1, **override):
    """Return the checks of the priors of a population whose uniform numbers are changed."""
    chosen = settings.population(QUASARS, population)
    chosen["prior"] = chosen["prior"] | override
    u = changed(simulate, "time_delay", population, change, systems, seed)
    test = check.Drawn(simulate.family_prior(chosen))
    for part in np.array_split(u, 3):
        test.add(simulate.draw(0, part, chosen)["systems"])
    return test.outcomes()


def drawn_images(population, change=None, systems=20_000, seed=1):
    chosen = settings.population(IMAGES, population)
    u = changed(sky, "lens_finding", population, change, systems, seed)
    drawn = sky.draw(u, simulate_images.FAMILIES[chosen["family"]], chosen["prior"])
    columns = drawn.lens | drawn.truth | {"is_lens": drawn.kind == 0}
    columns |= {"lens_x": drawn.centre[0], "lens_y": drawn.centre[1]}
    return check_images._priors(columns, chosen)


def changed(drawing, experiment, population, change, systems, seed):
    u = uniforms(seed, experiment, population, 0, systems, drawing.WIDTH)
    if change is not None:
        columns = dict(zip(drawing.SLOTS, u.T, strict=False))
        change(columns)
        for number, name in enumerate(drawing.SLOTS):
            u[:, number] = columns[name]
    return u


def failed(found):
    return [each["name"] for each in found if each["passed"] is False]


@pytest.mark.parametrize("systems", [50, 2000])
@pytest.mark.parametrize(
    "population", [p for p, v in QUASARS["populations"].items() if "family" in v]
)
def test_independent_parameters_of_quasars_pass(population, systems):
    for seed in range(5):
        found = drawn_quasars(population, systems=systems, seed=seed)
        assert failed(found) == []
        assert named(found, "prior of pairs")["passed"]


@pytest.mark.parametrize("population", IMAGES["populations"])
def test_independent_parameters_of_images_pass(population):
    for seed in range(3):
        found = drawn_images(population, systems=2000, seed=seed)
        assert failed(found) == []
        assert named(found, "prior of pairs")["passed"]


@pytest.mark.parametrize(
    ("change", "one", "other"),
    [
        (shear_at(0.0), "phi", "shear_angle"),
        (shear_at(0.25), "phi", "shear_angle"),
        (shear_at(0.21), "phi", "shear_angle"),
        (shear_mirrored, "phi", "shear_angle"),
        (source_on_the_major_axis, "phi", "source_axis"),
        (source_where_the_shear_is, "shear_angle", "source_axis"),
        (steep_if_massive, "einstein_radius", "slope"),
    ],
)
@pytest.mark.parametrize(
    ("drawn", "population"), [(drawn_quasars, "survey"), (drawn_images, "des")]
)
def test_parameters_that_depend_on_each_other_are_named(drawn, population, change, one, other):
    found = drawn(population, change)
    assert failed(found) == ["prior of pairs"]
    sentence = named(found, "prior of pairs")["sentence"]
    assert one in sentence and other in sentence


@pytest.mark.parametrize(
    ("change", "one", "other"),
    [
        (dense_if_young, "h0", "omega_m"),
        (sources_far_behind_near_lenses, "z_lens", "z_source"),
    ],
)
def test_redshifts_and_cosmologies_that_depend_on_each_other_are_named(change, one, other):
    found = drawn_quasars("survey", change)
    assert failed(found) == ["prior of pairs"]
    sentence = named(found, "prior of pairs")["sentence"]
    assert one in sentence and other in sentence


def test_the_place_of_a_lens_does_not_depend_on_its_light():
    found = drawn_images("des", faint_if_off_centre)
    assert failed(found) == ["prior of pairs"]
    assert "lens_x" in named(found, "prior of pairs")["sentence"]


@pytest.mark.parametrize("range_", [[0.0, 2 * np.pi], [0.3, 0.3 + np.pi], [-0.4, 0.9]])
def test_angles_of_any_range_are_compared(range_):
    law = ["uniform", *range_]
    assert failed(drawn_quasars("survey", phi=law, shear_angle=law)) == []
    found = drawn_quasars("survey", shear_at(0.0), phi=law, shear_angle=law)
    assert failed(found) == ["prior of pairs"]


@pytest.mark.parametrize(
    "law", [["fixed", 0.5], ["fixed", 0.0], ["truncated_normal", 0.0, 0.3, -1.0, 1.0]]
)
def test_shear_that_has_the_direction_of_its_prior_passes(law):
    found = drawn_quasars("survey", systems=2000, shear_angle=law)
    assert failed(found) == []
    assert named(found, "prior of shear_angle")["passed"]


def test_a_direction_that_cannot_be_told_from_its_axis_is_not_compared():
    for law in (["normal", 0.0, 1.0], ["uniform", 0.0, 4.0], ["fixed", 1.0]):
        assert priors.direction(law, np.array([0.5])) is None
    found = drawn_quasars("survey", systems=500, shear_angle=["normal", 0.0, 1.0])
    assert failed(found) == []
    assert "prior of shear_angle" not in {each["name"] for each in found}


def test_correlations_are_those_of_ranks_and_fail_by_the_number_of_pairs():
    rng = np.random.default_rng(1)
    a, b, c = rng.random((3, 1000))
    test = checks.Independent("pairs")
    test.add({"a": a, "b": b}, {"c": c})
    expected = 12 * np.mean((a - 0.5) * (b - 0.5))
    assert test.products[0, 1] / test.rows == pytest.approx(expected)
    # a with b, and each with cos and sin of c; p = 1e-6 / 5, both sides
    assert "5 correlations" in test.outcome()["sentence"]
    assert "at most 0.16)" in test.outcome()["sentence"]  # 5.2 / sqrt(1000)
    assert checks.Independent("pairs").outcome()["passed"] is None
