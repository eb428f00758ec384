"""Look-ups of populations: shards, files of the user, checks and splits."""

from math import ceil

from lensmill.pipeline import freshness, sources


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


def check_settings(wildcards):
    """Return what a population should be: its settings, and its size if it is simulated."""
    experiment, population = wildcards.experiment, wildcards.population
    expected = ask(experiment, "check_settings", population)
    if is_simulated(experiment, population):
        expected["systems"] = find(experiment, "populations", population, "systems")
    return population_settings(wildcards) | expected


def simulated_checks(wildcards):
    """List the checks of all simulated populations of an experiment."""
    folder = f"results/{wildcards.experiment}/data"
    return [
        f"{folder}/{p}/checks.json" for p in having("systems")(wildcards.experiment)
    ]


def datasets_of(names):
    """List the checks, and the splits of what is simulated or trained on, of all populations."""
    files = [f"results/{e}/data/checks.json" for e in names]
    for e in names:
        chosen = config["experiments"][e]
        divided = {p for n in chosen["networks"].values() for p in checked.shares(n)}
        divided |= set(having("systems")(e))
        for p in chosen["populations"]:
            if "images_per_job" in chosen["populations"][p] and p not in divided:
                files.append(f"results/{e}/data/{p}/index.json")
                continue
            kinds = ["checks.json"] + ["split.h5"] * (p in divided)
            files += [f"results/{e}/data/{p}/{kind}" for kind in kinds]
    return files


def user_file(path):
    """Find a file that the configuration names: here, beside the Snakefile, in a package."""
    return sources.find(path, ROOT)


def source(wildcards):
    """Return the file or folder that a population is ingested from."""
    experiment, population = wildcards.experiment, wildcards.population
    given = find(experiment, "populations", population, "ingest")
    path = user_file(given)
    if not Path(path).exists():
        said = (
            f"experiments.{experiment}.populations.{population}.ingest: "
            f"{sources.where(given)}, or leave the population out"
        )
        if not Path(f"results/{experiment}/data/{population}/dataset.h5").exists():
            raise WorkflowError(said)
        logger.warning(f"{said}; what was read before is used")
    return path


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


def in_one_job(experiment):
    """List the populations that are ingested by one job each."""
    in_shards = having("images_per_job")(experiment)
    return [name for name in having("ingest")(experiment) if name not in in_shards]


def number_of_shards(wildcards):
    """Return the number of jobs that a survey is read by, by a count of its files or rows."""
    population = population_settings(wildcards)
    size = setting("populations", "{population}", "images_per_job")(wildcards)
    look_up = experiments.look_up(wildcards.experiment, "count_images")
    return max(1, ceil(look_up(population, source(wildcards)) / size))


def ingested_shards(wildcards):
    """List the shards of a survey, in order."""
    folder = f"results/{wildcards.experiment}/data/{wildcards.population}/shards"
    return [f"{folder}/{k:05d}.h5" for k in range(number_of_shards(wildcards))]


def shard_files(wildcards):
    """Name what a shard is made of: the plan, whose time says nothing of this shard, and tables.

    Which shards changed is known when a new plan is there, so that it is a checkpoint.
    """
    named = {key: wildcards[key] for key in ("experiment", "population")}
    folder = checkpoints.plan_ingestion.get(**named).output[0]
    return [ancient(folder), *source_files(wildcards)[1:]]


def state_of_shard(wildcards):
    """Return a digest of what a shard is made of, and of size and time of each file."""
    folder = f"results/{wildcards.experiment}/data/{wildcards.population}/candidates"
    plan = Path(folder, f"{wildcards.shard}.json")
    return freshness.state_of_plan(plan) if plan.exists() else ""


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
