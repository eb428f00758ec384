"""Train networks, predict every population that they are tested on, and score the predictions.

Writes: results/{experiment}/networks/{network}/, results/{experiment}/scores/
"""


rule train_network:
    """Train one network; a killed job goes on from its last epoch."""
    input:
        unpack(of_network(training_data)),
        unpack(of_network(training_inputs)),
    output:
        model="results/{experiment}/networks/{network}/model.keras",
        history="results/{experiment}/networks/{network}/history.csv",
        training="results/{experiment}/networks/{network}/training.json",
    log:
        "results/{experiment}/logs/train_network/{network}.log",
    benchmark:
        "results/{experiment}/benchmarks/train_network/{network}.tsv"
    wildcard_constraints:
        experiment=with_names("networks", saved_as(".keras")),
    priority: 10  # the longest jobs: the run would wait for one that comes last
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("train_network", "mem_mb"),
        runtime=resources("train_network", "runtime"),
    params:
        settings=of_network(training_settings),
        seed=config["seed"],
        # No outputs: Snakemake would clear them when a killed job starts again.
        checkpoints="results/{experiment}/networks/{network}/checkpoints",
        code=code("experiments/{experiment}/network.py"),
    script:
        "../scripts/train_network.py"


rule fit_network:
    """Fit one model that has no epochs (scikit-learn)."""
    input:
        unpack(of_network(training_data)),
        unpack(of_network(training_inputs)),
    output:
        model="results/{experiment}/networks/{network}/model.skops",
        training="results/{experiment}/networks/{network}/training.json",
    log:
        "results/{experiment}/logs/fit_network/{network}.log",
    benchmark:
        "results/{experiment}/benchmarks/fit_network/{network}.tsv"
    wildcard_constraints:
        experiment=with_names("networks", saved_as(".skops")),
    priority: 10
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("train_network", "mem_mb"),
        runtime=resources("train_network", "runtime"),
    params:
        settings=of_network(training_settings),
        seed=config["seed"],
        code=code("experiments/{experiment}/network.py"),
    script:
        "../scripts/train_network.py"


rule predict_network:
    """Predict all simulated populations that a network is tested on, in one start of its backend."""
    input:
        unpack(of_network(model_files)),
        lambda wildcards: sorted(
            {
                path
                for files in of_network(files_together)(wildcards).values()
                for path in checked.flat(files.values())
            }
        ),
    output:
        directory("results/{experiment}/networks/{network}/predictions"),
    log:
        "results/{experiment}/logs/predict_network/{network}.log",
    benchmark:
        "results/{experiment}/benchmarks/predict_network/{network}.tsv"
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("predict_network", "mem_mb"),
        runtime=resources("predict_network", "runtime"),
    params:
        populations=of_network(files_together),
        settings=setting("evaluation"),
        seed=config["seed"],
        code=code("experiments/{experiment}/network.py"),
    script:
        "../scripts/predict_network.py"


rule predict_population:
    """Predict one population with a network: a real one, or any other that is asked for."""
    input:
        unpack(of_population(prediction_files)),
        unpack(of_network(model_files)),
    output:
        "results/{experiment}/networks/{network}/predictions_alone/{population}.h5",
    log:
        "results/{experiment}/logs/predict_population/{network}.{population}.log",
    benchmark:
        "results/{experiment}/benchmarks/predict_population/{network}.{population}.tsv"
    wildcard_constraints:
        network=r"(?![^/]*_ensemble\d+/)[^/]+",
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("predict_network", "mem_mb"),
        runtime=resources("predict_network", "runtime"),
    params:
        files=of_population(prediction_files),
        settings=setting("evaluation"),
        seed=config["seed"],
        code=code("experiments/{experiment}/network.py"),
    script:
        "../scripts/predict_population.py"


rule combine_networks:
    """Put together what the networks of several seeds have predicted."""
    input:
        members_predictions,
    output:
        "results/{experiment}/networks/{network}_ensemble{members}/predictions_alone/{population}.h5",
    log:
        "results/{experiment}/logs/combine_networks/{network}.{members}.{population}.log",
    wildcard_constraints:
        members=r"\d+",
    conda:
        ROOT / "envs/train.yaml"
    resources:
        mem_mb=resources("score_network", "mem_mb"),
        runtime=resources("score_network", "runtime"),
    params:
        code=code("experiments/{experiment}/score.py"),
    script:
        "../scripts/combine_networks.py"


rule score_network:
    """Score what a network has predicted for a population."""
    input:
        unpack(of_population(score_files)),
    output:
        predictions="results/{experiment}/scores/{network}/{population}/predictions.h5",
        scores="results/{experiment}/scores/{network}/{population}/scores.json",
    log:
        "results/{experiment}/logs/score_network/{network}.{population}.log",
    conda:
        ROOT / "envs/train.yaml"
    resources:
        mem_mb=resources("score_network", "mem_mb"),
        runtime=resources("score_network", "runtime"),
    params:
        settings=setting("evaluation"),
        beside=of_population(populations_beside),
        seed=config["seed"],
        code=code("experiments/{experiment}/score.py"),
    script:
        "../scripts/score_network.py"


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


# One job for all cards of an experiment: a card is written faster than Python starts.
for study in filter(models_of, config["experiments"]):

    rule write_model_cards:
        """Write beside each model what it was trained on, where it is valid and how good it is."""
        name:
            f"write_model_cards_{study}"
        input:
            trainings=[
                f"results/{study}/networks/{network}/training.json"
                for network in models_of(study)
            ],
            scores=[
                f"results/{study}/scores/{network}/{population}/scores.json"
                for network, population in models_of(study).items()
            ],
            citation=ROOT / "CITATION.cff",
        output:
            cards_of([study]),
        log:
            f"results/{study}/logs/write_model_cards.log",
        localrule: True
        conda:
            ROOT / "envs/figures.yaml"
        params:
            populations=card_populations(study),
            code=code("learning/model_card.py"),
        script:
            "../scripts/write_model_cards.py"


rule search_worker:
    """Try settings of a network until the study has its trials; a killed worker goes on."""
    input:
        unpack(of_network(training_data)),
    output:
        "results/{experiment}/searches/{network}/workers/{worker}.json",
    log:
        "results/{experiment}/logs/search_worker/{network}.{worker}.log",
    benchmark:
        "results/{experiment}/benchmarks/search_worker/{network}.{worker}.tsv"
    wildcard_constraints:
        worker=r"\d+",
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("train_network", "mem_mb"),
        runtime=resources("train_network", "runtime"),
    params:
        settings=of_network(network_settings),
        search=setting("searches", "{network}"),
        seed=config["seed"],
        # No outputs: workers share the first, and a killed job finds both when it starts again.
        study="results/{experiment}/searches/{network}/study.db",
        folder="results/{experiment}/searches/{network}/workers/{worker}",
        code=code("learning/search.py", "experiments/{experiment}/network.py"),
    script:
        "../scripts/search_worker.py"


rule summarise_search:
    """Write the trials of a search as a table, and the settings of the best."""
    input:
        lambda wildcards: expand(
            "results/{experiment}/searches/{network}/workers/{worker}.json",
            worker=range(
                find(wildcards.experiment, "searches", wildcards.network, "workers")
            ),
            **wildcards,
        ),
    output:
        table="results/{experiment}/searches/{network}/trials.csv",
        best="results/{experiment}/searches/{network}/best.yaml",
    log:
        "results/{experiment}/logs/summarise_search/{network}.log",
    conda:
        ROOT / "envs/train.yaml"
    params:
        study="results/{experiment}/searches/{network}/study.db",
        code=code("learning/search.py"),
    script:
        "../scripts/summarise_search.py"
