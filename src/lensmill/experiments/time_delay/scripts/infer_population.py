"""Rule infer_population: draws under a wide prior in, the population of the systems and H0 out."""

from lensmill.experiments.time_delay import populations
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
populations.infer_population(
    snakemake.input.dataset,
    snakemake.input.posteriors,
    snakemake.input.table,
    snakemake.output[0],
    prior=snakemake.params.prior,
    answer_prior=snakemake.params.answer_prior,
    hyperpriors=snakemake.params.hyperpriors,
    seed=snakemake.params.seed,
)
