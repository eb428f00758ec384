"""Rule merge_shards: the shards of one population in, one file out."""

from lensmill.pipeline import logs, shards

logs.start(snakemake.log[0])
job, params = snakemake.wildcards, snakemake.params
shards.merge(
    list(snakemake.input),
    snakemake.output[0],
    systems=params.systems,
    experiment=job.experiment,
    population=job.population,
    seed=params.seed,
    settings=params.settings,
    code=params.code,
)
