"""Rule index_shards: the shards of a survey in, what is in them out."""

from lensmill import experiments
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
job, params = snakemake.wildcards, snakemake.params
experiments.load(job.experiment, "ingest").index_shards(
    list(snakemake.input),
    snakemake.output.index,
    snakemake.output.copies,
    population=job.population,
    experiment=job.experiment,
    settings=params.settings,
    code=params.code,
)
