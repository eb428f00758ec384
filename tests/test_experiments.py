"""The contract every experiment folder must meet; new folders are found by name."""

import inspect
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from astropy.units import Unit
from jsonschema import Draft202012Validator

from lensmill import experiments
from lensmill.pipeline import settings as checked
from lensmill.pipeline import shards, store


@pytest.fixture(params=experiments.NAMES)
def name(request):
    return request.param


@pytest.fixture
def settings(name):
    return experiments.defaults(name)


@pytest.fixture
def simulator(name, settings):
    if not simulated(settings):
        pytest.skip(f"{name} simulates nothing")
    return experiments.load(name, "simulate")


def simulated(settings):
    return [name for name, p in settings["populations"].items() if "systems" in p]


def draw(simulator, settings, name, population, first, count, seed=1):
    chosen = checked.population(settings, population)
    numbers = shards.numbers(simulator, seed, name, population, first, count, chosen)
    return simulator.draw(first, numbers, chosen)


# Functions by module, with the arguments that they must take; those of `OPTIONAL` may be missing.
FUNCTIONS = {
    "simulate": {
        "draw": ["first", "uniforms", "settings"],
        "objects": ["settings"],
        "attributes": ["settings"],
    },
    "ingest": {
        "ingest": ["source", "output", "population", "experiment", "settings"],
        "list_files": ["source", "output", "settings"],
    },
    "check": {"check": ["dataset", "settings"]},
    "network": {
        "train": [
            *("dataset", "split", "settings", "seed", "threads"),
            *("model", "history", "training", "checkpoints", "watch"),
        ],
        "load": ["model", "training", "threads"],
        "predict": [
            *("network", "dataset", "split", "settings", "seed", "output", "name", "population"),
        ],
    },
    "score": {
        "score": ["predictions", "settings", "seed", "output"],
        "combine": ["members", "output", "network"],
    },
    "settings": {
        "check": ["settings", "where"],
        "refuse_unlike": ["settings", "trained_on", "population", "where"],
        "suffix": ["network"],
        "claims_errors": ["network"],
        "source_files": ["population", "source"],
        "simulation_inputs": ["settings", "population"],
        "check_settings": ["settings", "population"],
        "training_inputs": ["settings", "network"],
        "prediction_inputs": ["settings", "network", "population"],
        "score_inputs": ["settings", "name", "network", "population"],
    },
}
OPTIONAL = {"simulate": {"objects", "attributes"}, "ingest": {"list_files"}, "score": {"combine"}}
OPTIONAL["settings"] = set(FUNCTIONS["settings"])


def modules(name, settings):
    """List the modules that an experiment must have, given its populations and networks."""
    populations = settings["populations"].values()
    yield from ["check", "network", "score"] if settings["networks"] else ["check"]
    yield from (
        module
        for module, key in (("simulate", "systems"), ("ingest", "ingest"))
        if any(key in p for p in populations)
    )
    if (experiments.FOLDER / name / "settings.py").exists():
        yield "settings"


def test_the_functions_take_what_the_rules_give(name, settings):
    for module in modules(name, settings):
        part = experiments.load(name, module)
        for function, wanted in FUNCTIONS[module].items():
            if not hasattr(part, function):
                assert function in OPTIONAL.get(module, ()), (module, function)
                continue
            signature = inspect.signature(getattr(part, function))
            assert [*signature.parameters][: len(wanted)] == wanted, (module, function)
            assert getattr(part, function).__doc__, (module, function)


def test_an_ensemble_can_be_asked_for_where_networks_are_combined(name, settings):
    if settings["networks"]:
        keys = experiments.schema(name)["$defs"]["network"]["properties"]
        assert ("seeds" in keys) == experiments.offers(name, "score", "combine")


def test_the_defaults_are_permitted_and_choose_what_the_schema_knows(name):
    chosen = experiments.check(name, experiments.choices(name))
    assert chosen == experiments.defaults(name)
    Draft202012Validator.check_schema(experiments.schema(name))


def keys(schema, root, where=""):
    """Yield every key of a schema, at any depth, once."""
    for key, of in schema.get("properties", {}).items():
        yield f"{where}.{key}", of
        if "$ref" not in of:
            yield from keys(of, root, f"{where}.{key}")
    for name, definition in schema.get("$defs", {}).items():
        yield from keys(definition, root, name)


def test_every_setting_is_described_and_its_default_permitted(name):
    schema = experiments.schema(name)
    for where, of in keys(schema, schema):
        assert of.get("description") or "$ref" in of, where
        Unit(of.get("unit", ""))
        values = [of["default"]] if "default" in of else []
        values += of.get("default_by", {}) and [
            value for by in of["default_by"].values() for value in by.values()
        ]
        for value in values:
            Draft202012Validator({**of, "$defs": schema["$defs"]}).validate(value)


def test_look_ups_import_no_library(name):
    program = "import sys; from lensmill import experiments; "
    program += f"experiments.check({name!r}, experiments.choices({name!r})); "
    program += "print(*{'numpy', 'scipy', 'pandas', 'keras', 'astropy'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(experiments.FOLDER.parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


def test_scoring_and_figures_import_no_deep_learning_library(name, settings):
    program = "import sys; from lensmill import experiments; "
    parts = ["score"] * bool(settings["networks"])
    parts += [f"figures.{figure}" for figure in settings["figures"]]
    program += "".join(f"experiments.load({name!r}, {part!r}); " for part in parts)
    program += "print(*{'keras', 'tensorflow'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(experiments.FOLDER.parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


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
        # `group` stands there only for systems that have one, others only in some populations
        some = {"group", *getattr(simulator, "OPTIONAL", ())}
        for table, columns in tables.items():
            assert columns.keys() - some == simulator.UNITS[table].keys() - some
            assert len({len(values) for values in columns.values()}) == 1, table
            for unit in simulator.UNITS[table].values():
                Unit(unit)


def test_a_system_is_the_same_whatever_is_drawn_with_it(name, settings, simulator):
    for population in simulated(settings):
        together = draw(simulator, settings, name, population, 0, 40)["systems"]
        alone = draw(simulator, settings, name, population, 33, 1)["systems"]
        rows = {f"systems/{column}" for column in together} & simulator.ROWS_OF.keys()
        for column in together.keys() - {row.split("/")[1] for row in rows}:
            assert np.array_equal(together[column][33], alone[column][0]), (population, column)


def test_systems_of_one_object_are_of_one_group_in_the_file(name, settings, simulator, tmp_path):
    if not hasattr(simulator, "objects"):
        pytest.skip(f"no systems of {name} show the same object")
    for population in simulated(settings):
        chosen = checked.population(settings, population)
        each, shared = simulator.objects(chosen)
        assert each >= 1 and 0 < shared <= simulator.WIDTH
        path = tmp_path / "shard.h5"
        shards.simulate(str(path), simulator, name, population, 1, 3, 3 * each, chosen, "")
        systems = store.read(path, "systems", ["index", "group"])
        assert systems["group"].tolist() == [f"{population}/{i // each}" for i in systems["index"]]


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
