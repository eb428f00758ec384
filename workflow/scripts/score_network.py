"""Rule score_network: predictions in, the same with what scoring adds and the scores out."""

from lensmill import experiments
from lensmill.pipeline import logs, predictions, scores

logs.start(snakemake.log[0])
job, files = snakemake.wildcards, dict(snakemake.input.items())
beside = snakemake.params.beside
if beside:
    found = map(predictions.find, files["beside"], beside)
    files["beside"] = dict(zip(beside, found, strict=True))
scores.write(
    snakemake.output.scores,
    experiments.load(job.experiment, "score").score(
        predictions=predictions.find(files.pop("predictions"), job.population),
        settings=snakemake.params.settings,
        seed=snakemake.params.seed,
        output=snakemake.output.predictions,
        **files,
    ),
)
