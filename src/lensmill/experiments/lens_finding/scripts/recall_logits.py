"""Rule recall_logits: a network and a population in, what it says of every system out."""

from lensmill.experiments.lens_finding import network
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files = snakemake.input
network.recall(
    network.load(files.model, files.training, snakemake.threads),
    files.dataset,
    snakemake.output[0],
    snakemake.wildcards.network,
)
