"""Rule predict_population: a network and a population in, its predictions out."""

from lensmill import experiments
from lensmill.pipeline import intact, logs, predictions

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
module = experiments.load(snakemake.wildcards.experiment, "network")
predictions.write(
    snakemake.output[0],
    module,
    module.load(snakemake.input.model, snakemake.input.training, snakemake.threads),
    snakemake.params.files,
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
    name=snakemake.wildcards.network,
    population=snakemake.wildcards.population,
)
