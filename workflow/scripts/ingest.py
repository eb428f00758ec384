"""Rule ingest: a file or folder of real systems in, a data set out."""

from lensmill import experiments
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
job = snakemake.wildcards
experiments.load(job.experiment, "ingest").ingest(
    source=snakemake.input[0],
    output=snakemake.output[0],
    population=job.population,
    experiment=job.experiment,
    settings=snakemake.params.settings,
)
