"""Rule infer_hubble: predictions for real systems in, distances and Hubble constants out."""

from lensmill.experiments.time_delay import hubble
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
hubble.infer_hubble(
    snakemake.input.dataset,
    snakemake.input.family,
    snakemake.input.predictions,
    snakemake.input.mocks,
    snakemake.input.mock_predictions,
    snakemake.output.table,
    snakemake.output.summary,
    trained=snakemake.params.trained,
    prior=snakemake.params.prior,
    false_alarm_rate=snakemake.params.false_alarm_rate,
)
