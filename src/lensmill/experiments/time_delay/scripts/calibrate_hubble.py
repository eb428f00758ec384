"""Rule calibrate_hubble: networks in, coverage of H0 in many universes out."""

from lensmill.experiments.time_delay import universes
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
universes.calibrate_hubble(
    snakemake.input.models,
    snakemake.input.trainings,
    snakemake.input.mocks,
    snakemake.input.mock_predictions,
    snakemake.output[0],
    population=snakemake.params.population,
    prior=snakemake.params.prior,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
    threads=snakemake.threads,
)
