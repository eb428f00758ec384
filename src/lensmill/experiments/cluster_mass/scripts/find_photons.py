"""Rule find_photons: a network and what it said in, which photons that hangs on out."""

from lensmill import experiments
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files = snakemake.input
experiments.load("cluster_mass", "saliency").saliency(
    model=files.model,
    training=files.training,
    dataset=files.dataset,
    predictions=files.predictions,
    threads=snakemake.threads,
    output=snakemake.output[0],
    **snakemake.params.settings,
)
