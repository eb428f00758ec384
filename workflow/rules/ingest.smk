"""Bring real systems into the form that simulated ones have.

Reads:  the file or folder that the population names in the configuration
Writes: results/{experiment}/data/{population}/{files.json, dataset.h5}; of a population that is read in
shards (`images_per_job`): candidates/, shards/*.h5, index.json, copies.csv, and dataset.h5 where it is asked for
"""


rule list_files:
    """List the files that a table names or a folder holds: each is an input of what follows."""
    input:
        source_files,
    output:
        "results/{experiment}/data/{population}/files.json",
    log:
        "results/{experiment}/logs/list_files/{population}.log",
    wildcard_constraints:
        experiment=with_names("data", in_one_job),
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
        experiment=with_names("data", in_one_job),
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


checkpoint plan_ingestion:
    """Divide the images of a survey among jobs, in their order."""
    input:
        source_files,
    output:
        directory("results/{experiment}/data/{population}/candidates"),
    log:
        "results/{experiment}/logs/plan_ingestion/{population}.log",
    wildcard_constraints:
        experiment=with_names("data", having("images_per_job")),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=resources("ingest", "mem_mb"),
        runtime=resources("ingest", "runtime"),
    params:
        settings=population_settings,
        size=setting("populations", "{population}", "images_per_job"),
        shards=number_of_shards,
        files=names_in_folder,
        code=code("experiments/{experiment}/ingest.py"),
    script:
        "../scripts/plan_ingestion.py"


rule ingest_shard:
    """Read the images of one shard; those of a shard that is full do not change when more come."""
    input:
        shard_files,
    output:
        "results/{experiment}/data/{population}/shards/{shard}.h5",
    log:
        "results/{experiment}/logs/ingest_shard/{population}.{shard}.log",
    benchmark:
        "results/{experiment}/benchmarks/ingest_shard/{population}.{shard}.tsv"
    wildcard_constraints:
        experiment=with_names("data", having("images_per_job")),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=resources("ingest", "mem_mb"),
        runtime=resources("ingest", "runtime"),
    params:
        settings=population_settings,
        files=state_of_shard,
        code=code("experiments/{experiment}/ingest.py"),
    script:
        "../scripts/ingest_shard.py"


rule merge_ingested:
    """Join the shards of a survey into one data set, for what needs all of its images together."""
    input:
        ingested_shards,
    output:
        "results/{experiment}/data/{population}/dataset.h5",
    log:
        "results/{experiment}/logs/merge_ingested/{population}.log",
    benchmark:
        "results/{experiment}/benchmarks/merge_ingested/{population}.tsv"
    wildcard_constraints:
        experiment=with_names("data", having("images_per_job")),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=resources("merge_shards", "mem_mb"),
        runtime=resources("merge_shards", "runtime"),
    params:
        settings=population_settings,
        source=source,
        code=code("experiments/{experiment}/ingest.py"),
    script:
        "../scripts/merge_ingested.py"


rule index_shards:
    """Check the shards of a survey, count what is in them, and name images that occur twice."""
    input:
        ingested_shards,
    output:
        index="results/{experiment}/data/{population}/index.json",
        copies="results/{experiment}/data/{population}/copies.csv",
    log:
        "results/{experiment}/logs/index_shards/{population}.log",
    wildcard_constraints:
        experiment=with_names("data", having("images_per_job")),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=resources("merge_shards", "mem_mb"),
        runtime=resources("merge_shards", "runtime"),
    params:
        settings=population_settings,
        code=code("experiments/{experiment}/ingest.py"),
    script:
        "../scripts/index_shards.py"
