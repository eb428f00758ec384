"""Rule split_dataset: a checked data set in, the part of every system out."""

from lensmill.pipeline import intact, logs, splits

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
splits.write(snakemake.input.dataset, snakemake.output[0], **snakemake.params.settings)
