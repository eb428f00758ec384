"""A lens in an image of one's own.

Writes: results/lens_parameters/measure/{image}/
"""

from lensmill.experiments.lens_parameters import settings as lens_images

MEASURED = config["experiments"]["lens_parameters"]
OWN_IMAGE = f"results/lens_parameters/measure/{lens_images.name_of_image(MEASURED)}"


rule measure_image:
    """Measure the lens in a user's own image, and judge the answer."""
    input:
        unpack(
            lambda wildcards: {
                argument: [f"results/lens_parameters/{path}" for path in paths]
                for argument, paths in lens_images.own_results(MEASURED).items()
            }
        ),
        files=lambda wildcards: lens_images.own_image(MEASURED, user_file),
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
        given=lambda wildcards: lens_images.own_paths(MEASURED, user_file),
        name=Path(OWN_IMAGE).name,
        points=lambda wildcards: lens_images.own_points(MEASURED),
        seed=config["seed"],
        code=code("experiments/lens_parameters/measure.py"),
    script:
        "scripts/measure_image.py"


localrules:
    measure,


rule measure:
    """Measure the lens in one's own image: `make measure IMAGE=my.fits PSF=star.fits`."""
    input:
        rules.measure_image.output.text,
    log:
        "results/lens_parameters/logs/measure.log",
    conda:
        ROOT / "envs/train.yaml"
    shell:
        "cat {input} 2> {log}"
