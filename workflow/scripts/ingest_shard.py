"""Rule ingest_shard: the candidates of a shard in, its images out."""

from lensmill import experiments
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
job, params = snakemake.wildcards, snakemake.params
experiments.load(job.experiment, "ingest").ingest_shard(
    candidates=f"{snakemake.input[0]}/{job.shard}.json",
    output=snakemake.output[0],
    population=job.population,
    experiment=job.experiment,
    settings=params.settings,
    code=params.code,
)
