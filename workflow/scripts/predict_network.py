"""Rule predict_network: a network and populations in, a folder of predictions out."""

from lensmill import experiments
from lensmill.pipeline import intact, logs, predictions

logs.start(snakemake.log[0])
intact.verify([snakemake.input.model, snakemake.input.training])
predictions.write_together(
    snakemake.output[0],
    experiments.load(snakemake.wildcards.experiment, "network"),
    model=snakemake.input.model,
    training=snakemake.input.training,
    populations=snakemake.params.populations,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
    threads=snakemake.threads,
    name=snakemake.wildcards.network,
)
