"""Which jobs a configuration asks for: DAGs that Snakemake has resolved, of which no job is run."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

ROOT = Path(__file__).parents[1]
# An experiment of which only the plan is made: modules need not do anything but exist.
MODULES = ("simulate", "ingest", "check", "network", "score", "figures/__init__", "figures/points")
SCHEMA = {
    "split": {"properties": {"stratify_by": {"enum": ["index"]}}},
    "networks": {
        "properties": {"model": {"enum": ["dense", "forest"], "default": "dense"}},
        "include": ["gradient_descent", "folds", "seeds"],
    },
}
LOOKUPS = """
def suffix(network):
    return ".skops" if network.get("model") == "forest" else ".keras"
def simulation_inputs(settings, population):
    under = settings["populations"][population].get("override", {}).get("under")
    return {"under": f"data/{under[0]}/dataset.h5"} if under else {}
def score_inputs(settings, name, network, population):
    own = network["train_on"]
    return {} if population == own else {"reference": f"scores/{name}/{own}/scores.json"}
"""
SETTINGS = {
    "shard_size": 100,
    "priors": {"wide": {"under": []}},
    "populations": {
        "near": {"prior": "wide", "systems": 200},
        "far": {"prior": "wide", "systems": 100},
        "survey": {"ingest": "table.csv"},
    },
    "split": {"stratify_by": "index", "blocks": [2, 1, 1]},
    "networks": {"plain": {"train_on": "near", "test_on": ["near", "far", "survey"]}},
    "tables": ["scores/scores.csv"],
    "figures": {"points": {"predictions": ["scores/plain/far/predictions.h5"]}},
}


def write_experiment(checkout, name, settings, lookups=LOOKUPS, include=None, offers=()):
    """Write the folder of an experiment: nothing registers it."""
    folder = checkout / "src/lensmill/experiments" / name
    for module in MODULES:
        (folder / module).parent.mkdir(parents=True, exist_ok=True)
        functions = [f"def {f}():\n    pass\n" for m, f in offers if m == module]
        (folder / f"{module}.py").write_text('"""Text."""\n' + "\n".join(functions))
    (folder / "settings.py").write_text(lookups)
    network = dict(SCHEMA["networks"])
    if include is not None:
        network["include"] = include
    parameters = {"under": {"type": "array"}}
    schema = {
        "properties": {"split": SCHEMA["split"]},
        "$defs": {"network": network, "prior_preset": {"properties": parameters}},
    }
    (folder / "schema.yaml").write_text(yaml.safe_dump(schema))
    (folder / "defaults.yaml").write_text(yaml.safe_dump({"experiments": {name: settings}}))


@pytest.fixture
def checkout(tmp_path):
    """Return a copy of the workflow with two experiments that have the same names."""
    folder = tmp_path / "checkout"
    ours = ROOT / "src/lensmill"
    skip = shutil.ignore_patterns("__pycache__", "time_delay", "lens_finding", "rings", "tests")
    shutil.copytree(ours, folder / "src/lensmill", ignore=skip)
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    for name in ("Snakefile", "CITATION.cff"):
        shutil.copy(ROOT / name, folder)
    for path in (folder / "src/lensmill/experiments").glob("*/defaults.yaml"):
        shutil.rmtree(path.parent)
    (folder / "config.yaml").write_text("run: [one]\nseed: 1")
    (folder / "table.csv").write_text("name\na\n")
    write_experiment(folder, "one", SETTINGS)
    return folder


def plan(checkout, *targets, change=None, experiment="one"):
    """Return the jobs of a dry run: rule, and what its wildcards are but the experiment."""
    settings = {"experiments": {experiment: change or {}}}
    (checkout / "mine.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1"]
    command += ["--configfile", "mine.yaml", *(["--", *targets] if targets else [])]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    jobs = set()
    for job in re.split(r"^\[", done.stdout, flags=re.MULTILINE):
        if rule := re.search(r"^(?:local)?rule (\w+):", job, flags=re.MULTILINE):
            wildcards = re.search(r"^ +wildcards: (.*)$", job, flags=re.MULTILINE)
            values = re.findall(r"(\w+)=([^,\s]+)", wildcards[1]) if wildcards else []
            jobs.add((rule[1], *(value for name, value in values if name != "experiment")))
    return jobs


def refusal(checkout, *targets, change=None):
    settings = {"experiments": {"one": change or {}}}
    (checkout / "mine.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "mine.yaml"]
    done = subprocess.run([*command, "--", *targets], cwd=checkout, capture_output=True, text=True)
    assert done.returncode != 0
    return done.stdout + done.stderr


DATA = {
    ("simulate_shard", "near", "00000"),
    ("simulate_shard", "near", "00001"),
    ("simulate_shard", "far", "00000"),
    ("ingest", "survey"),
    *((rule, p) for p in ("near", "far") for rule in ("merge_shards", "split_dataset")),
    *(("check_dataset", p) for p in ("near", "far", "survey")),
    ("compare_populations",),
}
NETWORK = {
    ("train_network", "plain"),
    ("predict_network", "plain"),
    ("predict_population", "plain", "survey"),
    *(("score_network", "plain", p) for p in ("near", "far", "survey")),
}
ENDS = {("tabulate_scores",), ("plot_figure", "points"), ("write_captions",), ("all",)}
ENDS |= {("write_model_cards_one",)}


def test_an_experiment_asks_for_each_step_once(checkout):
    assert plan(checkout) == DATA | NETWORK | ENDS


def test_an_experiment_of_one_population_without_networks_has_nothing_else(checkout):
    few = SETTINGS | {
        "populations": {"near": SETTINGS["populations"]["near"]},
        "networks": {},
        "figures": {},
        "tables": [],
    }
    write_experiment(checkout, "one", few, lookups="")
    jobs = {job for job in DATA if {"far", "survey"}.isdisjoint(job)}
    assert plan(checkout) == jobs | {("write_captions",), ("all",)}


def test_folds_are_networks_of_their_own(checkout):
    jobs = plan(checkout, change={"networks": {"plain": {"folds": 2}}, "figures": {}})
    members = [f"plain_fold{i}of2" for i in (1, 2)]
    figure = NETWORK  # which names the network itself still asks for it
    expected = DATA | ENDS | figure
    for member in members:
        expected |= {(rule, member, *rest) for rule, _, *rest in NETWORK}
    expected -= {("score_network", "plain", p) for p in ("survey",)}
    expected -= {("predict_population", "plain", "survey")}
    assert jobs == expected


def test_seeds_are_trained_apart_and_scored_together(checkout):
    some = {"networks": {"plain": {"seeds": 2}}}
    update_config(
        some, {"figures": {"points": {"predictions": ["scores/plain_seed1/far/predictions.h5"]}}}
    )
    expected = DATA | ENDS
    for member in ("plain_seed1", "plain_seed2"):
        expected |= {(rule, member, *rest) for rule, _, *rest in NETWORK}
    for p in ("near", "far", "survey"):
        expected |= {("combine_networks", "plain", "2", p), ("score_network", "plain_ensemble2", p)}
    assert plan(checkout, change=some) == expected


def test_what_the_schema_leaves_out_is_refused_by_name(checkout):
    write_experiment(checkout, "one", SETTINGS, include=["gradient_descent"])
    scores = "results/one/scores/plain_{}/near/scores.json"
    said = refusal(checkout, scores.format("ensemble2"))
    assert "plain_ensemble2: one does not combine networks; ask for plain" in said
    said = refusal(checkout, scores.format("fold1of5"))
    assert "plain_fold1of5: one does not train networks on folds; ask for plain" in said
    said = refusal(checkout, scores.format("seed1"), change={"networks": {"plain": {"folds": 5}}})
    assert "experiments.one.networks.plain.folds is not a setting" in said


def test_seeds_and_folds_of_one_network_are_members_apart(checkout):
    both = {"networks": {"plain": {"seeds": 2, "folds": 2}}, "figures": {}}
    jobs = plan(checkout, change=both)
    trained = {job[1] for job in jobs if job[0] == "train_network"}
    members = {"plain_seed1", "plain_seed2", "plain_fold1of2", "plain_fold2of2"}
    assert trained == members | {"plain"}  # which the figure names


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("plain_fold3of2", "of 2 folds there is no 3"),
        ("plain_ensemble0", "an ensemble is of one seed or more"),
        ("plain_ensemble2_fold1of2", "on no fold; ask for plain_ensemble2"),
    ],
)
def test_members_that_cannot_be_are_refused_before_the_first_job(checkout, network, said):
    assert said in refusal(checkout, f"results/one/scores/{network}/near/scores.json")


def test_an_ensemble_is_not_trained(checkout):
    said = refusal(checkout, "results/one/networks/plain_ensemble2/model.keras")
    assert "plain_ensemble2 is not trained, its members are" in said


def test_a_file_that_is_not_there_is_named_with_where_it_was_looked_for(checkout):
    wrong = {"populations": {"survey": {"ingest": "tabel.csv"}}}
    said = refusal(checkout, "results/one/data/survey/checks.json", change=wrong)
    assert "one.populations.survey.ingest: 'tabel.csv' is neither in" in said


def test_a_figure_without_a_module_is_named(checkout):
    said = refusal(checkout, "results/one/figures/captions.md", change={"figures": {"lines": {}}})
    assert "one.figures.lines has no src/lensmill/experiments/one/figures/lines.py" in said


def test_a_population_upon_another_waits_for_it_and_is_predicted_alone(checkout):
    upon = {"populations": {"far": {"override": {"under": ["survey"]}}}}
    gone = set()
    come = {("predict_population", "plain", "far")}
    assert plan(checkout, change=upon) == (DATA | NETWORK | ENDS) - gone | come


def test_a_real_population_may_be_learned_from(checkout):
    real = {"networks": {"plain": {"train_on": "survey"}}}
    expected = DATA | NETWORK | ENDS | {("split_dataset", "survey")}
    assert plan(checkout, change=real) == expected - {("predict_population", "plain", "survey")}


def test_files_are_listed_where_an_experiment_lists_them(checkout):
    write_experiment(checkout, "one", SETTINGS, offers=[("ingest", "list_files")])
    assert plan(checkout) == DATA | NETWORK | ENDS | {("list_files", "survey")}


def test_a_model_without_epochs_is_fitted(checkout):
    forest = {"networks": {"plain": {"model": "forest"}}}
    expected = DATA | NETWORK | ENDS | {("fit_network", "plain")}
    assert plan(checkout, change=forest) == expected - {("train_network", "plain")}


def test_any_other_population_can_be_asked_for(checkout):
    fewer = {"networks": {"plain": {"test_on": ["near"]}}}
    jobs = plan(checkout, "results/one/scores/plain/far/scores.json", change=fewer)
    assert {("predict_population", "plain", "far"), ("score_network", "plain", "far")} <= jobs
    # `near` for the threshold of its scores, `far` alone: nothing that is there is made anew
    assert ("predict_network", "plain") in jobs
    assert not {job for job in jobs if "survey" in job}


ERRORS = (
    LOOKUPS
    + """
def claims_errors(network):
    return network["epochs"] > 5
"""
)


def test_every_network_that_claims_errors_has_a_page_for_each_population(checkout):
    write_experiment(checkout, "one", SETTINGS, lookups=ERRORS)
    pages = {("plot_calibration", "plain", p) for p in ("near", "far", "survey")}
    assert plan(checkout) == DATA | NETWORK | ENDS | pages
    without = {"networks": {"plain": {"epochs": 5}}}
    assert plan(checkout, change=without) == DATA | NETWORK | ENDS


def test_a_card_lies_beside_every_model_that_is_trained(checkout):
    some = {"networks": {"plain": {"seeds": 2}, "other": {"train_on": "far", "test_on": ["far"]}}}
    cards = [f"results/one/networks/{n}/model_card.md" for n in ("plain_seed2", "other")]
    jobs = plan(checkout, *cards, change=some)
    scored = {job[1:] for job in jobs if job[0] == "score_network"}
    assert scored == {("plain_seed1", "near"), ("plain_seed2", "near"), ("other", "far")}
    assert sum(job[0].startswith("write_model_cards") for job in jobs) == 1
    card = "results/one/networks/plain_ensemble2/model_card.md"  # it has no model
    assert "MissingRuleException" in refusal(checkout, card, change=some)


def test_experiments_with_the_same_names_do_not_meet(checkout):
    swapped = SETTINGS | {
        "populations": {
            "near": {"ingest": "table.csv"},
            "far": {"ingest": "table.csv"},
            "survey": {"prior": "wide", "systems": 100},
        },
        "networks": {
            "plain": {"train_on": "survey", "test_on": ["survey", "near"], "model": "forest"}
        },
    }
    write_experiment(checkout, "two", swapped, offers=[("ingest", "list_files")])
    assert plan(checkout) == DATA | NETWORK | ENDS
    (checkout / "config.yaml").write_text("run: [two]\nseed: 1")
    assert plan(checkout, experiment="two") == {
        ("simulate_shard", "survey", "00000"),
        ("merge_shards", "survey"),
        ("split_dataset", "survey"),
        *((rule, p) for p in ("near", "far") for rule in ("ingest", "list_files")),
        *(("check_dataset", p) for p in ("near", "far", "survey")),
        ("compare_populations",),
        ("fit_network", "plain"),
        ("predict_network", "plain"),
        ("predict_population", "plain", "near"),
        ("predict_population", "plain", "far"),  # which the figure shows
        *(("score_network", "plain", p) for p in ("near", "far", "survey")),
        *(ENDS - {("write_model_cards_one",)}),
        ("write_model_cards_two",),
    }


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("scores/plane/near/scores.json", "one.networks has no 'plane'; there are: plain"),
        ("scores/plain/nere/scores.json", "one.populations has no 'nere'; there are: far, near"),
        ("figures/pints.png", "one.figures has no 'pints'; there are: points"),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_those_there_are(checkout, target, said):
    assert said in refusal(checkout, f"results/one/{target}")
