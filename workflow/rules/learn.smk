"""Train networks and evaluate them on every population that they are tested on.

Writes: results/{experiment}/networks/{network}/, results/{experiment}/scores/
"""


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
    priority: 10  # the longest jobs: the run would wait for one that comes last
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("train_network", "mem_mb"),
        runtime=resources("train_network", "runtime"),
    params:
        settings=network_settings,
        seed=config["seed"],
        # No outputs: Snakemake would clear them when a killed job starts again.
        checkpoints="results/{experiment}/networks/{network}/checkpoints",
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


rule combine_networks:
    """Judge the networks of several seeds together, by the mean of what they say."""
    input:
        unpack(members_predictions),
    output:
        predictions="results/{experiment}/scores/{network}_ensemble{members}/{population}/predictions.h5",
        scores="results/{experiment}/scores/{network}_ensemble{members}/{population}/scores.json",
    log:
        "results/{experiment}/logs/combine_networks/{network}.{members}.{population}.log",
    wildcard_constraints:
        members=r"\d+",
    conda:
        ROOT / "envs/train.yaml"
    resources:
        mem_mb=resources("evaluate_network", "mem_mb"),
        runtime=resources("evaluate_network", "runtime"),
    params:
        settings=setting("evaluation"),
        seed=config["seed"],
        code=code("experiments/{experiment}/evaluate.py"),
    script:
        "../scripts/combine_networks.py"


rule tabulate_scores:
    """Put the scores of all networks on all populations into one table."""
    input:
        lambda wildcards: scores_of(wildcards.experiment),
    output:
        report(
            "results/{experiment}/scores/scores.csv",
            caption="../report/scores.rst",
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
