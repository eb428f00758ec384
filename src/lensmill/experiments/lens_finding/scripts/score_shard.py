"""Rule score_shard: images of a shard and a network in, their scores out."""

from lensmill.experiments.lens_finding import survey
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files, job = snakemake.input, snakemake.wildcards
survey.score_shard(
    files.shard,
    files.model,
    files.training,
    snakemake.output[0],
    job.network,
    job.population,
    files.get("first_model"),
    files.get("first_stage"),
)
