"""Steps only lens finding has: comparison, rotation, saliency, ranking, export.

Reads:  results/lens_finding/data/, results/lens_finding/networks/, results/lens_finding/scores/
Writes: beside them
"""

from lensmill.experiments.lens_finding import settings as lens_steps

FINDER = config["experiments"]["lens_finding"]


localrules:
    compare_networks,
    rank_population,


COMPARED = [
    (member, FINDER["networks"][name])
    for name in FINDER["comparison"]
    for member in names.members(name, FINDER["networks"][name])
    if "_ensemble" not in member
]


rule compare_networks:
    """Put cost and scores of networks side by side, on mocks like those they learned from and on others."""
    input:
        scores=[
            f"results/lens_finding/scores/{name}/{population}/scores.json"
            for name, network in COMPARED
            for population in network["test_on"]
        ],
        histories=[
            f"results/lens_finding/networks/{name}/history.csv" for name, _ in COMPARED
        ],
    output:
        table="results/lens_finding/scores/networks.csv",
        page="results/lens_finding/scores/networks.md",
    log:
        "results/lens_finding/logs/compare_networks.log",
    conda:
        ROOT / "envs/figures.yaml"
    params:
        code=code("experiments/lens_finding/comparison.py"),
    script:
        "scripts/compare_networks.py"


rule measure_rotation:
    """Turn the same sky step by step and record what a network says."""
    input:
        model="results/lens_finding/networks/{network}/model.keras",
        training="results/lens_finding/networks/{network}/training.json",
    output:
        "results/lens_finding/scores/{network}/{population}/rotation.json",
    log:
        "results/lens_finding/logs/measure_rotation/{network}.{population}.log",
    benchmark:
        "results/lens_finding/benchmarks/measure_rotation/{network}.{population}.tsv"
    wildcard_constraints:
        population=one_of(having("systems")("lens_finding")),
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=FINDER["resources"]["predict_network"]["mem_mb"],
        runtime=FINDER["resources"]["predict_network"]["runtime"],
    params:
        population=lambda wildcards: checked.population(FINDER, wildcards.population),
        settings=FINDER["rotation"],
        seed=config["seed"],
        code=code("experiments/lens_finding/rotation.py"),
    script:
        "scripts/measure_rotation.py"


rule measure_saliency:
    """Show where in an image a network looks: the surest and the most mistaken systems."""
    input:
        dataset="results/lens_finding/data/{population}/dataset.h5",
        model="results/lens_finding/networks/{network}/model.keras",
        training="results/lens_finding/networks/{network}/training.json",
        predictions="results/lens_finding/scores/{network}/{population}/predictions.h5",
    output:
        "results/lens_finding/scores/{network}/{population}/saliency.h5",
    log:
        "results/lens_finding/logs/measure_saliency/{network}.{population}.log",
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=FINDER["resources"]["predict_network"]["mem_mb"],
        runtime=FINDER["resources"]["predict_network"]["runtime"],
    params:
        settings=FINDER["saliency"],
        code=code("experiments/lens_finding/saliency.py"),
    script:
        "scripts/measure_saliency.py"


rule rank_population:
    """Sort a scored population, the surest lens first: a table, and a page to look through."""
    input:
        dataset="results/lens_finding/data/{population}/dataset.h5",
        predictions="results/lens_finding/scores/{network}/{population}/predictions.h5",
    output:
        table="results/lens_finding/scores/{network}/{population}/ranked.csv",
        page="results/lens_finding/scores/{network}/{population}/ranked.html",
    log:
        "results/lens_finding/logs/rank_population/{network}.{population}.log",
    conda:
        ROOT / "envs/figures.yaml"
    params:
        settings=FINDER["ranking"],
        code=code(
            "experiments/lens_finding/ranking.py",
            "experiments/lens_finding/ranked.html.jinja",
        ),
    script:
        "scripts/rank_population.py"


rule recall_logits:
    """Say what a network thinks of every system of a population: what another is distilled from."""
    input:
        dataset="results/{experiment}/data/{population}/dataset.h5",
        model="results/{experiment}/networks/{network}/model.keras",
        training="results/{experiment}/networks/{network}/training.json",
    output:
        "results/{experiment}/networks/{network}/logits/{population}.h5",
    log:
        "results/{experiment}/logs/recall_logits/{network}.{population}.log",
    benchmark:
        "results/{experiment}/benchmarks/recall_logits/{network}.{population}.tsv"
    wildcard_constraints:
        experiment="lens_finding",
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("predict_network", "mem_mb"),
        runtime=resources("predict_network", "runtime"),
    params:
        code=code("experiments/lens_finding/network.py"),
    script:
        "scripts/recall_logits.py"


rule set_first_stage:
    """Set the threshold below which a distilled network rejects what the full one need not see."""
    input:
        unpack(
            lambda wildcards: below(
                "lens_finding",
                lens_steps.first_stage_inputs(FINDER, wildcards.network),
            )
        ),
    output:
        "results/{experiment}/networks/{network}/first_stage.json",
    log:
        "results/{experiment}/logs/set_first_stage/{network}.log",
    wildcard_constraints:
        experiment="lens_finding",
    conda:
        ROOT / "envs/train.yaml"
    resources:
        mem_mb=resources("predict_network", "mem_mb"),
        runtime=resources("predict_network", "runtime"),
    params:
        full=lambda wildcards: find(
            wildcards.experiment,
            "networks",
            names.member(wildcards.network)[0],
            "distil",
        ),
        lost=FINDER["survey"]["lost"],
        code=code("experiments/lens_finding/survey.py"),
    script:
        "scripts/set_first_stage.py"


rule score_shard:
    """Score the images of one shard of a survey; a shard that does not change is scored once."""
    input:
        # the network that looks first, if there is one
        unpack(
            lambda wildcards: below(
                "lens_finding", lens_steps.first_stage(FINDER, wildcards.network)
            )
        ),
        shard="results/{experiment}/data/{population}/shards/{shard}.h5",
        model="results/{experiment}/networks/{network}/model.onnx",
        training="results/{experiment}/networks/{network}/training.json",
    output:
        "results/{experiment}/networks/{network}/shards/{population}/{shard}.h5",
    log:
        "results/{experiment}/logs/score_shard/{network}.{population}.{shard}.log",
    benchmark:
        "results/{experiment}/benchmarks/score_shard/{network}.{population}.{shard}.tsv"
    wildcard_constraints:
        experiment="lens_finding",
        population=one_of(having("images_per_job")("lens_finding")),
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("predict_network", "mem_mb"),
        runtime=resources("predict_network", "runtime"),
    params:
        code=code("experiments/lens_finding/survey.py"),
    script:
        "scripts/score_shard.py"


rule rank_survey:
    """Rank a survey that is kept in shards: a table of all images, a page of the best."""
    input:
        shards=ingested_shards,
        scores=scored_shards,
        copies="results/{experiment}/data/{population}/copies.csv",
        reference=reference_scores,
    output:
        table="results/{experiment}/scores/{network}/{population}/survey.parquet",
        page="results/{experiment}/scores/{network}/{population}/survey.html",
    log:
        "results/{experiment}/logs/rank_survey/{network}.{population}.log",
    wildcard_constraints:
        experiment="lens_finding",
        population=one_of(having("images_per_job")("lens_finding")),
    conda:
        ROOT / "envs/train.yaml"
    resources:
        mem_mb=resources("predict_network", "mem_mb"),
        runtime=resources("predict_network", "runtime"),
    params:
        settings=FINDER["ranking"],
        code=code(
            "experiments/lens_finding/survey.py",
            "experiments/lens_finding/ranked.html.jinja",
        ),
    script:
        "scripts/rank_survey.py"


rule export_network:
    """Write a network as ONNX, also in 8 bits, and what that costs in AUROC and gains in speed."""
    input:
        unpack(of_network(training_data)),
        model="results/{experiment}/networks/{network}/model.keras",
        training="results/{experiment}/networks/{network}/training.json",
    output:
        onnx="results/{experiment}/networks/{network}/model.onnx",
        int8="results/{experiment}/networks/{network}/model.int8.onnx",
        report="results/{experiment}/networks/{network}/export.json",
    log:
        "results/{experiment}/logs/export_network/{network}.log",
    wildcard_constraints:
        experiment="lens_finding",
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("predict_network", "mem_mb"),
        runtime=resources("predict_network", "runtime"),
    params:
        code=code("learning/export.py"),
    script:
        "scripts/export_network.py"


rule measure_resolvable:
    """Say which painted lenses observers could tell from galaxies who know less and less."""
    input:
        unpack(simulation_inputs),
    output:
        "results/{experiment}/data/{population}/resolvable.h5",
    log:
        "results/{experiment}/logs/measure_resolvable/{population}.log",
    wildcard_constraints:
        experiment="lens_finding",
        population=one_of(having("host")("lens_finding")),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=resources("simulate_shard", "mem_mb"),
        runtime=resources("simulate_shard", "runtime"),
    params:
        settings=population_settings,
        systems=FINDER["resolvable"]["systems"],
        seed=config["seed"],
        code=code("experiments/lens_finding/resolvable.py"),
    script:
        "scripts/measure_resolvable.py"


if "two_samples" in FINDER:
    SAMPLES = FINDER["two_samples"]

    rule compare_samples:
        """Measure how well made lenses are told from real ones."""
        input:
            made=[f"results/lens_finding/data/{p}/dataset.h5" for p in SAMPLES["made"]],
            real=[f"results/lens_finding/data/{p}/dataset.h5" for p in SAMPLES["real"]],
        output:
            "results/lens_finding/scores/two_samples.json",
        log:
            "results/lens_finding/logs/compare_samples.log",
        conda:
            ROOT / "envs/train.yaml"
        params:
            names=SAMPLES["made"],
            observation=checked.population(FINDER, SAMPLES["real"][0])["observation"],
            seed=config["seed"],
            code=code("experiments/lens_finding/two_samples.py"),
        script:
            "scripts/compare_samples.py"


if "ablation" in FINDER:
    STEPS = {
        step: {
            member: [
                [f"results/lens_finding/{path}" for path in paths] for paths in turns
            ]
            for member, turns in members.items()
        }
        for step, members in lens_steps.ablation_predictions(FINDER).items()
    }

    rule tabulate_ablation:
        """Put the steps from mocks to the real sky side by side, judged on real lenses."""
        input:
            sorted(
                {
                    path
                    for members in STEPS.values()
                    for turns in members.values()
                    for paths in turns
                    for path in paths
                }
            ),
        output:
            table="results/lens_finding/scores/ablation.csv",
            page="results/lens_finding/scores/ablation.md",
        log:
            "results/lens_finding/logs/tabulate_ablation.log",
        localrule: True
        conda:
            ROOT / "envs/figures.yaml"
        params:
            steps=STEPS,
            settings=FINDER["ablation"],
            seed=config["seed"],
            code=code("experiments/lens_finding/ablation.py"),
        script:
            "scripts/tabulate_ablation.py"
