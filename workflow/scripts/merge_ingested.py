"""Rule merge_ingested: the shards of a survey in, one data set out."""

from lensmill import experiments
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
job, params = snakemake.wildcards, snakemake.params
experiments.load(job.experiment, "ingest").merge_shards(
    list(snakemake.input),
    snakemake.output[0],
    source=params.source,
    population=job.population,
    experiment=job.experiment,
    settings=params.settings,
    code=params.code,
)
