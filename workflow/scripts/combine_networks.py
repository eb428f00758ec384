"""Rule combine_networks: predictions of several networks in, theirs together out."""

from lensmill import experiments
from lensmill.pipeline import logs, predictions

logs.start(snakemake.log[0])
job = snakemake.wildcards
experiments.load(job.experiment, "score").combine(
    members=[predictions.find(path, job.population) for path in snakemake.input],
    output=snakemake.output[0],
    network=f"{job.network}_ensemble{job.members}",
)
