"""Rule judge_family: real systems and mocks in, verdicts and their calibration out."""

from lensmill.experiments.time_delay import predictive
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
predictive.judge_family(
    snakemake.input.dataset,
    snakemake.input.mocks,
    snakemake.output.table,
    snakemake.output.summary,
    prior=snakemake.params.prior,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
)
