"""Rule infer_lens: a user's table and the calibration in, posteriors and verdicts out."""

from lensmill.experiments.time_delay import lens
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
lens.infer_lens(
    snakemake.input.table,
    snakemake.input.calibration,
    snakemake.output.posterior,
    snakemake.output.table,
    snakemake.output.text,
    snakemake.output.figures,
    prior=snakemake.params.prior,
    h0=snakemake.params.h0,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
)
