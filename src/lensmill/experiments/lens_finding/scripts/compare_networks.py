"""Rule compare_networks: scores and histories in, the table of networks out."""

from lensmill.experiments.lens_finding import comparison
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files, output = snakemake.input, snakemake.output
comparison.compare(files.scores, files.histories, output.table, output.page)
