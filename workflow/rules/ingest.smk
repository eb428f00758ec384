"""Bring real systems into the form that simulated ones have.

Reads:  the file that the population names in the configuration
Writes: results/{experiment}/data/{population}/dataset.h5
"""


rule ingest:
    """Read a table of real systems; refuse bad rows by line and reason."""
    input:
        lambda wildcards: user_file(
            setting("populations", "{population}", "ingest")(wildcards)
        ),
    output:
        "results/{experiment}/data/{population}/dataset.h5",
    log:
        "results/{experiment}/logs/ingest/{population}.log",
    wildcard_constraints:
        population=one_of(set(populations("ingest")) - set(populations("observation"))),
    conda:
        ROOT / "envs/simulate.yaml"
    params:
        code=code("experiments/time_delay/ingest.py"),
    script:
        "../scripts/ingest.py"


rule list_files:
    """List the images that a table names or a folder holds: each is an input of what follows."""
    input:
        cutout_files,
    output:
        "results/{experiment}/data/{population}/files.json",
    log:
        "results/{experiment}/logs/list_files/{population}.log",
    wildcard_constraints:
        population=one_of(set(populations("ingest")) & set(populations("observation"))),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=resources("ingest_cutouts", "mem_mb"),
        runtime=resources("ingest_cutouts", "runtime"),
    params:
        settings=population_settings,
        files=names_in_folder,
        code=code("cutouts/layouts.py"),
    script:
        "../scripts/list_files.py"


rule ingest_cutouts:
    """Read images of real lenses and galaxies; name every file that is refused, and why."""
    input:
        cutout_files,
        "results/{experiment}/data/{population}/files.json",
    output:
        "results/{experiment}/data/{population}/dataset.h5",
    log:
        "results/{experiment}/logs/ingest_cutouts/{population}.log",
    benchmark:
        "results/{experiment}/benchmarks/ingest_cutouts/{population}.tsv"
    wildcard_constraints:
        population=one_of(set(populations("ingest")) & set(populations("observation"))),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=resources("ingest_cutouts", "mem_mb"),
        runtime=resources("ingest_cutouts", "runtime"),
    params:
        settings=population_settings,
        files=state_of_files,
        code=code("cutouts/ingest.py"),
    script:
        "../scripts/ingest_cutouts.py"
