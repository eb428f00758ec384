"""Rule compare_with_published: scores and numbers of others in, a table of both out."""

from lensmill.experiments.lens_parameters import comparison
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
files = snakemake.input
comparison.compare(
    files.scores, snakemake.params.observations, files.published, snakemake.output[0]
)
