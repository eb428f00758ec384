"""Rule sample_population: real systems in, draws of their exact posteriors out."""

from lensmill.experiments.time_delay import exact
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
exact.sample_population(
    snakemake.input.dataset,
    snakemake.output[0],
    prior=snakemake.params.prior,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
)
