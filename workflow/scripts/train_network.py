"""Rules train_network and fit_network: a data set and its split in, a network out."""

from lensmill import experiments
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
params, output = snakemake.params, snakemake.output
experiments.load(snakemake.wildcards.experiment, "network").train(
    dataset=snakemake.input.dataset,
    split=snakemake.input.split,
    settings=params.settings,
    seed=params.seed,
    threads=snakemake.threads,
    model=output.model,
    history=output.get("history"),
    training=output.training,
    checkpoints=params.get("checkpoints"),
)
