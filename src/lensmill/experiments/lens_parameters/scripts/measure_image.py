"""Rule measure_image: a user's image and a network in, a posterior and a verdict out."""

from lensmill.experiments.lens_parameters import measure
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
files = {key: list(snakemake.input[key]) for key in ("models", "trainings", "family", "scores")}
intact.verify(path for paths in files.values() for path in paths)
measure.measure_image(
    snakemake.params.given,
    files["models"],
    files["trainings"],
    files["family"][0],
    files["scores"][0],
    snakemake.output.posterior,
    snakemake.output.text,
    snakemake.output.model,
    snakemake.output.figures,
    name=snakemake.params.name,
    points=snakemake.params.points,
    seed=snakemake.params.seed,
    threads=snakemake.threads,
)
