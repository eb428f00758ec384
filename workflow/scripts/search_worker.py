"""Rule search_worker: a data set in, trials in the study and how many they were out."""

from lensmill.learning import search
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
job, files, params = snakemake.wildcards, snakemake.input, snakemake.params
search.search_worker(
    study=params.study,
    dataset=files.dataset,
    split=files.split,
    experiment=job.experiment,
    settings=params.settings,
    search=params.search,
    worker=int(job.worker),
    seed=params.seed,
    threads=snakemake.threads,
    folder=params.folder,
    output=snakemake.output[0],
)
