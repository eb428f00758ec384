"""Rule combine_networks: predictions of several networks in, theirs together and its scores out."""

from lensmill import experiments
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
job, files, output = snakemake.wildcards, snakemake.input, snakemake.output
reference = {"reference": files.reference} if "reference" in files.keys() else {}
experiments.load(job.experiment, "evaluate").combine(
    members=list(files.members),
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
    predictions=output.predictions,
    scores=output.scores,
    network=f"{job.network}_ensemble{job.members}",
    population=job.population,
    **reference,
)
