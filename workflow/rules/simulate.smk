"""Simulate a population in shards, merge them, check the whole and split it.

Writes: results/{experiment}/data/{population}/{shards/*.h5, dataset.h5, checks.json, split.h5}
"""


rule simulate_shard:
    """Draw one shard of systems; seed, population and index fix its numbers."""
    input:
        unpack(simulation_inputs),
    output:
        "results/{experiment}/data/{population}/shards/{shard}.h5",
    log:
        "results/{experiment}/logs/simulate_shard/{population}.{shard}.log",
    benchmark:
        "results/{experiment}/benchmarks/simulate_shard/{population}.{shard}.tsv"
    wildcard_constraints:
        experiment=with_names("data", having("systems")),
    priority: 30
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=resources("simulate_shard", "mem_mb"),
        runtime=resources("simulate_shard", "runtime"),
    params:
        settings=population_settings,
        range=shard_range,
        seed=config["seed"],
        code=code("pipeline/shards.py", "experiments/{experiment}/simulate.py"),
    script:
        "../scripts/simulate_shard.py"


rule merge_shards:
    """Join the shards in order of index; refuse any that is missing, damaged or foreign."""
    input:
        shards_of,
    output:
        "results/{experiment}/data/{population}/dataset.h5",
    log:
        "results/{experiment}/logs/merge_shards/{population}.log",
    benchmark:
        "results/{experiment}/benchmarks/merge_shards/{population}.tsv"
    wildcard_constraints:
        experiment=with_names("data", having("systems")),
    priority: 30
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=resources("merge_shards", "mem_mb"),
        runtime=resources("merge_shards", "runtime"),
    params:
        settings=population_settings,
        systems=setting("populations", "{population}", "systems"),
        seed=config["seed"],
        code=code("pipeline/shards.py", "experiments/{experiment}/simulate.py"),
    script:
        "../scripts/merge_shards.py"


rule check_dataset:
    """Check a data set against what is known of it; stop the run with the numbers if it fails."""
    input:
        "results/{experiment}/data/{population}/dataset.h5",
    output:
        report(
            "results/{experiment}/data/{population}/checks.json",
            caption="../report/checks.rst",
            category="{experiment}",
            subcategory="checks",
            labels={"population": "{population}"},
        ),
    log:
        "results/{experiment}/logs/check_dataset/{population}.log",
        # beside the log, since Snakemake takes away what a failed check has written
        copies="results/{experiment}/logs/check_dataset/{population}.copies.csv",
    benchmark:
        "results/{experiment}/benchmarks/check_dataset/{population}.tsv"
    priority: 20
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=resources("check_dataset", "mem_mb"),
        runtime=resources("check_dataset", "runtime"),
    params:
        settings=check_settings,
        code=code("experiments/{experiment}/check.py"),
    script:
        "../scripts/check_dataset.py"


rule compare_populations:
    """Check that no two simulated populations have systems in common."""
    input:
        simulated_checks,
    output:
        "results/{experiment}/data/checks.json",
    log:
        "results/{experiment}/logs/compare_populations.log",
    conda:
        ROOT / "envs/simulate.yaml"
    params:
        code=code("pipeline/checks.py"),
    script:
        "../scripts/compare_populations.py"


rule split_dataset:
    """Divide the systems among training, validation and test."""
    input:
        dataset="results/{experiment}/data/{population}/dataset.h5",
        checks="results/{experiment}/data/{population}/checks.json",
    output:
        "results/{experiment}/data/{population}/split.h5",
    log:
        "results/{experiment}/logs/split_dataset/{population}.log",
    priority: 20
    conda:
        ROOT / "envs/simulate.yaml"
    params:
        settings=setting("split"),
        code=code("pipeline/splits.py"),
    script:
        "../scripts/split_dataset.py"


rule export_dataset:
    """Write a data set for other programs: CSV, or ECSV, Parquet or FITS with units."""
    input:
        "results/{experiment}/data/{population}/dataset.h5",
    output:
        "results/{experiment}/export/{population}/{table}.{format}",
    log:
        "results/{experiment}/logs/export_dataset/{population}.{table}.{format}.log",
    wildcard_constraints:
        table="systems|images",
        format="csv|ecsv|parquet|fits",
    conda:
        ROOT / "envs/simulate.yaml"
    params:
        code=code("pipeline/export.py"),
    script:
        "../scripts/export_dataset.py"
