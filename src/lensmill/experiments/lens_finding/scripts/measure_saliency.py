"""Rule measure_saliency: a network and what it said in, where it looked out."""

from lensmill import experiments
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files = snakemake.input
experiments.load("lens_finding", "saliency").saliency(
    model=files.model,
    training=files.training,
    dataset=files.dataset,
    predictions=files.predictions,
    threads=snakemake.threads,
    output=snakemake.output[0],
    **snakemake.params.settings,
)
