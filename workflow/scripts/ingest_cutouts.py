"""Rule ingest_cutouts: a folder or table of images in, a data set out."""

from lensmill.cutouts import ingest
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
job = snakemake.wildcards
ingest.ingest(
    snakemake.input[0],
    snakemake.output[0],
    job.population,
    job.experiment,
    snakemake.params.settings,
)
