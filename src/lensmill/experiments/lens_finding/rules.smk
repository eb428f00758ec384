"""Steps only lens finding has: rotation, saliency, ranking, export, search of hyper-parameters.

Reads:  results/lens_finding/data/, results/lens_finding/networks/, results/lens_finding/scores/
Writes: beside them
"""

FINDER = config["experiments"]["lens_finding"]


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
        population=one_of(populations("systems")),
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=FINDER["resources"]["evaluate_network"]["mem_mb"],
        runtime=FINDER["resources"]["evaluate_network"]["runtime"],
    params:
        population=lambda wildcards: checked.population(FINDER, wildcards.population),
        settings=FINDER["rotation"],
        seed=config["seed"],
        code=code("experiments/lens_finding/evaluate.py"),
    script:
        ROOT / "workflow/scripts/measure_rotation.py"


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
        mem_mb=FINDER["resources"]["evaluate_network"]["mem_mb"],
        runtime=FINDER["resources"]["evaluate_network"]["runtime"],
    params:
        settings=FINDER["saliency"],
        code=code("experiments/lens_finding/evaluate.py"),
    script:
        ROOT / "workflow/scripts/measure_saliency.py"


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
        code=code("pipeline/ranking.py"),
    script:
        ROOT / "workflow/scripts/rank_population.py"
