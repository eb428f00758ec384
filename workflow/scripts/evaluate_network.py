"""Rule evaluate_network: a network and a population in, predictions and scores out."""

from lensmill import experiments
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
experiments.load(snakemake.wildcards.experiment, "evaluate").evaluate(
    model=snakemake.input.model,
    training=snakemake.input.training,
    dataset=snakemake.input.dataset,
    split=snakemake.input.get("split"),
    predictions=snakemake.output.predictions,
    scores=snakemake.output.scores,
    network=snakemake.wildcards.network,
    population=snakemake.wildcards.population,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
    threads=snakemake.threads,
)
