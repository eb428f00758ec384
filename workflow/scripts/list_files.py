"""Rule list_files: a folder or table in, the names of all files that it stands for out."""

from lensmill import experiments
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
experiments.load(snakemake.wildcards.experiment, "ingest").list_files(
    source=snakemake.input[0], output=snakemake.output[0], settings=snakemake.params.settings
)
