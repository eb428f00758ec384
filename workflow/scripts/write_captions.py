"""Rule write_captions: the captions of an experiment's figures in, a page beside them out."""

from lensmill import plotting
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
plotting.write_captions(snakemake.params.captions, snakemake.output[0])
