"""Rule plan_ingestion: a folder or table in, the candidates of each shard out."""

from lensmill import experiments
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
job, params = snakemake.wildcards, snakemake.params
experiments.load(job.experiment, "ingest").plan(
    source=snakemake.input[0],
    output=snakemake.output[0],
    settings=params.settings,
    size=params.size,
    shards=params.shards,
)
