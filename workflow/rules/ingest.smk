"""Bring real systems into the form that simulated ones have.

Reads:  the file or folder that the population names in the configuration
Writes: results/{experiment}/data/{population}/{files.json, dataset.h5}
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
