"""Rule ingest: a table of real systems in, a data set out."""

from lensmill.experiments.time_delay import ingest
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
job = snakemake.wildcards
ingest.ingest(snakemake.input[0], snakemake.output[0], job.population, job.experiment)
