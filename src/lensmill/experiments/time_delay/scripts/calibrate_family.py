"""Rule calibrate_family: mocks in, thresholds of the test of the family out."""

from lensmill.experiments.time_delay import predictive
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
predictive.calibrate_family(
    snakemake.input.mocks,
    snakemake.output[0],
    prior=snakemake.params.prior,
    h0=snakemake.params.h0,
    observation=snakemake.params.observation,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
)
