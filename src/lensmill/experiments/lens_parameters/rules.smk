"""Steps only lens parameters have: the same sky turned, and a table beside what others found.

Reads:  results/lens_parameters/networks/, results/lens_parameters/scores/
Writes: results/lens_parameters/scores/
"""

MEASURER = config["experiments"]["lens_parameters"]


def of_all_seeds(name):
    """Name the network of the table: the ensemble, if a definition stands for several seeds."""
    members = names.members(name, MEASURER["networks"][name])
    return ([member for member in members if "_fold" not in member] or members)[-1]


# Networks of the table, and what they learned from.
MEASURED = {
    of_all_seeds(name): MEASURER["networks"][name]["train_on"]
    for name in MEASURER["comparison"]
}


localrules:
    compare_with_published,


rule compare_with_published:
    """Put bias and scatter beside those of others, and of one who answers with the prior alone."""
    input:
        scores=[
            f"results/lens_parameters/scores/{name}/{population}/scores.json"
            for name, population in MEASURED.items()
        ],
        published=ROOT / "src/lensmill/experiments/lens_parameters/data/published.ecsv",
    output:
        "results/lens_parameters/scores/comparison.md",
    log:
        "results/lens_parameters/logs/compare_with_published.log",
    conda:
        ROOT / "envs/figures.yaml"
    params:
        observations=[
            MEASURER["populations"][population]["observation"]
            for population in MEASURED.values()
        ],
        code=code("experiments/lens_parameters/comparison.py"),
    script:
        "scripts/compare_with_published.py"


rule turn_lenses:
    """Turn the same sky step by step and record what a network answers."""
    input:
        model="results/lens_parameters/networks/{network}/model.keras",
        training="results/lens_parameters/networks/{network}/training.json",
    output:
        "results/lens_parameters/scores/{network}/{population}/rotation.json",
    log:
        "results/lens_parameters/logs/turn_lenses/{network}.{population}.log",
    benchmark:
        "results/lens_parameters/benchmarks/turn_lenses/{network}.{population}.tsv"
    wildcard_constraints:
        population=one_of(having("systems")("lens_parameters")),
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=MEASURER["resources"]["predict_network"]["mem_mb"],
        runtime=MEASURER["resources"]["predict_network"]["runtime"],
    params:
        population=lambda wildcards: checked.population(MEASURER, wildcards.population),
        settings=MEASURER["rotation"],
        seed=config["seed"],
        code=code("experiments/lens_parameters/rotation.py"),
    script:
        "scripts/turn_lenses.py"


def learned_from(wildcards):
    """Return what fixes the systems of the population that a network learned from."""
    network = find("lens_parameters", "networks", names.member(wildcards.network)[0])
    return checked.population(MEASURER, network["train_on"])


rule join_mocks:
    """Infer distances of mocks by positions and delays, with and without what a network sees."""
    input:
        dataset="results/lens_parameters/data/{population}/dataset.h5",
        predictions="results/lens_parameters/scores/{network}/{population}/predictions.h5",
    output:
        systems="results/lens_parameters/joint/{network}/{population}/systems.h5",
        summary="results/lens_parameters/joint/{network}/{population}/summary.json",
    log:
        "results/lens_parameters/logs/join_mocks/{network}.{population}.log",
    benchmark:
        "results/lens_parameters/benchmarks/join_mocks/{network}.{population}.tsv"
    wildcard_constraints:
        population=one_of(having("systems")("lens_parameters")),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        population=learned_from,
        settings=MEASURER["joint"],
        seed=config["seed"],
        code=code("experiments/lens_parameters/joint.py"),
    script:
        "scripts/join_mocks.py"
