"""Rule summarise_search: the study of all workers in, its trials and the best settings out."""

from lensmill.learning import search
from lensmill.pipeline import logs

logs.start(snakemake.log[0])
search.summarise_search(
    study=snakemake.params.study,
    workers=list(snakemake.input),
    experiment=snakemake.wildcards.experiment,
    network=snakemake.wildcards.network,
    table=snakemake.output.table,
    best=snakemake.output.best,
)
