"""Steps only cluster masses have: a turned sky, photons that count, pairs of networks.

Reads:  results/cluster_mass/data/, results/cluster_mass/networks/, results/cluster_mass/scores/
Writes: results/cluster_mass/scores/
"""

from lensmill.experiments.cluster_mass import settings as cluster_steps

WEIGHER = config["experiments"]["cluster_mass"]
WEIGHED = cluster_steps.compared(WEIGHER)


localrules:
    compare_masses,


rule compare_masses:
    """Put scores beside those of others, and test whether networks differ."""
    input:
        scores=[
            f"results/cluster_mass/scores/{name}/{population}/scores.json"
            for trainings in WEIGHED.values()
            for name, population in trainings
        ],
        predictions=[
            f"results/cluster_mass/scores/{name}/{population}/predictions.h5"
            for trainings in WEIGHED.values()
            for name, population in trainings
        ],
        published=ROOT / "src/lensmill/experiments/cluster_mass/data/published.ecsv",
    output:
        table="results/cluster_mass/scores/comparison.json",
        page="results/cluster_mass/scores/comparison.md",
    log:
        "results/cluster_mass/logs/compare_masses.log",
    conda:
        ROOT / "envs/figures.yaml"
    params:
        trainings={name: len(trainings) for name, trainings in WEIGHED.items()},
        seed=config["seed"],
        code=code("experiments/cluster_mass/comparison.py"),
    script:
        "scripts/compare_masses.py"


rule turn_clusters:
    """Turn the same sky step by step and record what a network answers."""
    input:
        model="results/cluster_mass/networks/{network}/model.keras",
        training="results/cluster_mass/networks/{network}/training.json",
    output:
        "results/cluster_mass/scores/{network}/{population}/rotation.json",
    log:
        "results/cluster_mass/logs/turn_clusters/{network}.{population}.log",
    benchmark:
        "results/cluster_mass/benchmarks/turn_clusters/{network}.{population}.tsv"
    wildcard_constraints:
        population=one_of(having("systems")("cluster_mass")),
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=WEIGHER["resources"]["predict_network"]["mem_mb"],
        runtime=WEIGHER["resources"]["predict_network"]["runtime"],
    params:
        population=lambda wildcards: checked.population(WEIGHER, wildcards.population),
        settings=WEIGHER["rotation"],
        seed=config["seed"],
        code=code("experiments/cluster_mass/rotation.py"),
    script:
        "scripts/turn_clusters.py"


rule find_photons:
    """Say which photons of an image the mass hangs on."""
    input:
        dataset="results/cluster_mass/data/{population}/dataset.h5",
        model="results/cluster_mass/networks/{network}/model.keras",
        training="results/cluster_mass/networks/{network}/training.json",
        predictions="results/cluster_mass/scores/{network}/{population}/predictions.h5",
    output:
        "results/cluster_mass/scores/{network}/{population}/photons.h5",
    log:
        "results/cluster_mass/logs/find_photons/{network}.{population}.log",
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=WEIGHER["resources"]["predict_network"]["mem_mb"],
        runtime=WEIGHER["resources"]["predict_network"]["runtime"],
    params:
        settings=WEIGHER["saliency"],
        code=code("experiments/cluster_mass/saliency.py"),
    script:
        "scripts/find_photons.py"
