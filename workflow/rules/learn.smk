"""Train networks and evaluate them on every population that they are tested on.

Writes: results/{experiment}/networks/{network}/, results/{experiment}/scores/
"""


def training_data(wildcards):
    """Name the data set, its split and its checks that a network trains on."""
    population = setting("networks", "{network}", "train_on")(wildcards)
    folder = f"results/{wildcards.experiment}/data/{population}"
    return {
        "dataset": f"{folder}/dataset.h5",
        "split": f"{folder}/split.h5",
        "checks": f"{folder}/checks.json",
    }


def test_data(wildcards):
    """Name the data set, and the split of a simulated one, that a network is judged by."""
    folder = f"results/{wildcards.experiment}/data/{wildcards.population}"
    files = {"dataset": f"{folder}/dataset.h5", "checks": f"{folder}/checks.json"}
    if is_simulated(wildcards.experiment, wildcards.population):
        files["split"] = f"{folder}/split.h5"
    return files


def network_settings(wildcards):
    """Return what fixes a network, given its data; where it is tested changes nothing in it."""
    network = setting("networks", "{network}")(wildcards)
    return {
        key: value
        for key, value in network.items()
        if key not in ("train_on", "test_on")
    }


def network_observation(wildcards):
    """Return the measurement errors that a network is trained with."""
    return setting("observations")(wildcards)[
        setting("networks", "{network}", "observation")(wildcards)
    ]


rule train_network:
    """Train one network; a killed job goes on from its last epoch."""
    input:
        unpack(training_data),
    output:
        model="results/{experiment}/networks/{network}/model.keras",
        history="results/{experiment}/networks/{network}/history.csv",
        training="results/{experiment}/networks/{network}/training.json",
    log:
        "results/{experiment}/logs/train_network/{network}.log",
    benchmark:
        "results/{experiment}/benchmarks/train_network/{network}.tsv"
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("train_network", "mem_mb"),
        runtime=resources("train_network", "runtime"),
    params:
        settings=network_settings,
        observation=network_observation,
        seed=config["seed"],
        # No outputs: Snakemake would clear them when a killed job starts again.
        checkpoint="results/{experiment}/networks/{network}/checkpoint",
        tensorboard="results/{experiment}/networks/{network}/tensorboard",
        code=code("experiments/{experiment}/network.py"),
    script:
        "../scripts/train_network.py"


rule evaluate_network:
    """Predict a population with a network and score the predictions."""
    input:
        unpack(test_data),
        model="results/{experiment}/networks/{network}/model.keras",
        training="results/{experiment}/networks/{network}/training.json",
    output:
        predictions="results/{experiment}/scores/{network}/{population}/predictions.h5",
        scores="results/{experiment}/scores/{network}/{population}/scores.json",
    log:
        "results/{experiment}/logs/evaluate_network/{network}.{population}.log",
    benchmark:
        "results/{experiment}/benchmarks/evaluate_network/{network}.{population}.tsv"
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("evaluate_network", "mem_mb"),
        runtime=resources("evaluate_network", "runtime"),
    params:
        settings=setting("evaluation"),
        seed=config["seed"],
        code=code("experiments/{experiment}/evaluate.py"),
    script:
        "../scripts/evaluate_network.py"


rule tabulate_scores:
    """Put the scores of all networks on all populations into one table."""
    input:
        lambda wildcards: scores_of(wildcards.experiment),
    output:
        report(
            "results/{experiment}/scores/scores.csv",
            category="{experiment}",
            subcategory="scores",
        ),
    log:
        "results/{experiment}/logs/tabulate_scores.log",
    conda:
        ROOT / "envs/figures.yaml"
    params:
        code=code("pipeline/scores.py"),
    script:
        "../scripts/tabulate_scores.py"
