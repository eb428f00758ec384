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


# One job judges a network on all the populations that it is tested on: alone, each would spend most
# of its time on the start of TensorFlow. The first of these rules is for any other population.
EVALUATIONS = {
    "evaluate_network": (config["experiments"], named("networks"), ["{population}"])
}
for (tested, *on), networks in test_sets().items():
    if len(on) > 1:
        EVALUATIONS[f"evaluate_network_on_{'_'.join(on)}"] = ([tested], networks, on)

for evaluation, (tested, networks, on) in EVALUATIONS.items():
    if evaluation != "evaluate_network":
        # as `ruleorder:`, which takes literal names only
        workflow.ruleorder(evaluation, "evaluate_network")

    rule:
        """Predict populations with a network and score the predictions."""
        name:
            evaluation
        input:
            inputs_on(on),
            model="results/{experiment}/networks/{network}/model.keras",
            training="results/{experiment}/networks/{network}/training.json",
        output:
            predictions=[
                f"results/{{experiment}}/scores/{{network}}/{p}/predictions.h5"
                for p in on
            ],
            scores=[
                f"results/{{experiment}}/scores/{{network}}/{p}/scores.json"
                for p in on
            ],
        log:
            f"results/{{experiment}}/logs/evaluate_network/{{network}}.{'_'.join(on)}.log",
        benchmark:
            f"results/{{experiment}}/benchmarks/evaluate_network/{{network}}.{'_'.join(on)}.tsv"
        wildcard_constraints:
            experiment=one_of(tested),
            network=f"(?:{one_of(networks)}){MEMBER}",
        conda:
            ROOT / "envs/train.yaml"
        threads: 1
        resources:
            mem_mb=resources("evaluate_network", "mem_mb"),
            runtime=resources("evaluate_network", "runtime"),
        params:
            tests=tests_on(on),
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
