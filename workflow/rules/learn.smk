"""Train networks, predict every population that they are tested on, and score the predictions.

Writes: results/{experiment}/networks/{network}/, results/{experiment}/scores/
"""


def of_network(function):
    """Return an input function that asks about the job's network."""
    return lambda wildcards: function(wildcards.experiment, wildcards.network)


def of_population(function):
    """Return an input function that asks about the job's network and population."""
    return lambda wildcards: function(
        wildcards.experiment, wildcards.network, wildcards.population
    )


def chosen_network(experiment, network):
    """Return the settings of a network; its seed or fold may stand in its name."""
    definition, member = names.member(network)
    schema = experiments.schema(experiment)["$defs"]["network"]["properties"]
    verbs = {"seeds": "combine networks", "fold": "train networks on folds"}
    for key, verb in verbs.items():
        if key in member and key not in schema:
            raise WorkflowError(
                f"{network}: {experiment} does not {verb}; ask for {definition}"
            )
    return find(experiment, "networks", definition) | member


def network_settings(experiment, network):
    """Return what fixes a network, given its data; where it is tested changes nothing in it."""
    settings = chosen_network(experiment, network)
    elsewhere = ("train_on", "test_on", "seeds", "observation")
    fixes = {k: v for k, v in settings.items() if k not in elsewhere}
    if "observation" in settings:
        fixes["observation"] = find(experiment, "observations", settings["observation"])
    return fixes


def saved_as(suffix):
    """Return a function that lists the networks whose model file has a suffix."""
    return lambda experiment: [
        name
        for name, network in find(experiment, "networks").items()
        if experiments.look_up(experiment, "suffix")(network) == suffix
    ]


def training_data(experiment, network):
    """Name the data set, its split and its checks that a network trains on."""
    folder = (
        f"results/{experiment}/data/{chosen_network(experiment, network)['train_on']}"
    )
    return {
        "dataset": f"{folder}/dataset.h5",
        "split": f"{folder}/split.h5",
        "checks": f"{folder}/checks.json",
    }


def model_files(experiment, network):
    """Name the model of a network and the record of its training."""
    suffix = experiments.look_up(experiment, "suffix")(
        chosen_network(experiment, network)
    )
    folder = f"results/{experiment}/networks/{network}"
    return {"model": f"{folder}/model{suffix}", "training": f"{folder}/training.json"}


def prediction_files(experiment, network, population):
    """Name the data set that a network predicts, its checks, and what goes with it."""
    settings = chosen_network(experiment, network)
    find(experiment, "populations", population)
    ask(experiment, "refuse_unlike", settings["train_on"], population, network)
    folder = f"results/{experiment}/data/{population}"
    files = {"dataset": f"{folder}/dataset.h5", "checks": f"{folder}/checks.json"}
    others = ask(experiment, "prediction_inputs", settings, population)
    return files | below(experiment, others)


def files_together(experiment, network):
    """Map the populations that one job predicts to their files: those of `test_on` made here.

    A real one is predicted alone, since it may be refused: that shall cost no other its scores.
    """
    settings = chosen_network(experiment, network)
    made = {
        p
        for p in having("systems")(experiment)
        if not ask(experiment, "simulation_inputs", p)
    }
    return {
        population: prediction_files(experiment, network, population)
        for population in settings["test_on"]
        if population in made or population == settings["train_on"]
    }


def predictions_of(experiment, network, population):
    """Name the predictions of a network on a population: in a folder with others, or alone."""
    folder = f"results/{experiment}/networks/{network}"
    together = files_together(experiment, network)
    if "seeds" not in names.member(network)[1] and population in together:
        return f"{folder}/predictions"
    return f"{folder}/predictions_alone/{population}.h5"


def score_files(experiment, network, population):
    """Name the predictions that are scored, and the results that scoring takes beside them."""
    settings = chosen_network(experiment, network)
    find(experiment, "populations", population)
    files = {"predictions": predictions_of(experiment, network, population)}
    others = ask(experiment, "score_inputs", network, settings, population)
    return files | below(experiment, others)


def members_predictions(wildcards):
    """List what the members of an ensemble have predicted."""
    experiment, network = wildcards.experiment, wildcards.network
    members = int(wildcards.members)
    chosen_network(experiment, f"{network}_ensemble{members}")
    return [
        predictions_of(experiment, f"{network}_seed{i + 1}", wildcards.population)
        for i in range(members)
    ]


def scores_of(experiment):
    """List the scores of every network on every population that it is tested on."""
    return [
        f"results/{experiment}/scores/{member}/{population}/scores.json"
        for name, network in find(experiment, "networks").items()
        for member in names.members(name, network)
        for population in network["test_on"]
    ]


def tables_of(names):
    """List the tables that sum up each experiment."""
    return [f"results/{e}/{table}" for e in names for table in find(e, "tables")]


rule train_network:
    """Train one network; a killed job goes on from its last epoch."""
    input:
        unpack(of_network(training_data)),
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
        settings=of_network(network_settings),
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
        settings=of_network(network_settings),
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
                for path in files.values()
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
