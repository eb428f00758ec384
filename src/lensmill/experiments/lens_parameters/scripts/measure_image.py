"""Rule measure_image: a user's image and a network in, a posterior and a verdict out."""

from lensmill.experiments.lens_parameters import measure
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify([*snakemake.input.models, snakemake.input.family, snakemake.input.scores])
measure.measure_image(
    snakemake.params.given,
    snakemake.input.models,
    snakemake.input.trainings,
    snakemake.input.family,
    snakemake.input.scores,
    snakemake.output.posterior,
    snakemake.output.text,
    snakemake.output.model,
    snakemake.output.figures,
    name=snakemake.params.name,
    points=snakemake.params.points,
    seed=snakemake.params.seed,
    threads=snakemake.threads,
)
