"""Rule check_posteriors: posteriors of mocks and predictions in, ranks and differences out."""

from lensmill.experiments.time_delay import exact_checks
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
exact_checks.check_posteriors(
    snakemake.input.posteriors,
    snakemake.input.dataset,
    snakemake.input.split,
    snakemake.input.predictions,
    snakemake.params.observation,
    snakemake.params.seed,
    snakemake.output.summary,
    snakemake.output.table,
)
