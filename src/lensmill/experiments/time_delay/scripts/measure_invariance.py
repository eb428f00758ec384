"""Rule measure_invariance: a network in, how its answers change under symmetries out."""

from lensmill import experiments
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
job, files = snakemake.wildcards, snakemake.input
experiments.load("time_delay", "invariance").invariance(
    model=files.model,
    training=files.training,
    dataset=files.dataset,
    split=files.split,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
    threads=snakemake.threads,
    output=snakemake.output[0],
    network=job.network,
    population=job.population,
)
