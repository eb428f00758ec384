"""Rule rank_survey: the shards of a survey and their scores in, a table and a page out."""

from lensmill.experiments.lens_finding import survey
from lensmill.pipeline import intact, logs

logs.start(snakemake.log[0])
files, output = snakemake.input, snakemake.output
intact.verify(files.scores)
survey.rank(
    list(files.shards),
    list(files.scores),
    files.copies,
    files.reference,
    output.table,
    output.page,
    snakemake.params.settings,
)
