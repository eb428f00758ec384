"""The contract every experiment folder must meet; new folders are found by name."""

from importlib.util import find_spec

import numpy as np
import pytest
from astropy.units import Unit
from jsonschema import Draft202012Validator

from lensmill import experiments
from lensmill.pipeline import settings as checked
from lensmill.pipeline.streams import uniforms


@pytest.fixture(params=experiments.NAMES)
def name(request):
    return request.param


@pytest.fixture
def settings(name):
    return experiments.defaults(name)


@pytest.fixture
def simulator(name):
    return experiments.load(name, "simulate")


def simulated(settings):
    return [name for name, p in settings["populations"].items() if "systems" in p]


def draw(simulator, settings, name, population, first, count, seed=1):
    numbers = uniforms(seed, name, population, first, count, simulator.WIDTH)
    return simulator.draw(first, numbers, checked.population(settings, population))


def test_the_defaults_meet_their_schema(name, settings):
    schema = experiments.schema(name)
    checked.refuse_unknown(settings, schema, name)
    Draft202012Validator(schema).validate(settings)
    checked.check_experiment(settings, schema, name)


def test_every_population_has_the_asked_number_of_finite_systems(name, settings, simulator):
    for population in simulated(settings):
        tables = draw(simulator, settings, name, population, 0, 50)
        assert tables["systems"]["index"].tolist() == list(range(50)), population
        for table, columns in tables.items():
            for column, values in columns.items():
                assert np.isfinite(values).all(), (population, table, column)


def test_the_columns_of_a_table_are_of_one_length_and_have_units(name, settings, simulator):
    for population in simulated(settings):
        tables = draw(simulator, settings, name, population, 0, 20)
        assert tables.keys() == simulator.UNITS.keys()
        for table, columns in tables.items():
            # `group` stands there only for systems that have one
            assert columns.keys() | {"group"} == simulator.UNITS[table].keys() | {"group"}
            assert len({len(values) for values in columns.values()}) == 1, table
            for unit in simulator.UNITS[table].values():
                Unit(unit)


def test_a_system_is_the_same_whatever_is_drawn_with_it(name, settings, simulator):
    for population in simulated(settings):
        together = draw(simulator, settings, name, population, 0, 40)["systems"]
        alone = draw(simulator, settings, name, population, 33, 1)["systems"]
        rows = {f"systems/{column}" for column in together} & simulator.ROWS_OF.keys()
        for column in together.keys() - {row.split("/")[1] for row in rows}:
            assert together[column][33] == alone[column][0], (population, column)


def test_another_seed_gives_other_systems(name, settings, simulator):
    for population in simulated(settings):
        first, other = (
            draw(simulator, settings, name, population, 0, 20, seed)["systems"] for seed in (1, 2)
        )
        assert any((first[column] != other[column]).all() for column in first)


def test_every_declared_figure_exists(name, settings):
    for figure in settings["figures"]:
        assert find_spec(f"lensmill.experiments.{name}.figures.{figure}"), figure


def test_every_network_is_tested_on_the_population_it_learned_from(name, settings):
    for network, chosen in settings["networks"].items():
        assert chosen["train_on"] in chosen["test_on"], network


def test_the_folder_tells_what_the_experiment_is(name):
    assert (experiments.FOLDER / name / "README.md").read_text().startswith("# ")
