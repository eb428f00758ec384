"""Rule turn_clusters: a network and a population in, its answers by angle out."""

from lensmill import experiments
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
params, files = snakemake.params, snakemake.input
experiments.load("cluster_mass", "rotation").rotation(
    model=files.model,
    training=files.training,
    population_settings=params.population,
    seed=params.seed,
    experiment="cluster_mass",
    population=snakemake.wildcards.population,
    threads=snakemake.threads,
    output=snakemake.output[0],
    **params.settings,
)
