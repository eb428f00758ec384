"""Rule evaluate_network: a network and a population in, predictions and scores out."""

from lensmill import experiments
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
job, files = snakemake.wildcards, snakemake.input
asked = ("reference", "learned", "learned_split")
given = {name: files[name] for name in asked if name in files.keys()}
experiments.load(job.experiment, "evaluate").evaluate(
    model=files.model,
    training=files.training,
    dataset=files.dataset,
    split=files.get("split"),
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
    threads=snakemake.threads,
    predictions=snakemake.output.predictions,
    scores=snakemake.output.scores,
    network=job.network,
    population=job.population,
    **given,
)
