"""Rule rank_population: predictions and images in, a ranked table and a page of pictures out."""

from lensmill.experiments.lens_finding import ranking
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files, output = snakemake.input, snakemake.output
ranking.rank(files.predictions, files.dataset, output.table, output.page, snakemake.params.settings)
