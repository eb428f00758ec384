"""Look-ups of networks: settings, models, predictions and scores."""


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
    if not 1 <= member.get("fold", 1) <= member.get("folds", 1):
        raise WorkflowError(
            f"{network}: of {member['folds']} folds there is no {member['fold']}"
        )
    if member.get("seeds", 1) < 1 or {"seeds", "fold"} <= member.keys():
        raise WorkflowError(
            f"{network}: an ensemble is of one seed or more, on no fold; ask for "
            f"{definition}_ensemble2"
        )
    settings = find(experiment, "networks", definition) | member
    # a definition with folds stands for its members: whoever is none of them sees all systems
    alone = "fold" not in member and "folds" in settings
    return settings | {"folds": 0} if alone else settings


def trained_network(experiment, network):
    """Return the settings of a network that is trained: of all but an ensemble."""
    if "seeds" in names.member(network)[1]:
        raise WorkflowError(f"{network} is not trained, its members are")
    return chosen_network(experiment, network)


def network_settings(experiment, network):
    """Return what fixes a network, given its data; where it is tested changes nothing in it."""
    settings = chosen_network(experiment, network)
    elsewhere = ("train_on", "test_on", "seeds", "observation")
    fixes = {k: v for k, v in settings.items() if k not in elsewhere}
    if len(shares := checked.shares(settings)) > 1:
        fixes["shares"] = list(shares.values())
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
    """Name the data set, its split and its checks that a network trains on; lists of several."""
    populations = checked.shares(trained_network(experiment, network))
    kinds = {"dataset": "dataset.h5", "split": "split.h5", "checks": "checks.json"}
    files = {
        kind: [f"results/{experiment}/data/{p}/{name}" for p in populations]
        for kind, name in kinds.items()
    }
    return {kind: x[0] if len(x) == 1 else x for kind, x in files.items()}


def training_inputs(experiment, network):
    """Name the results that a network is trained with beside data and split."""
    settings = trained_network(experiment, network)
    return below(experiment, ask(experiment, "training_inputs", settings))


def training_settings(experiment, network):
    """Return what fixes a network, and the results that its training takes."""
    found = network_settings(experiment, network)
    return found | training_inputs(experiment, network)


def model_files(experiment, network):
    """Name the model of a network and the record of its training."""
    suffix = experiments.look_up(experiment, "suffix")(
        trained_network(experiment, network)
    )
    folder = f"results/{experiment}/networks/{network}"
    return {"model": f"{folder}/model{suffix}", "training": f"{folder}/training.json"}


def prediction_files(experiment, network, population):
    """Name the data set that a network predicts, its checks, and what goes with it."""
    settings = chosen_network(experiment, network)
    find(experiment, "populations", population)
    ask(experiment, "refuse_unlike", checked.own(settings), population, network)
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
        if population in made or population in checked.shares(settings)
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
    beside = [
        predictions_of(experiment, network, p)
        for p in populations_beside(experiment, network, population)
    ]
    return files | below(experiment, others) | ({"beside": beside} if beside else {})


def populations_beside(experiment, network, population):
    """List the populations whose predictions are scored beside those of another."""
    settings = chosen_network(experiment, network)
    return [p for p in ask(experiment, "scored_beside", settings) if p != population]


def members_predictions(wildcards):
    """List what the members of an ensemble have predicted."""
    experiment, network = wildcards.experiment, wildcards.network
    members = int(wildcards.members)
    chosen_network(experiment, f"{network}_ensemble{members}")
    return [
        predictions_of(experiment, f"{network}_seed{i + 1}", wildcards.population)
        for i in range(members)
    ]


def scores_of(experiment, *chosen):
    """List the scores of all networks, or of those chosen, on all that they are tested on."""
    return [
        f"results/{experiment}/scores/{member}/{population}/scores.json"
        for name, network in find(experiment, "networks").items()
        if name in (chosen or [name])
        for member in names.members(name, network)
        for population in network["test_on"]
    ]


def calibrations_of(names):
    """List the calibration of every network that claims errors, on all that it is tested on."""
    return [
        str(Path(scores).with_name("calibration.png"))
        for experiment in names
        for network in find(experiment, "networks")
        if experiments.look_up(experiment, "claims_errors")(
            find(experiment, "networks", network)
        )
        for scores in scores_of(experiment, network)
    ]


def models_of(experiment):
    """Map every network that is trained, the members of several too, to its own population."""
    return {
        member: checked.own(network)
        for name, network in find(experiment, "networks").items()
        for member in names.members(name, network)
        if "seeds" not in names.member(member)[1]
    }


def card_populations(experiment):
    """Map every network to what fixes the population that it is trained on."""
    found = {}
    for network, population in models_of(experiment).items():
        chosen = checked.population(config["experiments"][experiment], population)
        if "prior" in chosen:
            fixed = experiments.look_up(experiment, "FAMILIES").get(
                chosen.get("family"), {}
            )
            chosen |= {"prior": chosen["prior"] | fixed}
        found[network] = chosen
    return found


def cards_of(names):
    """List the model cards, one beside every model."""
    return [
        f"results/{experiment}/networks/{network}/model_card.md"
        for experiment in names
        for network in models_of(experiment)
    ]


def tables_of(names):
    """List the tables that sum up each experiment."""
    return [f"results/{e}/{table}" for e in names for table in find(e, "tables")]


def scored_shards(wildcards):
    """List the scores of the shards of a survey, in order."""
    folder = f"results/{wildcards.experiment}/networks/{wildcards.network}/shards"
    return [
        f"{folder}/{wildcards.population}/{Path(shard).name}"
        for shard in ingested_shards(wildcards)
    ]


def reference_scores(wildcards):
    """Name the scores on the population that a network learned from, which set its threshold."""
    own = checked.own(chosen_network(wildcards.experiment, wildcards.network))
    folder = f"results/{wildcards.experiment}/scores/{wildcards.network}"
    return f"{folder}/{own}/scores.json"
