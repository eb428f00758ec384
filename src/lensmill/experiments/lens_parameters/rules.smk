"""Steps only lens parameters have: a turned sky, published numbers, delays, one's own image.

Reads:  results/lens_parameters/networks/, results/lens_parameters/scores/
Writes: results/lens_parameters/{scores,joint,measure}/
"""

from lensmill.experiments.lens_parameters import settings as lens_images

MEASURER = config["experiments"]["lens_parameters"]


# Networks of the table, and what they learned from.
MEASURED = {
    lens_images.of_all_seeds(MEASURER, name): MEASURER["networks"][name]["train_on"]
    for name in MEASURER["comparison"]
}


localrules:
    compare_with_published,


rule compare_with_published:
    """Put bias and scatter beside those of others, and of one who answers with the prior alone."""
    input:
        scores=[
            f"results/lens_parameters/scores/{name}/{population}/scores.json"
            for name, population in MEASURED.items()
        ],
        published=ROOT / "src/lensmill/experiments/lens_parameters/data/published.ecsv",
    output:
        "results/lens_parameters/scores/comparison.md",
    log:
        "results/lens_parameters/logs/compare_with_published.log",
    conda:
        ROOT / "envs/figures.yaml"
    params:
        observations=[
            MEASURER["populations"][population]["observation"]
            for population in MEASURED.values()
        ],
        code=code("experiments/lens_parameters/comparison.py"),
    script:
        "scripts/compare_with_published.py"


rule turn_lenses:
    """Turn the same sky step by step and record what a network answers."""
    input:
        model="results/lens_parameters/networks/{network}/model.keras",
        training="results/lens_parameters/networks/{network}/training.json",
    output:
        "results/lens_parameters/scores/{network}/{population}/rotation.json",
    log:
        "results/lens_parameters/logs/turn_lenses/{network}.{population}.log",
    benchmark:
        "results/lens_parameters/benchmarks/turn_lenses/{network}.{population}.tsv"
    wildcard_constraints:
        population=one_of(having("systems")("lens_parameters")),
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=MEASURER["resources"]["predict_network"]["mem_mb"],
        runtime=MEASURER["resources"]["predict_network"]["runtime"],
    params:
        population=lambda wildcards: checked.population(MEASURER, wildcards.population),
        settings=MEASURER["rotation"],
        seed=config["seed"],
        code=code("experiments/lens_parameters/rotation.py"),
    script:
        "scripts/turn_lenses.py"


rule join_mocks:
    """Infer distances of mocks by positions and delays, with and without what a network sees."""
    input:
        dataset="results/lens_parameters/data/{population}/dataset.h5",
        predictions="results/lens_parameters/scores/{network}/{population}/predictions.h5",
    output:
        systems="results/lens_parameters/joint/{network}/{population}/systems.h5",
        summary="results/lens_parameters/joint/{network}/{population}/summary.json",
    log:
        "results/lens_parameters/logs/join_mocks/{network}.{population}.log",
    benchmark:
        "results/lens_parameters/benchmarks/join_mocks/{network}.{population}.tsv"
    wildcard_constraints:
        population=one_of(having("systems")("lens_parameters")),
    conda:
        ROOT / "envs/simulate.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        population=lambda wildcards: lens_images.learned_from(
            MEASURER, wildcards.network
        ),
        settings=MEASURER["joint"],
        seed=config["seed"],
        code=code("experiments/lens_parameters/joint.py"),
    script:
        "scripts/join_mocks.py"


OWN_IMAGE = f"results/lens_parameters/measure/{lens_images.name_of_image(MEASURER)}"


rule measure_image:
    """Measure the lens in a user's own image, and judge the answer."""
    input:
        unpack(
            lambda wildcards: {
                argument: [f"results/lens_parameters/{path}" for path in paths]
                for argument, paths in lens_images.own_results(MEASURER).items()
            }
        ),
        files=lambda wildcards: lens_images.own_image(MEASURER, user_file),
    output:
        posterior=f"{OWN_IMAGE}/posterior.h5",
        text=f"{OWN_IMAGE}/measured.txt",
        model=f"{OWN_IMAGE}/model.fits",
        figures=expand(
            f"{OWN_IMAGE}/{{figure}}.{{kind}}",
            figure=["corner", "model"],
            kind=["pdf", "png"],
        ),
    log:
        f"results/lens_parameters/logs/measure_image/{Path(OWN_IMAGE).name}.log",
    conda:
        ROOT / "envs/train.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * find("lens_parameters", "resources", "predict_network", "mem_mb"),
        runtime=lambda wildcards, attempt: attempt
        * find("lens_parameters", "resources", "predict_network", "runtime"),
    params:
        given=lambda wildcards: lens_images.own_paths(MEASURER, user_file),
        name=Path(OWN_IMAGE).name,
        points=lambda wildcards: lens_images.own_points(MEASURER),
        seed=config["seed"],
        code=code("experiments/lens_parameters/measure.py"),
    script:
        "scripts/measure_image.py"


rule join_lens:
    """Weigh the draws of one's own lens, by positions and delays, by one's own image of it."""
    input:
        image=rules.measure_image.output.posterior,
        lens=lambda wildcards: lens_images.own_lens(MEASURER, user_file),
    output:
        draws=f"{OWN_IMAGE}/joint.h5",
        text=f"{OWN_IMAGE}/joint.txt",
    log:
        f"results/lens_parameters/logs/join_lens/{Path(OWN_IMAGE).name}.log",
    conda:
        ROOT / "envs/simulate.yaml"
    params:
        prior=lambda wildcards: lens_images.learned_from(
            MEASURER, MEASURER["measure"]["network"]
        )["prior"],
        system=MEASURER["measure"].get("system"),
        code=code("experiments/lens_parameters/joint.py"),
    script:
        "scripts/join_lens.py"


localrules:
    measure,


rule measure:
    """Measure the lens in one's own image: `make measure IMAGE=my.fits PSF=star.fits`."""
    input:
        rules.measure_image.output.text,
        [rules.join_lens.output.text] if "lens" in MEASURER["measure"] else [],
    log:
        "results/lens_parameters/logs/measure.log",
    conda:
        ROOT / "envs/train.yaml"
    shell:
        "cat {input} 2> {log}"
