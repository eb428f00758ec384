"""Rule tabulate_scores: the scores of all networks in, one table out."""

from lensmill.pipeline import logs, scores

logs.start(snakemake.log[0])
scores.tabulate(list(snakemake.input), snakemake.output[0])
