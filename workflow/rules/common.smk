"""Look-ups that all rules share: no science here, and no word of any experiment."""

import re

from snakemake.exceptions import WorkflowError

from lensmill import experiments
from lensmill.pipeline import names
from lensmill.pipeline import settings as checked
from lensmill.pipeline.provenance import digest

# Which file a value comes from matters: YAML may have read it otherwise than it looks. Snakemake
# keeps the names of the files and what the command line said, but offers neither.
try:
    chosen_config = experiments.check_config(
        config, workflow.configfiles, workflow.config_settings.config
    )
except ValueError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    experiment="|".join(map(re.escape, config["experiments"])),
    population=r"[^/]+",
    network=r"[^/]+",
    figure=r"[^/]+",
    shard=r"\d{5}",


def one_of(names):
    """Return a regular expression that matches these names and nothing else."""
    return "|".join(map(re.escape, sorted(names))) or "(?!)"


def with_names(folder, names_of):
    """Return a constraint of {experiment} that binds the name after the folder that follows it.

    ``names_of(experiment)`` lists the names; so experiments may use the same ones in other ways.
    """
    return "|".join(
        f"{re.escape(name)}(?=/{folder}/(?:{one_of(names_of(name))}){names.MEMBER}/)"
        for name in config["experiments"]
    )


def having(key):
    """Return a function that lists the populations with a setting: ``systems`` or ``ingest``."""
    return lambda experiment: [
        name
        for name, population in config["experiments"][experiment]["populations"].items()
        if key in population
    ]


def find(experiment, *keys):
    """Look up a setting of an experiment."""
    value, where = config["experiments"][experiment], experiment
    for key in keys:
        if key not in value:
            there = ", ".join(value)
            raise WorkflowError(f"{where} has no {key!r}; there are: {there}")
        value, where = value[key], f"{where}.{key}"
    return value


def setting(*keys):
    """Return an input function that looks up a setting of the job's experiment."""
    return lambda wildcards: find(
        wildcards.experiment, *(key.format(**wildcards) for key in keys)
    )


def ask(experiment, question, *arguments):
    """Ask a look-up of an experiment about its settings."""
    answer = experiments.look_up(experiment, question)
    try:
        return answer(config["experiments"][experiment], *arguments)
    except ValueError as error:
        raise WorkflowError(str(error)) from None


def below(experiment, paths):
    """Complete paths, or lists of them, below the results of an experiment."""
    folder = f"results/{experiment}"
    return {
        name: (
            [f"{folder}/{x}" for x in path]
            if isinstance(path, list)
            else f"{folder}/{path}"
        )
        for name, path in paths.items()
    }


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


def is_simulated(experiment, population):
    """Say whether a population is simulated; else it is ingested."""
    return "systems" in find(experiment, "populations", population)


def simulation_inputs(wildcards):
    """Name the results that simulating a population takes."""
    experiment, population = wildcards.experiment, wildcards.population
    return below(experiment, ask(experiment, "simulation_inputs", population))


def population_settings(wildcards):
    """Return what fixes the systems of a population."""
    experiment, population = wildcards.experiment, wildcards.population
    simulated = is_simulated(experiment, population)
    chosen = checked.population(config["experiments"][experiment], population)
    return chosen | (simulation_inputs(wildcards) if simulated else {})
