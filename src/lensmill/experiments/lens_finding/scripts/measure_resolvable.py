"""Rule measure_resolvable: a population of painted lenses in, which of them can be told out."""

from lensmill.experiments.lens_finding import resolvable
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
resolvable.measure(
    settings=snakemake.params.settings,
    seed=snakemake.params.seed,
    population=snakemake.wildcards.population,
    systems=snakemake.params.systems,
    output=snakemake.output[0],
)
