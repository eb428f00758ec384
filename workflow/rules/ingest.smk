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
        population=one_of(populations("ingest")),
    conda:
        ROOT / "envs/simulate.yaml"
    params:
        code=code("pipeline/ingest.py"),
    script:
        "../scripts/ingest.py"
