"""Steps only substructure has: networks in 8 bits, and published numbers beside ours.

Reads:  results/substructure/data/, results/substructure/networks/, results/substructure/scores/
Writes: beside them
"""

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
        permitted=SUBSTRUCTURE["published"]["permitted"],
        code=code("learning/export.py"),
    script:
        "scripts/compress_network.py"


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
