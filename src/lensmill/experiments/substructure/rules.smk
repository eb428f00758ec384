"""Steps only substructure has: networks in 8 bits, published numbers, what can be seen at all.

Reads:  results/substructure/data/, results/substructure/networks/, results/substructure/scores/
Writes: beside them
"""

from lensmill.experiments.substructure import network_settings as substructure_steps

SUBSTRUCTURE = config["experiments"]["substructure"]


rule compress_network:
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
        "results/{experiment}/logs/compress_network/{network}.log",
    wildcard_constraints:
        experiment="substructure",
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=resources("predict_network", "mem_mb"),
        runtime=resources("predict_network", "runtime"),
    params:
        code=code("learning/export.py"),
    script:
        "scripts/compress_network.py"


if "published" in SUBSTRUCTURE:

    rule compare_published:
        """Put scores on images made as the public benchmark makes them beside published ones."""
        input:
            scores="results/substructure/scores/{network}/{population}/scores.json".format(
                **SUBSTRUCTURE["published"]
            ),
            exports=[
                f"results/substructure/networks/{name}/export.json"
                for name in SUBSTRUCTURE["published"]["compressed"]
            ],
        output:
            table="results/substructure/scores/published.csv",
            page="results/substructure/scores/published.md",
        log:
            "results/substructure/logs/compare_published.log",
        localrule: True
        conda:
            ROOT / "envs/figures.yaml"
        params:
            code=code("experiments/substructure/published.py"),
        script:
            "scripts/compare_published.py"


if "visibility" in SUBSTRUCTURE:

    rule measure_visibility:
        """Say how much of given amounts of substructure an ideal observer sees."""
        output:
            "results/substructure/scores/visibility.h5",
        log:
            "results/substructure/logs/measure_visibility.log",
        benchmark:
            "results/substructure/benchmarks/measure_visibility.tsv"
        conda:
            ROOT / "envs/simulate.yaml"
        resources:
            mem_mb=SUBSTRUCTURE["resources"]["simulate_shard"]["mem_mb"],
            runtime=SUBSTRUCTURE["resources"]["simulate_shard"]["runtime"],
        params:
            settings=substructure_steps.visible(SUBSTRUCTURE),
            seed=config["seed"],
            code=code("experiments/substructure/visibility.py"),
        script:
            "scripts/measure_visibility.py"
