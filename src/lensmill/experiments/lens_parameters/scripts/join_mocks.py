"""Rule join_mocks: predictions and truth in, distances with and without the image out."""

from lensmill.experiments.lens_parameters import joint
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
joint.join_mocks(
    snakemake.input.dataset,
    snakemake.input.predictions,
    snakemake.output.systems,
    snakemake.output.summary,
    prior=snakemake.params.population["prior"],
    population=snakemake.params.population,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
)
