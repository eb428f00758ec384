"""Rule compare_published: scores in, a table and a page beside published numbers out."""

from lensmill.experiments.substructure import published
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
published.compare_published(
    scores=snakemake.input.scores,
    exports=snakemake.input.exports,
    table=snakemake.output.table,
    page=snakemake.output.page,
)
