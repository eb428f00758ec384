"""Rule simulate_shard: one range of systems, settings in, HDF5 out."""

from lensmill import experiments
from lensmill.pipeline import intact, logs, shards

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
job, params = snakemake.wildcards, snakemake.params
shards.simulate(
    snakemake.output[0],
    experiments.load(job.experiment, "simulate"),
    experiment=job.experiment,
    population=job.population,
    seed=params.seed,
    settings=params.settings,
    code=params.code,
    **params.range,
)
