"""Rule list_files: a folder or table of images in, the names of all its files out."""

from lensmill.cutouts import ingest
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
ingest.list_files(snakemake.input[0], snakemake.output[0], snakemake.params.settings)
