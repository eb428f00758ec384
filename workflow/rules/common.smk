"""Names and look-ups shared by all rules; no science here."""

import ast
import re
from math import ceil

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from lensmill import experiments
from lensmill.pipeline import freshness, names, scalars
from lensmill.pipeline import settings as checked
from lensmill.pipeline.provenance import digest

whole = experiments.whole_schema(ROOT / "workflow/schemas/config.schema.yaml")
try:
    for path in dict.fromkeys(map(str, workflow.configfiles)):
        scalars.refuse_misread(path, whole)
    scalars.refuse_text(workflow.config_settings.config, whole)
    texts = names.text_keys(config, "config")
except ValueError as error:
    raise WorkflowError(str(error)) from None
config.clear()
config.update(texts)

for name in config["run"]:
    if name not in experiments.NAMES:
        raise WorkflowError(
            f"config.yaml asks to run {name!r}, which is not an experiment; the folders in "
            f"src/lensmill/experiments are: {', '.join(experiments.NAMES)}."
        )
validate(config, ROOT / "workflow/schemas/config.schema.yaml")
whole_config = {**config, "experiments": {}}  # as it was written, to be kept
for name, chosen in config["experiments"].items():
    if name not in experiments.NAMES:
        raise WorkflowError(
            f"experiments.{name} is not an experiment; there are: {', '.join(experiments.NAMES)}."
        )
    chosen = names.text_values(chosen, experiments.schema(name))
    whole_config["experiments"][name] = chosen
    try:
        checked.refuse_unknown(chosen, experiments.schema(name), f"experiments.{name}")
        config["experiments"][name] = chosen = checked.without_null(chosen)
        validate(chosen, ROOT / f"src/lensmill/experiments/{name}/schema.yaml")
        names.check(chosen, f"experiments.{name}")
        checked.check_experiment(
            chosen, experiments.schema(name), f"experiments.{name}"
        )
        checked.check_populations(
            chosen,
            experiments.families(name),
            experiments.schema(name),
            f"experiments.{name}",
        )
        checked.check_networks(chosen, experiments.uses(name), f"experiments.{name}")
    except ValueError as error:
        raise WorkflowError(str(error)) from None


def named(section):
    """List the names in a section of the settings of all experiments."""
    return sorted({name for e in config["experiments"].values() for name in e[section]})


def populations(kind):
    """List the populations that are simulated (``systems``) or real (``ingest``)."""
    return sorted(
        name
        for e in config["experiments"].values()
        for name, population in e["populations"].items()
        if kind in population
    )


def one_of(names):
    """Return a regular expression that matches these names and nothing else."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


# A network may be trained from several seeds, or on several folds of its data: `NAME_seed3` and
# `NAME_fold2of5` are networks too, by name alone.
MEMBER = r"(_seed(\d+))?(_fold(\d+)of(\d+))?"


wildcard_constraints:
    experiment=one_of(config["experiments"]),
    population=one_of(named("populations")),
    network=f"(?:{one_of(named('networks'))}){MEMBER}",
    figure=one_of(named("figures")),
    shard=r"\d{5}",


def setting(*keys):
    """Return an input function that looks up a setting of the job's experiment."""

    def look_up(wildcards):
        value = config["experiments"][wildcards.experiment]
        for key in keys:
            value = value[key.format(**wildcards)]
        return value

    return look_up


def code(*modules):
    """Return an input function: digest of library modules and what they import.

    Given as a parameter, it reruns a step when its science code changes, which Snakemake cannot
    see through a script's imports.
    """
    return lambda wildcards: digest(*(m.format(**wildcards) for m in modules))


def resources(step, key):
    """Return an input function for memory or time of a step, more at every new attempt."""
    return lambda wildcards, attempt: attempt * setting("resources", step, key)(
        wildcards
    )


def chosen_network(wildcards):
    """Return the settings of a network; its seed or fold may stand in its name."""
    networks = setting("networks")(wildcards)
    found = re.fullmatch(f"({one_of(networks)}){MEMBER}", wildcards.network)
    name, _, seed, _, fold, folds = found.groups()
    numbers = {"seed": seed, "fold": fold, "folds": folds}
    return networks[name] | {k: int(v) for k, v in numbers.items() if v}


def members_of(name, network):
    """List the networks that a definition stands for: itself, or one per seed or fold.

    Those of several seeds are also judged together, as an ensemble.
    """
    members = []
    if seeds := network.get("seeds"):
        members += [f"{name}_seed{i}" for i in range(1, seeds + 1)]
        members.append(f"{name}_ensemble{seeds}")
    if folds := network.get("folds"):
        members += [f"{name}_fold{i}of{folds}" for i in range(1, folds + 1)]
    return members or [name]


def population_settings(wildcards):
    """Return what fixes the systems of a population."""
    chosen = checked.population(
        config["experiments"][wildcards.experiment], wildcards.population
    )
    return chosen | simulation_inputs(wildcards)


def simulation_inputs(wildcards):
    """Name the data set whose images a simulated population is laid upon, if there is one."""
    population = setting("populations", "{population}")(wildcards)
    if "background" not in population:
        return {}
    folder = f"results/{wildcards.experiment}/data/{population['background']}"
    return {"background": f"{folder}/dataset.h5"}


def shard_range(wildcards):
    """Return the index of the first system of a shard and the number of its systems."""
    size = setting("shard_size")(wildcards)
    first = int(wildcards.shard) * size
    systems = setting("populations", "{population}", "systems")(wildcards)
    return {"first": first, "count": min(size, systems - first)}


def shards_of(wildcards):
    """List the shard files of one population, in order."""
    systems = setting("populations", "{population}", "systems")(wildcards)
    n_shards = ceil(systems / setting("shard_size")(wildcards))
    folder = f"results/{wildcards.experiment}/data/{wildcards.population}/shards"
    return [f"{folder}/{shard:05d}.h5" for shard in range(n_shards)]


def user_file(path):
    """Find a file that the configuration names: here, else beside the Snakefile."""
    return path if Path(path).exists() else str(ROOT / path)


def cutout_files(wildcards):
    """Name the folder or table of images, and the table of labels in it if there is one."""
    population = setting("populations", "{population}")(wildcards)
    source = user_file(population["ingest"])
    labels = population.get("labels")
    return [source] + [f"{source}/{labels}"] * isinstance(labels, str)


# Two looks at the images of a population, where the rules are applied and not where they are read:
# seconds for a million files. Functions of `input` would be neater, but Snakemake compares only
# parameters that are functions of wildcards with those of the last run.
def names_in_folder(wildcards):
    """Return a digest of what a folder of images holds; files that come or go change it."""
    source = cutout_files(wildcards)[0]
    return freshness.names(source) if Path(source).is_dir() else ""


def state_of_files(wildcards):
    """Return a digest of size and time of every image; one that is replaced changes it."""
    listed = f"results/{wildcards.experiment}/data/{wildcards.population}/files.json"
    return freshness.states(listed) if Path(listed).exists() else "not listed yet"


def is_simulated(experiment, population):
    """Say whether a population is simulated; else it is ingested."""
    return "systems" in config["experiments"][experiment]["populations"][population]


def datasets_of(names):
    """List the checks, and the splits of what is simulated, of all populations."""
    return [f"results/{e}/data/checks.json" for e in names] + [
        f"results/{e}/data/{p}/{file}"
        for e in names
        for p in config["experiments"][e]["populations"]
        for file in ["checks.json"] + ["split.h5"] * is_simulated(e, p)
    ]


def simulated_checks(wildcards):
    """List the checks of all simulated populations of an experiment."""
    return [
        f"results/{wildcards.experiment}/data/{p}/checks.json"
        for p in setting("populations")(wildcards)
        if is_simulated(wildcards.experiment, p)
    ]


def scores_of(experiment):
    """List the scores of every network on every population that it is tested on."""
    return [
        f"results/{experiment}/scores/{network}/{population}/scores.json"
        for name, chosen in config["experiments"][experiment]["networks"].items()
        for network in members_of(name, chosen)
        for population in chosen["test_on"]
    ]


def tables_of(names):
    """List the tables that sum up each experiment."""
    return [
        f"results/{e}/{table}"
        for e in names
        for table in config["experiments"][e]["tables"]
    ]


def figures_of(names):
    """List every figure of the given experiments."""
    return [
        f"results/{name}/figures/{figure}.{suffix}"
        for name in names
        for figure in config["experiments"][name]["figures"]
        for suffix in ("pdf", "png")
    ] + [f"results/{name}/figures/captions.md" for name in names]


def figure_inputs(wildcards):
    """Map the arguments of a figure to the result files that it declares."""
    folder = f"results/{wildcards.experiment}"
    return {
        argument: (
            [f"{folder}/{p}" for p in paths]
            if isinstance(paths, list)
            else f"{folder}/{paths}"
        )
        for argument, paths in setting("figures", "{figure}")(wildcards).items()
    }


def figure_caption(wildcards):
    """Return the docstring of a figure's module: what the figure shows."""
    return caption(wildcards.experiment, wildcards.figure)


def caption(experiment, figure):
    """Return the docstring of a figure's module."""
    source = ROOT / f"src/lensmill/experiments/{experiment}/figures/{figure}.py"
    return ast.get_docstring(ast.parse(source.read_text()))


def captions(wildcards):
    """Map the figures of an experiment to what they show."""
    figures = setting("figures")(wildcards)
    return {figure: caption(wildcards.experiment, figure) for figure in figures}


def check_settings(wildcards):
    """Return what a population should be: its prior and the expected fractions, if simulated."""
    if not is_simulated(wildcards.experiment, wildcards.population):
        return population_settings(wildcards)
    expected = config["experiments"][wildcards.experiment].get("expected_fractions", {})
    expected = expected.get(wildcards.population, {})
    systems = setting("populations", "{population}", "systems")(wildcards)
    return population_settings(wildcards) | {
        "systems": systems,
        "expected_fractions": expected,
    }


def training_data(wildcards):
    """Name the data set, its split and its checks that a network trains on."""
    population = chosen_network(wildcards)["train_on"]
    folder = f"results/{wildcards.experiment}/data/{population}"
    return {
        "dataset": f"{folder}/dataset.h5",
        "split": f"{folder}/split.h5",
        "checks": f"{folder}/checks.json",
    }


def has_real_sky(experiment, population):
    """Say whether images are real ones, or mocks upon them."""
    chosen = config["experiments"][experiment]["populations"][population]
    return "background" in chosen or not is_simulated(experiment, population)


def kind_of_groups(experiment, population):
    """Say what the groups of a population are: of a column, or the images it was cut from."""
    populations = config["experiments"][experiment]["populations"]
    chosen = populations[population]
    chosen = populations[chosen["background"]] if "background" in chosen else chosen
    if chosen.get("group") is not None:
        return "named"
    if "background" in populations[population] or chosen.get("place") == "corners":
        return "images"
    return None


def test_data(wildcards):
    """Name the data set that a network is judged by, and what goes with it.

    That is the split of a simulated one, unless it is images that no network learns from, which are
    all judged if they name no groups as the network's own population does; for images of another
    population than that one, its scores, whose threshold is used; and if neither is a mock without
    real sky, its data and split, of which no image and no group may be here.
    """
    experiment, population = wildcards.experiment, wildcards.population
    folder = f"results/{experiment}/data/{population}"
    files = {"dataset": f"{folder}/dataset.h5", "checks": f"{folder}/checks.json"}
    own = chosen_network(wildcards)["train_on"]
    try:  # those of `test_on` have been compared; any other may be asked for
        checked.refuse_unlike(
            config["experiments"][experiment], own, population, wildcards.network
        )
    except ValueError as error:
        raise WorkflowError(str(error)) from None
    images = "observation" in setting("populations")(wildcards)[population]
    learned = {n["train_on"] for n in setting("networks")(wildcards).values()}
    in_parts = not images or population in learned
    kinds = [kind_of_groups(experiment, p) for p in (population, own)]
    grouped = images and kinds[0] is not None and kinds[0] == kinds[1]
    if (
        population == own
        or grouped
        or (in_parts and is_simulated(experiment, population))
    ):
        files["split"] = f"{folder}/split.h5"
    if images and population != own:
        scores = f"results/{experiment}/scores/{wildcards.network}"
        files["reference"] = f"{scores}/{own}/scores.json"
        if all(has_real_sky(experiment, p) for p in (population, own)):
            files["learned"] = f"results/{experiment}/data/{own}/dataset.h5"
            files["learned_split"] = f"results/{experiment}/data/{own}/split.h5"
    return files


def members_predictions(wildcards):
    """Name what the members of an ensemble say, and the ensemble's scores whose threshold is used."""
    if not experiments.offers(wildcards.experiment, "evaluate", "combine"):
        raise WorkflowError(
            f"{wildcards.network}_ensemble{wildcards.members}: {wildcards.experiment} does not "
            f"combine networks; ask for {wildcards.network}_seed1 and so on, one by one"
        )
    folder = f"results/{wildcards.experiment}/scores/{wildcards.network}"
    files = {
        "members": [
            f"{folder}_seed{i + 1}/{wildcards.population}/predictions.h5"
            for i in range(int(wildcards.members))
        ]
    }
    own = chosen_network(wildcards)["train_on"]
    images = "observation" in setting("populations", "{population}")(wildcards)
    if images and wildcards.population != own:
        files["reference"] = f"{folder}_ensemble{wildcards.members}/{own}/scores.json"
    return files


def network_settings(wildcards):
    """Return what fixes a network, given its data; where it is tested changes nothing in it."""
    network = chosen_network(wildcards)
    about = ("train_on", "test_on", "seeds", "observation")
    fixes = {k: v for k, v in network.items() if k not in about}
    if "observation" in network:
        observation = setting("observations", network["observation"])(wildcards)
        fixes["observation"] = observation
    return fixes
