"""Rule combine_networks: predictions of several networks in, theirs together and its scores out."""

from lensmill import experiments
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
job, output = snakemake.wildcards, snakemake.output
experiments.load(job.experiment, "evaluate").combine(
    members=list(snakemake.input.members),
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
    predictions=output.predictions,
    scores=output.scores,
    network=f"{job.network}_ensemble{job.members}",
    population=job.population,
)
