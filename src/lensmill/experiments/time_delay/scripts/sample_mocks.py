"""Rule sample_mocks: simulated systems in, draws of their exact posteriors out."""

from lensmill.experiments.time_delay import exact
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
exact.sample_mocks(
    snakemake.input.dataset,
    snakemake.input.split,
    snakemake.output[0],
    images=int(snakemake.wildcards.images),
    part=int(snakemake.wildcards.part),
    prior=snakemake.params.prior,
    observation=snakemake.params.observation,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
)
