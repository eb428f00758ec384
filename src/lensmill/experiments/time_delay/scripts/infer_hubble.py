"""Rule infer_hubble: exact posteriors and predictions in, distances and Hubble constants out."""

from lensmill.experiments.time_delay import hubble
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
hubble.infer_hubble(
    snakemake.input.dataset,
    snakemake.input.posteriors,
    snakemake.input.predictions,
    snakemake.input.family,
    snakemake.output.table,
    snakemake.output.summary,
    trained=snakemake.params.trained,
    prior=snakemake.params.prior,
)
