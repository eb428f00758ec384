"""Rule compare_populations: the checks of each population in, those between them out."""

from lensmill.pipeline import checks, intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
checks.compare_populations(list(snakemake.input), snakemake.output[0])
