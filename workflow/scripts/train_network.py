"""Rule train_network: a data set and its split in, a network out."""

from lensmill import experiments
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
network = experiments.load(snakemake.wildcards.experiment, "network")
network.train(
    dataset=snakemake.input.dataset,
    split=snakemake.input.split,
    model=snakemake.output.model,
    history=snakemake.output.history,
    training=snakemake.output.training,
    checkpoints=snakemake.params.checkpoints,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
    threads=snakemake.threads,
)
