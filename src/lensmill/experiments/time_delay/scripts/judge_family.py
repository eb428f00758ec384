"""Rule judge_family: real systems and the calibration of the test in, verdicts out."""

from lensmill.experiments.time_delay import predictive
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
predictive.judge_family(
    snakemake.input.dataset,
    snakemake.input.calibration,
    snakemake.output.table,
    prior=snakemake.params.prior,
    h0=snakemake.params.h0,
    starts=snakemake.params.starts,
)
