"""Rule tabulate_scores: the scores of all networks in, one table out."""

from lensmill.pipeline import intact, logs, scores

logs.start(snakemake.log[0])
intact.verify(snakemake.input)
scores.tabulate(list(snakemake.input), snakemake.output[0])
