"""Bring real systems into the form that simulated ones have.

Reads:  the file or folder that the population names in the configuration
Writes: results/{experiment}/data/{population}/{files.json, dataset.h5}
"""

from lensmill.pipeline import freshness


def user_file(path):
    """Find a file that the configuration names: here, else beside the Snakefile."""
    return path if Path(path).exists() else str(ROOT / path)


def source(wildcards):
    """Return the file or folder that a population is ingested from."""
    return user_file(setting("populations", "{population}", "ingest")(wildcards))


def source_files(wildcards):
    """List the files that the configuration names for a population, the source first."""
    population = setting("populations", "{population}")(wildcards)
    look_up = experiments.look_up(wildcards.experiment, "source_files")
    return look_up(population, source(wildcards))


def listed_files(wildcards):
    """Name the list of the files that a source stands for, if the experiment makes one."""
    if not experiments.offers(wildcards.experiment, "ingest", "list_files"):
        return []
    return f"results/{wildcards.experiment}/data/{wildcards.population}/files.json"


# Two looks at the files of a population, where the rules are applied and not where they are read:
# seconds for a million files. Functions of `input` would be neater, but Snakemake compares only
# parameters that are functions of wildcards with those of the last run.
def names_in_folder(wildcards):
    """Return a digest of what a folder holds; files that come or go change it."""
    folder = source(wildcards)
    return freshness.names(folder) if Path(folder).is_dir() else ""


def state_of_files(wildcards):
    """Return a digest of size and time of every file; one that is replaced changes it."""
    listed = listed_files(wildcards)
    return freshness.states(listed) if listed and Path(listed).exists() else ""


rule list_files:
    """List the files that a table names or a folder holds: each is an input of what follows."""
    input:
        source_files,
    output:
        "results/{experiment}/data/{population}/files.json",
    log:
        "results/{experiment}/logs/list_files/{population}.log",
    wildcard_constraints:
        experiment=with_names("data", having("ingest")),
    conda:
        ROOT / "envs/simulate.yaml"
    params:
        settings=population_settings,
        files=names_in_folder,
        code=code("experiments/{experiment}/ingest.py"),
    script:
        "../scripts/list_files.py"


rule ingest:
    """Read real systems; name every row or file that is refused, and why."""
    input:
        source_files,
        listed_files,
    output:
        "results/{experiment}/data/{population}/dataset.h5",
    log:
        "results/{experiment}/logs/ingest/{population}.log",
    benchmark:
        "results/{experiment}/benchmarks/ingest/{population}.tsv"
    wildcard_constraints:
        experiment=with_names("data", having("ingest")),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=resources("ingest", "mem_mb"),
        runtime=resources("ingest", "runtime"),
    params:
        settings=population_settings,
        files=state_of_files,
        code=code("experiments/{experiment}/ingest.py"),
    script:
        "../scripts/ingest.py"
