"""Rule export_dataset: a data set in, one of its tables out."""

from lensmill.pipeline import export, intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
export.export(snakemake.input[0], snakemake.output[0])
