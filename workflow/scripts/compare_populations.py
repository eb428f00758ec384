"""Rule compare_populations: the checks of each population in, those between them out."""

from lensmill.pipeline import checks, logs

logs.start(snakemake.log[0])
checks.compare_populations(list(snakemake.input), snakemake.output[0])
