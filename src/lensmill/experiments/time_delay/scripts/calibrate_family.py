"""Rule calibrate_family: posteriors of mocks in, thresholds of the tests of the family out."""

from lensmill.experiments.time_delay import verdicts
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
verdicts.calibrate_family(
    snakemake.input.posteriors,
    snakemake.input.dataset,
    snakemake.input.split,
    snakemake.output[0],
    prior=snakemake.params.prior,
    observation=snakemake.params.observation,
    false_alarm_rate=snakemake.params.false_alarm_rate,
    seed=snakemake.params.seed,
)
